# SPDX-License-Identifier: Apache-2.0
"""The engines that peers.py and long.py time, one class each: `ids(batch)` and `texts(batch)` return vectors [n, dim]. Each engine lives in
a process of its own (Worker), so that neither libraries nor spinning threads meet; only one works at a time.

A peer is here if its PyPI packages are: onnxruntime; torch + transformers; openvino; ctranslate2 (+ transformers for converting).
Models are converted once into a cache folder; that needs torch, transformers and onnx.
"""
import importlib.metadata
import importlib.util
import json
import multiprocessing
import os
import pathlib
import time

NAMES = ["nib f32", "nib bf16", "nib q8", "ONNX Runtime f32", "ONNX Runtime f32 fused", "ONNX Runtime INT8 per channel", "OpenVINO f32",
         "OpenVINO bf16", "CTranslate2 f32", "CTranslate2 INT8", "PyTorch f32", "PyTorch bf16"]
NEEDS = {"nib": [], "ONNX": ["onnxruntime", "numpy"], "OpenVINO": ["openvino", "numpy"], "CTranslate2": ["ctranslate2", "numpy"],
         "PyTorch": ["torch", "transformers"]}


def available(name):
    return all(importlib.util.find_spec(package) for package in NEEDS[name.split()[0]])


def versions():
    found = []
    for package in ("onnxruntime", "openvino", "ctranslate2", "torch", "transformers", "tokenizers"):
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            pass
    return ", ".join(found)


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "CPU")
    return f"{cpu}, {len(os.sched_getaffinity(0))} CPUs"


def onnx_file(model, cache, kind):
    """kind: f32, fused, int8."""
    f32, path = cache / "model.onnx", cache / {"f32": "model.onnx", "fused": "model_fused.onnx", "int8": "model_int8.onnx"}[kind]
    config = json.loads((model / "config.json").read_text())
    if not f32.exists():
        import torch
        from transformers import AutoModel

        class Wrapped(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = AutoModel.from_pretrained(model, attn_implementation="eager").eval()

            def forward(self, input_ids, attention_mask, token_type_ids):
                return self.inner(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state

        names = ["input_ids", "attention_mask", "token_type_ids"]
        x = torch.ones(2, 7, dtype=torch.long)
        axes = {n: {0: "batch", 1: "seq"} for n in names + ["last_hidden_state"]}
        torch.onnx.export(Wrapped(), (x, x, x * 0), str(f32), input_names=names, output_names=["last_hidden_state"], opset_version=17,
                          dynamo=False, dynamic_axes=axes)
    if kind == "fused" and not path.exists():
        from onnxruntime.transformers import optimizer

        made = optimizer.optimize_model(str(f32), "bert", num_heads=config["num_attention_heads"], hidden_size=config["hidden_size"], opt_level=1)
        made.save_model_to_file(str(path))
    if kind == "int8" and not path.exists():
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(str(f32), str(path), weight_type=QuantType.QInt8, per_channel=True)
    return path


def padded(rows):
    import numpy as np

    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return ids, mask


def pooled(hidden, mask):
    import numpy as np

    sums = np.einsum("bsc,bs->bc", hidden, mask.astype(np.float32)) / mask.sum(1, keepdims=True)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


class Nib:
    def __init__(self, name, model, threads, cache, longest):
        import nibc

        self.model = nibc.Model(model, name.split()[1], threads, longest)
        self.prepare = self.model.prepare
        self.ids = self.model.embed_ids
        self.texts = self.model.embed


class Peer:
    def __init__(self, name, model, threads, cache, longest):
        self.tokenizer = None
        if (model / "tokenizer.json").exists():
            os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
            from tokenizers import Tokenizer

            self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
            self.tokenizer.no_padding()
        kind = name.split()[0]
        {"ONNX": self.open_onnx, "OpenVINO": self.open_openvino, "CTranslate2": self.open_ctranslate2, "PyTorch": self.open_torch}[kind](
            name, model, threads, cache)

    def open_onnx(self, name, model, threads, cache):
        import numpy as np
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        kind = "int8" if "INT8" in name else "fused" if "fused" in name else "f32"
        session = ort.InferenceSession(str(onnx_file(model, cache, kind)), options, providers=["CPUExecutionProvider"])
        inputs = [(i.name, np.int32 if i.type == "tensor(int32)" else np.int64) for i in session.get_inputs()]

        def hidden(ids, mask):
            given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            return session.run(["last_hidden_state"], {n: given[n].astype(t, copy=False) for n, t in inputs})[0]

        self.hidden = hidden

    def open_openvino(self, name, model, threads, cache):
        import numpy as np
        import openvino

        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": name.split()[1]}
        core = openvino.Core()
        request = core.compile_model(core.read_model(str(onnx_file(model, cache, "f32"))), "CPU", settings).create_infer_request()

        def hidden(ids, mask):
            return next(iter(request.infer({"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}).values()))

        self.hidden = hidden

    def open_ctranslate2(self, name, model, threads, cache):
        import ctranslate2
        import numpy as np

        folder = cache / "ct2"
        if not (folder / "model.bin").exists():
            ctranslate2.converters.TransformersConverter(str(model)).convert(str(folder), force=True)
        encoder = ctranslate2.Encoder(str(folder), device="cpu", compute_type="int8" if "INT8" in name else "float32", intra_threads=threads,
                                      inter_threads=1)

        def hidden(ids, mask):
            rows = [row[:n].tolist() for row, n in zip(ids, mask.sum(1))]
            return np.array(encoder.forward_batch(rows).last_hidden_state)

        self.hidden = hidden

    def open_torch(self, name, model, threads, cache):
        import torch
        from transformers import AutoModel

        torch.set_num_threads(threads)
        module = AutoModel.from_pretrained(model, attn_implementation="sdpa", dtype=torch.bfloat16 if "bf16" in name else torch.float32).eval()

        def hidden(ids, mask):
            with torch.inference_mode():
                return module(torch.from_numpy(ids), torch.from_numpy(mask)).last_hidden_state.float().numpy()

        self.hidden = hidden

    def prepare(self, rows):
        return padded(rows)

    def ids(self, prepared):
        return pooled(self.hidden(*prepared), prepared[1])

    def texts(self, texts, longest):
        if self.longest_now != longest:
            self.tokenizer.enable_truncation(longest)
            self.longest_now = longest
        return self.ids(padded([e.ids for e in self.tokenizer.encode_batch_fast(texts)]))

    longest_now = None


def serve(pipe, name, model, threads, cache, longest):
    """Commands: ("ids", key, batches) prepares; ("run", key) -> seconds; ("texts", batches, longest) -> seconds; ("vectors", key);
    ("rss", reset) -> high water of the resident memory."""
    import numpy as np

    prepared = {}
    try:
        engine = (Nib if name.startswith("nib") else Peer)(name, model, threads, cache, longest)
    except Exception as e:  # a peer that does not open is left out of the table, with its reason
        pipe.send(("failed", f"{type(e).__name__}: {e}"))
        return
    pipe.send(("ready", None))
    while True:
        command, *rest = pipe.recv()
        try:
            if command == "stop":
                return
            if command == "ids":
                prepared[rest[0]] = [engine.prepare(b) for b in rest[1]]
                answer = None
            elif command == "run":
                begun = time.perf_counter()
                for batch in prepared[rest[0]]:
                    engine.ids(batch)
                answer = time.perf_counter() - begun
            elif command == "texts":
                begun = time.perf_counter()
                for batch in rest[0]:
                    engine.texts(batch, rest[1])
                answer = time.perf_counter() - begun
            elif command == "vectors":
                got = [np.array(engine.ids(b), np.float32) for b in prepared[rest[0]]]
                dim = got[0].size // (prepared[rest[0]][0][2] if isinstance(engine, Nib) else len(got[0]))
                answer = np.concatenate([g.reshape(-1, dim) for g in got])
            elif command == "rss":
                if rest[0]:  # from now on the high water is that of what follows
                    pathlib.Path("/proc/self/clear_refs").write_text("5")
                status = pathlib.Path("/proc/self/status").read_text()
                answer = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
            pipe.send(("ok", answer))
        except Exception as e:
            pipe.send(("failed", f"{type(e).__name__}: {e}"))


class Failed(Exception):
    pass


class Worker:
    def __init__(self, name, model, threads, cache, longest=0):
        context = multiprocessing.get_context("spawn")
        self.name = name
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, name, pathlib.Path(model), threads, cache, longest), daemon=True)
        self.process.start()
        theirs.close()
        self.answer()

    def answer(self):
        try:
            status, value = self.pipe.recv()
        except EOFError:
            raise Failed("its process ended") from None
        if status == "failed":
            raise Failed(value)
        return value

    def __call__(self, *command):
        self.pipe.send(command)
        return self.answer()

    def stop(self):
        try:
            self.pipe.send(("stop",))
        except OSError:
            pass
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()

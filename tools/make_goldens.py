#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes test/data/{hf,onnx}: small models with random weights and what PyTorch and ONNX Runtime say they compute.

    python tools/make_goldens.py [models] [families] [text] [small]        (all four without an argument)

Needs torch, transformers, onnx, onnxruntime, onnxscript, safetensors. The tests need none of them: what this script
writes is committed. It starts from seed 0 and strips what exporters add of the machine (paths, stack traces), so that
a second run with the same packages writes the same bytes. test/data/README.md explains the files.
"""
import copy
import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DATA = Path(__file__).resolve().parent.parent / "test" / "data"
HF, ONNX = DATA / "hf", DATA / "onnx"


def clean(model):
    """Removes what names the machine or the moment, everywhere a protobuf message can carry it."""

    def walk(message):
        for field in ("metadata_props", "doc_string"):
            if field in message.DESCRIPTOR.fields_by_name:
                message.ClearField(field)
        for descriptor, value in message.ListFields():
            if descriptor.type != descriptor.TYPE_MESSAGE:
                continue
            for item in value if hasattr(value, "__len__") and not hasattr(value, "ListFields") else [value]:
                walk(item)

    walk(model)
    return model


def save(model, name, external=False):
    path = ONNX / name
    clean(model)
    if external:
        data = ONNX / (name + ".data")
        data.unlink(missing_ok=True)
        onnx.save(model, path, save_as_external_data=True, all_tensors_to_one_file=True, location=data.name, size_threshold=1024)
        data.chmod(0o644)
    else:
        path.write_bytes(model.SerializeToString(deterministic=True))
    kinds = sorted({f"{n.domain or 'ai.onnx'}::{n.op_type}" for n in model.graph.node})
    opsets = ", ".join(f"{o.domain or 'ai.onnx'} {o.version}" for o in model.opset_import)
    print(f"{name}: {path.stat().st_size} bytes, opset {opsets}: {' '.join(kinds)}", flush=True)


# ---------------------------------------------------------------- transformer models

BATCHES = {
    # right padding, as tokenizers write it
    "right": ([[2, 17, 99, 301, 44, 3, 0, 0], [2, 5, 6, 7, 8, 9, 10, 3], [2, 3, 0, 0, 0, 0, 0, 0]],
              [[1] * 6 + [0] * 2, [1] * 8, [1] * 2 + [0] * 6]),
    # left padding, and a hole in the middle
    "odd": ([[0, 0, 2, 450, 451, 3], [2, 11, 12, 13, 14, 3]], [[0, 0, 1, 1, 1, 1], [1, 1, 0, 1, 1, 1]]),
    # one token
    "one": ([[2]], [[1]]),
}


def long_batch():
    """Longer than a tile of attention, lengths all different."""
    rng = np.random.RandomState(0)
    lengths = [70, 33, 1, 64]
    ids = np.zeros((4, 70), np.int64)
    mask = np.zeros((4, 70), np.int64)
    for row, n in enumerate(lengths):
        ids[row, :n] = rng.randint(1, 400, n)
        mask[row, :n] = 1
    return ids.tolist(), mask.tolist()


def batches():
    for name, (ids, mask) in {**BATCHES, "long": long_batch()}.items():
        ids, mask = np.array(ids, np.int64), np.array(mask, np.int64)
        types = ((np.arange(ids.shape[1])[None, :] >= ids.shape[1] // 2).astype(np.int64) * mask)
        yield name, {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def run_ort(path, feeds):
    import onnxruntime as ort

    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = {i.name for i in session.get_inputs()}
    outputs = session.run(None, {k: v for k, v in feeds.items() if k in wanted})
    return dict(zip([o.name for o in session.get_outputs()], outputs))


def make_models():
    import torch
    import transformers

    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    shape = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, vocab_size=480,
                 max_position_embeddings=130)

    def fill(model):
        """Weights large enough that a wrong operator shows: a fresh BERT is close to the identity."""
        for name, p in sorted(model.named_parameters()):
            if "LayerNorm.weight" in name:
                p.data = 1 + 0.2 * torch.randn(p.shape)
            elif name.endswith("bias"):
                p.data = 0.1 * torch.randn(p.shape)
            else:
                p.data = (0.5 if "embeddings" in name else 0.15) * torch.randn(p.shape)
        return model.eval()

    config = transformers.BertConfig(**shape)
    model = fill(transformers.BertModel(config))
    folder = HF / "bert-tiny"
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    written = json.loads((folder / "config.json").read_text())
    for key in ("transformers_version", "_name_or_path"):
        written.pop(key, None)
    (folder / "config.json").write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")
    state = model.state_dict()

    class Hidden(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, input_ids, attention_mask, token_type_ids=None):
            return self.inner(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state

    class Pooled(Hidden):
        def forward(self, input_ids, attention_mask, token_type_ids=None):
            tokens = super().forward(input_ids, attention_mask, token_type_ids)
            weight = attention_mask.unsqueeze(-1).to(tokens.dtype)
            mean = (tokens * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
            return tokens, torch.nn.functional.normalize(mean, p=2, dim=1)

    def build(attention):
        chosen = copy.deepcopy(config)
        chosen._attn_implementation = attention
        inner = transformers.BertModel(chosen)
        assert inner.config._attn_implementation == attention
        inner.load_state_dict(state)
        return inner.eval()

    # expected values: PyTorch, eager attention
    golden = ONNX / "expected"
    golden.mkdir(parents=True, exist_ok=True)
    feeds = {}
    for name, feed in batches():
        feeds[name] = feed
        for key, value in feed.items():
            np.save(golden / f"{name}.{key}.npy", value)
        tensors = {k: torch.from_numpy(v) for k, v in feed.items()}
        with torch.no_grad():
            eager = build("eager")
            with_types = Pooled(eager)(**tensors)
            without = Pooled(eager)(tensors["input_ids"], tensors["attention_mask"])
        np.save(golden / f"{name}.last_hidden_state.npy", with_types[0].numpy())
        np.save(golden / f"{name}.sentence_embedding.npy", with_types[1].numpy())
        np.save(golden / f"{name}.no_types.last_hidden_state.npy", without[0].numpy())

    sample = {k: torch.from_numpy(v) for k, v in feeds["right"].items()}
    axes = {0: "batch", 1: "seq"}

    def export(file, wrapper, inputs, outputs, dynamo, external=False):
        args = tuple(sample[i] for i in inputs)
        path = ONNX / file
        if dynamo:
            batch, seq = torch.export.Dim("batch"), torch.export.Dim("seq")
            program = torch.onnx.export(wrapper, args, None, input_names=inputs, output_names=outputs, dynamo=True, verbose=False,
                                        dynamic_shapes=tuple({0: batch, 1: seq} for _ in inputs))
            exported = program.model_proto
        else:
            dynamic = {k: axes for k in inputs} | {k: axes if k == "last_hidden_state" else {0: "batch"} for k in outputs}
            torch.onnx.export(wrapper, args, str(path), input_names=inputs, output_names=outputs, dynamic_axes=dynamic,
                              opset_version=17, dynamo=False)
            exported = onnx.load(path)
        save(exported, file, external)
        record(file, inputs)

    def record(file, inputs):
        path, worst = ONNX / file, 0.0
        for name, feed in feeds.items():
            try:
                results = run_ort(path, feed)
            except Exception as failure:  # an exporter may bake the traced sizes in: say so in the file's absence
                print(f"  ONNX Runtime refuses {file} for batch {name}: {str(failure)[:120]}")
                continue
            for key, value in results.items():
                stem = f"{name}.no_types" if "token_type_ids" not in inputs and key == "last_hidden_state" else name
                expected = np.load(golden / f"{stem}.{key}.npy")
                real = feed["attention_mask"].astype(bool) if value.ndim == 3 else slice(None)
                if name != "odd" or not file.endswith(".ort.onnx"):  # a fused mask is the number of tokens: they come first
                    worst = max(worst, float(np.abs(value[real] - expected[real]).max()))
                np.save(golden / f"{name}.{file.removesuffix('.onnx')}.{key}.npy", value)
        print(f"  largest difference between ONNX Runtime and PyTorch: {worst:.2e}", flush=True)

    ids, mask, types = "input_ids", "attention_mask", "token_type_ids"
    hidden = ["last_hidden_state"]
    for attention in ("eager", "sdpa"):
        export(f"bert-tiny.ts.{attention}.onnx", Hidden(build(attention)), [ids, mask, types], hidden, False)
    export("bert-tiny.dynamo.sdpa.onnx", Hidden(build("sdpa")), [ids, mask], hidden, True)
    export("bert-tiny.dynamo.eager.onnx", Hidden(build("eager")), [ids, mask, types], hidden, True, external=True)
    export("bert-tiny.pooled.onnx", Pooled(build("sdpa")), [ids, mask, types], hidden + ["sentence_embedding"], False)
    from onnxruntime.transformers.optimizer import optimize_model
    fused = optimize_model(str(ONNX / "bert-tiny.ts.eager.onnx"), "bert", num_heads=4, hidden_size=64, opt_level=0)
    save(fused.model, "bert-tiny.ort.onnx", False)
    record("bert-tiny.ort.onnx", [ids, mask, types])
    from onnxruntime.quantization import QuantType, quantize_dynamic
    quantize_dynamic(str(ONNX / "bert-tiny.ts.sdpa.onnx"), str(ONNX / "bert-tiny.int8.onnx"), weight_type=QuantType.QInt8, per_channel=True)


# ---------------------------------------------------------------- other families, as Hugging Face folders

def window_batch():
    """Texts longer than a window of attention: padded on the right, on the left, with holes, and whole."""
    rng = np.random.RandomState(1)
    ids = rng.randint(1, 400, (4, 60)).astype(np.int64)
    mask = np.ones((4, 60), np.int64)
    mask[0, 45:] = 0
    mask[1, :13] = 0
    mask[2, rng.rand(60) < 0.3] = 0
    return ids * mask, mask


def make_families():
    import torch
    import transformers

    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    expected = HF / "expected"
    expected.mkdir(parents=True, exist_ok=True)
    batches = {name: tuple(np.array(x, np.int64) for x in pair) for name, pair in {**BATCHES, "long": long_batch()}.items()}
    batches["window"] = window_batch()
    for key, value in zip(("input_ids", "attention_mask"), batches["window"]):
        np.save(ONNX / "expected" / f"window.{key}.npy", value)

    def fill(model):
        for name, p in sorted(model.named_parameters()):
            if "norm" in name and name.endswith("weight"):
                p.data = 1 + 0.2 * torch.randn(p.shape)
            elif name.endswith("bias"):
                p.data = 0.1 * torch.randn(p.shape)
            else:
                p.data = (0.5 if "embeddings" in name else 0.15) * torch.randn(p.shape)
        return model.eval()

    def write(name, model, change=lambda config: None, prefix=""):
        from safetensors.torch import save_file

        folder = HF / name
        folder.mkdir(parents=True, exist_ok=True)
        state = {prefix + k: v.contiguous() for k, v in model.state_dict().items() if "inv_freq" not in k}
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "model.safetensors").chmod(0o644)
        config = model.config.to_dict()
        for key in ("transformers_version", "_name_or_path"):
            config.pop(key, None)
        change(config)
        (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        for batch, (ids, mask) in batches.items():
            with torch.no_grad():
                y = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state
            np.save(expected / f"{batch}.{name}.npy", y.numpy())
        print(f"{name}: {(folder / 'model.safetensors').stat().st_size} bytes", flush=True)

    shape = dict(hidden_size=64, num_attention_heads=4, intermediate_size=96, vocab_size=480, max_position_embeddings=130, local_attention=16,
                 pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, attn_implementation="eager")

    def as_before(config):
        """The words of transformers 4: answerdotai/ModernBERT-base has them."""
        config.pop("layer_types")
        parameters = config.pop("rope_parameters")
        config.update(global_attn_every_n_layers=2, global_rope_theta=parameters["full_attention"]["rope_theta"],
                      local_rope_theta=parameters["sliding_attention"]["rope_theta"])

    torch.manual_seed(2)
    tiny = fill(transformers.ModernBertModel(transformers.ModernBertConfig(num_hidden_layers=3, **shape)))
    write("modernbert-tiny", tiny)
    tiny.config._attn_implementation = "sdpa"

    class Hidden(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = tiny

        def forward(self, input_ids, attention_mask):
            return self.inner(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    sample, names, axes = tuple(torch.from_numpy(x) for x in batches["right"]), ["input_ids", "attention_mask"], {0: "batch", 1: "seq"}
    path = ONNX / "modernbert-tiny.ts.onnx"
    torch.onnx.export(Hidden(), sample, str(path), input_names=names, output_names=["last_hidden_state"], opset_version=17, dynamo=False,
                      dynamic_axes={k: axes for k in names + ["last_hidden_state"]})
    save(onnx.load(path), path.name)
    batch, seq = torch.export.Dim("batch"), torch.export.Dim("seq")
    program = torch.onnx.export(Hidden(), sample, input_names=names, output_names=["last_hidden_state"], dynamo=True, verbose=False,
                                dynamic_shapes=tuple({0: batch, 1: seq} for _ in names))
    save(program.model_proto, "modernbert-tiny.dynamo.onnx")
    thetas = {"full_attention": {"rope_type": "default", "rope_theta": 8000.0}, "sliding_attention": {"rope_type": "default", "rope_theta": 500.0}}
    biased = transformers.ModernBertConfig(num_hidden_layers=2, layer_types=["full_attention", "sliding_attention"], rope_parameters=thetas,
                                           attention_bias=True, mlp_bias=True, norm_bias=True, hidden_activation="silu", **shape)
    write("modernbert-biased", fill(transformers.ModernBertModel(biased)), as_before, "model.")


def make_relative():
    """Families which enter as ONNX files: MPNet (TorchScript) and T5's encoder (torch.export), whose attention has a bias by distance; Qwen3
    (TorchScript), a decoder that shares keys and norms the heads of queries and keys."""
    import torch
    import transformers

    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.manual_seed(3)
    batches = {name: tuple(np.array(x, np.int64) for x in pair) for name, pair in {**BATCHES, "long": long_batch()}.items()}
    batches["window"] = window_batch()
    mpnet = transformers.MPNetModel(transformers.MPNetConfig(
        num_hidden_layers=2, hidden_size=64, num_attention_heads=4, intermediate_size=96, vocab_size=480, max_position_embeddings=140,
        attn_implementation="eager"), add_pooling_layer=False)
    t5 = transformers.T5EncoderModel(transformers.T5Config(
        num_layers=2, d_model=64, num_heads=4, d_kv=16, d_ff=96, vocab_size=480, relative_attention_num_buckets=16,
        relative_attention_max_distance=40, attn_implementation="eager"))
    with torch.random.fork_rng():  # the others' numbers stay what they were
        qwen3 = transformers.Qwen3Model(transformers.Qwen3Config(
            num_hidden_layers=2, hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=16, intermediate_size=96, vocab_size=480,
            max_position_embeddings=140, use_cache=False, attn_implementation="eager"))
    names, axes = ["input_ids", "attention_mask"], {0: "batch", 1: "seq"}
    for name, inner in (("mpnet-tiny.ts", mpnet), ("t5-tiny.dynamo", t5), ("qwen3-tiny.ts", qwen3)):
        for key, p in sorted(inner.named_parameters()):
            p.data = 1 + 0.2 * torch.randn(p.shape) if "norm" in key.lower() and key.endswith("weight") else 0.15 * torch.randn(p.shape)
            if "relative_attention_bias" in key:
                p.data = 2 * torch.randn(p.shape)
        inner.eval()

        class Hidden(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = inner

            def forward(self, input_ids, attention_mask):
                return self.inner(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

        model = Hidden().eval()
        sample = tuple(torch.from_numpy(x) for x in batches["right"])
        path = ONNX / f"{name}.onnx"
        if name.endswith(".ts"):
            torch.onnx.export(model, sample, str(path), input_names=names, output_names=["last_hidden_state"], opset_version=17,
                              dynamo=False, dynamic_axes={k: axes for k in names + ["last_hidden_state"]})
            save(onnx.load(path), path.name)
        else:
            batch, seq = torch.export.Dim("batch"), torch.export.Dim("seq")
            program = torch.onnx.export(model, sample, input_names=names, output_names=["last_hidden_state"], dynamo=True, verbose=False,
                                        dynamic_shapes=tuple({0: batch, 1: seq} for _ in names))
            save(program.model_proto, path.name)
        for key, (ids, mask) in batches.items():
            with torch.no_grad():
                y = model(torch.from_numpy(ids), torch.from_numpy(mask))
            np.save(HF / "expected" / f"{key}.{name.split('.')[0]}.npy", y.numpy())


# ---------------------------------------------------------------- small models: every field once

def make_small():
    ONNX.mkdir(parents=True, exist_ok=True)
    f, i64 = TensorProto.FLOAT, TensorProto.INT64

    then = helper.make_graph([helper.make_node("Add", ["x", "bias"], ["then_y"])], "then", [],
                             [helper.make_tensor_value_info("then_y", f, ["batch", 4])])
    other = helper.make_graph([helper.make_node("Sub", ["x", "bias"], ["else_y"])], "else", [],
                              [helper.make_tensor_value_info("else_y", f, ["batch", 4])])
    function = helper.make_function(
        "local", "Scale", ["a"], ["b"],
        [helper.make_node("Constant", [], ["k"]), helper.make_node("Mul", ["a", "k"], ["b"], name="mul")],
        [helper.make_opsetid("", 17)], ["factor"], [helper.make_attribute("unused", 3)])
    function.node[0].attribute.append(onnx.AttributeProto(name="value_float", type=onnx.AttributeProto.FLOAT, ref_attr_name="factor"))
    outer = helper.make_function(
        "local", "Twice", ["a"], ["b"],
        [helper.make_node("Scale", ["a"], ["k"], domain="local", factor=2.0),
         helper.make_node("Relu", ["k"], ["b"])],
        [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)])
    nodes = [
        helper.make_node("Constant", [], ["c_ints"], value_ints=[1, -1]),
        helper.make_node("Constant", [], ["c_float"], value_float=0.5),
        helper.make_node("Constant", [], ["c_tensor"], value=numpy_helper.from_array(np.arange(4, dtype=np.float32), "t")),
        helper.make_node("If", ["flag"], ["branch"], name="choose", then_branch=then, else_branch=other),
        helper.make_node("Twice", ["branch"], ["twice"], name="call", domain="local"),
        helper.make_node("Clip", ["twice", "", "c_float"], ["clipped"], name="clip"),
        helper.make_node("Mul", ["clipped", "c_tensor"], ["scaled"], name="mul"),
        helper.make_node("Add", ["scaled", "row"], ["y"], name="add"),
        helper.make_node("Reshape", ["y", "c_ints"], ["flat"], name="reshape", allowzero=0),
    ]
    typed = [
        helper.make_tensor("bias", f, [4], [1.0, 2.0, 3.0, 4.0]),
        numpy_helper.from_array(np.array([[0.5, 1.5, 2.5, 3.5]], np.float32), "row"),
        helper.make_tensor("i64s", i64, [3], [1, -2, 2**40]),
        helper.make_tensor("i32s", TensorProto.INT32, [2], [7, -7]),
        helper.make_tensor("u8s", TensorProto.UINT8, [3], [0, 128, 255]),
        helper.make_tensor("i8s", TensorProto.INT8, [2], [-128, 127]),
        helper.make_tensor("bools", TensorProto.BOOL, [3], [True, False, True]),
        helper.make_tensor("f64s", TensorProto.DOUBLE, [2], [1.5, -2.5]),
        helper.make_tensor("u64s", TensorProto.UINT64, [1], [2**63]),
        helper.make_tensor("u32s", TensorProto.UINT32, [1], [2**31]),
        helper.make_tensor("f16s", TensorProto.FLOAT16, [3], [1.0, -2.0, 0.5]),
        helper.make_tensor("bf16s", TensorProto.BFLOAT16, [2], [1.0, -2.0]),
        helper.make_tensor("i4s", TensorProto.INT4, [5], [1, -8, 7, 0, -1]),
        helper.make_tensor("u4s", TensorProto.UINT4, [3], [1, 15, 8]),
        helper.make_tensor("texts", TensorProto.STRING, [2], [b"one", b"zw\xc3\xb6lf"]),
        helper.make_tensor("empty", f, [0, 3], []),
    ]
    graph = helper.make_graph(
        nodes, "everything",
        [helper.make_tensor_value_info("x", f, ["batch", 4]), helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
         helper.make_tensor_value_info("free", f, []), helper.make_tensor_value_info("unnamed", f, [None, 2]),
         helper.make_tensor_sequence_value_info("several", i64, [None])],
        [helper.make_tensor_value_info("y", f, ["batch", 4]), helper.make_tensor_value_info("flat", f, ["flat"])],
        typed, value_info=[helper.make_tensor_value_info("branch", f, ["batch", 4])])
    model = helper.make_model(graph, producer_name="nib-test", producer_version="1", functions=[function, outer], ir_version=10,
                              opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("local", 1)])
    onnx.checker.check_model(model)
    model.graph.input[2].type.tensor_type.ClearField("shape")  # rank unknown: valid by the format, not by the checker
    save(model, "everything.onnx")

    linear = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["h"], name="matmul"), helper.make_node("Add", ["h", "b"], ["y"], name="add")],
                               "linear", [helper.make_tensor_value_info("x", f, ["batch", 3])],
                               [helper.make_tensor_value_info("y", f, ["batch", 2])],
                               [numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(3, 2), "w"),
                                numpy_helper.from_array(np.array([10, 20], np.float32), "b")])
    model = helper.make_model(linear, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save(model, "linear.onnx")


# ---------------------------------------------------------------- textual syntax, as onnx prints it

def make_text():
    """What onnx prints of a model that the syntax can hold whole, and a check of what nib prints (*.nib.txt, written by nib)."""
    folder = ONNX / "text"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "linear.txt").write_text(onnx.printer.to_text(onnx.load(ONNX / "linear.onnx")) + "\n")
    plain = onnx.load(ONNX / "everything.onnx")
    plain.ClearField("functions")  # functions and 4-bit data: onnx prints them in ways that cannot be read back
    call = next(n for n in plain.graph.node if n.op_type == "Twice")
    call.domain, call.op_type = "", "Relu"
    for name in ("i4s", "u4s"):
        plain.graph.initializer.remove(next(t for t in plain.graph.initializer if t.name == name))
    (folder / "plain.txt").write_text(onnx.printer.to_text(plain) + "\n")
    for path in sorted(folder.glob("*.nib.txt")):
        parsed = onnx.parser.parse_model(path.read_text())
        source = ONNX / path.name.replace(".nib.txt", ".onnx")
        if source.exists():
            model = onnx.load(source)
            same = [[i.name for i in m.graph.input] + [o.name for o in m.graph.output] for m in (model, parsed)]
            assert same[0] == same[1], path
            for t in parsed.graph.initializer:
                for u in model.graph.initializer:
                    if t.name == u.name and t.data_type not in (TensorProto.INT4, TensorProto.UINT4):
                        np.testing.assert_array_equal(numpy_helper.to_array(t), numpy_helper.to_array(u))
        print(f"onnx.parser reads {path.name}: {len(parsed.graph.node)} nodes")


def make_readme():
    (DATA / "README.md").write_text("""# Test data

Made by `tools/make_goldens.py` (seed 0; see its head for what it needs). No test needs Python.

| path | what it is |
|---|---|
| `hf/bert-tiny` | a BERT of 2 layers, hidden 64, 4 heads, 480 words, 130 positions, random weights, as `save_pretrained` writes it |
| `hf/modernbert-tiny` | a ModernBERT of 3 layers (full, sliding, sliding), window 16, no biases, config.json as transformers 5 writes it |
| `hf/modernbert-biased` | one of 2 layers with biases everywhere, SiLU, config.json in the words of transformers 4, weights named `model.*` |
| `onnx/modernbert-tiny.*.onnx` | modernbert-tiny through the TorchScript exporter and through `torch.export`, sdpa attention |
| `onnx/mpnet-tiny.ts.onnx`, `onnx/t5-tiny.dynamo.onnx` | encoders whose attention has a bias by distance: MPNet, T5 |
| `onnx/qwen3-tiny.ts.onnx` | a decoder that shares keys and norms the heads of queries and keys: Qwen3 |
| `hf/expected/BATCH.MODEL.npy` | what PyTorch computes with that folder or file from the batches in `onnx/expected` |
| `onnx/bert-tiny.ts.*.onnx` | the same weights through the TorchScript exporter (opset 17), with eager and with sdpa attention |
| `onnx/bert-tiny.dynamo.*.onnx` | through `torch.export` (`dynamo=True`); sdpa takes no token_type_ids; eager keeps its weights in `.onnx.data` |
| `onnx/bert-tiny.ort.onnx` | bert-tiny.ts.eager fused by ONNX Runtime's transformer optimizer: com.microsoft operators, the mask as lengths |
| `onnx/bert-tiny.int8.onnx` | bert-tiny.ts.sdpa after ONNX Runtime's quantize_dynamic, s8 weights with a scale a column |
| `onnx/bert-tiny.pooled.onnx` | mean pooling and L2 normalisation inside: outputs last_hidden_state and sentence_embedding |
| `onnx/expected/BATCH.INPUT.npy` | input_ids, attention_mask, token_type_ids of the batches right (right-padded), odd (left-padded; a hole), one (a single token), long; window: texts of 60 tokens, padded on the right, on the left, with holes |
| `onnx/expected/BATCH.OUTPUT.npy` | what PyTorch computes from them (eager attention, f32); `no_types`: with token_type_ids left out |
| `onnx/expected/BATCH.MODEL.OUTPUT.npy` | what ONNX Runtime computes with that exported file; where the mask is 0, last_hidden_state is whatever the model makes of padding |
| `onnx/everything.onnx` | every field and typed data of the format that nib reads, once: If, local functions, attribute references, all element types |
| `onnx/linear.onnx` | MatMul and Add: base of the malformed files that the tests make |
| `onnx/text/linear.txt`, `plain.txt` | what `onnx.printer.to_text` prints of linear.onnx, and of everything.onnx without functions and 4-bit data |
| `onnx/text/*.nib.txt` | what nib prints; `make_goldens.py text` has onnx.parser read it. When the printer changes, write what test_graph_text reports |
| `onnx/small/*.onnx` | small models of what exporters write seldom, by `tools/make_small_models.py`, which says what each is |
""")


def main():
    os.environ.setdefault("PYTHONHASHSEED", "0")
    parts = {"models": make_models, "families": make_families, "relative": make_relative, "small": make_small, "text": make_text}
    for part, make in parts.items():
        if part in (sys.argv[1:] or parts):
            make()
    make_readme()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""nib and llama.cpp on NomicBERT-137M's shape (12 layers, 768, gated 3072) with random weights, alternating in one run: tokens a second
over texts of log-normal lengths in batches of 32, and of one text of 32 tokens.

    bench/llama.py FOLDER [--threads 1] [--turns 5] [--texts 64] [--layers 12]

Needs llama-cpp-python and gguf (PyPI), numpy and safetensors. FOLDER keeps the model as a folder and as GGUF: F16 as llama.cpp's own
converter writes it, Q8_0, Q4_0 and BF16 by its own quantizer. Both take ids and give mean-pooled vectors of length 1; a batch is one
llama_encode of all its texts or one for each text, whichever is faster. Cosines are to nib's f32.
"""
import argparse
import ctypes
import json
import pathlib
import statistics
import time

import engines
import nibc
import numpy as np

V, HIDDEN, HEADS, INNER, BASE, EPSILON = 8000, 768, 12, 3072, 10000.0, 1e-12
KINDS = ["F16", "BF16", "Q8_0", "Q4_0"]


def weights(layers):
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape, dtype=np.float32) * 0.02

    def norm(path):
        return {f"{path}.weight": 1 + normal(HIDDEN), f"{path}.bias": normal(HIDDEN)}

    w = {"embeddings.word_embeddings.weight": normal(V, HIDDEN), "embeddings.token_type_embeddings.weight": normal(2, HIDDEN), **norm("emb_ln")}
    for i in range(layers):
        at = f"encoder.layers.{i}."
        w |= {at + "attn.Wqkv.weight": normal(3 * HIDDEN, HIDDEN), at + "attn.out_proj.weight": normal(HIDDEN, HIDDEN),
              at + "mlp.fc11.weight": normal(INNER, HIDDEN), at + "mlp.fc12.weight": normal(INNER, HIDDEN),
              at + "mlp.fc2.weight": normal(HIDDEN, INNER), **norm(at + "norm1"), **norm(at + "norm2")}
    return w


def make_folder(folder, layers):
    from safetensors.numpy import save_file

    config = dict(model_type="nomic_bert", architectures=["NomicBertModel"], n_embd=HIDDEN, n_head=HEADS, n_layer=layers, n_inner=INNER,
                  vocab_size=V, n_positions=2048, type_vocab_size=2, layer_norm_epsilon=EPSILON, activation_function="swiglu",
                  qkv_proj_bias=False, mlp_fc1_bias=False, mlp_fc2_bias=False, rotary_emb_fraction=1.0, rotary_emb_base=BASE,
                  rotary_emb_interleaved=False, prenorm=False, causal=False, parallel_block=False, use_rms_norm=False)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights(layers), folder / "model.safetensors")


def make_gguf(folder, layers):
    import gguf

    out = gguf.GGUFWriter(str(folder / "F16.gguf"), "nomic-bert")
    out.add_context_length(2048)
    out.add_embedding_length(HIDDEN)
    out.add_block_count(layers)
    out.add_feed_forward_length(INNER)
    out.add_head_count(HEADS)
    out.add_layer_norm_eps(EPSILON)
    out.add_causal_attention(False)
    out.add_pooling_type(gguf.PoolingType.MEAN)
    out.add_rope_freq_base(BASE)
    out.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    out.add_tokenizer_model("bert")
    out.add_token_type_count(2)
    out.add_token_list(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"\u2581w{i}" for i in range(5, V)])
    out.add_token_types([gguf.TokenType.CONTROL] * 5 + [gguf.TokenType.NORMAL] * (V - 5))
    out.add_pad_token_id(0)
    out.add_unk_token_id(1)
    out.add_bos_token_id(2)
    out.add_sep_token_id(3)
    out.add_eos_token_id(3)
    out.add_mask_token_id(4)
    names = {"embeddings.word_embeddings": "token_embd", "embeddings.token_type_embeddings": "token_types", "emb_ln": "token_embd_norm"}
    for i in range(layers):
        at = f"encoder.layers.{i}."
        for ours, theirs in (("attn.Wqkv", "attn_qkv"), ("attn.out_proj", "attn_output"), ("norm1", "attn_output_norm"), ("mlp.fc11", "ffn_up"),
                             ("mlp.fc12", "ffn_gate"), ("mlp.fc2", "ffn_down"), ("norm2", "layer_output_norm")):
            names[at + ours] = f"blk.{i}.{theirs}"
    for name, w in weights(layers).items():
        path, kind = name.rsplit(".", 1)
        out.add_tensor(f"{names[path]}.{kind}", w if w.ndim == 1 or path.endswith("token_type_embeddings") else w.astype(np.float16))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def quantize(folder, kind):
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    params.pure = True
    if llama_cpp.llama_model_quantize(str(folder / "F16.gguf").encode(), str(folder / f"{kind}.gguf").encode(), ctypes.byref(params)):
        raise RuntimeError(f"llama.cpp did not make {kind}")


class Llama:
    def __init__(self, path, threads, tokens, extra=True):
        import llama_cpp

        self.l = llama_cpp
        llama_cpp.llama_backend_init()
        model = llama_cpp.llama_model_default_params()
        model.n_gpu_layers, model.use_extra_bufts = 0, extra
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), model)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = tokens
        params.n_seq_max, params.embeddings, params.no_perf = 32, True, True
        params.pooling_type = llama_cpp.LLAMA_POOLING_TYPE_MEAN
        params.n_threads = params.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        if not self.context:
            raise RuntimeError(f"llama.cpp does not open {path}")
        self.batch, self.together = llama_cpp.llama_batch_init(tokens, 0, 32), True

    def encode(self, rows):
        b, at = self.batch, 0
        for s, row in enumerate(rows):
            for p, token in enumerate(row):
                b.token[at], b.pos[at], b.n_seq_id[at], b.logits[at] = token, p, 1, 1
                b.seq_id[at][0] = s
                at += 1
        b.n_tokens = at
        if self.l.llama_encode(self.context, b):
            raise RuntimeError("llama_encode")
        vectors = [self.l.llama_get_embeddings_seq(self.context, s) for s in range(len(rows))]
        if not all(vectors):
            raise RuntimeError("llama.cpp gives no vectors")
        return np.stack([np.ctypeslib.as_array(v, (HIDDEN,)).copy() for v in vectors])

    def ids(self, rows):
        return self.encode(rows) if self.together else np.concatenate([self.encode([r]) for r in rows])


def probe(path):
    """Whether llama.cpp survives its own buffers for this processor (its AMX products of Q8_0 do not, in version 0.3.36 built by gcc 12)."""
    import subprocess
    import sys

    return subprocess.run([sys.executable, __file__, str(path), "--probe"], stderr=subprocess.DEVNULL).returncode == 0


class Nib:
    def __init__(self, folder, precision, threads):
        self.model = nibc.Model(folder, precision, threads)

    def ids(self, rows):
        return np.array(self.model.embed_ids(self.model.prepare(rows)), dtype=np.float32).reshape(len(rows), -1)


def seconds(engine, batches):
    begun = time.perf_counter()
    for batch in batches:
        engine.ids(batch)
    return time.perf_counter() - begun


def cosine(a, b):
    return float(np.min(np.sum(a * b, 1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)))


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("folder", type=pathlib.Path)
    for option, value in (("threads", 1), ("turns", 5), ("texts", 64), ("layers", 12)):
        p.add_argument(f"--{option}", type=int, default=value)
    p.add_argument("--probe", action="store_true", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.probe:
        Llama(a.folder, 1, 256).ids([[5] * 40])
        return
    import importlib.metadata

    folder = a.folder / f"nomic-137m-{a.layers}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model.safetensors").exists():
        make_folder(folder, a.layers)
    if not (folder / "F16.gguf").exists():
        make_gguf(folder, a.layers)
    for kind in KINDS[1:]:
        if not (folder / f"{kind}.gguf").exists():
            quantize(folder, kind)
    rng = np.random.default_rng(1)
    lengths = np.sort(np.clip(rng.lognormal(4.0, 0.8, a.texts), 4, 256).astype(int))[::-1]
    rows = [rng.integers(5, V, n).tolist() for n in lengths]
    batches, one = [rows[i : i + 32] for i in range(0, len(rows), 32)], [[rng.integers(5, V, 32).tolist()]]
    most = -(-max(sum(map(len, b)) for b in batches) // 256) * 256
    all_ = {f"nib {x}": Nib(folder, x, a.threads) for x in ("f32", "bf16", "q8")}
    extra = {x: probe(folder / f"{x}.gguf") for x in KINDS}
    all_ |= {f"llama.cpp {x}": Llama(folder / f"{x}.gguf", a.threads, most, extra[x]) for x in KINDS}
    for name, e in all_.items():
        if isinstance(e, Llama):  # its faster way
            took = []
            for e.together in (True, False):
                seconds(e, batches[-1:])
                took.append(seconds(e, batches))
            e.together = took[0] < took[1]
    want = np.concatenate([all_["nib f32"].ids(b) for b in batches])
    near = {k: cosine(want, np.concatenate([e.ids(b) for b in batches])) for k, e in all_.items()}
    took = [{k: (seconds(e, batches), min(seconds(e, one) for _ in range(5))) for k, e in all_.items()} for _ in range(a.turns)]
    print(f"{engines.machine()}; {a.threads} threads, llama-cpp-python {importlib.metadata.version('llama-cpp-python')}, {a.turns} turns")
    print("\n| | tokens a second, batches of 32 | one text of 32 tokens, ms | least cosine to nib f32 |\n|---|---|---|---|")
    for k, e in all_.items():
        rate, single = sum(lengths) / statistics.median(t[k][0] for t in took), statistics.median(t[k][1] for t in took)
        how = ", texts together" if isinstance(e, Llama) and e.together else ""
        how += "" if extra.get(k.split()[1], True) else ", without the buffers that it crashes with"
        print(f"| {k}{how} | {rate:,.0f} | {1e3 * single:.2f} | {near[k]:.5f} |")
    best = [min(KINDS, key=lambda x, i=i: statistics.median(t[f"llama.cpp {x}"][i] for t in took)) for i in (0, 1)]
    print("\n| | of F16 | of Q8_0 | of its best |\n|---|---|---|---|")
    for x in ("f32", "bf16", "q8"):
        for i, what in enumerate(("batches", "one text")):
            ratio = [statistics.median(t[f"llama.cpp {k}"][i] / t[f"nib {x}"][i] for t in took) for k in ("F16", "Q8_0", best[i])]
            print(f"| nib {x}, {what} | " + " | ".join(f"{r:.2f}x" for r in ratio) + f" ({best[i]}) |")


if __name__ == "__main__":
    main()

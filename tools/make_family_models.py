#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random models of every family, exported by torch: DIR/FAMILY-{eager,sdpa}-{ts,ex}.onnx (TorchScript / torch.export), seeded. What compare_optimizers.py is run on.
Needs torch, transformers, onnxscript.

    make_family_models.py DIR [--more] [--hidden 64] [--layers 3] [--heads 4] [--vocab 500] [--positions 140] [--only bert,llama] [--attention eager,sdpa] [--kind ts,ex] [--opset N]
        --more: the families of MORE instead, which have settings in common alone; what an exporter does not take is said and left out
"""
import argparse
import os
import warnings

import torch
import transformers as T

p = argparse.ArgumentParser()
p.add_argument("dir")
for name, value in (("hidden", 64), ("layers", 3), ("heads", 4), ("vocab", 500), ("positions", 140), ("opset", 0)):
    p.add_argument("--" + name, type=int, default=value)
p.add_argument("--only", default="")
p.add_argument("--more", action="store_true")
p.add_argument("--attention", default="eager,sdpa")
p.add_argument("--kind", default="ts,ex")
a = p.parse_args()
warnings.filterwarnings("ignore")
H, L, N, V, P = a.hidden, a.layers, a.heads, a.vocab, a.positions
s = dict(hidden_size=H, num_hidden_layers=L, num_attention_heads=N, intermediate_size=2 * H, vocab_size=V, max_position_embeddings=P)
ends = dict(pad_token_id=0, bos_token_id=1, eos_token_id=2)
families = {
    "bert": lambda: T.BertConfig(**s), "roberta": lambda: T.RobertaConfig(**s), "xlm-roberta": lambda: T.XLMRobertaConfig(**s),
    "electra": lambda: T.ElectraConfig(embedding_size=H // 2, **s), "albert": lambda: T.AlbertConfig(embedding_size=H // 2, **s),
    "distilbert": lambda: T.DistilBertConfig(vocab_size=V, dim=H, n_layers=L, n_heads=N, hidden_dim=2 * H, max_position_embeddings=P),
    "mpnet": lambda: T.MPNetConfig(**s),
    "t5": lambda: T.T5Config(vocab_size=V, d_model=H, d_kv=H // N, d_ff=2 * H, num_layers=L, num_heads=N),
    "t5-gated": lambda: T.T5Config(vocab_size=V, d_model=H, d_kv=H // N, d_ff=2 * H, num_layers=L, num_heads=N, feed_forward_proj="gated-gelu"),
    "deberta-v2": lambda: T.DebertaV2Config(relative_attention=True, position_buckets=32, norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"], **s),
    "modernbert": lambda: T.ModernBertConfig(global_attn_every_n_layers=3, local_attention=16, cls_token_id=1, sep_token_id=2, attention_dropout=0.0, **ends, **s),
    "gpt2": lambda: T.GPT2Config(vocab_size=V, n_positions=P, n_embd=H, n_layer=L, n_head=N, bos_token_id=1, eos_token_id=2),
    "gpt-neo": lambda: T.GPTNeoConfig(vocab_size=V, max_position_embeddings=P, hidden_size=H, num_layers=2, num_heads=N, attention_types=[[["global", "local"], 1]], window_size=16, bos_token_id=1, eos_token_id=2),
    "bart": lambda: T.BartConfig(vocab_size=V, max_position_embeddings=P, d_model=H, encoder_layers=L, decoder_layers=L, encoder_attention_heads=N, decoder_attention_heads=N, encoder_ffn_dim=2 * H, decoder_ffn_dim=2 * H),
    "llama": lambda: T.LlamaConfig(num_key_value_heads=N // 2, **s), "qwen2": lambda: T.Qwen2Config(num_key_value_heads=N // 2, **s),
    "qwen3": lambda: T.Qwen3Config(num_key_value_heads=N // 2, head_dim=H // N, **s),
}
MORE = """biogpt bloom camembert cohere2 convbert data2vec-text embedding_gemma2_text ernie esm eurobert flaubert gemma2 gemma3_text gpt_neox granite
gte ibert jina_embeddings_v3 lfm2 megatron-bert mistral mobilebert modernbert-decoder nomic_bert olmo2 olmo3 opt phi phi3 rembert roberta-prelayernorm
roc_bert roformer smollm3 starcoder2 xlm-roberta-xl""".split()
if a.more:
    shared = dict(num_key_value_heads=N // 2, head_dim=H // N, sliding_window=16, **s)
    families = {k: (lambda k=k: T.AutoConfig.for_model(k, pad_token_id=1 if k in ("camembert", "data2vec-text") else 0, **shared)) for k in MORE}
ids = torch.tensor([[1, 5, 9, 30, 2, 0, 0], [1, 7, 3, 44, 77, 8, 2]])
mask = torch.tensor([[1] * 5 + [0] * 2, [1] * 7])


class Wrapped(torch.nn.Module):
    def __init__(self, m):
        super().__init__()
        self.m = m

    def forward(self, input_ids, attention_mask):
        kw = {} if "T5Enc" in type(self.m).__name__ or not hasattr(self.m.config, "use_cache") else {"use_cache": False}
        return self.m(input_ids=input_ids, attention_mask=attention_mask, **kw)[0]


def export(model, kind, path):
    names = ["input_ids", "attention_mask"]
    opset = {"opset_version": a.opset} if a.opset else {}
    if kind == "ts":
        axes = {k: {0: "batch", 1: "seq"} for k in names + ["last_hidden_state"]}
        torch.onnx.export(model, (ids, mask), path, input_names=names, output_names=["last_hidden_state"], dynamic_axes=axes, dynamo=False, **(opset or {"opset_version": 17}))
    else:
        dims = {0: torch.export.Dim("batch"), 1: torch.export.Dim("seq")}
        torch.onnx.export(model, (ids, mask), path, input_names=names, output_names=["last_hidden_state"], dynamic_shapes={k: dims for k in names}, dynamo=True, verbose=False, external_data=False, **opset)


os.makedirs(a.dir, exist_ok=True)
for name in (a.only.split(",") if a.only else families):
    for attention in a.attention.split(","):
        torch.manual_seed(0)
        try:
            config = families[name]()
            if name.startswith("t5"):
                m = T.T5EncoderModel(config)
            else:
                m = T.AutoModel.from_config(config, attn_implementation=attention)
        except Exception as e:
            print(name, attention, "is not there:", str(e)[:80].replace("\n", " "), flush=True)
            continue
        if name == "modernbert":
            m.config.reference_compile = False
        for x in m.parameters():  # norms of ones and biases of zeros would be folded away, and weights near zero would let every key weigh the same
            if x.ndim == 1:
                torch.nn.init.normal_(x, float(x.detach().mean()), 0.1)
            elif x.ndim == 2 and not name.startswith("t5"):  # whose own are large
                torch.nn.init.normal_(x, 0, (0.7 if x.shape[0] in (V, P, P + 2) else 1.4 / min(x.shape) ** 0.5))
        for kind in a.kind.split(","):
            try:
                with torch.no_grad():
                    export(Wrapped(m.eval()), kind, f"{a.dir}/{name}-{attention}-{kind}.onnx")
            except Exception as e:
                print(name, attention, kind, "failed:", type(e).__name__, str(e)[:110].replace("\n", " "), flush=True)
        if name.startswith("t5"):
            break

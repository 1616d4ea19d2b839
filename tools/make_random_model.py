#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a model of a real shape with random weights, for timing: speed does not depend on what the weights are.

    python tools/make_random_model.py KIND DIR [--seed N] [--small] [--onnx] [--texts N --tokens N]

DIR gets config.json, model.safetensors and a tokenizer.json (WordPiece) whose words are w0, w1, ..., so that a text of n words is
n + 2 tokens in any kind. --small: hidden 64, 3 layers, 500 words. --onnx: also model.ts.onnx and model.ex.onnx, as the TorchScript
exporter and torch.export write it. --texts: also texts.txt, so many lines of so many tokens. The same seed gives the same bytes.

KIND: bert-base, bert-large, minilm, modernbert-base, roberta-base, xlm-roberta-base, distilbert, mpnet, albert, electra.
Needs PyPI torch and transformers.
"""
import argparse
import json
import pathlib
import random
import warnings

SMALL = dict(hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128, vocab_size=500, max_position_embeddings=140)


def config_of(kind, small):
    import transformers as T

    def of(cls, big, **fixed):
        return cls(**(SMALL if small else big), **fixed)

    base = dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072)
    kinds = {
        "bert-base": lambda: of(T.BertConfig, dict(vocab_size=30522, **base)),
        "bert-large": lambda: of(T.BertConfig, dict(vocab_size=30522, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16,
                                                    intermediate_size=4096)),
        "minilm": lambda: of(T.BertConfig, dict(vocab_size=30522, hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
                                                intermediate_size=1536)),
        # answerdotai/ModernBERT-base: 149M parameters
        "modernbert-base": lambda: of(T.ModernBertConfig, dict(vocab_size=50368, hidden_size=768, num_hidden_layers=22, num_attention_heads=12,
                                                               intermediate_size=1152, max_position_embeddings=8192),
                                      local_attention=16 if small else 128, pad_token_id=0, bos_token_id=2, eos_token_id=3, cls_token_id=2,
                                      sep_token_id=3),
        "roberta-base": lambda: of(T.RobertaConfig, dict(vocab_size=50265, max_position_embeddings=514, **base)),
        "xlm-roberta-base": lambda: of(T.XLMRobertaConfig, dict(vocab_size=250002, max_position_embeddings=514, **base)),
        "mpnet": lambda: of(T.MPNetConfig, dict(vocab_size=30527, max_position_embeddings=514, **base)),
        "albert": lambda: of(T.AlbertConfig, dict(vocab_size=30000, **base), embedding_size=32 if small else 128),
        "electra": lambda: of(T.ElectraConfig, dict(vocab_size=30522, **base), embedding_size=32 if small else 768),
        "distilbert": lambda: T.DistilBertConfig(vocab_size=500, dim=64, n_layers=3, n_heads=4, hidden_dim=128, max_position_embeddings=140)
        if small else T.DistilBertConfig(),
    }
    if kind not in kinds:
        raise SystemExit(f"{kind} is none of {', '.join(kinds)}")
    return kinds[kind]()


def write_tokenizer(folder, words):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocab = {w: i for i, w in enumerate(special + [f"w{i}" for i in range(words - len(special))])}
    piece = lambda name, kind=0: {name: {"id": name if name.startswith("[") else "A", "type_id": kind}}  # noqa: E731
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": w, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
                         for i, w in enumerate(special)],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                     {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}},
                     {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
            "special_tokens": {w: {"id": w, "ids": [vocab[w]], "tokens": [w]} for w in ("[CLS]", "[SEP]")}},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def export(folder, model):
    import torch

    class Hidden(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, input_ids, attention_mask):
            return self.inner(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    wrapper, names = Hidden(model), ["input_ids", "attention_mask"]
    sample = (torch.tensor([[2, 5, 9, 30, 3, 0, 0], [2, 7, 6, 44, 77, 8, 3]]), torch.tensor([[1] * 5 + [0] * 2, [1] * 7]))
    axes = {0: "batch", 1: "seq"}
    torch.onnx.export(wrapper, sample, str(folder / "model.ts.onnx"), input_names=names, output_names=["last_hidden_state"], dynamo=False,
                      dynamic_axes={k: axes for k in names + ["last_hidden_state"]}, opset_version=17)
    batch, seq = torch.export.Dim("batch"), torch.export.Dim("seq")
    torch.onnx.export(wrapper, sample, str(folder / "model.ex.onnx"), input_names=names, output_names=["last_hidden_state"], dynamo=True,
                      verbose=False, external_data=False, dynamic_shapes=tuple({0: batch, 1: seq} for _ in names))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind")
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--onnx", action="store_true")
    parser.add_argument("--texts", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=300)
    args = parser.parse_args()

    import torch
    import transformers

    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    config = config_of(args.kind, args.small)
    model = transformers.AutoModel.from_config(config, attn_implementation="sdpa" if args.kind != "mpnet" else "eager").eval()
    args.dir.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(args.dir)
    (args.dir / "model.safetensors").chmod(0o644)
    write_tokenizer(args.dir, config.vocab_size)
    if args.texts:
        rng = random.Random(args.seed)
        text = lambda: " ".join(f"w{rng.randrange(config.vocab_size - 4)}" for _ in range(args.tokens - 2))  # noqa: E731
        (args.dir / "texts.txt").write_text("".join(text() + "\n" for _ in range(args.texts)))
    if args.onnx:
        export(args.dir, model)
    print(f"{args.dir}: {args.kind}, {sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters")


if __name__ == "__main__":
    main()

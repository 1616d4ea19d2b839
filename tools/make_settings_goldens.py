#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes test/data/settings: what each key of each small file of a model's folder does to the vectors of sentence-transformers.

    python tools/make_settings_goldens.py

Needs torch, transformers, sentence-transformers, tokenizers, safetensors. Five folders with tiny random models: as the current versions
write them, as older ones did, with prompts, with a tokenizer of no class of its own, and a ModernBERT. Each key is changed, taken away,
and keys that such a file may have are added; a change is a JSON patch (RFC 6902). Of each: whether the vectors moved, and if so to where;
or that the reference refuses. Every text is embedded alone. Left out is model_type, which says which model it is.
"""
import copy
import json
import logging
import os
import shutil
import tempfile
import warnings
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizer, ModernBertConfig, ModernBertModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

OUT = Path(__file__).resolve().parent.parent / "test" / "data" / "settings"
HIDDEN, FFN, POSITIONS, SHOWN = 16, 24, 40, 6
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [f"w{i}" for i in range(40)] + [f"W{i}" for i in range(8)] + ["ẃ1", "Ẃ1", "##1", "##2", "中", "国", "中国", ":", "query", "Query", "##x", "w", "W"]
TEXTS = [
    "w1 w2 w3",
    "W1 w2 W3",
    "ẃ1 Ẃ1 w2",
    "w3 中国 w4",
    "w5 [MASK] w6 [SEP] w7",
    "w1\u0001 w2",
    "w" + "1" * 60 + "x",
    "W4w5:w6 [NEW] w7x",
    "",
    " ".join(f"w{i * 7 % 40}" for i in range(60)),
]
NO_CHANGE = {"model_type", "transformers_version", "__version__"}
# Another plausible value of a string, or of anything whose flipped or counted-up value would be none.
OTHER = {
    "dtype": ["float16", "bfloat16", "float64"],
    "hidden_act": ["relu", "gelu_new"],
    "hidden_activation": ["relu"],
    "tokenizer_class": ["BertTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend", "DistilBertTokenizer",
                        "RobertaTokenizer", "MPNetTokenizer", "CanineTokenizer", "GPT2TokenizerFast",
                        "NoSuchTokenizer"],
    "truncation_side": ["left", "right"],
    "padding_side": ["left", "right"],
    "cls_token": ["[MASK]", "w9"],
    "sep_token": ["[MASK]"],
    "unk_token": ["[MASK]", "w9"],
    "pad_token": ["[MASK]"],
    "mask_token": ["w9"],
    "strip_accents": [True, False],
    "pooling_mode": ["mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", ["mean"], ["mean", "max"]],
    "default_prompt_name": ["query", "document", "long", None],
    "similarity_fn_name": ["dot"],
    "position_embedding_type": ["relative_key"],
    "classifier_pooling": ["cls"],
    "layer_norm_eps": [1e-2],
    "norm_eps": [1e-2],
    "model_max_length": [12, 30],
    "max_seq_length": [12, 30],
    "rope_theta": [77.0],
    "rope_type": ["linear"],
    "local_attention": [4],
    "layer_types": [["full_attention", "full_attention"], ["sliding_attention", "full_attention"]],
    "max_position_embeddings": [20],
    "type": [],
    "path": [],
    "transformer_task": ["fill-mask"],
}
ADDED = {
    "config.json": {
        "is_decoder": True, "add_cross_attention": True, "is_encoder_decoder": True, "pruned_heads": {"0": [1]}, "use_cache": True,
        "chunk_size_feed_forward": 2, "position_embedding_type": "relative_key", "output_hidden_states": True, "output_attentions": True,
        "return_dict": False, "tokenizer_class": "PreTrainedTokenizerFast", "num_labels": 5, "quantization_config": {"bits": 4},
        "_attn_implementation": "eager", "sliding_window": 3, "head_dim": 2, "hidden_act": "relu", "is_causal": True,
        "use_bidirectional_attention": False, "unheard_of": 1, "initializer_range": float("nan"),
        "torch_dtype": "float16",
    },
    "tokenizer_config.json": {
        "do_lower_case": False, "strip_accents": False, "tokenize_chinese_chars": False, "clean_text": False, "truncation_side": "left",
        "padding_side": "left", "split_special_tokens": True, "model_max_length": 12, "max_len": 12, "add_prefix_space": True,
        "add_bos_token": True, "add_eos_token": True, "extra_special_tokens": ["w7"], "additional_special_tokens": ["[NEW]"],
        "bos_token": "[NEW]", "eos_token": "w6", "cls_token": "[MASK]", "max_length": 12, "stride": 3, "truncation_strategy": "only_first",
        "model_input_names": ["input_ids"], "wordpieces_prefix": "@", "never_split": ["w1"], "do_basic_tokenize": False, "errors": "replace",
        "added_tokens_decoder": {"9": {"content": "w4", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False, "special": True}},
        "pad_to_multiple_of": 8, "keep_accents": True,
    },
    "special_tokens_map.json": {"eos_token": "w6", "additional_special_tokens": ["[NEW]"]},
    "sentence_bert_config.json": {
        "max_seq_length": 12, "do_lower_case": True, "query_length": 7, "document_length": 7, "unpad_inputs": False,
        "processing_kwargs": {"text": {"max_length": 9}}, "tokenizer_args": {"model_max_length": 9}, "model_args": {"attn_implementation": "eager"},
        "config_args": {"layer_norm_eps": 0.1},
    },
    "modules.json": {},
    "1_Pooling/config.json": {"include_prompt": False, "pooling_mode_max_tokens": True, "pooling_mode_lasttoken": True},
    "config_sentence_transformers.json": {"similarity_fn_name": "dot", "truncate_dim": 4, "default_prompt_name": "document"},
    "tokenizer.json": {},
}
TOKENIZER_KEYS = {  # of tokenizer.json, which is large
    "/truncation": [{"direction": "Left", "max_length": 11, "strategy": "LongestFirst", "stride": 0},
                    {"direction": "Right", "max_length": 11, "strategy": "OnlySecond", "stride": 2}],
    "/padding": [{"strategy": {"Fixed": 16}, "direction": "Left", "pad_to_multiple_of": 8, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}],
    "/normalizer/lowercase": [False],
    "/normalizer/strip_accents": [False, True],
    "/normalizer/handle_chinese_chars": [False],
    "/normalizer/clean_text": [False],
    "/normalizer": [None],
    "/pre_tokenizer": [None],
    "/decoder": [None],
    "/model/unk_token": ["[MASK]"],
    "/model/max_input_chars_per_word": [5],
    "/model/continuing_subword_prefix": ["w"],
    "/post_processor": [None],
    "/added_tokens/4/lstrip": [True],
}


# ---------------------------------------------------------------- folders


def tokenizer(cls, **more):
    vocab = {w: i for i, w in enumerate(SPECIALS + WORDS)}
    t = BertTokenizer(vocab=vocab, **more)
    if cls is BertTokenizer:
        return t
    return PreTrainedTokenizerFast(tokenizer_object=t._tokenizer, **{n: v for n, v in zip(
        ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIALS)}, **more)


def save(model, tok, directory):
    torch.manual_seed(1)
    for p in model.parameters():
        p.data.normal_(0, 0.4)
    model.save_pretrained(directory)
    tok.save_pretrained(directory)


def bert():
    return BertModel(BertConfig(vocab_size=len(SPECIALS + WORDS), hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=4,
                                intermediate_size=FFN, max_position_embeddings=POSITIONS))


def modernbert():
    return ModernBertModel(ModernBertConfig(
        vocab_size=len(SPECIALS + WORDS), hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=4, intermediate_size=FFN,
        max_position_embeddings=POSITIONS, local_attention=8, pad_token_id=0, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3))


def folder(model, tok, root, name, pooling, prompts=None, default=None, normalize=False, include=True):
    plain, out = root / (name + "_plain"), root / name
    save(model, tok, plain)
    modules = [Transformer(str(plain)), Pooling(HIDDEN, pooling, include_prompt=include)] + ([Normalize()] if normalize else [])
    st = SentenceTransformer(modules=modules, prompts=prompts, default_prompt_name=default, device="cpu")
    st.save(str(out), create_model_card=False)
    return out


def old_folder(root):
    """As sentence-transformers 2 and transformers 4 wrote it."""
    out = root / "bert_old"
    save(bert(), tokenizer(BertTokenizer), out)
    config = json.loads((out / "config.json").read_text())
    config.update({"_name_or_path": "some/model", "gradient_checkpointing": False, "position_embedding_type": "absolute",
                   "transformers_version": "4.8.2", "use_cache": True, "classifier_dropout": None})
    config.pop("dtype")
    kind = "sentence_transformers.models."
    put = lambda name, value: ((out / name).parent.mkdir(exist_ok=True), (out / name).write_text(json.dumps(value)))
    put("config.json", config)
    put("modules.json", [{"idx": 0, "name": "0", "path": "", "type": kind + "Transformer"},
                         {"idx": 1, "name": "1", "path": "1_Pooling", "type": kind + "Pooling"},
                         {"idx": 2, "name": "2", "path": "2_Normalize", "type": kind + "Normalize"}])
    put("1_Pooling/config.json", {"word_embedding_dimension": HIDDEN, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False,
                                  "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False})
    put("sentence_bert_config.json", {"max_seq_length": 24, "do_lower_case": False})
    put("config_sentence_transformers.json", {"__version__": {"sentence_transformers": "2.0.0", "transformers": "4.6.1", "pytorch": "1.8.1"}})
    named = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
    put("special_tokens_map.json", named)
    put("tokenizer_config.json", {**named, "do_lower_case": True, "tokenize_chinese_chars": True, "strip_accents": None,
                                  "name_or_path": "some/model", "do_basic_tokenize": True, "never_split": None,
                                  "tokenizer_class": "BertTokenizer", "model_max_length": 32})
    return out


def folders(root):
    prompts = {"query": "Query: w1 ", "document": "w8w9", "long": " ".join(["w3"] * 50)}
    return {
        "bert_new": folder(bert(), tokenizer(BertTokenizer, model_max_length=36), root, "bert_new", "mean"),
        "bert_old": old_folder(root),
        "bert_prompts": folder(bert(), tokenizer(BertTokenizer), root, "bert_prompts", "mean", prompts, "query", True, False),
        "bert_plain": folder(bert(), tokenizer(PreTrainedTokenizerFast), root, "bert_plain", "lasttoken"),
        "modernbert": folder(modernbert(), tokenizer(PreTrainedTokenizerFast), root, "modernbert", "cls", normalize=True),
    }


# ---------------------------------------------------------------- changes


def others(key, value):
    if key in NO_CHANGE:
        return []
    if key in OTHER:
        return [v for v in OTHER[key] if v != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, max(1, value // 2)] if value > 1 else [value + 1]
    if isinstance(value, float):
        return [value * 2 + 0.1]
    if isinstance(value, str):
        return [value + "x"]
    if value is None:
        return [True, 3]
    return []


def escape(name):
    return str(name).replace("~", "~0").replace("/", "~1")


def changes(name, value, path=""):
    if name == "tokenizer.json":
        for at, values in TOKENIZER_KEYS.items():
            for v in values:
                yield [{"op": "replace", "path": at, "value": v}]
        return
    for key, v in value.items() if isinstance(value, dict) else enumerate(value):
        at = f"{path}/{escape(key)}"
        if key in NO_CHANGE:
            continue
        for other in others(key, v):
            yield [{"op": "replace", "path": at, "value": other}]
        if isinstance(value, dict):
            yield [{"op": "remove", "path": at}]
        if isinstance(v, (dict, list)) and key not in ("layer_types", "architectures"):
            yield from changes(name, v, at)
    if not path:
        for key, v in ADDED.get(name, {}).items():
            if key not in value:
                yield [{"op": "add", "path": "/" + escape(key), "value": v}]


def patched(value, patch):
    value = copy.deepcopy(value)
    for step in patch:
        names = [n.replace("~1", "/").replace("~0", "~") for n in step["path"].split("/")[1:]]
        at = value
        for n in names[:-1]:
            at = at[int(n) if isinstance(at, list) else n]
        last = int(names[-1]) if isinstance(at, list) else names[-1]
        if step["op"] == "remove":
            del at[last]
        else:
            at[last] = step["value"]
    return value


# ---------------------------------------------------------------- what the reference says


def vectors(directory):
    model = SentenceTransformer(str(directory), device="cpu")
    return np.array([model.encode([t], batch_size=1)[0] for t in TEXTS])


def rounded(v):
    return [[round(float(x), 6) for x in row[:SHOWN]] for row in v]


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    golden = {"texts": TEXTS, "folders": []}
    with tempfile.TemporaryDirectory() as work:
        for name, d in folders(Path(work)).items():
            shutil.copy(d / "model.safetensors", OUT / (("modernbert" if name == "modernbert" else "bert") + ".safetensors"))
            files = {str(p.relative_to(d)): json.loads(p.read_text()) for p in sorted(d.rglob("*.json"))}
            base = vectors(d)
            case_list, counts = [], [0, 0, 0]
            for file, value in files.items():
                for patch in changes(file, value):
                    (d / file).write_text(json.dumps(patched(value, patch)))
                    case = {"file": file, "patch": patch}
                    try:
                        v = vectors(d)
                        scale = max(1.0, float(np.abs(base).max()))
                        if v.shape != base.shape or not np.abs(v - base).max() <= 2e-5 * scale:
                            case["moved"] = rounded(v)
                            case["width"] = int(v.shape[1])
                    except Exception as e:
                        case["refused"] = f"{type(e).__name__}"
                    counts[1 if "moved" in case else 2 if "refused" in case else 0] += 1
                    case_list.append(case)
                (d / file).write_text(json.dumps(value))
            print(f"{name}: {counts[0]} changes without effect, {counts[1]} that move vectors, {counts[2]} refused", flush=True)
            golden["folders"].append({"name": name, "weights": ("modernbert" if name == "modernbert" else "bert") + ".safetensors",
                                      "files": files, "vectors": rounded(base), "cases": case_list})
    (OUT / "cases.json").write_text(json.dumps(golden, ensure_ascii=True, separators=(",", ":")).replace('{"file":', '\n{"file":') + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes test/data/text/vocab: small vocabularies, and what transformers (PyPI, 5.24) makes of folders with them and no
tokenizer.json.

Needs transformers, sentencepiece, protobuf. SentencePiece models are trained on multilingual.txt, word pieces and
merges of bytes by `tokenizers`. cases.json has for each folder its files (name: which of the vocabularies, or JSON) and
ids of each text, the text that they become, and ids and types of it with the one before it; and of some, windows.

    python3 tools/make_vocab_goldens.py [--keep DIR]   # DIR: the folders stay there
"""
import argparse
import io
import json
import os
import pathlib
import random
import shutil
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import sentencepiece
import transformers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

DATA = pathlib.Path(__file__).resolve().parent.parent / "test/data/text"
OUT = DATA / "vocab"
transformers.logging.set_verbosity_error()


def corpus():
    return [line for line in (DATA / "multilingual.txt").read_text(errors="replace").split("\n") if line]


# Code points, and what they become: a small table that stands for nmt_nfkc's, which is a quarter of a megabyte.
RULES = "FF21\t41\nFF22\t42\nFB01\t66 69\n2460\t31\n3000\t20\nA0\t20\n9\t20\nA\t20\n65 301\tE9\nC9\t65\n200D\t\n"


def train(name, kind, change=None, **options):
    model = io.BytesIO()
    if "normalization_rule_name" not in options:
        rules = tempfile.NamedTemporaryFile("w", suffix=".tsv")
        rules.write(RULES)
        rules.flush()
        options["normalization_rule_tsv"] = rules.name
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=(line for line in corpus() if max(line) <= "\u024f"), model_writer=model, model_type=kind,
                                             hard_vocab_limit=False, num_threads=1, minloglevel=2, **options)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    proto.trainer_spec.ClearField("input")
    proto.normalizer_spec.ClearField("normalization_rule_tsv")
    if change:
        change(proto)
    (OUT / name).write_bytes(proto.SerializeToString(deterministic=True))


def unused(proto):
    """A piece that SentencePiece does not use."""
    for p in [p for p in proto.pieces if p.type == 1][20:22]:
        p.type = 5


def vocabularies():
    OUT.mkdir(exist_ok=True)
    train("unigram.model", "unigram", vocab_size=400)
    train("t5.model", "unigram", vocab_size=400, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    train("albert.model", "unigram", vocab_size=400, pad_id=0, unk_id=1, bos_id=-1, eos_id=-1,
          control_symbols="[CLS],[SEP],[MASK]")
    train("deberta.model", "unigram", vocab_size=400, pad_id=0, bos_id=1, eos_id=2, unk_id=3,
          pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]", normalization_rule_name="identity")
    train("llama.model", "bpe", vocab_size=700, byte_fallback=True, split_digits=True,
          normalization_rule_name="identity", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True)
    train("gemma.model", "bpe", vocab_size=700, byte_fallback=True, pad_id=0, eos_id=1, bos_id=2,
          unk_id=3, bos_piece="<bos>", eos_piece="<eos>", user_defined_symbols="<mask>,\u2581\u2581,\u2581\u2581\u2581\u2581,<2x>",
          normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=False)
    train("odd.model", "unigram", unused, vocab_size=460, byte_fallback=True,
          user_defined_symbols="<sep>,a.b", add_dummy_prefix=False)
    words = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<s>", "</s>", "<pad>", "<mask>"]
    words.train_from_iterator([line.lower() for line in corpus()],
                              trainers.WordPieceTrainer(vocab_size=700, special_tokens=special, show_progress=False))
    order = sorted(words.get_vocab().items(), key=lambda x: x[1])
    (OUT / "vocab.txt").write_text("".join(token + "\n" for token, _ in order))
    merged = Tokenizer(models.BPE())
    merged.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    merged.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>", "[CLS]", "[SEP]", "[UNK]"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    merged.model.save(str(OUT))


def seeds():
    """Of fuzz_sentencepiece and fuzz_vocab, which say what the first byte is."""
    root = DATA.parents[1] / "fuzz/seeds"
    shutil.rmtree(root / "sentencepiece", ignore_errors=True)
    shutil.rmtree(root / "vocab", ignore_errors=True)
    (root / "sentencepiece").mkdir()
    (root / "vocab").mkdir()
    for first, name in enumerate(["odd", "gemma", "unigram", "t5", "albert", "llama", "deberta"]):
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString((OUT / f"{name}.model").read_bytes())
        kept = [p for p in proto.pieces if p.type != 6][:60]
        del proto.pieces[:]
        proto.pieces.extend(kept)
        (root / "sentencepiece" / name).write_bytes(bytes([first]) + proto.SerializeToString(deterministic=True))
    words, between = (OUT / "vocab.txt").read_bytes()[:400], b"\n\1\n"
    config = b'{"do_lower_case": false, "added_tokens_decoder": {"90": {"content": "<new>", "special": true}}}'
    (root / "vocab/bert").write_bytes(b"\0" + words + between + config + between + b'{"[CLS]": 2}')
    (root / "vocab/roberta").write_bytes(b'\2{"a": 0, "b": 1, "ab": 2, "<s>": 3, "</s>": 4, "<unk>": 5}' + between + b'{"add_prefix_space": true}' +
                                         between + b'{"<mask>": 6}' + between + b"#version: 0.2\na b\n")


TOKEN = { "lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
SPM = {"T5": ("t5", "spiece"), "Albert": ("albert", "spiece"), "BigBird": ("albert", "spiece"),
       "RemBert": ("albert", "sentencepiece"), "Camembert": ("unigram", "sentencepiece.bpe"),
       "XLMRoberta": ("unigram", "sentencepiece.bpe"), "MBart": ("unigram", "sentencepiece.bpe"),
       "DebertaV2": ("deberta", "spm"), "Llama": ("llama", "tokenizer"), "Gemma": ("gemma", "tokenizer")}


def decoder(*tokens):
    return {str(i): dict(TOKEN, content=text, special=special, **more) for i, text, special, more in
            ((i, t, s, m[0] if m else {}) for i, t, s, *m in tokens)}


def folders():
    """name: {file in the folder: vocabulary or JSON}."""
    def of(cls, files, name=None, **config):
        more = {k: config.pop(k) for k in ("special_tokens_map.json", "added_tokens.json", "config.json") if k in config}
        return name or cls, dict(files, **{"tokenizer_config.json": dict(config, tokenizer_class=cls + "Tokenizer")}, **more)
    for cls, (source, target) in SPM.items():
        yield of(cls, {target + ".model": source + ".model"})
    xlmr = {"sentencepiece.bpe.model": "unigram.model"}
    yield of("XLMRoberta", xlmr, "XLMRoberta without prefix", add_prefix_space=False, mask_token=dict(TOKEN, __type="AddedToken", content="<mask>", lstrip=True))
    yield of("XLMRoberta", xlmr, "XLMRoberta, older files", **{
        "special_tokens_map.json": {"mask_token": dict(content="<mask>", lstrip=True, rstrip=False, single_word=False, normalized=True)},
        "added_tokens.json": {"<new>": 402, "<newer>": 403}})
    yield of("Albert", {"spiece.model": "albert.model"}, "Albert cased", do_lower_case=False, keep_accents=True)
    yield of("T5", {"spiece.model": "t5.model"}, "T5 of 20", extra_ids=20)
    yield of("T5", {"spiece.model": "t5.model"}, "T5 with lists", extra_ids=3,
             additional_special_tokens=["<extra_id_0>", "<extra_id_1>", "<extra_id_2>"],
             added_tokens_decoder=decoder((0, "<pad>", True), (1, "</s>", True), (2, "<unk>", True), (500, "new  word", False, {"normalized": True})))
    yield of("DebertaV2", {"spm.model": "deberta.model"}, "DebertaV2 lower", do_lower_case=True, split_by_punct=True)
    for name, config in {"Llama bos": {"add_bos_token": True}, "Llama legacy": {"legacy": True, "add_bos_token": True, "add_eos_token": True},
                         "Llama no prefix": {"add_prefix_space": False}}.items():
        yield of("Llama", {"tokenizer.model": "llama.model"}, name, **config)
    yield of("Gemma", {"tokenizer.model": "gemma.model"}, "Gemma bos", add_bos_token=True, add_eos_token=True)
    for source in ("unigram", "llama", "gemma", "odd"):
        yield "pieces " + source, {"tokenizer.model": source + ".model", "tokenizer_config.json": {"tokenizer_class": "TokenizersBackend"}}
    words = {"vocab.txt": "vocab.txt"}
    for cls in ("Bert", "DistilBert", "Electra"):
        yield of(cls, words)
    yield of("MPNet", words)
    yield of("Bert", words, "Bert cased", do_lower_case=False, strip_accents=True, tokenize_chinese_chars=False,
             added_tokens_decoder=decoder((700, "<new>", False), (701, "[extra]", True)))
    yield "Bert by model", {"vocab.txt": "vocab.txt", "config.json": {"model_type": "bert"}}
    merges = {"vocab.json": "vocab.json", "merges.txt": "merges.txt"}
    for cls in ("GPT2", "Roberta", "Deberta", "Qwen2"):
        yield of(cls, merges)
    yield of("Roberta", merges, "Roberta prefix", add_prefix_space=True, trim_offsets=False)
    yield of("GPT2", merges, "GPT2 bos", add_bos_token=True, add_prefix_space=True)


def lines():
    text = corpus()
    own = ["", " ", "a pen", "  two  spaces ", "a\tb\nc", "Caf\u00e9 na\u00efve \u2581x", "\u3000\u00a0x", "\uff21\uff22 \ufb01 \u2460", "<mask> it <s>x</s>",
           "[MASK] it [CLS] [SEP]", "x  [MASK] y", "``quoted'' text", "<extra_id_1> one<extra_id_0>", "<new> <newer>x[extra]", "a.b<sep><2x>    end",
           "\U0001f600\U0001f468\u200d\U0001f469", "12345 67,8", "new  word", "don't we'll", "NOTUSED <s>NOTUSED en_XX", "x\x00y"]
    return own + [line[:90] for line in text[:: max(1, len(text) // 12)]]


def cuts(t, texts):
    """Windows of pairs and of single texts: [text, pair or -1, most, stride, strategy, left, [[ids, types], ..]]."""
    rows, draw = [], random.Random(5)
    words = [i for i, text in enumerate(texts) if 2 < len(text) < 60]
    while len(rows) < 30:
        first, second = draw.choice(words), draw.choice([-1, draw.choice(words)])
        most, stride, left = draw.randint(5, 14), draw.randint(0, 3), draw.random() < 0.5
        strategy = draw.choice(["longest_first", "only_first", "only_second"]) if second >= 0 else "longest_first"
        try:
            t.enable_truncation(most, stride=stride, strategy=strategy, direction="left" if left else "right")
            e = t.encode(texts[first], texts[second]) if second >= 0 else t.encode(texts[first])
        except BaseException as problem:  # too short to be cut, or a stride of all
            if isinstance(problem, KeyboardInterrupt):
                raise
            continue
        windows = [[x.ids, x.type_ids] for x in [e] + e.overflowing]
        rows.append([first, second, most, stride, ["longest_first", "only_first", "only_second"].index(strategy) + 1, int(left), windows[:12]])
    t.no_truncation()
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep")
    args = parser.parse_args()
    vocabularies()
    texts, cases = lines(), []
    root = pathlib.Path(args.keep or tempfile.mkdtemp())
    for name, files in folders():
        folder = root / name.replace(" ", "_").replace(",", "")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for target, source in files.items():
            if isinstance(source, str):
                shutil.copy(OUT / source, folder / target)
            else:
                (folder / target).write_text(json.dumps(source))
        t = transformers.AutoTokenizer.from_pretrained(folder)
        rows = []
        for i, text in enumerate(texts):
            ids = t._tokenizer.encode(text).ids
            pair = t._tokenizer.encode(text, texts[i - 1])
            rows.append([ids, t._tokenizer.decode(ids, skip_special_tokens=False)] + ([pair.ids, pair.type_ids] if i < 6 else []))
        cases.append({"name": name, "files": files, "rows": rows,
                      "cuts": cuts(t._tokenizer, texts) if name in ("Bert", "T5", "MBart", "Roberta prefix", "XLMRoberta") else []})
    seeds()
    with open(OUT / "cases.json", "w") as f:
        f.write('{"texts": ' + json.dumps(texts) + ', "cases": [\n')
        f.write(",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]}\n")
    if not args.keep:
        shutil.rmtree(root)


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes test/data/tasks: small random models in folders, and what sentence-transformers and transformers make of texts.

    python tools/make_task_goldens.py [KIND ...]      (rank, judge, ner, colbert, native, sparse, m3, fill, answer, zero; all without an argument)

Needs torch, transformers, tokenizers, sentence-transformers; answer, transformers 4.57. Each folder NAME has config.json, model.safetensors and
tokenizer.json; NAME/golden.json what was given and what came out.
"""
import json
import shutil
import sys
import warnings
from pathlib import Path

import tokenizers as K
import torch
import transformers as T

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
T.logging.set_verbosity_error()
T.logging.disable_progress_bar()
OUT = Path(__file__).resolve().parent.parent / "test/data/tasks"
TEXTS = [
    "Clara Schumann played in Zürich, then moved to Frankfurt am Main.",
    "micro-soft hired Ada Lovelace-Byron of Paris in 1843!",
    "",
    "A nib writes.",
    "naïve café owners 🖋 in São Paulo like ink; so does O'Brien (of Dublin).",
    "The river Elbe, the river Oder and the river Spree flow past Dresden and past Berlin, and past many a town that "
    "nobody has written of, since the pen of Theodor Fontane did not come there, nor his ink, nor his nib, nor his notes.",
    "   Anna  ",
    "?",
]
QUERY = "who writes with a pen in Dresden?"
MOST = 48  # tokens
EXTRA = ["[unused0]", "[unused1]"]


# ---------------------------------------------------------------- tokenizers, models


def wordpiece():
    t = K.Tokenizer(K.models.WordPiece(unk_token="[UNK]"))
    t.normalizer = K.normalizers.BertNormalizer(lowercase=False)
    t.pre_tokenizer = K.pre_tokenizers.BertPreTokenizer()
    t.decoder = K.decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + EXTRA
    t.train_from_iterator(TEXTS, K.trainers.WordPieceTrainer(vocab_size=170, special_tokens=special, show_progress=False))
    t.post_processor = K.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return T.PreTrainedTokenizerFast(tokenizer_object=t, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
                                     sep_token="[SEP]", mask_token="[MASK]", model_max_length=MOST,
                                     model_input_names=["input_ids", "token_type_ids", "attention_mask"])


def bytelevel():
    t = K.Tokenizer(K.models.BPE())
    t.pre_tokenizer = K.pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = K.decoders.ByteLevel()
    t.train_from_iterator(TEXTS, K.trainers.BpeTrainer(vocab_size=330, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
                                                       initial_alphabet=K.pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.post_processor = K.processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return T.PreTrainedTokenizerFast(tokenizer_object=t, pad_token="<pad>", unk_token="<unk>", cls_token="<s>",
                                     sep_token="</s>", mask_token="<mask>", model_max_length=MOST)


def unigram():
    t = K.Tokenizer(K.models.Unigram())
    t.normalizer = K.normalizers.Sequence([K.normalizers.NFKC(), K.normalizers.Replace(K.Regex(" {2,}"), " ")])
    t.pre_tokenizer = K.pre_tokenizers.Metaspace()
    t.decoder = K.decoders.Metaspace()
    t.train_from_iterator(TEXTS, K.trainers.UnigramTrainer(vocab_size=160, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
                                                           unk_token="<unk>", show_progress=False))
    t.post_processor = K.processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return T.PreTrainedTokenizerFast(tokenizer_object=t, pad_token="<pad>", unk_token="<unk>", cls_token="<s>",
                                     sep_token="</s>", mask_token="<mask>", model_max_length=MOST)


SHAPE = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40, max_position_embeddings=MOST)
FAMILIES = {  # name: tokenizer, config, classes by head
    "bert": (wordpiece, T.BertConfig, dict(type_vocab_size=2)),
    "roberta": (bytelevel, T.RobertaConfig, dict(type_vocab_size=1, max_position_embeddings=MOST + 2)),
    "modernbert": (bytelevel, T.ModernBertConfig, dict(local_attention=8, global_attn_every_n_layers=2)),
    "deberta": (unigram, T.DebertaV2Config, dict(relative_attention=True, position_buckets=8, pos_att_type=["p2c", "c2p"],
                                                 type_vocab_size=0)),
    "distilbert": (wordpiece, lambda hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, **more:
                   T.DistilBertConfig(dim=hidden_size, n_layers=num_hidden_layers, n_heads=num_attention_heads,
                                      hidden_dim=intermediate_size, **more), {}),
    "xlmr": (unigram, T.XLMRobertaConfig, dict(type_vocab_size=1, max_position_embeddings=MOST + 2)),
    "albert": (unigram, T.AlbertConfig, dict(embedding_size=16, type_vocab_size=2)),
    "electra": (wordpiece, T.ElectraConfig, dict(embedding_size=16, type_vocab_size=2)),
    "bart": (bytelevel, lambda hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, cls_token_id, sep_token_id,
             **more: T.BartConfig(d_model=hidden_size, encoder_layers=1, decoder_layers=num_hidden_layers,
                                  encoder_attention_heads=num_attention_heads, decoder_attention_heads=num_attention_heads,
                                  encoder_ffn_dim=intermediate_size, decoder_ffn_dim=intermediate_size, **more), {}),
    "chat-qwen3": (lambda: chat(), T.Qwen3Config, dict(num_key_value_heads=1, head_dim=16, max_position_embeddings=400)),
    "chat-qwen2": (lambda: chat(), T.Qwen2Config, dict(num_key_value_heads=1, max_position_embeddings=400)),
    "chat-gemma": (lambda: chat(), T.GemmaConfig, dict(num_key_value_heads=1, head_dim=16, max_position_embeddings=400)),
    "chat-llama": (lambda: chat(), T.LlamaConfig, dict(num_key_value_heads=1, max_position_embeddings=400)),
    "qwen": (bytelevel, T.Qwen3Config, dict(num_key_value_heads=1, head_dim=16)),
}


def lively(model, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        for key, p in sorted(model.named_parameters()):
            words = any(name in key for name in ("word_embeddings", "tok_embeddings", "embed_tokens", "shared"))
            p.add_(torch.randn_like(p) * (1 if words else 0.05 if p.ndim == 1 else 0.25))
    return model.eval()


def folder(name, family, auto, **config):
    """A random model with its tokenizer in OUT/name."""
    tokenizer, kind, own = FAMILIES[family]
    path = OUT / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    tok = tokenizer()
    special = dict(pad_token_id=tok.pad_token_id, bos_token_id=tok.cls_token_id, eos_token_id=tok.sep_token_id,
                   cls_token_id=tok.cls_token_id, sep_token_id=tok.sep_token_id)
    model = lively(auto.from_config(kind(**{**SHAPE, "vocab_size": len(tok), **special, **own, **config})), len(name))
    model.save_pretrained(path)
    tok.save_pretrained(path)
    return model, tok, path


def trim(path):
    """Leaves what nib reads."""
    for extra in ("generation_config.json", "README.md", "special_tokens_map.json"):
        (path / extra).unlink(missing_ok=True)


def write(path, **members):
    trim(path)
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in members.items())
    (path / "golden.json").write_text("{\n" + lines + "\n}\n")


# ---------------------------------------------------------------- rank


def rank():
    from sentence_transformers import CrossEncoder
    auto = T.AutoModelForSequenceClassification
    identity = {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity", "version": "5.0.0"}}
    for name, family, config in (("rank-bert", "bert", dict(num_labels=1)), ("rank-roberta", "roberta", dict(num_labels=2)),
                                 ("rank-modernbert", "modernbert", dict(num_labels=1, **identity)),
                                 ("rank-qwen", "qwen", dict(num_labels=1))):
        model, tok, path = folder(name, family, auto, **config)
        encoder = CrossEncoder(str(path), device="cpu")
        raw = torch.nn.Identity()
        if config["num_labels"] == 1:
            found = encoder.rank(QUERY, TEXTS, return_documents=True, batch_size=1)
            relevance = encoder.predict([(QUERY, t) for t in TEXTS], activation_fn=raw, batch_size=1).tolist()
        else:
            logits = encoder.predict([(QUERY, t) for t in TEXTS], activation_fn=raw, batch_size=1, convert_to_tensor=True)
            score = torch.softmax(logits, 1)[:, 1].tolist()
            found = sorted(({"corpus_id": i, "score": s, "text": t} for i, (s, t) in enumerate(zip(score, TEXTS))),
                           key=lambda x: -x["score"])
            relevance = (logits[:, 1] - logits[:, 0]).tolist()
        write(path, query=QUERY, documents=TEXTS, ranked=[json.loads(json.dumps(dict(f))) for f in found], relevance=relevance)
        print(name, [f["corpus_id"] for f in found], [round(r, 2) for r in relevance])


# ---------------------------------------------------------------- rerankers that are decoders

LONG = 330  # tokens: no pair of these is longer; some are than `short`
INSTRUCTION = "Given a river, name its towns"
IM = ["<|im_start|>", "<|im_end|>"]


def chat():
    """Bytes and what they are merged to, with the words of templates and nothing around a text."""
    t = K.Tokenizer(K.models.BPE())
    t.pre_tokenizer = K.pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = K.decoders.ByteLevel()
    words = TEXTS + [QWEN3_TEMPLATE] * 2 + ["yes", "no", "Yes"] * 9
    t.train_from_iterator(words, K.trainers.BpeTrainer(vocab_size=560, special_tokens=["<pad>", "</s>"] + IM + ["<bos>"], show_progress=False,
                                                       initial_alphabet=K.pre_tokenizers.ByteLevel.alphabet()))
    return T.PreTrainedTokenizerFast(tokenizer_object=t, pad_token="<pad>", eos_token="</s>", bos_token="<bos>", model_max_length=LONG,
                                     additional_special_tokens=IM)


def one(role):
    return f'messages | selectattr("role", "eq", "{role}") | map(attribute="content") | first'


QWEN3_TEMPLATE = (
    f'{{%- set instruction = {one("system")} | default("Given a web search query, retrieve relevant passages that answer '
    f'the query") -%}}\n{{%- set query_text = {one("query")} -%}}\n{{%- set document_text = {one("document")} -%}}\n'
    '<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. '
    'Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: {{ instruction }}\n'
    "<Query>: {{ query_text }}\n<Document>: {{ document_text }}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n\n")
TURNS_TEMPLATE = (
    "{%- for message in messages -%}\n{{- '<|im_start|>' + ('system' if message.role == 'query' else 'user') + '\\n' + message.content "
    "+ '<|im_end|>\\n' -}}\n{%- endfor -%}\n{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}\n")


def as_modules(path, score, output, kwargs, activation):
    """The small files that CrossEncoder.save writes."""
    said = {"method": "forward", "method_output_name": "logits"}
    modules = [dict(idx=0, name="0", path="", type="sentence_transformers.base.modules.transformer.Transformer")]
    if score:
        modules.append(dict(idx=1, name="1", path="1_LogitScore",
                            type="sentence_transformers.cross_encoder.modules.logit_score.LogitScore"))
        (path / "1_LogitScore").mkdir()
        (path / "1_LogitScore/config.json").write_text(json.dumps({**score, "module_input_name": "causal_logits"}, indent=4) + "\n")
    task = "text-generation" if score else "sequence-classification"
    sentence = dict(transformer_task=task, module_output_name=output, **({"processing_kwargs": kwargs} if kwargs else {}),
                    modality_config={"text": said, "message": {**said, "format": "flat"}})
    whole = {"__version__": {"sentence_transformers": "6.2.0"}, "default_prompt_name": None, "model_type": "CrossEncoder",
             "prompts": {"towns": INSTRUCTION}, **({"activation_fn": activation} if activation else {})}
    for name, value in (("modules.json", modules), ("sentence_bert_config.json", sentence),
                        ("config_sentence_transformers.json", whole)):
        (path / name).write_text(json.dumps(value, indent=2) + "\n")


def qwen3_card(encode, text, instruction):
    """What is read, and the end of it that stays where it is cut: the card of Qwen3-Reranker."""
    prefix, rest = QWEN3_TEMPLATE.split("-%}\n")[-1].split("<Instruct>")
    usual = "Given a web search query, retrieve relevant passages that answer the query"
    content = encode(f"<Instruct>: {instruction or usual}\n<Query>: {QUERY}\n<Document>: {text}")
    return encode(prefix) + content, encode("<|im_end|>" + rest.split("<|im_end|>")[1][:-1])


def mxbai_code(encode, text, instruction):
    """github.com/mixedbread-ai/mxbai-rerank, mxbai_rerank_v2.py."""
    task = ("You are a search relevance expert who evaluates how well documents match search queries. For each query-document "
            "pair, carefully analyze the semantic relationship between them, then provide your binary relevance judgment (0 for "
            "not relevant, 1 for relevant).\nRelevance:")
    prefix = "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    query = (f"instruction: {instruction}\n" if instruction else "") + f"query: {QUERY}"
    return (encode(prefix) + encode(query) + encode("\n") + encode(f"document: {text}"),
            encode("\n") + encode(task) + encode("<|im_end|>\n<|im_start|>assistant\n"))


def bge_card(encode, text, instruction):
    """The card of bge-reranker-v2-gemma."""
    usual = ("Given a query A and a passage B, determine whether the passage contains an answer to the query by providing a "
             "prediction of either 'Yes' or 'No'.")
    return encode("<bos>") + encode(f"A: {QUERY}") + encode("\n") + encode(f"B: {text}"), encode("\n") + encode(instruction or usual)


def by_the_card(model, tok, card, score, instruction, most):
    odds = []
    for text in TEXTS:
        start, end = card(lambda text: tok(text, add_special_tokens=False)["input_ids"], text, instruction)
        with torch.no_grad():
            last = model(torch.tensor([start[:most - len(end)] + end])).logits[0, -1]
        yes, no = (w and last[tok.convert_tokens_to_ids(w)] for w in score)
        odds.append(float(yes if no is None else yes - no))
    return odds


def judge():
    from sentence_transformers import CrossEncoder
    raw, words = torch.nn.Identity(), T.AutoModelForCausalLM
    for name, family, auto, more, template, score, kwargs, activation in (
            ("judge-qwen3", "chat-qwen3", words, dict(tie_word_embeddings=True), QWEN3_TEMPLATE, ("yes", "no"), None,
             "torch.nn.modules.linear.Identity"),
            ("judge-llama", "chat-llama", words, dict(tie_word_embeddings=False), TURNS_TEMPLATE, ("yes", None),
             {"chat_template": {"add_generation_prompt": True}}, None),
            ("judge-classifier", "chat-llama", T.AutoModelForSequenceClassification, dict(num_labels=1), QWEN3_TEMPLATE, None, None, None),
            ("judge-card", "chat-qwen3", words, dict(tie_word_embeddings=True), qwen3_card, ("yes", "no"), None, None),
            ("judge-card-qwen2", "chat-qwen2", words, dict(tie_word_embeddings=True), mxbai_code, ("1", "0"), None, None),
            ("judge-card-gemma", "chat-gemma", words, {}, bge_card, ("Yes", None), None, None)):
        model, tok, path = folder(name, family, auto, **more)
        short = 40 if template == TURNS_TEMPLATE else 180 if template == mxbai_code else 130
        if isinstance(template, str):
            (path / "chat_template.jinja").write_text(template)
            ids = dict(zip(("true_token_id", "false_token_id"), (w and tok.convert_tokens_to_ids(w) for w in score))) if score else None
            as_modules(path, ids, "causal_logits" if score else "scores", kwargs, activation)
            encoder = CrossEncoder(str(path), device="cpu")
            pairs, plain = [(QUERY, t) for t in TEXTS], dict(batch_size=1)
            found = encoder.rank(QUERY, TEXTS, return_documents=True, **plain)
            relevance = encoder.predict(pairs, activation_fn=raw, **plain).tolist()
            instructed = encoder.predict(pairs, activation_fn=raw, prompt_name="towns", **plain).tolist()
            encoder.max_seq_length = short
            cut = encoder.predict(pairs, activation_fn=raw, **plain).tolist()
        else:
            relevance, instructed, cut = (by_the_card(model, tok, template, score, *i) for i in
                                          ((None, LONG), (INSTRUCTION, LONG), (None, short)))
            score = torch.sigmoid(torch.tensor(relevance)).tolist()
            found = sorted(({"corpus_id": i, "score": s, "text": t} for i, (s, t) in enumerate(zip(score, TEXTS))),
                           key=lambda x: -x["score"])
        assert max(relevance) - min(relevance) > 1e-2 * max(map(abs, relevance)), name
        write(path, query=QUERY, documents=TEXTS, instruction=INSTRUCTION, relevance=relevance, instructed=instructed, short=short,
              cut=cut,
              ranked=[json.loads(json.dumps(dict(f))) for f in found])
        print(name, [f["corpus_id"] for f in found], [round(r, 2) for r in relevance], [round(r, 2) for r in instructed])


# ---------------------------------------------------------------- entities


def ner():
    labels = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC", "X-ORG-Y"]
    for name, family in (("ner-bert", "bert"), ("ner-modernbert", "modernbert"), ("ner-deberta", "deberta")):
        model, tok, path = folder(name, family, T.AutoModelForTokenClassification, id2label=dict(enumerate(labels)))
        tok = T.AutoTokenizer.from_pretrained(path)
        found, logits = {}, []
        for text in TEXTS:
            given = tok(text, truncation=True, return_tensors="pt")
            with torch.no_grad():
                logits.append(model(**given).logits[0].tolist())
        for how in ("none", "simple", "first", "average", "max"):
            pipe = T.pipeline("token-classification", model=model, tokenizer=tok, aggregation_strategy=how, device="cpu")
            found[how] = [plain(pipe(t)) for t in TEXTS]
        found["ignore"] = [plain(pipe(t, ignore_labels=["PER", "LOC"])) for t in TEXTS]
        wide = T.pipeline("token-classification", model=model, tokenizer=tok, aggregation_strategy="first", stride=7, device="cpu")
        found["stride"] = [plain(wide(" ".join(TEXTS)))]
        rounded = [[[round(x, 5) for x in row] for row in rows] for rows in logits]
        write(path, texts=TEXTS, logits=rounded, **found)
        print(name, {k: sum(map(len, v)) for k, v in found.items()})


def plain(found):
    return [{k: round(float(v), 7) if k == "score" else v for k, v in f.items()} for f in found]


# ---------------------------------------------------------------- late interaction


def colbert():
    from safetensors.torch import load_file, save_file
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling
    pylate = dict(model_type="ColBERT", similarity_fn_name="MaxSim", query_length=20, document_length=40)
    stanford = dict(query_maxlen=20, doc_maxlen=40, dim=12, attend_to_mask_tokens=False, mask_punctuation=True,
                    query_token_id="[unused0]", doc_token_id="[unused1]")
    for name, family, said in (
            ("colbert-stanford", "bert", stanford),
            ("colbert-bert", "bert", dict(pylate, query_prefix="[unused0]", document_prefix="[unused1]",
                                          attend_to_expansion_tokens=False, skiplist_words=["of", ",", "Dresden"])),
            ("colbert-modernbert", "modernbert", dict(pylate, query_prefix="[Q] ", document_prefix="[D] ",
                                                      attend_to_expansion_tokens=True)),
            ("colbert-deberta", "deberta", dict(pylate, query_prefix="ask: ", document_prefix="", skiplist_words=[],
                                                do_query_expansion=False, prompts={"query": "of ", "document": "the "}))):
        model, tok, path = folder(name, family, T.AutoModel)
        if family == "modernbert":  # as PyLate adds its prefixes
            tok.add_tokens(["[Q] ", "[D] "])
            model.resize_token_embeddings(len(tok))
            model.save_pretrained(path)
            tok.save_pretrained(path)
        torch.manual_seed(7)
        linear = {"linear.weight": torch.randn(12, SHAPE["hidden_size"])}
        if said is stanford:
            save_file({**{"bert." + k: v for k, v in load_file(path / "model.safetensors").items()}, **linear},
                      path / "model.safetensors", metadata={"format": "pt"})
            config = json.loads((path / "config.json").read_text())
            (path / "config.json").write_text(json.dumps({**config, "architectures": ["HF_ColBERT"]}, indent=2) + "\n")
            (path / "artifact.metadata").write_text(json.dumps(said, indent=1) + "\n")
        else:
            (path / "1_Dense").mkdir()
            save_file(linear, path / "1_Dense/model.safetensors")
            (path / "1_Dense/config.json").write_text(json.dumps(dict(
                in_features=SHAPE["hidden_size"], out_features=12, bias=False,
                activation_function="torch.nn.modules.linear.Identity")) + "\n")
            (path / "modules.json").write_text(json.dumps([
                dict(idx=0, name="0", path="", type="sentence_transformers.models.Transformer"),
                dict(idx=1, name="1", path="1_Dense", type="pylate.models.Dense.Dense")]) + "\n")
            (path / "sentence_bert_config.json").write_text('{"max_seq_length": 39, "do_lower_case": false}\n')
            (path / "config_sentence_transformers.json").write_text(json.dumps(said, indent=1) + "\n")
        encoder = MultiVectorEncoder(str(path), device="cpu")
        rows = {"query": encoder.encode_query(TEXTS, batch_size=1), "document": encoder.encode_document(TEXTS, batch_size=1)}
        for factor in (2, 3, 1.5):
            pooling = HierarchicalTokenPooling(factor)
            rows[f"pool {factor}"] = encoder.encode_document(TEXTS, batch_size=1, token_pooling=pooling)
        score = encoder.similarity(rows["query"], rows["document"]).tolist()
        write(path, texts=TEXTS, maxsim=score,
              **{k: [[[round(float(x), 6) for x in row] for row in text] for text in v] for k, v in rows.items()})
        print(name, {k: [len(t) for t in v] for k, v in rows.items()})


def native():
    """colbert-bert as sentence-transformers saves it: a MultiVectorMask, prefixes that are prompts."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling
    path = OUT / "colbert-native"
    shutil.rmtree(path, ignore_errors=True)
    MultiVectorEncoder(str(OUT / "colbert-bert"), device="cpu").save(str(path), create_model_card=False)
    encoder = MultiVectorEncoder(str(path), device="cpu")
    rows = {"query": encoder.encode_query(TEXTS, batch_size=1), "document": encoder.encode_document(TEXTS, batch_size=1)}
    for factor in (2, 3, 1.5):
        pooling = HierarchicalTokenPooling(factor)
        rows[f"pool {factor}"] = encoder.encode_document(TEXTS, batch_size=1, token_pooling=pooling)
    write(path, texts=TEXTS, maxsim=encoder.similarity(rows["query"], rows["document"]).tolist(),
          **{k: [[[round(float(x), 6) for x in row] for row in text] for text in v] for k, v in rows.items()})


# ---------------------------------------------------------------- sparse vectors


def rows_of(vectors):
    rows = []
    for v in vectors.to_dense():
        at = torch.nonzero(v)[:, 0]
        rows.append([at.tolist(), [round(float(x), 6) for x in v[at]]])
    return rows


def sparse():
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router, Transformer
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling
    auto = T.AutoModelForMaskedLM
    for name, family, pooling, more in (
            ("sparse-bert", "bert", dict(pooling_strategy="max"), {}),
            ("sparse-distilbert", "distilbert", dict(pooling_strategy="sum"), {}),
            ("sparse-modernbert", "modernbert", dict(pooling_strategy="max", activation_function="log1p_relu"),
             dict(max_active_dims=20)),
            ("sparse-roberta", "roberta", None, {}),
            ("sparse-router", "bert", dict(pooling_strategy="max"), {})):
        model, tok, path = folder(name, family, auto)
        if pooling is None:  # a plain folder, which is SPLADE by default
            encoder = SparseEncoder(str(path), device="cpu")
        else:
            reader = Transformer(str(path), transformer_task="fill-mask")
            modules = [reader, SpladePooling(**pooling)]
            if name == "sparse-router":
                torch.manual_seed(3)
                table = SparseStaticEmbedding(tok, weight=torch.rand(len(tok)) * 2, frozen=True)
                modules = [Router.for_query_document(query_modules=[table], document_modules=modules)]
            encoder = SparseEncoder(modules=modules, device="cpu", **more)
            shutil.rmtree(path)
            encoder.save(str(path), create_model_card=False)
            encoder = SparseEncoder(str(path), device="cpu")
        found = {"document": encoder.encode_document(TEXTS, batch_size=1)}
        if name == "sparse-router":
            found["query"] = encoder.encode_query(TEXTS, batch_size=1)
        best = encoder.encode_document(TEXTS, batch_size=1, max_active_dims=8)
        decoded = [[token for token, _ in text] for text in encoder.decode(found["document"], top_k=3)]
        score = encoder.similarity(found["document"], found["document"]).tolist()
        width = found["document"].shape[1]
        write(path, texts=TEXTS, width=width, top8=rows_of(best), decoded=decoded, dot=score,
              **{k: rows_of(v) for k, v in found.items()})
        print(name, width, {k: [len(r[0]) for r in rows_of(v)] for k, v in found.items()})


# ---------------------------------------------------------------- BGE-M3: dense, sparse, rows


def m3():
    """By the formulas of FlagEmbedding 1.3 (inference/embedder/encoder_only/m3.py), which is not run here."""
    name = "m3-xlmr"
    model, tok, path = folder(name, "xlmr", T.AutoModel)
    tok.eos_token = tok.sep_token
    tok.save_pretrained(path)
    torch.manual_seed(5)
    heads = {"sparse_linear.pt": torch.nn.Linear(32, 1), "colbert_linear.pt": torch.nn.Linear(32, 32)}
    for file, head in heads.items():
        torch.save(head.state_dict(), path / file)
    (path / "1_Pooling").mkdir()
    (path / "1_Pooling/config.json").write_text(json.dumps(dict(
        word_embedding_dimension=32, pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)) + "\n")
    (path / "modules.json").write_text(json.dumps([
        dict(idx=0, name="0", path="", type="sentence_transformers.models.Transformer"),
        dict(idx=1, name="1", path="1_Pooling", type="sentence_transformers.models.Pooling"),
        dict(idx=2, name="2", path="2_Normalize", type="sentence_transformers.models.Normalize")]) + "\n")
    unused = {tok.cls_token_id, tok.eos_token_id, tok.pad_token_id, tok.unk_token_id}
    dense, lexical, rows = [], [], []
    for text in TEXTS:
        given = tok(text, truncation=True, max_length=MOST, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**given).last_hidden_state
            weights = torch.relu(heads["sparse_linear.pt"](hidden))[0, :, 0].tolist()
            vectors = torch.nn.functional.normalize(heads["colbert_linear.pt"](hidden[:, 1:]), dim=-1)[0]
            dense.append([round(float(x), 6) for x in torch.nn.functional.normalize(hidden[0, 0], dim=-1)])
        words = {}
        for w, i in zip(weights, given["input_ids"][0].tolist()):
            if i not in unused and w > words.get(i, 0):
                words[i] = w
        lexical.append([sorted(words), [round(words[i], 6) for i in sorted(words)]])
        rows.append([[round(float(x), 6) for x in row] for row in vectors])
    write(path, texts=TEXTS, width=len(tok), dense=dense, sparse=lexical, colbert=rows)
    print(name, [len(r[0]) for r in lexical], [len(r) for r in rows])


# ---------------------------------------------------------------- words in the place of masks

FILL = ["A @ writes with ink in Dresden .", "@ Schumann played in @ , then moved to Frankfurt ' s river", "The river Elbe, the river @ and the",
        "@", "naïve café owners 🖋 in São @ like ink; so does O ' Brien."]
TARGETS = ["nib", "Dresden", "zzz unheard of", "", "pen", "nib"]


def fill():
    for name, family, config in (("fill-bert", "bert", {}), ("fill-roberta", "roberta", {}), ("fill-modernbert", "modernbert", {}),
                                 ("fill-deberta", "deberta", dict(legacy=False)), ("fill-albert", "albert", {}),
                                 ("fill-distilbert", "distilbert", {}), ("fill-electra", "electra", {})):
        model, tok, path = folder(name, family, T.AutoModelForMaskedLM, **config)
        if family in ("bert", "roberta"):  # BPE is cleaned by nobody
            said = json.loads((path / "tokenizer_config.json").read_text())
            (path / "tokenizer_config.json").write_text(json.dumps({**said, "clean_up_tokenization_spaces": True}, indent=2) + "\n")
        tok = T.AutoTokenizer.from_pretrained(path)
        pipe = T.pipeline("fill-mask", model=T.AutoModelForMaskedLM.from_pretrained(path), tokenizer=tok, device="cpu")
        texts = [t.replace("@", tok.mask_token) for t in FILL]
        found = {"all": [pipe(t) for t in texts], "top 2": [pipe(t, top_k=2) for t in texts],
                 "targets": [pipe(t, targets=TARGETS, top_k=3) for t in texts]}
        write(path, mask=tok.mask_token, texts=texts, target_words=TARGETS, **found)
        print(name, [f["token_str"] for f in found["all"][0]])


# ---------------------------------------------------------------- answers

QUESTIONS = [("Who played in Zürich?", TEXTS[0]), ("Where did O'Brien live?", TEXTS[4]), ("What flows past Dresden?", TEXTS[5]),
             ("who?", "?"), ("Which ink?", " ".join(TEXTS) * 2), ("whose pen, and which nib?", "A nib, a NIB and a Nib; the nib of a Nib: nib.")]


def answer():
    """The pipeline is gone since transformers 5: this one needs transformers 4.57."""
    for name, family in (("answer-bert", "bert"), ("answer-roberta", "roberta"), ("answer-deberta", "deberta"),
                         ("answer-modernbert", "modernbert")):
        model, tok, path = folder(name, family, T.AutoModelForQuestionAnswering)
        if family != "bert":
            said = json.loads((path / "tokenizer_config.json").read_text())
            said["model_input_names"] = ["input_ids", "attention_mask"]
            (path / "tokenizer_config.json").write_text(json.dumps(said, indent=2) + "\n")
        tok = T.AutoTokenizer.from_pretrained(path)
        pipe = T.pipeline("question-answering", model=model, tokenizer=tok, device="cpu")
        ways = {"plain": dict(doc_stride=8), "best 3": dict(top_k=3, doc_stride=8),
                "impossible": dict(top_k=2, handle_impossible_answer=True, doc_stride=8),
                "tokens": dict(top_k=3, align_to_words=False, doc_stride=8),
                "short": dict(top_k=2, max_answer_len=2, max_seq_len=40, doc_stride=3)}
        found = {}
        for way, options in ways.items():
            got = [pipe(question=q, context=c, **options) for q, c in QUESTIONS]
            found[way] = [[plain([a])[0] for a in (x if isinstance(x, list) else [x])] for x in got]
        write(path, questions=[q for q, _ in QUESTIONS], contexts=[c for _, c in QUESTIONS], **found)
        print(name, [x[0]["answer"][:20] for x in found["plain"]])


# ---------------------------------------------------------------- labels of the caller's

LABELS = ["a river", "ink", "São Paulo", "pens, and nibs", "ink of a pen"]


def zero_shot():
    for name, family, labels in (("zero-bert", "bert", ["contradiction", "neutral", "Entailment"]),
                                 ("zero-deberta", "deberta", ["entailment", "not_entailment"]),
                                 ("zero-roberta", "roberta", ["a", "b", "c"]),
                                 ("zero-bart", "bart", ["contradiction", "neutral", "entailment"])):
        model, tok, path = folder(name, family, T.AutoModelForSequenceClassification, id2label=dict(enumerate(labels)),
                                  label2id={label: i for i, label in enumerate(labels)})
        pipe = T.pipeline("zero-shot-classification", model=model, tokenizer=T.AutoTokenizer.from_pretrained(path), device="cpu")
        texts = [t for t in TEXTS if t]
        ways = {"plain": {}, "multi": dict(multi_label=True), "template": dict(hypothesis_template="{} is what it says")}
        found = {way: [pipe(t, LABELS, **options) for t in texts] for way, options in ways.items()}
        found["alone"] = [pipe(t, LABELS[:1]) for t in texts]
        write(path, texts=texts, labels=LABELS, **found)
        print(name, [f["labels"][0] for f in found["plain"]])


KINDS = {"rank": rank, "judge": judge, "ner": ner, "colbert": colbert, "native": native, "sparse": sparse, "m3": m3, "fill": fill, "answer": answer, "zero": zero_shot}

if __name__ == "__main__":
    for kind in sys.argv[1:] or KINDS:
        KINDS[kind]()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes test/data/families/NAME/{config.json,golden.json}: small models of every family that src/hf builds, and what
transformers computes with them.

    make_hf_goldens.py [NAME ...]          (all without an argument)

Needs torch, transformers, safetensors; test/hf/test_hf_families.c needs none of them. No weight is committed: number i
of a tensor is a function of the tensor's name and i (`weight` here, and in the test), so golden.json holds names,
shapes, ids, masks and a few rows of what comes out. It also says what must fail ("spoils": a changed config.json, tensors that
change places, a table whose rows move by one) and what must not ("same": config.json in the words of other versions).
"""

import json
import sys
import tempfile
import types
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers as T
from safetensors import safe_open
from safetensors.numpy import save_file

warnings.filterwarnings("ignore")
torch.set_num_threads(1)  # sums in one order
T.logging.set_verbosity_error()
T.logging.disable_progress_bar()
OUT = Path(__file__).resolve().parent.parent / "test" / "data" / "families"
V, P, H, N, L = 150, 64, 48, 4, 3  # words, positions, hidden, heads, layers
LENGTHS = (40, 23, 7, 1)
USUAL = dict(
    vocab_size=V,
    hidden_size=H,
    num_hidden_layers=L,
    num_attention_heads=N,
    intermediate_size=80,
    max_position_embeddings=P,
)
ENDS = dict(pad_token_id=0, bos_token_id=1, eos_token_id=2)


# ---------------------------------------------------------------- weights


def weight(name, shape, scale, shift):
    """shift + scale u, u in [-1, 1) of 24 bits: splitmix64 of FNV-1a of the name, plus i."""
    h = 0xCBF29CE484222325
    for c in name.encode():
        h = (h ^ c) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        z = np.uint64(h) + np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    u = (z >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0
    return (shift + scale * u).astype(np.float32).reshape(shape)


def spread(name, shape, plus_one):
    """Scale and shift that keep a model's numbers lively: what it says of two texts must differ."""
    if len(shape) == 1 and name.endswith("weight") and "bias" not in name:  # a norm's
        return 0.5, 0.0 if plus_one else 1.0
    if len(shape) == 1:
        return 0.25, 0.0
    table = any(word in name for word in ("embed", "shared", "wte", "relative_attention_bias", "rel_"))
    return (1.0 if table else round(2.5 / shape[1] ** 0.5, 3)), 0.0


# ---------------------------------------------------------------- a family whose code is not in transformers


class OwnCode(torch.nn.Module):
    """A model whose folders name code of their own: its config.json and weights are written and read as there."""

    def save_pretrained(self, folder):
        save_file({k: v.contiguous().numpy() for k, v in self.weights().items()}, Path(folder) / "model.safetensors")
        (Path(folder) / "config.json").write_text(json.dumps(self.said(), indent=2, sort_keys=True) + "\n")

    @classmethod
    def from_pretrained(cls, folder, **_):
        said = json.loads((Path(folder) / "config.json").read_text())
        with safe_open(Path(folder) / "model.safetensors", "pt") as file:
            return cls.made_of(said, {k: file.get_tensor(k) for k in file.keys()})


class JinaBert(OwnCode):
    """JinaBERT v2 as its paper (Guenther et al., 2023) and public ports of its code have it: BERT without positions,
    ALiBi on both sides, gated feed-forward layers. Names as in its folders."""

    def __init__(self, config):
        super().__init__()
        self.config, H, F = config, config.hidden_size, config.intermediate_size
        linear, norm = torch.nn.Linear, lambda: torch.nn.LayerNorm(H, eps=config.layer_norm_eps)
        part = lambda **members: torch.nn.ModuleDict(members)
        self.embeddings = part(
            word_embeddings=torch.nn.Embedding(config.vocab_size, H),
            token_type_embeddings=torch.nn.Embedding(config.type_vocab_size, H),
            LayerNorm=norm(),
        )
        self.encoder = part(layer=torch.nn.ModuleList(self.layer(part, linear, norm, H, F) for _ in range(L)))

    def layer(self, part, linear, norm, H, F):
        return part(
            attention=part(
                self=part(query=linear(H, H), key=linear(H, H), value=linear(H, H)),
                output=part(dense=linear(H, H), LayerNorm=norm()),
            ),
            mlp=part(gated_layers=linear(H, 2 * F, bias=False), wo=linear(F, H), layernorm=norm()),
        )

    def slopes(self):
        n = 1 << (self.config.num_attention_heads.bit_length() - 1)
        more = [2.0 ** (-4 * (2 * i + 1) / n) for i in range(self.config.num_attention_heads - n)]
        return torch.tensor([2.0 ** (-8 * (i + 1) / n) for i in range(n)] + more)

    def queries_and_keys(self, own, x):
        return own.query(x), own.key(x)

    def behind_attention(self, layer, y, x):
        x = layer.attention.output.LayerNorm(y + x)
        gate, up = layer.mlp.gated_layers(x).chunk(2, -1)
        return layer.mlp.layernorm(layer.mlp.wo(torch.nn.functional.gelu(gate) * up) + x)

    def forward(self, input_ids, attention_mask, output_hidden_states=None, token_type_ids=None):
        kinds = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        x = self.embeddings.word_embeddings(input_ids) + self.embeddings.token_type_embeddings(kinds)
        x = self.embeddings.LayerNorm(x)
        B, S, H = x.shape
        heads, place = self.config.num_attention_heads, torch.arange(S)
        bias = -self.slopes()[:, None, None] * (place[None, :] - place[:, None]).abs()
        bias = bias[None] + (1.0 - attention_mask[:, None, None].float()) * torch.finfo(torch.float32).min
        for layer in self.encoder["layer"]:
            own = layer.attention["self"]
            split = lambda x: x.view(B, S, heads, H // heads).transpose(1, 2)
            q, k, v = map(split, (*self.queries_and_keys(own, x), own.value(x)))
            p = torch.softmax(q @ k.transpose(2, 3) / (H // heads) ** 0.5 + bias, -1)
            y = layer.attention.output.dense((p @ v).transpose(1, 2).reshape(B, S, H))
            x = self.behind_attention(layer, y, x)
        return {"last_hidden_state": x}

    def weights(self):
        return self.state_dict()

    def said(self):
        return dict(self.config.to_dict(), architectures=["JinaBertModel"])

    @classmethod
    def made_of(cls, said, weights):
        model = cls(T.BertConfig.from_dict(said))
        model.load_state_dict(weights)
        return model


class JinaBertCode(JinaBert):
    """The second form of JinaBERT v2 (jina-bert-v2-qk-post-norm, of its models for code and Spanish), as public ports
    have it: queries and keys are normed over all heads; the first rows of the gated weight are *up*."""

    def layer(self, part, linear, norm, H, F):
        return part(
            attention=part(
                self=part(
                    query=linear(H, H), key=linear(H, H), value=linear(H, H), layer_norm_q=norm(), layer_norm_k=norm()
                ),
                output=part(dense=linear(H, H), LayerNorm=norm()),
            ),
            layer_norm_1=norm(),
            layer_norm_2=norm(),
            mlp=part(up_gated_layer=linear(H, 2 * F, bias=False), down_layer=linear(F, H)),
        )

    def queries_and_keys(self, own, x):
        return own.layer_norm_q(own.query(x)), own.layer_norm_k(own.key(x))

    def behind_attention(self, layer, y, x):
        # BERT's output part adds and norms; the layer adds its input once more
        y = layer.attention.output.LayerNorm(y + x)
        x = layer.layer_norm_1(x + y)
        up, gate = layer.mlp.up_gated_layer(x).chunk(2, -1)
        return layer.layer_norm_2(x + layer.mlp.down_layer(up * torch.nn.functional.gelu(gate)))

    def said(self):
        code = "jinaai/jina-bert-v2-qk-post-norm--modeling_bert.JinaBertModel"
        return dict(super().said(), auto_map={"AutoModel": code})


class New(OwnCode):
    """model_type "new" (Alibaba-NLP/new-impl): transformers' GTE, with the words of its own config.json, weights q, k, v
    that may stand apart, and frequencies of the NTK kind, for every length (Su, 2023: kexue.fm/archives/9706)."""

    def __init__(self, said):
        super().__init__()
        self.words = said = dict(vars(said)) if isinstance(said, types.SimpleNamespace) else said
        usual = {k: said[k] for k in BERT if k in said}
        self.config = T.GteConfig(
            **usual,
            type_vocab_size=said["type_vocab_size"],
            rope_parameters={"rope_theta": said["rope_theta"], "rope_type": "default"},
        )
        self.model = T.GteModel(self.config)

    def scale(self, base, scaling):
        D, f, b = H // N, scaling["factor"], scaling.get("mixed_b")
        i = torch.arange(0, D, 2).float()
        if b is None:
            frequencies = 1.0 / ((base * f) ** (i / D)) / f ** (2 / D)
        else:
            a = torch.tensor(f).log() / (D / 2) ** b
            frequencies = 1.0 / (base ** (i / D)) / (a * torch.arange(1, D // 2 + 1).float() ** b).exp()
        self.model.rotary_emb.register_buffer("inv_freq", frequencies, persistent=False)

    def forward(self, **inputs):
        return self.model(**inputs)

    def weights(self):
        made = {}
        with tempfile.TemporaryDirectory() as tmp:
            self.model.save_pretrained(tmp)
            with safe_open(Path(tmp) / "model.safetensors", "pt") as file:
                saved = {k: file.get_tensor(k) for k in file.keys()}
        for k, v in saved.items():
            if "qkv_proj" in k and not self.words["pack_qkv"]:
                made.update({k.replace("qkv_proj", f"{name}_proj"): x for name, x in zip("qkv", v.chunk(3))})
            elif "pooler" not in k:
                made[k] = v
        return made

    def said(self):
        return self.words

    @classmethod
    def made_of(cls, said, weights):
        model, found = cls(said), {}
        for k, v in weights.items():
            if "q_proj" in k:
                parts = [weights[k.replace("q_proj", f"{name}_proj")] for name in "qkv"]
                found[k.replace("q_proj", "qkv_proj")] = torch.cat(parts)
            elif "k_proj" not in k and "v_proj" not in k or "qkv_proj" in k:
                found[k] = v
        with tempfile.TemporaryDirectory() as tmp:
            save_file({k: v.numpy() for k, v in found.items()}, Path(tmp) / "model.safetensors", {"format": "pt"})
            model.config.save_pretrained(tmp)
            model.model = T.GteModel.from_pretrained(tmp, attn_implementation="eager", dtype=torch.float32)
        if said["rope_scaling"]:
            model.scale(said["rope_theta"], said["rope_scaling"])
        return model


def new(**members):
    words = dict(BERT, model_type="new", architectures=["NewModel"], hidden_act="gelu", layer_norm_type="layer_norm")
    words.update(position_embedding_type="rope", rope_theta=70.0, rope_scaling=None, pack_qkv=True, type_vocab_size=0)
    words.update(initializer_range=0.02, torch_dtype="float32", auto_map={"AutoModel": "modeling.NewModel"})
    words.update(unpad_inputs=False, use_memory_efficient_attention=False, logn_attention_scale=False)
    return types.SimpleNamespace(**dict(words, logn_attention_clip1=False) | members)


# ---------------------------------------------------------------- families


def family(
    config,
    cls=T.AutoModel,
    spoils=(),
    same=(),
    pad=0,
    plus_one=False,
    outputs=("last_hidden_state",),
    types=False,
    without="",
    sides=("right", "left"),
    ends=None,
    pads=(),
):
    return dict(
        without=without,
        sides=sides,
        ends=ends,
        pads=pads,
        config=config,
        cls=cls,
        spoils=list(spoils),
        same=list(same),
        pad=pad,
        plus_one=plus_one,
        outputs=outputs,
        types=types,
    )


def config(**members):
    return {"config": members}


def swap(a, b):
    return {"swap": [a, b]}


def roll(name):
    return {"roll": name}


ROBERTA = dict(USUAL, max_position_embeddings=P + 2, layer_norm_eps=1e-3, type_vocab_size=1, pad_token_id=1)
DECODER = dict(USUAL, **ENDS, num_key_value_heads=2, rms_norm_eps=1e-3)
LONG = 6  # frequencies of a head
LONGROPE = {
    "rope_theta": 500.0,
    "rope_type": "longrope",
    "factor": 2.0,
    "original_max_position_embeddings": 48,
    "short_factor": [1.0 + 0.25 * i for i in range(LONG)],
    "long_factor": [2.0 + 0.5 * i for i in range(LONG)],
}
QWEN3 = dict(DECODER, head_dim=16, rope_parameters={"rope_theta": 500.0, "rope_type": "default"})
BERT = dict(USUAL, layer_norm_eps=1e-3)
MODERNBERT = dict(
    USUAL,
    **ENDS,
    local_attention=8,
    norm_eps=1e-3,
    cls_token_id=1,
    sep_token_id=2,
    rope_parameters={
        "full_attention": {"rope_theta": 900.0, "rope_type": "default"},
        "sliding_attention": {"rope_theta": 70.0, "rope_type": "default"},
    },
)
GEMMA_TYPES = ["sliding_attention", "full_attention", "sliding_attention"]
GEMMA_ROPE = {
    "full_attention": {"rope_theta": 900.0, "rope_type": "linear", "factor": 2.0},
    "sliding_attention": {"rope_theta": 70.0, "rope_type": "default"},
}
T5 = dict(
    vocab_size=V,
    d_model=H,
    d_kv=8,
    d_ff=80,
    num_layers=L,
    num_heads=N,
    relative_attention_num_buckets=12,
    relative_attention_max_distance=20,
    layer_norm_epsilon=1e-3,
)
BART = dict(
    vocab_size=V,
    d_model=H,
    encoder_layers=L,
    decoder_layers=1,
    encoder_attention_heads=N,
    decoder_attention_heads=N,
    encoder_ffn_dim=80,
    decoder_ffn_dim=16,
    max_position_embeddings=P,
)
BART_CLASSIFIER = dict(
    BART, decoder_layers=2, decoder_attention_heads=3, decoder_ffn_dim=56, num_labels=3, pad_token_id=1, eos_token_id=2
)
GPT2 = dict(vocab_size=V, n_embd=H, n_layer=L, n_head=N, n_positions=P, layer_norm_epsilon=1e-3, pad_token_id=2)
DEBERTA = dict(relative_attention=True, position_buckets=8, max_relative_positions=24)
LOGITS = ("last_hidden_state", "logits")
FAMILIES = {
    "bert": lambda: family(
        T.BertConfig(**BERT),
        types=True,
        outputs=("last_hidden_state", "pooler_output"),
        spoils=[config(layer_norm_eps=1e-2), roll("embeddings.position_embeddings.weight")],
    ),
    "bert-classifier": lambda: family(
        T.BertConfig(**BERT, num_labels=3),
        T.BertForSequenceClassification,
        outputs=LOGITS,
        spoils=[config(hidden_act="relu")],
    ),
    "bert-tokens": lambda: family(T.BertConfig(**BERT, num_labels=5), T.BertForTokenClassification, outputs=LOGITS),
    "bert-words": lambda: family(T.BertConfig(**BERT), T.BertForMaskedLM, outputs=LOGITS),
    "bert-words-untied": lambda: family(
        T.BertConfig(**BERT, tie_word_embeddings=False),
        T.BertForMaskedLM,
        outputs=LOGITS,
        spoils=[roll("cls.predictions.decoder.weight"), roll("cls.predictions.decoder.bias")],
        same=[config(tie_word_embeddings=True)],
    ),
    "roberta": lambda: family(
        T.RobertaConfig(**ROBERTA),
        pad=1,
        outputs=("last_hidden_state", "pooler_output"),
        spoils=[config(layer_norm_eps=1e-2), config(pad_token_id=2), roll("embeddings.position_embeddings.weight")],
    ),
    "roberta-classifier": lambda: family(
        T.XLMRobertaConfig(**ROBERTA, num_labels=2), T.XLMRobertaForSequenceClassification, pad=1, outputs=LOGITS
    ),
    "roberta-words": lambda: family(T.CamembertConfig(**ROBERTA), T.CamembertForMaskedLM, pad=1, outputs=LOGITS),
    "jinabert": lambda: family(
        T.BertConfig(**dict(BERT, num_attention_heads=6), position_embedding_type="alibi", feed_forward_type="geglu"),
        JinaBert,
        types=True,
        spoils=[config(layer_norm_eps=1e-2), config(num_attention_heads=8)],
    ),
    "jinabert-code": lambda: family(
        T.BertConfig(**dict(BERT, num_attention_heads=6), position_embedding_type="alibi", feed_forward_type="geglu"),
        JinaBertCode,
        types=True,
        spoils=[
            config(layer_norm_eps=1e-2),
            config(num_attention_heads=8),
            swap("attention.self.layer_norm_q", "attention.self.layer_norm_k"),
        ],
        same=[config(auto_map=None)],
    ),
    "modernbert": lambda: family(
        T.ModernBertConfig(**MODERNBERT),
        spoils=[
            config(norm_eps=1e-2),
            config(local_attention=10),
            config(
                rope_parameters=None,
                global_rope_theta=900.0,
                local_rope_theta=70.0,
                rope_scaling={"rope_type": "linear", "factor": 2.0},
            ),
        ],
        same=[
            # over {"rope_type": "default"}, so that the older word changes nothing
            config(
                rope_parameters=None,
                global_rope_theta=900.0,
                local_rope_theta=70.0,
                rope_scaling={"type": "linear", "factor": 2.0},
            ),
            config(
                rope_parameters=None,
                layer_types=None,
                global_rope_theta=900.0,
                local_rope_theta=70.0,
                global_attn_every_n_layers=3,
            )
        ],
    ),
    "modernbert-classifier": lambda: family(
        T.ModernBertConfig(**MODERNBERT, num_labels=3, classifier_pooling="mean"),
        T.ModernBertForSequenceClassification,
        outputs=LOGITS,
        spoils=[config(classifier_pooling="cls"), config(classifier_activation="relu")],
    ),
    "modernbert-words": lambda: family(T.ModernBertConfig(**MODERNBERT), T.ModernBertForMaskedLM, outputs=LOGITS),
    "qwen3": lambda: family(
        T.Qwen3Config(**QWEN3),
        spoils=[config(rms_norm_eps=1e-2), swap("q_norm", "k_norm"), config(is_causal=False)],
        same=[config(rope_parameters=None, rope_theta=500.0)],
    ),
    "qwen3-window": lambda: family(
        T.Qwen3Config(**QWEN3, use_sliding_window=True, sliding_window=5, max_window_layers=1),
        spoils=[config(sliding_window=6), config(layer_types=None, max_window_layers=2)],
        same=[config(layer_types=None)],
    ),
    "qwen3-yarn": lambda: family(
        T.Qwen3Config(
            **{
                **QWEN3,
                "rope_parameters": {
                    "rope_theta": 500.0,
                    "rope_type": "yarn",
                    "factor": 4.0,
                    "original_max_position_embeddings": 16,
                },
            }
        ),
        spoils=[
            config(
                rope_parameters={
                    "rope_theta": 500.0,
                    "rope_type": "yarn",
                    "factor": 2.0,
                    "original_max_position_embeddings": 16,
                }
            )
        ],
        same=[
            config(
                rope_parameters=None,
                rope_theta=500.0,
                rope_scaling={"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
            ),
            config(
                rope_parameters=None,
                rope_theta=9.0,
                original_max_position_embeddings=16,
                rope_scaling={
                    "type": "yarn",
                    "factor": None,
                    "rope_theta": 500.0,
                    "original_max_position_embeddings": 32,
                    "beta_fast": 0,
                    "beta_slow": None,
                },
            ),
        ],
    ),
    "qwen3-classifier": lambda: family(
        T.Qwen3Config(**QWEN3, num_labels=2), T.Qwen3ForSequenceClassification, outputs=LOGITS
    ),
    "distilbert": lambda: family(
        T.DistilBertConfig(vocab_size=V, dim=H, n_layers=L, n_heads=N, hidden_dim=80, max_position_embeddings=P),
        spoils=[config(activation="relu"), roll("embeddings.position_embeddings.weight"), swap("k_lin", "q_lin")],
    ),
    "distilbert-classifier": lambda: family(
        T.DistilBertConfig(
            vocab_size=V, dim=H, n_layers=1, n_heads=N, hidden_dim=80, max_position_embeddings=P, num_labels=3
        ),
        T.DistilBertForSequenceClassification,
        outputs=LOGITS,
    ),
    "distilbert-words": lambda: family(
        T.DistilBertConfig(vocab_size=V, dim=H, n_layers=1, n_heads=N, hidden_dim=80, max_position_embeddings=P),
        T.DistilBertForMaskedLM,
        outputs=LOGITS,
    ),
    "mpnet": lambda: family(
        T.MPNetConfig(**dict(BERT, max_position_embeddings=P + 2), pad_token_id=1),
        pad=1,
        outputs=("last_hidden_state", "pooler_output"),
        spoils=[
            config(layer_norm_eps=1e-2),
            roll("encoder.relative_attention_bias.weight"),
            roll("embeddings.position_embeddings.weight"),
        ],
    ),
    "mpnet-classifier": lambda: family(
        T.MPNetConfig(**dict(BERT, max_position_embeddings=P + 2), num_labels=3, pad_token_id=1),
        T.MPNetForSequenceClassification,
        pad=1,
        outputs=LOGITS,
    ),
    "albert": lambda: family(
        T.AlbertConfig(**dict(BERT, num_hidden_layers=5), embedding_size=24, num_hidden_groups=2),
        types=True,
        outputs=("last_hidden_state", "pooler_output"),
        spoils=[config(layer_norm_eps=1e-2), config(num_hidden_groups=1), config(num_hidden_layers=4)],
    ),
    "albert-words": lambda: family(T.AlbertConfig(**BERT, embedding_size=24), T.AlbertForMaskedLM, outputs=LOGITS),
    "electra": lambda: family(
        T.ElectraConfig(**BERT, embedding_size=24),
        types=True,
        spoils=[config(layer_norm_eps=1e-2), roll("embeddings.position_embeddings.weight")],
    ),
    "electra-classifier": lambda: family(
        T.ElectraConfig(**BERT, embedding_size=H, num_labels=2), T.ElectraForSequenceClassification, outputs=LOGITS
    ),
    "electra-words": lambda: family(T.ElectraConfig(**BERT, embedding_size=24), T.ElectraForMaskedLM, outputs=LOGITS),
    "deberta": lambda: family(
        T.DebertaV2Config(
            **BERT,
            **DEBERTA,
            position_biased_input=False,
            share_att_key=True,
            norm_rel_ebd="layer_norm",
            pos_att_type=["p2c", "c2p"],
        ),
        spoils=[
            config(layer_norm_eps=1e-2),
            config(norm_rel_ebd="none"),
            config(pos_att_type=["c2p"]),
            config(max_relative_positions=30),
            roll("encoder.rel_embeddings.weight"),
        ],
        same=[config(pos_att_type="p2c|c2p")],
    ),
    "deberta-own": lambda: family(
        T.DebertaV2Config(
            **BERT, relative_attention=True, max_relative_positions=12, type_vocab_size=2, pos_att_type=["c2p", "p2c"]
        ),
        types=True,
        spoils=[swap("pos_key_proj", "key_proj"), roll("embeddings.position_embeddings.weight")],
    ),
    "deberta-words": lambda: family(
        T.DebertaV2Config(**BERT, **DEBERTA, pos_att_type=["p2c"], legacy=False),
        T.DebertaV2ForMaskedLM,
        outputs=LOGITS,
        spoils=[roll("lm_predictions.lm_head.bias")],
    ),
    "deberta-near": lambda: family(
        T.DebertaV2Config(
            **BERT, relative_attention=True, max_relative_positions=5, share_att_key=True, pos_att_type=["c2p"]
        ),
        spoils=[config(pos_att_type=["c2p", "p2c"]), roll("encoder.rel_embeddings.weight")],
    ),
    "deberta-absolute": lambda: family(
        T.DebertaV2Config(**BERT, relative_attention=False, pos_att_type="C2P|P2C"),
        spoils=[config(pos_att_type=None), config(pos_att_type=["C2P"])],
    ),
    "deberta-classifier": lambda: family(
        T.DebertaV2Config(**BERT, **DEBERTA, pos_att_type=["p2c"], num_labels=3),
        T.DebertaV2ForSequenceClassification,
        outputs=LOGITS,
        # where padding comes first, its row is what is classified: nobody asks for that
        sides=("right",),
        spoils=[config(pooler_hidden_act="tanh")],
    ),
    "roformer": lambda: family(
        T.RoFormerConfig(**BERT, embedding_size=24),
        types=True,
        without="embed_positions",
        spoils=[config(layer_norm_eps=1e-2), swap("query", "key")],
    ),
    # a table of angles of its own, which no theta makes
    "roformer-own": lambda: family(
        T.RoFormerConfig(**BERT, embedding_size=24), types=True, spoils=[roll("encoder.embed_positions.weight")]
    ),
    "roformer-classifier": lambda: family(
        T.RoFormerConfig(**BERT, num_labels=2),
        T.RoFormerForSequenceClassification,
        outputs=LOGITS,
        without="embed_positions",
    ),
    "llama": lambda: family(
        T.LlamaConfig(
            **DECODER,
            attention_bias=True,
            mlp_bias=True,
            rope_parameters={
                "rope_theta": 500.0,
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        ),
        spoils=[
            config(rms_norm_eps=1e-2),
            config(is_causal=False),
            config(rope_parameters={"rope_theta": 500.0, "rope_type": "default"}),
        ],
        same=[
            config(
                rope_parameters=None,
                rope_theta=500.0,
                rope_scaling={
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 32,
                },
            )
        ],
    ),
    "llama-longrope": lambda: family(
        T.LlamaConfig(**DECODER, is_causal=False, rope_parameters=LONGROPE),
        spoils=[
            config(rope_parameters={**LONGROPE, "short_factor": [1.0 + 0.5 * i for i in range(LONG)]}),
            config(rope_parameters={**LONGROPE, "factor": 1.5}),
            config(rope_parameters={**LONGROPE, "attention_factor": 1.1}),
        ],
        same=[
            config(rope_parameters=None, rope_theta=500.0, original_max_position_embeddings=48,
                   rope_scaling={k: v for k, v in LONGROPE.items() if k not in ("rope_theta", "original_max_position_embeddings")}),
        ],
    ),
    "llama-dynamic": lambda: family(
        T.LlamaConfig(**DECODER, is_causal=False, rope_parameters={"rope_theta": 500.0, "rope_type": "dynamic", "factor": 3.0}),
        spoils=[config(rope_parameters={"rope_theta": 500.0, "rope_type": "linear", "factor": 3.0})],
        same=[config(rope_parameters={"rope_theta": 500.0, "rope_type": "default"})],
    ),
    "llama-linear": lambda: family(
        T.LlamaConfig(
            **DECODER, is_causal=False, rope_parameters={"rope_theta": 500.0, "rope_type": "linear", "factor": 3.0}
        ),
        spoils=[
            config(rope_parameters={"rope_theta": 500.0, "rope_type": "linear", "factor": 3.3}),
            config(is_causal=True),
        ],
    ),
    "mistral": lambda: family(
        T.MistralConfig(**DECODER, sliding_window=5, head_dim=16),
        spoils=[config(sliding_window=6), config(sliding_window=None), config(rms_norm_eps=1e-2)],
    ),
    "mistral-both": lambda: family(
        T.MistralConfig(**DECODER, sliding_window=5, is_causal=False),
        spoils=[config(sliding_window=6), config(is_causal=True)],
    ),
    "qwen2": lambda: family(
        T.Qwen2Config(**DECODER, use_sliding_window=True, sliding_window=5, max_window_layers=1),
        spoils=[config(sliding_window=6), config(rms_norm_eps=1e-2)],
        same=[config(layer_types=None)],
    ),
    "olmo2": lambda: family(T.Olmo2Config(**DECODER), spoils=[config(rms_norm_eps=1e-2), swap("k_proj", "v_proj")]),
    "stablelm": lambda: family(
        T.StableLmConfig(
            vocab_size=V,
            **{k: v for k, v in DECODER.items() if k not in ("vocab_size", "rms_norm_eps")},
            layer_norm_eps=1e-3,
            use_qkv_bias=True,
            rope_parameters={"rope_theta": 70.0, "rope_type": "default", "partial_rotary_factor": 0.5},
        ),
        spoils=[
            config(layer_norm_eps=1e-2),
            config(rope_parameters={"rope_theta": 70.0, "rope_type": "default", "partial_rotary_factor": 1.0}),
        ],
        same=[config(rope_parameters=None, rope_theta=70.0, partial_rotary_factor=0.5)],
    ),
    "eurobert": lambda: family(
        T.EuroBertConfig(**DECODER, mask_token_id=3), spoils=[config(rms_norm_eps=1e-2), swap("k_proj", "v_proj")]
    ),
    "eurobert-classifier": lambda: family(
        T.EuroBertConfig(**DECODER, mask_token_id=3, num_labels=3),
        T.EuroBertForSequenceClassification,
        outputs=LOGITS,
        spoils=[config(classifier_pooling="bos"), config(classifier_pooling="mean")],
    ),
    "eurobert-words": lambda: family(
        T.EuroBertConfig(**DECODER, mask_token_id=3, tie_word_embeddings=True), T.EuroBertForMaskedLM, outputs=LOGITS
    ),
    "gemma2": lambda: family(
        T.Gemma2Config(**DECODER, head_dim=16, query_pre_attn_scalar=20, sliding_window=5, attn_logit_softcapping=3.0),
        plus_one=True,
        spoils=[config(attn_logit_softcapping=3.2), config(query_pre_attn_scalar=21), config(sliding_window=6)],
        same=[config(layer_types=None)],
    ),
    "gemma3": lambda: family(
        T.Gemma3TextConfig(
            **DECODER,
            head_dim=16,
            query_pre_attn_scalar=20,
            sliding_window=6,
            layer_types=GEMMA_TYPES,
            rope_parameters=GEMMA_ROPE,
        ),
        plus_one=True,
        spoils=[config(rms_norm_eps=1e-2), config(sliding_window=7), swap("q_norm", "k_norm")],
        same=[
            config(
                layer_types=None,
                sliding_window_pattern=2,
                rope_parameters=None,
                rope_theta=900.0,
                rope_local_base_freq=70.0,
                rope_scaling={"rope_type": "linear", "factor": 2.0},
            )
        ],
    ),
    "gemma3-embedding": lambda: family(
        T.Gemma3TextConfig(
            **DECODER,
            head_dim=16,
            query_pre_attn_scalar=20,
            sliding_window=6,
            layer_types=GEMMA_TYPES,
            rope_parameters=GEMMA_ROPE,
            use_bidirectional_attention=True,
        ),
        plus_one=True,
        spoils=[config(sliding_window=8), config(use_bidirectional_attention=False)],
    ),
    "gemma3-alone": lambda: family(
        T.Gemma3TextConfig(
            **DECODER,
            head_dim=16,
            query_pre_attn_scalar=20,
            sliding_window=1,
            layer_types=GEMMA_TYPES,
            rope_parameters=GEMMA_ROPE,
            use_bidirectional_attention=True,
        ),
        plus_one=True,
        spoils=[config(sliding_window=2)],
    ),
    "nomic": lambda: family(
        T.NomicBertConfig(**BERT, rope_parameters={"rope_theta": 70.0, "rope_type": "default"}),
        types=True,
        spoils=[config(layer_norm_eps=1e-2), config(hidden_act="gelu"), swap("fc11", "fc12")],
        same=[
            config(
                hidden_size=None,
                n_embd=H,
                num_attention_heads=None,
                n_head=N,
                num_hidden_layers=None,
                n_layer=L,
                intermediate_size=None,
                n_inner=80,
                layer_norm_eps=None,
                layer_norm_epsilon=1e-3,
                rope_parameters=None,
                rotary_emb_base=70.0,
                max_position_embeddings=None,
                n_positions=P,
                head_dim=None,
                hidden_act=None,
                activation_function="swiglu",
            )
        ],
    ),
    "nomic-words": lambda: family(T.NomicBertConfig(**BERT), T.NomicBertForMaskedLM, outputs=LOGITS),
    "nomic-classifier": lambda: family(T.NomicBertConfig(**BERT), T.NomicBertForSequenceClassification, outputs=LOGITS),
    "gte": lambda: family(
        T.GteConfig(**BERT, rope_parameters={"rope_theta": 70.0, "rope_type": "default"}),
        spoils=[config(layer_norm_eps=1e-2), config(rope_parameters={"rope_theta": 60.0, "rope_type": "default"})],
        same=[config(rope_parameters=None, rope_theta=70.0)],
    ),
    "gte-new": lambda: family(
        new(rope_scaling={"type": "ntk", "factor": 2.0}),
        New,
        spoils=[
            config(layer_norm_eps=1e-2),
            config(rope_scaling=None),
            config(rope_scaling={"type": "ntk", "factor": 3.0}),
            config(rope_theta=60.0),
        ],
    ),
    "gte-new-mixed": lambda: family(
        new(rope_scaling={"type": "ntk", "factor": 2.0, "mixed_b": 0.6}, pack_qkv=False, type_vocab_size=1),
        New,
        spoils=[config(rope_scaling={"type": "ntk", "factor": 2.0, "mixed_b": 0.4})],
    ),
    "gte-words": lambda: family(T.GteConfig(**BERT, type_vocab_size=0), T.GteForMaskedLM, outputs=LOGITS),
    "gte-classifier": lambda: family(T.GteConfig(**BERT), T.GteForSequenceClassification, outputs=LOGITS),
    "jina3": lambda: family(
        T.JinaEmbeddingsV3Config(**BERT),
        pad=1,
        outputs=("last_hidden_state", "pooler_output"),
        spoils=[config(layer_norm_eps=1e-2)],
    ),
    "jina3-words": lambda: family(
        T.JinaEmbeddingsV3Config(**BERT), T.JinaEmbeddingsV3ForMaskedLM, pad=1, outputs=LOGITS
    ),
    "t5": lambda: family(
        T.T5Config(**T5),
        T.T5EncoderModel,
        spoils=[
            config(layer_norm_epsilon=1e-2),
            config(relative_attention_max_distance=24),
            config(dense_act_fn="gelu"),
            roll("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"),
        ],
    ),
    "t5-gated": lambda: family(
        T.MT5Config(**T5, feed_forward_proj="gated-gelu"),
        T.MT5EncoderModel,
        spoils=[config(dense_act_fn="silu"), swap("wi_0", "wi_1")],
    ),
    "bart": lambda: family(
        T.BartConfig(**BART),
        T.BartModel,
        pad=1,
        spoils=[config(scale_embedding=True), roll("encoder.embed_positions.weight")],
    ),
    "mbart": lambda: family(
        T.MBartConfig(**BART, scale_embedding=True),
        T.MBartModel,
        pad=1,
        spoils=[config(scale_embedding=False), config(activation_function="relu")],
    ),
    "bart-classifier": lambda: family(
        T.BartConfig(**BART_CLASSIFIER),
        T.BartForSequenceClassification,
        pad=1,
        outputs=LOGITS,
        sides=("right",),
        ends=2,
        spoils=[
            config(decoder_start_token_id=5),
            config(eos_token_id=9),
            config(scale_embedding=True),
            swap("encoder_attn.k_proj", "encoder_attn.v_proj"),
            roll("model.decoder.embed_positions.weight"),
        ],
    ),
    "mbart-classifier": lambda: family(
        T.MBartConfig(**BART_CLASSIFIER, scale_embedding=True),
        T.MBartForSequenceClassification,
        pad=1,
        outputs=LOGITS,
        sides=("right",),
        ends=2,
        pads=(3, 20),
        spoils=[config(eos_token_id=9), swap("encoder_attn_layer_norm", "self_attn_layer_norm")],
        same=[config(decoder_start_token_id=5)],
    ),
    "t5-classifier": lambda: family(
        T.T5Config(**T5, num_decoder_layers=2, decoder_start_token_id=0, eos_token_id=1, pad_token_id=0, num_labels=3),
        T.T5ForSequenceClassification,
        outputs=LOGITS,
        sides=("right",),
        ends=1,
        spoils=[
            config(decoder_start_token_id=5),
            config(num_decoder_layers=1),
            roll("transformer.decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"),
        ],
    ),
    "t5-classifier-gated": lambda: family(
        T.MT5Config(
            **T5, num_decoder_layers=1, feed_forward_proj="gated-gelu", decoder_start_token_id=0, eos_token_id=1, pad_token_id=0, num_labels=2
        ),
        T.MT5ForSequenceClassification,
        outputs=LOGITS,
        sides=("right",),
        ends=1,
    ),
    "gpt2": lambda: family(
        T.GPT2Config(**GPT2),
        pad=2,
        spoils=[
            config(layer_norm_epsilon=1e-2),
            config(activation_function="relu"),
            config(scale_attn_weights=False),
            roll("wpe.weight"),
        ],
        same=[config(n_inner=4 * H), config(n_positions=None, n_embd=None, max_position_embeddings=P, hidden_size=H)],
    ),
    "gpt2-classifier": lambda: family(
        T.GPT2Config(**GPT2, n_inner=80, num_labels=3),
        T.GPT2ForSequenceClassification,
        pad=2,
        outputs=LOGITS,
        spoils=[config(n_head=2)],
    ),
    "gemma": lambda: family(
        T.GemmaConfig(**DECODER, head_dim=16, rope_parameters={"rope_theta": 70.0, "rope_type": "default"}),
        plus_one=True,
        spoils=[
            config(rms_norm_eps=0.3),
            config(rope_parameters=None, rope_theta=60.0),
            config(hidden_act="relu"),
        ],
        same=[config(rope_parameters=None, rope_theta=70.0, hidden_act="gelu")],
    ),
    "gemma-classifier": lambda: family(
        T.GemmaConfig(**DECODER, head_dim=16, num_labels=1),
        T.GemmaForSequenceClassification,
        plus_one=True,
        outputs=LOGITS,
    ),
    "gemma2-classifier": lambda: family(
        T.Gemma2Config(**DECODER, head_dim=16, query_pre_attn_scalar=20, sliding_window=5, num_labels=2),
        T.Gemma2ForSequenceClassification,
        plus_one=True,
        outputs=LOGITS,
    ),
    "llama-classifier": lambda: family(
        T.LlamaConfig(**DECODER, num_labels=3), T.LlamaForSequenceClassification, outputs=LOGITS
    ),
    "mistral-classifier": lambda: family(
        T.MistralConfig(**DECODER, sliding_window=5, num_labels=3), T.MistralForSequenceClassification, outputs=LOGITS
    ),
    "qwen2-classifier": lambda: family(
        T.Qwen2Config(**DECODER, num_labels=1), T.Qwen2ForSequenceClassification, outputs=LOGITS
    ),
    "bloom": lambda: family(
        T.BloomConfig(vocab_size=V, hidden_size=H, n_layer=L, n_head=6, layer_norm_epsilon=1e-3, pad_token_id=0),
        spoils=[config(layer_norm_epsilon=1e-2)],
    ),
}


# ---------------------------------------------------------------- what transformers says


def batches(pad, ends=None, pads=()):
    """ends: the id that ends every text; pads: places within texts where the id of padding is a word like any other."""
    rng = np.random.RandomState(7)
    texts = [rng.randint(3, V, n) for n in LENGTHS]
    for text in texts if ends else ():
        text[-1] = ends
    for text in texts:
        text[[place for place in pads if place < len(text) - 1]] = pad
    S = max(LENGTHS)
    for side in ("right", "left"):
        ids, mask = np.full((len(texts), S), pad, np.int64), np.zeros((len(texts), S), np.int64)
        for row, text in enumerate(texts):
            at = slice(0, len(text)) if side == "right" else slice(S - len(text), S)
            ids[row, at], mask[row, at] = text, 1
        yield side, ids, mask


def run(model, f, ids, mask, types):
    more = {"token_type_ids": torch.tensor(ids % 2)} if types else {}
    if hasattr(model.config, "use_cache") and not isinstance(model, OwnCode):
        more["use_cache"] = False
    logits = None
    if hasattr(model, "get_encoder") and model.config.is_encoder_decoder:
        if "logits" in f["outputs"]:
            with torch.no_grad():
                logits = model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask), use_cache=False).logits
        model, more = model.get_encoder(), {}
    with torch.no_grad():
        got = model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask), output_hidden_states=True, **more)
    out = {
        "last_hidden_state": got.get("last_hidden_state"),
        "pooler_output": got.get("pooler_output"),
        "logits": got.get("logits") if logits is None else logits,
    }
    if out["last_hidden_state"] is None:
        base = getattr(model, model.base_model_prefix)
        with torch.no_grad():
            out["last_hidden_state"] = base(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask), **more)[0]
    return {k: out[k].numpy() for k in f["outputs"]}


def numbers(x):
    return [float(f"{v:.7g}") for v in np.asarray(x, np.float64).ravel()]


def write(name, f):
    T.set_seed(0)
    cls, c = f["cls"], f["config"]
    c._attn_implementation = "eager"
    model = (cls.from_config(c) if hasattr(cls, "from_config") else cls(c)).eval()
    with tempfile.TemporaryDirectory() as tmp:
        model.save_pretrained(tmp)
        tensors = {}
        with safe_open(Path(tmp) / "model.safetensors", "np") as file:
            for key in sorted(k for k in file.keys() if not f["without"] or f["without"] not in k):
                shape = list(file.get_slice(key).get_shape())
                tensors[key] = (shape, *spread(key, shape, f["plus_one"]))
        save_file({k: weight(k, *v) for k, v in tensors.items()}, Path(tmp) / "model.safetensors", {"format": "pt"})
        model = type(model).from_pretrained(tmp, attn_implementation="eager", dtype=torch.float32).eval()
        text = (Path(tmp) / "config.json").read_text()
    golden = {
        "tensors": [[k, *v] for k, v in tensors.items()],
        "types": f["types"],
        "batches": [],
        "spoils": f["spoils"],
        "same": f["same"],
    }
    for side, ids, mask in (batch for batch in batches(f["pad"], f["ends"], f["pads"]) if batch[0] in f["sides"]):
        got = run(model, f, ids, mask, f["types"])
        rows = [[b, int(s)] for b, n in enumerate(LENGTHS) for s in {0, n // 2, n - 1}]
        rows = [[b, s + (0 if side == "right" else max(LENGTHS) - LENGTHS[b])] for b, s in sorted(rows)][:9]
        batch = {"side": side, "ids": ids.tolist(), "mask": mask.tolist(), "outputs": {}}
        for key, x in got.items():
            if x.ndim == 2:
                batch["outputs"][key] = {"values": numbers(x)}
            else:
                some = rows if x.shape[2] < 100 else rows[:3]
                batch["outputs"][key] = {"rows": some, "values": numbers([x[b, s] for b, s in some])}
        hidden = got["last_hidden_state"]
        if side == "right":
            alone = [run(model, f, ids[b : b + 1, :n], mask[b : b + 1, :n], False) for b, n in enumerate(LENGTHS)]
            golden["means"] = numbers([x["last_hidden_state"][0].mean(0) for x in alone])
        a, z = (
            hidden[0, LENGTHS[0] - 1 if side == "right" else -1],
            hidden[1, LENGTHS[1] - 1 if side == "right" else -1],
        )
        assert np.abs(a - z).max() > 1e-2 * np.abs(hidden).max(), f"{name}: texts hardly differ"
        assert np.isfinite(hidden).all()
        if got.get("logits") is not None and got["logits"].ndim == 2:
            a, z = got["logits"][:2]
            assert np.abs(a - z).max() > 1e-2 * np.abs(got["logits"]).max(), f"{name}: scores hardly differ"
        golden["batches"].append(batch)
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(text)
    lines = json.dumps(golden, separators=(",", ":")).replace('],["', '],\n["').replace(',"batches"', ',\n"batches"')
    (folder / "golden.json").write_text(lines.replace('{"side"', '\n{"side"') + "\n")
    size = (folder / "golden.json").stat().st_size
    print(f"{name}: {len(tensors)} tensors, {size} bytes, largest {np.abs(hidden).max():.3g}", flush=True)
    assert size < 40000, "too large to be committed"


if __name__ == "__main__":
    for name in sys.argv[1:] or FAMILIES:
        write(name, FAMILIES[name]())

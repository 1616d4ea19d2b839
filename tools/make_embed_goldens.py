#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes test/data/embed: texts.txt (200 varied texts, one a line) and minilm.npy, their vectors from sentence-transformers
with the real all-MiniLM-L6-v2 (float32 [200, 384]). Needs PyPI sentence-transformers and the model in models/ (tools/setup
model). The tests read the two files and need neither."""
import pathlib
import random

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "test/data/embed"
MODEL = ROOT / "models/all-MiniLM-L6-v2"

SEEDS = r"""A nib is the tip of a pen.
The point you write with.
Stocks fell sharply on Friday.
Ein kurzer Satz über Straßen, Öfen und Äpfel.
Où est la bibliothèque, s'il vous plaît ?
¿Dónde está el baño? ¡Allí!
Привет, мир! Как дела?
Γειά σου Κόσμε, ὁ λόγος τῆς σοφίας
مرحبا بالعالم، كيف حالك اليوم؟
שלום עולם, מה שלומך?
नमस्ते दुनिया, आप कैसे हैं?
你好，世界。今天天气很好。
こんにちは世界。元気ですか？
안녕하세요 세계, 잘 지내요?
สวัสดีชาวโลก
👩‍👩‍👧‍👦 family 🇩🇪 flag 🎉 party ❤️
x = [i ** 2 for i in range(10) if i % 2 == 0]  # squares
SELECT name, count(*) FROM users WHERE age > 30 GROUP BY name;
https://example.org/path?query=value&other=%20
The quick brown fox jumps over the lazy dog.
E = mc² and ∫₀^∞ e^(-x²) dx = √π/2
Dr. Smith's co-workers (all 12 of them) can't re-enter; it's $3.50, i.e. 10% off!
antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis
[MASK] and [SEP] written out in a text
UPPER CASE TEXT AND lower case text And Mixed
...
?
a
I
1234567890 3.14159 1e-10 0xFF
naïve café résumé coöperate façade
İstanbul'da ılık bir gün, IĞDIR
Việt Nam là một quốc gia ở Đông Nam Á
Zażółć gęślą jaźń
Příliš žluťoučký kůň úpěl ďábelské ódy
\ttabs\tand   many    spaces   \u00a0 and no-break ones
zero\u200bwidth\u200djoiner and soft\u00adhyphen
𝕞𝕒𝕥𝕙 𝒶𝓁𝓅𝒽𝒶𝒷𝑒𝓉 and ｆｕｌｌｗｉｄｔｈ
""".replace("\\t", "\t").replace("\\u00a0", "\u00a0").replace("\\u200b", "\u200b").replace("\\u200d", "\u200d").replace("\\u00ad", "\u00ad").split("\n")

WORDS = """the a of to and in is it you that he was for on are with as his they be at one have this from or had by hot but some what
there we can out other were all your when up use word how said an each she which do their time if will way about many then them
write would like so these her long make thing see him two has look more day could go come did number sound no most people my over
know water than call first who may down side been now find neural network attention transformer embedding vector query document
search engine river mountain ocean climate economy government election music painting violin sonata goal striker penalty tennis
enzyme protein molecule reaction temperature pressure voltage current resistor satellite orbit telescope galaxy quantum""".split()


def texts():
    rng = random.Random(7)
    out = [s for s in SEEDS if s]
    while len(out) < 199:
        n = rng.choice([1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 300])
        words = [rng.choice(WORDS) for _ in range(n)]
        for i in range(0, n, 9):
            words[i] = words[i].capitalize()
            if i:
                words[i - 1] += rng.choice([".", ",", "!", "?", ";"])
        if rng.random() < 0.2:
            words.insert(rng.randrange(n), rng.choice(SEEDS[:24]))
        out.append(" ".join(words))
    out.append("")  # an empty text
    return out


def main():
    from sentence_transformers import SentenceTransformer

    OUT.mkdir(parents=True, exist_ok=True)
    lines = texts()
    assert len(lines) == 200 and not any("\n" in t or "\r" in t for t in lines)
    (OUT / "texts.txt").write_text("".join(t + "\n" for t in lines), encoding="utf-8")
    vectors = SentenceTransformer(str(MODEL), device="cpu").encode(lines, batch_size=1)
    np.save(OUT / "minilm.npy", vectors.astype(np.float32))
    print(vectors.shape)


main()

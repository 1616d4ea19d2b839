/* SPDX-License-Identifier: Apache-2.0
 *
 * Unigram (T. Kudo, Subword Regularization, 2018). In: a part. Out: of all ways to cut it into tokens the one whose
 * scores add up to the most, found from left to right: for each place, the best way to it. Unknown characters next to
 * each other are one token, or the tokens of their bytes.
 */
#include "text_internal.h"
#include <math.h> /* INFINITY */

#define UNKNOWN_PENALTY 10.0 /* below the lowest score, as in the library */

typedef struct unigram {
    const text_tokenizer *t;
    const double *scores; /* [ids of the vocabulary] */
    double unknown_score;
    int32_t unknown; /* -1: there is none */
    bool byte_fallback;
    int32_t fallback[256];
} unigram;

/* The best way to a place of the part: its last token begins at `from`. */
typedef struct way {
    double score;
    uint32_t from;
    int32_t id; /* -1: no way was found yet */
} way;

static inline void offer(way *to, double score, size_t from, int32_t id) {
    if (to->id >= 0 && !(score > to->score)) return;
    *to = (way){score, (uint32_t)from, id};
}

/* The ways to all places behind s[0..n); false: a character is unknown and there is no token for that. */
static bool find_ways(const unigram *m, const uint8_t *s, size_t n, way *ways) {
    ways[0] = (way){0, 0, 0};
    for (size_t i = 1; i <= n; i++) ways[i] = (way){0, 0, -1};
    for (size_t at = 0, next; at < n; at = next) {
        uint32_t cp, base = TEXT_TRIE_ROOT;
        int32_t id;
        bool single = false;
        next = at + text_utf8(s + at, n - at, &cp);
        for (size_t i = at; i < n && i - at < TEXT_TRIE_KEY_MAX && text_trie_step(&m->t->trie, &base, s[i], &id); i++) {
            if (id < 0) continue;
            offer(&ways[i + 1], m->scores[id] + ways[at].score, at, id);
            single |= i + 1 == next;
        }
        if (single) continue;
        if (m->unknown < 0) return false;
        offer(&ways[next], m->unknown_score + ways[at].score, at, m->unknown);
    }
    return true;
}

/* What was unknown as one token, or as its bytes. */
static void push_unknown(const unigram *m, text_work *w, size_t begin, size_t end) {
    const uint8_t *s = w->buf.bytes;
    bool bytes = m->byte_fallback;
    const int32_t id =
        text_vocab_find(m->t, (const char *)s + begin, end - begin); /* together they may be one after all */
    for (size_t i = begin; bytes && i < end; i++) bytes = m->fallback[s[i]] >= 0;
    if (id >= 0 || !bytes) text_work_push(w, id >= 0 ? id : m->unknown, begin, end);
    for (size_t i = begin; id < 0 && bytes && i < end; i++) text_work_push(w, m->fallback[s[i]], begin, end);
}

static void unigram_word(const text_stage *stage, text_work *w, size_t begin, size_t end) {
    const unigram *m = stage->data;
    const size_t n = end - begin;
    if (!base_grow(w->heap, &w->ways, &w->ways_cap, n + 1, sizeof(way))) {
        text_fail(w, NIB_OUT_OF_MEMORY, NULL);
        return;
    }
    way *ways = w->ways;
    if (!find_ways(m, w->buf.bytes + begin, n, ways)) {
        text_fail(w, NIB_UNSUPPORTED,
                  "a character that the vocabulary does not have, and it has no unknown token either");
        return;
    }
    /* Back from the end, each place is told where the next token ends; then forward. */
    for (size_t at = n, next = 0, from;; next = at, at = from) {
        from = ways[at].from;
        ways[at].from = (uint32_t)next;
        if (at == 0) break;
    }
    for (size_t at = 0, end_at; at < n; at = end_at) {
        end_at = ways[at].from;
        const int32_t id = ways[end_at].id;
        if (id != m->unknown) {
            text_work_push(w, id, begin + at, begin + end_at);
            continue;
        }
        while (end_at < n && ways[ways[end_at].from].id == m->unknown) end_at = ways[end_at].from;
        push_unknown(m, w, begin + at, begin + end_at);
    }
}

nib_status text_model_unigram_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_val *unknown = yyjson_obj_get(v, "unk_id"), *vocab = yyjson_obj_get(v, "vocab"), *one;
    unigram *m;
    double *scores, least = INFINITY;
    size_t i, n;
    if (t->packed) NIB_FAIL(err, NIB_UNSUPPORTED, "model: a packed vocabulary of this kind");
    if (!yyjson_is_arr(vocab)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "model: \"vocab\" is not an array");
    NIB_TRY(text_vocab_load(t, vocab, false, err));
    NIB_TRY(text_stage_data(t, s, sizeof *m, &m, err));
    scores = base_arena_alloc(&t->arena, (yyjson_arr_size(vocab) + 1) * sizeof *scores);
    if (!scores) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the vocabulary");
    yyjson_arr_foreach(vocab, i, n, one) {
        yyjson_val *score = yyjson_arr_get(one, 1);
        if (!yyjson_is_num(score)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "model.vocab[%zu]: no score", i);
        scores[i] = yyjson_get_num(score);
        if (scores[i] < least) least = scores[i];
    }
    m->t = t;
    m->scores = scores;
    m->unknown_score = least - UNKNOWN_PENALTY;
    m->unknown = -1;
    if (unknown && !yyjson_is_null(unknown))
        NIB_TRY(text_json_id(unknown, "model.unk_id", yyjson_arr_size(vocab), &m->unknown, err));
    NIB_TRY(text_json_bool(v, "model", "byte_fallback", false, &m->byte_fallback, err));
    for (int c = 0; c < 256; c++) m->fallback[c] = text_vocab_find_byte(t, (uint8_t)c);
    s->run.word = unigram_word;
fail:
    return status;
}

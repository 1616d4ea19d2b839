/* SPDX-License-Identifier: Apache-2.0
 *
 * The embedding task; see task.h. The model's graph already pools and normalizes (its suffix): what comes out of run_texts are
 * the vectors.
 */
#include "task.h"
#include <stdio.h>
#include <string.h>

#define WINDOW_TEXTS 4096
#define WINDOW_BYTES (16u << 20)
#define CHUNK 16 /* texts that a thread tokenizes at a time */

typedef struct id_store { /* ids of the texts that one thread tokenized, end to end */
    text_encoding encoding;
    int32_t *ids, *types;
    size_t count, ids_cap, types_cap;
    char *prompted; /* [prompted_cap] a prompt and the text behind it */
    size_t prompted_cap;
} id_store;

typedef struct placed { /* where a text's ids lie */
    int store;
    size_t at;
    int64_t length, full;
} placed;

typedef struct embedder { /* everything a call needs, kept between calls */
    struct embedder *next;
    run_session *session;
    id_store *stores; /* [threads] */
    int threads;
    placed *places;
    const int32_t **ids, **types;
    int64_t *lengths;
    size_t places_cap, ids_cap, types_cap, lengths_cap;
} embedder;

static void embedder_free(base_heap *heap, embedder *e) {
    if (!e) return;
    run_session_free(e->session);
    for (int i = 0; e->stores && i < e->threads; i++) {
        text_encoding_free(&e->stores[i].encoding);
        base_free(heap, e->stores[i].ids);
        base_free(heap, e->stores[i].types);
        base_free(heap, e->stores[i].prompted);
    }
    base_free(heap, e->stores);
    base_free(heap, e->places);
    base_free(heap, e->ids);
    base_free(heap, e->types);
    base_free(heap, e->lengths);
    base_free(heap, e);
}

static nib_status embedder_create(nib_model *m, embedder **out, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &m->runtime->heap;
    embedder *e = base_calloc(heap, 1, sizeof *e);
    *out = NULL;
    if (!e) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a session");
    e->threads = base_pool_threads(m->runtime->pool);
    e->stores = base_calloc(heap, (size_t)e->threads, sizeof *e->stores);
    if (!e->stores) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a session");
    for (int i = 0; i < e->threads; i++) text_encoding_init(&e->stores[i].encoding, heap);
    NIB_TRY(run_session_create(m->task.p, &e->session, err));
    *out = e;
    return NIB_OK;
fail:
    embedder_free(heap, e);
    return status;
}

static void free_idle(nib_model *m) {
    for (embedder *e = m->idle, *next; e; e = next) {
        next = e->next;
        embedder_free(&m->runtime->heap, e);
    }
    m->idle = NULL;
}

static nib_status take_embedder(nib_model *m, embedder **out, nib_error *err) {
    base_mutex_lock(m->lock);
    embedder *e = m->idle;
    if (e) m->idle = e->next;
    m->free_idle = free_idle;
    base_mutex_unlock(m->lock);
    *out = e;
    return e ? NIB_OK : embedder_create(m, out, err);
}

static void give_back(nib_model *m, embedder *e) {
    base_mutex_lock(m->lock);
    e->next = m->idle;
    m->idle = e;
    base_mutex_unlock(m->lock);
}

/* ---- tokenizing a window */

typedef struct window {
    nib_model *m;
    embedder *e;
    const char *const *texts;
    const size_t *lengths;
    size_t n, first; /* of these texts; the number of the first in the call */
    int64_t max_tokens;
    const char *prompt;
    size_t prompt_length;
    int64_t skip;         /* tokens of the prompt that are not pooled */
    nib_profile *profile; /* NULL: nothing is timed */
    _Atomic int status;
    nib_error *err;
} window;

static nib_status tokenize_one(window *w, size_t i, id_store *store, int slot, nib_error *err) {
    base_heap *heap = &w->m->runtime->heap;
    text_encoding *enc = &store->encoding;
    const char *text = w->texts[i];
    size_t length = w->lengths ? w->lengths[i] : strlen(text);
    if (w->prompt_length) {
        if (length > SIZE_MAX - w->prompt_length ||
            !base_grow(heap, (void **)&store->prompted, &store->prompted_cap, w->prompt_length + length, 1))
            return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a text of %zu bytes", length);
        memcpy(store->prompted, w->prompt, w->prompt_length);
        if (length) memcpy(store->prompted + w->prompt_length, text, length);
        text = store->prompted;
        length += w->prompt_length;
    }
    nib_status status = text_encode(w->m->tokenizer, text, length, NULL, 0, w->max_tokens, true, enc, err);
    if (status != NIB_OK) return status;
    if (!base_grow(heap, (void **)&store->ids, &store->ids_cap, store->count + enc->count, sizeof(int32_t)) ||
        !base_grow(heap, (void **)&store->types, &store->types_cap, store->count + enc->count, sizeof(int32_t)))
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for token ids");
    if (enc->count) {
        memcpy(store->ids + store->count, enc->ids, enc->count * sizeof(int32_t));
        memcpy(store->types + store->count, enc->type_ids, enc->count * sizeof(int32_t));
    }
    w->e->places[i] = (placed){slot, store->count, (int64_t)enc->count, (int64_t)enc->full_count};
    store->count += enc->count;
    return NIB_OK;
}

static void tokenize_chunk(void *arg, size_t chunk, int slot) {
    window *w = arg;
    nib_error e;
    size_t end = (chunk + 1) * CHUNK < w->n ? (chunk + 1) * CHUNK : w->n;
    double begun = w->profile ? base_clock() : 0;
    for (size_t i = chunk * CHUNK; i < end; i++) {
        if (atomic_load(&w->status) != NIB_OK) return;
        nib_status status = base_stop_check(&e);
        if (status == NIB_OK) status = tokenize_one(w, i, &w->e->stores[slot], slot, &e);
        int none = NIB_OK;
        if (status != NIB_OK && atomic_compare_exchange_strong(&w->status, &none, status) && w->err) *w->err = e;
    }
    if (w->profile) atomic_fetch_add(&w->profile->tokenize_ns, (uint64_t)(1e9 * (base_clock() - begun)));
}

/* Every id and type is a row of its table: ONNX would count negative ones from the table's end, and give vectors that mean nothing.
 * `first`: number of the batch's first text in the call; `fault`: whose mistake it is. */
static nib_status check_ids(const nib_model *m, const run_batch *b, size_t first, nib_status fault, nib_error *err) {
    for (size_t i = 0; i < b->n; i++)
        for (int64_t j = 0; j < b->lengths[i]; j++) {
            int32_t id = b->ids[i][j], type = b->types && m->roles.types >= 0 ? b->types[i][j] : 0;
            if (id >= 0 && id < m->ids_below && type >= 0 && type < m->types_below) continue;
            bool of_id = id < 0 || id >= m->ids_below;
            int64_t rows = of_id ? m->ids_below : m->types_below;
            char table[48] = "negative";
            if (rows < INT64_MAX) snprintf(table, sizeof table, "outside the table of %lld rows", (long long)rows);
            return base_error_set(err, fault, "text %zu, token %lld: %s %d is %s", first + i, (long long)j, of_id ? "id" : "type",
                                  (int)(of_id ? id : type), table);
        }
    return NIB_OK;
}

/* Runs texts whose ids are there. */
static nib_status run_ids(nib_model *m, embedder *e, const run_batch *batch, nib_profile *profile, float *out, nib_error *err) {
    run_session_profile(e->session, profile ? profile->steps : NULL);
    if (profile) {
        uint64_t tokens = 0;
        for (size_t i = 0; i < batch->n; i++) tokens += (uint64_t)batch->lengths[i];
        atomic_fetch_add(&profile->texts, batch->n);
        atomic_fetch_add(&profile->tokens, tokens);
    }
    return run_texts(e->session, &m->roles, batch, m->batch_tokens, 0, out, m->dim, err);
}

static nib_status run_window(window *w, float *out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_model *m = w->m;
    embedder *e = w->e;
    base_heap *heap = &m->runtime->heap;
    if (!base_grow(heap, (void **)&e->places, &e->places_cap, w->n, sizeof *e->places) ||
        !base_grow(heap, (void **)&e->ids, &e->ids_cap, w->n, sizeof *e->ids) ||
        !base_grow(heap, (void **)&e->types, &e->types_cap, w->n, sizeof *e->types) ||
        !base_grow(heap, (void **)&e->lengths, &e->lengths_cap, w->n, sizeof *e->lengths))
        NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a batch of %zu texts", w->n);
    for (int i = 0; i < e->threads; i++) e->stores[i].count = 0;
    base_pool_run(m->runtime->pool, (w->n + CHUNK - 1) / CHUNK, tokenize_chunk, w);
    NIB_TRY((nib_status)atomic_load(&w->status));
    for (size_t i = 0; i < w->n; i++) {
        const placed *p = &e->places[i];
        e->ids[i] = e->stores[p->store].ids + p->at;
        e->types[i] = e->stores[p->store].types + p->at;
        e->lengths[i] = p->length;
    }
    run_batch batch = {.n = w->n, .ids = e->ids, .types = e->types, .lengths = e->lengths, .skip = w->skip};
    NIB_TRY(check_ids(m, &batch, w->first, NIB_BAD_TOKENIZER, err));
    NIB_TRY(run_ids(m, e, &batch, w->profile, out, err));
fail:
    return status;
}

/* How many texts from `at` on make a window. */
static size_t window_size(const char *const *texts, const size_t *lengths, size_t at, size_t n) {
    size_t bytes = 0, count = 0;
    while (at + count < n && count < WINDOW_TEXTS && (count == 0 || bytes < WINDOW_BYTES)) {
        bytes += lengths ? lengths[at + count] : strlen(texts[at + count]);
        count++;
    }
    return count;
}

static nib_status can_embed(const nib_model *m, nib_error *err) {
    if (m->cannot_embed[0]) return base_error_set(err, NIB_UNSUPPORTED, "this model cannot embed texts: %s", m->cannot_embed);
    return NIB_OK;
}

/* How many tokens a prompt has by itself, but for a special one at its end: as sentence-transformers counts what is not pooled. */
static nib_status count_prompt(window *w, nib_error *err) {
    text_encoding *enc = &w->e->stores[0].encoding;
    w->skip = 0;
    if (!w->prompt_length || w->m->roles.skip < 0) return NIB_OK;
    nib_status status = text_encode(w->m->tokenizer, w->prompt, w->prompt_length, NULL, 0, w->max_tokens, true, enc, err);
    if (status != NIB_OK || enc->count == 0) return status;
    size_t last = enc->count - 1;
    w->skip = (int64_t)enc->count - (enc->special[last] || text_is_special(w->m->tokenizer, enc->ids[last]));
    return NIB_OK;
}

nib_status task_embed(nib_model *m, const char *const *texts, size_t n, const nib_embed_options *options, float *out, nib_error *err) {
    nib_status status = NIB_OK;
    embedder *e = NULL;
    int64_t max_tokens = m->max_tokens;
    const char *prompt;
    NIB_TRY(can_embed(m, err));
    NIB_TRY(model_check_tokenizer(m, err));
    NIB_TRY(task_prompt(m, options->prompt_name, options->prompt, &prompt, err));
    if (options->max_tokens > 0 && options->max_tokens < max_tokens) max_tokens = options->max_tokens;
    NIB_TRY(take_embedder(m, &e, err));
    for (size_t at = 0, count; at < n; at += count) {
        const size_t *lengths = options->lengths ? options->lengths + at : NULL;
        count = window_size(texts, options->lengths, at, n);
        window w = {.m = m,
                    .e = e,
                    .texts = texts + at,
                    .lengths = lengths,
                    .n = count,
                    .first = at,
                    .max_tokens = max_tokens,
                    .prompt = prompt,
                    .prompt_length = strlen(prompt),
                    .profile = options->profile,
                    .err = err};
        NIB_TRY(count_prompt(&w, err));
        NIB_TRY(run_window(&w, out + at * (size_t)m->dim, err));
        for (size_t i = 0; i < count; i++) {
            if (options->tokens) options->tokens[at + i] = e->places[i].length;
            if (options->full_tokens) options->full_tokens[at + i] = e->places[i].full;
        }
    }
fail:
    if (e) give_back(m, e);
    return status;
}

nib_status task_embed_ids(nib_model *m, const int32_t *const *ids, const int64_t *lengths, size_t n, const nib_embed_options *options,
                          float *out, nib_error *err) {
    nib_status status = NIB_OK;
    embedder *e = NULL;
    NIB_TRY(can_embed(m, err));
    NIB_TRY(take_embedder(m, &e, err));
    for (size_t at = 0; at < n; at += WINDOW_TEXTS) {
        run_batch batch = {.n = n - at < WINDOW_TEXTS ? n - at : WINDOW_TEXTS, .ids = ids + at, .lengths = lengths + at};
        NIB_TRY(check_ids(m, &batch, at, NIB_INVALID_ARGUMENT, err));
        NIB_TRY(run_ids(m, e, &batch, options->profile, out + at * (size_t)m->dim, err));
    }
fail:
    if (e) give_back(m, e);
    return status;
}

/* ---- warming up */

#define WARM_WORD "measure " /* longer than words of a language mostly are */

/* What a call needs beside the session: tokenizers' buffers for the longest text, places for a group a thread. */
static nib_status warm_embedder(nib_model *m, embedder *e, int64_t max_tokens, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &m->runtime->heap;
    const size_t word = sizeof WARM_WORD - 1;
    size_t group = (size_t)(m->batch_tokens > 0 ? m->batch_tokens : m->task.p->group_tokens), n = group * (size_t)e->threads;
    size_t ids = n > (size_t)max_tokens ? n : (size_t)max_tokens;
    char *text = base_alloc(heap, (size_t)max_tokens * word + 1);
    const size_t prompted =
        (size_t)max_tokens * word + (m->settings.default_prompt < 0 ? 0 : strlen(m->settings.prompts[m->settings.default_prompt].text));
    if (!text || !base_grow(heap, (void **)&e->places, &e->places_cap, n, sizeof *e->places) ||
        !base_grow(heap, (void **)&e->ids, &e->ids_cap, n, sizeof *e->ids) ||
        !base_grow(heap, (void **)&e->types, &e->types_cap, n, sizeof *e->types) ||
        !base_grow(heap, (void **)&e->lengths, &e->lengths_cap, n, sizeof *e->lengths))
        NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for warming up");
    for (int64_t i = 0; i < max_tokens; i++) memcpy(text + (size_t)i * word, WARM_WORD, word);
    for (int i = 0; i < e->threads; i++) {
        id_store *s = &e->stores[i];
        if (!base_grow(heap, (void **)&s->ids, &s->ids_cap, ids + (size_t)max_tokens, sizeof *s->ids) ||
            !base_grow(heap, (void **)&s->types, &s->types_cap, ids + (size_t)max_tokens, sizeof *s->types))
            NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for warming up");
        memset(s->ids, 0, s->ids_cap * sizeof *s->ids); /* touched */
        memset(s->types, 0, s->types_cap * sizeof *s->types);
        if (m->settings.default_prompt >= 0 && !base_grow(heap, (void **)&s->prompted, &s->prompted_cap, prompted, 1))
            NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for warming up");
        if (m->tokenizer) NIB_TRY(text_encode(m->tokenizer, text, (size_t)max_tokens * word, NULL, 0, max_tokens, true, &s->encoding, err));
    }
    NIB_TRY(run_warm(e->session, &m->roles, max_tokens, m->batch_tokens, m->dim, err));
fail:
    base_free(heap, text);
    return status;
}

nib_status task_warm(nib_model *m, int64_t max_tokens, int callers, nib_error *err) {
    nib_status status = NIB_OK;
    embedder *taken = NULL, *e;
    NIB_TRY(can_embed(m, err));
    if (max_tokens == 0 || max_tokens > m->max_tokens) max_tokens = m->max_tokens;
    for (int i = 0; i < callers; i++) {
        NIB_TRY(take_embedder(m, &e, err));
        e->next = taken;
        taken = e;
        run_session_profile(e->session, NULL);
        NIB_TRY(warm_embedder(m, e, max_tokens, err));
    }
fail:
    while ((e = taken) != NULL) {
        taken = e->next;
        give_back(m, e);
    }
    return status;
}

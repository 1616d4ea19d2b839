/* SPDX-License-Identifier: Apache-2.0
 *
 * See task_texts.h. In: texts, pairs or ids. Out: rows of the program's output, where the sink has them.
 */
#include "task.h"
#include <stdio.h>
#include <string.h>

#define WINDOW_TEXTS 4096
#define WINDOW_BYTES (16u << 20)
#define CHUNK 16 /* texts that a thread tokenizes at a time */

static size_t length_of(const char *const *texts, const size_t *lengths, size_t i) {
    return lengths ? lengths[i] : strlen(texts[i]);
}

size_t task_window(const task_call *c, size_t first) {
    const task_texts *t = c->given;
    size_t bytes = 0, count = 0;
    while (first + count < t->n && count < WINDOW_TEXTS && (count == 0 || bytes < WINDOW_BYTES)) {
        if (t->texts) bytes += length_of(t->texts, t->text_lengths, first + count);
        if (t->pairs) bytes += length_of(t->pairs, t->pair_lengths, first + count);
        count++;
    }
    return count;
}

/* How many tokens a prompt has by itself, but for a special one at its end: as sentence-transformers counts what is not
 * pooled. */
static nib_status count_prompt(task_call *c, nib_error *err) {
    text_encoding *enc = &c->caller->stores[0].encoding;
    const char *prompt = c->given->prompt;
    if (!prompt || !*prompt || c->program->roles.skip < 0) return NIB_OK;
    nib_status status = text_encode(c->m->tokenizer, prompt, strlen(prompt), NULL, 0, c->max_tokens, true, enc, err);
    if (status != NIB_OK || enc->count == 0) return status;
    size_t last = enc->count - 1;
    c->skip = (int64_t)enc->count - (enc->special[last] || text_is_special(c->m->tokenizer, enc->ids[last]));
    return NIB_OK;
}

static nib_status check_lengths(const task_call *c, nib_error *err) {
    for (size_t i = 0; i < c->given->n; i++)
        if (c->given->lengths[i] < 1 || c->given->lengths[i] > c->max_tokens)
            return base_error_set(err, NIB_INVALID_ARGUMENT, "text %zu: from 1 to %lld ids are needed", i,
                                  (long long)c->max_tokens);
    return NIB_OK;
}

nib_status task_begin(task_call *c, nib_model *m, nib_task task, const task_texts *given, nib_error *err) {
    nib_status status = NIB_OK;
    *c = (task_call){.m = m, .given = given, .which = (int)task, .max_tokens = m->max_tokens};
    NIB_TRY(model_get_program(m, c->which, &c->program, err));
    if (!given->are_ids) NIB_TRY(model_check_tokenizer(m, err));
    if (given->profile && given->profile->p != c->program->p)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "the profile is another model's, a session's, or another task's");
    if (c->program->longest && c->program->longest < c->max_tokens) c->max_tokens = c->program->longest;
    if (given->max_tokens > 0 && given->max_tokens < c->max_tokens) c->max_tokens = given->max_tokens;
    if (given->are_ids) NIB_TRY(check_lengths(c, err));
    NIB_TRY(model_take_caller(m, c->which, &c->caller, err));
    NIB_TRY(count_prompt(c, err));
fail:
    return status;
}

void task_end(task_call *c) {
    if (c->caller) model_give_back(c->m, c->which, c->caller);
    c->caller = NULL;
}

/* ---- a window's ids */

typedef struct window {
    task_call *c;
    _Atomic int status;
    nib_error *err;
} window;

static nib_status tokenize_one(task_call *c, size_t i, int slot, nib_error *err) {
    base_heap *heap = &c->m->runtime->heap;
    const task_texts *t = c->given;
    model_ids *store = &c->caller->stores[slot];
    text_encoding *enc = &store->encoding;
    const size_t at = c->first + i, before = t->prompt ? strlen(t->prompt) : 0;
    const char *text = t->texts[at], *pair = t->pairs ? t->pairs[at] : NULL;
    size_t length = length_of(t->texts, t->text_lengths, at);
    if (before) {
        if (length > SIZE_MAX - before ||
            !base_grow(heap, (void **)&store->prompted, &store->prompted_cap, before + length, 1))
            return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a text of %zu bytes", length);
        memcpy(store->prompted, t->prompt, before);
        if (length) memcpy(store->prompted + before, text, length);
        text = store->prompted;
        length += before;
    }
    nib_status status = text_encode(c->m->tokenizer, text, length, pair,
                                    pair ? length_of(t->pairs, t->pair_lengths, at) : 0, c->max_tokens, true, enc, err);
    if (status != NIB_OK) return status;
    if (!base_grow(heap, (void **)&store->ids, &store->ids_cap, store->count + enc->count, sizeof(int32_t)) ||
        !base_grow(heap, (void **)&store->types, &store->types_cap, store->count + enc->count, sizeof(int32_t)))
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for token ids");
    if (enc->count) {
        memcpy(store->ids + store->count, enc->ids, enc->count * sizeof(int32_t));
        memcpy(store->types + store->count, enc->type_ids, enc->count * sizeof(int32_t));
    }
    c->caller->places[i] = (model_place){slot, store->count, (int64_t)enc->count, (int64_t)enc->full_count};
    store->count += enc->count;
    return NIB_OK;
}

static void tokenize_chunk(void *arg, size_t chunk, int slot) {
    window *w = arg;
    nib_error e;
    nib_profile *profile = w->c->given->profile;
    size_t end = (chunk + 1) * CHUNK < w->c->count ? (chunk + 1) * CHUNK : w->c->count;
    double begun = profile ? base_clock() : 0;
    for (size_t i = chunk * CHUNK; i < end; i++) {
        if (atomic_load(&w->status) != NIB_OK) return;
        nib_status status = base_stop_check(&e);
        if (status == NIB_OK) status = tokenize_one(w->c, i, slot, &e);
        int none = NIB_OK;
        if (status != NIB_OK && atomic_compare_exchange_strong(&w->status, &none, status) && w->err) *w->err = e;
    }
    if (profile) atomic_fetch_add(&profile->tokenize_ns, (uint64_t)(1e9 * (base_clock() - begun)));
}

/* Every id and type is a row of its table: ONNX would count negative ones from the table's end, and give vectors that
 * mean nothing. `fault`: whose mistake it is. */
static nib_status check_ids(const task_call *c, nib_status fault, nib_error *err) {
    const nib_model *m = c->m;
    const model_caller *k = c->caller;
    for (size_t i = 0; i < c->count; i++)
        for (int64_t j = 0; j < k->lengths[i]; j++) {
            int32_t id = k->ids[i][j], type = k->types[i] && m->roles.types >= 0 ? k->types[i][j] : 0;
            if (id >= 0 && id < m->ids_below && type >= 0 && type < m->types_below) continue;
            bool of_id = id < 0 || id >= m->ids_below;
            int64_t rows = of_id ? m->ids_below : m->types_below;
            char table[48] = "negative";
            if (rows < INT64_MAX) snprintf(table, sizeof table, "outside the table of %lld rows", (long long)rows);
            return base_error_set(err, fault, "text %zu, token %lld: %s %d is %s", c->first + i, (long long)j,
                                  of_id ? "id" : "type", (int)(of_id ? id : type), table);
        }
    return NIB_OK;
}

nib_status task_tokenize(task_call *c, size_t first, size_t count, nib_error *err) {
    nib_status status = NIB_OK;
    const task_texts *t = c->given;
    model_caller *k = c->caller;
    c->first = first;
    c->count = count;
    if (!model_caller_grow(c->m, k, count))
        NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a batch of %zu texts", count);
    if (!t->are_ids) {
        window w = {.c = c, .err = err};
        for (int i = 0; i < k->threads; i++) k->stores[i].count = 0;
        base_pool_run(c->m->runtime->pool, (count + CHUNK - 1) / CHUNK, tokenize_chunk, &w);
        NIB_TRY((nib_status)atomic_load(&w.status));
    }
    for (size_t i = 0; i < count; i++) {
        const model_place *p = t->are_ids ? NULL : &k->places[i];
        k->ids[i] = p ? k->stores[p->store].ids + p->at : t->ids[first + i];
        k->types[i] = p && !c->m->settings.tokenizer.no_types ? k->stores[p->store].types + p->at : NULL;
        k->lengths[i] = p ? p->length : t->lengths[first + i];
        if (t->tokens) t->tokens[first + i] = k->lengths[i];
        if (t->full_tokens) t->full_tokens[first + i] = p ? p->full : k->lengths[i];
    }
    NIB_TRY(check_ids(c, t->are_ids ? NIB_INVALID_ARGUMENT : NIB_BAD_TOKENIZER, err));
fail:
    return status;
}

nib_status task_run(task_call *c, const run_sink *sink, nib_error *err) {
    const model_caller *k = c->caller;
    nib_profile *profile = c->given->profile;
    const bool types = !c->given->are_ids && !c->m->settings.tokenizer.no_types;
    const run_batch batch = {.n = c->count,
                             .ids = k->ids,
                             .types = types ? k->types : NULL,
                             .lengths = k->lengths,
                             .skip = c->skip};
    run_session_profile(k->session, profile ? profile->steps : NULL);
    if (profile) {
        uint64_t tokens = 0;
        for (size_t i = 0; i < batch.n; i++) tokens += (uint64_t)batch.lengths[i];
        atomic_fetch_add(&profile->texts, batch.n);
        atomic_fetch_add(&profile->tokens, tokens);
    }
    return run_texts(k->session, &c->program->roles, &batch, c->m->batch_tokens, sink, err);
}

nib_status task_rows(nib_model *m, nib_task task, const task_texts *given, float *out, nib_error *err) {
    nib_status status = NIB_OK;
    task_call c;
    NIB_TRY(task_begin(&c, m, task, given, err));
    for (size_t at = 0; at < given->n; at += c.count) {
        NIB_TRY(task_tokenize(&c, at, task_window(&c, at), err));
        const run_sink sink = {.width = c.program->width, .to = out + at * (size_t)c.program->width};
        NIB_TRY(task_run(&c, &sink, err));
    }
fail:
    task_end(&c);
    return status;
}

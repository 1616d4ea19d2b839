/* SPDX-License-Identifier: Apache-2.0
 *
 * See task_texts.h. In: texts, pairs or ids. Out: rows of the program's output, where the sink has them.
 */
#include "task.h"
#include "task_queue.h"
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

nib_status task_count_prompt(nib_model *m, const model_program *p, model_ids *store, const char *prompt,
                             int64_t max_tokens, int64_t *out, nib_error *err) {
    text_encoding *enc = &store->encoding;
    *out = 0;
    if (!prompt || !*prompt || p->roles.skip < 0) return NIB_OK;
    nib_status status = text_encode(m->tokenizer, prompt, strlen(prompt), NULL, 0, max_tokens, true, enc, err);
    if (status != NIB_OK || enc->count == 0) return status;
    size_t last = enc->count - 1;
    *out = (int64_t)enc->count - (enc->special[last] || text_is_special(m->tokenizer, enc->ids[last]));
    return NIB_OK;
}

int64_t task_longest(const nib_model *m, const model_program *p, int64_t asked) {
    int64_t most = m->max_tokens;
    if (p->longest && p->longest < most) most = p->longest;
    return asked > 0 && asked < most ? asked : most;
}

static nib_status check_lengths(const task_call *c, nib_error *err) {
    for (size_t i = 0; i < c->given->n; i++)
        if (c->given->lengths[i] < 1 || c->given->lengths[i] > c->max_tokens)
            return base_error_set(err, NIB_INVALID_ARGUMENT, "text %zu: from 1 to %lld ids are needed", i,
                                  (long long)c->max_tokens);
    return NIB_OK;
}

nib_status task_choose_vectors(nib_model *m, int which, const model_program *p, const nib_vector_options *vectors,
                               task_vectors *out, nib_error *err) {
    const bool unit = which == NIB_TASK_TOKENS ? p->normalized : m->normalize;
    nib_status status = task_vectors_choose(vectors, p->width, unit, true, out, err);
    if (status == NIB_OK && out->dimensions < p->width && !hf_settings_cuts_to(&m->settings, out->dimensions) &&
        !atomic_exchange(&m->cut_said, 1)) {
        const char *cuts = m->settings.matryoshka;
        base_log(m->runtime, NIB_LOG_WARN,
                 "vectors of %lld numbers are cut to %lld: config.json says %s%s (matryoshka_dimensions), so that they may find less",
                 (long long)p->width, (long long)out->dimensions,
                 *cuts ? "that they were trained for " : "nothing of being trained for that", cuts);
    }
    return status;
}

nib_status task_begin(task_call *c, nib_model *m, nib_task task, const task_texts *given, nib_error *err) {
    nib_status status = NIB_OK;
    *c = (task_call){.m = m, .given = given, .which = (int)task};
    NIB_TRY(model_get_program(m, c->which, &c->program, err));
    NIB_TRY(task_choose_vectors(m, c->which, c->program, given->vectors, &c->vectors, err));
    if (!given->are_ids) NIB_TRY(model_check_tokenizer(m, err));
    if (task == NIB_TASK_CLASSIFY && !given->are_ids) NIB_TRY(task_check_judged(m, given, err));
    if (given->profile && given->profile->p != c->program->p)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "the profile is another model's, a session's, or another task's");
    c->max_tokens = task_longest(m, c->program, given->max_tokens);
    if (given->are_ids) NIB_TRY(check_lengths(c, err));
    NIB_TRY(model_take_caller(m, c->which, &c->caller, err));
    NIB_TRY(task_count_prompt(m, c->program, &c->caller->stores[0], given->prompt, c->max_tokens, &c->skip, err));
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

nib_status task_encode(nib_model *m, model_ids *store, const task_text *t, int64_t *length, int64_t *full, nib_error *err) {
    base_heap *heap = &m->runtime->heap;
    text_encoding *enc = &store->encoding;
    const char *text = t->text;
    size_t bytes = t->length;
    if (t->pair && m->settings.judge.from[0]) return task_encode_judged(m, store, t, length, full, err);
    if (t->prompt_length) {
        if (bytes > SIZE_MAX - t->prompt_length ||
            !base_grow(heap, (void **)&store->prompted, &store->prompted_cap, t->prompt_length + bytes, 1))
            return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a text of %zu bytes", bytes);
        memcpy(store->prompted, t->prompt, t->prompt_length);
        if (bytes) memcpy(store->prompted + t->prompt_length, text, bytes);
        text = store->prompted;
        bytes += t->prompt_length;
    }
    const text_truncation cut = {
        .max_tokens = t->max_tokens, .left = text_own_truncation(m->tokenizer).left, .strategy = t->strategy};
    nib_status status = text_encode_cut(m->tokenizer, text, bytes, t->pair, t->pair_length, &cut, true, enc, err);
    if (status != NIB_OK) return status;
    if (!base_grow(heap, (void **)&store->ids, &store->ids_cap, store->count + enc->count, sizeof(int32_t)) ||
        !base_grow(heap, (void **)&store->types, &store->types_cap, store->count + enc->count, sizeof(int32_t)))
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for token ids");
    if (enc->count) {
        memcpy(store->ids + store->count, enc->ids, enc->count * sizeof(int32_t));
        memcpy(store->types + store->count, enc->type_ids, enc->count * sizeof(int32_t));
    }
    store->count += enc->count;
    *length = (int64_t)enc->count;
    *full = (int64_t)enc->full_count;
    return NIB_OK;
}

static nib_status tokenize_one(task_call *c, size_t i, int slot, nib_error *err) {
    const task_texts *t = c->given;
    model_ids *store = &c->caller->stores[slot];
    const size_t at = c->first + i;
    const char *pair = t->pairs ? t->pairs[at] : NULL;
    const task_text text = {.prompt = t->prompt,
                            .prompt_length = t->prompt ? strlen(t->prompt) : 0,
                            .text = t->texts[at],
                            .length = length_of(t->texts, t->text_lengths, at),
                            .pair = pair,
                            .strategy = t->strategy,
                            .pair_length = pair ? length_of(t->pairs, t->pair_lengths, at) : 0,
                            .max_tokens = c->max_tokens};
    model_place *place = &c->caller->places[i];
    *place = (model_place){.store = slot, .at = store->count};
    return task_encode(c->m, store, &text, &place->length, &place->full, err);
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

nib_status task_check_ids(const nib_model *m, const run_item *item, size_t text, nib_status fault, nib_error *err) {
    for (int64_t j = 0; j < item->length; j++) {
        int32_t id = item->ids[j], type = item->types && m->roles.types >= 0 ? item->types[j] : 0;
        if (id >= 0 && id < m->ids_below && type >= 0 && type < m->types_below) continue;
        bool of_id = id < 0 || id >= m->ids_below;
        int64_t rows = of_id ? m->ids_below : m->types_below;
        char table[48] = "negative";
        if (rows < INT64_MAX) snprintf(table, sizeof table, "outside the table of %lld rows", (long long)rows);
        return base_error_set(err, fault, "text %zu, token %lld: %s %d is %s", text, (long long)j,
                              of_id ? "id" : "type", (int)(of_id ? id : type), table);
    }
    return NIB_OK;
}

nib_status task_check_empty(int which, bool pair, const run_item *item, size_t text, nib_error *err) {
    if (which != NIB_TASK_CLASSIFY || item->length > 0) return NIB_OK;
    return base_error_set(err, NIB_INVALID_ARGUMENT, "%s %zu has no token, and so no score", pair ? "the pair of texts" : "text", text);
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
    const bool types = !c->m->settings.tokenizer.no_types;
    for (size_t i = 0; i < count; i++) {
        const model_place *p = t->are_ids ? NULL : &k->places[i];
        const int64_t length = p ? p->length : t->lengths[first + i];
        k->items[i] = (run_item){.ids = p ? k->stores[p->store].ids + p->at : t->ids[first + i],
                                 .types = !types        ? NULL
                                          : p           ? k->stores[p->store].types + p->at
                                          : t->id_types ? t->id_types[first + i]
                                                        : NULL,
                                 .length = length,
                                 .seen = t->seen ? t->seen[first + i] : 0,
                                 .count = length};
        if (t->tokens) t->tokens[first + i] = length;
        if (t->full_tokens) t->full_tokens[first + i] = p ? p->full : length;
        NIB_TRY(task_check_ids(c->m, &k->items[i], first + i, t->are_ids ? NIB_INVALID_ARGUMENT : NIB_BAD_TOKENIZER,
                               err));
        NIB_TRY(task_check_empty(c->which, t->pairs != NULL, &k->items[i], first + i, err));
        if (t->want) NIB_TRY(t->want(t->take_user, first + i, &k->items[i], err));
    }
fail:
    return status;
}

/* ---- running them */

typedef struct giving {
    const task_call *c;
    char *to;          /* rows of c->vectors */
    const int64_t *at; /* as task_run's */
    base_mutex *lock; /* where somebody is told, one text after the other */
} giving;

static void give(void *user, size_t i, float *rows, int64_t count) {
    const giving *g = user;
    const task_texts *t = g->c->given;
    const task_vectors *v = &g->c->vectors;
    const int64_t W = v->width;
    const size_t at = g->at ? (size_t)g->at[i] : g->c->first + i;
    for (int64_t j = 0; j < count && t->finish; j++) t->finish(rows + j * W, W);
    if (t->take) t->take(t->take_user, g->c->first + i, &g->c->caller->items[i], rows, count);
    else task_vectors_put(v, rows, (size_t)count, g->to + at * v->bytes);
    if (!g->lock) return;
    base_mutex_lock(g->lock);
    t->ticket->answer(t->ticket->answer_user, g->c->first + i, NIB_OK, rows, count, W);
    base_mutex_unlock(g->lock);
}

nib_status task_run(task_call *c, void *to, const int64_t *at, nib_error *err) {
    const model_caller *k = c->caller;
    const nib_ticket *ticket = c->given->ticket;
    nib_profile *profile = c->given->profile;
    base_heap *heap = &c->m->runtime->heap;
    const run_batch batch = {.n = c->count, .items = k->items, .skip = c->skip};
    giving g = {.c = c, .to = to, .at = at};
    if (ticket && ticket->answer && !(g.lock = base_mutex_create(heap)))
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a batch");
    run_session_profile(k->session, profile ? profile->steps : NULL);
    if (profile) {
        uint64_t tokens = 0;
        for (size_t i = 0; i < batch.n; i++) tokens += (uint64_t)batch.items[i].length;
        atomic_fetch_add(&profile->texts, batch.n);
        atomic_fetch_add(&profile->tokens, tokens);
    }
    const run_sink sink = {.width = c->program->width, .tokens = c->program->tokens, .give = give, .user = &g};
    nib_status status =
        run_texts(k->session, &c->program->roles, &batch, c->m->batch_tokens, RUN_TEAM_ALL, &sink, err);
    base_mutex_free(heap, g.lock);
    return status;
}

nib_status task_rows_now(nib_model *m, nib_task task, const task_texts *given, void *out, nib_error *err) {
    nib_status status = NIB_OK;
    task_call c;
    NIB_TRY(task_begin(&c, m, task, given, err));
    for (size_t at = 0; at < given->n; at += c.count) {
        NIB_TRY(task_tokenize(&c, at, task_window(&c, at), err));
        NIB_TRY(task_run(&c, out, NULL, err));
    }
fail:
    task_end(&c);
    return status;
}

nib_status task_rows(nib_model *m, nib_task task, const task_texts *given, void *out, nib_error *err) {
    const bool waits = given->ticket && given->ticket->queue;
    return waits ? queue_rows(m, task, given, out, err) : task_rows_now(m, task, given, out, err);
}

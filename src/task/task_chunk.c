/* SPDX-License-Identifier: Apache-2.0
 *
 * See task_chunk.h. In: texts. Out: encodings, and rows of their tokens.
 */
#include "task_chunk.h"
#include <string.h>

#define CHUNK_BYTES (128u << 10) /* so that rows of a few hundred labels a token stay some tens of megabytes */
#define PARALLEL 8               /* texts that a thread takes at a time */

/* Text i's pair, NULL for none. */
static const char *pair_of(const task_chunk *c, size_t i, size_t *length) {
    const char *pair = c->given.pairs ? c->given.pairs[i] : NULL;
    *length = !pair ? 0 : c->given.pair_lengths ? c->given.pair_lengths[i] : strlen(pair);
    return pair;
}

static size_t length_of(const task_chunk *c, size_t i) {
    return c->given.text_lengths ? c->given.text_lengths[i] : strlen(c->given.texts[i]);
}

/* ---- all threads */

typedef struct each {
    const task_chunk *c;
    task_chunk_fn fn;
    void *user;
    _Atomic int status;
    nib_error *err;
} each;

static void each_some(void *arg, size_t part, int slot) {
    each *e = arg;
    nib_error error;
    const size_t end = (part + 1) * PARALLEL < e->c->count ? (part + 1) * PARALLEL : e->c->count;
    for (size_t i = part * PARALLEL; i < end && atomic_load(&e->status) == NIB_OK; i++) {
        nib_status status = base_stop_check(&error);
        if (status == NIB_OK) status = e->fn(e->user, i, slot, &error);
        int none = NIB_OK;
        if (status != NIB_OK && atomic_compare_exchange_strong(&e->status, &none, status) && e->err) *e->err = error;
    }
}

nib_status task_chunk_each(const task_chunk *c, task_chunk_fn fn, void *user, nib_error *err) {
    each e = {.c = c, .fn = fn, .user = user, .err = err};
    base_pool_run(c->m->runtime->pool, (c->count + PARALLEL - 1) / PARALLEL, each_some, &e);
    return (nib_status)atomic_load(&e.status);
}

/* ---- begin, next, end */

nib_status task_chunk_begin(task_chunk *c, bool windows, int64_t stride, nib_error *err) {
    nib_status status = NIB_OK;
    const model_program *program;
    base_heap *heap = &c->m->runtime->heap;
    const size_t threads = (size_t)base_pool_threads(c->m->runtime->pool);
    NIB_TRY(model_get_program(c->m, (int)c->task, &program, err));
    NIB_TRY(model_check_tokenizer(c->m, err));
    c->cut = text_own_truncation(c->m->tokenizer);
    c->cut.max_tokens = task_longest(c->m, program, c->given.max_tokens);
    c->cut.strategy = TEXT_LONGEST_FIRST;
    c->cut.windows = windows;
    c->cut.stride = stride;
    c->width = program->width;
    c->prompted = base_calloc(heap, threads, sizeof *c->prompted);
    c->prompted_caps = base_calloc(heap, threads, sizeof *c->prompted_caps);
    if (!c->prompted || !c->prompted_caps) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for texts");
fail:
    return status;
}

void task_chunk_end(task_chunk *c) {
    base_heap *heap = &c->m->runtime->heap;
    for (size_t i = 0; i < c->made; i++) text_encoding_free(&c->encodings[i]);
    for (int i = 0; c->prompted && i < base_pool_threads(c->m->runtime->pool); i++) base_free(heap, c->prompted[i]);
    base_free(heap, c->prompted);
    base_free(heap, c->prompted_caps);
    base_free(heap, c->encodings);
    base_free(heap, c->items);
    base_free(heap, c->seen);
    base_free(heap, c->ids);
    base_free(heap, c->types);
    base_free(heap, c->lengths);
    base_free(heap, c->offsets);
    base_free(heap, c->rows);
    base_free(heap, c->records);
    for (int i = 0; i < 2; i++) {
        base_free(heap, c->copied[i]);
        base_free(heap, c->lengths_copied[i]);
    }
    base_free(heap, c->prompt_copied);
}

bool task_chunk_next(task_chunk *c) {
    size_t bytes = 0;
    c->first += c->count;
    c->count = 0;
    while (c->first + c->count < c->given.n && c->count < TASK_CHUNK_TEXTS && (c->count == 0 || bytes < CHUNK_BYTES)) {
        size_t pair;
        pair_of(c, c->first + c->count, &pair);
        bytes += pair + length_of(c, c->first + c->count++);
    }
    return c->count > 0;
}

nib_status task_copy_texts(base_heap *heap, const char *const *list, const size_t *lengths, size_t n, const char ***out,
                           nib_error *err) {
    size_t bytes = 0;
    bool fits = base_mul_size(n, sizeof *list, &bytes);
    for (size_t i = 0; i < n; i++) fits = fits && base_add_size(bytes, (lengths ? lengths[i] : strlen(list[i])) + 1, &bytes);
    const char **made = *out = fits ? base_alloc(heap, bytes + 1) : NULL;
    if (!made) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for %zu texts", n);
    char *to = (char *)(made + n);
    for (size_t i = 0; i < n; i++) {
        const size_t length = lengths ? lengths[i] : strlen(list[i]);
        if (length) memcpy(to, list[i], length);
        to[length] = 0;
        made[i] = to;
        to += length + 1;
    }
    return NIB_OK;
}

static nib_status copy_lengths(base_heap *heap, const size_t **lengths, size_t n, size_t **out, nib_error *err) {
    if (!*lengths) return NIB_OK;
    size_t *made = *out = base_calloc(heap, n + 1, sizeof *made);
    if (!made) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for %zu texts", n);
    memcpy(made, *lengths, n * sizeof *made);
    *lengths = made;
    return NIB_OK;
}

nib_status task_chunk_all(task_chunk *c, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &c->m->runtime->heap;
    task_texts *t = &c->given;
    NIB_TRY(task_copy_texts(heap, t->texts, t->text_lengths, t->n, &c->copied[0], err));
    t->texts = c->copied[0];
    if (t->pairs) {
        NIB_TRY(task_copy_texts(heap, t->pairs, t->pair_lengths, t->n, &c->copied[1], err));
        t->pairs = c->copied[1];
    }
    NIB_TRY(copy_lengths(heap, &t->text_lengths, t->n, &c->lengths_copied[0], err));
    NIB_TRY(copy_lengths(heap, &t->pair_lengths, t->n, &c->lengths_copied[1], err));
    if (t->prompt) {
        c->prompt_copied = base_strndup(heap, t->prompt, strlen(t->prompt));
        if (!c->prompt_copied) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a prompt");
        t->prompt = c->prompt_copied;
    }
    c->first = 0;
    c->count = t->n;
fail:
    return status;
}

/* ---- run */

static nib_status encode_one(void *user, size_t i, int slot, nib_error *err) {
    task_chunk *c = user;
    text_encoding *e = &c->encodings[i];
    const char *text = c->given.texts[c->first + i], *prompt = c->given.prompt;
    size_t length = length_of(c, c->first + i), before = prompt ? strlen(prompt) : 0;
    if (before) {
        char **at = &c->prompted[slot];
        if (length > SIZE_MAX - before ||
            !base_grow(&c->m->runtime->heap, (void **)at, &c->prompted_caps[slot], before + length, 1))
            return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a text of %zu bytes", length);
        memcpy(*at, prompt, before);
        if (length) memcpy(*at + before, text, length);
        text = *at;
        length += before;
    }
    size_t pair_length;
    const char *pair = pair_of(c, c->first + i, &pair_length);
    nib_status status = text_encode_cut(c->m->tokenizer, text, length, pair, pair_length, &c->cut, true, e, err);
    if (status != NIB_OK) return status;
    if (c->given.tokens) c->given.tokens[c->first + i] = (int64_t)e->count;
    if (c->given.full_tokens) c->given.full_tokens[c->first + i] = (int64_t)e->full_count;
    return c->edit ? c->edit(c->user, i, e, err) : NIB_OK;
}

static bool make_encodings(task_chunk *c) {
    base_heap *heap = &c->m->runtime->heap;
    size_t cap = c->items_cap;
    if (!base_grow(heap, (void **)&c->encodings, &c->encodings_cap, c->count, sizeof *c->encodings)) return false;
    if (!base_grow(heap, (void **)&c->items, &cap, c->count + 1, sizeof *c->items)) return false;
    c->items_cap = cap;
    for (; c->made < c->count; c->made++) text_encoding_init(&c->encodings[c->made], heap);
    if (c->sees && !base_grow(heap, (void **)&c->seen, &c->seen_cap, c->count + 1, sizeof *c->seen)) return false;
    cap = c->records_cap;
    if (c->record_bytes && !base_grow(heap, &c->records, &c->records_cap, c->count, c->record_bytes)) return false;
    if (c->records_cap > cap) memset((char *)c->records + cap * c->record_bytes, 0, (c->records_cap - cap) * c->record_bytes);
    return true;
}

static bool make_lists(task_chunk *c, size_t n) {
    base_heap *heap = &c->m->runtime->heap;
    size_t caps[4] = {c->list_cap, c->list_cap, c->list_cap, c->list_cap};
    if (!base_grow(heap, (void **)&c->ids, &caps[0], n + 1, sizeof *c->ids)) return false;
    if (!base_grow(heap, (void **)&c->types, &caps[1], n + 1, sizeof *c->types)) return false;
    if (!base_grow(heap, (void **)&c->lengths, &caps[2], n + 1, sizeof *c->lengths)) return false;
    if (!base_grow(heap, (void **)&c->offsets, &caps[3], n + 1, sizeof *c->offsets)) return false;
    c->list_cap = caps[0];
    return true;
}

/* Every window that has a token is an item. */
static nib_status list_items(task_chunk *c, nib_error *err) {
    size_t n = 0;
    for (size_t i = 0; i < c->count; i++) n += c->encodings[i].window_count > 1 ? c->encodings[i].window_count : 1;
    if (!make_lists(c, n)) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for %zu texts", c->count);
    n = 0;
    for (size_t i = 0; i < c->count; i++) {
        const text_encoding *e = &c->encodings[i];
        const size_t windows = e->window_count > 1 ? e->window_count : 1;
        c->items[i] = n;
        for (size_t k = 0; k < windows; k++) {
            const size_t at = k ? e->windows[k] : 0, end = k + 1 < windows ? e->windows[k + 1] : e->count;
            if (at == end) continue; /* a text without a token, special ones included */
            c->ids[n] = e->ids + at;
            c->types[n] = e->type_ids + at;
            if (c->seen) c->seen[n] = c->seen[i];
            c->lengths[n++] = (int64_t)(end - at);
        }
    }
    c->items[c->count] = n;
    return NIB_OK;
}

nib_status task_chunk_encode(task_chunk *c, nib_error *err) {
    nib_status status = NIB_OK;
    if (!make_encodings(c)) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for %zu texts", c->count);
    NIB_TRY(task_chunk_each(c, encode_one, c, err));
    NIB_TRY(list_items(c, err));
fail:
    return status;
}

task_texts task_chunk_given(const task_chunk *c, nib_ticket *ticket) {
    if (c->given.ticket) *ticket = *c->given.ticket, ticket->answer = NULL; /* which is of texts, not items */
    return (task_texts){.n = c->items[c->count],
                        .are_ids = true,
                        .ids = c->ids,
                        .id_types = c->types,
                        .lengths = c->lengths,
                        .seen = c->seen,
                        .prompt = c->pooled ? c->given.prompt : NULL, /* which a model may leave out of a pool */
                        .max_tokens = c->given.max_tokens,
                        .profile = c->given.profile,
                        .finish = c->given.finish,
                        .ticket = c->given.ticket ? ticket : NULL};
}

nib_status task_chunk_make_rows(task_chunk *c, nib_error *err) {
    base_heap *heap = &c->m->runtime->heap;
    size_t bytes;
    base_free(heap, c->rows);
    c->rows = base_mul_size(c->items[c->count], (size_t)c->width * sizeof *c->rows, &bytes) ? base_alloc(heap, bytes + 1) : NULL;
    if (c->rows) return NIB_OK;
    return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the vectors of %zu chunks", c->items[c->count]);
}

nib_status task_chunk_run(task_chunk *c, nib_error *err) {
    nib_status status = NIB_OK;
    nib_ticket ticket;
    task_vectors made;
    void *rows = NULL;
    NIB_TRY(task_chunk_encode(c, err));
    const task_texts items = task_chunk_given(c, &ticket);
    if (c->pooled) {
        NIB_TRY(task_chunk_make_rows(c, err));
        return task_rows(c->m, c->task, &items, c->rows, err);
    }
    base_free(&c->m->runtime->heap, c->rows);
    c->rows = NULL;
    NIB_TRY(task_token_rows(c->m, c->task, &items, c->offsets, &rows, &made, err));
    c->rows = rows;
fail:
    return status;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * See task_stream.h. Bytes wait in `text` until a place to cut them is proven; what lies before it becomes tokens, which
 * wait until their chunk's end is certain; a chunk's row waits in a ring, or is told of at once:
 *
 *     text [base ..]  --tokenize-->  tokens  --pump-->  ring or callback
 *
 * All of it under one lock, which is open only while feeding waits for a reader.
 */
#include "task_stream.h"
#include "task_chunk_cut.h"
#include <math.h>
#include <string.h>

#define PIECE 1024 /* bytes that are taken before their tokens are looked for */
#define TRIES 4    /* places to cut that are tried, from the end of the text */

typedef struct token {
    int32_t id, type;
    uint64_t begin, end;
} token;

struct nib_stream {
    nib_model *m;
    nib_stream_options o;
    nib_chunk_options chunks;
    nib_vector_options vectors;
    nib_ticket ticket;
    task_texts given; /* of a chunk's ids */
    char *prompt;
    size_t row_bytes, prompt_length;
    int64_t longest;
    base_mutex *lock;
    base_condition *changed;
    char *text; /* [length] the first with the prompt in front */
    size_t length, text_cap, tried; /* tried: the last place to cut that was */
    uint64_t base;                  /* where text begins */
    size_t front;                   /* bytes of the prompt in text */
    bool framed, ended, done;
    chunk_rule rule;
    chunk_frame frame;
    int32_t *around; /* [2][lead + tail] ids and types */
    token *tokens;   /* [count] from the next chunk's first on */
    uint8_t *ends;   /* [count] */
    size_t count, tokens_cap, ends_cap;
    int32_t *ids; /* [2][longest] of the chunk that is run */
    text_encoding whole, head, tail;
    char *rows; /* [max_vectors, row_bytes] a ring */
    nib_stream_chunk *told;
    size_t first;
    double opened;
    nib_stream_statistics stats;
};

static base_heap *heap_of(const nib_stream *s) { return &s->m->runtime->heap; }
static nib_status no_memory(nib_error *err) { return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a stream"); }

/* ---- text -> tokens */

static nib_status encode(nib_stream *s, const char *text, size_t length, size_t front, text_encoding *e, chunk_frame *f,
                         nib_error *err) {
    nib_status status = text_encode(s->m->tokenizer, text, length, NULL, 0, 0, true, e, err);
    if (status == NIB_OK) *f = chunk_frame_of(e, front);
    return status;
}

static bool same_tokens(const text_encoding *a, size_t at_a, const text_encoding *b, size_t at_b, size_t n,
                        size_t moved) {
    for (size_t i = 0; i < n; i++) {
        const text_span x = a->spans[at_a + i], y = b->spans[at_b + i];
        if (a->ids[at_a + i] != b->ids[at_b + i] || a->type_ids[at_a + i] != b->type_ids[at_b + i]) return false;
        if (x.begin != y.begin + moved || x.end != y.end + moved) return false;
    }
    return true;
}

/* Whether the tokenizer makes the same of text[0 .. q) and of its two sides at p; s->head then is the first. */
static nib_status try_cut(nib_stream *s, const chunk_frame *fw, size_t p, size_t q, chunk_frame *fh, bool *same,
                          nib_error *err) {
    chunk_frame ft;
    nib_status status = encode(s, s->text, p, s->front, &s->head, fh, err);
    if (status == NIB_OK) status = encode(s, s->text + p, q - p, 0, &s->tail, &ft, err);
    if (status != NIB_OK) return status;
    const size_t w = s->whole.count - fw->lead - fw->tail, h = s->head.count - fh->lead - fh->tail;
    const size_t t = s->tail.count - ft.lead - ft.tail;
    *same = w == h + t && fw->lead == fh->lead && same_tokens(&s->whole, 0, &s->head, 0, fh->lead + h, 0) &&
            same_tokens(&s->whole, fw->lead + h, &s->tail, ft.lead, t, p);
    return NIB_OK;
}

/* What stands around each chunk, from the first encoding. */
static nib_status learn_frame(nib_stream *s, const text_encoding *e, chunk_frame f, nib_error *err) {
    const size_t n = f.lead + f.tail;
    nib_status status = chunk_rule_make(&s->chunks, s->longest, &f, &s->rule, err);
    if (status != NIB_OK) return status;
    s->around = base_alloc(heap_of(s), (2 * n + 1) * sizeof *s->around);
    if (!s->around) return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        const size_t at = i < f.lead ? i : e->count - n + i;
        s->around[i] = e->ids[at];
        s->around[n + i] = e->type_ids[at];
    }
    s->frame = f;
    s->framed = true;
    return NIB_OK;
}

/* The tokens of e, of text[0 .. p), are certain; of what follows, `seen` bytes in all are there to look at. */
static nib_status take_tokens(nib_stream *s, const text_encoding *e, chunk_frame f, size_t p, size_t seen,
                              nib_error *err) {
    const size_t n = e->count - f.lead - f.tail;
    if (!s->framed) {
        nib_status status = learn_frame(s, e, f, err);
        if (status != NIB_OK) return status;
    }
    if (!base_grow(heap_of(s), (void **)&s->tokens, &s->tokens_cap, s->count + n + 1, sizeof *s->tokens) ||
        !base_grow(heap_of(s), (void **)&s->ends, &s->ends_cap, s->count + n + 1, 1))
        return no_memory(err);
    for (size_t i = 0; i < n; i++, s->count++) {
        const text_span x = e->spans[f.lead + i];
        const int32_t id = e->ids[f.lead + i], type = e->type_ids[f.lead + i];
        s->tokens[s->count] = (token){id, type, s->base + (x.begin - s->front), s->base + (x.end - s->front)};
        s->ends[s->count] =
            x.end >= s->front && chunk_sentence_ends(s->text + s->front, seen - s->front, x.end - s->front);
    }
    s->base += p - s->front;
    s->front = 0;
    memmove(s->text, s->text + p, s->length - p);
    s->length -= p;
    s->tried = 0;
    return NIB_OK;
}

static bool is_white(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* The last place before `below` where white space begins behind something else; 0: none, behind the prompt. */
static size_t place_before(const nib_stream *s, size_t below) {
    for (size_t i = below; i > s->front + 1; i--)
        if (is_white(s->text[i - 1]) && !is_white(s->text[i - 2])) return i - 1;
    return 0;
}

static nib_status tokenize(nib_stream *s, nib_error *err) {
    chunk_frame fw, fh;
    bool same = false;
    const size_t q = place_before(s, s->length);
    size_t p = q ? place_before(s, q) : 0;
    if (!p || q == s->tried) return NIB_OK;
    s->tried = q;
    nib_status status = encode(s, s->text, q, s->front, &s->whole, &fw, err);
    for (int k = 0; k < TRIES && p && status == NIB_OK; k++, p = place_before(s, p)) {
        status = try_cut(s, &fw, p, q, &fh, &same, err);
        if (status == NIB_OK && same) return take_tokens(s, &s->head, fh, p, q, err);
    }
    return status;
}

/* ---- tokens -> rows */

static nib_status run_chunk(nib_stream *s, size_t n, void *row, nib_error *err) {
    const size_t around = s->frame.lead + s->frame.tail, total = around + n;
    int32_t *ids = s->ids, *types = s->ids + s->longest;
    for (size_t i = 0; i < total; i++) {
        const bool own = i >= s->frame.lead && i < s->frame.lead + n;
        const size_t at = i < s->frame.lead ? i : i - n;
        ids[i] = own ? s->tokens[i - s->frame.lead].id : s->around[at];
        types[i] = own ? s->tokens[i - s->frame.lead].type : s->around[around + at];
    }
    const int64_t length = (int64_t)total;
    task_texts given = s->given;
    given.ids = (const int32_t *const *)&ids;
    given.id_types = (const int32_t *const *)&types;
    given.lengths = &length;
    const double begun = base_clock();
    nib_status status = task_rows(s->m, NIB_TASK_EMBED, &given, row, err);
    s->stats.embed_seconds += base_clock() - begun;
    return status;
}

static void tell(nib_stream *s, const nib_stream_chunk *c, const void *row) {
    nib_stream_statistics *t = &s->stats;
    t->chunks++;
    t->tokens += (uint64_t)c->tokens;
    if (t->chunks == 1) t->first_seconds = base_clock() - s->opened;
    if (s->o.vector) {
        s->o.vector(s->o.user, c, row);
        return;
    }
    s->told[(s->first + t->waiting_vectors++) % s->o.max_vectors] = *c;
    if (t->waiting_vectors > t->most_vectors) t->most_vectors = t->waiting_vectors;
    base_condition_broadcast(s->changed);
}

/* Embeds what is certain while there is room. *stuck: there is none, and a chunk waits for it. */
static nib_status pump(nib_stream *s, bool *stuck, nib_error *err) {
    for (*stuck = false; s->framed && !s->done;) {
        chunk_range r = {0};
        size_t next;
        if (!chunk_rule_next(&s->rule, s->ends, s->count, s->ended, &r, &next)) return NIB_OK;
        *stuck = !s->o.vector && s->stats.waiting_vectors == s->o.max_vectors;
        if (*stuck) return NIB_OK;
        const size_t tokens = s->frame.lead + s->frame.tail + r.end;
        char *row = s->rows + (s->first + s->stats.waiting_vectors) % s->o.max_vectors * s->row_bytes;
        const nib_stream_chunk c = {.index = s->stats.chunks,
                                    .begin = r.end ? s->tokens[0].begin : 0,
                                    .end = r.end ? s->tokens[r.end - 1].end : 0,
                                    .tokens = (int64_t)tokens};
        nib_status status = tokens ? run_chunk(s, r.end, row, err) : NIB_OK;
        if (status != NIB_OK) return status;
        if (tokens) tell(s, &c, row);
        s->done = s->ended && r.end == s->count;
        memmove(s->tokens, s->tokens + next, (s->count - next) * sizeof *s->tokens);
        memmove(s->ends, s->ends + next, s->count - next);
        s->count -= next;
    }
    return NIB_OK;
}

/* ---- calls */

static nib_status take_piece(nib_stream *s, const char *bytes, size_t length, size_t *taken, nib_error *err) {
    const size_t waits = s->length - s->front, room = waits < s->o.max_bytes ? s->o.max_bytes - waits : 0;
    const size_t most = length < PIECE ? length : PIECE, n = most < room ? most : room;
    if (!n)
        return base_error_set(err, NIB_LIMIT, "%zu bytes of the stream, from byte %llu on, have no place where the tokenizer can "
                                              "be seen to let them be cut", waits, (unsigned long long)s->base);
    if (!base_grow(heap_of(s), (void **)&s->text, &s->text_cap, s->length + n, 1)) return no_memory(err);
    memcpy(s->text + s->length, bytes, n);
    s->length += n;
    *taken += n;
    s->stats.bytes += n;
    if (waits + n > s->stats.most_bytes) s->stats.most_bytes = waits + n;
    return tokenize(s, err);
}

nib_status stream_feed(nib_stream *s, const char *bytes, size_t length, size_t *taken, nib_error *err) {
    nib_status status = NIB_OK;
    bool stuck;
    base_mutex_lock(s->lock);
    if (s->ended) NIB_FAIL(err, NIB_CANCELLED, "the stream has ended");
    for (;;) {
        NIB_TRY(pump(s, &stuck, err));
        if (*taken == length) break;
        if (!stuck) {
            NIB_TRY(take_piece(s, bytes + *taken, length - *taken, taken, err));
        } else if (s->o.full == NIB_QUEUE_FULL_REFUSE) {
            s->stats.refused++;
            NIB_FAIL(err, NIB_QUEUE_FULL, "%zu vectors wait to be read", s->o.max_vectors);
        } else {
            base_condition_wait(s->changed, s->lock, INFINITY);
        }
    }
fail:
    base_mutex_unlock(s->lock);
    return status;
}

nib_status stream_end(nib_stream *s, nib_error *err) {
    nib_status status = NIB_OK;
    bool stuck;
    chunk_frame f;
    base_mutex_lock(s->lock);
    if (!s->ended) {
        NIB_TRY(encode(s, s->text, s->length, s->front, &s->head, &f, err));
        NIB_TRY(take_tokens(s, &s->head, f, s->length, s->length, err));
        s->ended = true;
    }
    status = pump(s, &stuck, err);
    base_condition_broadcast(s->changed);
fail:
    base_mutex_unlock(s->lock);
    return status;
}

nib_status stream_next(nib_stream *s, double seconds, nib_stream_chunk *chunk, void *row, nib_error *err) {
    nib_status status = NIB_OK;
    const double until = seconds < 0 ? INFINITY : base_clock() + seconds;
    bool stuck;
    base_mutex_lock(s->lock);
    while (s->stats.waiting_vectors == 0) {
        NIB_TRY(pump(s, &stuck, err));
        if (s->stats.waiting_vectors) break;
        if (s->done) NIB_FAIL(err, NIB_NOT_FOUND, "the stream has ended, and all its vectors are read");
        if (base_clock() >= until) NIB_FAIL(err, NIB_TIMEOUT, "no vector is ready");
        base_condition_wait(s->changed, s->lock, until);
    }
    *chunk = s->told[s->first];
    memcpy(row, s->rows + s->first * s->row_bytes, s->row_bytes);
    s->first = (s->first + 1) % s->o.max_vectors;
    s->stats.waiting_vectors--;
    base_condition_broadcast(s->changed);
fail:
    base_mutex_unlock(s->lock);
    return status;
}

void stream_statistics(nib_stream *s, nib_stream_statistics *out) {
    base_mutex_lock(s->lock);
    s->stats.waiting_bytes = s->length - s->front;
    s->stats.waiting_tokens = s->count;
    *out = s->stats;
    base_mutex_unlock(s->lock);
}

static nib_status make(nib_stream *s, const nib_embed_options *e, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = heap_of(s);
    const model_program *p;
    task_vectors made;
    const char *prompt;
    size_t bytes;
    NIB_TRY(model_get_program(s->m, NIB_TASK_EMBED, &p, err));
    NIB_TRY(model_check_tokenizer(s->m, err));
    NIB_TRY(task_choose_vectors(s->m, NIB_TASK_EMBED, p, e->vectors, &made, err));
    NIB_TRY(task_prompt(s->m, e->prompt_name, e->prompt, &prompt, err));
    s->longest = task_longest(s->m, p, e->max_tokens);
    if (s->chunks.tokens && s->chunks.tokens < s->longest) s->longest = s->chunks.tokens;
    s->row_bytes = made.bytes;
    s->prompt_length = s->front = s->length = strlen(prompt);
    s->prompt = base_alloc(heap, s->front + 1);
    s->ids = base_calloc(heap, (size_t)s->longest, 2 * sizeof *s->ids);
    s->told = base_calloc(heap, s->o.max_vectors, sizeof *s->told);
    s->rows = base_mul_size(s->o.max_vectors, s->row_bytes, &bytes) ? base_alloc(heap, bytes) : NULL;
    s->lock = base_mutex_create(heap);
    s->changed = base_condition_create(heap);
    if (!s->prompt || !s->ids || !s->told || !s->rows || !s->lock || !s->changed ||
        !base_grow(heap, (void **)&s->text, &s->text_cap, s->front + 1, 1))
        NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a stream");
    memcpy(s->prompt, prompt, s->front + 1);
    memcpy(s->text, prompt, s->front);
    s->given = (task_texts){.n = 1,
                            .are_ids = true,
                            .prompt = s->prompt,
                            .vectors = e->vectors ? &s->vectors : NULL,
                            .ticket = e->ticket ? &s->ticket : NULL};
fail:
    return status;
}

nib_status stream_open(nib_model *m, const nib_stream_options *options, nib_stream **out, nib_error *err) {
    const nib_embed_options *e = options->embed;
    *out = NULL;
    nib_stream *s = base_calloc(&m->runtime->heap, 1, sizeof *s);
    if (!s) return no_memory(err);
    s->m = nib_model_retain(m);
    s->o = *options;
    s->o.embed = NULL;
    s->chunks = *e->chunks;
    if (e->vectors) s->vectors = *e->vectors;
    if (e->ticket) s->ticket = *e->ticket;
    s->opened = base_clock();
    text_encoding_init(&s->whole, heap_of(s));
    text_encoding_init(&s->head, heap_of(s));
    text_encoding_init(&s->tail, heap_of(s));
    nib_status status = make(s, e, err);
    if (status == NIB_OK) *out = s;
    else stream_free(s);
    return status;
}

void stream_free(nib_stream *s) {
    if (!s) return;
    base_heap *heap = heap_of(s);
    nib_model *m = s->m;
    text_encoding_free(&s->whole);
    text_encoding_free(&s->head);
    text_encoding_free(&s->tail);
    base_free(heap, s->prompt);
    base_free(heap, s->text);
    base_free(heap, s->around);
    base_free(heap, s->tokens);
    base_free(heap, s->ends);
    base_free(heap, s->ids);
    base_free(heap, s->rows);
    base_free(heap, s->told);
    base_condition_free(heap, s->changed);
    base_mutex_free(heap, s->lock);
    base_free(heap, s);
    nib_model_free(m);
}

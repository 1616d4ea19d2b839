/* SPDX-License-Identifier: Apache-2.0
 *
 * The device `mirror` (mirror_device.h). In: regions. Out: what a cpu's plan of each gives, bit for bit, computed in memory that
 * nobody else can reach. Built into tests, and once more as a plug-in.
 */
#include "mirror_device.h"
#include "base/base_thread.h"
#include "cpu/cpu.h"
#include "onnx/onnx.h"
#include "run/run_internal.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 4096
#define BLOCK_SHIFT 40
#define FAR ((uint64_t)0xd1 << 56) /* no address of user space begins like that: reading there is a fault */
#define GARBAGE 0xdb
#define LAYOUTS_SEEN 256

typedef struct block {
    char *data; /* NULL: free */
    size_t size;
} block;

typedef struct mirror {
    struct device base;
    struct device *cpu;
    base_mutex *lock; /* of what follows */
    block blocks[BLOCKS];
    int64_t name, seed, refuse, bucket, die, oom, after, slow, onnx, rows, fast, mute;
    const device_host_calls *host; /* of a plug-in */
    _Atomic int calls[MIRROR_CALLS];
    _Atomic bool dead;
} mirror;

struct device_program {
    mirror *m;
    const graph *region;
    plan *p;     /* of the region, by the cpu */
    graph *read; /* that it is of, if it is what the region is as ONNX; NULL: it is of the region */
    void *bytes; /* that it points into */
};

typedef struct seen_layout {
    uint64_t number;
    const device_program *program;
    uint64_t digest;
} seen_layout;

typedef struct piece { /* of work in a stream */
    struct piece *next;
    enum { PIECE_UPLOAD, PIECE_DOWNLOAD, PIECE_LAUNCH, PIECE_EVENT, PIECE_END } kind;
    device_address at;
    void *to;
    const void *from;
    size_t bytes;
    const device_program *program;
    device_launch launch; /* its arrays are the piece's, behind it */
    device_event *event;
} piece;

struct device_stream {
    mirror *m;
    base_mutex *lock;
    base_condition *changed;
    piece *first, **last, end; /* the end is not asked memory for */
    base_thread *thread;
    nib_status status; /* of the first piece that failed: what waits say; those behind it are not done */
    nib_error error;
    seen_layout seen[LAYOUTS_SEEN];
    int n_seen;
    run_session **sessions; /* [n] one a program that ran here */
    const device_program **of;
    int n_sessions;
};

struct device_event {
    mirror *m;
    base_mutex *lock;
    base_condition *changed;
    device_stream *stream; /* that it was recorded in last */
    bool reached;
    double when; /* it was */
};

static base_heap *heap_of(mirror *m) { return &m->base.runtime->heap; }

/* Counts a call, and fails it where the argument says so. */
static nib_status count_call(mirror *m, mirror_call call, nib_error *err) {
    const int n = atomic_fetch_add(&m->calls[call], 1);
    if (m->die == call && n >= m->after) atomic_store(&m->dead, true);
    if (atomic_load(&m->dead)) return base_error_set(err, NIB_DEVICE, "it is dead");
    if (m->oom == call && n == m->after) return base_error_set(err, NIB_OUT_OF_MEMORY, "mirror:%d has no memory", (int)m->name);
    return NIB_OK;
}

static nib_status no_memory(nib_error *err) { return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a mirror"); }

/* ---- memory */

static nib_status mirror_allocate(device *d, size_t bytes, device_address *out, nib_error *err) {
    mirror *m = (mirror *)d;
    nib_status status = count_call(m, MIRROR_CALL_ALLOCATE, err);
    out->at = 0;
    if (status != NIB_OK) return status;
    char *data = base_alloc(heap_of(m), bytes);
    if (!data) return no_memory(err);
    memset(data, GARBAGE, bytes);
    base_mutex_lock(m->lock);
    int i = 0;
    while (i < BLOCKS && m->blocks[i].data) i++;
    if (i < BLOCKS) m->blocks[i] = (block){data, bytes};
    base_mutex_unlock(m->lock);
    if (i == BLOCKS) {
        base_free(heap_of(m), data);
        return no_memory(err);
    }
    out->at = FAR + ((uint64_t)i << BLOCK_SHIFT) + 256;
    return NIB_OK;
}

static void mirror_release(device *d, device_address a) {
    mirror *m = (mirror *)d;
    if (!a.at) return;
    base_mutex_lock(m->lock);
    block *b = &m->blocks[(a.at - FAR) >> BLOCK_SHIFT];
    void *data = b->data;
    b->data = NULL;
    base_mutex_unlock(m->lock);
    base_free(heap_of(m), data);
}

/* Where it really is; NULL: not in any block. */
static char *find(mirror *m, device_address a, size_t bytes) {
    char *found = NULL;
    if (a.at < FAR + 256) return NULL;
    const uint64_t i = (a.at - FAR) >> BLOCK_SHIFT, offset = ((a.at - FAR) & (((uint64_t)1 << BLOCK_SHIFT) - 1)) - 256;
    base_mutex_lock(m->lock);
    if (i < BLOCKS && m->blocks[i].data && offset <= m->blocks[i].size && bytes <= m->blocks[i].size - offset)
        found = m->blocks[i].data + offset;
    base_mutex_unlock(m->lock);
    return found;
}

/* ---- programs */

static void program_free(device_program *p) {
    if (!p) return;
    plan_free(p->p);
    graph_free(p->read);
    if (p->bytes) p->m->host->release(p->m->base.runtime, p->bytes);
    base_free(heap_of(p->m), p);
}

/* The region over the way that a device takes which hands it to another runtime. */
static nib_status read_as_onnx(device_program *p, nib_error *err) {
    nib_status status = NIB_OK;
    nib_runtime *rt = p->m->base.runtime;
    void *bytes = NULL;
    size_t size;
    NIB_TRY(p->m->host->region_as_onnx(rt, p->region, false, &bytes, &size, err));
    NIB_TRY(onnx_load_memory(rt, bytes, size, NULL, &p->read, err));
    op_resolve(p->read);
    NIB_TRY(op_infer_graph(p->read, err));
    if (!graph_align_constants(p->read)) NIB_TRY(no_memory(err));
    if (p->read->n_inputs != p->region->n_inputs || p->read->n_outputs != p->region->n_outputs)
        NIB_FAIL(err, NIB_INTERNAL, "a region has other inputs as ONNX");
fail:
    if (status == NIB_OK) p->bytes = bytes;
    else if (bytes) p->m->host->release(rt, bytes);
    return status;
}

static nib_status mirror_compile(device *d, const graph *region, device_program **out, nib_error *err) {
    mirror *m = (mirror *)d;
    nib_status status = count_call(m, MIRROR_CALL_COMPILE, err);
    *out = NULL;
    if (status != NIB_OK) return status;
    device_program *p = base_calloc(heap_of(m), 1, sizeof *p);
    int64_t *all = NULL;
    if (!p) NIB_TRY(no_memory(err));
    p->m = m;
    p->region = region;
    if (m->onnx) NIB_TRY(read_as_onnx(p, err));
    const graph *g = p->read ? p->read : region;
    const int n = graph_symbol_count(g->symbols);
    all = base_alloc(heap_of(m), (size_t)(n + 1) * sizeof *all);
    if (!all) NIB_TRY(no_memory(err));
    for (int i = 0; i < n; i++) all[i] = 1; /* a launch brings all sizes */
    NIB_TRY(plan_build(m->base.runtime, g, &m->cpu, 1, &(plan_options){.bindable = all}, &p->p, err));
    *out = p;
    p = NULL;
fail:
    base_free(heap_of(m), all);
    program_free(p);
    return status;
}

static nib_status arena_bytes(const device_program *p, const int64_t *rounded, int n, size_t *bytes, nib_error *err) {
    *bytes = 512; /* to see that it is nobody else's */
    return count_call(p->m, MIRROR_CALL_ARENA_BYTES, err);
}

/* ---- a stream's thread */

static run_session *session_of(device_stream *s, const device_program *p, nib_error *err) {
    base_heap *heap = heap_of(s->m);
    for (int i = 0; i < s->n_sessions; i++)
        if (s->of[i] == p) return s->sessions[i];
    const size_t n = (size_t)s->n_sessions + 1;
    run_session **sessions = base_alloc(heap, n * sizeof *sessions);
    const device_program **of = base_alloc(heap, n * sizeof *of);
    run_session *one = NULL;
    if (sessions && of && run_session_create(p->p, &one, err) == NIB_OK) {
        if (n > 1) memcpy(sessions, s->sessions, (n - 1) * sizeof *sessions), memcpy(of, s->of, (n - 1) * sizeof *of);
        sessions[n - 1] = one, of[n - 1] = p;
        base_free(heap, s->sessions);
        base_free(heap, s->of);
        s->sessions = sessions, s->of = of, s->n_sessions = (int)n;
    } else {
        no_memory(err);
        base_free(heap, sessions);
        base_free(heap, of);
    }
    return one;
}

static nib_status go_on(device_stream *s, const device_launch *l, const device_program *p, nib_error *err) {
    nib_status status = NIB_OK;
    const graph *g = p->p->g;
    run_session *session = session_of(s, p, err);
    if (!session) return NIB_OUT_OF_MEMORY;
    run_worker *w = &session->workers[0];
    NIB_TRY(run_worker_ready(session, w, err));
    run_unbind(w);
    for (int i = 0; i < l->n_symbols && i < p->p->n_symbols && !p->read; i++) w->group.symbols[i] = l->symbols[i];
    for (int i = 0; i < g->n_inputs; i++) {
        const device_value *v = &l->inputs[i];
        nib_tensor t = {.dtype = v->dtype, .rank = v->rank, .bytes = v->bytes, .data = find(s->m, v->at, v->bytes)};
        memcpy(t.dims, v->dims, sizeof t.dims);
        if (!t.data) NIB_FAIL(err, NIB_INTERNAL, "input %d is outside of the mirror's memory", i);
        NIB_TRY(run_bind_input(w, i, &t, err));
    }
    NIB_TRY(run_layout(w, err));
    char *arena = find(s->m, l->arena, 512);
    if (!arena) NIB_FAIL(err, NIB_INTERNAL, "the arena is outside of the mirror's memory");
    memset(arena, GARBAGE, 512);
    NIB_TRY(run_alone(w, err));
    for (int i = 0; i < g->n_outputs; i++) {
        const graph_tensor *t = &w->group.slots[g->outputs[i]->id].t;
        const device_value *v = &l->outputs[i];
        int64_t rounded = 1;
        for (int k = 0; k < v->rank; k++) {
            int64_t n = 0;
            if (!graph_dim_eval(p->region->outputs[i]->type.dims[k], l->rounded, l->n_symbols, &n))
                NIB_FAIL(err, NIB_INTERNAL, "a size is not known");
            rounded *= n;
        }
        const size_t all = graph_type_bytes(v->dtype, (size_t)rounded);
        char *to = find(s->m, v->at, all);
        if (!to) NIB_FAIL(err, NIB_INTERNAL, "output %d has no room at its rounded size", i);
        if (t->bytes != v->bytes) NIB_FAIL(err, NIB_SHAPE, "output %d has %zu bytes, not %zu", i, t->bytes, v->bytes);
        memset(to, GARBAGE, all); /* what belongs to no text */
        if (t->bytes) memcpy(to, t->data, t->bytes);
    }
fail:
    return status;
}

/* The same number is the same addresses and sizes. */
static nib_status check_layout(device_stream *s, const device_launch *l, const device_program *p, nib_error *err) {
    uint64_t digest = 14695981039346656037u; /* FNV-1a, of the numbers */
    const int counts[2] = {p->p->g->n_inputs, p->p->g->n_outputs};
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < counts[side]; i++) digest = (digest ^ (side ? l->outputs : l->inputs)[i].at.at) * 1099511628211u;
    for (int i = 0; i < l->n_symbols; i++) digest = (digest ^ (uint64_t)l->rounded[i]) * 1099511628211u;
    digest = (digest ^ l->arena.at) * 1099511628211u;
    for (int i = 0; i < s->n_seen; i++)
        if (s->seen[i].number == l->layout && s->seen[i].program == p)
            return s->seen[i].digest == digest ? NIB_OK : base_error_set(err, NIB_INTERNAL, "layout %d is two", (int)l->layout);
    if (s->n_seen < LAYOUTS_SEEN) s->seen[s->n_seen++] = (seen_layout){l->layout, p, digest};
    return NIB_OK;
}

static nib_status do_piece(device_stream *s, const piece *w, nib_error *err) {
    mirror *m = s->m;
    nib_status status = count_call(m, MIRROR_CALL_WORK, err);
    if (status != NIB_OK || w->kind == PIECE_EVENT) return status;
    if (w->kind == PIECE_LAUNCH) {
        const double until = base_clock() + 1e-6 * (double)m->slow;
        while (m->slow && base_clock() < until) {
        }
        status = check_layout(s, &w->launch, w->program, err);
        return status == NIB_OK ? go_on(s, &w->launch, w->program, err) : status;
    }
    char *at = find(m, w->at, w->bytes);
    if (!at) return base_error_set(err, NIB_INTERNAL, "a copy is outside of the mirror's memory");
    if (w->kind == PIECE_UPLOAD) memcpy(at, w->from, w->bytes);
    else memcpy(w->to, at, w->bytes);
    return NIB_OK;
}

static void reach(device_event *e) {
    base_mutex_lock(e->lock);
    e->reached = true;
    e->when = base_clock();
    base_condition_broadcast(e->changed);
    base_mutex_unlock(e->lock);
}

static void work(void *arg) {
    device_stream *s = arg;
    for (bool on = true; on;) {
        base_mutex_lock(s->lock);
        while (!s->first) base_condition_wait(s->changed, s->lock, INFINITY);
        piece *w = s->first;
        s->first = w->next;
        if (!s->first) s->last = &s->first;
        const bool failed = s->status != NIB_OK;
        base_mutex_unlock(s->lock);
        nib_error e = {0};
        nib_status status = failed || w->kind == PIECE_END ? NIB_OK : do_piece(s, w, &e);
        if (status != NIB_OK) {
            base_mutex_lock(s->lock);
            s->status = status;
            s->error = e;
            base_mutex_unlock(s->lock);
        }
        if (w->kind == PIECE_EVENT) reach(w->event);
        on = w->kind != PIECE_END;
        if (on) base_free(heap_of(s->m), w);
    }
}

static nib_status put(device_stream *s, piece *w) {
    base_mutex_lock(s->lock);
    w->next = NULL;
    *s->last = w;
    s->last = &w->next;
    base_condition_signal(s->changed);
    base_mutex_unlock(s->lock);
    return NIB_OK;
}

/* ---- streams and events */

static void stream_close(device_stream *s) {
    if (!s) return;
    mirror *m = s->m;
    if (s->thread) {
        s->end.kind = PIECE_END;
        put(s, &s->end);
        base_thread_join(heap_of(m), s->thread);
    }
    for (int i = 0; i < s->n_sessions; i++) run_session_free(s->sessions[i]);
    base_free(heap_of(m), s->sessions);
    base_free(heap_of(m), s->of);
    base_condition_free(heap_of(m), s->changed);
    base_mutex_free(heap_of(m), s->lock);
    base_free(heap_of(m), s);
}

static nib_status stream_open(device *d, device_stream **out, nib_error *err) {
    mirror *m = (mirror *)d;
    nib_status status = count_call(m, MIRROR_CALL_STREAM_OPEN, err);
    *out = NULL;
    if (status != NIB_OK) return status;
    device_stream *s = base_calloc(heap_of(m), 1, sizeof *s);
    if (!s) return no_memory(err);
    s->m = m;
    s->last = &s->first;
    s->lock = base_mutex_create(heap_of(m));
    s->changed = base_condition_create(heap_of(m));
    status = s->lock && s->changed ? base_thread_start(heap_of(m), work, s, &s->thread, err) : no_memory(err);
    if (status == NIB_OK) *out = s;
    else stream_close(s);
    return status;
}

static piece *new_piece(device_stream *s, int kind, size_t extra) {
    piece *w = base_calloc(heap_of(s->m), 1, sizeof *w + extra);
    if (w) w->kind = kind;
    return w;
}

static nib_status mirror_upload(device_stream *s, device_address to, const void *from, size_t bytes, nib_error *err) {
    nib_status status = count_call(s->m, MIRROR_CALL_UPLOAD, err);
    piece *w = status == NIB_OK ? new_piece(s, PIECE_UPLOAD, 0) : NULL;
    if (!w) return status == NIB_OK ? no_memory(err) : status;
    w->at = to, w->from = from, w->bytes = bytes;
    return put(s, w);
}

static nib_status mirror_download(device_stream *s, void *to, device_address from, size_t bytes, nib_error *err) {
    nib_status status = count_call(s->m, MIRROR_CALL_DOWNLOAD, err);
    piece *w = status == NIB_OK ? new_piece(s, PIECE_DOWNLOAD, 0) : NULL;
    if (!w) return status == NIB_OK ? no_memory(err) : status;
    w->at = from, w->to = to, w->bytes = bytes;
    return put(s, w);
}

static nib_status mirror_launch(const device_program *p, const device_launch *l, device_stream *s, nib_error *err) {
    nib_status status = count_call(s->m, MIRROR_CALL_LAUNCH, err);
    const size_t n_in = (size_t)p->p->g->n_inputs, n_out = (size_t)p->p->g->n_outputs, n = (size_t)l->n_symbols;
    const size_t values = (n_in + n_out) * sizeof(device_value);
    piece *w = status == NIB_OK ? new_piece(s, PIECE_LAUNCH, values + 2 * n * sizeof(int64_t)) : NULL;
    if (!w) return status == NIB_OK ? no_memory(err) : status;
    device_value *to = (device_value *)(void *)(w + 1);
    int64_t *symbols = (int64_t *)(void *)((char *)to + values);
    if (n_in) memcpy(to, l->inputs, n_in * sizeof *to);
    if (n_out) memcpy(to + n_in, l->outputs, n_out * sizeof *to);
    if (n) memcpy(symbols, l->symbols, n * sizeof *symbols), memcpy(symbols + n, l->rounded, n * sizeof *symbols);
    w->program = p;
    w->launch = *l;
    w->launch.inputs = to, w->launch.outputs = to + n_in;
    w->launch.symbols = symbols, w->launch.rounded = symbols + n;
    return put(s, w);
}

static void event_free(device_event *e) {
    if (!e) return;
    mirror *m = e->m;
    base_condition_free(heap_of(m), e->changed);
    base_mutex_free(heap_of(m), e->lock);
    base_free(heap_of(m), e);
}

static nib_status event_create(device *d, device_event **out, nib_error *err) {
    mirror *m = (mirror *)d;
    nib_status status = count_call(m, MIRROR_CALL_EVENT_CREATE, err);
    *out = NULL;
    if (status != NIB_OK) return status;
    device_event *e = base_calloc(heap_of(m), 1, sizeof *e);
    if (!e) return no_memory(err);
    e->m = m;
    e->lock = base_mutex_create(heap_of(m));
    e->changed = base_condition_create(heap_of(m));
    if (e->lock && e->changed) return *out = e, NIB_OK;
    event_free(e);
    return no_memory(err);
}

static nib_status mirror_record(device_stream *s, device_event *e, nib_error *err) {
    nib_status status = count_call(s->m, MIRROR_CALL_RECORD, err);
    piece *w = status == NIB_OK ? new_piece(s, PIECE_EVENT, 0) : NULL;
    if (!w) return status == NIB_OK ? no_memory(err) : status;
    e->reached = false;
    e->stream = s;
    w->event = e;
    return put(s, w);
}

static nib_status mirror_wait(device_event *e, nib_error *err) {
    nib_status status = count_call(e->m, MIRROR_CALL_WAIT, err);
    base_mutex_lock(e->lock);
    while (!e->reached) base_condition_wait(e->changed, e->lock, INFINITY);
    base_mutex_unlock(e->lock);
    if (status != NIB_OK) return status;
    device_stream *s = e->stream;
    base_mutex_lock(s->lock);
    status = s->status;
    if (status != NIB_OK && err) *err = s->error;
    if (status != NIB_DEVICE) s->status = NIB_OK; /* told once; a dead one stays dead */
    base_mutex_unlock(s->lock);
    return status;
}

static nib_status mirror_elapsed(device_event *from, device_event *to, double *seconds, nib_error *err) {
    base_mutex_lock(from->lock);
    const double begun = from->reached ? from->when : -1;
    base_mutex_unlock(from->lock);
    base_mutex_lock(to->lock);
    const double ended = to->reached ? to->when : -1;
    base_mutex_unlock(to->lock);
    if (begun < 0 || ended < begun || from->stream != to->stream)
        return base_error_set(err, NIB_INTERNAL, "a time is asked for between points that the stream has not passed");
    *seconds = ended - begun;
    return NIB_OK;
}

/* ---- the table */

static void mirror_props(const device *d, device_props *out) {
    const mirror *m = (const mirror *)d;
    *out = (device_props){.row_bucket = m->bucket, .fastest = (nib_precision)m->fast};
    out->rows[KERNEL_WEIGHT_BF16] = (uint8_t)m->rows;
    snprintf(out->name, sizeof out->name, "mirror:%d", (int)m->name);
}

static bool mirror_claim(device *d, const graph *g, const graph_node *n, char *why, size_t capacity) {
    const mirror *m = (const mirror *)d;
    uint64_t x = (uint64_t)m->seed * 0x9e3779b97f4a7c15u + (uint64_t)n->id;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    if ((int64_t)((x >> 33) % 100) < m->refuse) return snprintf(why, capacity, "by chance"), false;
    return m->cpu->table->claim(m->cpu, g, n, why, capacity);
}

static void mirror_close(device *d) {
    mirror *m = (mirror *)d;
    nib_runtime *rt = d->runtime;
    if (m->cpu) m->cpu->table->close(m->cpu);
    for (int i = 0; i < BLOCKS; i++)
        if (m->blocks[i].data) fprintf(stderr, "mirror:%d: %zu bytes were not released\n", (int)m->name, m->blocks[i].size), abort();
    base_mutex_free(&rt->heap, m->lock);
    base_free(&rt->heap, m);
    base_runtime_release(rt);
}

static const device_own own = {
    .compile = mirror_compile,
    .program_free = program_free,
    .arena_bytes = arena_bytes,
    .launch = mirror_launch,
    .stream_open = stream_open,
    .stream_close = stream_close,
    .allocate = mirror_allocate,
    .release = mirror_release,
    .upload = mirror_upload,
    .download = mirror_download,
    .event_create = event_create,
    .event_free = event_free,
    .record = mirror_record,
    .wait = mirror_wait,
    .elapsed = mirror_elapsed,
};

static const device_table table = {.kind = "mirror", .own = &own, .props = mirror_props, .claim = mirror_claim, .close = mirror_close};

/* The same of a device that does not tell times. */
static device_own mute_own;
static const device_table mute_table = {.kind = "mirror", .own = &mute_own, .props = mirror_props, .claim = mirror_claim, .close = mirror_close};

static nib_status read_argument(mirror *m, const char *argument, nib_error *err) {
    const struct {
        const char *name;
        int64_t *to;
    } names[] = {{"name=", &m->name}, {"seed=", &m->seed},   {"refuse=", &m->refuse}, {"bucket=", &m->bucket}, {"die=", &m->die},
                 {"oom=", &m->oom},   {"after=", &m->after}, {"slow=", &m->slow},     {"onnx=", &m->onnx},
                 {"rows=", &m->rows}, {"fast=", &m->fast},   {"mute=", &m->mute}};
    for (const char *at = argument; *at; at += *at == ';') {
        size_t i = 0;
        while (i < BASE_COUNT(names) && strncmp(at, names[i].name, strlen(names[i].name)) != 0) i++;
        if (i == BASE_COUNT(names)) return base_error_set(err, NIB_INVALID_ARGUMENT, "a mirror knows nothing of %s", at);
        *names[i].to = strtoll(at + strlen(names[i].name), NULL, 10);
        while (*at && *at != ';') at++;
    }
    return NIB_OK;
}

nib_status mirror_open(nib_runtime *runtime, const char *argument, struct device **out, nib_error *err) {
    nib_status status = NIB_OK;
    mirror *m = base_calloc(&runtime->heap, 1, sizeof *m);
    *out = NULL;
    if (!m) return no_memory(err);
    m->base = (struct device){.table = &table, .runtime = base_runtime_retain(runtime)};
    m->bucket = 16;
    m->die = m->oom = -1;
    m->lock = base_mutex_create(&runtime->heap);
    if (!m->lock) NIB_TRY(no_memory(err));
    NIB_TRY(read_argument(m, argument, err));
    NIB_TRY(cpu_open(runtime, &m->cpu, err));
    if (m->mute) {
        mute_own = own;
        mute_own.elapsed = NULL;
        m->base.table = &mute_table;
    }
    *out = &m->base;
    return NIB_OK;
fail:
    mirror_close(&m->base);
    return status;
}

int mirror_count(const struct device *d, mirror_call call) { return atomic_load(&((mirror *)(uintptr_t)d)->calls[call]); }

#ifdef MIRROR_PLUGIN
static nib_status open_plugin(const device_host_calls *calls, nib_runtime *runtime, const char *argument, device **out, nib_error *err) {
    nib_status status = mirror_open(runtime, argument, out, err);
    if (status == NIB_OK) ((mirror *)*out)->host = calls;
    return status;
}

#ifndef MIRROR_BUILD
#define MIRROR_BUILD device_build_id
#endif

__attribute__((visibility("default"))) const device_plugin *nib_device_plugin(void);
const device_plugin *nib_device_plugin(void) {
    static device_plugin plugin = {.open = open_plugin};
    plugin.build_id = MIRROR_BUILD;
    return &plugin;
}
#endif

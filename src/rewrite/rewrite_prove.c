/* SPDX-License-Identifier: Apache-2.0
 *
 * Do two graphs compute the same? In: both. Out: the largest difference of each output over runs on random inputs.
 * And: how large do the values of one graph become? In: it. Out: the largest number of each value over the same runs.
 *
 * What an input may hold is read from what the graph does with it: numbers that index a table stay within it, other
 * integers of rank 1 and more are masks of texts that are padded on either side. Sizes straddle what a graph may
 * compare them with: beyond a window of 16, or buckets of 32, another part of the graph decides.
 */
#include "rewrite_trial.h"
#include "base/base_half.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST_SIZE 1100 /* of a text; constants beyond are no windows */

typedef rewrite_prover prover;

static uint64_t next_random(prover *p) { /* xorshift64* */
    p->seed ^= p->seed >> 12, p->seed ^= p->seed << 25, p->seed ^= p->seed >> 27;
    return p->seed * 2685821657736338717ull >> 11;
}
static double uniform(prover *p) { return (double)next_random(p) / (double)(1ull << 53); }

/* ---------------------------------------------------------------- inputs */

#define LONGEST_SUM 200 /* bytes of a name that may be one */

static int64_t size_of_symbol(prover *p, int i);

/* The size of a number or a symbol that is no sum itself; -1: it is neither. */
static int64_t size_of_term(prover *p, const char *term, size_t length) {
    char *end;
    int64_t number = strtoll(term, &end, 10);
    if (length > 0 && end == term + length) return number <= INT32_MAX ? number : -1;
    for (int k = 0; k < graph_symbol_count(p->g[0]->symbols); k++) {
        const char *name = graph_symbol_name(p->g[0]->symbols, k);
        if (strlen(name) == length && memcmp(name, term, length) == 0 && !strchr(name, '+')) return size_of_symbol(p, k);
    }
    return -1;
}

/* "past + seq" is a name to protobuf and a sum to exporters. */
static int64_t size_of_symbol(prover *p, int i) {
    int64_t sum = 0;
    if (p->symbols[i] != GRAPH_UNBOUND) return p->symbols[i];
    const char *at = graph_symbol_name(p->g[0]->symbols, i);
    for (const char *plus = strlen(at) < LONGEST_SUM ? strchr(at, '+') : NULL; plus; at = plus + 1) {
        plus = strchr(at += strspn(at, " "), '+');
        size_t length = plus ? (size_t)(plus - at) : strlen(at);
        while (length && at[length - 1] == ' ') length--;
        int64_t size = size_of_term(p, at, length);
        sum = size < 0 || sum < 0 ? -1 : sum + size;
        if (!plus) break;
    }
    return p->symbols[i] = sum > 0 ? sum : p->size;
}

static bool shape_of_input(prover *p, const graph_value *v, graph_tensor *t) {
    t->dtype = v->type.dtype;
    t->rank = v->type.rank;
    for (int i = 0; i < t->rank; i++) {
        graph_dim d = v->type.dims[i];
        int symbol = graph_symbol_index(d);
        if (!d) t->dims[i] = i == 0 ? p->batch : p->size;
        else if (graph_dim_is_const(d, &t->dims[i])) continue;
        else if (symbol >= 0) t->dims[i] = p->symbols[symbol] = size_of_symbol(p, symbol);
        else if (!graph_dim_eval(d, p->symbols, graph_symbol_count(p->g[0]->symbols), &t->dims[i])) return false;
    }
    return true;
}

static void put_number(graph_tensor *t, int64_t i, double x) {
    switch (t->dtype) {
    case NIB_DTYPE_F32: ((float *)t->data)[i] = (float)x; break;
    case NIB_DTYPE_F64: ((double *)t->data)[i] = x; break;
    case NIB_DTYPE_F16: ((uint16_t *)t->data)[i] = base_f32_to_f16((float)x); break;
    case NIB_DTYPE_BF16: ((uint16_t *)t->data)[i] = base_f32_to_bf16((float)x); break;
    case NIB_DTYPE_I64:
    case NIB_DTYPE_U64: ((int64_t *)t->data)[i] = (int64_t)x; break;
    case NIB_DTYPE_I32:
    case NIB_DTYPE_U32: ((int32_t *)t->data)[i] = (int32_t)x; break;
    case NIB_DTYPE_I16:
    case NIB_DTYPE_U16: ((int16_t *)t->data)[i] = (int16_t)x; break;
    default: ((int8_t *)t->data)[i] = (int8_t)x; break;
    }
}

static double number_at(const nib_tensor *t, int64_t i) {
    switch (t->dtype) {
    case NIB_DTYPE_F32: return ((const float *)t->data)[i];
    case NIB_DTYPE_F64: return ((const double *)t->data)[i];
    case NIB_DTYPE_F16: return base_f16_to_f32(((const uint16_t *)t->data)[i]);
    case NIB_DTYPE_BF16: return base_bf16_to_f32(((const uint16_t *)t->data)[i]);
    case NIB_DTYPE_I64: return (double)((const int64_t *)t->data)[i];
    case NIB_DTYPE_I32: return ((const int32_t *)t->data)[i];
    default: return 0;
    }
}

static bool is_real(nib_dtype t) { return t == NIB_DTYPE_F32 || t == NIB_DTYPE_F64 || t == NIB_DTYPE_F16 || t == NIB_DTYPE_BF16; }

static bool is_whole(nib_dtype t) {
    return t == NIB_DTYPE_I64 || t == NIB_DTYPE_I32 || t == NIB_DTYPE_I16 || t == NIB_DTYPE_I8 || t == NIB_DTYPE_U8 || t == NIB_DTYPE_U16 ||
           t == NIB_DTYPE_U32 || t == NIB_DTYPE_U64 || t == NIB_DTYPE_BOOL;
}

/* Whether another input of the same shape holds ids: then numbers beside it are a mask, whatever their type. */
static bool lies_beside_ids(const graph *g, const graph_value *v) {
    for (int i = 0; i < g->n_inputs; i++) {
        int64_t least, most;
        if (g->inputs[i] == v || !pass_same_shape(g->inputs[i], v)) continue;
        model_tables_of(g->inputs[i], &least, &most);
        if (most > 0) return true;
    }
    return false;
}

#define PRESET_NOISE 0.25 /* a preset changes by up to this part of itself: a scale stays one, a variance stays positive */

/* A caller may leave the preset, and may give another value: what has become a constant shows only in the latter. */
static bool vary_preset(prover *p, const graph_value *v, graph_tensor *t) {
    nib_dtype dtype = v->preset->dtype;
    *t = *v->preset;
    if (!(dtype == NIB_DTYPE_F32 || dtype == NIB_DTYPE_F64) || p->batch == 1) return true;
    if (!(t->data = base_arena_alloc(&p->arena, t->bytes + 1))) return false;
    memcpy(t->data, v->preset->data, t->bytes);
    for (int64_t i = 0, n = graph_tensor_elements(t); i < n; i++) put_number(t, i, number_at(t, i) * (1 + PRESET_NOISE * (uniform(p) - 1)));
    return true;
}

static bool make_input(prover *p, const graph_value *v, graph_tensor *t) {
    int64_t least, most, n;
    *t = (graph_tensor){0};
    if (v->preset) return vary_preset(p, v, t);
    if (v->type.kind != GRAPH_KIND_TENSOR || v->type.rank < 0 || !shape_of_input(p, v, t) || (n = graph_tensor_elements(t)) < 0)
        return false;
    t->bytes = graph_type_bytes(t->dtype, (size_t)n);
    if (t->bytes > (256u << 20) || !(is_real(t->dtype) || is_whole(t->dtype)) || !(t->data = base_arena_alloc(&p->arena, t->bytes + 1)))
        return false;
    model_tables_of(v, &least, &most);
    bool table = most > 0, mask = !table && t->rank > 0 && (is_whole(t->dtype) || lies_beside_ids(p->g[0], v));
    int64_t columns = t->rank ? t->dims[t->rank - 1] : 1, filled = columns;
    if (mask && t->rank == 2 && !p->mask) p->mask = t;
    for (int64_t i = 0; i < n; i++) {
        int64_t row = columns ? i / columns : 0;
        if (mask && columns && i % columns == 0) filled = row % 2 ? columns : 1 + (int64_t)(next_random(p) % (uint64_t)columns);
        const int64_t at = row % 4 == 2 ? columns - 1 - i % columns : i % columns; /* padding on the left, too */
        double x = table                ? (double)(next_random(p) % (uint64_t)least)
                   : mask               ? at < filled
                   : is_whole(t->dtype) ? 1
                                        : 2 * uniform(p) - 1;
        put_number(t, i, x);
    }
    return true;
}

/* ---------------------------------------------------------------- sizes */

/* The largest integer that the graph compares or divides positions by; bodies are not looked at. */
static int64_t largest_constant(const graph *g) {
    static const char *const ops[] = {"Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Min", "Max", "Div", "Mod", "Clip", "Sub", "Add"};
    int64_t largest = 0;
    for (const graph_node *n = g->first; n; n = n->next) {
        bool compares = false;
        for (size_t i = 0; i < BASE_COUNT(ops); i++) compares |= graph_is_op(n, "", ops[i]);
        for (int i = 0; compares && i < n->n_inputs; i++) {
            double x;
            const graph_value *v = n->inputs[i].value;
            if (v && v->constant && is_whole(v->constant->dtype) && graph_scalar(v, &x) && fabs(x) < LARGEST_SIZE &&
                fabs(x) > (double)largest)
                largest = (int64_t)fabs(x);
        }
    }
    /* What only a product or a quotient of constants shows: blocks, scaled and growing windows. */
    double reach = pass_mask_reach(g);
    return reach > (double)largest ? reach < LARGEST_SIZE - 3 ? (int64_t)reach : LARGEST_SIZE - 3 : largest;
}

/* ---------------------------------------------------------------- running and comparing */

static const char *first_unknown(const graph *g) {
    for (const graph_node *n = g->first; n; n = n->next)
        if (!n->meaning || !n->meaning->eval) return n->op;
    return NULL;
}

static int find_named(graph_value *const *values, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (strcmp(values[i]->name, name) == 0) return i;
    return -1;
}

/* How many elements of t belong to each of the mask's; 0: it has nothing to do with the mask. */
static int64_t elements_of_token(const nib_tensor *t, const nib_tensor *mask) {
    if (!mask || t->rank < 2 || t->dims[0] != mask->dims[0] || t->dims[1] != mask->dims[1]) return 0;
    int64_t tokens = graph_tensor_elements(mask);
    return tokens > 0 ? graph_tensor_elements(t) / tokens : 0;
}

/* mask: NULL, or [B, S] whose zeros say which rows of [B, S, ..] are not compared. */
static void compare(const nib_tensor *a, const nib_tensor *b, const nib_tensor *mask, rewrite_difference *d) {
    bool same =
        a->dtype == b->dtype && a->rank == b->rank && (a->rank == 0 || memcmp(a->dims, b->dims, sizeof *a->dims * (size_t)a->rank) == 0);
    d->same_shape &= same;
    if (!same) return;
    if (!is_real(a->dtype) && a->dtype != NIB_DTYPE_I64 && a->dtype != NIB_DTYPE_I32) {
        bool pointers = a->dtype == NIB_DTYPE_STRING || a->dtype >= NIB_DTYPE_SEQUENCE;
        if (!pointers && a->bytes && memcmp(a->data, b->data, a->bytes) != 0) d->largest = INFINITY;
        return;
    }
    int64_t width = elements_of_token(a, mask);
    for (int64_t i = 0, n = graph_tensor_elements(a); i < n; i++) {
        if (width && number_at(mask, i / width) == 0) continue;
        double x = number_at(a, i), y = number_at(b, i), off = fabs(x - y);
        if (x == y || (isnan(x) && isnan(y))) off = 0;
        if (isnan(off)) off = INFINITY;
        if (off > d->largest) d->largest = off;
        if (isfinite(x) && fabs(x) > d->magnitude) d->magnitude = fabs(x);
    }
}

/* Random inputs of p->g[0] in the arena, which this opens; a list of them, or NULL with why[]. */
static const nib_tensor **make_inputs(prover *p) {
    const graph *g = p->g[0];
    int symbols = graph_symbol_count(g->symbols);
    base_arena_init(&p->arena, &p->runtime->heap);
    p->mask = NULL;
    nib_tensor *inputs = base_arena_calloc(&p->arena, (size_t)g->n_inputs + 1, sizeof *inputs);
    const nib_tensor **list = base_arena_calloc(&p->arena, (size_t)g->n_inputs + 1, sizeof *list);
    p->symbols = base_arena_alloc(&p->arena, ((size_t)symbols + 1) * sizeof *p->symbols);
    if (!inputs || !list || !p->symbols) return snprintf(p->why, REWRITE_WHY, "out of memory"), NULL;
    for (int i = 0; i < symbols; i++) p->symbols[i] = GRAPH_UNBOUND;
    for (int i = 0; i < g->n_inputs; i++) { /* what stands first is the batch */
        int s = g->inputs[i]->type.rank > 0 ? graph_symbol_index(g->inputs[i]->type.dims[0]) : -1;
        if (s >= 0 && g->inputs[i]->type.rank > 1) p->symbols[s] = p->batch;
    }
    for (int i = 0; i < g->n_inputs; i++) {
        if (!make_input(p, g->inputs[i], &inputs[i]))
            return snprintf(p->why, REWRITE_WHY, "no random value for input %.80s can be made", g->inputs[i]->name), NULL;
        list[i] = &inputs[i];
    }
    return list;
}

bool rewrite_trial_inputs(prover *p, const nib_tensor **given[2]) {
    const graph *a = p->g[0], *b = p->g[1];
    given[0] = make_inputs(p);
    if (!given[0]) return false;
    given[1] = base_arena_calloc(&p->arena, (size_t)b->n_inputs + 1, sizeof **given);
    if (!given[1]) return snprintf(p->why, REWRITE_WHY, "out of memory"), false;
    for (int i = 0; i < b->n_inputs; i++) {
        int other = find_named(a->inputs, a->n_inputs, b->inputs[i]->name);
        if (other < 0 && !b->inputs[i]->preset)
            return snprintf(p->why, REWRITE_WHY, "only one of the models has an input %.80s", b->inputs[i]->name),
                   false;
        given[1][i] = other < 0 ? NULL : given[0][other];
    }
    return true;
}

bool rewrite_trial_first(prover *p, const nib_tensor **given) {
    nib_error err = {0};
    if (run_tensors(p->sessions[0], given, &err) == NIB_OK) return true;
    return snprintf(p->why, REWRITE_WHY, "the model does not run at size %lld: %.160s", (long long)p->size, err.message), false;
}

/* Of the values where the graphs are cut. */
static void compare_cut(prover *p, rewrite_cut *c, bool second) {
    nib_tensor x, y;
    nib_error err;
    if (!second || run_output(p->sessions[0], c->first, &x, &err) != NIB_OK || run_output(p->sessions[1], c->second, &y, &err) != NIB_OK)
        c->found.same_shape = false;
    else compare(&x, &y, p->tokens_only ? p->mask : NULL, &c->found);
}

/* One run of each; false with why[] if the first graph itself cannot be run at this size. */
static bool trial(prover *p, void *user) {
    rewrite_proof *proof = user;
    const graph *b = p->g[1];
    const nib_tensor **given[2];
    nib_error err = {0};
    bool done = false;
    if (!rewrite_trial_inputs(p, given)) goto fail;
    if (!rewrite_trial_first(p, given[0])) goto fail;
    if (p->cuts.n) given[1] = rewrite_cut_inputs(&p->arena, &p->cuts, p->sessions[0], p->clones[1], b, given[1]);
    if (!given[1]) snprintf(p->why, REWRITE_WHY, "out of memory");
    if (!given[1]) goto fail;
    bool second = run_tensors(p->sessions[1], given[1], &err) == NIB_OK;
    for (int i = 0; i < p->cuts.n; i++) compare_cut(p, &p->cuts.items[i], second);
    for (int i = 0; i < proof->n_outputs; i++) {
        nib_tensor x, y;
        int other = find_named(b->outputs, b->n_outputs, proof->outputs[i].name);
        if (!second || other < 0 || run_output(p->sessions[0], i, &x, &err) != NIB_OK ||
            run_output(p->sessions[1], other, &y, &err) != NIB_OK)
            proof->outputs[i].same_shape = false;
        else compare(&x, &y, p->tokens_only ? p->mask : NULL, &proof->outputs[i]);
    }
    if (!second) snprintf(p->why, REWRITE_WHY, "the second graph fails: %.200s", err.message);
    done = true;
fail:
    base_arena_free(&p->arena);
    return done;
}

/* Runs `one` at each size, of which it may refuse some; how many it took. */
static int run_trials(prover *p, int64_t window, bool (*one)(prover *, void *), void *user, int64_t sizes_run[REWRITE_PROOF_TRIALS]) {
    const int64_t sizes[REWRITE_PROOF_TRIALS] = {7, 33, window + 3 > 41 ? window + 3 : 41, 1};
    int trials = 0;
    for (size_t i = 0; i < BASE_COUNT(sizes); i++) {
        char first[REWRITE_WHY] = "";
        p->batch = i == 3 ? 1 : 3;
        for (p->size = sizes[i]; p->size > 0; p->size = p->size > 41 ? p->size / 2 : 0) { /* a table of positions may end before */
            if (one(p, user)) break;
            if (p->size == sizes[i]) memcpy(first, p->why, sizeof first);
        }
        if (p->size > 0) sizes_run[trials++] = p->size;
        else if (!trials) memcpy(p->why, first, sizeof first);
    }
    return trials;
}

bool rewrite_trial_ready(prover *p, int i, graph *clone) {
    nib_error err = {0};
    if (plan_build(p->runtime, clone, &p->device, 1, NULL, &p->plans[i], &err) == NIB_OK &&
        run_session_create(p->plans[i], &p->sessions[i], &err) == NIB_OK)
        return true;
    return snprintf(p->why, REWRITE_WHY, "no plan can be made: %.200s", err.message), false;
}

void rewrite_trial_end(prover *p, int i, graph *clone) {
    run_session_free(p->sessions[i]);
    plan_free(p->plans[i]);
    graph_free(clone);
    p->sessions[i] = NULL;
    p->plans[i] = NULL;
}

static double relative(const rewrite_difference *d) {
    return !d->same_shape ? INFINITY : d->largest > 0 ? d->largest / (d->magnitude > 0 ? d->magnitude : 1) : 0;
}

static void report_cuts(const rewrite_cuts *cuts, rewrite_at_roundings *r) {
    memcpy(r->count, cuts->roundings, sizeof r->count);
    r->cuts = cuts->n;
    for (int i = 0; i < cuts->n; i++) {
        double off = relative(&cuts->items[i].found);
        if (i && !(off > r->largest)) continue;
        r->largest = off;
        snprintf(r->name, sizeof r->name, "%s", cuts->items[i].found.name);
    }
}

nib_status rewrite_prove(nib_runtime *runtime, const graph *a, const graph *b, int how, rewrite_proof *proof, nib_error *err) {
    nib_status status = NIB_OK;
    prover p = {.runtime = runtime,
                .g = {a, b},
                .seed = REWRITE_SEED,
                .tokens_only = (how & REWRITE_PROVE_TOKENS) != 0,
                .why = proof->why,
                .err = err};
    base_arena lists;
    base_arena_init(&lists, &runtime->heap);
    *proof = (rewrite_proof){0};
    if (a->n_outputs > REWRITE_PROOF_OUTPUTS) {
        snprintf(proof->why, sizeof proof->why, "%d outputs are more than are compared here", a->n_outputs);
        return NIB_OK;
    }
    for (int i = 0; i < a->n_outputs; i++)
        proof->outputs[proof->n_outputs++] = (rewrite_difference){.name = a->outputs[i]->name, .same_shape = true};
    for (int i = 0; i < 2; i++) {
        const char *unknown = first_unknown(p.g[i]);
        if (!unknown) continue;
        snprintf(proof->why, sizeof proof->why, "operator %.80s has no evaluation here", unknown);
        return NIB_OK;
    }
    NIB_TRY(cpu_open(runtime, &p.device, err));
    for (int i = 0; i < 2; i++) NIB_TRY(graph_clone(p.g[i], &p.clones[i], err));
    if (how & REWRITE_PROVE_PARTS) NIB_TRY(rewrite_cut_at_roundings(&lists, p.clones[0], p.clones[1], &p.cuts, err));
    for (int i = 0; i < 2; i++)
        if (!rewrite_trial_ready(&p, i, p.clones[i])) goto fail;
    int64_t x = largest_constant(a), y = largest_constant(b);
    proof->trials = run_trials(&p, x > y ? x : y, trial, proof, proof->sizes);
    proof->ran = proof->trials > 0;
    NIB_TRY(base_stop_check(err)); /* it may be why there were no trials */
    report_cuts(&p.cuts, &proof->roundings);
fail:
    for (int i = 0; i < 2; i++) rewrite_trial_end(&p, i, p.clones[i]);
    base_arena_free(&lists);
    if (p.device) p.device->table->close(p.device);
    return status;
}

static double worst_of(const rewrite_proof *proof, const char **name) {
    double worst = proof->roundings.largest;
    *name = proof->roundings.name;
    for (int i = 0; i < proof->n_outputs; i++) {
        double off = relative(&proof->outputs[i]);
        if (off > worst || !**name) worst = off, *name = proof->outputs[i].name;
    }
    return worst;
}

double rewrite_proof_worst(const rewrite_proof *proof) {
    const char *name;
    return worst_of(proof, &name);
}

const char *rewrite_proof_worst_name(const rewrite_proof *proof) {
    const char *name;
    worst_of(proof, &name);
    return name;
}

/* ---------------------------------------------------------------- how large values become */

#define MEASURE_BYTES (256u << 20) /* of values that are kept at once; what is more takes another run */

typedef struct measuring {
    graph_value *const *values; /* [n] of the graph that was asked about */
    int n;
    pass_range *ranges;
} measuring;

static bool measure_trial(prover *p, void *user) {
    measuring *m = user;
    const nib_tensor **given = make_inputs(p);
    bool ran = given && rewrite_trial_first(p, given);
    for (int i = 0; ran && i < m->n; i++) {
        nib_tensor t;
        nib_error err;
        pass_range *r = &m->ranges[m->values[i]->id];
        if (run_output(p->sessions[0], i, &t, &err) != NIB_OK || t.dtype != NIB_DTYPE_F32) continue;
        int64_t n = graph_tensor_elements(&t);
        pass_range_add(r, t.data, n > 0 ? (size_t)n : 0);
    }
    base_arena_free(&p->arena);
    return ran;
}

/* Bytes that a value has in the largest trial, at a guess: symbols are its size. */
static size_t guess_bytes(const graph_value *v, int64_t size) {
    size_t bytes = sizeof(float);
    for (int i = 0; i < v->type.rank; i++) {
        int64_t d = i ? size : 3;
        if (v->type.dims[i]) graph_dim_is_const(v->type.dims[i], &d);
        if (d < 0 || !base_mul_size(bytes, (size_t)d, &bytes)) return SIZE_MAX;
    }
    return v->type.rank < 0 ? MEASURE_BYTES / 16 : bytes;
}

/* Runs a clone whose outputs are these values. */
static nib_status measure_some(prover *p, const graph *g, int64_t window, measuring *m, bool *ran) {
    nib_status status = NIB_OK;
    graph *clone = NULL;
    int64_t sizes[REWRITE_PROOF_TRIALS];
    NIB_TRY(graph_clone(g, &clone, p->err));
    for (int i = 0; i < clone->n_outputs; i++) clone->outputs[i]->is_output = false;
    clone->n_outputs = 0;
    for (int i = 0; i < m->n; i++) {
        graph_value *v = graph_find_value(clone, m->values[i]->name);
        if (!v || graph_add_output(clone, v) != NIB_OK) NIB_FAIL(p->err, NIB_OUT_OF_MEMORY, "out of memory for a measurement");
    }
    p->g[0] = clone;
    p->seed = REWRITE_SEED;
    *ran = rewrite_trial_ready(p, 0, clone) && run_trials(p, window, measure_trial, m, sizes) > 0;
fail:
    rewrite_trial_end(p, 0, clone);
    return status;
}

nib_status rewrite_measure(nib_runtime *runtime, const graph *g, pass_range *ranges, char why[REWRITE_WHY], nib_error *err) {
    nib_status status = NIB_OK;
    prover p = {.runtime = runtime, .why = why, .err = err};
    const char *unknown = first_unknown(g);
    size_t limit = (size_t)g->value_limit + 1;
    graph_value **values = base_calloc(&runtime->heap, limit, sizeof *values);
    int n = 0;
    why[0] = 0;
    if (!values) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a measurement");
    for (size_t i = 0; i < limit; i++) ranges[i] = (pass_range){-1, -1};
    for (int i = 0; i < g->n_inputs; i++)
        if (g->inputs[i]->type.dtype == NIB_DTYPE_F32) values[n++] = g->inputs[i];
    for (const graph_node *k = g->first; k; k = k->next)
        for (int i = 0; i < k->n_outputs; i++) {
            graph_value *v = k->outputs[i];
            if (v && (v->uses || v->is_output) && v->type.kind == GRAPH_KIND_TENSOR && v->type.dtype == NIB_DTYPE_F32) values[n++] = v;
        }
    if (unknown) {
        snprintf(why, REWRITE_WHY, "operator %.80s has no evaluation here", unknown);
        goto fail;
    }
    NIB_TRY(cpu_open(runtime, &p.device, err));
    int64_t window = largest_constant(g);
    bool ran = true;
    for (int from = 0, to; ran && from < n; from = to) {
        size_t bytes = 0, more = 0;
        for (to = from; to < n && (to == from || bytes < MEASURE_BYTES); to++)
            bytes = base_add_size(bytes, guess_bytes(values[to], window + 3 > 41 ? window + 3 : 41), &more) ? more : SIZE_MAX;
        NIB_TRY(measure_some(&p, g, window, &(measuring){values + from, to - from, ranges}, &ran));
    }
    NIB_TRY(base_stop_check(err));
    if (ran) why[0] = 0;
fail:
    base_free(&runtime->heap, values);
    if (p.device) p.device->table->close(p.device);
    return status;
}

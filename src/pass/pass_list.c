/* SPDX-License-Identifier: Apache-2.0
 *
 * The order of the passes, and what they share. Levels mean what Optimum's mean: 1 simplifies with standard operators only,
 * 2 fuses. The simplifying passes run until nothing changes, because each opens ways for the others.
 */
#include "pass.h"
#include "base/base_number.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct pass_row {
    const char *name;
    nib_status (*run)(pass_context *);
    int level;
} pass_row;

static const pass_row simplify[] = {
    {"fold", pass_fold, 1},       {"constants", pass_constants, 1}, {"shape", pass_shape, 1}, {"reshape", pass_reshape, 1},
    {"branch", pass_branch, 1},   {"clean", pass_clean, 1},         {"conv", pass_conv, 1},   {"transpose", pass_transpose, 1},
    {"algebra", pass_algebra, 1}, {"grid", pass_grid, 1},           {"views", pass_views, 1}, {"clean", pass_clean, 1},
};

static const pass_row first = {"contrib", pass_contrib, 2};

static const pass_row fuse[] = {
    {"linear", pass_linear, 2},         {"norm", pass_norm, 2},           {"columns", pass_columns, 2}, {"rotary", pass_rotary, 2},
    {"standard", pass_standard, 2},     {"attention", pass_attention, 2}, {"rows", pass_rows, 2},       {"qkv", pass_qkv, 2},
    {"activation", pass_activation, 2}, {"embed", pass_embed, 2},         {"clean", pass_clean, 2},
};

/* What it makes only nib's own operators can say: not for files. */
static const char *const here_only[] = {"qkv"};

/* No rows of the tables, but they can be left out, too. */
static const char *const alone[] = {"quantized", "widen", "sense", "pack", "gemm", "bodies"};

#define ROUNDS 8

bool pass_exists(const char *name) {
    bool found = strcmp(name, first.name) == 0;
    for (size_t i = 0; i < BASE_COUNT(alone); i++) found |= strcmp(name, alone[i]) == 0;
    for (size_t i = 0; i < BASE_COUNT(simplify); i++) found |= strcmp(name, simplify[i].name) == 0;
    for (size_t i = 0; i < BASE_COUNT(fuse); i++) found |= strcmp(name, fuse[i].name) == 0;
    return found;
}

bool pass_is_disabled(const pass_context *ctx, const char *name) {
    for (size_t i = 0; i < ctx->n_disabled; i++)
        if (strcmp(ctx->disabled[i], name) == 0) return true;
    return false;
}

static nib_status run(pass_context *ctx, const pass_row *row) {
    if (pass_is_disabled(ctx, row->name)) return NIB_OK;
    for (size_t i = 0; ctx->file && i < BASE_COUNT(here_only); i++)
        if (strcmp(here_only[i], row->name) == 0) return NIB_OK;
    nib_status status = base_stop_check(ctx->err);
    if (status == NIB_OK) status = row->run(ctx);
#ifndef NDEBUG
    const graph *root = ctx->g;
    while (root->parent) root = root->parent;
    if (status == NIB_OK && !ctx->cut) status = graph_verify(root, ctx->err);
    if (status == NIB_BAD_MODEL && ctx->err)
        base_log(ctx->runtime, NIB_LOG_ERROR, "pass %s broke the graph: %s", row->name, ctx->err->message);
#endif
    return status;
}

/* The simplifying passes, once each, on ctx->g and the bodies in it. */
static nib_status simplify_once(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (size_t i = 0; i < BASE_COUNT(simplify); i++)
        if (simplify[i].level <= ctx->level) NIB_TRY(run(ctx, &simplify[i]));
    if (ctx->level >= 1 && !pass_is_disabled(ctx, "bodies")) NIB_TRY(pass_each_body(ctx, simplify_once));
fail:
    return status;
}

/* Until nothing changes. */
static nib_status simplify_all(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (int round = 0, before = -1; round < ROUNDS && before != ctx->changes; round++) {
        before = ctx->changes;
        NIB_TRY(simplify_once(ctx));
        NIB_TRY(op_infer_graph(ctx->g, ctx->err));
    }
fail:
    return status;
}

/* What fn does to ctx->g, to the bodies in it. In files only: a plan runs the nodes of bodies by their evals, and those of the fused
 * operators are the slower ones (BERT of 4 layers of 256 in a Loop, 2 x 64: 1130 ms fused, 190 ms as it is). */
static nib_status in_bodies(pass_context *ctx, nib_status (*fn)(pass_context *)) {
    bool cut = ctx->cut;
    if (!ctx->file || pass_is_disabled(ctx, "bodies")) return NIB_OK;
    ctx->cut = true;
    nib_status status = pass_each_body_alone(ctx, fn);
    ctx->cut = cut;
    return status;
}

static nib_status read_contrib(pass_context *ctx) {
    nib_status status = run(ctx, &first);
    return status == NIB_OK ? in_bodies(ctx, read_contrib) : status;
}

/* The fusing passes, in order, on ctx->g and the bodies in it. */
static nib_status fuse_all(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (size_t i = 0; i < BASE_COUNT(fuse); i++) {
        const int before = ctx->changes;
        if (fuse[i].level <= ctx->level) NIB_TRY(run(ctx, &fuse[i]));
        /* Each node has brought its own views, and its own bias of the same mask. */
        if (fuse[i].run == pass_standard && ctx->changes != before) NIB_TRY(simplify_all(ctx));
    }
    if (ctx->level >= 2) NIB_TRY(in_bodies(ctx, fuse_all));
fail:
    return status;
}

nib_status pass_run_all(pass_context *ctx) {
    nib_status status = NIB_OK;
    if (!ctx->fold_limit) ctx->fold_limit = ctx->g->heap->limits.fold_bytes;
    if (ctx->file && !ctx->keep_random) NIB_TRY(pass_dropout(ctx));
    size_t budget = pass_fold_budget(ctx);
    if (!ctx->fold_left) ctx->fold_left = budget;
    if (!ctx->work_limit) ctx->work_limit = OP_ENV_WORK + (int64_t)(budget < (size_t)OP_ENV_WORK << 8 ? budget : (size_t)OP_ENV_WORK << 8);
    if (ctx->task && ctx->level >= 2) {
        NIB_TRY(run(ctx, &(pass_row){"quantized", pass_quantized, 2}));
        NIB_TRY(run(ctx, &(pass_row){"widen", pass_widen, 2}));
    }
    if (ctx->level >= first.level && !ctx->keep_contrib) NIB_TRY(read_contrib(ctx));
    NIB_TRY(simplify_all(ctx));
    NIB_TRY(fuse_all(ctx));
    NIB_TRY(pass_widen_rest(ctx));
    ctx->fused = true;
    if (ctx->task && ctx->mask) NIB_TRY(run(ctx, &(pass_row){"sense", pass_mask_sense, 0}));
    if (ctx->pack || ctx->task) {
        NIB_TRY(run(ctx, &(pass_row){"pack", pass_pack, 0}));
        if (ctx->level >= 2) NIB_TRY(run(ctx, &(pass_row){"clean", pass_clean, 2}));
    }
fail:
    return status;
}

void pass_note(pass_context *ctx, const char *format, ...) {
    if (!ctx->notes) return;
    char line[512];
    va_list args;
    va_start(args, format);
    base_vsnprintf(line, sizeof line, format, args);
    va_end(args);
    base_str_printf(&ctx->notes->text, "%s\n", line);
}

nib_status pass_replace(pass_context *ctx, graph_value *root, graph_value *with) {
    if (!with) return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    if (with->type.rank < 0) with->type = root->type;
    if (!with->data && root->data) {
        with->data = root->data;
        with->data_count = root->data_count;
    }
    graph_take_over(ctx->g, root, with);
    ctx->changes++;
    return NIB_OK;
}

graph_value *pass_emit(pass_context *ctx, graph_node *before, const char *domain, const char *type, graph_value *const *in, int n_in,
                       const char *hint) {
    graph_value *v = graph_emit(ctx->g, before, domain, type, in, n_in, hint);
    if (!v) return NULL;
    v->producer->meaning = op_find(domain, type, graph_opset_version(ctx->g, domain));
    return v;
}

bool pass_same_dims(const graph_type *a, const graph_type *b) {
    if (a->rank < 0 || a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (!a->dims[i] || a->dims[i] != b->dims[i]) return false;
    return true;
}

bool pass_same_shape(const graph_value *a, const graph_value *b) { return pass_same_dims(&a->type, &b->type); }

typedef struct marking {
    const graph *g;
    const uint8_t *marked;
    bool reads;
} marking;

static void note_marked(void *user, graph_value *v) {
    marking *m = user;
    if (v->owner == m->g && m->marked[v->id]) m->reads = true;
}

void pass_mark_computed(const graph *g, uint8_t *marked, const graph_value *until) {
    for (const graph_node *n = g->first; n && !(until && marked[until->id]); n = n->next) {
        marking m = {g, marked, false};
        for (int i = 0; i < n->n_inputs && !m.reads; i++) m.reads = n->inputs[i].value && marked[n->inputs[i].value->id];
        graph_each_capture(n, note_marked, &m);
        for (int i = 0; i < n->n_outputs; i++)
            if (m.reads && n->outputs[i]) marked[n->outputs[i]->id] = 1;
    }
}

bool pass_needs(pass_context *ctx, const graph_value *v, const graph_value *of) {
    const graph *g = ctx->g;
    if (v == of) return true;
    if (!v->producer) return false;
    uint8_t *reached = base_calloc(g->heap, (size_t)g->value_limit + 1, 1); /* by value id, in the order of the nodes */
    if (!reached) return true;                                              /* the answer that changes nothing */
    reached[of->id] = 1;
    pass_mark_computed(g, reached, v);
    bool found = reached[v->id] != 0;
    base_free(g->heap, reached);
    return found;
}

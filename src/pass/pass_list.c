/* SPDX-License-Identifier: Apache-2.0
 *
 * The order of the passes. Levels mean what Optimum's mean: 1 simplifies with standard operators only, 2 fuses. The
 * simplifying passes run until nothing changes, because each opens ways for the others. What a mode leaves out or adds
 * is said by its row (pass_mode.c).
 */
#include "pass.h"
#include <string.h>

typedef struct pass_row {
    const char *name;
    nib_status (*run)(pass_context *);
    int level;
} pass_row;

static const pass_row simplify[] = {
    {"fold", pass_fold, 1},       {"constants", pass_constants, 1}, {"shape", pass_shape, 1}, {"reshape", pass_reshape, 1},
    {"branch", pass_branch, 1},   {"clean", pass_clean, 1},         {"conv", pass_conv, 1},   {"transpose", pass_transpose, 1},
    {"slice", pass_slice, 1},     {"onehot", pass_onehot, 1},
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
static const char *const alone[] = {"quantized", "widen", "sense", "pick", "pack", "pool", "gemm", "bodies", "map"};

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
    for (size_t i = 0; !pass_mode_of(ctx)->runs && i < BASE_COUNT(here_only); i++)
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
    if (pass_mode_of(ctx)->runs || pass_is_disabled(ctx, "bodies")) return NIB_OK;
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

/* A size of an input that its file gives no name is known all the same when the graph runs: it gets a name, so that what
 * is computed from it is known, too. */
static nib_status name_sizes(pass_context *ctx) {
    graph *g = ctx->g;
    for (int i = 0; i < g->n_inputs; i++) {
        graph_type *t = &g->inputs[i]->type;
        for (int k = 0; k < t->rank; k++)
            if (!t->dims[k] && !(t->dims[k] = graph_dim_fresh(g->symbols, "size")))
                return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    }
    return op_infer_graph(g, ctx->err);
}

/* ctx->g and the bodies in it. */
static nib_status map_all(pass_context *ctx) {
    nib_status status = run(ctx, &(pass_row){"map", pass_map, 2});
    return status == NIB_OK && !pass_is_disabled(ctx, "bodies") ? pass_each_body(ctx, map_all) : status;
}

nib_status pass_run_all(pass_context *ctx) {
    nib_status status = NIB_OK;
    const pass_mode_row *mode = pass_mode_of(ctx);
    if (!ctx->fold_limit) ctx->fold_limit = ctx->g->heap->limits.fold_bytes;
    size_t budget = pass_fold_budget(ctx);
    if (!ctx->fold_left) ctx->fold_left = budget;
    if (!ctx->work_limit) ctx->work_limit = OP_ENV_WORK + (int64_t)(budget < (size_t)OP_ENV_WORK << 8 ? budget : (size_t)OP_ENV_WORK << 8);
    if (mode->runs && !mode->texts && ctx->level >= 1) NIB_TRY(name_sizes(ctx));
    if (mode->runs && ctx->level >= 1) NIB_TRY(run(ctx, &(pass_row){"blocks", pass_blocks, 1}));
    if (mode->texts && ctx->level >= 2) {
        NIB_TRY(run(ctx, &(pass_row){"quantized", pass_quantized, 2}));
        NIB_TRY(run(ctx, &(pass_row){"widen", pass_widen, 2}));
    }
    if (ctx->level >= first.level && !mode->contrib) NIB_TRY(read_contrib(ctx));
    NIB_TRY(simplify_all(ctx));
    NIB_TRY(fuse_all(ctx));
    NIB_TRY(pass_widen_rest(ctx));
    ctx->fused = true;
    if (mode->texts && ctx->mask) NIB_TRY(run(ctx, &(pass_row){"sense", pass_mask_sense, 0}));
    if (mode->runs && !mode->texts && ctx->level >= 2) NIB_TRY(map_all(ctx));
    if (mode->texts) {
        if (ctx->level >= 1) NIB_TRY(run(ctx, &(pass_row){"pick", pass_pick, 1}));
        NIB_TRY(run(ctx, &(pass_row){"pack", pass_pack, 0}));
        if (ctx->level >= 2) NIB_TRY(run(ctx, &(pass_row){"pool", pass_pool, 2}));
        if (ctx->level >= 2) NIB_TRY(run(ctx, &(pass_row){"clean", pass_clean, 2}));
    }
fail:
    return status;
}

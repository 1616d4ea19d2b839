/* SPDX-License-Identifier: Apache-2.0
 *
 * Files in, files out. In: a model's path and options. Out: the same model with fewer nodes, proven to compute the same before
 * its file takes the name it was asked for.
 */
#include "rewrite.h"
#include "base/base_pool.h"
#include "op/op_schema.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- shapes that the user gives */

/* Every dimension that is that symbol, in every type: the size of one input is that of all that share its name. */
static void bind_symbol(graph *g, graph_dim symbol, graph_dim size) {
    for (int i = 0; i < g->n_inputs; i++)
        for (int k = 0; k < g->inputs[i]->type.rank; k++)
            if (g->inputs[i]->type.dims[k] == symbol) g->inputs[i]->type.dims[k] = size;
    for (const graph_node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_outputs; i++)
            for (int k = 0; n->outputs[i] && k < n->outputs[i]->type.rank; k++)
                if (n->outputs[i]->type.dims[k] == symbol) n->outputs[i]->type.dims[k] = size;
}

/* "input_ids=1x128" or "input_ids:1,128"; what is no number stays as it is. */
static nib_status set_shape(graph *g, const char *text, nib_error *err) {
    nib_status status = NIB_OK;
    const char *equals = strrchr(text, '=');
    if (!equals) equals = strrchr(text, ':');
    size_t length = equals ? (size_t)(equals - text) : strlen(text);
    graph_value *v = NULL;
    for (int i = 0; i < g->n_inputs; i++)
        if (strlen(g->inputs[i]->name) == length && strncmp(g->inputs[i]->name, text, length) == 0) v = g->inputs[i];
    if (!equals) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "shape %s: not of the form NAME=AxBxC", text);
    if (!v) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "shape %s: the model has no input %.*s", text, (int)length, text);
    int rank = 0;
    for (const char *p = equals + 1; *p; rank++) {
        char *end;
        size_t n = strcspn(p, "x,");
        long long size = strtoll(p, &end, 10);
        bool number = n > 0 && end == p + n;
        if (rank >= GRAPH_MAX_RANK || (number && size < 0)) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "shape %s: that is no shape", text);
        if (number && v->type.rank >= 0 && rank < v->type.rank) {
            int64_t old;
            graph_dim d = v->type.dims[rank], fresh = graph_dim_const(g->symbols, size);
            if (graph_dim_is_const(d, &old) && old != size)
                NIB_FAIL(err, NIB_INVALID_ARGUMENT, "shape %s: axis %d of %s is fixed to %lld", text, rank, v->name, (long long)old);
            if (graph_dim_is_symbol(d)) bind_symbol(g, d, fresh);
            v->type.dims[rank] = fresh;
        } else if (number && v->type.rank < 0) {
            v->type.dims[rank] = graph_dim_const(g->symbols, size);
        }
        p += n + (p[n] != 0);
    }
    if (v->type.rank >= 0 && v->type.rank != rank)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "shape %s: input %s has rank %d, not %d", text, v->name, v->type.rank, rank);
    v->type.rank = rank;
fail:
    return status;
}

/* ---------------------------------------------------------------- loading and rewriting */

typedef struct optimizing {
    nib_runtime *runtime;
    const nib_optimize_options *o;
    const char *out;   /* NULL: nothing is written */
    graph *source, *g; /* as loaded; rewritten */
    char *folder;      /* of the small files; NULL: the path was a file */
    pass_notes notes;
    pass_half_share half;
    nib_error *err;
} optimizing;

static void done(optimizing *z) {
    graph_free(z->g);
    graph_free(z->source);
    base_free(&z->runtime->heap, z->folder);
    base_str_free(&z->notes.text);
}

static nib_status load(optimizing *z, const char *path) {
    nib_status status = NIB_OK;
    base_str_init(&z->notes.text, &z->runtime->heap);
    model_found found;
    char why[REWRITE_WHY];
    NIB_TRY(model_load(z->runtime, path, NULL, NIB_PRECISION_FILE, &z->source, &found, z->err));
    if (base_path_is_dir(path) && !(z->folder = base_strndup(&z->runtime->heap, path, strlen(path))))
        NIB_FAIL(z->err, NIB_OUT_OF_MEMORY, "out of memory");
    for (size_t i = 0; i < z->o->shape_count; i++) NIB_TRY(set_shape(z->source, z->o->shapes[i], z->err));
    for (int i = graph_required_inputs(z->source); i < z->source->n_inputs; i++)
        if (!graph_preset_fits(z->source->inputs[i]))
            NIB_FAIL(z->err, NIB_INVALID_ARGUMENT, "shape: input %s has a value in the model, of another shape",
                     z->source->inputs[i]->name);
    op_resolve(z->source);
    NIB_TRY(op_infer_declared(z->source, why, sizeof why, z->err));
    if (why[0]) base_str_printf(&z->notes.text, "shapes that the file declares are left out: %s\n", why);
fail:
    return status;
}

/* Level 3: GELU by its approximation with tanh. */
static nib_status approximate_gelu(graph *g, nib_error *err) {
    nib_status status = NIB_OK;
    for (graph_node *n = g->first; n && status == NIB_OK; n = n->next) {
        op_linear l;
        if (!op_linear_get(n, &l) || l.activation != KERNEL_ACT_GELU_ERF) continue;
        l.activation = KERNEL_ACT_GELU_TANH;
        status = op_linear_set(n, &l, err);
    }
    return status;
}

/* What passes have imported and no node needs goes; what the file imported stays. */
static void drop_opsets(const graph *source, graph *g) {
    int kept = 0;
    for (int i = 0; i < g->n_opsets; i++) {
        const char *domain = g->opsets[i].domain;
        if (!domain[0] || graph_opset_version(source, domain) || graph_uses_domain(g, domain)) g->opsets[kept++] = g->opsets[i];
    }
    g->n_opsets = kept;
}

/* An operator that nib does not know stays as it is; the report says so once for each. */
static void note_unknown(pass_context *ctx) {
    const graph *g = ctx->g;
    for (const graph_node *n = g->first; n; n = n->next) {
        bool first = n->meaning == NULL;
        for (const graph_node *k = g->first; first && k != n; k = k->next) first = k->op != n->op || k->domain != n->domain;
        if (first) pass_note(ctx, "%s%s%s: not known here, kept as it is", n->domain, *n->domain ? "." : "", n->op);
    }
}

/* What callers may give is not folded, and what depends on it is fused less: whoever expects more reads why. */
static void note_presets(pass_context *ctx) {
    int first = graph_required_inputs(ctx->g), n = ctx->g->n_inputs - first;
    if (n)
        pass_note(ctx, "inputs: %d with an initializer each (%s%s), which a caller may override: they stay inputs, and none is folded", n,
                  ctx->g->inputs[first]->name, n > 1 ? ", ..." : "");
}

/* Of the weights of Linear layers, at level 4: who asked for half precision has not got it where more stay f32 without a reason. */
#define MOST_LEFT_FULL 0.1

/* Level 4. */
nib_status rewrite_halve(pass_context *ctx) {
    nib_status status = NIB_OK;
    char why[REWRITE_WHY];
    base_heap *heap = &ctx->runtime->heap;
    size_t n = (size_t)ctx->g->value_limit + 1;
    pass_range *ranges = base_calloc(heap, n, sizeof *ranges);
    if (!ranges) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory for a measurement");
    NIB_TRY(op_infer_graph(ctx->g, ctx->err));
    NIB_TRY(rewrite_measure(ctx->runtime, ctx->g, ranges, why, ctx->err));
    if (why[0]) pass_note(ctx, "half: only weights were looked at for what leaves f16's range: %s", why);
    NIB_TRY(pass_half(ctx, ranges, n));
fail:
    base_free(heap, ranges);
    return status;
}

/* Weights that are made of the file's, aligned and by passes, are memory up to this; beyond it they are pages of a file where the result
 * will be: who has room for that has it for this. */
#define MADE_IN_MEMORY ((size_t)128 << 20)

static nib_status spill_weights(const optimizing *z, graph *g) {
    base_heap *heap = &z->runtime->heap;
    size_t most = heap->limit && heap->limit / 8 < MADE_IN_MEMORY ? heap->limit / 8 : MADE_IN_MEMORY;
    if (!z->out) return NIB_OK;
    char *folder = base_path_is_dir(z->out) ? base_strndup(heap, z->out, strlen(z->out)) : base_path_dir(heap, z->out);
    if (!folder) return base_error_set(z->err, NIB_OUT_OF_MEMORY, "out of memory");
    base_arena_spill(g->arena, folder, most);
    base_free(heap, folder);
    return NIB_OK;
}

static nib_status optimize(optimizing *z) {
    nib_status status = NIB_OK;
    kernels ks;
    kernel_table_init(&ks, z->runtime->isas);
    for (size_t i = 0; i < z->o->disabled_count; i++)
        if (!pass_exists(z->o->disabled[i])) NIB_FAIL(z->err, NIB_INVALID_ARGUMENT, "there is no pass %s", z->o->disabled[i]);
    NIB_TRY(spill_weights(z, z->source));
    bool runs = (z->out && z->o->check) || z->o->level >= 4;
    if (!z->o->keep_random) { /* in the source, too, so that the proof compares the model in use */
        pass_context source = {.g = z->source, .notes = &z->notes, .err = z->err};
        NIB_TRY(pass_dropout(&source));
    }
    if (runs && !graph_align_constants(z->source)) NIB_FAIL(z->err, NIB_OUT_OF_MEMORY, "out of memory for weights");
    NIB_TRY(graph_clone(z->source, &z->g, z->err));
    NIB_TRY(spill_weights(z, z->g));
    pass_context ctx = {.g = z->g,
                        .runtime = z->runtime,
                        .kernels = &ks,
                        .level = graph_opset_version(z->g, "") < 7 ? 0 : z->o->level,
                        .mode = z->o->target == NIB_TARGET_ONNXRUNTIME ? PASS_MODE_FILE_ONNXRUNTIME : PASS_MODE_FILE,
                        .disabled = z->o->disabled,
                        .n_disabled = z->o->disabled_count,
                        .notes = &z->notes,
                        .err = z->err};
    note_unknown(&ctx);
    note_presets(&ctx);
    if (ctx.level < z->o->level)
        pass_note(&ctx, "opset %d: operators broadcast otherwise before 7: kept as it is", graph_opset_version(z->g, ""));
    if (z->o->opset) NIB_TRY(pass_opset(&ctx, z->o->opset));
    NIB_TRY(pass_run_all(&ctx));
    if (ctx.level >= 3) NIB_TRY(approximate_gelu(z->g, z->err));
    if (ctx.level >= 2) pass_note_found(&ctx);
    pass_note_random(&ctx);
    if (ctx.level >= 2) NIB_TRY(pass_expand(&ctx));
    if (ctx.level >= 1) NIB_TRY(pass_gemm(&ctx));
    if (ctx.level >= 4) NIB_TRY(rewrite_halve(&ctx));
    z->half = ctx.half;
    if (ctx.level >= 2) NIB_TRY(pass_names(&ctx));
    if (ctx.level >= 1) NIB_TRY(pass_body_names(&ctx));
    drop_opsets(z->source, z->g);
    NIB_TRY(graph_verify(z->g, z->err));
fail:
    return status;
}

static nib_status check_options(const nib_optimize_options *o, nib_error *err) {
    if (o->level < 0 || o->level > 4) return base_error_set(err, NIB_INVALID_ARGUMENT, "level %d: there are 0 to 4", o->level);
    if (o->opset && (o->opset < 7 || o->opset > ONNX_MAX_OPSET))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "opset %d: there are 7 to %d", o->opset, ONNX_MAX_OPSET);
    return NIB_OK;
}

static double tolerance_of(const nib_optimize_options *o) {
    /* Rounding; the approximation is off by up to 5e-4 in every layer; and f16 rounds by up to 5e-4 at every node. */
    static const double by_level[] = {1e-5, 1e-5, 1e-4, 1e-2, 3e-2};
    return o->tolerance > 0 ? o->tolerance : by_level[o->level];
}

/* ---------------------------------------------------------------- nib optimize */

nib_status rewrite_optimize_file(nib_runtime *runtime, const char *in, const char *out, const nib_optimize_options *o,
                                 nib_report **report, nib_error *err) {
    nib_status status = NIB_OK;
    optimizing z = {.runtime = runtime, .o = o, .out = out, .err = err};
    nib_report *r = NULL;
    rewrite_counts counts = {0};
    rewrite_proof proof = {0};
    rewrite_costs costs = {0};
    *report = NULL;
    NIB_TRY(check_options(o, err));
    double begun = base_clock();
    NIB_TRY(load(&z, in));
    base_stop_advance(1);
    NIB_TRY(rewrite_check_out(runtime, z.folder, out, err));
    NIB_TRY(optimize(&z));
    NIB_TRY(op_schema_check(z.g, o->target == NIB_TARGET_ONNXRUNTIME, err));
    double optimized = base_clock();
    base_stop_advance(1);
    int how = REWRITE_PROVE_PARTS | (o->level >= 4 ? REWRITE_PROVE_TOKENS : REWRITE_PROVE_WHOLE);
    if (o->check) NIB_TRY(rewrite_prove(runtime, z.source, z.g, how, &proof, err));
    double proven = base_clock();
    base_stop_advance(1);
    NIB_TRY(rewrite_report_create(&r, err));
    base_json_put_text(&r->draft, r->draft.root, "nib", NIB_VERSION);
    yyjson_mut_obj_add_int(r->draft.doc, r->draft.root, "level", o->level);
    base_json_put_text(&r->draft, r->draft.root, "target", nib_target_name(o->target));
    yyjson_mut_obj_add_int(r->draft.doc, r->draft.root, "opset", graph_opset_version(z.g, ""));
    NIB_TRY(rewrite_count_into(&runtime->heap, z.source, 0, &counts, err));
    NIB_TRY(rewrite_count_into(&runtime->heap, z.g, 1, &counts, err));
    rewrite_report_counts(r, &counts);
    rewrite_report_notes(r, z.notes.text.data);
    if (o->check) rewrite_report_proof(r, &proof, tolerance_of(o));
    bool differs = proof.ran && !(rewrite_proof_worst(&proof) <= tolerance_of(o));
    base_str_printf(&r->text, "optimized in %.1f ms", 1e3 * (optimized - begun));
    if (o->check) base_str_printf(&r->text, ", compared in %.1f ms", 1e3 * (proven - optimized));
    base_str_add(&r->text, "\n");
    NIB_TRY(rewrite_report_write(r, err)); /* no times yet: the same model gives the same nib.json */
    double missing = z.half.all ? 1 - (double)(z.half.half + z.half.guarded) / (double)z.half.all : 0;
    if (missing > MOST_LEFT_FULL || differs) {
        *report = r;
        r = NULL;
        if (!differs)
            NIB_FAIL(err, NIB_DIFFERENT,
                     "%.0f %% of the Linear layers' weights would stay f32, and no value's range is the reason; nothing was written",
                     100 * missing);
        NIB_FAIL(err, NIB_DIFFERENT, "%s: the optimized model computes something else; nothing was written",
                 rewrite_proof_worst_name(&proof));
    }
    if (proof.ran) NIB_TRY(rewrite_costs_of(runtime, z.source, z.g, &costs, err));
    base_stop_advance(1);
    NIB_TRY(rewrite_write_out(runtime, z.g, &(rewrite_out){z.folder, out, o->external_over, z.source}, r, err));
    base_stop_advance(1);
    costs.halves = o->level >= 4;
    if (proof.ran) rewrite_report_costs(r, &costs);
    NIB_TRY(rewrite_report_write(r, err));
    *report = r;
    r = NULL;
fail:
    rewrite_report_free(r);
    base_free(&runtime->heap, counts.items);
    done(&z);
    return status;
}

/* ---------------------------------------------------------------- nib diff */

static void type_text(const graph_type *t, base_str *out) {
    base_str_printf(out, "%s[", nib_dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++) {
        if (i) base_str_add(out, ",");
        graph_dim_print(t->dims[i], out);
    }
    base_str_add(out, t->rank < 0 ? "...]" : "]");
}

static void note_types(base_str *notes, const char *what, graph_value *const *a, int n, graph_value *const *b, int m) {
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < (side ? m : n); i++) {
            const graph_value *v = side ? b[i] : a[i], *other = NULL;
            for (int k = 0; k < (side ? n : m); k++)
                if (strcmp((side ? a : b)[k]->name, v->name) == 0) other = (side ? a : b)[k];
            if (!other) base_str_printf(notes, "%s %s: only in the %s\n", what, v->name, side ? "second" : "first");
            if (!other || side) continue;
            base_str x, y;
            base_str_init(&x, notes->heap);
            base_str_init(&y, notes->heap);
            type_text(&v->type, &x);
            type_text(&other->type, &y);
            if (!x.failed && !y.failed && strcmp(x.data, y.data) != 0)
                base_str_printf(notes, "%s %s: %s became %s\n", what, v->name, x.data, y.data);
            base_str_free(&x);
            base_str_free(&y);
        }
}

static void note_constants(base_str *notes, const graph *a, const graph *b) {
    int gone = 0, fresh = 0;
    for (int i = 0; i < a->n_constants; i++) {
        const graph_tensor *x = a->constants[i]->constant;
        const graph_value *other = graph_find_value(b, a->constants[i]->name);
        if (!other || !other->constant) {
            gone++;
            continue;
        }
        const graph_tensor *y = other->constant;
        bool same_type =
            x->dtype == y->dtype && x->rank == y->rank && (!x->rank || !memcmp(x->dims, y->dims, (size_t)x->rank * sizeof *x->dims));
        if (!same_type) base_str_printf(notes, "constant %s: another type or shape\n", other->name);
        else if (x->dtype != NIB_DTYPE_STRING && x->bytes && memcmp(x->data, y->data, x->bytes) != 0)
            base_str_printf(notes, "constant %s: other values\n", other->name);
    }
    for (int i = 0; i < b->n_constants; i++) {
        const graph_value *other = graph_find_value(a, b->constants[i]->name);
        fresh += !other || !other->constant;
    }
    base_str_printf(notes, "constants: %d only in the first, %d only in the second\n", gone, fresh);
}

static bool has_named(graph_value *const *values, int n, const char *name) {
    bool found = false;
    for (int i = 0; i < n; i++) found |= strcmp(values[i]->name, name) == 0;
    return found;
}

/* Whether the second model wants what nobody gives the first, or they have no output of one name: then they compute
 * different things, whatever each does. why [300]. */
static bool have_other_faces(const graph *a, const graph *b, char why[REWRITE_WHY]) {
    int common = 0;
    for (int i = 0; i < graph_required_inputs(b); i++)
        if (!has_named(a->inputs, a->n_inputs, b->inputs[i]->name))
            return snprintf(why, REWRITE_WHY, "input %.200s is only in the second", b->inputs[i]->name), true;
    for (int i = 0; i < a->n_outputs; i++) common += has_named(b->outputs, b->n_outputs, a->outputs[i]->name);
    if (common == 0 && a->n_outputs + b->n_outputs > 0)
        return snprintf(why, REWRITE_WHY, "they have no output of the same name"), true;
    return false;
}

nib_status rewrite_diff_files(nib_runtime *runtime, const char *a, const char *b, const nib_optimize_options *o,
                              nib_report **report, nib_error *err) {
    nib_status status = NIB_OK;
    nib_optimize_options both = *o;
    optimizing x = {.runtime = runtime, .o = &both, .err = err}, y = x;
    nib_report *r = NULL;
    rewrite_counts counts = {0};
    rewrite_proof proof = {0};
    char why[REWRITE_WHY];
    base_str notes;
    base_str_init(&notes, &runtime->heap);
    *report = NULL;
    NIB_TRY(load(&x, a));
    base_stop_advance(1);
    NIB_TRY(load(&y, b));
    base_stop_advance(1);
    if (o->check) NIB_TRY(rewrite_prove(runtime, x.source, y.source, REWRITE_PROVE_WHOLE, &proof, err));
    base_stop_advance(REWRITE_STAGES - 2);
    NIB_TRY(rewrite_report_create(&r, err));
    NIB_TRY(rewrite_count_into(&runtime->heap, x.source, 0, &counts, err));
    NIB_TRY(rewrite_count_into(&runtime->heap, y.source, 1, &counts, err));
    rewrite_report_counts(r, &counts);
    note_types(&notes, "input", x.source->inputs, x.source->n_inputs, y.source->inputs, y.source->n_inputs);
    note_types(&notes, "output", x.source->outputs, x.source->n_outputs, y.source->outputs, y.source->n_outputs);
    note_constants(&notes, x.source, y.source);
    rewrite_report_notes(r, notes.data);
    if (o->check) rewrite_report_proof(r, &proof, tolerance_of(o));
    NIB_TRY(rewrite_report_write(r, err));
    *report = r;
    r = NULL;
    if (have_other_faces(x.source, y.source, why))
        NIB_FAIL(err, NIB_DIFFERENT, "the models cannot compute the same: %s", why);
    if (o->check && !proof.ran) NIB_FAIL(err, NIB_UNSUPPORTED, "the models' outputs were not compared: %s", proof.why);
    if (proof.ran && !(rewrite_proof_worst(&proof) <= tolerance_of(o)))
        NIB_FAIL(err, NIB_DIFFERENT, "the models compute different outputs");
fail:
    rewrite_report_free(r);
    base_str_free(&notes);
    base_free(&runtime->heap, counts.items);
    done(&x);
    done(&y);
    return status;
}

/* ---------------------------------------------------------------- nib inspect --graph */

static void dot_label(base_str *out, const char *text) {
    for (; *text; text++) base_str_printf(out, "%s%c", *text == '"' || *text == '\\' ? "\\" : "", *text);
}

static void print_dot(const graph *g, base_str *out) {
    base_str_add(out, "digraph model {\n  node [shape=box, fontname=\"sans-serif\"]\n");
    for (int i = 0; i < g->n_inputs; i++) {
        base_str_printf(out, "  v%d [shape=ellipse, label=\"", g->inputs[i]->id);
        dot_label(out, g->inputs[i]->name);
        base_str_add(out, "\"]\n");
    }
    for (const graph_node *n = g->first; n; n = n->next) {
        base_str_printf(out, "  n%d [label=\"%s%s%s\"]\n", n->id, n->domain, *n->domain ? "." : "", n->op);
        for (int i = 0; i < n->n_inputs; i++) {
            const graph_value *v = n->inputs[i].value;
            if (!v || v->constant || v->owner != g) continue;
            base_str_printf(out, v->producer ? "  n%d -> n%d [label=\"" : "  v%d -> n%d [label=\"", v->producer ? v->producer->id : v->id,
                            n->id);
            base_str shape;
            base_str_init(&shape, out->heap);
            type_text(&v->type, &shape);
            if (!shape.failed) dot_label(out, shape.data);
            base_str_free(&shape);
            base_str_add(out, "\"]\n");
        }
    }
    for (int i = 0; i < g->n_outputs; i++) {
        const graph_value *v = g->outputs[i];
        base_str_printf(out, "  o%d [shape=ellipse, label=\"", v->id);
        dot_label(out, v->name);
        base_str_add(out, "\"]\n");
        if (v->producer) base_str_printf(out, "  n%d -> o%d\n", v->producer->id, v->id);
        else if (v->is_input) base_str_printf(out, "  v%d -> o%d\n", v->id, v->id);
    }
    base_str_add(out, "}\n");
}

nib_status rewrite_graph_text(nib_runtime *runtime, const char *path, const nib_optimize_options *o,
                              nib_graph_format format, nib_report **report, nib_error *err) {
    nib_status status = NIB_OK;
    optimizing z = {.runtime = runtime, .o = o, .err = err};
    nib_report *r = NULL;
    *report = NULL;
    NIB_TRY(check_options(o, err));
    NIB_TRY(load(&z, path));
    NIB_TRY(optimize(&z));
    NIB_TRY(rewrite_report_create(&r, err));
    if (format == NIB_GRAPH_DOT) print_dot(z.g, &r->text);
    else NIB_TRY(graph_print(z.g, 8, &r->text));
    if (r->text.failed) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a graph's text");
    *report = r;
    r = NULL;
fail:
    rewrite_report_free(r);
    done(&z);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * In: multi-head attention as exporters write it, around
 *
 *     MatMul(Softmax(scores), V),  scores = scale * MatMul(Q, K^T) + biases
 *
 * where Q, K^T and V are heads (pass_heads.h); a scale may sit on Q, on K, on the product or on the sum; a bias may be
 * added, or be a Where that puts a huge negative number in place of scores; scores may be capped (c tanh(s / c)); heads
 * may lie in an axis of their own or in that of the batch; NaN rows may be replaced by 0. Out: nib.Attention on the
 * rows, its bias the sum of all, computed by whatever computed them before.
 *
 * Whatever is not exactly that stays as it is: a note says at which step recognition ended. In a file whose operators
 * cannot say it (ai.onnx has Attention since opset 23) what is new in this form is counted as found and left in its
 * long form. So is what ai.onnx's Attention would say otherwise: a query whose keys are all at -infinity gives zeros
 * there, and NaN where no Where follows the softmax. So are, in any graph whose padded rows show, biases whose order
 * shows: nib.Attention adds their sum.
 */
#include "pass_heads.h"
#include "pass_match.h"
#include "pass_relative.h"
#include <string.h>

#define MAX_BIASES 6
#define HUGE_BIAS (-1e30) /* from here on, adding a score of any model changes nothing: a + score = a */

typedef struct bias_part {
    graph_value *value, *where, *shape; /* added; or the condition of a Where, see below; Reshape that it must go through, or NULL */
    double scale, masked;               /* times this; what a Where puts in */
    bool when;                          /* it puts it in where the condition holds */
} bias_part;

/* What stands under the softmax, taken apart. */
typedef struct scores {
    pass_heads q, k;
    bias_part biases[MAX_BIASES];
    int n_biases;
    double scale, softcap;
    graph_value *shape, *view; /* of [B H, S, T] as [B, H, S, T], and that; NULL: none */
    bool plain;                /* one bias at most, added last */
    pass_relative relative;    /* what is added by distance */
    bool biased_first;         /* and that behind a bias */
} scores;

/* softmax or, as torch writes it for rows that are all masked, Where(IsNaN(softmax), 0, softmax). */
static graph_node *softmax_of(graph_value *v, bool *guarded) {
    pass_match m;
    double none = 1;
    if (graph_is_op(v->producer, "", "Reshape") && v->type.rank == 3 && v->producer->inputs[0].value->type.rank == 4) {
        const graph_type *wide = &v->producer->inputs[0].value->type, *t = &v->type;
        if (!t->dims[1] || !t->dims[2] || t->dims[1] != wide->dims[2] || t->dims[2] != wide->dims[3]) return NULL;
        v = v->producer->inputs[0].value;
    }
    v = pass_without_scale(v, &none);
    if (none != 1) return NULL;
    *guarded = pass_match_at("Where(IsNaN(p), 0, p)", v, &m);
    if (*guarded) v = pass_matched(&m, "p");
    graph_node *n = v->producer;
    if (!graph_is_op(n, "", "Softmax")) return NULL;
    int rank = n->inputs[0].value->type.rank;
    if (rank != 4 && rank != 3) return NULL;
    int64_t axis = graph_attr_int(n, "axis", graph_opset_version(n->owner, "") < 13 ? 1 : -1);
    return axis == -1 || axis == rank - 1 ? n : NULL;
}

/* ---- scores */

static bool add_part(scores *s, bias_part part) {
    if (s->n_biases == MAX_BIASES || s->softcap > 0) return false;
    part.shape = s->shape;
    s->biases[s->n_biases++] = part;
    return true;
}

static bool is_bias(const graph_value *v) { return v->type.rank >= 0 && v->type.rank <= 4 && v->type.dtype == NIB_DTYPE_F32; }

static bool scores_of(graph_value *v, double outer, int depth, scores *s);

/* One input leads to the product, the other is what is added; which is which only the whole tells. */
static bool sum_of(const graph_node *add, double outer, int depth, scores *s) {
    for (int side = 0; side < 2; side++) {
        scores attempt = *s;
        attempt.plain &= outer == 1 && s->n_biases == 0;
        if (!is_bias(add->inputs[1 - side].value)) continue;
        if (!add_part(&attempt, (bias_part){.value = add->inputs[1 - side].value, .scale = outer})) return false;
        if (!scores_of(add->inputs[side].value, outer, depth + 1, &attempt)) continue;
        *s = attempt;
        return true;
    }
    return false;
}

/* Where(open, scores, huge) or Where(masked, huge, scores). */
static bool choice_of(const graph_node *n, double outer, int depth, scores *s) {
    double x;
    bool when = graph_scalar(n->inputs[1].value, &x);
    if (outer != 1 || (!when && !graph_scalar(n->inputs[2].value, &x)) || !(x <= HUGE_BIAS)) return false;
    if (n->inputs[0].value->type.rank < 0 || n->inputs[0].value->type.rank > 4) return false;
    s->plain = false;
    if (!add_part(s, (bias_part){.where = n->inputs[0].value, .masked = x, .when = when, .scale = 1})) return false;
    return scores_of(n->inputs[when ? 2 : 1].value, 1, depth + 1, s);
}

static bool scores_of(graph_value *v, double outer, int depth, scores *s) {
    if (depth > 12) return false;
    v = pass_without_scale(v, &outer);
    graph_node *n = v->producer;
    if (graph_is_op(n, "", "Add")) return sum_of(n, outer, depth, s);
    if (graph_is_op(n, "", "Where")) return choice_of(n, outer, depth, s);
    if (graph_is_op(n, "", "Tanh")) { /* outer * tanh(x) */
        if (s->softcap > 0 || !(outer > 0)) return false;
        s->softcap = outer;
        s->plain = false;
        return scores_of(n->inputs[0].value, 1, depth + 1, s);
    }
    if (graph_is_op(n, "", "Reshape") && v->type.rank == 4 && n->inputs[0].value->type.rank == 3 && !s->shape) {
        s->shape = n->inputs[1].value;
        s->view = v;
        return scores_of(n->inputs[0].value, outer, depth + 1, s);
    }
    if (!graph_is_op(n, "", "MatMul") || (v->type.rank != 4 && !(v->type.rank == 3 && s->shape))) return false;
    if (!pass_find_heads(n->inputs[0].value, false, &s->q) || !pass_find_heads(n->inputs[1].value, true, &s->k)) return false;
    s->scale = outer * s->q.scale * s->k.scale * (s->softcap > 0 ? s->softcap : 1);
    return s->q.times == 1;
}

/* ---- scores by distance */

/* Bias i is one no more. */
static void take_bias(scores *s, int i) {
    s->n_biases--;
    s->biased_first = i < s->n_biases;
    memmove(&s->biases[i], &s->biases[i + 1], (size_t)(s->n_biases - i) * sizeof s->biases[0]);
}

/* A bias that is a number by distance and another: their sum, or Where(open, number, huge). What is left of it is the
 * other. */
static bool take_part(pass_context *ctx, scores *s, bias_part *p) {
    const graph_node *n = p->value->producer;
    double x;
    for (int side = 0; side < 2 && graph_is_op(n, "", "Add"); side++) {
        graph_value *other = n->inputs[!side].value;
        if (!is_bias(other) ||
            !pass_read_distance_bias(ctx, n->inputs[side].value, p->scale, &s->q, &s->k, &s->relative))
            continue;
        p->value = other;
        return true;
    }
    for (int side = 1; side < 3 && graph_is_op(n, "", "Where") && p->scale == 1; side++) {
        if (!graph_scalar(n->inputs[side].value, &x) || !(x <= HUGE_BIAS)) continue;
        if (!pass_read_distance_bias(ctx, n->inputs[3 - side].value, 1, &s->q, &s->k, &s->relative)) continue;
        *p = (bias_part){.where = n->inputs[0].value, .shape = p->shape, .masked = x, .when = side == 1, .scale = 1};
        return true;
    }
    return false;
}

/* The first bias that is nothing but that, or that and another, becomes tables. */
static void take_relative(pass_context *ctx, scores *s, const char *name) {
    char why[200];
    if (!pass_mode_of(ctx)->runs || s->softcap > 0) return;
    for (int i = 0; i < s->n_biases; i++) {
        bias_part *p = &s->biases[i];
        if (p->where) continue;
        if (pass_read_relative(ctx, p->value, p->scale, &s->q, &s->k, s->scale, &s->relative, why, sizeof why) ||
            pass_read_distance_bias(ctx, p->value, p->scale, &s->q, &s->k, &s->relative)) {
            take_bias(s, i);
            return;
        }
        s->relative = (pass_relative){0};
        if (why[0]) pass_note(ctx, "scores by distance at %s are added as they are: %s", name, why);
        if (take_part(ctx, s, p)) return;
    }
}

/* ---- the sum of all biases */

/* Axis of a bias, from the right: 1 or what the scores have. One that is cut off at a constant (a table of positions has so many rows)
 * is what it must be, or the model itself fails. So, most likely, is another size that is unknown or computed; a file is proven before
 * it is written, a plan is not. */
static bool axis_fits(const pass_context *ctx, graph_dim dim, graph_dim want) {
    int64_t one = 0;
    if (dim && (graph_dim_is_const(dim, &one) || graph_dim_is_symbol(dim))) return dim == want || one == 1;
    return !pass_mode_of(ctx)->runs || (dim && dim == want) || graph_dim_is_capped(dim, want, 2);
}

static bool bias_fits(pass_context *ctx, const graph_value *v, const scores *s) {
    graph_dim want[4] = {pass_heads_batch(&s->q), graph_dim_const(ctx->g->symbols, s->q.count), pass_heads_length(&s->q),
                         pass_heads_length(&s->k)};
    for (int i = 0; i < v->type.rank; i++)
        if (!axis_fits(ctx, v->type.dims[i], want[4 - v->type.rank + i])) return false;
    return true;
}

/* A bias that is added before the scores are split into heads: [B H, S, S], as the scores are, or one row for all queries. What is unknown
 * is taken for that in a file, which is proven before it is written. */
static bool joined_bias_fits(pass_context *ctx, const graph_value *v, const scores *s) {
    graph_symtab *t = ctx->g->symbols;
    int64_t size;
    if (v->type.rank != 3) return false;
    const graph_dim want[3] = {graph_dim_mul(t, pass_heads_batch(&s->q), graph_dim_const(t, s->q.count)), pass_heads_length(&s->q),
                               pass_heads_length(&s->k)};
    const bool runs = pass_mode_of(ctx)->runs;
    for (int i = 0; i < 3; i++) {
        const graph_dim d = v->type.dims[i];
        bool known = d && want[i] && (runs || graph_dim_is_const(d, &size));
        if (known ? d != want[i] && !(i == 1 && graph_dim_is_one(d)) : runs) return false;
    }
    return true;
}

/* v [B H, r, c] as heads, [B, H, r, c]: `shape` says what B and H are. */
static graph_value *split_joined(pass_context *ctx, graph_node *before, graph_value *v, graph_value *shape) {
    static const int64_t first[] = {0, 1}, last[] = {1, 2};
    if (!graph_dim_is_one(v->type.dims[1])) return pass_emit_inferred(ctx, before, "Reshape", (graph_value *[]){v, shape}, 2, v->name);
    graph_value *of_heads = graph_const_i64(ctx->g, "axes", first, 2), *of_rows = graph_const_i64(ctx->g, "axes", last, 2);
    graph_value *sizes = pass_emit_inferred(ctx, before, "Shape", &v, 1, v->name), *parts[2] = {NULL, NULL};
    if (of_heads) parts[0] = pass_emit_inferred(ctx, before, "Gather", (graph_value *[]){shape, of_heads}, 2, v->name);
    if (sizes && of_rows) parts[1] = pass_emit_inferred(ctx, before, "Gather", (graph_value *[]){sizes, of_rows}, 2, v->name);
    graph_value *all = parts[0] && parts[1] ? pass_emit(ctx, before, "", "Concat", parts, 2, v->name) : NULL;
    if (!all || graph_set_int(all->producer, "axis", 0) != NIB_OK || op_infer_node(ctx->g, all->producer, ctx->err) != NIB_OK) return NULL;
    return pass_emit_inferred(ctx, before, "Reshape", (graph_value *[]){v, all}, 2, v->name);
}

static bool biases_fit(pass_context *ctx, const scores *s) {
    for (int i = 0; i < s->n_biases; i++) {
        const bias_part *p = &s->biases[i];
        const graph_value *v = p->where ? p->where : p->value;
        if (p->shape ? !joined_bias_fits(ctx, v, s) : !bias_fits(ctx, v, s)) return false;
    }
    return true;
}

/* What a Where puts in, and `else_` where it does not. */
static graph_value *choose(pass_context *ctx, graph_node *before, const bias_part *p, graph_value *else_) {
    graph_value *masked = graph_const_f32(ctx->g, "masked", (float)p->masked);
    if (!masked || !else_) return NULL;
    return pass_emit_inferred(ctx, before, "Where", (graph_value *[]){p->where, p->when ? masked : else_, p->when ? else_ : masked}, 3,
                              p->where->name);
}

/* Whether a bias may be as low as what a Where puts in: two such numbers are -infinity together, and in a row that has nothing else each
 * of them counts alike, but an infinity does not. Only so many values are looked at. */
static bool may_be_huge(const graph_value *v, int *looks) {
    double x;
    if (--*looks < 0) return false;
    if (graph_scalar(v, &x)) return x <= HUGE_BIAS || x >= -HUGE_BIAS;
    for (int i = 0; v->producer && i < v->producer->n_inputs; i++)
        if (v->producer->inputs[i].value && may_be_huge(v->producer->inputs[i].value, looks)) return true;
    return false;
}

static graph_value *one_bias(pass_context *ctx, graph_node *before, const bias_part *p) {
    graph_value *v = p->value;
    if (p->where) {
        v = choose(ctx, before, p, graph_const_f32(ctx->g, "zero", 0));
    } else if (p->scale != 1) {
        graph_value *scale = graph_const_f32(ctx->g, "scale", (float)p->scale);
        v = scale ? pass_emit_inferred(ctx, before, "Mul", (graph_value *[]){v, scale}, 2, v->name) : NULL;
    }
    return v && p->shape ? split_joined(ctx, before, v, p->shape) : v;
}

/* v is [.., H, S, size], as far as a view says: its first axis is what is left. */
static bool has_heads(const graph_value *v, const pass_heads *q, graph_dim size) {
    int64_t heads;
    const graph_dim *d = v->type.dims;
    return graph_dim_is_const(d[1], &heads) && heads == q->count && d[2] && d[2] == pass_heads_length(q) && d[3] && d[3] == size;
}

/* In the order in which they were added; NULL: out of memory. */
static graph_value *all_biases(pass_context *ctx, graph_node *before, const scores *s) {
    graph_value *sum = NULL;
    for (int i = s->n_biases - 1; i >= 0; i--) {
        const bias_part *p = &s->biases[i];
        int looks = 400;
        if (sum && p->where && !p->shape && may_be_huge(sum, &looks)) { /* in place of the sum so far, as in the model */
            if (!(sum = choose(ctx, before, p, sum))) return NULL;
            continue;
        }
        graph_value *v = one_bias(ctx, before, p);
        if (v && sum) v = pass_emit_inferred(ctx, before, "Add", (graph_value *[]){sum, v}, 2, v->name);
        if (!v) return NULL;
        sum = v;
    }
    return sum;
}

/* ---- whether their order shows */

/* Nothing but padding of keys: a text that has a token has no row without one. */
static bool is_key_padding(pass_context *ctx, graph_value *bias) {
    for (int i = 0; i < ctx->g->n_inputs; i++) {
        pass_window w = {.left = -1, .right = -1};
        char why[200];
        if (ctx->g->inputs[i]->type.rank == 2 && pass_is_key_padding(ctx, bias, ctx->g->inputs[i], PASS_QUERIES_ALL, &w, why, sizeof why))
            return w.left < 0 && w.right < 0;
    }
    return false;
}

/* A score that -10000 is added to keeps digits down to 1e-3. In a row that has no others, what was added before it is
 * rounded so, and again by what is added behind it; a sum of the biases alone is rounded otherwise. Beside what hides
 * with more (-1e9 leaves nothing of a score) a bias does not show. */
static bool order_shows(pass_context *ctx, const scores *s) {
    int hide_some = 0, hide_all = 0, others = 0, padding = 0;
    if (pass_mode_of(ctx)->queries != PASS_QUERIES_ALL) return false;
    for (int i = 0; i < s->n_biases; i++) {
        const bias_part *p = &s->biases[i];
        if (p->value && pass_may_hide_some(p->value)) {
            hide_some++;
            others += p->scale != 1;
            padding += is_key_padding(ctx, p->value);
        } else if (p->where || pass_may_hide_all(p->value)) {
            hide_all++;
        } else {
            others++;
        }
    }
    others += s->biased_first;
    const bool fills_no_row = hide_some == 1 && padding == 1 && hide_all == 0;
    return hide_some > 0 && hide_some + others > 1 && !fills_no_row;
}

/* ---- the result */

typedef struct block {
    scores s;
    pass_heads v;
    bool guarded;       /* rows of NaN, whose keys are all at -infinity, are made 0 */
    graph_value *heads; /* [B, H, S, D]: what the values' product is, perhaps behind a view */
    graph_value *split; /* [B, S, H, D], or NULL: nobody turns the heads back */
    graph_value *rows;  /* [B, S, H D], or NULL: nobody merges them */
} block;

static graph_node *only_reader(const graph_value *v) {
    if (v->use_count != 1 || v->is_output || v->uses->node->owner != v->owner || v->uses->index != 0) return NULL;
    return v->uses->node;
}

static void results_of(graph_value *v, block *b) {
    const int64_t *perm;
    int64_t width;
    b->split = b->rows = NULL;
    b->heads = v;
    graph_node *n = only_reader(v);
    if (v->type.rank == 3) { /* heads in the axis of the batch: the view that takes them out */
        b->heads = n && graph_is_op(n, "", "Reshape") && n->outputs[0]->type.rank == 4 ? n->outputs[0] : NULL;
        if (b->heads && !has_heads(b->heads, &b->s.q, v->type.dims[2])) b->heads = NULL;
        n = b->heads ? only_reader(b->heads) : NULL;
    }
    if (!n || !graph_is_op(n, "", "Transpose") || graph_attr_ints(n, "perm", &perm) != 4) return;
    if (perm[0] != 0 || perm[1] != 2 || perm[2] != 1 || perm[3] != 3) return;
    b->split = n->outputs[0];
    n = only_reader(b->split);
    if (!n || !graph_is_op(n, "", "Reshape") || n->outputs[0]->type.rank != 3) return;
    const graph_type *t = &n->outputs[0]->type;
    const pass_heads *q = &b->s.q;
    bool batch = t->dims[0] && t->dims[0] == pass_heads_batch(q), length = t->dims[1] && t->dims[1] == pass_heads_length(q);
    if ((batch || length) && graph_dim_is_const(t->dims[2], &width) && width == q->count * q->size) b->rows = n->outputs[0];
}

static const char *refusal(pass_context *ctx, graph_node *mm, const graph_node *softmax, const char *name, block *b) {
    const scores *s = &b->s;
    b->s = (scores){.plain = true};
    if (!scores_of(softmax->inputs[0].value, 1, 0, &b->s)) return "scores are not scale * Q K^T + bias over split heads";
    if (!pass_find_heads(mm->inputs[1].value, false, &b->v) || b->v.scale != 1) return "values are not rows split into heads";
    if (s->q.size != s->k.size || s->q.size != b->v.size) return "heads differ in size";
    if (s->k.count != b->v.count || s->q.count != s->k.count * s->k.times || s->q.count != b->v.count * b->v.times) return "heads differ";
    if (pass_heads_batch(&s->k) != pass_heads_batch(&s->q) || pass_heads_batch(&b->v) != pass_heads_batch(&s->q) ||
        pass_heads_length(&s->k) != pass_heads_length(&b->v))
        return "shapes are not those of the rows";
    if (s->view && !has_heads(s->view, &s->q, pass_heads_length(&s->k))) return "its scores are seen as something else than heads";
    take_relative(ctx, &b->s, name);
    if (!biases_fit(ctx, s)) return "its bias is not known to broadcast to the scores";
    results_of(mm->outputs[0], b);
    return b->heads ? NULL : "heads are not merged back into rows";
}

static bool is_plain(const block *b) {
    return b->s.plain && b->s.q.plain && b->s.k.plain && b->v.plain && b->rows && b->s.softcap <= 0 && b->s.q.count == b->s.k.count;
}

/* In front of which the attention is made. */
static graph_value *root_of(const block *b) { return b->rows ? b->rows : b->split ? b->split : b->heads; }

static nib_status make_attention(pass_context *ctx, const block *b, graph_value *bias) {
    nib_status status = NIB_OK;
    const scores *s = &b->s;
    graph_value *root = root_of(b);
    graph_node *before = root->producer;
    const bool all = pass_mode_of(ctx)->queries == PASS_QUERIES_ALL;
    const bool guard = b->guarded && bias && all && pass_may_overflow(bias); /* nib.Attention's own is for -infinity */
    const op_attention a = {.q = pass_rows_of_heads(ctx, before, &s->q),
                            .k = pass_rows_of_heads(ctx, before, &s->k),
                            .v = pass_rows_of_heads(ctx, before, &b->v),
                            .bias = bias,
                            .relative_keys = s->relative.keys,
                            .relative_queries = s->relative.queries,
                            .relative_rows = s->relative.rows,
                            .relative_bias = s->relative.bias,
                            .relative_slopes = s->relative.slopes,
                            .heads = s->q.count,
                            .kv_heads = s->k.count,
                            .left = -1,
                            .right = -1,
                            .scale = (float)s->scale,
                            .softcap = s->softcap > 0 ? (float)s->softcap : 0,
                            .masked_nan = bias && (!b->guarded || guard) && all};
    graph_value *y;
    if (!a.q || !a.k || !a.v) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    NIB_TRY(pass_emit_attention(ctx, before, &a, root->name, &y));
    if (guard && !(y = pass_emit_without_nan(ctx, before, y))) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    if (!b->rows) y = pass_split_rows(ctx, before, y, s->q.count, s->q.size, !b->split);
    NIB_TRY(pass_replace(ctx, root, y));
fail:
    return status;
}

/* Whether some row may be NaN, which ai.onnx's Attention cannot say. */
static bool may_be_nan(pass_context *ctx, const block *b, graph_value *bias) {
    char why[200];
    return bias && !b->guarded && pass_may_be_infinite(bias) && !pass_is_causal(ctx, bias, why, sizeof why);
}

/* Whatever the opset. */
static void keep(pass_context *ctx, const char *name, const char *why) {
    ctx->kept_always++;
    pass_note(ctx, "attention at %s keeps its long form: %s", name, why);
}

static nib_status try_at(pass_context *ctx, graph_node *mm) {
    const pass_mode_row *mode = pass_mode_of(ctx);
    block b = {0};
    graph_node *softmax = softmax_of(mm->inputs[0].value, &b.guarded);
    if (!softmax) return NIB_OK;
    const char *name = softmax->name[0] ? softmax->name : softmax->outputs[0]->name,
               *why = refusal(ctx, mm, softmax, name, &b);
    if (why) {
        pass_note(ctx, "attention at %s is not fused: %s", name, why);
        return NIB_OK;
    }
    /* Written out again, a bias brings the replacement of NaN rows with it: no gain where there was none. */
    bool as_good = is_plain(&b) && (b.guarded || !b.s.n_biases || mode->contrib);
    bool no_form = !mode->runs && b.s.softcap > 0 && graph_opset_version(ctx->g, "") < 23; /* nor has com.microsoft one that caps scores */
    ctx->kept[PASS_FOUND_ATTENTION]++;
    if (order_shows(ctx, &b.s))
        return keep(ctx, name, "its biases hide with so little that the order in which they are added shows"), NIB_OK;
    if (no_form || !(as_good || pass_can_say(ctx, "Attention"))) return NIB_OK;
    graph_value *bias = all_biases(ctx, root_of(&b)->producer, &b.s);
    if (b.s.n_biases && !bias) return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    if (!mode->runs && !mode->contrib && may_be_nan(ctx, &b, bias)) {
        keep(ctx, name, "a query without keys is NaN in it, and 0 in ONNX's Attention");
        return NIB_OK;
    }
    ctx->kept[PASS_FOUND_ATTENTION]--;
    return make_attention(ctx, &b, bias);
}

nib_status pass_attention(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        if (graph_is_op(n, "", "MatMul")) NIB_TRY(try_at(ctx, n));
    }
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * In: multi-head attention as exporters write it, around
 *
 *     MatMul(Softmax(scores), V),  scores = [Add(] scale * MatMul(Q, K^T) [, bias)]
 *
 * where Q, K^T and V are splits of rows into heads (Reshape, Transpose), a scale may sit on Q, on K, or on the product, NaN
 * rows may be replaced by 0, and the result is merged back into rows (Transpose, Reshape). Out: nib.Attention on the rows.
 *
 * Whatever is not exactly that stays as it is: a note says at which step recognition ended.
 */
#include "pass.h"
#include "pass_match.h"
#include <string.h>

/* Takes off Mul and Div by constants: *scale is multiplied by what they do. */
static graph_value *without_scale(graph_value *v, double *scale) {
    for (;;) {
        graph_node *n = v->producer;
        double x;
        if (graph_is_op(n, "", "Mul") && graph_scalar(n->inputs[1].value, &x)) v = n->inputs[0].value;
        else if (graph_is_op(n, "", "Mul") && graph_scalar(n->inputs[0].value, &x)) v = n->inputs[1].value;
        else if (graph_is_op(n, "", "Div") && graph_scalar(n->inputs[1].value, &x) && x != 0) v = n->inputs[0].value, x = 1 / x;
        else return v;
        *scale *= x;
    }
}

typedef struct heads {
    graph_value *rows; /* [B, S, heads * size] */
    int64_t count, size;
} heads;

/* v = Transpose(perm) of Reshape [B, S, H, D] of rows [B, S, H * D]. */
static bool split_of(const graph_value *v, int p0, int p1, int p2, int p3, heads *out) {
    const int64_t *perm;
    const graph_node *t = v->producer;
    if (!graph_is_op(t, "", "Transpose") || graph_attr_ints(t, "perm", &perm) != 4) return false;
    if (perm[0] != p0 || perm[1] != p1 || perm[2] != p2 || perm[3] != p3) return false;
    const graph_value *split = t->inputs[0].value;
    if (!graph_is_op(split->producer, "", "Reshape") || split->type.rank != 4) return false;
    graph_value *rows = split->producer->inputs[0].value;
    int64_t width;
    if (rows->type.rank != 3 || rows->type.dtype != NIB_DTYPE_F32 || !rows->type.dims[0] || !rows->type.dims[1]) return false;
    if (rows->type.dims[0] != split->type.dims[0] || rows->type.dims[1] != split->type.dims[1]) return false;
    if (!graph_dim_is_const(rows->type.dims[2], &width) || !graph_dim_is_const(split->type.dims[2], &out->count) ||
        !graph_dim_is_const(split->type.dims[3], &out->size) || out->count * out->size != width || out->size > OP_HEAD_MAX)
        return false;
    out->rows = rows;
    return true;
}

/* softmax or, as torch writes it for rows that are all masked, Where(IsNaN(softmax), 0, softmax). */
static graph_node *softmax_of(graph_value *v) {
    pass_match m;
    if (pass_match_at("Where(IsNaN(p), 0, p)", v, &m)) v = pass_matched(&m, "p");
    graph_node *n = v->producer;
    if (!graph_is_op(n, "", "Softmax") || n->inputs[0].value->type.rank != 4) return NULL;
    int64_t axis = graph_attr_int(n, "axis", graph_opset_version(n->owner, "") < 13 ? 1 : -1);
    return axis == -1 || axis == 3 ? n : NULL;
}

static bool is_merge(const graph_node *transpose, graph_value **root) {
    const int64_t *perm;
    if (!graph_is_op(transpose, "", "Transpose") || graph_attr_ints(transpose, "perm", &perm) != 4 || perm[0] != 0 || perm[1] != 2 ||
        perm[2] != 1 || perm[3] != 3)
        return false;
    const graph_value *v = transpose->outputs[0];
    if (v->use_count != 1 || v->is_output || v->uses->node->owner != v->owner || !graph_is_op(v->uses->node, "", "Reshape")) return false;
    *root = v->uses->node->outputs[0];
    return (*root)->type.rank == 3;
}

/* What stands under the softmax, taken apart. */
typedef struct scores {
    heads q, k;
    graph_value *bias;
    double scale;
} scores;

static bool scores_of(graph_value *v, scores *s) {
    s->bias = NULL;
    s->scale = 1;
    graph_value *product = without_scale(v, &s->scale);
    if (graph_is_op(product->producer, "", "Add")) {
        if (s->scale != 1) return false;
        graph_node *add = product->producer;
        for (int side = 0; side < 2; side++) {
            double scale = 1;
            graph_value *inner = without_scale(add->inputs[side].value, &scale);
            if (!graph_is_op(inner->producer, "", "MatMul") || inner->type.rank != 4) continue;
            s->bias = add->inputs[1 - side].value;
            s->scale = scale;
            product = inner;
            break;
        }
    }
    graph_node *mm = product->producer;
    if (!graph_is_op(mm, "", "MatMul")) return false;
    graph_value *q = without_scale(mm->inputs[0].value, &s->scale), *kt = without_scale(mm->inputs[1].value, &s->scale);
    if (!split_of(q, 0, 2, 1, 3, &s->q) || !split_of(kt, 0, 2, 3, 1, &s->k)) return false;
    return !s->bias || (s->bias->type.rank >= 0 && s->bias->type.rank <= 4 && s->bias->type.dtype == NIB_DTYPE_F32);
}

static nib_status try_at(pass_context *ctx, graph_node *mm) {
    nib_status status = NIB_OK;
    scores s;
    heads v;
    graph_value *root;
    graph_node *softmax = softmax_of(mm->inputs[0].value);
    if (!softmax) return NIB_OK;
    const char *name = softmax->name[0] ? softmax->name : softmax->outputs[0]->name;
    const char *why = NULL;
    if (!scores_of(softmax->inputs[0].value, &s)) why = "scores are not scale * Q K^T + bias over split heads";
    else if (!split_of(mm->inputs[1].value, 0, 2, 1, 3, &v)) why = "values are not rows split into heads";
    else if (mm->outputs[0]->use_count != 1 || mm->outputs[0]->is_output || mm->outputs[0]->uses->node->owner != mm->owner ||
             !is_merge(mm->outputs[0]->uses->node, &root))
        why = "heads are not merged back into rows";
    else if (s.q.count != s.k.count || s.q.count != v.count || s.q.size != s.k.size || s.q.size != v.size) why = "heads differ";
    else if (!pass_same_shape(root, s.q.rows) || !pass_same_shape(s.k.rows, v.rows) || s.k.rows->type.dims[0] != s.q.rows->type.dims[0])
        why = "shapes are not those of the rows";
    if (why) {
        pass_note(ctx, "attention at %s is not fused: %s", name, why);
        return NIB_OK;
    }
    graph_value *in[4] = {s.q.rows, s.k.rows, v.rows, s.bias};
    graph_value *y = pass_emit(ctx, root->producer, "nib", "Attention", in, s.bias ? 4 : 3, root->name);
    if (!y) return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    NIB_TRY(graph_set_int(y->producer, "heads", s.q.count));
    NIB_TRY(graph_set_int(y->producer, "kv_heads", s.k.count));
    NIB_TRY(graph_set_float(y->producer, "scale", (float)s.scale));
    NIB_TRY(op_infer_node(ctx->g, y->producer, ctx->err));
    NIB_TRY(pass_replace(ctx, root, y));
fail:
    return status;
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

/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of rows with a constant matrix in bodies of If, Loop and Scan, where no pass makes a Linear of them, and where
 * sizes are known only as it runs. In: MatMul, or Gemm of rows as they lie. Out: a step on the f32 Linear
 * kernel, its matrix packed once, divided by rows, or by whole tiles of columns where rows are few.
 */
#include "cpu.h"

#define ROWS 48     /* of a part */
#define COLUMNS 256 /* of a part at least */

typedef struct product_state {
    const kernel_linear *kernel;
    const void *packed;
    const float *bias; /* [N] or NULL */
    int64_t K, N;
} product_state;

/* Rows of the input, and the output's shape; -1: it is not of K columns of f32. */
static int64_t rows_of(const product_state *s, const graph_tensor *x, int64_t *dims) {
    int64_t M = 1;
    if (x->dtype != NIB_DTYPE_F32 || x->rank < 2 || x->dims[x->rank - 1] != s->K) return -1;
    for (int k = 0; k + 1 < x->rank; k++) M *= dims[k] = x->dims[k];
    dims[x->rank - 1] = s->N;
    return M;
}

static int64_t column_parts(const product_state *s) { /* of so many whole tiles each */
    const int64_t tiles = (s->N + s->kernel->tile_n - 1) / s->kernel->tile_n, each = (COLUMNS + s->kernel->tile_n - 1) / s->kernel->tile_n;
    return (tiles + each - 1) / each;
}

static int64_t parts(const plan_step *step, const plan_group *group) {
    const product_state *s = step->state;
    const graph_tensor *x = plan_tensor(group, step->node->inputs[0].value);
    int64_t dims[GRAPH_MAX_RANK];
    const int64_t M = rows_of(s, x, dims);
    if (M < 1 || !cpu_is_placed(step, group, x->rank, dims)) return 1;
    return M < 2 * ROWS ? column_parts(s) : (M + ROWS - 1) / ROWS;
}

static nib_status run_product(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const product_state *s = step->state;
    const graph_node *n = step->node;
    const graph_tensor *x = plan_tensor(lane->group, n->inputs[0].value);
    const int64_t all = parts(step, lane->group), wide = (COLUMNS + s->kernel->tile_n - 1) / s->kernel->tile_n * s->kernel->tile_n;
    int64_t dims[GRAPH_MAX_RANK];
    const int64_t M = rows_of(s, x, dims);
    nib_status status = NIB_OK;
    if (M < 0) {
        status = base_error_set(lane->err, NIB_SHAPE, "%s: the input has not %lld columns of f32", n->op, (long long)s->K);
        base_error_at_node(lane->err, n->name);
        return status;
    }
    float *y = cpu_output(lane, n, 0, NIB_DTYPE_F32, x->rank, dims, &status);
    if (!y || M == 0) return status;
    const kernel_linear_args a = {
        .x = x->data, .x_stride = s->K, .w = s->packed, .bias = s->bias, .y = y, .y_stride = s->N, .M = M, .N = s->N, .K = s->K};
    const bool columns = all > 1 && M < 2 * ROWS;
    const int64_t m_lo = all == 1 || columns ? 0 : lo * ROWS, m_hi = all == 1 || columns || hi == all ? M : hi * ROWS;
    const int64_t n_hi = columns && hi < all ? hi * wide : s->N;
    for (int64_t m = m_lo; m < m_hi; m += ROWS) {
        if (lane->stopped(lane)) return base_error_set(lane->err, NIB_CANCELLED, "the run was cancelled");
        s->kernel->run(&a, m, m + ROWS < m_hi ? m + ROWS : m_hi, columns ? lo * wide : 0, n_hi);
    }
    return NIB_OK;
}

/* Why not; NULL: it can be done. */
static const char *refusal(const graph_node *n, bool gemm) {
    const graph_value *x = n->inputs[0].value, *w = n->inputs[1].value, *b = n->n_inputs > 2 ? n->inputs[2].value : NULL;
    if (!w || !w->constant || w->constant->dtype != NIB_DTYPE_F32 || w->constant->rank != 2 || !w->constant->data)
        return "its second matrix is not a constant in f32";
    if (!x || x->constant || x->type.dtype != NIB_DTYPE_F32 || x->type.rank < 2) return "its first matrix is not rows of f32";
    if (graph_tensor_elements(w->constant) < 1) return "its second matrix is empty";
    if (!gemm) return NULL;
    if (graph_attr_int(n, "transA", 0) || graph_attr_float(n, "alpha", 1) != 1 || (b && graph_attr_float(n, "beta", 1) != 1))
        return "its rows are turned round, or what it adds is scaled";
    const int64_t N = w->constant->dims[graph_attr_int(n, "transB", 0) ? 0 : 1];
    if (b && (!b->constant || b->constant->dtype != NIB_DTYPE_F32 || b->constant->rank < 1 || graph_tensor_elements(b->constant) != N ||
              b->constant->dims[b->constant->rank - 1] != N))
        return "what it adds is not a constant number a column";
    return NULL;
}

nib_status cpu_compile_product(cpu_compile *c) {
    nib_status status = NIB_OK;
    const graph_node *n = c->node;
    const bool gemm = graph_is_op(n, "", "Gemm"), trans = gemm && graph_attr_int(n, "transB", 0) != 0;
    const char *why = c->p->is_body ? refusal(n, gemm) : "no pass has made a Linear of it";
    if (why) return c->why = why, NIB_OK;
    const graph_tensor *w = n->inputs[1].value->constant;
    product_state *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) NIB_FAIL(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    s->kernel = kernel_linear_find(&c->d->kernels, KERNEL_INPUT_F32, KERNEL_WEIGHT_F32, NULL);
    s->K = w->dims[trans], s->N = w->dims[!trans];
    if (n->n_inputs > 2 && n->inputs[2].value) s->bias = n->inputs[2].value->constant->data; /* read at any alignment */
    NIB_TRY(cpu_weight_get(c->d, c->p, w, trans, 0, s->N, NULL, s->kernel, &s->packed, c->err));
    c->step->state = s;
    c->step->range = PLAN_RANGE_PARTS;
    c->step->parts = parts;
    c->step->kernel = s->kernel->name;
    c->step->run = run_product;
fail:
    return status;
}

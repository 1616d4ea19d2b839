/* SPDX-License-Identifier: Apache-2.0
 *
 * Operators that place elements in space, https://onnx.ai/onnx/operators/: DepthToSpace SpaceToDepth CenterCropPad Col2Im
 * ReverseSequence; and of images and matrices: LRN MeanVarianceNormalization Det.
 */
#include "op_local.h"

/* ---- DepthToSpace, SpaceToDepth: [N, C, H, W] seen with six axes, copied in another order */

static nib_status rearrange(op_eval *c, bool to_space) {
    const graph_tensor *x = op_arg(c, 0);
    int64_t b = graph_attr_int(c->node, "blocksize", 0);
    const char *mode = graph_attr_string(c->node, "mode", "DCR");
    bool crd = strcmp(mode, "CRD") == 0;
    void *y;
    if (x->rank != 4 || b < 1 || b > 65536 || (!crd && strcmp(mode, "DCR") != 0))
        return op_bad(c, NIB_SHAPE, "input of rank %d, blocks of %lld", x->rank, (long long)b);
    int64_t n = x->dims[0], ch = x->dims[1], h = x->dims[2], w = x->dims[3];
    if (to_space ? ch % (b * b) != 0 : h % b != 0 || w % b != 0) return op_bad(c, NIB_SHAPE, "blocks of %lld do not fit", (long long)b);
    int64_t less = ch / (b * b), area = h * w, grown[3]; /* where another size is 0, one may be immense */
    if (!base_mul_i64(ch, b * b, &grown[0]) || !base_mul_i64(h, b, &grown[1]) || !base_mul_i64(w, b, &grown[2]))
        return op_bad(c, NIB_LIMIT, "output is too large");
    op_dims y_dims = to_space ? (op_dims){4, {n, less, h * b, w * b}} : (op_dims){4, {n, ch * b * b, h / b, w / b}};
    OP_TRY(op_out(c, 0, x->dtype, &y_dims, &y));
    if (!y || op_count(4, y_dims.d) == 0) return NIB_OK;
    /* output axes -> strides in the input */
    int64_t space[6] = {n, less, h, b, w, b}, space_dcr[6] = {ch * area, area, w, b * less * area, 1, less * area},
            space_crd[6] = {ch * area, b * b * area, w, b * area, 1, area};
    int64_t depth[6] = {n, b, b, ch, h / b, w / b}, depth_dcr[6] = {ch * area, w, 1, area, b * w, b};
    int64_t depth_c[6] = {n, ch, b, b, h / b, w / b}, depth_crd[6] = {ch * area, area, w, 1, b * w, b};
    const int64_t *dims = to_space ? space : crd ? depth_c : depth;
    const int64_t *strides = to_space ? (crd ? space_crd : space_dcr) : (crd ? depth_crd : depth_dcr);
    op_copy(y, NULL, x->data, strides, 6, dims, op_size(x->dtype));
    return NIB_OK;
}
static nib_status eval_to_space(op_eval *c) { return rearrange(c, true); }
static nib_status eval_to_depth(op_eval *c) { return rearrange(c, false); }

static nib_status infer_rearrange(op_infer *c, bool to_space) {
    const graph_type *x = op_in_type(c, 0);
    int64_t b = graph_attr_int(c->node, "blocksize", 0);
    if (b < 1 || b > 65536) return op_fail(c, NIB_BAD_MODEL, "blocks of %lld", (long long)b);
    if (x->rank >= 0 && x->rank != 4) return op_fail(c, NIB_SHAPE, "input has rank %d", x->rank);
    graph_dim dims[4] = {NULL}, side = op_const(c, b), block = op_const(c, b * b);
    for (int i = 0; x->rank == 4 && i < 4; i++) {
        if (!x->dims[i]) continue;
        bool grows = i == 1 ? !to_space : to_space;
        graph_dim by = i == 1 ? block : side;
        dims[i] = i == 0 ? x->dims[0] : grows ? graph_dim_mul(OP_SYMS(c), x->dims[i], by) : graph_dim_div(OP_SYMS(c), x->dims[i], by);
    }
    return op_set(c, 0, x->dtype, 4, dims);
}
static nib_status infer_to_space(op_infer *c) { return infer_rearrange(c, true); }
static nib_status infer_to_depth(op_infer *c) { return infer_rearrange(c, false); }

/* ---- CenterCropPad */

static nib_status eval_center(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    int64_t shape[GRAPH_MAX_RANK], axes[GRAPH_MAX_RANK], from = 0, to = 0, own[GRAPH_MAX_RANK], target[GRAPH_MAX_RANK];
    int n, n_axes;
    op_dims y = op_dims_of(x), part = y;
    char *out;
    OP_TRY(op_read_ints(c, 1, GRAPH_MAX_RANK, shape, &n));
    OP_TRY(op_eval_axes(c, "axes", -1, axes, &n_axes));
    for (int i = 0; n_axes < 0 && i < x->rank; i++) axes[i] = i;
    if (n != (n_axes < 0 ? x->rank : n_axes)) return op_bad(c, NIB_SHAPE, "%d sizes", n);
    int64_t crop[GRAPH_MAX_RANK] = {0}, pad[GRAPH_MAX_RANK] = {0};
    for (int i = 0; i < n; i++) {
        int a = op_axis(axes[i], x->rank);
        if (a < 0 || shape[i] < 0) return op_bad(c, NIB_SHAPE, "axis or size out of range");
        y.d[a] = shape[i];
        part.d[a] = shape[i] < x->dims[a] ? shape[i] : x->dims[a];
        crop[a] = (x->dims[a] - part.d[a]) / 2;
        pad[a] = (shape[i] - part.d[a]) / 2;
    }
    size_t size = op_size(x->dtype);
    OP_TRY(op_out(c, 0, x->dtype, &y, &out));
    int64_t count = op_count(y.rank, y.d);
    if (!out || count == 0) return NIB_OK;
    memset(out, 0, (size_t)count * size);
    op_strides(x->rank, x->dims, own);
    op_strides(y.rank, y.d, target);
    for (int k = 0; k < x->rank; k++) from += crop[k] * own[k], to += pad[k] * target[k];
    if (op_count(part.rank, part.d) > 0)
        op_copy(out + (size_t)to * size, target, (const char *)x->data + (size_t)from * size, own, part.rank, part.d, size);
    return NIB_OK;
}

static nib_status infer_center(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim dims[GRAPH_MAX_RANK], sizes[GRAPH_MAX_DATA];
    int64_t axes[GRAPH_MAX_RANK];
    int n, n_axes;
    if (x->rank < 0) return op_set(c, 0, x->dtype, -1, NULL);
    op_infer_axes(c, "axes", -1, axes, &n_axes);
    for (int i = 0; i < x->rank; i++) dims[i] = n_axes < 0 ? NULL : x->dims[i];
    bool known = op_in_data(c, 1, sizes, &n);
    for (int i = 0; i < (n_axes < 0 ? x->rank : n_axes); i++) {
        int a = n_axes < 0 ? i : op_axis(axes[i], x->rank);
        if (a < 0) return op_fail(c, NIB_SHAPE, "axis out of range");
        dims[a] = known && i < n ? sizes[i] : NULL;
    }
    return op_set(c, 0, x->dtype, x->rank, dims);
}

/* ---- Col2Im: blocks of columns added up into images */

static nib_status image_attr(op_eval *c, const char *name, int n, int64_t otherwise, int64_t *out) {
    const int64_t *list;
    int64_t count = graph_attr_ints(c->node, name, &list);
    if (count >= 0 && count != n) return op_bad(c, NIB_BAD_MODEL, "attribute %s has %lld elements", name, (long long)count);
    for (int i = 0; i < n; i++) {
        out[i] = count < 0 ? otherwise : list[i];
        if (out[i] < 0 || out[i] > INT32_MAX) return op_bad(c, NIB_BAD_MODEL, "attribute %s is out of range", name);
    }
    return NIB_OK;
}

static void advance(int n, const int64_t *dims, int64_t *at) {
    for (int k = n - 1; k >= 0 && ++at[k] == dims[k]; k--) at[k] = 0;
}

static nib_status eval_col2im(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    int64_t image[GRAPH_MAX_RANK], block[GRAPH_MAX_RANK], stride[GRAPH_MAX_RANK], dilation[GRAPH_MAX_RANK], pads[2 * GRAPH_MAX_RANK],
        columns[GRAPH_MAX_RANK], strides[GRAPH_MAX_RANK];
    int n, m;
    OP_TRY(op_read_ints(c, 1, GRAPH_MAX_RANK - 2, image, &n));
    OP_TRY(op_read_ints(c, 2, GRAPH_MAX_RANK - 2, block, &m));
    OP_TRY(image_attr(c, "strides", n, 1, stride));
    OP_TRY(image_attr(c, "dilations", n, 1, dilation));
    OP_TRY(image_attr(c, "pads", 2 * n, 0, pads));
    if (m != n || n < 1 || x->rank != 3) return op_bad(c, NIB_SHAPE, "image and block do not fit");
    for (int i = 0; i < n; i++) {
        if (image[i] < 0 || image[i] > INT32_MAX || block[i] < 1 || block[i] > INT32_MAX || stride[i] < 1)
            return op_bad(c, NIB_SHAPE, "a size is out of range");
        int64_t room = image[i] + pads[i] + pads[n + i] - dilation[i] * (block[i] - 1) - 1;
        columns[i] = room < 0 ? 0 : room / stride[i] + 1;
    }
    int64_t taps = op_count(n, block), places = op_count(n, columns), size = op_count(n, image);
    if (taps < 1 || places != x->dims[2] || size < 0 || x->dims[1] % taps) return op_bad(c, NIB_SHAPE, "columns do not fit the image");
    int64_t planes = x->dims[0] * (x->dims[1] / taps);
    op_dims dims = {2 + n, {x->dims[0], x->dims[1] / taps}};
    memcpy(dims.d + 2, image, sizeof(int64_t) * (size_t)n);
    double *v, *sum;
    void *y;
    OP_TRY(op_reals(c, x, &v));
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    OP_TRY(op_scratch(c, size, sizeof *sum, &sum));
    op_strides(n, image, strides);
    for (int64_t plane = 0; y && plane < planes; plane++) {
        int64_t tap[GRAPH_MAX_RANK] = {0};
        for (int64_t i = 0; i < size; i++) sum[i] = 0;
        for (int64_t t = 0; t < taps; t++, advance(n, block, tap)) {
            int64_t place[GRAPH_MAX_RANK] = {0};
            for (int64_t p = 0; p < places; p++, advance(n, columns, place)) {
                int64_t at = 0;
                bool inside = true;
                for (int k = 0; k < n && inside; k++) {
                    int64_t q = place[k] * stride[k] + tap[k] * dilation[k] - pads[k];
                    inside = q >= 0 && q < image[k];
                    at += q * strides[k];
                }
                if (inside) sum[at] += v[(plane * taps + t) * places + p];
            }
        }
        for (int64_t i = 0; i < size; i++) op_put(x->dtype, y, plane * size + i, sum[i]);
    }
    return NIB_OK;
}

static nib_status infer_col2im(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim image[GRAPH_MAX_DATA], dims[GRAPH_MAX_RANK] = {NULL};
    int64_t block[GRAPH_MAX_DATA], width, taps = 1;
    int n, m;
    if (!op_in_data(c, 1, image, &n) || n > GRAPH_MAX_RANK - 2) return op_set(c, 0, x->dtype, -1, NULL);
    for (int i = 0; i < n; i++) dims[2 + i] = image[i];
    if (x->rank == 3) dims[0] = x->dims[0];
    bool known = op_in_ints(c, 2, block, &m) && x->rank == 3 && graph_dim_is_const(x->dims[1], &width);
    for (int i = 0; known && i < m; i++) known = block[i] > 0 && base_mul_i64(taps, block[i], &taps);
    if (known) dims[1] = op_const(c, width / taps);
    return op_set(c, 0, x->dtype, 2 + n, dims);
}

/* ---- ReverseSequence */

static nib_status eval_reverse(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *lengths = op_arg(c, 1);
    int64_t batch = graph_attr_int(c->node, "batch_axis", 1), time = graph_attr_int(c->node, "time_axis", 0);
    op_dims dims = op_dims_of(x);
    char *y;
    if (x->rank < 2 || batch < 0 || batch > 1 || time < 0 || time > 1 || batch == time) return op_bad(c, NIB_SHAPE, "axes out of range");
    if (lengths->dtype != NIB_DTYPE_I64 || op_count(lengths->rank, lengths->dims) != x->dims[batch])
        return op_bad(c, NIB_SHAPE, "there is not one length a row");
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    size_t run = (size_t)op_count(x->rank - 2, x->dims + 2) * op_size(x->dtype);
    int64_t step[2] = {x->dims[1], 1}; /* rows to the next of axis 0, 1 */
    for (int64_t b = 0; y && b < x->dims[batch]; b++) {
        int64_t n = op_index(lengths, b);
        if (n < 0 || n > x->dims[time]) return op_bad(c, NIB_SHAPE, "length %lld", (long long)n);
        for (int64_t t = 0; t < x->dims[time] && run > 0; t++) {
            int64_t to = b * step[batch] + t * step[time], from = b * step[batch] + (t < n ? n - 1 - t : t) * step[time];
            memcpy(y + (size_t)to * run, (const char *)x->data + (size_t)from * run, run);
        }
    }
    return NIB_OK;
}

/* ---- LRN */

static nib_status eval_lrn(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    double alpha = graph_attr_float(c->node, "alpha", 1e-4f), beta = graph_attr_float(c->node, "beta", 0.75f),
           bias = graph_attr_float(c->node, "bias", 1), *v;
    int64_t size = graph_attr_int(c->node, "size", 0);
    op_dims dims = op_dims_of(x);
    void *y;
    if (x->rank < 2 || size < 1 || size > INT32_MAX) return op_bad(c, NIB_SHAPE, "rank %d, size %lld", x->rank, (long long)size);
    OP_TRY(op_reals(c, x, &v));
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    int64_t n = op_count(x->rank, x->dims), C = x->dims[1], inner = op_count(x->rank - 2, x->dims + 2);
    for (int64_t i = 0; y && i < n; i++) {
        int64_t k = i / inner % C, lo = k - (size - 1) / 2, hi = k + size / 2;
        double sum = 0;
        if (i % inner == 0) OP_TRY(op_spend(c, inner, size < C ? size : C));
        for (int64_t j = lo < 0 ? 0 : lo; j <= hi && j < C; j++) sum += v[i + (j - k) * inner] * v[i + (j - k) * inner];
        op_put(x->dtype, y, i, v[i] / pow(bias + alpha / (double)size * sum, beta));
    }
    return NIB_OK;
}

/* ---- MeanVarianceNormalization */

static nib_status eval_mvn(op_eval *c) {
    static const int64_t usual[] = {0, 2, 3};
    const graph_tensor *x = op_arg(c, 0);
    const int64_t *axes = usual;
    int64_t count = graph_attr_ints(c->node, "axes", &axes), n = op_count(x->rank, x->dims), strides[GRAPH_MAX_RANK], kept = 1;
    op_dims dims = op_dims_of(x);
    uint32_t mask;
    double *v, *mean, *square;
    void *y;
    if (count < 0) count = 3;
    if (count > GRAPH_MAX_RANK || !op_axis_mask(axes, (int)count, x->rank, &mask)) return op_bad(c, NIB_SHAPE, "axes out of range");
    for (int k = x->rank - 1; k >= 0; k--) {
        strides[k] = mask >> k & 1 ? 0 : kept;
        if (strides[k]) kept *= x->dims[k];
    }
    OP_TRY(op_reals(c, x, &v));
    OP_TRY(op_scratch(c, kept, sizeof *mean, &mean));
    OP_TRY(op_scratch(c, kept, sizeof *square, &square));
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (!y || n == 0) return NIB_OK;
    double per = (double)(n / kept);
    for (int64_t i = 0; i < kept; i++) mean[i] = square[i] = 0;
    for (int pass = 0; pass < 3; pass++) { /* mean, deviation, result */
        int64_t at[GRAPH_MAX_RANK] = {0};
        for (int64_t i = 0; i < n; i++, advance(x->rank, x->dims, at)) {
            int64_t o = 0;
            for (int k = 0; k < x->rank; k++) o += at[k] * strides[k];
            if (pass == 0) mean[o] += v[i] / per;
            else if (pass == 1) square[o] += (v[i] - mean[o]) * (v[i] - mean[o]);
            else op_put(x->dtype, y, i, (v[i] - mean[o]) / (sqrt(square[o] / per) + 1e-9));
        }
    }
    return NIB_OK;
}

/* ---- Det: elimination, the largest pivot of each column first */

static nib_status determinant(op_eval *c, double *m, int64_t n, double *out) {
    double det = 1;
    *out = 0;
    for (int64_t k = 0; k < n; k++) {
        int64_t best = k;
        for (int64_t i = k + 1; i < n; i++)
            if (fabs(m[i * n + k]) > fabs(m[best * n + k])) best = i;
        if (m[best * n + k] == 0) return NIB_OK;
        OP_TRY(op_spend(c, n - k, n - k));
        for (int64_t j = 0; best != k && j < n; j++) {
            double t = m[k * n + j];
            m[k * n + j] = m[best * n + j];
            m[best * n + j] = t;
        }
        det *= best != k ? -m[k * n + k] : m[k * n + k];
        for (int64_t i = k + 1; i < n; i++) {
            double f = m[i * n + k] / m[k * n + k];
            for (int64_t j = k; j < n; j++) m[i * n + j] -= f * m[k * n + j];
        }
    }
    *out = det;
    return NIB_OK;
}

static nib_status eval_det(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = op_dims_of(x);
    double *v;
    void *y;
    if (x->rank < 2 || x->dims[x->rank - 1] != x->dims[x->rank - 2]) return op_bad(c, NIB_SHAPE, "the matrices are not square");
    dims.rank -= 2;
    OP_TRY(op_reals(c, x, &v));
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    int64_t n = x->dims[x->rank - 1], count = op_count(dims.rank, dims.d);
    for (int64_t i = 0; y && i < count; i++) {
        double det;
        OP_TRY(determinant(c, v + i * n * n, n, &det));
        op_put(x->dtype, y, i, det);
    }
    return NIB_OK;
}

static nib_status infer_det(op_infer *c) {
    graph_type t = *op_in_type(c, 0);
    OP_TRY(op_check_float(c, 0));
    if (t.rank >= 0 && t.rank < 2) return op_fail(c, NIB_SHAPE, "input has rank %d", t.rank);
    if (t.rank >= 0) t.rank -= 2;
    return op_set_like(c, 0, t.dtype, &t);
}

const op op_family_space[] = {
    {"CenterCropPad", "", 18, 2, 2, 1, OP_ROWS_MIXED, infer_center, eval_center, NULL},
    {"Col2Im", "", 18, 3, 3, 1, OP_ROWS_MIXED, infer_col2im, eval_col2im, NULL},
    {"DepthToSpace", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_to_space, eval_to_space, NULL},
    {"Det", "", 11, 1, 1, 1, OP_ROWS_MIXED, infer_det, eval_det, NULL},
    {"LRN", "", 1, 1, 1, 1, OP_ROWS_MIXED, op_infer_float_same, eval_lrn, NULL},
    {"MeanVarianceNormalization", "", 9, 1, 1, 1, OP_ROWS_MIXED, op_infer_float_same, eval_mvn, NULL},
    {"ReverseSequence", "", 10, 2, 2, 1, OP_ROWS_MIXED, op_infer_same, eval_reverse, NULL},
    {"SpaceToDepth", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_to_depth, eval_to_depth, NULL},
    {0},
};

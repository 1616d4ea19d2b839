/* SPDX-License-Identifier: Apache-2.0
 *
 * Resize and Upsample, https://onnx.ai/onnx/operators/onnx__Resize.html: any rank, one axis after another. An output index of
 * an axis is a weighted sum of a few input indices; nearest takes one, of any type. In double; integers are cut off.
 */
#include "op_resize.h"

/* ---- sizes */

static nib_status axes_of(const graph_node *n, int rank, int *axes, int *count) {
    const int64_t *list;
    int64_t given = graph_attr_ints(n, "axes", &list);
    uint32_t mask;
    *count = rank;
    for (int i = 0; i < rank; i++) axes[i] = i;
    if (given < 0) return NIB_OK;
    if (given > rank || !op_axis_mask(list, (int)given, rank, &mask)) return NIB_SHAPE;
    *count = (int)given;
    for (int i = 0; i < *count; i++) axes[i] = op_axis(list[i], rank);
    return NIB_OK;
}

static bool scaled_size(double scale, int64_t in, int64_t *out) {
    double v = floor((double)((float)scale * (float)in));
    if (!(scale > 0) || v > 9e15) return false;
    *out = (int64_t)v;
    return true;
}

/* Sizes given: one scale for all axes if the aspect ratio is to be kept. */
static bool keep_ratio(const graph_node *n, axis_plan *axis, const int *axes, int count) {
    const char *policy = graph_attr_string(n, "keep_aspect_ratio_policy", "stretch");
    bool larger = strcmp(policy, "not_smaller") == 0;
    double best = -1;
    for (int i = 0; i < count; i++) {
        axis_plan *p = &axis[axes[i]];
        if (p->out < 0 || (p->in == 0 && p->out > 0)) return false;
        p->scale = p->in ? (double)p->out / (double)p->in : 1;
        if (best < 0 || (larger ? p->scale > best : p->scale < best)) best = p->scale;
    }
    if (strcmp(policy, "stretch") == 0) return true;
    for (int i = 0; i < count; i++) {
        axis_plan *p = &axis[axes[i]];
        double v = floor(best * (double)p->in + 0.5);
        if (v > 9e15) return false;
        p->scale = best;
        p->out = (int64_t)v;
    }
    return true;
}

/* ---- the plan of an axis */

/* Where output index i lies in the input; *beyond: outside of it, for tf_crop_and_resize. */
static bool map_back(const op_resize *r, const axis_plan *p, int64_t i, double *at, bool *beyond) {
    double x = (double)i, width = p->scale * (double)p->in, last = (double)(p->in - 1);
    *beyond = false;
    /* Width may be no whole number. ONNX's suite wants scale * in here, as its reference has it (downsample_scales_linear_align_corners);
     * PyTorch and ONNX Runtime take the output's size, which is another grid. Where sizes are given, all agree. */
    if (strcmp(r->map, "align_corners") == 0) {
        *at = width == 1 ? 0 : x * last / (width - 1);
    } else if (strcmp(r->map, "asymmetric") == 0) {
        *at = x / p->scale;
    } else if (strcmp(r->map, "tf_half_pixel_for_nn") == 0) { /* of opset 11 and 12: what TensorFlow's nearest neighbours are */
        *at = (x + 0.5) / p->scale;
    } else if (strcmp(r->map, "tf_crop_and_resize") == 0) {
        double span = (p->end - p->begin) * last;
        *at = (width == 1 ? span / 2 : x * span / (width - 1)) + p->begin * last;
        *beyond = !(*at >= 0 && *at <= last);
    } else if (strcmp(r->map, "pytorch_half_pixel") == 0 || strcmp(r->map, "half_pixel") == 0) {
        *at = r->map[0] == 'p' && p->out <= 1 ? 0 : (x + 0.5) / p->scale - 0.5;
    } else if (strcmp(r->map, "half_pixel_symmetric") == 0) {
        *at = (double)p->in / 2 * (1 - (double)p->out / width) + (x + 0.5) / p->scale - 0.5;
    } else {
        return false;
    }
    return *at == *at && fabs(*at) < 9e15;
}

static double kernel_at(const op_resize *r, double x) {
    double a = r->a;
    x = fabs(x);
    if (r->mode == 'l') return x < 1 ? 1 - x : 0;
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static int64_t nearest(const op_resize *r, double at) {
    double low = floor(at), part = at - low;
    if (part == 0) return (int64_t)low;
    bool up = r->nearest == 'c' || (r->nearest == 'p' && part > 0.5) || (r->nearest == 'q' && part >= 0.5);
    return (int64_t)low + up;
}

static int64_t clamp(int64_t i, int64_t n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

static nib_status plan_axis(op_eval *c, const op_resize *r, axis_plan *p) {
    double narrow = r->antialias && p->scale < 1 ? p->scale : 1, reach = r->mode == 'c' ? 2 : 1;
    double low = floor(-reach / narrow) + 1;
    bool crop = strcmp(r->map, "tf_crop_and_resize") == 0;
    if (low < -1e9) return op_bad(c, NIB_LIMIT, "a scale of %g", p->scale);
    p->taps = r->mode == 'n' ? 1 : 2 - 2 * (int)low;
    OP_TRY(op_scratch(c, op_count(2, (int64_t[]){p->out, p->taps}), sizeof *p->index, &p->index));
    OP_TRY(op_scratch(c, op_count(2, (int64_t[]){p->out, p->taps}), sizeof *p->weight, &p->weight));
    if (crop) OP_TRY(op_scratch(c, p->out, 1, &p->beyond));
    p->full = true;
    for (int64_t i = 0; i < p->out; i++) {
        double at, sum = 0, *w = p->weight + i * p->taps;
        int64_t *index = p->index + i * p->taps;
        bool beyond;
        if (!map_back(r, p, i, &at, &beyond))
            return op_bad(c, NIB_BAD_MODEL, "coordinate_transformation_mode %s, or a coordinate beyond all sizes", r->map);
        if (crop) p->beyond[i] = beyond;
        if (r->mode == 'n') {
            index[0] = clamp(nearest(r, at), p->in);
            w[0] = 1;
            continue;
        }
        for (int t = 0; t < p->taps; t++) {
            int64_t k = (int64_t)floor(at) + (int64_t)low + t;
            w[t] = r->exclude && (k < 0 || k >= p->in) ? 0 : kernel_at(r, narrow * ((double)k - at));
            index[t] = clamp(k, p->in);
            sum += w[t];
        }
        for (int t = 0; t < p->taps && (r->exclude || narrow < 1); t++) w[t] /= sum;
        for (int t = 0; t < p->taps; t++) p->full = p->full && w[t] != 0;
    }
    return NIB_OK;
}

/* ---- running */

/* The last axis of one row, of elements of `size` bytes. */
static void nearest_row(const axis_plan *p, int64_t n, const char *x, size_t size, char *y) {
    if (!p->taps) memcpy(y, x, (size_t)n * size);
    else if (size == sizeof(uint32_t))
        for (int64_t i = 0; i < n; i++) ((uint32_t *)(void *)y)[i] = ((const uint32_t *)(const void *)x)[p->index[i]];
    else
        for (int64_t i = 0; i < n; i++) memcpy(y + (size_t)i * size, x + (size_t)p->index[i] * size, size);
}

/* Rows [lo, hi) of the output, of any type. */
static void run_nearest(const op_resize *r, const graph_tensor *x, int64_t lo, int64_t hi, char *y) {
    const size_t size = op_size(x->dtype);
    const int last = r->rank - 1;
    int64_t at[GRAPH_MAX_RANK] = {0}, strides[GRAPH_MAX_RANK], before = -1;
    if (r->rank == 0) {
        memcpy(y, x->data, size);
        return;
    }
    const int64_t n = r->axis[last].out;
    op_strides(x->rank, x->dims, strides);
    for (int64_t left = lo, a = last - 1; a >= 0; left /= r->axis[a].out, a--) at[a] = left % r->axis[a].out;
    y += (size_t)(lo * n) * size;
    for (int64_t o = lo; o < hi; o++, y += (size_t)n * size) {
        int64_t from = 0;
        bool beyond = false;
        for (int a = 0; a < last; a++) {
            const axis_plan *p = &r->axis[a];
            from += (p->taps ? p->index[at[a]] : at[a]) * strides[a];
            beyond = beyond || (p->beyond && p->beyond[at[a]]);
        }
        if (from == before) memcpy(y, y - (size_t)n * size, (size_t)n * size); /* the same row once more */
        else nearest_row(&r->axis[last], n, (const char *)x->data + (size_t)from * size, size, y);
        before = beyond ? -1 : from;
        for (int64_t i = 0; i < n && (beyond || r->axis[last].beyond); i++)
            if (beyond || r->axis[last].beyond[i]) op_put(x->dtype, y, i, r->extrapolation);
        for (int a = last - 1; a >= 0 && ++at[a] == r->axis[a].out; a--) at[a] = 0;
    }
}

/* One axis of [outer, in, inner]. */
static void run_axis(const op_resize *r, const axis_plan *p, int64_t outer, int64_t inner, const double *x, double *y) {
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < p->out; i++) {
            double *to = y + (o * p->out + i) * inner;
            for (int64_t k = 0; k < inner; k++) to[k] = p->beyond && p->beyond[i] ? r->extrapolation : 0;
            for (int t = 0; t < p->taps && !(p->beyond && p->beyond[i]); t++) {
                const double *from = x + (o * p->in + p->index[i * p->taps + t]) * inner;
                double w = p->weight[i * p->taps + t];
                if (w == 0) continue;
                for (int64_t k = 0; k < inner; k++) to[k] += w * from[k];
            }
        }
}

/* ---- f32 planes: rows first, then columns, in double, as run_axis does */

enum { COLUMNS = 16 };

/* One row of sums of rows: to[k] = sum of w[t] times row t of the plane. */
static void sum_rows(const axis_plan *p, int64_t i, const float *x, int64_t width, double *to) {
    for (int64_t k = 0; k < width; k += COLUMNS) {
        double sum[COLUMNS] = {0};
        const int n = width - k < COLUMNS ? (int)(width - k) : COLUMNS;
        for (int t = 0; t < p->taps; t++) {
            const float *from = x + p->index[i * p->taps + t] * width + k;
            const double w = p->weight[i * p->taps + t];
            if (w == 0) continue;
            if (n == COLUMNS)
                for (int c = 0; c < COLUMNS; c++) sum[c] += w * (double)from[c];
            else
                for (int c = 0; c < n; c++) sum[c] += w * (double)from[c];
        }
        memcpy(to + k, sum, (size_t)n * sizeof *to);
    }
}

static inline void sum_columns(const axis_plan *p, const int taps, const bool full, const double *row, float *y) {
    const int64_t *index = p->index;
    const double *w = p->weight;
    for (int64_t i = 0; i < p->out; i++, index += taps, w += taps) {
        double sum = 0;
        for (int t = 0; t < taps; t++)
            if (full || w[t] != 0) sum += w[t] * row[index[t]];
        y[i] = (float)sum;
    }
}

static void smooth_plane(const op_resize *r, const float *x, double *row, float *y) {
    const axis_plan *columns = &r->axis[r->rank - 1], one = {.in = 1, .out = 1}, *rows = r->rank > 1 ? &r->axis[r->rank - 2] : &one;
    for (int64_t i = 0; i < rows->out; i++, y += columns->out) {
        const bool beyond = rows->beyond && rows->beyond[i];
        for (int64_t k = 0; k < columns->out && beyond; k++) y[k] = (float)r->extrapolation;
        if (beyond) continue;
        if (rows->taps) sum_rows(rows, i, x, columns->in, row);
        else
            for (int64_t k = 0; k < columns->in; k++) row[k] = (double)x[i * columns->in + k];
        if (columns->taps == 2 && columns->full) sum_columns(columns, 2, true, row, y);
        else if (columns->taps == 4 && columns->full) sum_columns(columns, 4, true, row, y);
        else if (columns->taps) sum_columns(columns, columns->taps, false, row, y);
        else
            for (int64_t k = 0; k < columns->out; k++) y[k] = (float)row[k];
        for (int64_t k = 0; columns->beyond && k < columns->out; k++)
            if (columns->beyond[k]) y[k] = (float)r->extrapolation;
    }
}

bool op_resize_by_planes(const op_resize *r, nib_dtype dtype, int64_t *planes) {
    *planes = 1;
    if (r->rank < 1 || (r->mode != 'n' && dtype != NIB_DTYPE_F32)) return false;
    for (int a = 0; a + 2 < r->rank; a++) {
        if (r->axis[a].taps) return false;
        *planes *= r->axis[a].out;
    }
    return true;
}

nib_status op_resize_planes(op_eval *c, const op_resize *r, const graph_tensor *x, int64_t lo, int64_t hi, void *y) {
    const axis_plan *columns = &r->axis[r->rank - 1], *rows = r->rank > 1 ? &r->axis[r->rank - 2] : NULL;
    const int64_t in = columns->in * (rows ? rows->in : 1), high = rows ? rows->out : 1, out = columns->out * high;
    double *row;
    if (r->mode == 'n') {
        run_nearest(r, x, lo * high, hi * high, y);
        return NIB_OK;
    }
    OP_TRY(op_scratch(c, columns->in, sizeof *row, &row));
    for (int64_t p = lo; p < hi; p++) {
        OP_TRY(op_spend(c, out, columns->taps + 1));
        smooth_plane(r, (const float *)x->data + p * in, row, (float *)y + p * out);
    }
    return NIB_OK;
}

static nib_status run_smooth(op_eval *c, const op_resize *r, const op_dims *dims, const graph_tensor *x, void *y) {
    op_dims now = op_dims_of(x);
    double *v;
    OP_TRY(op_reals(c, x, &v));
    for (int a = 0; a < r->rank; a++) {
        const axis_plan *p = &r->axis[a];
        double *to;
        if (p->taps == 0) continue;
        int64_t outer = op_count(a, now.d), inner = op_count(r->rank - a - 1, now.d + a + 1);
        now.d[a] = p->out;
        OP_TRY(op_scratch(c, op_count(now.rank, now.d), sizeof *to, &to));
        run_axis(r, p, outer, inner, v, to);
        v = to;
    }
    int64_t n = op_count(dims->rank, dims->d);
    bool whole = !op_is_float(x->dtype);
    for (int64_t i = 0; i < n; i++) op_put(x->dtype, y, i, whole ? trunc(v[i]) : v[i]);
    return NIB_OK;
}

nib_status op_resize_plan(op_eval *c, op_resize *r) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = {.rank = r->rank};
    for (int a = 0; a < r->rank; a++) dims.d[a] = r->axis[a].out;
    if (op_count(dims.rank, dims.d) == 0) return NIB_OK;
    if (op_count(x->rank, x->dims) == 0) return op_bad(c, NIB_SHAPE, "nothing to resize");
    for (int a = 0; a < r->rank; a++) {
        axis_plan *p = &r->axis[a];
        if (p->scale == 1 && p->in == p->out && r->map[0] != 't') continue;
        OP_TRY(plan_axis(c, r, p));
    }
    return NIB_OK;
}

static nib_status mode_of(op_eval *c, op_resize *r) {
    const char *mode = graph_attr_string(c->node, "mode", "nearest");
    r->mode = mode[0] == 'b' ? (char)(strcmp(mode, "bilinear") == 0 ? 'l' : 'c') : mode[0];
    return r->mode == 'n' || r->mode == 'l' || r->mode == 'c' ? NIB_OK : op_bad(c, NIB_BAD_MODEL, "mode %s", mode);
}

/* One number an axis, as reals. */
static nib_status numbers(op_eval *c, int input, int64_t want, double **out) {
    const graph_tensor *t = op_arg(c, input);
    if (op_count(t->rank, t->dims) != want || t->rank > 1)
        return op_bad(c, NIB_SHAPE, "input %d must have %lld elements", input, (long long)want);
    return op_reals(c, t, out);
}

static nib_status scales_at(op_eval *c, int input, op_resize *r, const int *axes, int count) {
    double *v;
    OP_TRY(numbers(c, input, count, &v));
    for (int i = 0; i < count; i++) {
        axis_plan *p = &r->axis[axes[i]];
        p->scale = v[i];
        if (!scaled_size(p->scale, p->in, &p->out)) return op_bad(c, NIB_BAD_MODEL, "a scale of %g", v[i]);
    }
    return NIB_OK;
}

static void axes_as_they_are(op_resize *r, const graph_tensor *x) {
    r->rank = x->rank;
    for (int a = 0; a < x->rank; a++) r->axis[a] = (axis_plan){.in = x->dims[a], .out = x->dims[a], .scale = 1, .begin = 0, .end = 1};
}

static bool given(op_eval *c, int i) { return op_arg(c, i) && op_count(op_arg(c, i)->rank, op_arg(c, i)->dims) > 0; }

static nib_status resize_of(op_eval *c, op_resize *out) {
    const graph_tensor *x = op_arg(c, 0);
    const graph_node *n = c->node;
    const char *near = graph_attr_string(n, "nearest_mode", "round_prefer_floor");
    op_resize r = {.nearest = strcmp(near, "floor") == 0               ? 'f'
                           : strcmp(near, "ceil") == 0              ? 'c'
                           : strcmp(near, "round_prefer_ceil") == 0 ? 'q'
                                                                    : 'p',
                .map = graph_attr_string(n, "coordinate_transformation_mode", "half_pixel"),
                .antialias = graph_attr_int(n, "antialias", 0) != 0,
                .exclude = graph_attr_int(n, "exclude_outside", 0) != 0,
                .a = graph_attr_float(n, "cubic_coeff_a", -0.75f),
                .extrapolation = graph_attr_float(n, "extrapolation_value", 0)};
    int axes[GRAPH_MAX_RANK], count;
    double *v;
    axes_as_they_are(&r, x);
    OP_TRY(mode_of(c, &r));
    if (axes_of(n, x->rank, axes, &count) != NIB_OK) return op_bad(c, NIB_SHAPE, "axes out of range");
    if (given(c, 1) && strcmp(r.map, "tf_crop_and_resize") == 0) {
        OP_TRY(numbers(c, 1, 2 * (int64_t)count, &v));
        for (int i = 0; i < count; i++) {
            r.axis[axes[i]].begin = v[i];
            r.axis[axes[i]].end = v[count + i];
        }
    }
    if (given(c, 2)) {
        OP_TRY(scales_at(c, 2, &r, axes, count));
    } else if (op_arg(c, 3)) {
        int64_t sizes[GRAPH_MAX_RANK];
        int got;
        OP_TRY(op_read_ints(c, 3, GRAPH_MAX_RANK, sizes, &got));
        if (got != count) return op_bad(c, NIB_SHAPE, "%d sizes for %d axes", got, count);
        for (int i = 0; i < count; i++) r.axis[axes[i]].out = sizes[i];
        if (!keep_ratio(n, r.axis, axes, count)) return op_bad(c, NIB_SHAPE, "sizes");
    } else if (count > 0) {
        return op_bad(c, NIB_BAD_MODEL, "neither scales nor sizes");
    }
    *out = r;
    return NIB_OK;
}

/* Resize of opset 10 and Upsample: scales alone, no shift between the grids. */
static nib_status simple_of(op_eval *c, op_resize *out) {
    const graph_tensor *x = op_arg(c, 0);
    const graph_attr *list = graph_find_attr(c->node, "scales");
    op_resize r = {.nearest = 'f', .map = "asymmetric", .a = -0.75};
    int axes[GRAPH_MAX_RANK], count;
    axes_as_they_are(&r, x);
    OP_TRY(mode_of(c, &r));
    axes_of(c->node, x->rank, axes, &count);
    if (c->n_in > 1 && op_arg(c, 1)) {
        OP_TRY(scales_at(c, 1, &r, axes, x->rank));
    } else {
        if (!list || list->kind != GRAPH_ATTR_FLOATS || list->count != (size_t)x->rank) return op_bad(c, NIB_BAD_MODEL, "scales");
        for (int i = 0; i < x->rank; i++) {
            r.axis[i].scale = (double)list->u.floats[i];
            if (!scaled_size(r.axis[i].scale, r.axis[i].in, &r.axis[i].out))
                return op_bad(c, NIB_BAD_MODEL, "a scale of %g", r.axis[i].scale);
        }
    }
    *out = r;
    return NIB_OK;
}

nib_status op_resize_of(op_eval *c, op_resize *r) {
    const bool simple = strcmp(c->node->op, "Upsample") == 0 || (c->node->meaning && c->node->meaning->since < 11);
    return simple ? simple_of(c, r) : resize_of(c, r);
}

static nib_status eval_resize(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = {.rank = x->rank};
    op_resize r;
    int64_t planes;
    void *y;
    OP_TRY(op_resize_of(c, &r));
    for (int a = 0; a < r.rank; a++) dims.d[a] = r.axis[a].out;
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (!y || op_count(dims.rank, dims.d) == 0) return NIB_OK;
    OP_TRY(op_resize_plan(c, &r));
    if (op_resize_by_planes(&r, x->dtype, &planes)) return op_resize_planes(c, &r, x, 0, planes, y);
    if (r.mode != 'n') return run_smooth(c, &r, &dims, x, y);
    run_nearest(&r, x, 0, r.rank ? op_count(r.rank - 1, dims.d) : 1, y);
    return NIB_OK;
}

/* ---- inference */

static bool constant_scale(const op_infer *c, int input, int i, double *out) {
    const graph_value *v = op_in(c, input);
    const graph_attr *list = graph_find_attr(c->node, "scales");
    float f;
    if (input < 0) {
        if (!list || list->kind != GRAPH_ATTR_FLOATS || (size_t)i >= list->count) return false;
        *out = (double)list->u.floats[i];
        return true;
    }
    if (!v || !v->constant || v->constant->dtype != NIB_DTYPE_F32 || (size_t)i >= v->constant->bytes / 4) return false;
    memcpy(&f, (const char *)v->constant->data + 4 * (size_t)i, 4);
    *out = (double)f;
    return true;
}

/* Sizes with the aspect ratio kept: where everything is a number. */
static bool kept_ratio(const op_infer *c, const graph_type *x, const int *axes, int count, const graph_dim *sizes, graph_dim *dims) {
    axis_plan plan[GRAPH_MAX_RANK] = {{0}};
    for (int i = 0; i < count; i++)
        if (!graph_dim_is_const(x->dims[axes[i]], &plan[axes[i]].in) || !graph_dim_is_const(sizes[i], &plan[axes[i]].out)) return false;
    if (!keep_ratio(c->node, plan, axes, count)) return false;
    for (int i = 0; i < count; i++) dims[axes[i]] = op_const(c, plan[axes[i]].out);
    return true;
}

static nib_status infer_scaled(op_infer *c, int input, int sizes) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim dims[GRAPH_MAX_RANK], data[GRAPH_MAX_DATA];
    int axes[GRAPH_MAX_RANK], count, got;
    if (x->rank < 0) return op_set(c, 0, x->dtype, -1, NULL);
    if (axes_of(c->node, x->rank, axes, &count) != NIB_OK) return op_fail(c, NIB_SHAPE, "axes out of range");
    memcpy(dims, x->dims, sizeof *dims * (size_t)x->rank);
    bool stretch = strcmp(graph_attr_string(c->node, "keep_aspect_ratio_policy", "stretch"), "stretch") == 0;
    bool known = sizes >= 0 && op_in(c, sizes) && op_in_data(c, sizes, data, &got) && got == count;
    if (known && !stretch) {
        for (int i = 0; i < count; i++) dims[axes[i]] = NULL;
        kept_ratio(c, x, axes, count, data, dims);
        return op_set(c, 0, x->dtype, x->rank, dims);
    }
    for (int i = 0; i < count; i++) {
        double scale;
        int64_t in, out;
        dims[axes[i]] = known ? data[i] : NULL;
        if (known || !constant_scale(c, input, i, &scale)) continue;
        if (scale == 1) dims[axes[i]] = x->dims[axes[i]];
        else if (graph_dim_is_const(x->dims[axes[i]], &in) && in >= 0 && scaled_size(scale, in, &out)) dims[axes[i]] = op_const(c, out);
        else if (scale == trunc(scale) && scale > 1 && scale < 1e6 && x->dims[axes[i]])
            dims[axes[i]] = graph_dim_mul(OP_SYMS(c), x->dims[axes[i]], op_const(c, (int64_t)scale));
    }
    return op_set(c, 0, x->dtype, x->rank, dims);
}

static nib_status infer_resize(op_infer *c) { return infer_scaled(c, 2, 3); }
static nib_status infer_simple(op_infer *c) { return infer_scaled(c, c->node->n_inputs > 1 ? 1 : -1, -1); }

const op op_family_resize[] = {
    {"Resize", "", 10, 2, 2, 1, OP_ROWS_MIXED, infer_simple, eval_resize, NULL},
    {"Resize", "", 11, 1, 4, 1, OP_ROWS_MIXED, infer_resize, eval_resize, NULL},
    {"Upsample", "", 7, 1, 2, 1, OP_ROWS_MIXED, infer_simple, eval_resize, NULL},
    {0},
};

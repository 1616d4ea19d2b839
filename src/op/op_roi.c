/* SPDX-License-Identifier: Apache-2.0
 *
 * Boxes in images, https://onnx.ai/onnx/operators/: RoiAlign MaxRoiPool NonMaxSuppression. In double, rounded once.
 * ImageDecoder is refused: nib has no codecs; decode images before the model.
 */
#include "op_local.h"

/* ---- RoiAlign: X [N, C, H, W], rois [R, 4], batch_indices [R] -> [R, C, h, w] */

typedef struct align {
    int64_t C, H, W, h, w, ratio;
    double scale, shift;
    bool max;
} align;

/* A sample: four cells and their weights; all 0 outside. */
typedef struct corner {
    int64_t at[4];
    double weight[4];
} corner;

static void find_corners(const align *a, double y, double x, corner *s) {
    memset(s, 0, sizeof *s);
    if (!(y >= -1 && y <= (double)a->H && x >= -1 && x <= (double)a->W)) return;
    y = y > 0 ? y : 0;
    x = x > 0 ? x : 0;
    int64_t y0 = (int64_t)y, x0 = (int64_t)x, y1 = y0 + 1, x1 = x0 + 1;
    if (y0 >= a->H - 1) y = (double)(y0 = y1 = a->H - 1);
    if (x0 >= a->W - 1) x = (double)(x0 = x1 = a->W - 1);
    double fy = y - (double)y0, fx = x - (double)x0;
    *s = (corner){{y0 * a->W + x0, y0 * a->W + x1, y1 * a->W + x0, y1 * a->W + x1},
                  {(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx}};
}

static nib_status align_bin(op_eval *c, const align *a, const double *plane, double top, double left, double bin_h, double bin_w,
                            int64_t gh, int64_t gw, double *out) {
    double v = 0;
    for (int64_t i = 0; i < gh; i++) {
        OP_TRY(op_spend(c, gw, 8));
        for (int64_t j = 0; j < gw; j++) {
            corner s;
            double sum = 0;
            find_corners(a, top + ((double)i + 0.5) * bin_h / (double)gh, left + ((double)j + 0.5) * bin_w / (double)gw, &s);
            for (int k = 0; k < 4; k++) {
                double e = s.weight[k] * plane[s.at[k]];
                sum = a->max ? (k == 0 || e > sum ? e : sum) : sum + e;
            }
            v = a->max ? ((i == 0 && j == 0) || sum > v ? sum : v) : v + sum;
        }
    }
    *out = a->max || gh * gw < 1 ? v : v / (double)(gh * gw);
    return NIB_OK;
}

static nib_status boxes_of(op_eval *c, int columns, int64_t *R) {
    const graph_tensor *x = op_arg(c, 0), *rois = op_arg(c, 1);
    if (!op_is_float(x->dtype) || rois->dtype != x->dtype) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    if (x->rank != 4 || rois->rank != 2 || rois->dims[1] != columns) return op_bad(c, NIB_SHAPE, "input of rank %d", x->rank);
    *R = rois->dims[0];
    return NIB_OK;
}

/* Samples of a bin along one axis. */
static int64_t samples(const align *a, double size, int64_t bins) {
    double n = ceil(size / (double)bins);
    return a->ratio > 0 ? a->ratio : n > 0 && n < 65536 ? (int64_t)n : n >= 65536 ? 65536 : 0;
}

static nib_status eval_align(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *batch = op_arg(c, 2);
    const char *fallback = op_since(c->node) < 16 ? "output_half_pixel" : "half_pixel";
    bool half = strcmp(graph_attr_string(c->node, "coordinate_transformation_mode", fallback), "half_pixel") == 0;
    align a = {.h = graph_attr_int(c->node, "output_height", 1),
               .w = graph_attr_int(c->node, "output_width", 1),
               .ratio = graph_attr_int(c->node, "sampling_ratio", 0),
               .scale = graph_attr_float(c->node, "spatial_scale", 1),
               .shift = half ? 0.5 : 0,
               .max = strcmp(graph_attr_string(c->node, "mode", "avg"), "max") == 0};
    int64_t R;
    double *v, *box;
    void *y;
    OP_TRY(boxes_of(c, 4, &R));
    if (batch->rank != 1 || batch->dims[0] != R || (batch->dtype != NIB_DTYPE_I64 && batch->dtype != NIB_DTYPE_I32))
        return op_bad(c, NIB_SHAPE, "batch_indices are not one a box");
    if (a.h < 1 || a.w < 1 || a.ratio < 0 || a.ratio > 65536)
        return op_bad(c, NIB_BAD_MODEL, "an output of %lld x %lld", (long long)a.h, (long long)a.w);
    a.C = x->dims[1];
    a.H = x->dims[2];
    a.W = x->dims[3];
    op_dims dims = {4, {R, a.C, a.h, a.w}};
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (!y || op_count(4, dims.d) == 0) return NIB_OK;
    if (a.H == 0 || a.W == 0) return op_bad(c, NIB_SHAPE, "an empty image");
    OP_TRY(op_reals(c, x, &v));
    OP_TRY(op_reals(c, op_arg(c, 1), &box));
    for (int64_t r = 0, o = 0; r < R; r++, box += 4) {
        int64_t n = op_index(batch, r);
        if (n < 0 || n >= x->dims[0]) return op_bad(c, NIB_SHAPE, "image %lld of %lld", (long long)n, (long long)x->dims[0]);
        double left = box[0] * a.scale - a.shift, top = box[1] * a.scale - a.shift;
        double width = box[2] * a.scale - a.shift - left, height = box[3] * a.scale - a.shift - top;
        if (!half) {
            width = width > 1 ? width : 1;
            height = height > 1 ? height : 1;
        }
        double bh = height / (double)a.h, bw = width / (double)a.w;
        int64_t gh = samples(&a, height, a.h), gw = samples(&a, width, a.w);
        for (int64_t ch = 0; ch < a.C; ch++)
            for (int64_t i = 0; i < a.h; i++)
                for (int64_t j = 0; j < a.w; j++, o++) {
                    const double *plane = v + (n * a.C + ch) * a.H * a.W;
                    double sample;
                    OP_TRY(align_bin(c, &a, plane, top + (double)i * bh, left + (double)j * bw, bh, bw, gh, gw, &sample));
                    op_put(x->dtype, y, o, sample);
                }
    }
    return NIB_OK;
}

static nib_status infer_boxes(op_infer *c, int64_t h, int64_t w) {
    const graph_type *x = op_in_type(c, 0), *rois = op_in_type(c, 1);
    OP_TRY(op_check_float(c, 0));
    if (h < 1 || w < 1) return op_fail(c, NIB_BAD_MODEL, "an output of %lld x %lld", (long long)h, (long long)w);
    graph_dim dims[4] = {rois->rank == 2 ? rois->dims[0] : NULL, x->rank == 4 ? x->dims[1] : NULL, op_const(c, h), op_const(c, w)};
    return op_set(c, 0, x->dtype, 4, dims);
}

static nib_status infer_align(op_infer *c) {
    return infer_boxes(c, graph_attr_int(c->node, "output_height", 1), graph_attr_int(c->node, "output_width", 1));
}

/* ---- MaxRoiPool: rois [R, 5]: image, x1, y1, x2, y2, rounded to cells and both ends included */

static int64_t edge(double v, int64_t most) { return v > 0 ? (v < (double)most ? (int64_t)v : most) : 0; }

static double scaled(double v, double scale) { return (double)roundf((float)v * (float)scale); }

static nib_status eval_max_roi(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    const int64_t *shape;
    double scale = graph_attr_float(c->node, "spatial_scale", 1), *v, *box;
    int64_t R;
    void *y;
    OP_TRY(boxes_of(c, 5, &R));
    if (graph_attr_ints(c->node, "pooled_shape", &shape) != 2 || shape[0] < 1 || shape[1] < 1)
        return op_bad(c, NIB_BAD_MODEL, "pooled_shape");
    int64_t H = x->dims[2], W = x->dims[3], C = x->dims[1];
    op_dims dims = {4, {R, C, shape[0], shape[1]}};
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (!y || op_count(4, dims.d) == 0) return NIB_OK;
    OP_TRY(op_reals(c, x, &v));
    OP_TRY(op_reals(c, op_arg(c, 1), &box));
    for (int64_t r = 0, o = 0; r < R; r++, box += 5) {
        if (!(box[0] >= 0 && box[0] < (double)x->dims[0])) return op_bad(c, NIB_SHAPE, "image %g of %lld", box[0], (long long)x->dims[0]);
        /* products rounded to f32, as those who trained with it had them: what is half a cell decides */
        double left = scaled(box[1], scale), top = scaled(box[2], scale);
        double height = fmax(scaled(box[4], scale) - top + 1, 1) / (double)shape[0],
               width = fmax(scaled(box[3], scale) - left + 1, 1) / (double)shape[1];
        for (int64_t ch = 0; ch < C; ch++)
            for (int64_t i = 0; i < shape[0]; i++)
                for (int64_t j = 0; j < shape[1]; j++, o++) {
                    const double *plane = v + ((int64_t)box[0] * C + ch) * H * W;
                    int64_t h0 = edge(floor((double)i * height) + top, H), h1 = edge(ceil((double)(i + 1) * height) + top, H);
                    int64_t w0 = edge(floor((double)j * width) + left, W), w1 = edge(ceil((double)(j + 1) * width) + left, W);
                    double most = h0 < h1 && w0 < w1 ? -INFINITY : 0;
                    if (h0 < h1 && w0 < w1) OP_TRY(op_spend(c, h1 - h0, w1 - w0));
                    for (int64_t h = h0; h < h1; h++)
                        for (int64_t w = w0; w < w1; w++) most = plane[h * W + w] > most ? plane[h * W + w] : most;
                    op_put(x->dtype, y, o, most);
                }
    }
    return NIB_OK;
}

static nib_status infer_max_roi(op_infer *c) {
    const int64_t *shape;
    if (graph_attr_ints(c->node, "pooled_shape", &shape) != 2) return op_fail(c, NIB_BAD_MODEL, "pooled_shape");
    return infer_boxes(c, shape[0], shape[1]);
}

/* ---- NonMaxSuppression: boxes [B, N, 4], scores [B, classes, N] -> [k, 3]: image, class, box */

typedef struct candidate {
    float score;
    int32_t box;
} candidate;

static inline bool is_before(const candidate *a, const candidate *b) {
    return a->score > b->score || (a->score == b->score && a->box < b->box);
}

/* A heap, the first on top: of thousands of boxes only those up to the last that is kept are put in order. */
static void sink(candidate *heap, int64_t n, int64_t at) {
    const candidate one = heap[at];
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && is_before(&heap[child + 1], &heap[child])) child++;
        if (!is_before(&heap[child], &one)) break;
        heap[at] = heap[child];
    }
    heap[at] = one;
}

static candidate take_first(candidate *heap, int64_t *n) {
    const candidate first = heap[0];
    heap[0] = heap[--*n];
    sink(heap, *n, 0);
    return first;
}

typedef struct corners {
    double y0, x0, y1, x1, area;
} corners;

static corners corners_of(const float *box, bool center) {
    double at[4];
    for (int k = 0; k < 2; k++) {
        const double p = (double)box[k], q = (double)box[k + 2], a = center ? p - q / 2 : p, b = center ? p + q / 2 : q;
        at[k] = a < b ? a : b;
        at[k + 2] = a < b ? b : a;
    }
    return (corners){at[0], at[1], at[2], at[3], (at[2] - at[0]) * (at[3] - at[1])};
}

static inline double overlap(const corners *p, const corners *q) {
    const double h = (p->y1 < q->y1 ? p->y1 : q->y1) - (p->y0 > q->y0 ? p->y0 : q->y0);
    const double w = (p->x1 < q->x1 ? p->x1 : q->x1) - (p->x0 > q->x0 ? p->x0 : q->x0);
    if (!(h > 0 && w > 0 && p->area > 0 && q->area > 0)) return 0;
    return h * w / (p->area + q->area - h * w);
}

static nib_status scalar(op_eval *c, int input, double *out) {
    const graph_tensor *t = op_arg(c, input);
    if (t && op_count(t->rank, t->dims) != 1) return op_bad(c, NIB_SHAPE, "input %d must have one element", input);
    if (t) *out = op_number(t, 0);
    return NIB_OK;
}

static nib_status eval_suppress(op_eval *c) {
    const graph_tensor *boxes = op_arg(c, 0), *scores = op_arg(c, 1);
    bool center = graph_attr_int(c->node, "center_point_box", 0) != 0;
    double most = 0, threshold = 0, least = -INFINITY;
    if (boxes->rank != 3 || scores->rank != 3 || boxes->dims[2] != 4 || boxes->dims[0] != scores->dims[0] ||
        boxes->dims[1] != scores->dims[2])
        return op_bad(c, NIB_SHAPE, "boxes and scores do not fit");
    if (boxes->dtype != NIB_DTYPE_F32 || scores->dtype != NIB_DTYPE_F32)
        return op_bad(c, NIB_TYPE, "boxes of type %s", nib_dtype_name(boxes->dtype));
    OP_TRY(scalar(c, 2, &most));
    OP_TRY(scalar(c, 3, &threshold));
    OP_TRY(scalar(c, 4, &least));
    int64_t B = scores->dims[0], classes = scores->dims[1], N = scores->dims[2], count = 0;
    int64_t each = most > (double)N ? N : most > 0 ? (int64_t)most : 0, *out, *y;
    const float *box = boxes->data, *score = scores->data;
    candidate *order;
    corners *kept;
    if (N > INT32_MAX) return op_bad(c, NIB_LIMIT, "%lld boxes", (long long)N);
    OP_TRY(op_scratch(c, N, sizeof *order, &order));
    OP_TRY(op_scratch(c, each, sizeof *kept, &kept));
    OP_TRY(op_scratch(c, op_count(4, (int64_t[]){B, classes, each, 3}), sizeof *out, &out));
    for (int64_t line = 0; N > 0 && line < op_count(2, scores->dims); line++) {
        int64_t n = 0, begin = count;
        const float *own = box + line / classes * N * 4;
        for (int64_t i = 0; i < N; i++)
            if ((double)score[line * N + i] > least || !op_arg(c, 4)) order[n++] = (candidate){score[line * N + i], (int32_t)i};
        for (int64_t i = n / 2 - 1; i >= 0; i--) sink(order, n, i);
        while (n > 0 && count - begin < each) {
            const candidate next = take_first(order, &n);
            const corners at = corners_of(own + next.box * 4, center);
            bool keep = true;
            OP_TRY(op_spend(c, count - begin + 1, 16));
            for (int64_t k = 0; keep && k < count - begin; k++) keep = !(overlap(&at, &kept[k]) > threshold);
            if (!keep) continue;
            kept[count - begin] = at;
            out[3 * count] = line / classes;
            out[3 * count + 1] = line % classes;
            out[3 * count++ + 2] = next.box;
        }
    }
    op_dims dims = {2, {count, 3}};
    OP_TRY(op_out(c, 0, NIB_DTYPE_I64, &dims, &y));
    if (y && count > 0) memcpy(y, out, sizeof *y * 3 * (size_t)count);
    return NIB_OK;
}

static nib_status infer_suppress(op_infer *c) {
    graph_dim dims[2] = {NULL, op_const(c, 3)};
    return op_set(c, 0, NIB_DTYPE_I64, 2, dims);
}

/* ---- ImageDecoder */

static nib_status eval_decode(op_eval *c) { return op_bad(c, NIB_UNSUPPORTED, "decoding images: give the model pixels"); }
static nib_status infer_decode(op_infer *c) { return op_set(c, 0, NIB_DTYPE_U8, 3, NULL); }

const op op_family_roi[] = {
    {"ImageDecoder", "", 20, 1, 1, 1, OP_ROWS_MIXED, infer_decode, eval_decode, NULL},
    {"MaxRoiPool", "", 1, 2, 2, 1, OP_ROWS_MIXED, infer_max_roi, eval_max_roi, NULL},
    {"NonMaxSuppression", "", 10, 2, 5, 1, OP_ROWS_MIXED, infer_suppress, eval_suppress, NULL},
    {"RoiAlign", "", 10, 3, 3, 1, OP_ROWS_MIXED, infer_align, eval_align, NULL},
    {"RoiAlign", "", 16, 3, 3, 1, OP_ROWS_MIXED, infer_align, eval_align, NULL},
    {0},
};

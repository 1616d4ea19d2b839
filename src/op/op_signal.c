/* SPDX-License-Identifier: Apache-2.0
 *
 * Signals, https://onnx.ai/onnx/operators/: DFT STFT, HannWindow HammingWindow BlackmanWindow, MelWeightMatrix. In double,
 * rounded once. Transforms take O(n log n) for any length: powers of two directly, others as a convolution (Bluestein).
 */
#include "op_local.h"

#define PI 3.14159265358979323846
#define LONGEST ((int64_t)1 << 30) /* of a transform: its convolution and squares of its indices modulo 2 n fit */

/* ---- the transform */

typedef struct fft {
    int64_t n, m;          /* m: a power of two; n itself, or what the convolution needs */
    double *cosine, *sine; /* [m / 2] of 2 pi k / m */
    double *chirp;         /* [n, 2] exp(-i pi k^2 / n), or NULL where m = n */
    double *spectrum;      /* [m, 2] of the chirp that is convolved with */
    double *work;          /* [m, 2] */
} fft;

/* In place, x [m, 2], forward. */
static void transform_power(const fft *f, double *x) {
    for (int64_t i = 1, j = 0; i < f->m; i++) {
        int64_t bit = f->m >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j ^= bit;
        if (i >= j) continue;
        double re = x[2 * i], im = x[2 * i + 1];
        x[2 * i] = x[2 * j];
        x[2 * i + 1] = x[2 * j + 1];
        x[2 * j] = re;
        x[2 * j + 1] = im;
    }
    for (int64_t half = 1; half < f->m; half *= 2) {
        int64_t step = f->m / (2 * half);
        for (int64_t at = 0; at < f->m; at += 2 * half)
            for (int64_t k = 0; k < half; k++) {
                double *a = x + 2 * (at + k), *b = a + 2 * half, c = f->cosine[k * step], s = -f->sine[k * step];
                double re = b[0] * c - b[1] * s, im = b[0] * s + b[1] * c;
                b[0] = a[0] - re;
                b[1] = a[1] - im;
                a[0] += re;
                a[1] += im;
            }
    }
}

static nib_status fft_of(op_eval *c, int64_t n, fft *f) {
    memset(f, 0, sizeof *f);
    if (n < 1 || n > LONGEST) return op_bad(c, n < 1 ? NIB_SHAPE : NIB_LIMIT, "a transform of length %lld", (long long)n);
    f->n = n;
    for (f->m = 1; f->m < n;) f->m *= 2;
    if (f->m != n)
        for (f->m = 1; f->m < 2 * n - 1;) f->m *= 2;
    OP_TRY(op_scratch(c, f->m / 2 + 1, sizeof(double), &f->cosine));
    OP_TRY(op_scratch(c, f->m / 2 + 1, sizeof(double), &f->sine));
    for (int64_t k = 0; k < f->m / 2; k++) {
        f->cosine[k] = cos(2 * PI * (double)k / (double)f->m);
        f->sine[k] = sin(2 * PI * (double)k / (double)f->m);
    }
    if (f->m == n) return NIB_OK;
    OP_TRY(op_scratch(c, n, 2 * sizeof(double), &f->chirp));
    OP_TRY(op_scratch(c, f->m, 2 * sizeof(double), &f->spectrum));
    OP_TRY(op_scratch(c, f->m, 2 * sizeof(double), &f->work));
    memset(f->spectrum, 0, 2 * sizeof(double) * (size_t)f->m);
    for (int64_t k = 0; k < n; k++) {
        double angle = PI * (double)(k * k % (2 * n)) / (double)n;
        f->chirp[2 * k] = cos(angle);
        f->chirp[2 * k + 1] = -sin(angle);
        for (int64_t at = k; at >= 0; at = at == k && k > 0 ? f->m - k : -1) { /* its conjugate, on both sides of 0 */
            f->spectrum[2 * at] = cos(angle);
            f->spectrum[2 * at + 1] = sin(angle);
        }
    }
    transform_power(f, f->spectrum);
    return NIB_OK;
}

/* x [n, 2] in place; the inverse is not yet divided by n. */
static void transform(const fft *f, double *x, bool inverse) {
    for (int64_t k = 0; inverse && k < f->n; k++) x[2 * k + 1] = -x[2 * k + 1];
    if (!f->chirp) {
        transform_power(f, x);
    } else {
        double *w = f->work, scale = 1 / (double)f->m;
        memset(w, 0, 2 * sizeof *w * (size_t)f->m);
        for (int64_t k = 0; k < f->n; k++) {
            w[2 * k] = x[2 * k] * f->chirp[2 * k] - x[2 * k + 1] * f->chirp[2 * k + 1];
            w[2 * k + 1] = x[2 * k] * f->chirp[2 * k + 1] + x[2 * k + 1] * f->chirp[2 * k];
        }
        transform_power(f, w);
        for (int64_t k = 0; k < f->m; k++) { /* the conjugate of the product: a forward transform inverts */
            double re = w[2 * k] * f->spectrum[2 * k] - w[2 * k + 1] * f->spectrum[2 * k + 1];
            w[2 * k + 1] = -(w[2 * k] * f->spectrum[2 * k + 1] + w[2 * k + 1] * f->spectrum[2 * k]);
            w[2 * k] = re;
        }
        transform_power(f, w);
        for (int64_t k = 0; k < f->n; k++) {
            double re = w[2 * k] * scale, im = -w[2 * k + 1] * scale;
            x[2 * k] = re * f->chirp[2 * k] - im * f->chirp[2 * k + 1];
            x[2 * k + 1] = re * f->chirp[2 * k + 1] + im * f->chirp[2 * k];
        }
    }
    for (int64_t k = 0; inverse && k < f->n; k++) x[2 * k + 1] = -x[2 * k + 1];
}

/* ---- DFT: x [.., 1 or 2], along one axis; one-sided: half of the spectrum of, or (inverse) back to, a real signal */

typedef struct dft {
    int axis;
    int64_t length; /* of the transform; <= 0: the default */
    bool inverse, onesided;
    int64_t bins, parts; /* of the output's axis, and of its last one */
} dft;

static int64_t scalar_or(op_eval *c, int input, int64_t otherwise, nib_status *status) {
    int64_t v = otherwise;
    *status = op_arg(c, input) ? op_read_int(c, input, &v) : NIB_OK;
    return v;
}

/* A length beyond LONGEST is none that is transformed: it stays that, twice the axis or not. */
static void settle(dft *d, int64_t size) {
    bool back = d->inverse && d->onesided;
    if (d->length <= 0) d->length = back && size <= LONGEST ? 2 * (size - 1) : size;
    d->bins = d->onesided && !d->inverse ? d->length / 2 + 1 : d->length;
    d->parts = back ? 1 : 2;
}

/* Reads one line of the input: `n` numbers, cut or filled up with 0; for the way back from half a spectrum the other half. */
static void read_line(const dft *d, const double *x, int64_t size, int64_t stride, int64_t parts, double *line) {
    int64_t n = d->length, half = d->inverse && d->onesided ? n / 2 + 1 : n, have = size < half ? size : half;
    memset(line, 0, 2 * sizeof *line * (size_t)n);
    for (int64_t k = 0; k < have; k++) {
        line[2 * k] = x[k * stride];
        line[2 * k + 1] = parts == 2 ? x[k * stride + 1] : 0;
    }
    if (!(d->inverse && d->onesided)) return;
    line[1] = 0;
    if (n % 2 == 0) line[n + 1] = 0;
    for (int64_t k = 1; k < n - k; k++) {
        line[2 * (n - k)] = line[2 * k];
        line[2 * (n - k) + 1] = -line[2 * k + 1];
    }
}

static nib_status eval_dft(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    bool old = op_since(c->node) < 20;
    nib_status status;
    dft d = {.inverse = graph_attr_int(c->node, "inverse", 0) != 0, .onesided = graph_attr_int(c->node, "onesided", 0) != 0};
    int64_t axis = old ? graph_attr_int(c->node, "axis", 1) : scalar_or(c, 2, -2, &status);
    double *v, *line;
    fft f;
    void *y;
    if (!old) OP_TRY(status);
    d.length = scalar_or(c, 1, 0, &status);
    OP_TRY(status);
    d.axis = op_axis(axis, x->rank);
    if (!op_is_float(x->dtype)) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    if (x->rank < 2 || d.axis < 0 || d.axis == x->rank - 1) return op_bad(c, NIB_SHAPE, "axis %lld of rank %d", (long long)axis, x->rank);
    int64_t parts = x->dims[x->rank - 1], size = x->dims[d.axis];
    if ((parts != 1 && parts != 2) || size > LONGEST || d.length < 0 || (op_arg(c, 1) && d.length == 0))
        return op_bad(c, NIB_SHAPE, "numbers of %lld parts", (long long)parts);
    settle(&d, size);
    OP_TRY(fft_of(c, d.length, &f));
    op_dims dims = op_dims_of(x);
    dims.d[d.axis] = d.bins;
    dims.d[x->rank - 1] = d.parts;
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    OP_TRY(op_reals(c, x, &v));
    OP_TRY(op_scratch(c, d.length, 2 * sizeof *line, &line));
    if (!y || op_count(dims.rank, dims.d) == 0) return NIB_OK;
    int64_t inner = op_count(x->rank - d.axis - 2, x->dims + d.axis + 1), outer = op_count(d.axis, x->dims);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            OP_TRY(op_spend(c, f.m, 256));
            read_line(&d, v + (o * size * inner + i) * parts, size, inner * parts, parts, line);
            transform(&f, line, d.inverse);
            for (int64_t k = 0; k < d.bins; k++)
                for (int64_t p = 0; p < d.parts; p++)
                    op_put(x->dtype, y, ((o * d.bins + k) * inner + i) * d.parts + p, line[2 * k + p] / (d.inverse ? (double)d.length : 1));
        }
    return NIB_OK;
}

static nib_status infer_dft(op_infer *c) {
    graph_type t = *op_in_type(c, 0);
    bool old = op_since(c->node) < 20;
    dft d = {.inverse = graph_attr_int(c->node, "inverse", 0) != 0, .onesided = graph_attr_int(c->node, "onesided", 0) != 0};
    int64_t axis = old ? graph_attr_int(c->node, "axis", 1) : -2, length[GRAPH_MAX_DATA] = {0}, size;
    int n, k;
    OP_TRY(op_check_float(c, 0));
    if (t.rank < 0) return op_set(c, 0, t.dtype, -1, NULL);
    bool known = (old || !op_in(c, 2) || (op_in_ints(c, 2, length, &n) && n == 1));
    if (known && !old && op_in(c, 2)) axis = length[0];
    d.axis = op_axis(axis, t.rank);
    if (t.rank < 2 || d.axis < 0 || d.axis == t.rank - 1) return op_fail(c, NIB_SHAPE, "axis %lld of rank %d", (long long)axis, t.rank);
    length[0] = 0;
    bool sized = !op_in(c, 1) || (op_in_ints(c, 1, length, &n) && n == 1 && length[0] > 0);
    for (k = 0; !known && k < t.rank - 1; k++) t.dims[k] = NULL;
    d.length = length[0];
    size = 1;
    bool fixed = known && sized && (d.length > 0 || graph_dim_is_const(t.dims[d.axis], &size));
    settle(&d, size);
    bool whole = known && sized && !op_in(c, 1) && !d.onesided;
    if (!whole) t.dims[d.axis] = fixed && d.bins > 0 && size <= LONGEST ? op_const(c, d.bins) : NULL;
    t.dims[t.rank - 1] = op_const(c, d.parts);
    return op_set_like(c, 0, t.dtype, &t);
}

/* ---- STFT: signal [B, L, 1 or 2], frame_step, window [n]?, frame_length? -> [B, frames, bins, 2] */

static nib_status eval_stft(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *window = op_arg(c, 2);
    bool onesided = graph_attr_int(c->node, "onesided", 1) != 0;
    int64_t step, n = window && window->rank == 1 ? window->dims[0] : 0;
    nib_status status;
    double *v, *w = NULL, *line;
    fft f;
    void *y;
    if (!op_is_float(x->dtype) || (window && window->dtype != x->dtype))
        return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    OP_TRY(op_read_int(c, 1, &step));
    n = scalar_or(c, 3, n, &status);
    OP_TRY(status);
    int64_t L = x->rank > 1 ? x->dims[1] : 0, parts = x->rank == 3 ? x->dims[2] : 1;
    if ((x->rank != 3 && x->rank != 2) || (parts != 1 && parts != 2) || step < 1 || n < 1 || n > L ||
        (window && (window->rank != 1 || window->dims[0] != n)))
        return op_bad(c, NIB_SHAPE, "frames of %lld every %lld do not fit a signal of %lld", (long long)n, (long long)step, (long long)L);
    int64_t frames = (L - n) / step + 1, bins = onesided ? n / 2 + 1 : n;
    op_dims dims = {4, {x->dims[0], frames, bins, 2}};
    OP_TRY(fft_of(c, n, &f));
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    OP_TRY(op_reals(c, x, &v));
    if (window) OP_TRY(op_reals(c, window, &w));
    OP_TRY(op_scratch(c, n, 2 * sizeof *line, &line));
    for (int64_t b = 0, o = 0; y && b < x->dims[0]; b++)
        for (int64_t t = 0; t < frames; t++) {
            OP_TRY(op_spend(c, f.m, 256));
            for (int64_t k = 0; k < n; k++)
                for (int64_t p = 0; p < 2; p++) line[2 * k + p] = p < parts ? v[(b * L + t * step + k) * parts + p] * (w ? w[k] : 1) : 0;
            transform(&f, line, false);
            for (int64_t k = 0; k < 2 * bins; k++, o++) op_put(x->dtype, y, o, line[k]);
        }
    return NIB_OK;
}

static nib_status infer_stft(op_infer *c) {
    const graph_type *x = op_in_type(c, 0), *w = op_in_type(c, 2);
    int64_t step[GRAPH_MAX_DATA], length[GRAPH_MAX_DATA], L;
    int a, b;
    graph_dim dims[4] = {x->rank > 0 ? x->dims[0] : NULL, NULL, NULL, op_const(c, 2)};
    OP_TRY(op_check_float(c, 0));
    bool known = op_in_ints(c, 1, step, &a) && a == 1 && step[0] > 0;
    if (op_in(c, 3)) known = known && op_in_ints(c, 3, length, &b) && b == 1;
    else known = known && w->rank == 1 && graph_dim_is_const(w->dims[0], &length[0]);
    known = known && length[0] > 0;
    if (known) dims[2] = op_const(c, graph_attr_int(c->node, "onesided", 1) ? length[0] / 2 + 1 : length[0]);
    if (known && x->rank > 1 && graph_dim_is_const(x->dims[1], &L) && L >= length[0]) dims[1] = op_const(c, (L - length[0]) / step[0] + 1);
    return op_set(c, 0, x->dtype, 4, dims);
}

/* ---- windows: a0 - a1 cos(2 pi k / N) + a2 cos(4 pi k / N) */

static nib_dtype wanted_type(const graph_node *n) {
    int64_t to = graph_attr_int(n, "output_datatype", NIB_DTYPE_F32);
    return to == NIB_DTYPE_F32 || to == NIB_DTYPE_F64 || to == NIB_DTYPE_F16 || to == NIB_DTYPE_BF16 ||
                   (to > 0 && to < 32 && op_is_int((nib_dtype)to))
               ? (nib_dtype)to
               : NIB_DTYPE_UNDEFINED;
}

static nib_status eval_window(op_eval *c, double a0, double a1, double a2) {
    nib_dtype dtype = wanted_type(c->node);
    bool periodic = graph_attr_int(c->node, "periodic", 1) != 0;
    int64_t n;
    void *y;
    OP_TRY(op_read_int(c, 0, &n));
    op_dims dims = {1, {n}};
    if (dtype == NIB_DTYPE_UNDEFINED) return op_bad(c, NIB_TYPE, "output_datatype");
    if (n < 0) return op_bad(c, NIB_SHAPE, "a window of %lld", (long long)n);
    OP_TRY(op_out(c, 0, dtype, &dims, &y));
    double whole = (double)(periodic ? n : n > 1 ? n - 1 : 1);
    for (int64_t k = 0; y && k < n; k++) {
        double angle = 2 * PI * (double)k / whole, v = a0 - a1 * cos(angle) + a2 * cos(2 * angle);
        op_put(dtype, y, k, op_is_float(dtype) ? v : trunc(v));
    }
    return NIB_OK;
}

static nib_status eval_hann(op_eval *c) { return eval_window(c, 0.5, 0.5, 0); }
static nib_status eval_hamming(op_eval *c) { return eval_window(c, 25.0 / 46, 21.0 / 46, 0); }
static nib_status eval_blackman(op_eval *c) { return eval_window(c, 0.42, 0.5, 0.08); }

static nib_status infer_window(op_infer *c) {
    graph_dim data[GRAPH_MAX_DATA] = {NULL};
    int n;
    if (!op_in_data(c, 0, data, &n) || n != 1) data[0] = NULL;
    return op_set(c, 0, wanted_type(c->node), 1, data);
}

/* ---- MelWeightMatrix: num_mel_bins, dft_length, sample_rate, lower, upper -> [dft_length / 2 + 1, num_mel_bins] */

static nib_status eval_mel(op_eval *c) {
    nib_dtype dtype = wanted_type(c->node);
    int64_t bins, length, rate;
    void *y;
    OP_TRY(op_read_int(c, 0, &bins));
    OP_TRY(op_read_int(c, 1, &length));
    OP_TRY(op_read_int(c, 2, &rate));
    for (int i = 3; i < 5; i++)
        if (!op_is_float(c->in[i]->dtype) || op_count(c->in[i]->rank, c->in[i]->dims) != 1) return op_bad(c, NIB_TYPE, "input %d", i);
    if (dtype == NIB_DTYPE_UNDEFINED) return op_bad(c, NIB_TYPE, "output_datatype");
    if (bins < 1 || bins > LONGEST || length < 1 || length > LONGEST || rate < 1)
        return op_bad(c, NIB_SHAPE, "%lld bins of %lld", (long long)bins, (long long)length);
    const int64_t rows = length / 2 + 1;
    op_dims dims = {2, {rows, bins}};
    OP_TRY(op_out(c, 0, dtype, &dims, &y));
    if (!y) return NIB_OK;
    memset(y, 0, (size_t)(rows * bins) * op_size(dtype));
    double low = 2595 * log10(1 + op_number(c->in[3], 0) / 700), high = 2595 * log10(1 + op_number(c->in[4], 0) / 700);
    for (int64_t i = 0; i < bins; i++) {
        int64_t at[3];
        for (int k = 0; k < 3; k++) {
            double hertz = 700 * (pow(10, ((double)(i + k) * (high - low) / (double)(bins + 2) + low) / 2595) - 1);
            double v = floor((double)(length + 1) * hertz / (double)rate);
            if (!(v >= 0 && v <= (double)rows)) return op_bad(c, NIB_SHAPE, "a frequency beyond the spectrum");
            at[k] = (int64_t)v;
        }
        if (at[1] >= rows) return op_bad(c, NIB_SHAPE, "a frequency beyond the spectrum");
        if (at[1] == at[0]) op_put(dtype, y, at[1] * bins + i, 1);
        for (int64_t j = at[0]; at[1] > at[0] && j <= at[1]; j++)
            op_put(dtype, y, j * bins + i, (double)(j - at[0]) / (double)(at[1] - at[0]));
        for (int64_t j = at[1]; j < at[2]; j++) op_put(dtype, y, j * bins + i, (double)(at[2] - j) / (double)(at[2] - at[1]));
    }
    return NIB_OK;
}

static nib_status infer_mel(op_infer *c) {
    int64_t bins[GRAPH_MAX_DATA], length[GRAPH_MAX_DATA];
    int n;
    graph_dim dims[2] = {NULL, NULL};
    if (op_in_ints(c, 1, length, &n) && n == 1 && length[0] >= 0) dims[0] = op_const(c, length[0] / 2 + 1);
    if (op_in_ints(c, 0, bins, &n) && n == 1 && bins[0] >= 0) dims[1] = op_const(c, bins[0]);
    return op_set(c, 0, wanted_type(c->node), 2, dims);
}

const op op_family_signal[] = {
    {"BlackmanWindow", "", 17, 1, 1, 1, OP_ROWS_MIXED, infer_window, eval_blackman, NULL},
    {"DFT", "", 17, 1, 2, 1, OP_ROWS_MIXED, infer_dft, eval_dft, NULL},
    {"DFT", "", 20, 1, 3, 1, OP_ROWS_MIXED, infer_dft, eval_dft, NULL},
    {"HammingWindow", "", 17, 1, 1, 1, OP_ROWS_MIXED, infer_window, eval_hamming, NULL},
    {"HannWindow", "", 17, 1, 1, 1, OP_ROWS_MIXED, infer_window, eval_hann, NULL},
    {"MelWeightMatrix", "", 17, 5, 5, 1, OP_ROWS_MIXED, infer_mel, eval_mel, NULL},
    {"STFT", "", 17, 2, 4, 1, OP_ROWS_MIXED, infer_stft, eval_stft, NULL},
    {0},
};

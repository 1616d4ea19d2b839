/* SPDX-License-Identifier: Apache-2.0
 *
 * Models as files, with smaller weights. In: a model's path, texts to calibrate on and others to check with. Out: a file whose weights
 * are integers, and a receipt: what its vectors lost, by layer and as a whole, in nib and as ONNX means the file.
 *
 * A layer is a product MatMul(x, w) with a constant weight [K, N], or a table that Gather looks rows up in. Rounding one gives codes
 * [K, N] and scales, which quantize_write.c turns into operators and quant/ reads back as they are.
 */
#ifndef QUANTIZE_H
#define QUANTIZE_H

#include "rewrite/rewrite.h"

typedef enum quantize_bits { QUANTIZE_NONE = 32, QUANTIZE_16 = 16, QUANTIZE_8 = 8, QUANTIZE_4 = 4 } quantize_bits;

typedef struct quantize_codes {
    quantize_bits bits;
    int64_t block; /* rows of the weight, K, that share a scale; K itself: one scale a column */
    int8_t *q;     /* [K, N], -8 .. 7 or -127 .. 127 */
    float *scale;  /* [K / block, N]; of 4 bits ones that f16 holds */
    int zero;      /* that stands for 0: of a table with one scale, else 0 */
    double error;  /* |x (w - w')|^2 / |x w|^2, or without calibration |w - w'|^2 / |w|^2; 0: not rounded */
} quantize_codes;

typedef struct quantize_layer {
    graph_node *node;      /* of the graph that was looked at: MatMul or Gather */
    graph_value *x;        /* its rows; of a table the ids */
    const graph_tensor *w; /* f32 [K, N]; of a table [rows, width], of which each row is a "column" of K = width numbers */
    bool table, kept;      /* kept: asked to stay as it is */
    bool one_scale, seven; /* of 8 bits: for the whole weight; -63 .. 63 */
    const char *why;       /* it cannot be quantized, or NULL */
    int64_t K, N;          /* of a table: its width, its rows */
    float *factor; /* [K] that its x is divided by and its weight's rows are multiplied by (quantize_scale.c), or NULL */
    float range[2];        /* of int8-static: its x's, divided by the factor */
    quantize_codes codes;  /* what is written */
    quantize_codes low, high; /* of 4 and of 8 bits, if they are made and not what is written (quantize_take) */
    double effect;         /* what the mean cosine to f32 loses by these codes alone; -1: not measured */
} quantize_layer;

typedef struct quantize_layers {
    quantize_layer *items;
    int count;
} quantize_layers;

/* What rows of x were like: the sum of x^T x over all of them, and between what numbers each column lay. */
typedef struct quantize_moments {
    const graph_value *x;
    int64_t K, rows;
    float *sum;          /* [K, K] */
    float *least, *most; /* [K]; NULL: not known */
    float *sample;       /* [sampled, K] some of the rows, evenly */
    int64_t sampled;
} quantize_moments;

/* ---- layers, as the options have them: keep are patterns of names ('*' stands for anything) of layers that stay as they are;
 * INVALID_ARGUMENT where one is nobody's. */
nib_status quantize_find(base_heap *heap, const graph *g, const nib_quantize_options *o, quantize_layers *out, nib_error *err);
/* Whether a name is one of those to keep. */
bool quantize_is_kept(const nib_quantize_options *o, const char *name);
/* Before: Gemm of a constant matrix as MatMul and Add. */
nib_status quantize_open_gemm(pass_context *ctx);
/* Where other weights of 2 kB and more lie: "1.2 MB in 3 Conv, .."; nothing where there are none. */
void quantize_rest(const graph *g, const quantize_layers *l, base_str *out);
void quantize_layers_free(base_heap *heap, quantize_layers *l);
/* The layer's name in messages: its weight's. */
const char *quantize_name(const quantize_layer *l);

/* ---- matrices */
typedef struct quantize_matrix { /* element (i, k) is sign * data[i * row + k * column] */
    const float *data;
    int64_t row, column;
    float sign; /* 1 or -1; of the second of a product it counts for nothing */
} quantize_matrix;
/* c [M, N] += a [M, K] b [K, N], rows of c are c_stride apart; the same bits for any number of threads. */
nib_status quantize_multiply(nib_runtime *runtime, const quantize_matrix *a, const quantize_matrix *b, float *c, int64_t c_stride,
                             int64_t M, int64_t N, int64_t K, nib_error *err);
/* The upper factor u [K, K] of the inverse of a, u^T u = a^-1; zeros below the diagonal. *positive false: a is not positive, and u is of
 * no use. */
nib_status quantize_inverse_factor(nib_runtime *runtime, const float *a, int64_t K, float *u, bool *positive, nib_error *err);

/* ---- rounding. codes of the layer are made anew; those that were there are freed. `moments` NULL: to the nearest. */
nib_status quantize_round(nib_runtime *runtime, quantize_layer *l, quantize_bits bits, int64_t block, const quantize_moments *moments,
                          nib_error *err);

/* ---- scale migration (SmoothQuant, Xiao et al., 2022): factors that move what is hard to round from the columns of moments' x into
 * the rows of the weights that read it, for all layers of x that will be rounded; none where that would not lose less. block 0: to 8
 * bits, the rows, too; else weights alone, to 4 bits in such blocks. */
nib_status quantize_migrate(base_heap *heap, quantize_layers *layers, const quantize_moments *moments, int64_t block, nib_error *err);
/* Of int8-static: the range that layers of moments' x round it in, behind their factors. */
nib_status quantize_range(base_heap *heap, quantize_layers *layers, const quantize_moments *moments, nib_ranges how, nib_error *err);
/* x times the factor's reciprocal, once for all its readers in g: in front of `before`, or folded into what makes x (quantize_fold). */
graph_value *quantize_scaled(pass_context *ctx, graph_node *before, graph_value *x, const float *factor, int64_t K);
/* Each Mul that quantize_scaled has put there goes into the constants that make what it multiplies, where nothing else reads that: a
 * norm's gamma and beta, a bias, the columns of a weight or its scales. */
nib_status quantize_fold(pass_context *ctx);

/* ---- calibration: `each` is called with the moments of every product's x, some layers at a time, so that memory is bounded. The texts
 * go through m, a model of the graph g. INVALID_ARGUMENT: no text has a token. */
typedef nib_status (*quantize_each)(void *user, const quantize_moments *moments, nib_error *err);
nib_status quantize_calibrate(nib_model *m, const graph *g, const quantize_layers *layers, const char *const *texts, size_t n,
                              quantize_each each, void *user, nib_error *err);

/* ---- how many bits each layer has. A step gives a layer more; they are in the order of what the cosine gains for a byte, by the layers'
 * measured effects. */
typedef struct quantize_step {
    quantize_layer *layer;
    quantize_bits bits;
    double worth;
} quantize_step;
/* Steps of all layers with codes, the caller's to free with base_free. */
nib_status quantize_plan(base_heap *heap, const quantize_layers *layers, quantize_step **steps, int *n, nib_error *err);
/* The first n steps are taken, and no others. */
nib_status quantize_take(nib_runtime *runtime, quantize_layers *layers, const quantize_step *steps, int n, nib_error *err);
/* As many steps as leave bytes (of the weights as they are) at most `most`; those that do not fit, or gain nothing, are
 * left out of `steps`, and *n is how many are left. */
void quantize_fit(quantize_step *steps, int *n, uint64_t bytes, uint64_t most);

/* ---- writing: g is a clone of the graph that the layers were found in; each that has codes becomes what
 * the options' target and type say. */
nib_status quantize_write(nib_runtime *runtime, graph *g, const quantize_layers *layers, const nib_quantize_options *o, nib_error *err);

/* Products of two values, but for those to keep, as MatMulInteger of both as DynamicQuantizeLinear has them. g has opset 11 or more. */
nib_status quantize_write_products(nib_runtime *runtime, graph *g, const nib_quantize_options *o, nib_error *err);

/* The same for fp16 and bf16, which have no codes; each layer's bits become what it has then. */
nib_status quantize_write_half(nib_runtime *runtime, graph *g, quantize_layers *layers, nib_quantize_type type, pass_notes *notes,
                               nib_error *err);

/* ---- measuring: vectors of the same texts by two models */
#define QUANTIZE_NEIGHBOURS 10
typedef struct quantize_quality {
    bool known;
    char why[REWRITE_WHY];     /* if not */
    double mean, worst, fifth; /* cosine; fifth: of 5 texts in 100 it is below */
    double overlap;            /* of each text's nearest neighbours among the others, the share that stays; -1: too few texts */
    size_t texts;
    size_t lost; /* texts whose second vector has what is no number, and the first has not */
} quantize_quality;
void quantize_compare(const float *a, const float *b, size_t n, int64_t width, quantize_quality *out);
/* As everybody opens the source, for texts' vectors; optimize as nib_model_options has it. */
nib_status quantize_open_model(nib_runtime *runtime, const model_source *source, nib_precision precision, int optimize, nib_model **out,
                               nib_error *err);
/* Vectors [n, width] of the texts, the caller's to free with base_free. */
nib_status quantize_vectors(nib_model *m, const char *const *texts, size_t n, float **out, int64_t *width, nib_error *err);

#define QUANTIZE_LESS 50 /* of what a layer loses with 4 bits in blocks, one part in so many is lost with 8, by MiniLM's: 14 to 101 */
#define QUANTIZE_MIXED_COSINE 0.998 /* what precision mixed keeps where no min_cosine is given */

/* What a model's own task gives for texts: text i has rows offsets[i] to offsets[i + 1] of data. Of the runtime's heap. */
typedef struct quantize_rows {
    size_t n;
    int64_t *offsets; /* [n + 1] */
    float *data;      /* [offsets[n], width] */
    int64_t width;
    bool scores; /* of labels */
} quantize_rows;
/* UNSUPPORTED: of no such task, or the model reads no texts. */
nib_status quantize_rows_of(nib_model *m, const char *const *texts, size_t n, quantize_rows *out, nib_error *err);
/* Of the first got->n of the same texts. UNSUPPORTED: rows of another number or width. */
nib_status quantize_rows_compare(base_heap *heap, const quantize_rows *wanted, const quantize_rows *got, quantize_quality *out,
                                 nib_error *err);
void quantize_rows_free(base_heap *heap, quantize_rows *r);

/* The sentences that nib measures with where nobody gives texts. */
const char *const *quantize_own_texts(size_t *n);
/* m, opened from source with these options by the caller, who alone has it, must keep their min_cosine on nib's own sentences: layers get
 * more bits until it does. DIFFERENT: it does not, whatever they get, or its file has rounded them. UNSUPPORTED: it is compiled, or
 * quantize_rows_of says so. */
nib_status quantize_hold_to(nib_model *m, const model_source *source, const nib_model_options *asked, nib_error *err);

/* ---- what both models cost to run here: before (f32) and after, by their paths */
typedef struct quantize_cost {
    double seconds; /* that the texts take, on the runtime's threads */
    size_t bytes;   /* of memory: what the heap holds for it, and pages of its files that are resident */
} quantize_cost;
nib_status quantize_cost_of(nib_runtime *runtime, const char *const paths[2], const char *const *texts, size_t n, quantize_cost out[2],
                            nib_error *err);

/* ---- the verb (api/): as nib_quantize_file */
#define QUANTIZE_STAGES 4 /* read, rounded, measured, written */
nib_status quantize_file(nib_runtime *runtime, const char *in, const char *out, const nib_quantize_options *o, nib_report **report,
                         nib_error *err);

typedef struct quantize_receipt {
    const nib_quantize_options *options;
    const quantize_layers *layers;
    quantize_quality nib, file; /* as nib runs it; as ONNX means it */
    uint64_t bytes[2];          /* of all weights, before and after */
    int raised;                 /* layers that got more bits to reach min_cosine */
    const char *notes;          /* of fp16: what stays f32; NULL: none */
    const char *rest;           /* where weights lie that are no layers'; NULL: nowhere */
    double seconds;
} quantize_receipt;
void quantize_receipt_put(nib_report *r, const quantize_receipt *t);
/* why NULL: measured. */
void quantize_receipt_cost(nib_report *r, const quantize_cost cost[2], size_t texts, int threads, const char *why);

#endif

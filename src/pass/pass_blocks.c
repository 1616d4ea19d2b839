/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights of few bits in blocks -> weights of f32, for graphs that nib runs. In: com.microsoft's MatMulNBits and
 * GatherBlockQuantized of constants, DequantizeLinear of a constant matrix with a block_size; for texts, rows of integers that
 * are looked up first and are made numbers then. Out: MatMul(x, w) and its bias,
 * Gather(table, ids), a constant: the numbers that the integers stand for, which the passes fuse like those of any model. What is
 * quantized again from numbers that lie on a grid of q4 (kernel_round_q4) or q8 is what it was.
 *
 * For texts it counts what it has found (ctx->quantized), and how much of it q4 holds without loss (ctx->quantized_q4).
 */
#include "pass.h"
#include "base/base_half.h"
#include "kernel/kernel_pack.h"
#include <string.h>

#define MS "com.microsoft"

static nib_status no_memory(pass_context *ctx) { return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing"); }

static bool is_constant(const graph_value *v) { return v && v->constant && v->constant->data; }

static int code_at(const uint8_t *p, int64_t i, int bits) { return p[i * bits / 8] >> (i * bits % 8) & ((1 << bits) - 1); }

/* f32 or f16 numbers; false: of another type. */
static bool real_at(const graph_tensor *t, int64_t i, float *out) {
    uint16_t half;
    if (t->dtype == NIB_DTYPE_F32) return memcpy(out, (const char *)t->data + 4 * i, 4), true;
    if (t->dtype != NIB_DTYPE_F16) return false;
    memcpy(&half, (const char *)t->data + 2 * i, 2);
    return *out = base_f16_to_f32(half), true;
}

/* Rows of integers, `bits` each; a scale for each block of a row, and perhaps a zero point. Distances are in elements. */
typedef struct block_rows {
    const uint8_t *codes;
    const graph_tensor *scale, *zero; /* zero may be NULL; integers like the codes, or real like the scales */
    int64_t rows, columns, block, blocks;
    int64_t code_row, code_step, scale_row, scale_step, zero_row;
    int bits;
    bool is_signed;
    float none;  /* what is subtracted where there is no zero point */
    bool turned; /* column i of the result is row i */
} block_rows;

/* What f32 takes of it, if there is room left for what is folded. */
static bool take_room(pass_context *ctx, const block_rows *b, size_t *bytes) {
    size_t n;
    if (!base_mul_size((size_t)b->rows, (size_t)b->columns, &n) || !base_mul_size(n, sizeof(float), bytes) || *bytes > ctx->fold_left)
        return false;
    ctx->fold_left -= *bytes;
    return true;
}

static float value_at(const block_rows *b, const void *codes, int64_t i) {
    const int code = code_at(codes, i, b->bits), half = 1 << (b->bits - 1);
    return (float)(b->is_signed ? (code ^ half) - half : code);
}

static float middle(const block_rows *b) { return b->is_signed ? 0.0f : (float)(1 << (b->bits - 1)); } /* of the range */

static bool has_codes(nib_dtype t) { return t == NIB_DTYPE_U8 || t == NIB_DTYPE_I8 || t == NIB_DTYPE_U4 || t == NIB_DTYPE_I4; }

static bool zero_of(const block_rows *b, int64_t row, int64_t block, float *out) {
    *out = b->none;
    if (!b->zero) return true;
    if (!has_codes(b->zero->dtype)) return real_at(b->zero, row * b->scale_row + block * b->scale_step, out);
    *out = value_at(b, b->zero->data, row * b->zero_row + block * b->scale_step);
    return true;
}

/* The constant that b stands for; NULL: memory ran out, or there is no room for it (*left). *q4: q4 holds these numbers, but for what f16
 * cuts off of a scale. */
static graph_value *real_of(pass_context *ctx, const char *name, const block_rows *b, bool *left, bool *q4) {
    size_t bytes;
    *left = !take_room(ctx, b, &bytes);
    float *to = *left ? NULL : base_arena_alloc(ctx->g->arena, bytes + 1);
    if (!to) return NULL;
    *q4 = b->bits <= 4 && b->block % KERNEL_Q4_BLOCK == 0;
    const int64_t step = b->turned ? b->rows : 1;
    for (int64_t r = 0; r < b->rows; r++) {
        float *out = to + (b->turned ? r : r * b->columns), scale = 0, zero = 0;
        for (int64_t k = 0; k < b->columns; k++) {
            const int64_t block = k / b->block;
            if (k % b->block == 0) {
                if (!real_at(b->scale, r * b->scale_row + block * b->scale_step, &scale) || !zero_of(b, r, block, &zero)) return NULL;
                *q4 &= zero == middle(b);
            }
            out[k * step] = (value_at(b, b->codes, r * b->code_row + k * b->code_step) - zero) * scale;
        }
    }
    graph_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 2, .data = to, .bytes = bytes};
    t.dims[0] = b->turned ? b->columns : b->rows;
    t.dims[1] = b->turned ? b->rows : b->columns;
    return graph_add_constant(ctx->g, name, &t, false);
}

static bool has_count(const graph_value *v, int64_t n) { return is_constant(v) && graph_tensor_elements(v->constant) == n; }

static bool fits(const block_rows *b, const graph_value *scale, const graph_value *zero) {
    const bool whole = zero && zero->constant && zero->constant->dtype == NIB_DTYPE_U8;
    float x;
    return has_count(scale, b->rows * b->blocks) && real_at(scale->constant, 0, &x) &&
           (!zero || has_count(zero, b->rows * (whole ? (b->blocks * b->bits + 7) / 8 : b->blocks))) &&
           (!zero || whole || real_at(zero->constant, 0, &x));
}

static void count(pass_context *ctx, bool q4) {
    if (!pass_mode_of(ctx)->texts) return;
    ctx->quantized++;
    ctx->quantized_q4 += q4;
}

static nib_status put(pass_context *ctx, graph_node *n, graph_value *y) {
    nib_status status = y ? op_infer_node(ctx->g, y->producer, ctx->err) : no_memory(ctx);
    return status == NIB_OK ? pass_replace(ctx, n->outputs[0], y) : status;
}

/* A [.., K], B [N, blocks, bytes of a block], scales [N blocks], zero points?, g_idx?, bias [N]?. */
static nib_status try_matmul(pass_context *ctx, graph_node *n) {
    graph_value *x = pass_input(n, 0), *w = pass_input(n, 1), *bias = pass_input(n, 5);
    const int64_t K = graph_attr_int(n, "K", 0), N = graph_attr_int(n, "N", 0), block = graph_attr_int(n, "block_size", 0);
    const int64_t bits = graph_attr_int(n, "bits", 4);
    bool left, q4;
    if ((bits != 2 && bits != 4 && bits != 8) || K < 1 || N < 1 || K > INT32_MAX || N > INT32_MAX || block < 16 || block > 65536 ||
        (block & (block - 1)) || !is_constant(w) || w->constant->dtype != NIB_DTYPE_U8 || pass_input(n, 4) ||
        graph_attr_int(n, "weight_prepacked", 0) || x->type.dtype != NIB_DTYPE_F32)
        return NIB_OK;
    block_rows b = {.codes = w->constant->data, .rows = N, .columns = K, .block = block, .bits = (int)bits, .turned = true};
    b.blocks = (K + block - 1) / block;
    b.code_row = b.blocks * block, b.code_step = 1, b.scale_row = b.blocks, b.scale_step = 1;
    b.none = middle(&b);
    b.zero_row = (b.blocks * bits + 7) / 8 * 8 / bits; /* a row of zero points begins with a byte of its own */
    if (!has_count(w, N * b.blocks * (block * bits / 8)) || !fits(&b, pass_input(n, 2), pass_input(n, 3))) return NIB_OK;
    b.scale = pass_input(n, 2)->constant;
    b.zero = pass_input(n, 3) ? pass_input(n, 3)->constant : NULL;
    graph_value *real = real_of(ctx, w->name, &b, &left, &q4);
    if (!real) return left ? NIB_OK : no_memory(ctx);
    graph_value *y = pass_emit(ctx, n, "", "MatMul", (graph_value *[]){x, real}, 2, n->outputs[0]->name);
    if (y && bias && op_infer_node(ctx->g, y->producer, ctx->err) == NIB_OK)
        y = pass_emit(ctx, n, "", "Add", (graph_value *[]){y, bias}, 2, n->outputs[0]->name);
    count(ctx, q4);
    return put(ctx, n, y);
}

/* A table [rows, columns], whose rows are looked up, blocks along them. */
static nib_status try_gather(pass_context *ctx, graph_node *n) {
    graph_value *table = pass_input(n, 0);
    const int64_t block = graph_attr_int(n, "block_size", 128), axis = graph_attr_int(n, "quantize_axis", 1);
    bool left, q4;
    if (!is_constant(table) || table->constant->rank != 2 || table->constant->dtype != NIB_DTYPE_U8) return NIB_OK;
    const int64_t bits = graph_attr_int(n, "bits", 4);
    if (graph_attr_int(n, "gather_axis", 0) != 0 || (axis != 1 && axis != -1) || block < 16 || (bits != 2 && bits != 4 && bits != 8) ||
        n->outputs[0]->type.dtype != NIB_DTYPE_F32)
        return NIB_OK;
    const graph_tensor *t = table->constant;
    block_rows b = {.codes = t->data, .rows = t->dims[0], .columns = t->dims[1] * (8 / bits), .block = block};
    b.bits = (int)bits;
    b.blocks = (b.columns + block - 1) / block;
    b.code_row = b.columns, b.code_step = 1, b.scale_row = b.blocks, b.scale_step = 1;
    b.none = middle(&b);
    b.zero_row = (b.blocks * bits + 7) / 8 * 8 / bits;
    if (b.rows < 1 || b.rows > INT32_MAX || b.columns > INT32_MAX || !fits(&b, pass_input(n, 2), pass_input(n, 3))) return NIB_OK;
    b.scale = pass_input(n, 2)->constant;
    b.zero = pass_input(n, 3) ? pass_input(n, 3)->constant : NULL;
    graph_value *real = real_of(ctx, table->name, &b, &left, &q4);
    if (!real) return left ? NIB_OK : no_memory(ctx);
    count(ctx, q4);
    return put(ctx, n, pass_emit(ctx, n, "", "Gather", (graph_value *[]){real, pass_input(n, 1)}, 2, n->outputs[0]->name));
}

/* A matrix with blocks along either axis. */
static nib_status try_dequantize(pass_context *ctx, graph_node *n) {
    graph_value *x = pass_input(n, 0), *scale = pass_input(n, 1), *zero = pass_input(n, 2);
    const int64_t block = graph_attr_int(n, "block_size", 0), axis = graph_attr_int(n, "axis", 1);
    bool left, q4;
    if (!is_constant(x) || !is_constant(scale) || x->constant->rank != 2 || block < 1 || !has_codes(x->constant->dtype)) return NIB_OK;
    const graph_tensor *t = x->constant, *s = scale->constant;
    const bool down = axis == 0 || axis == -2; /* the first axis is blocked */
    block_rows b = {.codes = t->data, .scale = s, .zero = zero ? zero->constant : NULL, .block = block, .turned = down};
    b.rows = t->dims[down], b.columns = t->dims[!down];
    b.bits = nib_dtype_bits(t->dtype);
    b.is_signed = t->dtype == NIB_DTYPE_I8 || t->dtype == NIB_DTYPE_I4;
    if (b.rows < 1 || b.columns < 1 || b.rows > INT32_MAX || b.columns > INT32_MAX || n->outputs[0]->type.dtype != NIB_DTYPE_F32)
        return NIB_OK;
    b.blocks = (b.columns + block - 1) / block;
    b.code_row = down ? 1 : b.columns, b.code_step = down ? b.rows : 1;
    b.scale_row = b.zero_row = down ? 1 : b.blocks, b.scale_step = down ? b.rows : 1;
    float first;
    if (s->rank != 2 || s->dims[down] != b.rows || s->dims[!down] != b.blocks || !real_at(s, 0, &first) ||
        (zero && (!has_count(zero, b.rows * b.blocks) || b.zero->dtype != t->dtype)))
        return NIB_OK;
    graph_value *real = real_of(ctx, x->name, &b, &left, &q4);
    if (!real) return left ? NIB_OK : no_memory(ctx);
    count(ctx, q4);
    return pass_replace(ctx, n->outputs[0], real);
}

/* The Gather of rows of a constant matrix that v is; NULL: it is another's. */
static const graph_node *row_gather(const graph_value *v) {
    const graph_node *n = v ? v->producer : NULL;
    return n && graph_is_op(n, "", "Gather") && graph_attr_int(n, "axis", 0) == 0 && is_constant(n->inputs[0].value) &&
                   n->inputs[0].value->constant->rank == 2
               ? n
               : NULL;
}

/* Rows of a table of integers, which are looked up and then made numbers. With a scale a row, itself looked up: Mul(Cast(rows),
 * Gather(scales, ids)), as nib writes them. With one for all: DequantizeLinear(rows, scale, zero), as ONNX Runtime does. */
static nib_status try_rows(pass_context *ctx, graph_node *n) {
    const bool product = graph_is_op(n, "", "Mul");
    const graph_node *rows = NULL, *scales = NULL;
    bool left, q4;
    for (int i = 0; product && i < 2 && !rows; i++) {
        const graph_node *cast = n->inputs[i].value->producer;
        if (!cast || !graph_is_op(cast, "", "Cast") || !(scales = row_gather(n->inputs[!i].value))) continue;
        rows = row_gather(cast->inputs[0].value);
    }
    if (!product) rows = row_gather(n->inputs[0].value);
    if (!rows || (product && rows->inputs[1].value != scales->inputs[1].value)) return NIB_OK;
    graph_value *table = rows->inputs[0].value, *scale = product ? scales->inputs[0].value : pass_input(n, 1),
                *zero = product ? NULL : pass_input(n, 2);
    const graph_tensor *t = table->constant;
    block_rows b = {.codes = t->data, .rows = t->dims[0], .columns = t->dims[1], .block = t->dims[1], .blocks = 1};
    float first;
    if ((t->dtype != NIB_DTYPE_U8 && t->dtype != NIB_DTYPE_I8) || b.rows < 1 || b.columns < 1 || b.rows > INT32_MAX ||
        b.columns > INT32_MAX || n->outputs[0]->type.dtype != NIB_DTYPE_F32 || graph_attr_int(n, "block_size", 0) ||
        !has_count(scale, product ? b.rows : 1) || !real_at(scale->constant, 0, &first) ||
        (zero && (!has_count(zero, 1) || zero->constant->dtype != t->dtype)))
        return NIB_OK;
    if (product && (scale->constant->rank != 2 || scale->constant->dims[1] != 1 || scale->constant->dtype != NIB_DTYPE_F32))
        return NIB_OK;
    b.bits = 8;
    b.is_signed = t->dtype == NIB_DTYPE_I8;
    b.code_row = b.columns, b.code_step = 1, b.scale_row = product;
    b.scale = scale->constant;
    b.zero = zero ? zero->constant : NULL;
    graph_value *real = real_of(ctx, table->name, &b, &left, &q4);
    if (!real) return left ? NIB_OK : no_memory(ctx);
    count(ctx, false);
    return put(ctx, n, pass_emit(ctx, n, "", "Gather", (graph_value *[]){real, rows->inputs[1].value}, 2, n->outputs[0]->name));
}

nib_status pass_blocks(pass_context *ctx) {
    nib_status status = NIB_OK;
    const int before = ctx->quantized;
    const bool texts = pass_mode_of(ctx)->texts;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        if (graph_is_op(n, MS, "MatMulNBits")) NIB_TRY(try_matmul(ctx, n));
        else if (graph_is_op(n, MS, "GatherBlockQuantized")) NIB_TRY(try_gather(ctx, n));
        else if (texts && (graph_is_op(n, "", "Mul") ||
                           (graph_is_op(n, "", "DequantizeLinear") && row_gather(n->inputs[0].value))))
            NIB_TRY(try_rows(ctx, n));
        else if (graph_is_op(n, "", "DequantizeLinear")) NIB_TRY(try_dequantize(ctx, n));
    }
    if (ctx->quantized > before)
        pass_note(ctx, "%d weights of few bits are read as the numbers that they stand for", ctx->quantized - before);
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}

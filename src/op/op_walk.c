/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks over tensors for eval: what broadcasts, and what is only moved. Both first merge neighbouring axes that every
 * operand crosses with one stride, so that the common cases (same shape, bias of the last axis, scalar) become one or two
 * long inner loops.
 */
#include "op_local.h"

/* Merges axis i into i + 1 where every stride says that they are one; returns the new rank (at least 1). */
static int merge(int rank, int64_t *dims, int n, int64_t (*strides)[GRAPH_MAX_RANK]) {
    int out = 0;
    for (int i = 0; i < rank; i++) {
        if (dims[i] == 1) continue;
        bool joins = out > 0;
        for (int j = 0; joins && j < n; j++) joins = strides[j][out - 1] == strides[j][i] * dims[i];
        if (joins) {
            dims[out - 1] *= dims[i];
            for (int j = 0; j < n; j++) strides[j][out - 1] = strides[j][i];
        } else {
            dims[out] = dims[i];
            for (int j = 0; j < n; j++) strides[j][out] = strides[j][i];
            out++;
        }
    }
    if (out == 0) {
        dims[0] = 1;
        for (int j = 0; j < n; j++) strides[j][0] = 0;
        out = 1;
    }
    return out;
}

void op_walk(const op_dims *out, void *y, size_t y_size, int n, const graph_tensor *const *x, op_loop *loop, const void *arg) {
    int64_t dims[GRAPH_MAX_RANK], strides[OP_WALK_MAX][GRAPH_MAX_RANK], at[GRAPH_MAX_RANK] = {0};
    const char *base[OP_WALK_MAX];
    size_t size[OP_WALK_MAX];
    if (op_count(out->rank, out->d) <= 0) return;
    memcpy(dims, out->d, sizeof(int64_t) * (size_t)out->rank);
    for (int j = 0; j < n; j++) {
        int64_t own[GRAPH_MAX_RANK];
        int shift = out->rank - x[j]->rank;
        op_strides(x[j]->rank, x[j]->dims, own);
        for (int i = 0; i < out->rank; i++) strides[j][i] = i < shift || x[j]->dims[i - shift] == 1 ? 0 : own[i - shift];
        base[j] = x[j]->data;
        size[j] = op_size(x[j]->dtype);
    }
    int rank = merge(out->rank, dims, n, strides), last = rank - 1;
    int64_t step[OP_WALK_MAX] = {0}, outer = op_count(last, dims);
    for (int j = 0; j < n; j++) step[j] = strides[j][last];
    char *to = y;
    for (int64_t k = 0; k < outer; k++) {
        const void *from[OP_WALK_MAX] = {NULL};
        for (int j = 0; j < n; j++) from[j] = base[j];
        loop(to, from, step, dims[last], arg);
        to += (size_t)dims[last] * y_size;
        for (int i = last - 1; i >= 0; i--) {
            bool carry = ++at[i] == dims[i];
            for (int j = 0; j < n; j++) base[j] += (carry ? strides[j][i] * (1 - dims[i]) : strides[j][i]) * (int64_t)size[j];
            if (!carry) break;
            at[i] = 0;
        }
    }
}

#define COPY_AS(type)                                                                                                                      \
    for (int64_t i = 0; i < n; i++) memcpy(to + i * to_step * (int64_t)sizeof(type), from + i * step * (int64_t)sizeof(type), sizeof(type))

/* One line of n elements. The sizes that exist are spelt out so that memcpy becomes a move. */
static void copy_line(char *to, int64_t to_step, const char *from, int64_t step, int64_t n, size_t size) {
    if (to_step == 1 && step == 1) {
        memcpy(to, from, (size_t)n * size);
        return;
    }
    switch (size) {
    case 1: COPY_AS(uint8_t); break;
    case 2: COPY_AS(uint16_t); break;
    case 4: COPY_AS(uint32_t); break;
    case 8: COPY_AS(uint64_t); break;
    default:
        for (int64_t i = 0; i < n; i++) memcpy(to + i * to_step * (int64_t)size, from + i * step * (int64_t)size, size);
    }
}

static void swap(int64_t *x, int i, int j) {
    int64_t kept = x[i];
    x[i] = x[j];
    x[j] = kept;
}

/* The axis along which the source lies in one piece changes places with the last but one. */
static void bring_adjacent(int rank, int64_t *dims, int64_t (*strides)[GRAPH_MAX_RANK]) {
    int i = rank - 2;
    while (i >= 0 && strides[1][i] != 1) i--;
    if (i < 0) return;
    swap(dims, i, rank - 2);
    for (int j = 0; j < 2; j++) swap(strides[j], i, rank - 2);
}

#define TILE 16 /* lines and elements of a line: what is read of the source's cache lines is used while they are there */

/* Lines of n elements each; by tiles where the source's elements lie apart, and next to those of other lines. */
static void copy_lines(char *to, const int64_t to_step[2], const char *from, const int64_t step[2], const int64_t n[2], int64_t size) {
    const bool turned = step[1] != 1 && step[0] == 1;
    const int64_t high = turned ? TILE : n[0], wide = turned ? TILE : n[1];
    for (int64_t a = 0; a < n[0]; a += high)
        for (int64_t b = 0; b < n[1]; b += wide)
            for (int64_t i = a; i < n[0] && i < a + high; i++)
                copy_line(to + (i * to_step[0] + b * to_step[1]) * size, to_step[1], from + (i * step[0] + b * step[1]) * size, step[1],
                          n[1] - b < wide ? n[1] - b : wide, (size_t)size);
}

void op_copy(void *dst, const int64_t *dst_strides, const void *src, const int64_t *src_strides, int rank, const int64_t *dims,
             size_t size) {
    int64_t d[GRAPH_MAX_RANK], strides[2][GRAPH_MAX_RANK], at[GRAPH_MAX_RANK] = {0};
    if (op_count(rank, dims) <= 0) return;
    memcpy(d, dims, sizeof(int64_t) * (size_t)rank);
    if (dst_strides) memcpy(strides[0], dst_strides, sizeof(int64_t) * (size_t)rank);
    else op_strides(rank, dims, strides[0]);
    memcpy(strides[1], src_strides, sizeof(int64_t) * (size_t)rank);
    rank = merge(rank, d, 2, strides);
    if (strides[1][rank - 1] != 1) bring_adjacent(rank, d, strides);
    const int lines = rank > 1 ? rank - 2 : 0; /* the axis of lines; one of a single line in front of a vector */
    const int64_t n[2] = {rank > 1 ? d[lines] : 1, d[rank - 1]}, s = (int64_t)size;
    const int64_t to_step[2] = {strides[0][lines], strides[0][rank - 1]}, step[2] = {strides[1][lines], strides[1][rank - 1]};
    char *to = dst;
    const char *from = src;
    for (int64_t k = 0, outer = op_count(lines, d); k < outer; k++) {
        copy_lines(to, to_step, from, step, n, s);
        for (int i = lines - 1; i >= 0; i--) {
            bool carry = ++at[i] == d[i];
            to += (carry ? strides[0][i] * (1 - d[i]) : strides[0][i]) * s;
            from += (carry ? strides[1][i] * (1 - d[i]) : strides[1][i]) * s;
            if (!carry) break;
            at[i] = 0;
        }
    }
}

void op_fill(void *dst, const void *element, int64_t count, size_t size) {
    char *to = dst;
    for (int64_t i = 0; i < count; i++) memcpy(to + i * (int64_t)size, element, size);
}

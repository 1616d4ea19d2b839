/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables by distance as attention reads them. In: rows [heads, count, head_dim]. Out: the same, packed as kernel.h
 * says. One layout for all rungs.
 */
#include "kernel.h"
#include <float.h>
#include <math.h>
#include <string.h>

static int64_t whole_blocks(int64_t count) {
    return (count + KERNEL_RELATIVE_BLOCK - 1) / KERNEL_RELATIVE_BLOCK * KERNEL_RELATIVE_BLOCK;
}

size_t kernel_relative_bytes(bool q8, int64_t count, int64_t head_dim) {
    if (count < 1 || head_dim < 1 || count > INT32_MAX || head_dim > INT32_MAX) return SIZE_MAX;
    const int64_t rows = whole_blocks(count);
    const size_t row = q8 ? (size_t)head_dim + 8 : (size_t)head_dim * sizeof(float);
    return (size_t)rows > SIZE_MAX / 2 / row ? SIZE_MAX : (size_t)rows * row;
}

/* Element d of row r of the queries, in blocks of rows with `group` numbers of each side by side. */
static int64_t in_blocks(int64_t r, int64_t d, int64_t D, int64_t group) {
    const int64_t block = r / KERNEL_RELATIVE_BLOCK, lane = r % KERNEL_RELATIVE_BLOCK;
    return block * D * KERNEL_RELATIVE_BLOCK + (d / group * KERNEL_RELATIVE_BLOCK + lane) * group + d % group;
}

static void pack_f32(bool queries, const char *row, int64_t r, int64_t D, float *to) {
    if (!queries) memcpy(to + r * D, row, (size_t)D * sizeof(float));
    for (int64_t d = 0; queries && d < D; d++)
        memcpy(to + in_blocks(r, d, D, 1), row + (size_t)d * sizeof(float), sizeof(float));
}

static void pack_q8(bool queries, const char *row, int64_t r, int64_t rows, int64_t D, char *head) {
    float *scales = (float *)(void *)head, largest = 0.0f, x;
    int32_t *starts = (int32_t *)(void *)(head + (size_t)rows * sizeof(float)), sum = 0;
    uint8_t *to = (uint8_t *)head + (size_t)rows * 8;
    for (int64_t d = 0; d < D; d++) {
        memcpy(&x, row + (size_t)d * sizeof x, sizeof x);
        if (fabsf(x) > largest) largest = fabsf(x);
    }
    float scale = largest / 127.0f;
    if (scale < FLT_MIN) scale = 1.0f;
    for (int64_t d = 0; d < D; d++) {
        memcpy(&x, row + (size_t)d * sizeof x, sizeof x);
        int n = (int)nearbyintf(x / scale);
        n = n < -127 ? -127 : n > 127 ? 127 : n;
        sum += n;
        if (queries) to[in_blocks(r, d, D, 4)] = (uint8_t)(int8_t)n;
        else to[r * D + d] = (uint8_t)(n + 128);
    }
    scales[r] = scale;
    starts[r] = -128 * sum;
}

void kernel_relative_pack(kernel_relative_table which, bool q8, const float *table, int heads, int64_t count,
                          int64_t head_dim, void *packed) {
    const size_t bytes = kernel_relative_bytes(q8, count, head_dim);
    const bool queries = which == KERNEL_RELATIVE_QUERIES;
    const char *row = (const char *)table; /* it may be misaligned */
    for (int h = 0; h < heads; h++) {
        char *head = (char *)packed + (size_t)h * bytes;
        memset(head, 0, bytes);
        for (int64_t r = 0; r < count; r++, row += (size_t)head_dim * sizeof(float)) {
            if (q8) pack_q8(queries, row, r, whole_blocks(count), head_dim, head);
            else pack_f32(queries, row, r, head_dim, (float *)(void *)head);
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * The ladder: which kernel fills which member of `kernels` on a processor with given instruction sets. kernels.def lists
 * them worst first; each one that the processor has replaces the one before it. Linear kernels, which a plan chooses among by
 * what they read, stand in one list, the best first.
 */
#include "kernel_list.h"
#include <stdio.h>
#include <string.h>

/* What the widest panels of tmpl/attention.h and tmpl/attention_q8.h need, each array rounded up to 64 bytes. One size for all rungs, so
 * that scratch memory planned for one serves any. */
enum { LANE_BYTES = 32 * 4, PANEL_ROWS = 5 }; /* largest, sum, shrink, lo, hi */

static size_t attention_scratch(int head_dim) {
    const size_t d = ((size_t)head_dim + 15) / 16 * 16;
    return KERNEL_KEY_TILE * (LANE_BYTES + 2 * d * 4) + KERNEL_ATTENTION_PANELS * (2 * d + PANEL_ROWS) * LANE_BYTES;
}

static size_t attention_q8_scratch(int head_dim) {
    const size_t d = ((size_t)head_dim + 15) / 16 * 16;
    size_t tile = KERNEL_KEY_TILE * (d + 4 + 2 * (d + 16) + LANE_BYTES + LANE_BYTES / 2) + d * (4 + LANE_BYTES) + 64;
    return tile + KERNEL_ATTENTION_PANELS * ((d + PANEL_ROWS + 4) * LANE_BYTES + d * 32);
}

const kernel_entry *kernel_entries(size_t *count) {
    static const kernel_entry entries[] = {
#define LINEAR(weight, name, tile, isa, ISA) {"linear_" #weight, "nk_" #name "__" #tile "_" #isa, BASE_ISA_##ISA, NULL, &nk_##name##__##tile##_##isa},
#define KERNEL(member, name, tile, isa, ISA)                                                                                               \
    {#member, "nk_" #name "__" #tile "_" #isa, BASE_ISA_##ISA, (void (*)(void))nk_##name##__##tile##_##isa, NULL},
#include "kernels.def"
#undef LINEAR
#undef KERNEL
    };
    *count = BASE_COUNT(entries);
    return entries;
}

void kernel_layout_name(const kernel_linear *kernel, char name[KERNEL_LAYOUT_NAME]) {
    snprintf(name, KERNEL_LAYOUT_NAME, "%s_n%d", kernel->layout, kernel->tile_n);
}

const kernel_format kernel_input_formats[] = {
    [KERNEL_INPUT_F32] = {"f32", {.element = NIB_DTYPE_UNDEFINED}, 1, INT64_MAX, false},
    [KERNEL_INPUT_BF16] = {"bf16", {.element = NIB_DTYPE_BF16}, 2, INT64_MAX, false},
    [KERNEL_INPUT_U8] = {"u8", {.element = NIB_DTYPE_U8, .scale = NIB_DTYPE_F32, .zero_points = true}, 4, KERNEL_Q8_MOST_K, false},
};
const kernel_format kernel_weight_formats[] = {
    [KERNEL_WEIGHT_F32] = {"f32", {.element = NIB_DTYPE_UNDEFINED}, 1, INT64_MAX, false},
    [KERNEL_WEIGHT_BF16] = {"bf16", {.element = NIB_DTYPE_BF16}, 2, INT64_MAX, false},
    [KERNEL_WEIGHT_Q8] = {"q8", {.element = NIB_DTYPE_I8, .scale = NIB_DTYPE_F32}, 4, KERNEL_Q8_MOST_K, false},
    [KERNEL_WEIGHT_Q4] = {"q4", {.element = NIB_DTYPE_I4, .scale = NIB_DTYPE_F16, .block = 32}, 32, INT64_MAX, false},
    [KERNEL_WEIGHT_S8] = {"s8", {.element = NIB_DTYPE_I8}, 1, KERNEL_S8_MOST_K, true},
};

int kernel_format_of(const kernel_format *formats, int count, const base_quant *type) {
    for (int i = 0; i < count; i++)
        if (!formats[i].sums && base_same_quant(&formats[i].type, type)) return i;
    return -1;
}

static bool has_layout(const kernel_linear *kernel, const char *layout) {
    char name[KERNEL_LAYOUT_NAME];
    kernel_layout_name(kernel, name);
    return strcmp(name, layout) == 0;
}

const kernel_linear *kernel_linear_find(const kernels *table, kernel_input input, kernel_weight_format weight, const char *layout) {
    for (const kernel_linear *const *k = table->linear; *k; k++)
        if ((*k)->weight == weight && (input == KERNEL_INPUTS || (*k)->input == input) && (!layout || has_layout(*k, layout))) return *k;
    return NULL;
}

const kernel_linear *kernel_linear_reference(const kernels *table, kernel_weight_format weight) {
    const kernel_linear *last = NULL;
    for (const kernel_linear *const *k = table->linear; *k; k++)
        if ((*k)->weight == weight) last = *k;
    return last;
}

int kernel_layout_format(const char *layout) {
    size_t count;
    const kernel_entry *all = kernel_entries(&count);
    for (size_t i = 0; i < count; i++)
        if (all[i].linear && has_layout(all[i].linear, layout)) return (int)all[i].linear->weight;
    return -1;
}

void kernel_table_init(kernels *table, uint32_t isas) {
    int count = 0;
    memset(table, 0, sizeof(*table));
    isas |= 1u << BASE_ISA_GENERIC;
    table->isas = isas;
    table->attention_scratch = attention_scratch;
    table->attention_q8_scratch = attention_q8_scratch;
#define LINEAR(weight, name, tile, isa, ISA)                                                                                               \
    if (isas >> BASE_ISA_##ISA & 1u) table->linear[count++] = &nk_##name##__##tile##_##isa;
#define KERNEL(member, name, tile, isa, ISA)                                                                                               \
    if (isas >> BASE_ISA_##ISA & 1u) table->member = nk_##name##__##tile##_##isa;
#include "kernels.def"
#undef LINEAR
#undef KERNEL
    for (int i = 0; i < count / 2; i++) { /* kernels.def begins with the worst */
        const kernel_linear *better = table->linear[count - 1 - i];
        table->linear[count - 1 - i] = table->linear[i];
        table->linear[i] = better;
    }
}

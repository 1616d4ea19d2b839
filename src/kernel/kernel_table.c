/* SPDX-License-Identifier: Apache-2.0
 *
 * The ladder: which kernel fills which member of `kernels` on a processor with given instruction sets. kernels.def lists
 * them worst first; each one that the processor has replaces the one before it, and Linear kernels, which a plan chooses
 * among, are put in front of one another.
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
    return tile + KERNEL_ATTENTION_PANELS * ((d + PANEL_ROWS + 3) * LANE_BYTES + d * 32);
}

const kernel_entry *kernel_entries(size_t *count) {
    static const kernel_entry entries[] = {
#define LINEAR(member, name, tile, isa, ISA) {#member, "nk_" #name "__" #tile "_" #isa, BASE_ISA_##ISA, NULL, &nk_##name##__##tile##_##isa},
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
    snprintf(name, KERNEL_LAYOUT_NAME, "%s_n%d", kernel->format, kernel->tile_n);
}

static void put_first(const kernel_linear **list, size_t capacity, const kernel_linear *kernel) {
    memmove(list + 1, list, (capacity - 2) * sizeof(*list)); /* the last place stays NULL */
    list[0] = kernel;
}

void kernel_table_init(kernels *table, uint32_t isas) {
    memset(table, 0, sizeof(*table));
    isas |= 1u << BASE_ISA_GENERIC;
    table->isas = isas;
    table->attention_scratch = attention_scratch;
    table->attention_q8_scratch = attention_q8_scratch;
#define LINEAR(member, name, tile, isa, ISA)                                                                                               \
    if (isas >> BASE_ISA_##ISA & 1u) put_first(table->member, BASE_COUNT(table->member), &nk_##name##__##tile##_##isa);
#define KERNEL(member, name, tile, isa, ISA)                                                                                               \
    if (isas >> BASE_ISA_##ISA & 1u) table->member = nk_##name##__##tile##_##isa;
#include "kernels.def"
#undef LINEAR
#undef KERNEL
}

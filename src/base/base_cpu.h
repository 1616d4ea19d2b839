/* SPDX-License-Identifier: Apache-2.0
 *
 * What the processor can do, seen once, and how much of the machine is ours.
 *
 * Instruction sets form one ladder per architecture; NIB_CPU caps it ("generic", "avx2", "avx512", ...), so that every
 * rung can be tested on a machine that has a higher one. A name of the other architecture or an unknown one is ignored
 * with a note in base_cpu_note().
 */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include "base_error.h"

/* name, rung. x86: avx2 = AVX2+FMA+F16C; avxvnni = + AVX-VNNI; avx512 = F+BW+DQ+VL+CD; then + VNNI; then + BF16; amx = + tiles of
 * bytes and bf16, which Linux gives to a process that asks.
 * arm: neon = Armv8.0 SIMD; dotprod = + UDOT/SDOT. */
#define BASE_ISA_MAP(X)                                                                                                                    \
    X(GENERIC, generic)                                                                                                                    \
    X(AVX2, avx2)                                                                                                                          \
    X(AVXVNNI, avxvnni)                                                                                                                    \
    X(AVX512, avx512)                                                                                                                      \
    X(AVX512VNNI, avx512vnni)                                                                                                              \
    X(AVX512BF16, avx512bf16)                                                                                                              \
    X(AMX, amx)                                                                                                                            \
    X(NEON, neon)                                                                                                                          \
    X(DOTPROD, dotprod)

typedef enum base_isa {
#define BASE_ISA_ENUM(upper, lower) BASE_ISA_##upper,
    BASE_ISA_MAP(BASE_ISA_ENUM)
#undef BASE_ISA_ENUM
        BASE_ISA_COUNT
} base_isa;

const char *base_isa_name(base_isa isa);

/* A set of rungs as bits 1u << isa: those this processor (and operating system) can run, GENERIC always. Not all rungs
 * below one need be there: a processor with AVX-512 may lack AVX-VNNI. */
uint32_t base_cpu_detect(void);

/* The rungs that `cap` leaves of `have`: cap itself and what is below it. cap NULL or "" leaves all; unknown: all, and
 * *known = false. */
uint32_t base_cpu_cap(uint32_t have, const char *cap, int *known);

/* base_cpu_detect() capped by the environment variable NIB_CPU; read once, then constant. */
uint32_t base_cpu_isas(void);
base_isa base_cpu_best(uint32_t isas);

/* Cache sizes in bytes of the first CPU, guesses (32 KiB, 1 MiB, 8 MiB) where the system does not tell. */
typedef struct base_caches {
    size_t l1d, l2, l3;
} base_caches;
base_caches base_cpu_caches(void);

/* Bytes of memory we may use: the machine's, cut by the cgroup's limit (v2 and v1). */
size_t base_cpu_memory(void);
/* Bytes of mapped files that are resident in this process now; 0 where the system does not say. */
size_t base_cpu_mapped(void);

/* CPUs we may use: affinity, cut by the cgroup's quota (v2 and v1), at least 1. */
int base_cpu_count(void);

#endif

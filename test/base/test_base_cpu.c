/* SPDX-License-Identifier: Apache-2.0
 *
 * The ladder of instruction sets: what a cap leaves, on machines of both architectures, whatever this one is.
 */
#include "base_test.h"
#include "base/base_cpu.h"

#define B(name) (1u << BASE_ISA_##name)
#define HASWELL (B(GENERIC) | B(AVX2))
#define ALDER (HASWELL | B(AVXVNNI))
#define SKYLAKE (HASWELL | B(AVX512))
#define ICE (SKYLAKE | B(AVX512VNNI))
#define SAPPHIRE (ICE | B(AVXVNNI) | B(AVX512BF16))
#define SAPPHIRE_TILES (SAPPHIRE | B(AMX))
#define ARM8 (B(GENERIC) | B(NEON))
#define ARM82 (ARM8 | B(DOTPROD))

static const struct {
    uint32_t have;
    const char *cap;
    uint32_t left;
    int known;
} rows[] = {
    {SAPPHIRE, NULL, SAPPHIRE, 1},
    {SAPPHIRE, "", SAPPHIRE, 1},
    {SAPPHIRE, "generic", B(GENERIC), 1},
    {SAPPHIRE, "avx2", HASWELL, 1},
    {SAPPHIRE, "avxvnni", ALDER, 1},
    {SAPPHIRE, "avx512", SKYLAKE | B(AVXVNNI), 1},
    {SAPPHIRE, "avx512vnni", ICE | B(AVXVNNI), 1},
    {SAPPHIRE, "avx512bf16", SAPPHIRE, 1},
    {SAPPHIRE_TILES, "amx", SAPPHIRE_TILES, 1},
    {SAPPHIRE_TILES, "avx512bf16", SAPPHIRE, 1},
    {SAPPHIRE_TILES, "avxvnni", ALDER, 1},
    {SAPPHIRE, "amx", SAPPHIRE, 1},
    {ICE, "avxvnni", HASWELL, 1},
    {ICE, "avx512", SKYLAKE, 1},
    {ICE, "avx512bf16", ICE, 1},
    {HASWELL, "avx512", HASWELL, 1},
    {ALDER, "avx512", ALDER, 1},
    {HASWELL, "neon", HASWELL, 0},
    {HASWELL, "AVX2", HASWELL, 0},
    {HASWELL, "avx", HASWELL, 0},
    {HASWELL, "avx2 ", HASWELL, 0},
    {B(GENERIC), "generic", B(GENERIC), 1},
    {ARM82, "generic", B(GENERIC), 1},
    {ARM82, "neon", ARM8, 1},
    {ARM82, "dotprod", ARM82, 1},
    {ARM8, "dotprod", ARM8, 1},
    {ARM82, "avx2", ARM82, 0},
    {ARM82, "avx512bf16", ARM82, 0},
};

static void caps(void **state) {
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        int known = -1;
        uint32_t left = base_cpu_cap(rows[i].have, rows[i].cap, &known);
        if (left != rows[i].left || known != rows[i].known)
            fail_msg("%x capped by %s: %x (known %d), not %x (%d)", rows[i].have, rows[i].cap ? rows[i].cap : "NULL", left, known,
                     rows[i].left, rows[i].known);
        assert_int_equal(base_cpu_cap(rows[i].have, rows[i].cap, NULL), rows[i].left);
    }
}

static void best(void **state) {
    assert_int_equal(base_cpu_best(B(GENERIC)), BASE_ISA_GENERIC);
    assert_int_equal(base_cpu_best(0), BASE_ISA_GENERIC);
    assert_int_equal(base_cpu_best(ALDER), BASE_ISA_AVXVNNI);
    assert_int_equal(base_cpu_best(SKYLAKE | B(AVXVNNI)), BASE_ISA_AVX512);
    assert_int_equal(base_cpu_best(ARM82), BASE_ISA_DOTPROD);
    assert_string_equal(base_isa_name(BASE_ISA_AVX512VNNI), "avx512vnni");
    assert_string_equal(base_isa_name(BASE_ISA_COUNT), "?");
}

static void this_machine(void **state) {
    uint32_t have = base_cpu_detect();
    assert_true(have & B(GENERIC));
    assert_int_equal(base_cpu_isas() & ~have, 0);
    if (have & B(AVX512)) assert_true(have & B(AVX2));
    if (have & B(AMX)) assert_true(have & B(AVX512BF16));
    if (have & B(AVX512BF16)) assert_true(have & B(AVX512VNNI));
    assert_true(base_cpu_count() >= 1);
    base_caches c = base_cpu_caches();
    assert_true(c.l1d >= 4096 && c.l2 >= c.l1d && c.l3 >= 4096);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(caps), cmocka_unit_test(best), cmocka_unit_test(this_machine)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

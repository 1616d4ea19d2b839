/* SPDX-License-Identifier: Apache-2.0
 *
 * binary16 and bfloat16, exhaustively: every 16-bit pattern to float and back, and rounding of the floats around every pair
 * of neighbours, against arithmetic in double that knows nothing of bit tricks.
 */
#include "base_test.h"
#include "base/base_half.h"
#include <math.h>

typedef struct format {
    const char *name;
    int mantissa, bias;
    float (*up)(uint16_t);
    uint16_t (*down)(float);
} format;

static const format formats[] = {{"f16", 10, 15, base_f16_to_f32, base_f32_to_f16}, {"bf16", 7, 127, base_bf16_to_f32, base_f32_to_bf16}};

static double naive(const format *f, uint16_t h) {
    int m = h & ((1 << f->mantissa) - 1), e = (h & 0x7fff) >> f->mantissa, top = 0x7fff >> f->mantissa;
    double sign = h & 0x8000 ? -1 : 1;
    if (e == top) return m ? NAN : sign * INFINITY;
    if (e == 0) return sign * ldexp(m, 1 - f->bias - f->mantissa);
    return sign * ldexp((1 << f->mantissa) + m, e - f->bias - f->mantissa);
}

static uint32_t bits_of(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}

static void every_pattern_is_exact(void **state) {
    for (size_t k = 0; k < 2; k++)
        for (uint32_t h = 0; h < 0x10000; h++) {
            double want = naive(&formats[k], (uint16_t)h);
            float got = formats[k].up((uint16_t)h);
            uint16_t back = formats[k].down(got);
            if (isnan(want)) {
                assert_true(isnan(got) && isnan(formats[k].up(back)));
                assert_int_equal(back & 0x8000, h & 0x8000);
                continue;
            }
            if (bits_of(got) != bits_of((float)want)) fail_msg("%s %04x: %g, not %g", formats[k].name, h, (double)got, want);
            if (back != h) fail_msg("%s %04x comes back as %04x", formats[k].name, h, back);
        }
}

static void expect(const format *f, float x, uint16_t want) {
    if (f->down(x) != want) fail_msg("%s of %a is %04x, not %04x", f->name, (double)x, f->down(x), want);
    if (f->down(-x) != (want | 0x8000)) fail_msg("%s of %a is %04x, not %04x", f->name, (double)-x, f->down(-x), want | 0x8000);
}

/* Between neighbours a < b: below the middle gives a, above it b, the middle the even one. Past the largest number the
 * "neighbour" is what would follow it, and stands for infinity. */
static void rounding_is_to_nearest_even(void **state) {
    for (size_t k = 0; k < 2; k++) {
        const format *f = &formats[k];
        uint16_t infinity = (uint16_t)(0x7fff >> f->mantissa << f->mantissa);
        for (uint32_t h = 0; h < infinity; h++) {
            double a = naive(f, (uint16_t)h), b = h + 1 == infinity ? 2 * a - naive(f, (uint16_t)(h - 1)) : naive(f, (uint16_t)(h + 1));
            float middle = (float)((a + b) / 2);
            if (isinf(middle) || (double)middle != (a + b) / 2) continue; /* bf16's smallest: float has no middle */
            expect(f, middle, (uint16_t)(h & 1 ? h + 1 : h));
            expect(f, nextafterf(middle, 0), (uint16_t)h);
            expect(f, nextafterf(middle, INFINITY), (uint16_t)(h + 1));
        }
        expect(f, INFINITY, infinity);
        expect(f, 3.402823466e38f, infinity);
    }
}

static void a_nan_stays_one(void **state) {
    static const uint32_t patterns[] = {0x7f800001, 0x7fc00000, 0xff800001, 0xffffffff, 0x7f801fff, 0x7f80ffff};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
            float x;
            memcpy(&x, &patterns[i], 4);
            assert_true(isnan(formats[k].up(formats[k].down(x))));
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pattern_is_exact),
        cmocka_unit_test(rounding_is_to_nearest_even),
        cmocka_unit_test(a_nan_stays_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

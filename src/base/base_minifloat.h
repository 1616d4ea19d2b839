/* SPDX-License-Identifier: Apache-2.0
 *
 * Floating-point numbers of eight and four bits: codes to and from double, by the tables of ONNX's Cast
 * (https://onnx.ai/onnx/operators/onnx__Cast.html). Rounding is to nearest even; beyond the largest number a conversion
 * saturates to it or, told not to, gives infinity where the type has one and else NaN.
 *
 *     type       sign exponent mantissa  bias  largest  infinity  NaN
 *     e4m3fn      1      4        3        7     448      no       S.1111.111
 *     e4m3fnuz    1      4        3        8     240      no       1.0000.000 (there is no -0)
 *     e5m2        1      5        2       15   57344      yes      as IEEE
 *     e5m2fnuz    1      5        2       16   57344      no       1.00000.00
 *     e2m1        1      2        1        1       6      no       none
 *     e8m0        0      8        0      127   2^127      no       255
 */
#ifndef BASE_MINIFLOAT_H
#define BASE_MINIFLOAT_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct base_minifloat {
    int mantissa, bias;
    int largest;  /* code of the largest finite number */
    int overflow; /* code where a number too large goes that must not saturate; < 0: there is none, it saturates */
    int nan;      /* code of NaN; < 0: none */
    bool unsigned_zero;
    int sign; /* bit of the sign */
} base_minifloat;

#define BASE_E4M3FN ((base_minifloat){3, 7, 0x7e, 0x7f, 0x7f, false, 0x80})
#define BASE_E4M3FNUZ ((base_minifloat){3, 8, 0x7f, 0x80, 0x80, true, 0x80})
#define BASE_E5M2 ((base_minifloat){2, 15, 0x7b, 0x7c, 0x7f, false, 0x80})
#define BASE_E5M2FNUZ ((base_minifloat){2, 16, 0x7f, 0x80, 0x80, true, 0x80})
#define BASE_E2M1 ((base_minifloat){1, 1, 0x7, -1, -1, false, 0x8})

static inline double base_minifloat_decode(base_minifloat f, uint8_t code) {
    int magnitude = code & (f.sign - 1), exponent = magnitude >> f.mantissa, fraction = magnitude & ((1 << f.mantissa) - 1);
    if (f.unsigned_zero && code == f.nan) return NAN;
    if (!f.unsigned_zero && magnitude > f.largest)
        return magnitude == f.overflow && f.overflow != f.nan ? (code & f.sign ? -INFINITY : INFINITY) : NAN;
    double v =
        exponent == 0 ? ldexp(fraction, 1 - f.bias - f.mantissa) : ldexp(fraction + (1 << f.mantissa), exponent - f.bias - f.mantissa);
    return code & f.sign ? -v : v;
}

static inline uint8_t base_minifloat_encode(base_minifloat f, double x, bool saturate) {
    int sign = signbit(x) ? f.sign : 0;
    if (x != x) return (uint8_t)(f.nan < 0 ? 0 : f.unsigned_zero ? f.nan : sign | f.nan);
    double a = fabs(x);
    int code = f.largest + 1;
    if (a == 0) {
        code = 0;
    } else if (a < 1e300) { /* all of these types end far below */
        int e = ilogb(a);
        if (e < 1 - f.bias) e = 1 - f.bias;
        if (e + f.bias < 64) code = ((e + f.bias) << f.mantissa) + (int)nearbyint(ldexp(a, f.mantissa - e)) - (1 << f.mantissa);
    }
    if (code > f.largest) {
        if (saturate || f.overflow < 0) return (uint8_t)(sign | f.largest);
        return (uint8_t)(f.unsigned_zero ? f.nan : sign | f.overflow);
    }
    return (uint8_t)(code == 0 && f.unsigned_zero ? 0 : sign | code);
}

static inline double base_e8m0_decode(uint8_t code) { return code == 255 ? NAN : ldexp(1, code - 127); }

/* Of |x|. mode 'u' up, 'd' down, 'n' nearest with ties up. */
static inline uint8_t base_e8m0_encode(double x, char mode, bool saturate) {
    int e;
    if (x != x) return 255;
    double a = fabs(x);
    if (a == 0) return saturate ? 0 : 255;
    if (a > 1e300) return saturate ? 254 : 255;
    double m = frexp(a, &e) * 2; /* [1, 2) */
    e -= 1;
    if (mode == 'u' ? m > 1 : mode == 'n' && m >= 1.5) e++;
    if (e < -127) return saturate ? 0 : 255;
    if (e > 127) return saturate ? 254 : 255;
    return (uint8_t)(e + 127);
}

#endif

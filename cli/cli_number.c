/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a float. Out: a decimal number of at most nine digits that reads back as the same float, as JSON wants it.
 *
 * printf's %.9g takes about 0.7 us: for a vector of 384 numbers a quarter of what computing it in q8 takes. Numbers of common size are
 * scaled to an integer of nine digits in double instead: the one rounding more is 1e-16 of the number, nothing beside half of a
 * float's last bit (3e-8) less half of the ninth digit (5e-9), so that reading back gives the same float.
 */
#include "cli_number.h"
#include <math.h>
#include <stdint.h>
#include <stdio.h>

#define DIGITS 9

/* value = digits * 10^-scale, 1e8 <= digits < 1e9; value in [1e-5, 1e9). */
static uint32_t split(double value, int *scale) {
    static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13};
    int s = DIGITS - 1;
    while (s < 13 && value * powers[s] < 99999999.5) s++;
    while (s > 0 && value * powers[s] >= 999999999.5) s--;
    *scale = s;
    return (uint32_t)(value * powers[s] + 0.5);
}

char *cli_number_write(char *p, float x) {
    double value = x < 0 ? -(double)x : (double)x;
    char digits[16];
    int scale, n = 0, at = 0;
    if (!isfinite(x)) return p + sprintf(p, "null"); /* JSON has no such number */
    if (signbit(x)) *p++ = '-';
    if (x == 0) return *p++ = '0', p;
    if (value < 1e-4 || value >= 1e8) return p + sprintf(p, "%.9g", value);
    uint32_t number = split(value, &scale);
    for (; number; number /= 10) digits[n++] = (char)('0' + number % 10); /* last digit first */
    while (at < n && at < scale && digits[at] == '0') at++;               /* zeros behind the point say nothing */
    if (n <= scale) *p++ = '0';
    for (int i = n; i-- > scale;) *p++ = digits[i];
    if (at < scale) *p++ = '.';
    for (int i = scale; i-- > n;) *p++ = '0';
    for (int i = n < scale ? n : scale; i-- > at;) *p++ = digits[i];
    return p;
}

const char *cli_number_json(char out[32], double x) {
    snprintf(out, 32, isfinite(x) ? "%.9g" : "null", x);
    return out;
}

void cli_number_print(int width, double x) {
    if (isnan(x)) printf("%*s", width, "nan");
    else printf("%*.4f", width, x);
}

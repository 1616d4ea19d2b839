/* SPDX-License-Identifier: Apache-2.0
 *
 * In: numbers or text. Out: the other. The calling thread has the "C" locale for as long as that takes, and then its own again.
 */
#include "base_number.h"
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static locale_t plain; /* (locale_t)0, which changes nothing, where there is no memory for one */

static void make_plain(void) { plain = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

static locale_t enter(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_plain);
    return uselocale(plain);
}

int base_vsnprintf(char *out, size_t capacity, const char *format, va_list args) {
    locale_t before = enter();
    int n = vsnprintf(out, capacity, format, args);
    uselocale(before);
    return n;
}

int base_snprintf(char *out, size_t capacity, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = base_vsnprintf(out, capacity, format, args);
    va_end(args);
    return n;
}

double base_strtod(const char *text, char **end) {
    locale_t before = enter();
    double x = strtod(text, end);
    uselocale(before);
    return x;
}

float base_strtof(const char *text, char **end) {
    locale_t before = enter();
    float x = strtof(text, end);
    uselocale(before);
    return x;
}

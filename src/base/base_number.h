/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers as text, with a point whatever the host program's locale says: what is written is read by programs, and what is read was
 * written by them. These are the C library's functions in the "C" locale; outside of this file src calls none of them on reals.
 */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

#include "base_error.h"
#include <stdarg.h>
#include <stddef.h>

int base_snprintf(char *out, size_t capacity, const char *format, ...) BASE_PRINTF(3, 4);
int base_vsnprintf(char *out, size_t capacity, const char *format, va_list args) BASE_PRINTF(3, 0);
double base_strtod(const char *text, char **end);
float base_strtof(const char *text, char **end);

#endif

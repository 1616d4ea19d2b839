/* SPDX-License-Identifier: Apache-2.0
 *
 * Floats as decimal numbers, fast.
 */
#ifndef CLI_NUMBER_H
#define CLI_NUMBER_H

/* Writes at most 16 bytes at p, without a NUL; returns the end. Reads back as the same float; null for what is not finite. */
char *cli_number_write(char *p, float x);
/* The same of a double, of nine digits, with a NUL. Returns `out`. */
const char *cli_number_json(char out[32], double x);
/* Four digits behind the point, for a person, of at least `width` characters. What is no number is `nan`, whatever its
 * sign bit, which says nothing. */
void cli_number_print(int width, double x);

#endif

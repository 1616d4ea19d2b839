/* SPDX-License-Identifier: Apache-2.0
 *
 * Floats as decimal numbers, fast.
 */
#ifndef CLI_NUMBER_H
#define CLI_NUMBER_H

/* Writes at most 16 bytes at p, without a NUL; returns the end. Reads back as the same float; null for what is not finite. */
char *cli_number_write(char *p, float x);

#endif

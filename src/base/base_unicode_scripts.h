/* SPDX-License-Identifier: Apache-2.0
 *
 * The generated table of scripts and other properties that are not categories (tools/make_regex.py).
 */
#ifndef BASE_UNICODE_SCRIPTS_H
#define BASE_UNICODE_SCRIPTS_H

#include "base_unicode.h"

typedef struct base_script {
    const char *name;      /* in small letters */
    uint16_t first, count; /* of base_script_ranges */
} base_script;

extern const base_range base_script_ranges[];
extern const base_script base_scripts[];
extern const size_t base_script_count;

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * A line of JSON with a text in it: {"id": "a7", "text": "..."}.
 */
#ifndef CLI_RECORD_H
#define CLI_RECORD_H

#include <stddef.h>

typedef struct cli_record {
    char *text; /* decoded */
    size_t length;
    char *id; /* JSON, as it was; NULL: there is none */
    size_t id_length;
    char *title; /* decoded; NULL: there is none, or none was asked for */
    size_t title_length;
} cli_record;

/* NULL, or what is wrong with the line. Members of other names are passed over; of two of one name the line is refused. Free it either way.
 */
const char *cli_record_read(cli_record *r, const char *line, size_t length);
/* The same with other names: of the id, and of a title, which is a string. */
const char *cli_record_read_as(cli_record *r, const char *line, size_t length, const char *id, const char *title);
void cli_record_free(cli_record *r);

#endif

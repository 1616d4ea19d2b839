/* SPDX-License-Identifier: Apache-2.0
 *
 * A profile as tables: what profile and bench print of it.
 */
#ifndef CLI_STEPS_H
#define CLI_STEPS_H

#include "cli.h"

/* Sums of the steps of one kind, or of all. */
typedef struct cli_sum {
    const char *kind;
    double ns, operations, peak_ns, bound_ns; /* peak_ns: what the operations take at the machine's peak */
    uint64_t calls, steps;
} cli_sum;

#define CLI_KINDS 24

typedef struct cli_split {
    cli_sum kinds[CLI_KINDS]; /* most time first */
    int n;
    cli_sum all;
    double tokenize_ns;
} cli_split;

void cli_split_of(const nib_profile *profile, const nib_machine *machine, cli_split *out);

/* `passes`: how often the texts were run while it counted; times are printed for one pass. `thread_ns`: wall time x threads of all. */
void cli_steps_print(const nib_profile *profile, const nib_machine *machine, int passes);
void cli_split_print(const cli_split *s, double thread_ns, int passes);
/* "steps": [...], and "kinds": [...], without braces around. */
void cli_steps_json(const nib_profile *profile, const nib_machine *machine, int passes);
void cli_split_json(const cli_split *s, double thread_ns, int passes);

/* The machine in one line; as a JSON object. */
void cli_machine_print(const nib_machine *m);
void cli_machine_json(const nib_machine *m);

#endif

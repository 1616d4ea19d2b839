/* SPDX-License-Identifier: Apache-2.0
 *
 * See cli_steps.h. Shares of peak and of the bound are of thread time: 100 % is what the machine could do at most.
 */
#include "cli_steps.h"
#include "cli_json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

static void add_step(cli_sum *to, const nib_profile_step *s) {
    to->ns += (double)s->nanoseconds;
    to->operations += s->operations;
    to->peak_ns += s->peak > 0 ? 1e9 * s->operations / s->peak : 0;
    to->bound_ns += s->bound_nanoseconds;
    to->calls += s->calls;
    to->steps++;
}

static int by_time(const void *a, const void *b) {
    double x = ((const cli_sum *)a)->ns, y = ((const cli_sum *)b)->ns;
    return (x < y) - (x > y);
}

void cli_split_of(const nib_profile *profile, const nib_machine *machine, cli_split *out) {
    nib_profile_totals totals;
    memset(out, 0, sizeof *out);
    out->all.kind = "all steps";
    for (size_t i = 0; i < nib_profile_step_count(profile); i++) {
        nib_profile_step s;
        if (nib_profile_step_get(profile, i, machine, sizeof *machine, &s, sizeof s) != NIB_OK) continue;
        int k = 0;
        while (k < out->n && strcmp(out->kinds[k].kind, s.kind) != 0) k++;
        if (k == CLI_KINDS) k--; /* more kinds than there are: the last one takes the rest */
        if (k == out->n) out->kinds[out->n++].kind = s.kind;
        add_step(&out->kinds[k], &s);
        add_step(&out->all, &s);
    }
    qsort(out->kinds, (size_t)out->n, sizeof *out->kinds, by_time);
    nib_profile_totals_get(profile, &totals, sizeof totals);
    out->tokenize_ns = (double)totals.tokenize_nanoseconds;
}

/* A share, or a dash where the peak or the work is not known. */
static void print_share(double part, double whole) {
    if (part > 0 && whole > 0) printf(" %6.1f %%", percent(part, whole));
    else printf("        -");
}

void cli_steps_print(const nib_profile *profile, const nib_machine *machine, int passes) {
    cli_split split;
    cli_split_of(profile, machine, &split);
    printf("step operator     kernel                                     calls        ms    share  GFLOP/s  of peak of bound  output\n");
    for (size_t i = 0; i < nib_profile_step_count(profile); i++) {
        nib_profile_step s;
        if (nib_profile_step_get(profile, i, machine, sizeof *machine, &s, sizeof s) != NIB_OK) continue;
        double ns = (double)s.nanoseconds;
        printf("%4zu %-12.12s %-40.40s %7.0f %9.3f %6.1f %%", i, s.op, s.kernel, (double)s.calls / passes, 1e-6 * ns / passes,
               percent(ns, split.all.ns));
        if (s.operations > 0 && ns > 0) printf(" %8.1f", s.operations / ns);
        else printf("        -");
        print_share(s.peak > 0 ? 1e9 * s.operations / s.peak : 0, ns);
        print_share(s.bound_nanoseconds, ns);
        printf("  %s\n", s.name);
    }
}

static void print_sum(const cli_sum *s, double whole, int passes) {
    printf("%-18s %5llu %9.3f %6.1f %%", s->kind, (unsigned long long)s->steps, 1e-6 * s->ns / passes, percent(s->ns, whole));
    if (s->operations > 0 && s->ns > 0) printf(" %8.1f", s->operations / s->ns);
    else printf("        -");
    print_share(s->peak_ns, s->ns);
    print_share(s->bound_ns, s->ns);
    printf("\n");
}

void cli_split_print(const cli_split *s, double thread_ns, int passes) {
    double rest = thread_ns - s->all.ns - s->tokenize_ns;
    printf("kind               steps        ms    share  GFLOP/s  of peak of bound\n");
    for (int i = 0; i < s->n; i++) print_sum(&s->kinds[i], thread_ns, passes);
    print_sum(&s->all, thread_ns, passes);
    if (s->tokenize_ns > 0)
        printf("%-24s %9.3f %6.1f %%\n", "outside: tokenizing", 1e-6 * s->tokenize_ns / passes, percent(s->tokenize_ns, thread_ns));
    printf("%-24s %9.3f %6.1f %%  (grouping, copying, waiting for other threads)\n", "outside: rest", 1e-6 * rest / passes,
           percent(rest, thread_ns));
}

/* ---- JSON: milliseconds of thread time for one pass; shares from 0 to 1, null where they are not known */

static void json_share(const char *name, double part, double whole) {
    if (part > 0 && whole > 0) printf(", \"%s\": %.4f", name, part / whole);
    else printf(", \"%s\": null", name);
}

void cli_steps_json(const nib_profile *profile, const nib_machine *machine, int passes) {
    printf("\"steps\": [");
    for (size_t i = 0; i < nib_profile_step_count(profile); i++) {
        nib_profile_step s;
        if (nib_profile_step_get(profile, i, machine, sizeof *machine, &s, sizeof s) != NIB_OK) continue;
        double ns = (double)s.nanoseconds;
        printf("%s\n  {\"step\": %zu, \"operator\": ", i ? "," : "", i);
        cli_json_string(s.op);
        printf(", \"output\": ");
        cli_json_string(s.name);
        printf(", \"kernel\": ");
        cli_json_string(s.kernel);
        printf(", \"kind\": ");
        cli_json_string(s.kind);
        printf(", \"calls\": %.1f, \"rows\": %.1f, \"ms\": %.6f, \"gflop\": %.6f, \"mbytes\": %.6f", (double)s.calls / passes,
               (double)s.rows / passes, 1e-6 * ns / passes, 1e-9 * s.operations / passes, 1e-6 * s.bytes / passes);
        json_share("share_of_peak", s.peak > 0 ? 1e9 * s.operations / s.peak : 0, ns);
        json_share("share_of_bound", s.bound_nanoseconds, ns);
        printf("}");
    }
    printf("]");
}

static void json_sum(const cli_sum *s, double whole, int passes) {
    printf("{\"kind\": \"%s\", \"steps\": %llu, \"ms\": %.6f", s->kind, (unsigned long long)s->steps, 1e-6 * s->ns / passes);
    json_share("share_of_time", s->ns, whole);
    json_share("share_of_peak", s->peak_ns, s->ns);
    json_share("share_of_bound", s->bound_ns, s->ns);
    printf("}");
}

void cli_split_json(const cli_split *s, double thread_ns, int passes) {
    printf("\"kinds\": [");
    for (int i = 0; i < s->n; i++) {
        printf("%s\n  ", i ? "," : "");
        json_sum(&s->kinds[i], thread_ns, passes);
    }
    printf("],\n \"all_steps\": ");
    json_sum(&s->all, thread_ns, passes);
    printf(",\n \"outside_ms\": {\"tokenizing\": %.6f, \"rest\": %.6f}", 1e-6 * s->tokenize_ns / passes,
           1e-6 * (thread_ns - s->all.ns - s->tokenize_ns) / passes);
}

void cli_machine_print(const nib_machine *m) {
    printf("machine     %s, %d thread%s: f32 %.0f, bf16 %.0f, q8 %.0f GFLOP/s at most; reads %.0f GB/s from cache, %.0f from memory\n",
           nib_cpu_name(), m->threads, m->threads == 1 ? "" : "s", 1e-9 * m->f32, 1e-9 * m->bf16, 1e-9 * m->q8, 1e-9 * m->cache_bytes,
           1e-9 * m->memory_bytes);
}

void cli_machine_json(const nib_machine *m) {
    printf("{\"cpu\": \"%s\", \"threads\": %d, \"gflops\": {\"f32\": %.1f, \"bf16\": %.1f, \"q8\": %.1f}, \"cache_gbytes\": %.1f, "
           "\"memory_gbytes\": %.1f}",
           nib_cpu_name(), m->threads, 1e-9 * m->f32, 1e-9 * m->bf16, 1e-9 * m->q8, 1e-9 * m->cache_bytes, 1e-9 * m->memory_bytes);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters of a profile. In: what each step took. Out: sums by step. Every worker counts in a row of its own, so that threads do not wait
 * for one another's cache lines; sessions that run at the same time share rows, hence atomics.
 */
#include "run_internal.h"

#define OTHER_ROWS 2 /* launches, copies */

int run_rows_before(const plan *p, int region) {
    int rows = 0;
    for (int i = 0; i < region; i++) rows += p->regions[i].host ? p->regions[i].host->n_steps : OTHER_ROWS;
    return rows;
}

int run_profile_rows(const run_profile *f) { return f->n_rows; }

run_profile_row run_profile_row_at(const run_profile *f, int row) {
    if (!f->p->n_regions) return (run_profile_row){.p = f->p, .step = &f->p->steps[row]};
    int i = 0, at = row;
    for (int n; at >= (n = f->p->regions[i].host ? f->p->regions[i].host->n_steps : OTHER_ROWS); i++) at -= n;
    const plan_region *r = &f->p->regions[i];
    if (r->host) return (run_profile_row){.p = r->host, .step = &r->host->steps[at], .region = r};
    return (run_profile_row){.p = f->p, .region = r, .copies = at == 1};
}

nib_status run_profile_create(const plan *p, int threads, run_profile **out, nib_error *err) {
    base_heap *heap = &p->runtime->heap;
    const int rows = p->n_regions ? run_rows_before(p, p->n_regions) : p->n_steps;
    *out = NULL;
    for (int i = 0; i < p->n_regions; i++)
        if (!p->regions[i].host && !p->regions[i].device->table->own->elapsed)
            return base_error_set(err, NIB_UNSUPPORTED, "%s does not tell what its work took", p->regions[i].name);
    run_profile *f = base_calloc(heap, 1, sizeof *f);
    if (f) f->counters = base_calloc(heap, (size_t)threads * (size_t)rows + 1, sizeof *f->counters);
    if (!f || !f->counters) {
        base_free(heap, f);
        *out = NULL;
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a profile");
    }
    f->p = p;
    f->threads = threads;
    f->n_rows = rows;
    *out = f;
    return NIB_OK;
}

void run_profile_free(run_profile *f) {
    if (!f) return;
    base_heap *heap = &f->p->runtime->heap;
    base_free(heap, f->counters);
    base_free(heap, f);
}

void run_profile_reset(run_profile *f) {
    for (int i = 0; i < f->threads * f->n_rows; i++) {
        run_counter *c = &f->counters[i];
        atomic_store(&c->ns, 0);
        atomic_store(&c->calls, 0);
        atomic_store(&c->rows, 0);
        atomic_store(&c->operations, 0);
        atomic_store(&c->weight_bytes, 0);
        atomic_store(&c->value_bytes, 0);
    }
}

void run_profile_sum(const run_profile *f, int row, run_counts *out) {
    *out = (run_counts){0};
    for (int t = 0; t < f->threads; t++) {
        run_counter *c = &f->counters[t * f->n_rows + row];
        out->ns += atomic_load(&c->ns);
        out->calls += atomic_load(&c->calls);
        out->rows += atomic_load(&c->rows);
        out->operations += atomic_load(&c->operations);
        out->weight_bytes += atomic_load(&c->weight_bytes);
        out->value_bytes += atomic_load(&c->value_bytes);
    }
}

static void add(_Atomic uint64_t *to, uint64_t n) { atomic_fetch_add_explicit(to, n, memory_order_relaxed); }

nib_status run_step_timed(run_worker *w, const plan_step *step, int64_t lo, int64_t hi, int part, int parts, plan_lane *lane) {
    run_counter *c = &w->counters[step - lane->group->p->steps];
    plan_work work;
    double begun = base_clock();
    nib_status status = parts > 1 ? step->run_columns(step, lo, hi, part, parts, lane) : step->run(step, lo, hi, lane);
    double seconds = base_clock() - begun;
    if (status != NIB_OK) return status;
    add(&c->ns, (uint64_t)(1e9 * seconds));
    add(&c->calls, 1);
    if (part > 0) return NIB_OK; /* the first part counts for all */
    plan_step_work(step, lane->group, lo, hi, &work);
    add(&c->rows, (uint64_t)(hi - lo));
    add(&c->operations, (uint64_t)work.operations);
    add(&c->weight_bytes, (uint64_t)work.weight_bytes);
    add(&c->value_bytes, (uint64_t)work.value_bytes);
    return NIB_OK;
}

void run_count_region(run_counter *first, double launch, double copies, uint64_t rows, uint64_t n_copies, uint64_t bytes) {
    add(&first[0].ns, (uint64_t)(1e9 * launch));
    add(&first[0].calls, 1);
    add(&first[0].rows, rows);
    add(&first[1].ns, (uint64_t)(1e9 * copies));
    add(&first[1].calls, n_copies);
    add(&first[1].value_bytes, bytes);
}

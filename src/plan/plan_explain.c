/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a plan and the machine's speed. Out: lines for a person: every step with its kernel, its share of the least time that a typical
 * text could take, and the refusals that kept faster kernels away.
 */
#include "device.h"
#include <string.h>

double plan_bound(const plan_speed *speed, const plan_work *w, double constants) {
    double peak = speed->operations[w->input], compute = peak > 0 ? w->operations / peak : 0, read = 0;
    bool far = speed->memory_bytes > 0 && constants > (double)speed->cache_size; /* weights do not stay in any cache */
    if (speed->cache_bytes > 0) read = (w->value_bytes + (far ? 0 : w->weight_bytes)) / speed->cache_bytes;
    if (far) read += w->weight_bytes / speed->memory_bytes;
    return compute > read ? compute : read;
}

/* A group of one text: enough of it for plan_step_work. */
typedef struct sample {
    plan_group group;
    int64_t offsets[2];
    base_heap *heap;
} sample;

static bool sample_create(const plan *p, int64_t tokens, sample *s) {
    const graph *g = p->g;
    base_heap *heap = &p->runtime->heap;
    *s = (sample){.group = {.p = p}, .offsets = {0, tokens}, .heap = heap};
    s->group.symbols = base_calloc(heap, (size_t)p->n_symbols + 1, sizeof *s->group.symbols);
    s->group.slots = base_calloc(heap, (size_t)g->value_limit + 1, sizeof *s->group.slots);
    if (!s->group.symbols || !s->group.slots) return false;
    for (int i = 0; i < p->n_symbols; i++) s->group.symbols[i] = GRAPH_UNBOUND;
    for (int i = 0; i < g->n_inputs; i++)
        for (int k = 0; k < g->inputs[i]->type.rank; k++) {
            int symbol = graph_symbol_index(g->inputs[i]->type.dims[k]);
            if (symbol >= 0) s->group.symbols[symbol] = k ? tokens : 1;
        }
    if (p->tokens_symbol >= 0) s->group.symbols[p->tokens_symbol] = tokens;
    for (int i = 0; i < p->n_steps; i++) { /* whatever holds offsets is i64[texts + 1] */
        const graph_value *offsets = plan_step_offsets(&p->steps[i]);
        if (offsets && offsets->type.dtype == NIB_DTYPE_I64) s->group.slots[offsets->id].t.data = s->offsets;
    }
    return true;
}

static void sample_free(sample *s) {
    base_free(s->heap, s->group.symbols);
    base_free(s->heap, s->group.slots);
}

double plan_weight_bytes(const plan *p) {
    double sum = 0;
    for (int i = 0; i < p->n_regions; i++) sum += p->regions[i].host ? plan_weight_bytes(p->regions[i].host) : 0;
    for (int i = 0; i < p->n_steps; i++) {
        plan_work w;
        sample none = {.group = {.p = p}};
        if (p->steps[i].range != PLAN_RANGE_ROWS) continue; /* rows need no sizes */
        plan_step_work(&p->steps[i], &none.group, 0, 1, &w);
        sum += w.weight_bytes;
    }
    return sum;
}

static double step_bound(const plan *p, const plan_speed *speed, const sample *s, int i, double constants) {
    plan_work w;
    const plan_step *step = &p->steps[i];
    int64_t n = plan_extent(step, &s->group);
    plan_step_work(step, &s->group, 0, n < 0 ? 1 : n, &w);
    return plan_bound(speed, &w, constants);
}

nib_status plan_estimate(const plan *p, const plan_speed *speed, int64_t tokens, double *seconds) {
    sample s;
    double constants = plan_weight_bytes(p);
    bool ok = sample_create(p, tokens, &s);
    *seconds = 0;
    for (int i = 0; ok && i < p->n_steps; i++) *seconds += step_bound(p, speed, &s, i, constants);
    sample_free(&s);
    return ok ? NIB_OK : NIB_OUT_OF_MEMORY;
}

/* The regions of a plan, and the host's in full. */
static nib_status explain_regions(const plan *p, const plan_speed *speed, int64_t tokens, base_str *out) {
    nib_status status = NIB_OK;
    base_str_printf(out, "%d regions on %d devices beside the cpu\n", p->n_regions, p->n_others);
    for (int i = 0; i < p->n_regions && status == NIB_OK; i++) {
        const plan_region *r = &p->regions[i];
        base_str_printf(out, "region %d on %s: %d nodes, reads", i, r->name, r->g->node_count);
        for (int k = 0; k < r->g->n_inputs; k++) base_str_printf(out, " %s", r->g->inputs[k]->name);
        base_str_add(out, ", gives");
        for (int k = 0; k < r->g->n_outputs; k++) base_str_printf(out, " %s", r->g->outputs[k]->name);
        base_str_add(out, "\n");
        if (r->host) status = plan_explain(r->host, speed, tokens, out);
    }
    if (p->notes && *p->notes) base_str_add(out, p->notes);
    return status;
}

nib_status plan_explain(const plan *p, const plan_speed *speed, int64_t tokens, base_str *out) {
    static const char *const ranges[] = {"whole", "rows", "texts x heads", "texts", "parts"};
    sample s;
    double total = 0, constants = plan_weight_bytes(p);
    if (p->n_regions) return explain_regions(p, speed, tokens, out);
    bool ok = sample_create(p, tokens, &s);
    for (int i = 0; ok && i < p->n_steps; i++) total += step_bound(p, speed, &s, i, constants);
    base_str_printf(
        out,
        "%d steps in %d stages; chains are walked in blocks of %d rows; a token takes %zu bytes between steps and %zu inside a block\n",
        p->n_steps, p->n_stages, p->block_rows, p->rows_bytes, p->block_bytes);
    if (total > 0)
        base_str_printf(
            out,
            "one text of %lld tokens takes at least %.3f ms on one thread (f32 %.0f, bf16 %.0f, q8 %.0f GFLOP/s; %.0f GB/s from "
            "cache, %.0f from memory, as measured now); shares are of that\n",
            (long long)tokens, 1e3 * total, 1e-9 * speed->operations[KERNEL_INPUT_F32], 1e-9 * speed->operations[KERNEL_INPUT_BF16],
            1e-9 * speed->operations[KERNEL_INPUT_U8], 1e-9 * speed->cache_bytes, 1e-9 * speed->memory_bytes);
    for (int i = 0; i < p->n_stages; i++)
        for (int k = 0; k < p->stages[i].count; k++) {
            int at = p->stages[i].first + k;
            const plan_step *step = &p->steps[at];
            base_str_printf(out, "%3d %s %-12s %-13s", at, p->stages[i].chain ? (k ? "|" : "+") : " ", step->node->op, ranges[step->range]);
            if (total > 0) base_str_printf(out, " %5.1f %%", 100 * step_bound(p, speed, &s, at, constants) / total);
            base_str_printf(out, "  %s", step->kernel);
            if (step->why && *step->why) base_str_printf(out, "  (%s)", step->why);
            base_str_printf(out, "  %s\n", step->node->outputs[0] ? step->node->outputs[0]->name : "");
        }
    if (p->notes && *p->notes) base_str_add(out, p->notes);
    sample_free(&s);
    for (int i = 0; ok && i < p->n_bodies; i++) {
        base_str_printf(out, "body %s: ", p->bodies[i]->g->name);
        ok = plan_explain(p->bodies[i], speed, tokens, out) == NIB_OK;
    }
    return ok ? NIB_OK : NIB_OUT_OF_MEMORY;
}

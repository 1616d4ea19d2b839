/* SPDX-License-Identifier: Apache-2.0
 *
 * What was done to a graph, as lines for a person and as members of a JSON object. Each function adds its part to both.
 */
#include "model_optimize.h"
#include "base/base_sort.h"
#include <math.h>
#include <string.h>

nib_status model_report_create(nib_report **out, nib_error *err) {
    nib_report *r = calloc(1, sizeof *r);
    *out = r;
    if (!r) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a report");
    base_heap_init(&r->heap, NULL);
    base_str_init(&r->text, &r->heap);
    base_str_init(&r->json, &r->heap);
    return NIB_OK;
}

void model_json_string(base_str *out, const char *text, size_t length) {
    base_str_add(out, "\"");
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') base_str_printf(out, "\\%c", c);
        else if (c < 0x20) base_str_printf(out, "\\u%04x", c);
        else base_str_add_bytes(out, &text[i], 1);
    }
    base_str_add(out, "\"");
}

/* ---------------------------------------------------------------- counts */

static model_count *find_count(base_heap *heap, model_counts *c, const graph_node *n) {
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->items[i].op, n->op) == 0 && strcmp(c->items[i].domain, n->domain) == 0) return &c->items[i];
    if (!base_grow(heap, (void **)&c->items, &c->capacity, c->count + 1, sizeof *c->items)) return NULL;
    c->items[c->count] = (model_count){n->domain, n->op, 0, 0};
    return &c->items[c->count++];
}

nib_status model_count_into(base_heap *heap, const graph *g, int which, model_counts *counts, nib_error *err) {
    nib_status status = NIB_OK;
    for (const graph_node *n = g->first; n; n = n->next) {
        model_count *c = find_count(heap, counts, n);
        if (!c) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory while counting operators");
        (*(which ? &c->after : &c->before))++;
        counts->nodes[which]++;
        for (graph_bodies b = {.node = n}; graph_next_body(&b);) NIB_TRY(model_count_into(heap, b.body, which, counts, err));
    }
    for (int i = 0; i < g->n_constants; i++) counts->weights[which] += g->constants[i]->constant->bytes;
    for (int i = graph_required_inputs(g); i < g->n_inputs; i++) counts->weights[which] += g->inputs[i]->preset->bytes;
fail:
    return status;
}

static int by_name(const void *a, const void *b) {
    const model_count *x = a, *y = b;
    int order = strcmp(x->domain, y->domain);
    return order ? order : strcmp(x->op, y->op);
}

void model_report_counts(nib_report *r, const model_counts *c) {
    base_sort(c->items, c->count, sizeof *c->items, by_name);
    base_str_printf(&r->text, "%-34s %8s %8s\n", "operator", "before", "after");
    base_str_printf(&r->json, "\"nodes\": {\"before\": %d, \"after\": %d}, \"operators\": {", c->nodes[0], c->nodes[1]);
    for (size_t i = 0; i < c->count; i++) {
        const model_count *m = &c->items[i];
        char name[200];
        int n = snprintf(name, sizeof name, "%.80s%s%.100s", m->domain, *m->domain ? "." : "", m->op);
        base_str_printf(&r->text, "%-34s %8d %8d%s\n", name, m->before, m->after,
                        m->before == m->after  ? ""
                        : m->before < m->after ? " +"
                                               : " -");
        if (i) base_str_add(&r->json, ", ");
        model_json_string(&r->json, name, (size_t)n);
        base_str_printf(&r->json, ": [%d, %d]", m->before, m->after);
    }
    base_str_printf(&r->text, "%-34s %8d %8d\n", "all nodes", c->nodes[0], c->nodes[1]);
    base_str_printf(&r->text, "%-34s %8.2f %8.2f\n", "constants, MB", (double)c->weights[0] / 1e6, (double)c->weights[1] / 1e6);
    base_str_printf(&r->json, "}, \"constant_bytes\": {\"before\": %llu, \"after\": %llu}", (unsigned long long)c->weights[0],
                    (unsigned long long)c->weights[1]);
}

/* ---------------------------------------------------------------- proof and notes */

static void add_number(base_str *json, double x) {
    if (isfinite(x)) base_str_printf(json, "%.6g", x);
    else base_str_add(json, "null");
}

static void report_roundings(nib_report *r, const model_at_roundings *p) {
    if (!p->count[0] && !p->count[1]) return;
    if (p->cuts)
        base_str_printf(
            &r->text, "  compared part by part between %d of %d roundings: before one, %s differs by at most %.3g of its largest number\n",
            p->cuts, p->count[0], p->name, p->largest);
    else
        base_str_printf(&r->text, "  compared as a whole: the roundings of both could not be paired (%d and %d)\n", p->count[0],
                        p->count[1]);
    base_str_printf(&r->json,
                    ", \"roundings\": {\"before\": %d, \"after\": %d, \"cuts\": %d, \"largest_relative_difference\": ", p->count[0],
                    p->count[1], p->cuts);
    add_number(&r->json, p->largest);
    base_str_add(&r->json, "}");
}

void model_report_proof(nib_report *r, const model_proof *p, double tolerance) {
    if (!p->ran) {
        base_str_printf(&r->text, "not proven: %s\n", p->why);
        base_str_add(&r->json, ", \"proof\": {\"ran\": false, \"why\": ");
        model_json_string(&r->json, p->why, strlen(p->why));
        base_str_add(&r->json, "}");
        return;
    }
    base_str_add(&r->text, "both run on random inputs of sizes");
    base_str_printf(&r->json, ", \"proof\": {\"ran\": true, \"tolerance\": %.6g, \"sizes\": [", tolerance);
    for (int i = 0; i < p->trials; i++) {
        base_str_printf(&r->text, "%s %lld", i ? "," : "", (long long)p->sizes[i]);
        base_str_printf(&r->json, "%s%lld", i ? ", " : "", (long long)p->sizes[i]);
    }
    base_str_add(&r->text, ":\n");
    base_str_add(&r->json, "], \"outputs\": [");
    for (int i = 0; i < p->n_outputs; i++) {
        const model_difference *d = &p->outputs[i];
        if (!d->same_shape) base_str_printf(&r->text, "  %s: another shape, or none%s%s\n", d->name, *p->why ? ": " : "", p->why);
        else base_str_printf(&r->text, "  %s: differs by at most %.3g, numbers up to %.3g\n", d->name, d->largest, d->magnitude);
        base_str_add(&r->json, i ? ", {\"name\": " : "{\"name\": ");
        model_json_string(&r->json, d->name, strlen(d->name));
        base_str_printf(&r->json, ", \"same_shape\": %s, \"largest_difference\": ", d->same_shape ? "true" : "false");
        add_number(&r->json, d->largest);
        base_str_add(&r->json, ", \"largest_value\": ");
        add_number(&r->json, d->magnitude);
        base_str_add(&r->json, "}");
    }
    base_str_add(&r->json, "]");
    report_roundings(r, &p->roundings);
    base_str_add(&r->json, "}");
}

void model_report_costs(nib_report *r, const model_costs *c) {
    char where[80] = "at its own sizes";
    if (!c->ran) {
        base_str_printf(&r->text, "costs not measured: %s\n", c->why);
        return;
    }
    if (c->size) snprintf(where, sizeof where, "at 1 x %lld", (long long)c->size);
    base_str_printf(&r->text, "one run in nib, %s, %d threads:\n", where, c->threads);
    base_str_printf(&r->text, "%-34s %8.2f %8.2f\n", "  memory of a session, MB", (double)c->memory[0] / 1e6, (double)c->memory[1] / 1e6);
    base_str_printf(&r->text, "%-34s %8.3f %8.3f\n", "  estimated, ms at least", 1e3 * c->estimated[0], 1e3 * c->estimated[1]);
    base_str_printf(&r->text, "%-34s %8.3f %8.3f\n", "  measured, ms", 1e3 * c->measured[0], 1e3 * c->measured[1]);
    if (c->halves)
        base_str_add(&r->text,
                     "  f16 is computed element by element here, as a file says it; nib embed widens it and takes the time of f32\n");
    while (r->json.length && r->json.data[r->json.length - 1] != '}') r->json.length--;
    if (!r->json.length) return;
    r->json.length--;
    base_str_printf(&r->json, ", \"costs\": {\"batch\": 1, \"size\": %lld, \"threads\": %d, \"runs\": %d, ", (long long)c->size, c->threads,
                    c->rounds);
    base_str_printf(&r->json, "\"session_bytes\": {\"before\": %zu, \"after\": %zu}, ", c->memory[0], c->memory[1]);
    base_str_printf(&r->json, "\"estimated_seconds\": {\"before\": %.6g, \"after\": %.6g}, ", c->estimated[0], c->estimated[1]);
    base_str_printf(&r->json, "\"measured_seconds\": {\"before\": %.6g, \"after\": %.6g}}}\n", c->measured[0], c->measured[1]);
}

void model_report_notes(nib_report *r, const char *notes) {
    base_str_add(&r->json, ", \"notes\": [");
    for (const char *p = notes ? notes : ""; *p;) {
        size_t n = strcspn(p, "\n");
        base_str_printf(&r->text, "%.*s\n", (int)n, p);
        if (p != notes) base_str_add(&r->json, ", ");
        model_json_string(&r->json, p, n);
        p += n + (p[n] == '\n');
    }
    base_str_add(&r->json, "]");
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * What was done to a graph, as lines for a person and as members of a JSON object. Each function adds its part to both.
 */
#include "rewrite.h"
#include "base/base_sort.h"
#include <string.h>

nib_status rewrite_report_create(nib_report **out, nib_error *err) {
    nib_report *r = calloc(1, sizeof *r);
    *out = r;
    if (!r) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a report");
    base_heap_init(&r->heap, NULL);
    base_str_init(&r->text, &r->heap);
    base_str_init(&r->json, &r->heap);
    base_json_draft_init(&r->draft, &r->heap);
    return NIB_OK;
}

void rewrite_report_free(nib_report *r) {
    if (!r) return;
    base_str_free(&r->text);
    base_str_free(&r->json);
    base_json_drop(&r->draft);
    free(r);
}

nib_status rewrite_report_write(nib_report *r, nib_error *err) {
    base_str_clear(&r->json);
    nib_status status = base_json_write(&r->draft, &r->json, err);
    return status == NIB_OK && r->text.failed ? base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a report") : status;
}

/* {"before": .., "after": ..} of numbers. */
static void put_pair(nib_report *r, yyjson_mut_val *parent, const char *key, uint64_t before, uint64_t after) {
    yyjson_mut_val *o = base_json_put_object(&r->draft, parent, key);
    yyjson_mut_obj_add_uint(r->draft.doc, o, "before", before);
    yyjson_mut_obj_add_uint(r->draft.doc, o, "after", after);
}

static void put_seconds(nib_report *r, yyjson_mut_val *parent, const char *key, const double seconds[2]) {
    yyjson_mut_val *o = base_json_put_object(&r->draft, parent, key);
    yyjson_mut_obj_add_real(r->draft.doc, o, "before", seconds[0]);
    yyjson_mut_obj_add_real(r->draft.doc, o, "after", seconds[1]);
}

/* ---------------------------------------------------------------- counts */

static rewrite_count *find_count(base_heap *heap, rewrite_counts *c, const graph_node *n) {
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->items[i].op, n->op) == 0 && strcmp(c->items[i].domain, n->domain) == 0) return &c->items[i];
    if (!base_grow(heap, (void **)&c->items, &c->capacity, c->count + 1, sizeof *c->items)) return NULL;
    c->items[c->count] = (rewrite_count){n->domain, n->op, 0, 0};
    return &c->items[c->count++];
}

nib_status rewrite_count_into(base_heap *heap, const graph *g, int which, rewrite_counts *counts, nib_error *err) {
    nib_status status = NIB_OK;
    for (const graph_node *n = g->first; n; n = n->next) {
        rewrite_count *c = find_count(heap, counts, n);
        if (!c) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory while counting operators");
        (*(which ? &c->after : &c->before))++;
        counts->nodes[which]++;
        for (graph_bodies b = {.node = n}; graph_next_body(&b);) NIB_TRY(rewrite_count_into(heap, b.body, which, counts, err));
    }
    for (int i = 0; i < g->n_constants; i++) counts->weights[which] += g->constants[i]->constant->bytes;
    for (int i = graph_required_inputs(g); i < g->n_inputs; i++) counts->weights[which] += g->inputs[i]->preset->bytes;
fail:
    return status;
}

static int by_name(const void *a, const void *b) {
    const rewrite_count *x = a, *y = b;
    int order = strcmp(x->domain, y->domain);
    return order ? order : strcmp(x->op, y->op);
}

void rewrite_report_counts(nib_report *r, const rewrite_counts *c) {
    yyjson_mut_doc *doc = r->draft.doc;
    base_sort(c->items, c->count, sizeof *c->items, by_name);
    base_str_printf(&r->text, "%-34s %8s %8s\n", "operator", "before", "after");
    put_pair(r, r->draft.root, "nodes", (uint64_t)c->nodes[0], (uint64_t)c->nodes[1]);
    yyjson_mut_val *operators = base_json_put_object(&r->draft, r->draft.root, "operators");
    for (size_t i = 0; i < c->count; i++) {
        const rewrite_count *m = &c->items[i];
        char name[200];
        snprintf(name, sizeof name, "%.80s%s%.100s", m->domain, *m->domain ? "." : "", m->op);
        base_str_printf(&r->text, "%-34s %8d %8d%s\n", name, m->before, m->after,
                        m->before == m->after  ? ""
                        : m->before < m->after ? " +"
                                               : " -");
        yyjson_mut_val *both = yyjson_mut_arr(doc);
        yyjson_mut_arr_add_int(doc, both, m->before);
        yyjson_mut_arr_add_int(doc, both, m->after);
        yyjson_mut_obj_add(operators, base_json_text(&r->draft, name), both);
    }
    base_str_printf(&r->text, "%-34s %8d %8d\n", "all nodes", c->nodes[0], c->nodes[1]);
    base_str_printf(&r->text, "%-34s %8.2f %8.2f\n", "constants, MB", (double)c->weights[0] / 1e6, (double)c->weights[1] / 1e6);
    put_pair(r, r->draft.root, "constant_bytes", c->weights[0], c->weights[1]);
}

/* ---------------------------------------------------------------- proof and notes */

static void report_roundings(nib_report *r, yyjson_mut_val *proof, const rewrite_at_roundings *p) {
    if (!p->count[0] && !p->count[1]) return;
    if (p->cuts)
        base_str_printf(
            &r->text, "  compared part by part between %d of %d roundings: before one, %s differs by at most %.3g of its largest number\n",
            p->cuts, p->count[0], p->name, p->largest);
    else
        base_str_printf(&r->text, "  compared as a whole: the roundings of both could not be paired (%d and %d)\n", p->count[0],
                        p->count[1]);
    yyjson_mut_val *o = base_json_put_object(&r->draft, proof, "roundings");
    yyjson_mut_obj_add_int(r->draft.doc, o, "before", p->count[0]);
    yyjson_mut_obj_add_int(r->draft.doc, o, "after", p->count[1]);
    yyjson_mut_obj_add_int(r->draft.doc, o, "cuts", p->cuts);
    yyjson_mut_obj_add_real(r->draft.doc, o, "largest_relative_difference", p->largest);
}

void rewrite_report_proof(nib_report *r, const rewrite_proof *p, double tolerance) {
    yyjson_mut_doc *doc = r->draft.doc;
    yyjson_mut_val *proof = base_json_put_object(&r->draft, r->draft.root, "proof");
    yyjson_mut_obj_add_bool(doc, proof, "ran", p->ran);
    if (!p->ran) {
        base_str_printf(&r->text, "not proven: %s\n", p->why);
        base_json_put_text(&r->draft, proof, "why", p->why);
        return;
    }
    base_str_add(&r->text, "both run on random inputs of sizes");
    yyjson_mut_obj_add_real(doc, proof, "tolerance", tolerance);
    yyjson_mut_val *sizes = base_json_put_array(&r->draft, proof, "sizes"), *outputs = base_json_put_array(&r->draft, proof, "outputs");
    for (int i = 0; i < p->trials; i++) {
        base_str_printf(&r->text, "%s %lld", i ? "," : "", (long long)p->sizes[i]);
        yyjson_mut_arr_add_int(doc, sizes, p->sizes[i]);
    }
    base_str_add(&r->text, ":\n");
    for (int i = 0; i < p->n_outputs; i++) {
        const rewrite_difference *d = &p->outputs[i];
        if (!d->same_shape) base_str_printf(&r->text, "  %s: another shape, or none%s%s\n", d->name, *p->why ? ": " : "", p->why);
        else base_str_printf(&r->text, "  %s: differs by at most %.3g, numbers up to %.3g\n", d->name, d->largest, d->magnitude);
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, outputs);
        base_json_put_text(&r->draft, o, "name", d->name);
        yyjson_mut_obj_add_bool(doc, o, "same_shape", d->same_shape);
        yyjson_mut_obj_add_real(doc, o, "largest_difference", d->largest);
        yyjson_mut_obj_add_real(doc, o, "largest_value", d->magnitude);
    }
    report_roundings(r, proof, &p->roundings);
}

void rewrite_report_costs(nib_report *r, const rewrite_costs *c) {
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
    yyjson_mut_doc *doc = r->draft.doc;
    yyjson_mut_val *o = base_json_put_object(&r->draft, r->draft.root, "costs");
    yyjson_mut_obj_add_int(doc, o, "batch", 1);
    yyjson_mut_obj_add_int(doc, o, "size", c->size);
    yyjson_mut_obj_add_int(doc, o, "threads", c->threads);
    yyjson_mut_obj_add_int(doc, o, "runs", c->rounds);
    put_pair(r, o, "session_bytes", c->memory[0], c->memory[1]);
    put_seconds(r, o, "estimated_seconds", c->estimated);
    put_seconds(r, o, "measured_seconds", c->measured);
}

void rewrite_report_notes(nib_report *r, const char *notes) {
    yyjson_mut_val *list = base_json_put_array(&r->draft, r->draft.root, "notes");
    for (const char *p = notes ? notes : ""; *p;) {
        size_t n = strcspn(p, "\n");
        base_str_printf(&r->text, "%.*s\n", (int)n, p);
        yyjson_mut_arr_append(list, base_json_text_n(&r->draft, p, n));
        p += n + (p[n] == '\n');
    }
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * The door of compiled files. In: sections whose checksums agree, which says nothing of who wrote them. Out: a model with its programs
 * planned. What makes a hostile file harmless:
 *
 *     - the graph comes through ONNX's reader; types of values inside are inferred, never read;
 *     - packed weights are the weights of nib.Linear and tables of nib.Embed, and nothing else, lie in the blobs, and have the size that
 *       the kernel reads;
 *     - whatever a step reads without asking, its compiler has compared with the types (src/cpu), and a value that an eval gives must be
 *       what its type says;
 *     - the roles that texts are bound by cover the inputs, and fit them.
 */
#include "compiled.h"
#include "op/op_nib.h"
#include <stdio.h>
#include <string.h>

static nib_status check_uses(const graph_value *v, nib_error *err) {
    bool fits = !v->is_output && v->constant->dtype == NIB_DTYPE_F32 && v->constant->rank == 2;
    for (const graph_use *u = v->uses; u && fits; u = u->next) fits = op_reads_packed(u->node, u->index);
    return fits ? NIB_OK : base_error_set(err, NIB_BAD_MODEL, "constant %s is packed, and is not a weight of Linears or a table alone", v->name);
}

/* Gives the constants without bytes their packed forms, in their order, and all weights their types. */
static nib_status attach_weights(graph *g, const compiled_program *p, onnx_blobs blobs, nib_error *err) {
    nib_status status = NIB_OK;
    size_t at = 0;
    for (int i = 0; i < g->n_constants; i++) {
        graph_value *v = g->constants[i];
        if (v->constant->bytes || v->constant->data || graph_tensor_elements(v->constant) == 0) continue;
        if (at == p->count) NIB_FAIL(err, NIB_BAD_MODEL, "constant %s has no values", v->name);
        const compiled_weight *w = &p->weights[at++];
        graph_packed *packed = base_arena_calloc(g->arena, 1, sizeof *packed);
        char *layout = base_arena_strndup(g->arena, w->layout, strlen(w->layout));
        NIB_TRY(check_uses(v, err));
        if (!packed || !layout) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the weights");
        *packed = (graph_packed){.layout = layout, .parts = w->parts};
        for (int k = 0; k < w->parts; k++) {
            if (w->offset[k] > blobs.size || w->bytes[k] > blobs.size - w->offset[k] || w->offset[k] % COMPILED_ALIGN)
                NIB_FAIL(err, NIB_BAD_MODEL, "weight %s lies at %llu, %llu bytes long; the file has %zu", v->name,
                         (unsigned long long)w->offset[k], (unsigned long long)w->bytes[k], blobs.size);
            packed->data[k] = blobs.data + w->offset[k];
            packed->bytes[k] = (size_t)w->bytes[k];
        }
        v->packed = packed;
        const int format = kernel_layout_format(layout);
        if (format < 0) NIB_FAIL(err, NIB_UNSUPPORTED, "weight %s is packed as %.32s, which no kernel reads", v->name, layout);
        v->type.quant = kernel_weight_formats[format].type;
    }
    for (size_t i = 0; i < p->n_types; i++) {
        graph_value *v = graph_find_value(g, p->types[i].name);
        if (!v || !v->constant || v->packed) NIB_FAIL(err, NIB_BAD_MODEL, "the file has a type for %.200s, which is no weight", p->types[i].name);
        v->type.quant = kernel_weight_formats[p->types[i].format].type;
        v->type.quant.axis = p->types[i].axis;
    }
    if (at != p->count) NIB_FAIL(err, NIB_BAD_MODEL, "the file has %zu packed weights, and its graph %zu", p->count, at);
fail:
    return status;
}

/* The graph, plan and notes of a program; what else is known of it is there. */
static nib_status open_program(nib_model *m, compiled_section section, onnx_blobs blobs, compiled_program *settings,
                               int which, nib_error *err) {
    nib_status status = NIB_OK;
    model_program *p = &m->slots[which].program;
    NIB_TRY(onnx_load_compiled(m->runtime, section.data, section.size, blobs, &p->g, err));
    NIB_TRY(attach_weights(p->g, settings, blobs, err));
    op_resolve(p->g);
    NIB_TRY(op_infer_graph(p->g, err));
    NIB_TRY(plan_build(m->runtime, p->g, m->devices, m->n_devices, NULL, &p->p, err));
    p->notes = settings->notes;
    settings->notes = NULL;
    atomic_store(&m->slots[which].state, MODEL_MADE);
fail:
    return status;
}

/* Inputs that a task's suffix has added, behind those of the model's graph. */
static int suffix_inputs(const run_roles *r) { return (r->skip >= 0) + (r->places >= 0); }

/* i64 [wanted, 2], whose size is that of no other input. */
static bool are_places(const graph_type *t, const graph *g) {
    int64_t pair;
    if (t->kind != GRAPH_KIND_TENSOR || t->dtype != NIB_DTYPE_I64 || t->rank != 2) return false;
    if (!graph_dim_is_const(t->dims[1], &pair) || pair != 2) return false;
    const graph_type *ids = &g->inputs[0]->type;
    const int symbol = graph_symbol_index(t->dims[0]);
    return symbol >= 0 && t->dims[0] != ids->dims[0] && t->dims[0] != ids->dims[1] &&
           strcmp(graph_symbol_name(g->symbols, symbol), OP_TOKENS_SYMBOL) != 0;
}

/* Each input of the graph has one role, and is [batch, seq]; T, which a batch's ids give, is no input's size. */
static nib_status check_roles(run_roles *r, const graph *g, nib_error *err) {
    nib_status status = NIB_OK;
    const int roles[] = {r->ids, r->mask, r->types, r->positions};
    int64_t one = 0;
    if (suffix_inputs(r) > 1 || (suffix_inputs(r) && r->skip + r->places + 1 != g->n_inputs - 1))
        NIB_FAIL(err, NIB_BAD_MODEL, "what the task adds is not the last input");
    for (int i = 0; i < g->n_inputs; i++) {
        const graph_type *t = &g->inputs[i]->type;
        int count = 0;
        if (i == r->skip && (t->kind != GRAPH_KIND_TENSOR || t->dtype != NIB_DTYPE_I64 || t->rank != 1 ||
                             !graph_dim_is_const(t->dims[0], &one) || one != 1))
            NIB_FAIL(err, NIB_BAD_MODEL, "input %s is not one number", g->inputs[i]->name);
        if (i == r->places && !are_places(t, g)) NIB_FAIL(err, NIB_BAD_MODEL, "input %s is no list of places", g->inputs[i]->name);
        if (i == r->skip || i == r->places) continue;
        for (size_t k = 0; k < BASE_COUNT(roles); k++) count += roles[k] == i;
        if (count != 1 || t->kind != GRAPH_KIND_TENSOR || t->rank != 2)
            NIB_FAIL(err, NIB_BAD_MODEL, "input %s is for nothing, or not [batch, seq]", g->inputs[i]->name);
        for (int k = 0; k < 2; k++) {
            int symbol = graph_symbol_index(t->dims[k]);
            if (!t->dims[k] || (symbol >= 0 && strcmp(graph_symbol_name(g->symbols, symbol), OP_TOKENS_SYMBOL) == 0))
                NIB_FAIL(err, NIB_BAD_MODEL, "input %s has a size that only the batch may give", g->inputs[i]->name);
            if (t->dims[k] != g->inputs[0]->type.dims[k]) NIB_FAIL(err, NIB_BAD_MODEL, "the inputs differ in shape");
        }
    }
    for (size_t k = 0; k < BASE_COUNT(roles); k++)
        if (roles[k] >= g->n_inputs - suffix_inputs(r) || (k == 0 && roles[k] < 0))
            NIB_FAIL(err, NIB_BAD_MODEL, "the model has no such input");
    r->fixed_batch = r->fixed_seq = 0;
    graph_dim_is_const(g->inputs[r->ids]->type.dims[0], &r->fixed_batch);
    graph_dim_is_const(g->inputs[r->ids]->type.dims[1], &r->fixed_seq);
fail:
    return status;
}

static nib_status open_tokenizer(nib_model *m, const compiled_section *s, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &m->runtime->heap;
    const compiled_section json = s[COMPILED_TOKENIZER], vocab = s[COMPILED_VOCABULARY];
    if (!json.data) {
        if (m->no_tokenizer_status != NIB_UNSUPPORTED) m->no_tokenizer_status = NIB_NOT_FOUND;
        return NIB_OK;
    }
    NIB_TRY(model_load_tokenizer(m, json.data, json.size, vocab.data, vocab.size, err));
    base_free(heap, m->no_tokenizer);
    m->no_tokenizer = NULL;
fail:
    return status;
}

/* What the file has decided cannot be asked for otherwise. */
static nib_status check_options(const nib_model *m, const nib_model_options *o, nib_error *err) {
    const model_program *own = model_own(m);
    const bool embeds = m->task == NIB_TASK_EMBED, normalizes = embeds ? m->normalize : own->normalized;
    const struct {
        bool differs;
        const char *what;
    } rows[] = {
        {o->task != NIB_TASK_AUTO && o->task != m->task, "task"},
        {o->precision != NIB_PRECISION_FILE && o->precision != NIB_PRECISION_AUTO &&
             model_arithmetic(o->precision) != model_arithmetic(own->computes),
         "precision"},
        {embeds && o->pooling != NIB_POOLING_MODEL && (o->pooling != m->pooling || m->settings.pooling_said[0]), "pooling"},
        {!model_gives_labels((int)m->task) && o->normalize >= 0 &&
             ((o->normalize != 0) != normalizes || (embeds && m->normalize_first)),
         "normalize"},
        {o->output_name && strcmp(o->output_name, own->output_name) != 0, "output-name"},
        {o->route && strcmp(o->route, m->settings.route) != 0, "route"},
        {o->optimize >= 0 && o->optimize != m->optimize, "optimize-level"},
        {o->pack >= 0 && (o->pack != 0) != m->pack, "packing"},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++)
        if (rows[i].differs)
            return base_error_set(
                err, NIB_UNSUPPORTED,
                "the model was compiled with another %s (task %s, precision %s, pooling %s): compile %s again "
                "with the one wanted",
                rows[i].what, nib_task_name(m->task), nib_precision_name(model_arithmetic(own->computes)),
                nib_pooling_name(m->pooling), m->compiled->made_of);
    return NIB_OK;
}

/* The program of the file's task; a file without one has only named tensors, and says why. */
static nib_status open_task(nib_model *m, compiled_section section, onnx_blobs blobs, compiled_program *settings,
                            nib_error *err) {
    nib_status status = NIB_OK;
    const int which = (int)m->task;
    model_slot *s = &m->slots[which];
    model_program *p = &s->program;
    p->roles.ids = m->roles.ids;
    p->roles.mask = m->roles.mask;
    p->roles.types = m->roles.types;
    p->roles.positions = m->roles.positions;
    if (!section.data) {
        if (!p->cannot[0]) snprintf(p->cannot, sizeof p->cannot, "the model was compiled without its task");
        base_error_set(&s->failure, NIB_UNSUPPORTED, "this model cannot %s: %s", model_task_of(which)->does, p->cannot);
        atomic_store(&s->state, MODEL_FAILED);
        p->roles.skip = p->roles.places = -1;
        return NIB_OK;
    }
    p->cannot[0] = 0;
    NIB_TRY(open_program(m, section, blobs, settings, which, err));
    NIB_TRY(check_roles(&p->roles, p->g, err));
    NIB_TRY(model_finish_task(m, which, p, err));
    if (p->cannot[0])
        NIB_FAIL(err, NIB_BAD_MODEL, "the graph of the file's task does not give what it should: %s", p->cannot);
    m->roles.fixed_batch = p->roles.fixed_batch;
    m->roles.fixed_seq = p->roles.fixed_seq;
fail:
    return status;
}

static nib_status open_sections(nib_model *m, const compiled_section *s, const nib_model_options *o, compiled_program *programs,
                                nib_error *err) {
    nib_status status = NIB_OK;
    const model_program *own, *exact = &m->slots[MODEL_EXACT].program;
    const onnx_blobs blobs = {s[COMPILED_BLOBS].data ? s[COMPILED_BLOBS].data : m->compiled->data, s[COMPILED_BLOBS].size};
    if (!s[COMPILED_SETTINGS].data) NIB_FAIL(err, NIB_BAD_MODEL, "the compiled file has no settings");
    NIB_TRY(compiled_get_settings(m, (const char *)s[COMPILED_SETTINGS].data, s[COMPILED_SETTINGS].size, programs, err));
    own = model_own(m);
    NIB_TRY(check_options(m, o, err));
    NIB_TRY(open_tokenizer(m, s, err));
    NIB_TRY(open_task(m, s[COMPILED_TASK], blobs, &programs[0], err));
    if (s[COMPILED_EXACT].data) NIB_TRY(open_program(m, s[COMPILED_EXACT], blobs, &programs[1], MODEL_EXACT, err));
    m->source = own->g ? own->g : exact->g;
    if (!m->source) NIB_FAIL(err, NIB_BAD_MODEL, "the compiled file has no graph");
    const int n_inputs =
        graph_required_inputs(m->source) - suffix_inputs(&own->roles); /* those that the graph it was made of had */
    if (exact->g && own->g && graph_required_inputs(exact->g) != n_inputs)
        NIB_FAIL(err, NIB_BAD_MODEL, "the graphs' inputs differ");
    if (m->compiled->n_below != n_inputs) NIB_FAIL(err, NIB_BAD_MODEL, "the settings and the graph differ in their inputs");
    if (o->max_tokens > 0) NIB_TRY(model_choose_max_tokens(m, o->max_tokens, err));
    if (m->roles.fixed_seq > 0 && m->max_tokens > m->roles.fixed_seq) m->max_tokens = m->roles.fixed_seq;
    m->batch_tokens = o->batch_tokens;
fail:
    return status;
}

/* The file's bytes, at an address that kernels can read weights from: the caller's own if they are, else a copy. */
static nib_status find_bytes(nib_model *m, const model_source *source, nib_error *err) {
    base_heap *heap = &m->runtime->heap;
    model_compiled *c = m->compiled;
    c->data = source->bytes;
    c->size = source->size;
    if (source->bytes && (uintptr_t)source->bytes % COMPILED_ALIGN == 0) return NIB_OK;
    if (source->bytes) {
        void *copy = base_alloc(heap, source->size);
        if (!copy) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a copy of the compiled model, whose bytes are not aligned");
        memcpy(copy, source->bytes, source->size);
        c->file = (base_file){.data = copy, .size = source->size, .heap = heap};
    } else {
        nib_status status = base_file_open(heap, source->path, m->runtime->private_reads, &c->file, err);
        if (status != NIB_OK) return status;
    }
    c->data = c->file.data;
    c->size = c->file.size;
    return NIB_OK;
}

/* All that is asked for while this runs is on watch. */
static nib_status open_into(nib_model *m, const model_source *source, const nib_model_options *options, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &m->runtime->heap;
    compiled_section sections[COMPILED_KINDS];
    compiled_program programs[2] = {{0}};
    base_watch watch;
    base_watch_begin(&watch, heap);
    m->compiled = base_calloc(heap, 1, sizeof *m->compiled);
    if (!m->compiled) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    NIB_TRY(find_bytes(m, source, err));
    m->weight_bytes = m->compiled->size;
    NIB_TRY(compiled_read(m->compiled->data, m->compiled->size, false, sections, err));
    NIB_TRY(open_sections(m, sections, options, programs, err));
    NIB_TRY(model_all_granted(m, &watch, err));
    model_opened(m);
    base_stop_advance(MODEL_STAGES);
fail:
    base_watch_end(&watch);
    if (status != NIB_OK) base_error_in_file(err, m->path);
    compiled_free_programs(heap, programs);
    return status;
}

nib_status compiled_open(const model_source *source, const nib_model_options *options, nib_model **out, nib_error *err) {
    nib_model *m;
    bool compiled = source->bytes ? compiled_is(source->bytes, source->size)
                                  : base_file_begins(source->path, MODEL_COMPILED_MAGIC, sizeof MODEL_COMPILED_MAGIC - 1);
    if (!compiled) return model_open(source, options, out, err);
    nib_status status = model_create(source, options, &m, err);
    if (status == NIB_OK) status = open_into(m, source, options, err);
    if (status != NIB_OK) model_release(m);
    *out = status == NIB_OK ? m : NULL;
    return status;
}

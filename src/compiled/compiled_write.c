/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a model. Out: one file that opens at once (compiled.h). Programs are written as the passes left them; a weight that a kernel has
 * packed is written as packed, once, however many Linears and programs read it; every other constant as it is.
 */
#include "compiled.h"
#include "base/base_sort.h"
#include "base/base_checksum.h"
#include "hf/hf_tokenizer_build.h"
#include "op/op_nib.h"
#include <stdio.h>
#include <string.h>

typedef struct blob {
    const void *data;
    size_t bytes;
    uint64_t offset;
} blob;

typedef struct packed_constant { /* of one program */
    const void *data[GRAPH_PACKED_PARTS];
    graph_value *v;
} packed_constant;

typedef struct compiler {
    nib_model *m;
    base_heap *heap;
    const nib_compile_options *o;
    graph *graphs[2]; /* task, exact: clones to write; NULL: there is none */
    compiled_program programs[2];
    packed_constant *packed;
    size_t n_packed, cap_packed;
    blob *blobs;
    size_t n_blobs, cap_blobs;
    uint32_t *slots; /* hash of addresses -> blob + 1 */
    size_t n_slots;
    onnx_place_of *places;
    size_t n_places, cap_places;
    base_str sections[COMPILED_KINDS]; /* all but the blobs */
    compiled_head head;
    base_writer *out;
    uint64_t at; /* bytes written */
    nib_error *err;
} compiler;

static nib_status no_memory(const compiler *c) { return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a compiled file"); }

/* ---- blobs */

static size_t slot_of(const compiler *c, const void *data) {
    size_t i = (size_t)((uintptr_t)data >> 4) * 0x9e3779b1u % c->n_slots;
    while (c->slots[i] && c->blobs[c->slots[i] - 1].data != data) i = (i + 1) % c->n_slots;
    return i;
}

static nib_status grow_slots(compiler *c) {
    size_t n = c->n_slots ? 2 * c->n_slots : 256;
    if (2 * (c->n_blobs + 1) < c->n_slots) return NIB_OK;
    uint32_t *slots = base_calloc(c->heap, n, sizeof *slots);
    if (!slots) return no_memory(c);
    base_free(c->heap, c->slots);
    c->slots = slots;
    c->n_slots = n;
    for (size_t i = 0; i < c->n_blobs; i++) c->slots[slot_of(c, c->blobs[i].data)] = (uint32_t)i + 1;
    return NIB_OK;
}

/* Bytes that are to lie in the file, once for each address. */
static nib_status add_blob(compiler *c, const void *data, size_t bytes) {
    nib_status status = grow_slots(c);
    if (status != NIB_OK) return status;
    size_t slot = slot_of(c, data);
    if (c->slots[slot]) {
        blob *b = &c->blobs[c->slots[slot] - 1];
        if (bytes > b->bytes) b->bytes = bytes;
        return NIB_OK;
    }
    if (!base_grow(c->heap, (void **)&c->blobs, &c->cap_blobs, c->n_blobs + 1, sizeof *c->blobs)) return no_memory(c);
    c->blobs[c->n_blobs++] = (blob){data, bytes, 0};
    c->slots[slot] = (uint32_t)c->n_blobs;
    return NIB_OK;
}

static uint64_t offset_of(const compiler *c, const void *data) { return c->blobs[c->slots[slot_of(c, data)] - 1].offset; }

static uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

static uint64_t place_blobs(compiler *c) {
    uint64_t at = 0;
    for (size_t i = 0; i < c->n_blobs; i++) {
        at = round_up(at, c->blobs[i].bytes >= COMPILED_PAGE ? COMPILED_PAGE : COMPILED_ALIGN);
        c->blobs[i].offset = at;
        at += c->blobs[i].bytes;
    }
    return at;
}

/* ---- programs */

/* A constant that stands for the packed form; the same one for all Linears of the program that read it. */
static nib_status packed_value(compiler *c, int which, const graph_value *weight, const packed_constant *key, const compiled_weight *w,
                               graph_value **out) {
    nib_status status = NIB_OK;
    compiled_program *p = &c->programs[which];
    for (size_t i = 0; i < c->n_packed; i++)
        if (memcmp(c->packed[i].data, key->data, sizeof key->data) == 0) {
            *out = c->packed[i].v;
            return NIB_OK;
        }
    graph_tensor t = *weight->constant;
    t.data = (void *)(uintptr_t)key->data[0]; /* by which the writer knows it */
    t.bytes = 0;
    t.dtype = NIB_DTYPE_F32; /* what was packed, whatever the file had */
    *out = graph_add_constant(c->graphs[which], NULL, &t, false);
    if (*out) (*out)->type.quant = weight->type.quant;
    if (!*out || !base_grow(c->heap, (void **)&c->packed, &c->cap_packed, c->n_packed + 1, sizeof *c->packed) ||
        !base_grow(c->heap, (void **)&p->weights, &p->capacity, p->count + 1, sizeof *p->weights))
        return no_memory(c);
    c->packed[c->n_packed] = *key;
    c->packed[c->n_packed++].v = *out;
    p->weights[p->count++] = *w;
    for (int k = 0; k < w->parts; k++) NIB_TRY(add_blob(c, key->data[k], (size_t)w->bytes[k]));
fail:
    return status;
}

/* Has the copy of a step's node read packed constants instead of what the step has packed. */
static nib_status pack_inputs(compiler *c, int which, const plan_step *step, graph_node *copy) {
    nib_status status = NIB_OK;
    cpu_packed parts[CPU_PACKED_MOST];
    int n;
    cpu_packed_parts(step, parts, &n);
    for (int i = 0; n && i < step->node->n_inputs; i++) {
        const graph_value *weight = step->node->inputs[i].value;
        packed_constant key = {0};
        compiled_weight w = {0};
        for (int k = 0; k < n; k++) {
            if (parts[k].weight != weight) continue;
            key.data[parts[k].half] = parts[k].data;
            w.bytes[parts[k].half] = parts[k].bytes;
            w.parts = w.parts > parts[k].half ? w.parts : parts[k].half + 1;
            kernel_layout_name(parts[k].kernel, w.layout);
        }
        graph_value *v;
        if (!w.parts) continue;
        NIB_TRY(packed_value(c, which, weight, &key, &w, &v));
        graph_set_input(copy, i, v);
    }
fail:
    return status;
}

static nib_status add_constants(compiler *c, graph *g) {
    nib_status status = NIB_OK;
    int kept = 0;
    for (int i = 0; i < g->n_constants; i++) {
        graph_value *v = g->constants[i];
        const graph_tensor *t = v->constant;
        if (!v->use_count && !v->is_output) continue;
        g->constants[kept++] = v;
        if (t->dtype == NIB_DTYPE_STRING || t->dtype > NIB_DTYPE_I2 || t->bytes < COMPILED_ALIGN) continue;
        NIB_TRY(add_blob(c, t->data, t->bytes));
    }
    g->n_constants = kept;
    for (const graph_node *n = g->first; n; n = n->next)
        for (graph_bodies b = {.node = n}; graph_next_body(&b);) NIB_TRY(add_constants(c, b.body));
fail:
    return status;
}

/* Types that a reader of ONNX's messages cannot know: of weights whose numbers are in the file as they were. (Packed, the layout says.) */
static nib_status add_types(compiler *c, int which) {
    const graph *g = c->graphs[which];
    compiled_program *p = &c->programs[which];
    size_t capacity = 0;
    for (int i = 0; i < g->n_constants; i++) {
        const graph_value *v = g->constants[i];
        if (!v->constant->bytes || !base_is_quantized(&v->type.quant)) continue;
        if (!base_grow(c->heap, (void **)&p->types, &capacity, p->n_types + 1, sizeof *p->types)) return no_memory(c);
        const int format = op_weight_format(&v->type);
        if (format < 0) return base_error_set(c->err, NIB_UNSUPPORTED, "constant %s is of a type that no kernel reads", v->name);
        compiled_type *t = &p->types[p->n_types++];
        *t = (compiled_type){base_strndup(c->heap, v->name, strlen(v->name)), (kernel_weight_format)format, v->type.quant.axis};
        if (!t->name) return no_memory(c);
    }
    return NIB_OK;
}

static nib_status add_program(compiler *c, int which, const model_program *program) {
    nib_status status = NIB_OK;
    const plan *p = program->p;
    int step = 0;
    NIB_TRY(graph_clone(program->g, &c->graphs[which], c->err));
    c->n_packed = 0; /* values are the graph's own; blobs are shared */
    graph_node *copy = c->graphs[which]->first;
    for (const graph_node *n = program->g->first; n && copy; n = n->next, copy = copy->next)
        if (step < p->n_steps && p->steps[step].node == n) NIB_TRY(pack_inputs(c, which, &p->steps[step++], copy));
    if (step != p->n_steps) NIB_FAIL(c->err, NIB_INTERNAL, "a step has no node of its own");
    NIB_TRY(add_constants(c, c->graphs[which]));
    NIB_TRY(add_types(c, which));
    c->programs[which].notes = base_strndup(c->heap, program->notes, strlen(program->notes));
    if (!c->programs[which].notes) NIB_TRY(no_memory(c));
fail:
    return status;
}

/* ---- sections */

static int by_data(const void *a, const void *b) {
    uintptr_t x = (uintptr_t)((const onnx_place_of *)a)->data, y = (uintptr_t)((const onnx_place_of *)b)->data;
    return (x > y) - (x < y);
}

static nib_status into_text(void *text, const void *bytes, size_t n, nib_error *err) {
    base_str *s = text;
    base_str_add_bytes(s, bytes, n);
    return s->failed ? base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a compiled file") : NIB_OK;
}

/* Where each constant of the graph lies: packed ones first by the list of packed weights, which takes the blobs' offsets now. */
static nib_status put_graph(compiler *c, int which) {
    nib_status status = NIB_OK;
    const graph *g = c->graphs[which];
    compiled_program *p = &c->programs[which];
    size_t at = 0;
    c->n_places = 0;
    if (!g) return NIB_OK;
    for (size_t i = 0; i < c->n_blobs; i++) {
        if (!base_grow(c->heap, (void **)&c->places, &c->cap_places, c->n_places + 1, sizeof *c->places)) return no_memory(c);
        c->places[c->n_places++] = (onnx_place_of){c->blobs[i].data, ONNX_BLOBS, c->blobs[i].offset};
    }
    base_sort(c->places, c->n_places, sizeof *c->places, by_data);
    for (int i = 0; i < g->n_constants; i++) {
        const graph_tensor *t = g->constants[i]->constant;
        if (t->bytes || graph_tensor_elements(t) == 0) continue;
        onnx_place_of *place = base_find(&(onnx_place_of){.data = t->data}, c->places, c->n_places, sizeof *c->places, by_data);
        if (!place || at == p->count) NIB_FAIL(c->err, NIB_INTERNAL, "a packed weight was lost");
        place->location = ONNX_PACKED;
        at++;
    }
    NIB_TRY(onnx_write_compiled(c->m->runtime, g, c->places, c->n_places, into_text, &c->sections[which ? COMPILED_EXACT : COMPILED_TASK],
                                c->err));
fail:
    return status;
}

/* Blobs have their places once all programs are gathered. */
static void fill_offsets(compiler *c, compiled_program *p, const packed_constant *packed, size_t n) {
    for (size_t i = 0; i < n && i < p->count; i++)
        for (int k = 0; k < p->weights[i].parts; k++) p->weights[i].offset[k] = offset_of(c, packed[i].data[k]);
}

static nib_status put_tokenizer(compiler *c) {
    nib_status status = NIB_OK;
    base_file file = {0};
    nib_error why;
    base_str *json = &c->sections[COMPILED_TOKENIZER], *vocab = &c->sections[COMPILED_VOCABULARY];
    base_str built;
    char *folder = c->m->tokenizer ? hf_folder(c->m->runtime, c->m->folder, c->m->settings.input) : NULL;
    char *path = folder ? base_path_join(c->heap, folder, "tokenizer.json") : NULL;
    base_str_init(&built, c->heap);
    if (!c->m->tokenizer) goto fail;
    if (!path) NIB_TRY(no_memory(c));
    if (base_path_is_file(path)) NIB_TRY(base_file_open(c->heap, path, c->m->runtime->private_reads, &file, c->err));
    else NIB_TRY(hf_tokenizer_build(c->m->runtime, folder, &c->m->settings, &built, c->err));
    const char *text = file.data ? (const char *)file.data : built.data;
    const size_t size = file.data ? file.size : built.length;
    status = text_tokenizer_pack(c->m->tokenizer, text, size, json, vocab, &why);
    if (status == NIB_UNSUPPORTED) {
        base_str_clear(json);
        base_str_clear(vocab);
        status = into_text(json, text, size, c->err);
    } else if (status != NIB_OK && c->err) {
        *c->err = why;
    }
fail:
    base_str_free(&built);
    base_file_close(&file);
    base_free(c->heap, folder);
    base_free(c->heap, path);
    return status;
}

/* ---- the file */

static nib_status put_zeros(compiler *c, uint64_t until, base_checksum *sum) {
    static const uint8_t zeros[COMPILED_PAGE];
    nib_status status = NIB_OK;
    while (c->at < until) {
        size_t n = until - c->at < sizeof zeros ? (size_t)(until - c->at) : sizeof zeros;
        NIB_TRY(base_writer_write(c->out, zeros, n, c->err));
        if (sum) base_checksum_add(sum, zeros, n);
        c->at += n;
    }
fail:
    return status;
}

static nib_status put_blobs(compiler *c, compiled_entry *e) {
    nib_status status = NIB_OK;
    base_checksum sum;
    base_checksum_init(&sum);
    for (size_t i = 0; i < c->n_blobs; i++) {
        const blob *b = &c->blobs[i];
        NIB_TRY(put_zeros(c, e->offset + b->offset, &sum));
        NIB_TRY(base_writer_write(c->out, b->data, b->bytes, c->err));
        base_checksum_add(&sum, b->data, b->bytes);
        c->at += b->bytes;
    }
    e->checksum = base_checksum_value(&sum);
fail:
    return status;
}

static nib_status write_file(compiler *c, uint64_t blob_bytes) {
    nib_status status = NIB_OK;
    compiled_head *h = &c->head;
    memcpy(h->magic, MODEL_COMPILED_MAGIC, sizeof h->magic);
    h->order = COMPILED_ORDER;
    h->version = COMPILED_VERSION;
    snprintf(h->library, sizeof h->library, "%s", NIB_VERSION);
    snprintf(h->cpu, sizeof h->cpu, "%s", nib_cpu_name());
    NIB_TRY(base_writer_write(c->out, h, sizeof *h, c->err));
    c->at = sizeof *h;
    for (int k = 1; k < COMPILED_BLOBS; k++) {
        const base_str *s = &c->sections[k];
        if (!s->length) continue;
        NIB_TRY(put_zeros(c, round_up(c->at, COMPILED_ALIGN), NULL));
        h->table[k] = (compiled_entry){c->at, s->length, base_checksum_of(s->data, s->length)};
        NIB_TRY(base_writer_write(c->out, s->data, s->length, c->err));
        c->at += s->length;
    }
    if (blob_bytes) {
        NIB_TRY(put_zeros(c, round_up(c->at, COMPILED_PAGE), NULL));
        h->table[COMPILED_BLOBS] = (compiled_entry){c->at, blob_bytes, 0};
        NIB_TRY(put_blobs(c, &h->table[COMPILED_BLOBS]));
    }
    h->length = c->at;
    h->checksum = base_checksum_of(h, sizeof *h);
    NIB_TRY(base_writer_rewind(c->out, c->err));
    NIB_TRY(base_writer_write(c->out, h, sizeof *h, c->err));
    NIB_TRY(base_writer_sync(c->out, c->err));
    NIB_TRY(base_stop_check(c->err));
fail:
    return status;
}

static nib_status compile(compiler *c, const char *out) {
    nib_status status = NIB_OK;
    nib_model *m = c->m;
    packed_constant *packed[2] = {NULL, NULL};
    size_t n_packed[2] = {0, 0};
    const model_program *own = model_own(m)->p ? model_own(m) : NULL, *exact = NULL;
    if (!own || c->o->exact) NIB_TRY(model_get_program(m, MODEL_EXACT, &exact, c->err));
    NIB_TRY(base_stop_check(c->err));
    for (int i = 0; i < 2; i++) {
        const model_program *program = i ? exact : own;
        if (!program) continue;
        NIB_TRY(add_program(c, i, program));
        packed[i] = c->packed;
        n_packed[i] = c->n_packed;
        c->packed = NULL;
        c->n_packed = c->cap_packed = 0;
    }
    uint64_t blob_bytes = place_blobs(c);
    for (int i = 0; i < 2; i++) {
        fill_offsets(c, &c->programs[i], packed[i], n_packed[i]);
        NIB_TRY(put_graph(c, i));
    }
    NIB_TRY(put_tokenizer(c));
    NIB_TRY(compiled_put_settings(m, c->programs, &c->sections[COMPILED_SETTINGS], c->err));
    base_stop_advance(1);
    NIB_TRY(base_writer_open(c->heap, out, &c->out, c->err));
    NIB_TRY(write_file(c, blob_bytes));
    base_writer *whole = c->out;
    c->out = NULL;
    base_stop_advance(1);
    status = base_writer_commit(whole, c->err);
fail:
    for (int i = 0; i < 2; i++) base_free(c->heap, packed[i]);
    return status;
}

nib_status compiled_write(nib_model *m, const char *in, const char *out, const nib_compile_options *o, nib_error *err) {
    nib_status status = NIB_OK;
    compiler c = {.m = m, .heap = &m->runtime->heap, .o = o, .err = err};
    for (int k = 0; k < COMPILED_KINDS; k++) base_str_init(&c.sections[k], c.heap);
    if (c.m->compiled)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "%s is compiled already: compile what it was made of, %s", in, c.m->compiled->made_of);
    NIB_TRY(compile(&c, out));
fail:
    base_writer_abort(c.out);
    for (int i = 0; i < 2; i++) graph_free(c.graphs[i]);
    for (int k = 0; k < COMPILED_KINDS; k++) base_str_free(&c.sections[k]);
    compiled_free_programs(c.heap, c.programs);
    base_free(c.heap, c.packed);
    base_free(c.heap, c.blobs);
    base_free(c.heap, c.slots);
    base_free(c.heap, c.places);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's sessions: named tensors in and out of the exact program. Memory that is given away to a session is remembered
 * beside what is bound, and released once, after something else has taken its place; inside, tensors say nothing of
 * place and owner.
 */
#include "api_options.h"
#include "task/task.h"
#include <string.h>

typedef struct given { /* release NULL: nothing */
    void (*release)(void *owner);
    void *owner;
} given;

struct nib_session {
    nib_model *model;
    const model_program *program;
    run_session *run;
    nib_tensor *bound;         /* [n_inputs] */
    const nib_tensor **inputs; /* [n_inputs] NULL: not bound */
    given *given;              /* [n_inputs + n_outputs]: memory that is the session's */
    bool has_run;              /* and what it gave is there */
    nib_stop_fn stop;
    void *stop_user;
};

static size_t count_given(const nib_session *s) {
    return (size_t)s->program->g->n_inputs + (size_t)s->program->g->n_outputs;
}

/* The session has bound `tensor` (NULL: nothing) in the place of what `slot` remembers: that is released, and the last
 * run's outputs, which may lie there, are gone. The callback finds a session that is whole. */
static void take_over(nib_session *s, given *slot, const nib_tensor *tensor) {
    const given before = *slot;
    *slot = tensor ? (given){tensor->release, tensor->owner} : (given){0};
    if (!before.release) return;
    s->has_run = false;
    before.release(before.owner);
}

static nib_status try_session_create(nib_model *model, nib_session **out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_session *s = NULL;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the session");
    *out = NULL;
    if (!model) return base_error_set(err, NIB_INVALID_ARGUMENT, "no model was given");
    base_heap *heap = &model->runtime->heap;
    s = base_calloc(heap, 1, sizeof *s);
    if (!s) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a session");
    s->model = model_retain(model);
    NIB_TRY(model_get_program(model, MODEL_EXACT, &s->program, err));
    s->bound = base_calloc(heap, (size_t)s->program->g->n_inputs + 1, sizeof *s->bound);
    s->inputs = base_calloc(heap, (size_t)s->program->g->n_inputs + 1, sizeof *s->inputs);
    s->given = base_calloc(heap, count_given(s) + 1, sizeof *s->given);
    if (!s->bound || !s->inputs || !s->given) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a session");
    NIB_TRY(run_session_create(s->program->p, &s->run, err));
    *out = s;
    return NIB_OK;
fail:
    nib_session_free(s);
    return status;
}

void nib_session_free(nib_session *s) {
    if (!s) return;
    nib_model *m = s->model;
    base_heap *heap = &m->runtime->heap;
    run_session_free(s->run);
    for (size_t i = 0; s->given && i < count_given(s); i++) take_over(s, &s->given[i], NULL);
    base_free(heap, s->given);
    base_free(heap, s->bound);
    base_free(heap, s->inputs);
    base_free(heap, s);
    model_release(m);
}

size_t nib_session_input_count(const nib_session *s) { return (size_t)s->program->g->n_inputs; }
size_t nib_session_output_count(const nib_session *s) { return (size_t)s->program->g->n_outputs; }
const char *nib_session_input_name(const nib_session *s, size_t i) {
    return i < nib_session_input_count(s) ? s->program->g->inputs[i]->name : NULL;
}
const char *nib_session_output_name(const nib_session *s, size_t i) {
    return i < nib_session_output_count(s) ? s->program->g->outputs[i]->name : NULL;
}

static void describe(const graph *g, const graph_value *v, nib_value_info *out) {
    const graph_type *t = &v->type;
    memset(out, 0, sizeof *out);
    out->element = t->dtype;
    out->dtype = t->kind == GRAPH_KIND_SEQUENCE   ? NIB_DTYPE_SEQUENCE
                 : t->kind == GRAPH_KIND_OPTIONAL ? NIB_DTYPE_OPTIONAL
                 : t->kind == GRAPH_KIND_TENSOR   ? t->dtype
                                                  : NIB_DTYPE_UNDEFINED;
    out->rank = t->kind == GRAPH_KIND_TENSOR ? t->rank : -1;
    for (int k = 0; k < out->rank; k++) {
        if (t->dims[k] && graph_dim_is_const(t->dims[k], &out->dims[k])) continue;
        int symbol = t->dims[k] ? graph_symbol_index(t->dims[k]) : -1;
        out->dims[k] = -1;
        if (symbol >= 0) out->symbols[k] = graph_symbol_name(g->symbols, symbol);
    }
}

nib_status nib_session_input_info(const nib_session *s, size_t i, nib_value_info *out, size_t size) {
    if (!s || !out || i >= nib_session_input_count(s)) return NIB_INVALID_ARGUMENT;
    const run_roles *r = &s->model->roles;
    const int roles[] = {r->ids, r->mask, r->types, r->positions};
    nib_value_info info;
    describe(s->program->g, s->program->g->inputs[i], &info);
    for (int k = 0; k < 4; k++)
        if (roles[k] == (int)i) info.role = (nib_role)(NIB_ROLE_IDS + k);
    info.below = model_input_below(s->model, (int)i);
    info.optional = s->program->g->inputs[i]->preset != NULL;
    api_fill(out, size, &info, sizeof info);
    return NIB_OK;
}

nib_status nib_session_output_info(const nib_session *s, size_t i, nib_value_info *out, size_t size) {
    nib_value_info info;
    if (!s || !out || i >= nib_session_output_count(s)) return NIB_INVALID_ARGUMENT;
    describe(s->program->g, s->program->g->outputs[i], &info);
    api_fill(out, size, &info, sizeof info);
    return NIB_OK;
}

/* Whether an address is where a value of that type may be. */
static bool is_aligned(const void *data, nib_dtype dtype) {
    size_t width = dtype == NIB_DTYPE_STRING || dtype >= NIB_DTYPE_SEQUENCE ? sizeof(void *) : (size_t)nib_dtype_bits(dtype) / 8;
    return width < 2 || (uintptr_t)data % (width > 8 ? 8 : width) == 0;
}

static int find_output(const nib_session *s, const char *name, nib_error *err) {
    for (int i = 0; i < s->program->g->n_outputs; i++)
        if (strcmp(s->program->g->outputs[i]->name, name) == 0) return i;
    base_error_set(err, NIB_NOT_FOUND, "the model has no output %s", name);
    return -1;
}

static int find_input(const nib_session *s, const char *name, nib_error *err) {
    for (int i = 0; i < s->program->g->n_inputs; i++)
        if (strcmp(s->program->g->inputs[i]->name, name) == 0) return i;
    base_error_set(err, NIB_NOT_FOUND, "the model has no input %s", name);
    return -1;
}

/* As tensors go out: the caller borrows memory of the CPU. */
static nib_status lend(nib_tensor *out, nib_status status) {
    if (status != NIB_OK) return status;
    out->place = (nib_device){NIB_DEVICE_CPU, 0};
    out->release = NULL;
    out->owner = NULL;
    return status;
}

static nib_status check_memory_for(const graph_value *v, const nib_tensor *tensor, nib_error *err) {
    const char *name = v->name;
    const graph_type *t = &v->type;
    nib_status status = api_check_place(tensor, "output", name, err);
    if (status != NIB_OK) return status;
    if (!tensor->data) return base_error_set(err, NIB_INVALID_ARGUMENT, "output %s: there is no memory to bind", name);
    if (t->kind != GRAPH_KIND_TENSOR || t->dtype == NIB_DTYPE_STRING || tensor->dtype == NIB_DTYPE_STRING)
        return base_error_set(err, NIB_TYPE, "output %s holds strings or is a container: no memory can be bound to it", name);
    if (tensor->dtype != NIB_DTYPE_UNDEFINED && t->dtype != NIB_DTYPE_UNDEFINED && tensor->dtype != t->dtype)
        return base_error_set(err, NIB_TYPE, "output %s is %s, not %s", name, nib_dtype_name(t->dtype), nib_dtype_name(tensor->dtype));
    if (!is_aligned(tensor->data, t->dtype))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "the memory for output %s is not aligned for its type", name);
    return NIB_OK;
}

static nib_status try_session_bind_output(nib_session *s, const char *name, const nib_tensor *tensor, nib_error *err) {
    nib_status status = NIB_OK;
    if (!s || !name) return base_error_set(err, NIB_INVALID_ARGUMENT, "session and name must be given");
    int i = find_output(s, name, err);
    if (i < 0) return NIB_NOT_FOUND;
    if (tensor) NIB_TRY(check_memory_for(s->program->g->outputs[i], tensor, err));
    NIB_TRY(run_bind_output(s->run, i, tensor ? tensor->data : NULL, tensor ? tensor->bytes : 0, err));
    s->has_run = false; /* what it gave for this output is where nothing is bound any more */
    take_over(s, &s->given[s->program->g->n_inputs + i], tensor);
fail:
    return status;
}

static nib_status try_session_output_shape(nib_session *s, const char *name, nib_tensor *out, nib_error *err) {
    if (!s || !name || !out) return base_error_set(err, NIB_INVALID_ARGUMENT, "session, name and tensor must be given");
    int i = find_output(s, name, err);
    s->has_run = false; /* sizes are about to be bound anew */
    return i < 0 ? NIB_NOT_FOUND : lend(out, run_output_shape(s->run, s->inputs, i, out, err));
}

static nib_status check_input(const char *name, const nib_tensor *t, nib_error *err) {
    if (!t->data && t->bytes) return base_error_set(err, NIB_INVALID_ARGUMENT, "input %s has bytes and no data", name);
    if (t->rank < 0 || t->rank > NIB_MAX_RANK)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "rank %d is out of range", t->rank);
    nib_status status = api_check_place(t, "input", name, err);
    if (status == NIB_OK && t->bytes > 0 && !is_aligned(t->data, t->dtype))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "input %s is not aligned for its type", name);
    return status;
}

static nib_status try_session_set_input(nib_session *s, const char *name, const nib_tensor *tensor, nib_error *err) {
    nib_status status = NIB_OK;
    if (!s || !name) return base_error_set(err, NIB_INVALID_ARGUMENT, "session and name must be given");
    int i = find_input(s, name, err);
    if (i < 0) return NIB_NOT_FOUND;
    if (tensor) NIB_TRY(check_input(name, tensor, err));
    s->inputs[i] = tensor ? &s->bound[i] : NULL;
    if (tensor) {
        s->bound[i] = *tensor;
        s->bound[i].place = (nib_device){0};
        s->bound[i].release = NULL;
        s->bound[i].owner = NULL;
    }
    take_over(s, &s->given[i], tensor);
fail:
    return status;
}

/* Tokens a text that are bound, where they are more than the model has positions for; else 0. */
static int64_t tokens_beyond(const nib_session *s) {
    const int ids = s->model->roles.ids;
    const nib_tensor *t = ids >= 0 && ids < s->program->g->n_inputs ? s->inputs[ids] : NULL;
    int64_t positions = s->model->settings.positions;
    return t && t->rank == 2 && positions > 0 && t->dims[1] > positions ? t->dims[1] : 0;
}

static nib_status try_session_run(nib_session *s, nib_error *err) {
    if (!s) return base_error_set(err, NIB_INVALID_ARGUMENT, "no session was given");
    /* A graph of nib's own looks every position up in a table of that many; another may compute them, and is asked first. */
    int64_t tokens = tokens_beyond(s);
    bool own = strcmp(s->model->door, "Hugging Face folder") == 0;
    base_stop stop;
    base_stop_begin(&stop, s->stop, s->stop_user, 0);
    nib_status status = base_stop_check(err);
    if (status == NIB_OK) status = tokens && own ? NIB_SHAPE : run_tensors(s->run, s->inputs, err);
    base_stop_end(&stop);
    if (tokens && status != NIB_OK && status != NIB_CANCELLED && status != NIB_OUT_OF_MEMORY)
        base_error_set(err, status, "%lld tokens a text; the model has %lld positions (%s)", (long long)tokens,
                       (long long)s->model->settings.positions, model_positions_why(s->model));
    s->has_run = status == NIB_OK;
    return status;
}

void nib_session_cancel(nib_session *s) {
    if (s) run_cancel(s->run);
}

void nib_session_stop(nib_session *s, nib_stop_fn stop, void *user) {
    if (!s) return;
    s->stop = stop;
    s->stop_user = user;
}

static nib_status try_session_profile(nib_session *s, nib_profile **out, nib_error *err) {
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the profile");
    *out = NULL;
    if (!s) return base_error_set(err, NIB_INVALID_ARGUMENT, "no session was given");
    nib_status status = task_profile_create(s->model, s->program->p, out, err);
    if (status == NIB_OK) run_session_profile(s->run, (*out)->steps);
    return status;
}

static nib_status try_session_get_output(nib_session *s, const char *name, nib_tensor *out, nib_error *err) {
    if (!s || !name || !out) return base_error_set(err, NIB_INVALID_ARGUMENT, "session, name and tensor must be given");
    if (!s->has_run)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "the session has not run, or what it gave is gone");
    int i = find_output(s, name, err);
    return i < 0 ? NIB_NOT_FOUND : lend(out, run_output(s->run, i, out, err));
}

/* ---- the calls, as nib.h has them */

nib_status nib_session_create(nib_model *model, nib_session **out, nib_error *err) {
    return API_CALL(err, try_session_create(model, out, err));
}
nib_status nib_session_bind_output(nib_session *s, const char *name, const nib_tensor *tensor, nib_error *err) {
    return API_CALL(err, try_session_bind_output(s, name, tensor, err));
}
nib_status nib_session_output_shape(nib_session *s, const char *name, nib_tensor *out, nib_error *err) {
    return API_CALL(err, try_session_output_shape(s, name, out, err));
}
nib_status nib_session_set_input(nib_session *s, const char *name, const nib_tensor *tensor, nib_error *err) {
    return API_CALL(err, try_session_set_input(s, name, tensor, err));
}
nib_status nib_session_run(nib_session *s, nib_error *err) { return API_CALL(err, try_session_run(s, err)); }
nib_status nib_session_profile(nib_session *s, nib_profile **out, nib_error *err) {
    return API_CALL(err, try_session_profile(s, out, err));
}
nib_status nib_session_get_output(nib_session *s, const char *name, nib_tensor *out, nib_error *err) {
    return API_CALL(err, try_session_get_output(s, name, out, err));
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs. In: a model's source graph and what is wanted of it. Out: the graph after its passes and its plan, made
 * once for all callers; or why there is none, remembered.
 */
#include "model_callers.h"
#include "model_tasks.h"
#include <stdio.h>
#include <string.h>

/* A pass, or shape inference, that runs out of memory may answer "not proven" and leave the graph as it is: right, but
 * slower, and with other bits than the same model has elsewhere. A model is not opened by halves. */
nib_status model_all_granted(nib_model *m, const base_watch *watch, nib_error *err) {
    if (!base_watch_refused(watch)) return NIB_OK;
    return base_error_set(err, NIB_OUT_OF_MEMORY, "memory ran out while %s was opened", m->path);
}

static void warn_of(const nib_model *m, const model_program *p, const pass_context *ctx) {
    if (p->roles.group == RUN_GROUP_ONE && p->roles.fixed_batch > 1)
        base_log(m->runtime, NIB_LOG_WARN,
                 "the file fixes a batch of %lld texts, and they may reach one another: each text is run beside copies "
                 "of itself. What it "
                 "gives for different ones, nib run shows",
                 (long long)p->roles.fixed_batch);
    if (ctx->sense == PASS_SENSE_UNKNOWN && !p->cannot[0])
        base_log(m->runtime, NIB_LOG_WARN, "what input %.80s says with a 1 is not recognised: it is given 1 for tokens",
                 ctx->mask->name);
    if (p->dropouts)
        base_log(m->runtime, NIB_LOG_WARN,
                 "the model was exported in training: %d of its Dropouts are set to it, and are off", p->dropouts);
    if (p->random)
        base_log(m->runtime, NIB_LOG_WARN,
                 "the model draws random numbers: its vectors differ from run to run, and from other libraries'");
}

/* What the passes have found out about a task's graph. */
static void note_task(const nib_model *m, model_program *p, pass_context *ctx) {
    const bool ragged =
        ctx->reach == PASS_REACH_NOTHING && m->roles.mask >= 0; /* without a mask, padding would be tokens */
    p->roles.group = ctx->reach == PASS_REACH_NEIGHBOURS ? RUN_GROUP_ONE : ragged ? RUN_GROUP_ANY : RUN_GROUP_EQUAL;
    p->packed = ctx->packed;
    p->longest = ctx->longest;
    p->mask_of_padding = ctx->sense == PASS_SENSE_PADDING;
    p->dropouts = ctx->dropouts;
    p->roundings = ctx->roundings;
    p->random = pass_note_random(ctx);
    if (ctx->sense == PASS_SENSE_BOTH)
        snprintf(p->cannot, sizeof p->cannot,
                 "input %.80s means tokens at one place of the graph and padding at another", ctx->mask->name);
    if (ctx->sense == PASS_SENSE_UNKNOWN && strstr(ctx->mask->name, "padding"))
        snprintf(p->cannot, sizeof p->cannot,
                 "what input %.80s says with a 1 is not recognised, and its name may mean padding", ctx->mask->name);
    warn_of(m, p, ctx);
}

/* What its layers compute in, where the file has decided that, and the rounded weights of it. */
static nib_status round_weights(const nib_model *m, model_program *p, pass_context *ctx) {
    const bool as_file = m->precision == NIB_PRECISION_FILE && ctx->quantized;
    kernel_input rows[KERNEL_WEIGHTS];
    if (as_file) {
        const bool integers = model_auto_precision(m, &p->precision_why) == NIB_PRECISION_Q8;
        p->computes = !integers ? NIB_PRECISION_FILE : ctx->quantized_q4 ? NIB_PRECISION_Q4 : NIB_PRECISION_Q8;
        p->precision_why = !integers           ? "the file's weights have few bits; f32 is faster here"
                           : ctx->quantized_q4 ? "the file's own: weights of 4 bits; others as the file has them"
                                               : "the file's own: its weights have 8 bits or fewer";
    }
    if (model_arithmetic(p->computes) == NIB_PRECISION_F32) return NIB_OK;
    model_product_rows(m, rows);
    return quant_apply(ctx, p->computes, as_file, &m->chosen, &p->rounded, rows);
}

/* A clone of the source and its plan into p; a task's p has its output already. */
static nib_status build(nib_model *m, int which, model_program *p, pass_notes *notes, nib_error *err) {
    nib_status status = NIB_OK;
    const bool task = which != MODEL_EXACT;
    /* Tokens that a query is filled up with, and that others do not see, are told by the mask: they are rows all the
     * same, and what packing leaves out are rows. */
    const hf_colbert *late = &m->settings.colbert;
    const bool pads = which == NIB_TASK_COLBERT && late->expand && !late->attends;
    const int opset = graph_opset_version(m->source, "");
    const bool old = opset > 0 && opset < 7; /* operators broadcast otherwise then than passes believe */
    NIB_TRY(graph_clone(m->source, &p->g, err));
    if (task)
        NIB_TRY(
            graph_fix_presets(p->g, err)); /* texts fill the inputs that must be given, and nobody can give others */
    if (task) NIB_TRY(model_add_suffix(m, which, p->g, p, err));
    pass_context ctx = {.g = p->g,
                        .runtime = m->runtime,
                        .kernels = cpu_kernels(m->device),
                        .level = old ? 0 : m->optimize,
                        .mode = !task || old ? PASS_MODE_EXACT
                                : m->pack && !pads ? PASS_MODE_TASK
                                             : PASS_MODE_TASK_PADDED,
                        .mask = task && !old && m->roles.mask >= 0 ? p->g->inputs[m->roles.mask] : NULL,
                        .notes = notes,
                        .err = err};
    if (task) NIB_TRY(pass_dropout(&ctx));
    NIB_TRY(pass_run_all(&ctx));
    if (task) note_task(m, p, &ctx);
    if (p->cannot[0]) return NIB_OK;
    if (task) NIB_TRY(round_weights(m, p, &ctx));
    NIB_TRY(graph_verify(p->g, err));
    if (task) NIB_TRY(model_finish_task(m, which, p, err));
    if (!p->cannot[0]) NIB_TRY(plan_build(m->runtime, p->g, m->devices, m->n_devices, NULL, &p->p, err));
fail:
    return status;
}

/* A program that the model cannot have keeps why, and nothing else. */
static void keep_reason(base_heap *heap, model_program *p) {
    model_program reason = {0};
    memcpy(reason.cannot, p->cannot, sizeof reason.cannot);
    model_free_program(heap, p);
    *p = reason;
}

static nib_status make(nib_model *m, int which, model_program *p, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &m->runtime->heap;
    base_watch watch;
    pass_notes notes;
    *p = (model_program){.roles = m->roles, .computes = m->computes, .precision_why = m->precision_why};
    base_watch_begin(&watch, heap);
    base_str_init(&notes.text, heap);
    if (which != MODEL_EXACT) {
        memcpy(p->cannot, m->no_texts, sizeof p->cannot);
        if (!p->cannot[0]) NIB_TRY(model_choose_output(m, which, p, err));
    }
    if (!p->cannot[0]) NIB_TRY(build(m, which, p, &notes, err));
    NIB_TRY(model_all_granted(m, &watch, err));
    p->notes = base_strndup(heap, notes.text.data ? notes.text.data : "", notes.text.length);
    if (!p->notes) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    if (p->cannot[0]) NIB_FAIL(err, NIB_UNSUPPORTED, "this model cannot %s: %s", model_task_of(which)->does, p->cannot);
fail:
    base_watch_end(&watch);
    base_str_free(&notes.text);
    if (status != NIB_OK) keep_reason(heap, p);
    return status;
}

static nib_status not_compiled(const nib_model *m, int which, nib_error *err) {
    const model_task *task = model_task_of(which), *own = model_task_of((int)m->task);
    if (!task)
        return base_error_set(err, NIB_UNSUPPORTED,
                              "%s was compiled for texts alone: named tensors need nib compile --exact", m->path);
    return base_error_set(err, NIB_UNSUPPORTED,
                          "%s was compiled to %s, and cannot %s: that needs nib compile --task %s", m->path, own->does,
                          task->does, nib_task_name((nib_task)which));
}

/* What says something of the moment, not of the model. */
static bool is_passing(nib_status status) { return status == NIB_OUT_OF_MEMORY || status == NIB_CANCELLED; }

nib_status model_get_program(nib_model *m, int which, const model_program **out, nib_error *err) {
    nib_status status = NIB_OK;
    model_slot *s = &m->slots[which];
    *out = NULL;
    if (atomic_load(&s->state) == MODEL_UNMADE) {
        base_mutex_lock(s->making);
        if (atomic_load(&s->state) == MODEL_UNMADE) {
            base_error_clear(&s->failure);
            status = m->compiled ? not_compiled(m, which, &s->failure) : make(m, which, &s->program, &s->failure);
            if (status != NIB_OK && err) *err = s->failure;
            if (!is_passing(status)) atomic_store(&s->state, status == NIB_OK ? MODEL_MADE : MODEL_FAILED);
        }
        base_mutex_unlock(s->making);
        if (is_passing(status)) return status;
    }
    if (atomic_load(&s->state) == MODEL_FAILED) {
        if (err) *err = s->failure;
        return s->failure.status;
    }
    *out = &s->program;
    return NIB_OK;
}

void model_choose(nib_model *m, quant_layers *chosen, const char *why) {
    base_heap *heap = &m->runtime->heap;
    for (int i = 0; i < MODEL_PROGRAMS; i++) {
        model_free_callers(m, i);
        model_free_program(heap, &m->slots[i].program);
        base_error_clear(&m->slots[i].failure);
        atomic_store(&m->slots[i].state, MODEL_UNMADE);
    }
    quant_layers_free(heap, &m->chosen);
    m->chosen = *chosen;
    *chosen = (quant_layers){0};
    snprintf(m->chosen_why, sizeof m->chosen_why, "%s", why);
    if (*why) m->precision_why = m->chosen_why;
}

void model_free_program(base_heap *heap, model_program *p) {
    for (int64_t i = 0; p->labels && i < p->width; i++) base_free(heap, p->labels[i]);
    base_free(heap, p->labels);
    plan_free(p->p);
    graph_free(p->g);
    base_free(heap, p->notes);
    quant_layers_free(heap, &p->rounded);
    *p = (model_program){0};
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * The tasks. In: the source graph, what the folder says, what was asked for. Out: for each task which output it takes
 * and why, or why there is none; and the graph with the task's nodes behind that output. See model_tasks.h.
 */
#include "model_suffix.h"
#include <stdio.h>
#include <string.h>

/* ---- outputs */

static graph_value *named_output(const graph *g, const char *name) {
    for (int i = 0; i < g->n_outputs; i++)
        if (strcmp(g->outputs[i]->name, name) == 0) return g->outputs[i];
    return NULL;
}

static bool is_real(nib_dtype t) { return t == NIB_DTYPE_F32 || t == NIB_DTYPE_F16 || t == NIB_DTYPE_BF16; }

#define LOGITS "logits" /* what exporters call raw scores, of labels or of the next token */

/* The first of that rank that holds reals and no scores. */
static const graph_value *vectors_of_rank(const graph *g, int rank) {
    for (int i = 0; i < g->n_outputs; i++) {
        const graph_value *v = g->outputs[i];
        if (v->type.rank == rank && is_real(v->type.dtype) && strcmp(v->name, LOGITS) != 0) return v;
    }
    return NULL;
}

/* One row a token. */
static const graph_value *token_output(const graph *g, const char **why) {
    static const char *const names[] = {"last_hidden_state", "token_embeddings", "hidden_states", "encoder_output"};
    const graph_value *v;
    for (size_t i = 0; i < BASE_COUNT(names); i++)
        if ((v = named_output(g, names[i])) != NULL) return *why = "by its name, one row a token", v;
    if ((v = vectors_of_rank(g, 3))) *why = "the first of shape [batch, seq, width]";
    return v;
}

static void take_output(model_program *p, const graph *g, const graph_value *v, const char *why, const char *use) {
    while (g->outputs[p->output] != v) p->output++;
    snprintf(p->output_name, sizeof p->output_name, "%s", v->name);
    snprintf(p->output_why, sizeof p->output_why, "%s; %s", why, use);
}

/* Whether vectors go through a module of the folder's that nib cannot run, and nobody has said otherwise. */
static bool lacks_module(const nib_model *m, model_program *p) {
    if (!m->settings.unsupported[0] || m->asked.pooling != NIB_POOLING_MODEL) return false;
    snprintf(p->cannot, sizeof p->cannot, "modules.json lists a module nib cannot run: %s", m->settings.unsupported);
    return true;
}

/* Whether the modules of the folder take rows of v: those of texts, or of tokens alone. */
static bool modules_fit(const nib_model *m, const graph_value *v, bool texts, model_program *p) {
    int64_t width;
    if (!graph_dim_is_const(v->type.dims[v->type.rank - 1], &width)) width = -1;
    for (int i = 0; i < m->settings.module_count; i++) {
        const hf_module *module = &m->settings.modules[i];
        const int64_t next = texts || module->of_tokens ? hf_module_width(module, width) : width;
        if (next == 0) {
            snprintf(p->cannot, sizeof p->cannot, "module %s takes rows of %lld numbers, and gets rows of %lld", module->path,
                     (long long)module->in, (long long)width);
            return false;
        }
        width = next;
    }
    return true;
}

static const char *no_vectors(const graph *g) {
    return named_output(g, LOGITS) ? "its output " LOGITS
                                     " has scores, not vectors (if they are of labels: nib classify)"
                                   : "no output of shape [batch, seq, width] or [batch, width] of f32";
}

/* ---- embed: a vector of each text */

static void choose_embedding(const nib_model *m, const graph *g, const graph_value *wanted, model_program *p) {
    const graph_value *v = wanted;
    const char *why = "asked for";
    if (!v && (v = named_output(g, "sentence_embedding")) && v->type.rank == 2) why = "by its name";
    else if (!wanted) v = NULL;
    if (!v) v = token_output(g, &why);
    if (!v && (v = vectors_of_rank(g, 2))) why = "the first of shape [batch, width]";
    if (!v || (v->type.rank != 2 && v->type.rank != 3)) {
        snprintf(p->cannot, sizeof p->cannot, "%s", no_vectors(g));
        return;
    }
    if (lacks_module(m, p)) return;
    if (!wanted && m->settings.sparse.from[0] && m->asked.pooling == NIB_POOLING_MODEL) {
        snprintf(p->cannot, sizeof p->cannot, "its vectors are sparse (%.100s): nib embed --sparse", m->settings.sparse.from);
        return;
    }
    p->pooled = v->type.rank == 2;
    if (p->pooled && !wanted && m->asked.pooling == NIB_POOLING_MODEL && m->settings.modules_said[0] &&
        strcmp(v->name, "sentence_embedding") != 0) {
        snprintf(p->cannot, sizeof p->cannot,
                 "modules.json lists modules behind Pooling, and the graph pools by itself: whether output %.80s has gone through "
                 "them nothing says (--output-name takes it as it is)",
                 v->name);
        return;
    }
    if (!p->pooled && m->pooling != NIB_POOLING_NONE && !modules_fit(m, v, true, p)) return;
    take_output(p, g, v, why, p->pooled ? "already pooled, used as it is" : "pooled");
    if (!p->pooled && m->roles.fixed_seq > 0 && m->roles.mask < 0 && m->pooling != NIB_POOLING_NONE &&
        m->pooling != NIB_POOLING_CLS)
        snprintf(p->cannot, sizeof p->cannot,
                 "it fixes %lld tokens a text and has no mask input, so that the padding of shorter texts would be "
                 "pooled: a file with a "
                 "free length, or one with a mask, is needed",
                 (long long)m->roles.fixed_seq);
}

/* ones like ids, for a graph without a mask input */
static graph_value *all_ones(graph *g, graph_value *ids) {
    int64_t one = 1;
    if (graph_opset_version(g, "") < 9) { /* before there is ConstantOfShape */
        graph_value *same = graph_emit(g, NULL, "", "Equal", (graph_value *[]){ids, ids}, 2, "ids_same");
        graph_value *cast = same ? graph_emit(g, NULL, "", "Cast", &same, 1, "all_tokens") : NULL;
        return cast && graph_set_int(cast->producer, "to", NIB_DTYPE_I64) == NIB_OK ? cast : NULL;
    }
    graph_tensor *t = base_arena_calloc(g->arena, 1, sizeof *t);
    int64_t *data = base_arena_alloc(g->arena, sizeof *data);
    graph_value *shape = graph_emit(g, NULL, "", "Shape", &ids, 1, "ids_shape");
    graph_value *ones = shape ? graph_emit(g, NULL, "", "ConstantOfShape", &shape, 1, "all_tokens") : NULL;
    if (!t || !data || !ones) return NULL;
    *data = one;
    *t = (graph_tensor){.dtype = NIB_DTYPE_I64, .rank = 1, .dims = {1}, .data = data, .bytes = sizeof one};
    graph_attr a = {.name = "value", .kind = GRAPH_ATTR_TENSOR, .u.tensor = t};
    return graph_set_attr(ones->producer, &a) == NIB_OK ? ones : NULL;
}

/* How many rows of each text belong to its prompt; a graph input after all others. */
static graph_value *skip_input(graph *g, model_program *p) {
    graph_value *v = graph_add_value(g, "nib.prompt_rows");
    if (!v) return NULL;
    v->type = (graph_type){
        .kind = GRAPH_KIND_TENSOR, .dtype = NIB_DTYPE_I64, .rank = 1, .dims = {graph_dim_const(g->symbols, 1)}};
    if (graph_add_input(g, v) != NIB_OK) return NULL;
    p->roles.skip = g->n_inputs - 1;
    return v;
}

/* In each of the module's modes; several side by side. */
static graph_value *pooled(const nib_model *m, const hf_module *module, graph *g, graph_value *v, model_program *p) {
    graph_value *mask = model_token_mask(m, g);
    graph_value *skip = m->settings.excludes_prompt ? skip_input(g, p) : NULL, *made[HF_MOST_MODES];
    if (!mask || (m->settings.excludes_prompt && !skip)) return NULL;
    for (int i = 0; i < module->n_modes; i++) {
        made[i] = graph_emit(g, NULL, "nib", "Pool", (graph_value *[]){v, mask, skip}, skip ? 3 : 2, "pooled");
        if (!made[i] || graph_set_string(made[i]->producer, "mode", nib_pooling_name(module->modes[i])) != NIB_OK) return NULL;
    }
    if (module->n_modes == 1) return made[0];
    v = graph_emit(g, NULL, "", "Concat", made, module->n_modes, "pooled_all");
    return v && graph_set_int(v->producer, "axis", 1) == NIB_OK ? v : NULL;
}

/* The modules of the folder behind rows of tokens: all of them, or those of tokens alone. */
static graph_value *through_modules(const nib_model *m, graph *g, graph_value *v, bool texts, model_program *p) {
    for (int i = 0; v && i < m->settings.module_count; i++) {
        const hf_module *module = &m->settings.modules[i];
        if (!texts && !module->of_tokens) continue;
        v = hf_module_pools(module) ? pooled(m, module, g, v, p) : hf_module_emit(module, g, v);
    }
    return v;
}

static graph_value *normalized(graph *g, graph_value *v) {
    v = graph_emit(g, NULL, "", "LpNormalization", &v, 1, "embedding");
    return v && graph_set_int(v->producer, "axis", -1) == NIB_OK && graph_set_int(v->producer, "p", 2) == NIB_OK ? v
                                                                                                                 : NULL;
}

/* As many as there are, up to so many. */
static graph_value *first_columns(graph *g, graph_value *v, int64_t columns) {
    const int64_t zero = 0, one = 1;
    if (graph_opset_version(g, "") < 10) { /* lists were attributes */
        v = graph_emit(g, NULL, "", "Slice", &v, 1, "cut");
        return v && graph_set_ints(v->producer, "starts", &zero, 1) == NIB_OK &&
                       graph_set_ints(v->producer, "ends", &columns, 1) == NIB_OK &&
                       graph_set_ints(v->producer, "axes", &one, 1) == NIB_OK
                   ? v
                   : NULL;
    }
    graph_value *in[4] = {v, graph_const_i64(g, "starts", &zero, 1), graph_const_i64(g, "ends", &columns, 1),
                          graph_const_i64(g, "axes", &one, 1)};
    return in[1] && in[2] && in[3] ? graph_emit(g, NULL, "", "Slice", in, 4, "cut") : NULL;
}

static graph_value *embedding_suffix(const nib_model *m, graph *g, graph_value *v, model_program *p) {
    if (v->type.rank == 3 && m->pooling != NIB_POOLING_NONE) v = through_modules(m, g, v, true, p);
    /* A module of the folder normalizes before the cut, whoever calls encode with normalize_embeddings behind it. */
    if (v && m->normalize_first) v = normalized(g, v);
    if (v && m->settings.truncate_dim > 0 && m->pooling != NIB_POOLING_NONE)
        v = first_columns(g, v, m->settings.truncate_dim);
    return v && m->normalize ? normalized(g, v) : v;
}

/* ---- tokens: a vector of each token, before pooling */

static void choose_tokens(const nib_model *m, const graph *g, const graph_value *wanted, model_program *p) {
    const char *why = "asked for";
    const graph_value *v = wanted ? wanted : token_output(g, &why);
    if (!v || v->type.rank != 3) snprintf(p->cannot, sizeof p->cannot, "no output of shape [batch, seq, width] of f32");
    else if ((wanted || !lacks_module(m, p)) && modules_fit(m, v, false, p)) take_output(p, g, v, why, "used as it is");
}

static graph_value *tokens_suffix(const nib_model *m, graph *g, graph_value *v, model_program *p) {
    p->normalized = m->asked.normalize > 0;
    v = through_modules(m, g, v, false, p);
    return v && p->normalized ? normalized(g, v) : v;
}

/* ---- classify: a raw score for each label */

#define MOST_LABELS (1 << 20)

/* `logits`, or what else is the only output of two dimensions where none has a row for each token: such a graph's is a
 * pooled vector. */
static const graph_value *score_output(const graph *g, const char **why) {
    const graph_value *v = named_output(g, LOGITS), *only = NULL;
    *why = "by its name";
    if (v) return v->type.rank == 2 && is_real(v->type.dtype) ? v : NULL;
    for (int i = 0; i < g->n_outputs; i++) {
        const graph_type *t = &g->outputs[i]->type;
        if (!is_real(t->dtype) || (t->rank != 2 && t->rank != 3)) continue;
        if (t->rank == 3 || only || strcmp(g->outputs[i]->name, "sentence_embedding") == 0) return NULL;
        only = g->outputs[i];
    }
    *why = "the only one of shape [batch, labels]";
    return only;
}

static void choose_scores(const nib_model *m, const graph *g, const graph_value *wanted, model_program *p) {
    const char *why = "asked for";
    const graph_value *v = wanted ? wanted : score_output(g, &why);
    if (!v && m->settings.judge.next_word) {
        model_choose_judged(m, g, p);
        return;
    }
    if (!v || v->type.rank != 2)
        snprintf(p->cannot, sizeof p->cannot,
                 "no output " LOGITS " of shape [batch, labels], and no other one alone of two dimensions");
    else if (m->labels.wrong[0]) snprintf(p->cannot, sizeof p->cannot, "id2label of config.json: %s", m->labels.wrong);
    else take_output(p, g, v, why, "a score a label");
    p->pooled = true;
}

static graph_value *scores_suffix(const nib_model *m, graph *g, graph_value *v, model_program *p) {
    return p->judged ? model_judged_suffix(m, g, v) : v;
}

static nib_status name_labels(const nib_model *m, model_program *p, nib_error *err) {
    base_heap *heap = &m->runtime->heap;
    if (p->width > MOST_LABELS) {
        snprintf(p->cannot, sizeof p->cannot, "output %.100s has %lld columns, which are too many to be labels",
                 p->output_name, (long long)p->width);
        return NIB_OK;
    }
    if (m->labels.count && (int64_t)m->labels.count != p->width)
        base_log(m->runtime, NIB_LOG_WARN, "id2label of config.json names %zu labels, and output %.100s has %lld",
                 m->labels.count, p->output_name, (long long)p->width);
    p->scores = hf_scores_of(&m->labels, p->width);
    p->labels = base_calloc(heap, (size_t)p->width, sizeof *p->labels);
    for (size_t i = 0; p->labels && i < (size_t)p->width + m->labels.count; i++) {
        const bool named = i >= (size_t)p->width; /* names take the places of these */
        char text[32];
        snprintf(text, sizeof text, "LABEL_%zu", i);
        const int64_t at = named ? m->labels.list[i - (size_t)p->width].number : (int64_t)i;
        const char *name = named ? m->labels.list[i - (size_t)p->width].name : text;
        if (at >= p->width) continue;
        base_free(heap, p->labels[at]);
        p->labels[at] = base_strndup(heap, name, strlen(name));
        if (!p->labels[at]) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the labels");
    }
    return p->labels ? NIB_OK : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the labels");
}

/* ---- tag: a raw score a label, of each token */

#define TAGGER "ForTokenClassification"

static void choose_tags(const nib_model *m, const graph *g, const graph_value *wanted, model_program *p) {
    const graph_value *v = wanted ? wanted : named_output(g, LOGITS);
    const char *head = m->settings.architecture;
    if (!v || v->type.rank != 3 || !is_real(v->type.dtype))
        snprintf(p->cannot, sizeof p->cannot, "no output " LOGITS " of shape [batch, seq, labels]");
    else if (m->labels.wrong[0]) snprintf(p->cannot, sizeof p->cannot, "id2label of config.json: %s", m->labels.wrong);
    else if (!wanted && head[0] && !base_ends_with(head, TAGGER) && !m->labels.count)
        snprintf(p->cannot, sizeof p->cannot, "its output " LOGITS " is that of %.90s, and config.json names no labels", head);
    else take_output(p, g, v, wanted ? "asked for" : "by its name", "a score a label of each token");
}

/* ---- colbert: rows of tokens through all modules, of length 1 */

static void choose_rows(const nib_model *m, const graph *g, const graph_value *wanted, model_program *p) {
    if (!m->settings.colbert.there && !m->settings.m3.rows)
        snprintf(p->cannot, sizeof p->cannot, "its folder says nothing of late interaction (query_prefix and the like)");
    else choose_tokens(m, g, wanted, p);
}

static graph_value *rows_suffix(const nib_model *m, graph *g, graph_value *v, model_program *p) {
    const bool m3 = !m->settings.colbert.there;
    p->normalized = true;
    v = m3 ? hf_module_emit(&m->settings.m3.rows_head, g, v) : through_modules(m, g, v, false, p);
    return v ? normalized(g, v) : v;
}

/* ---- hybrid: a vector of each text, and beside it what the heads of BGE-M3 give of its tokens */

static void choose_hybrid(const nib_model *m, const graph *g, const graph_value *wanted, model_program *p) {
    if (!m->settings.m3.lexical && !m->settings.m3.rows)
        snprintf(p->cannot, sizeof p->cannot, "its folder has neither sparse_linear.pt nor colbert_linear.pt");
    else choose_tokens(m, g, wanted, p);
}

/* ---- what the files of suffixes take of this one */

graph_value *model_named_output(const graph *g, const char *name) { return named_output(g, name); }
const graph_value *model_token_output(const graph *g, const char **why) { return token_output(g, why); }
void model_take_output(model_program *p, const graph *g, const graph_value *v, const char *why, const char *use) {
    take_output(p, g, v, why, use);
}
graph_value *model_token_mask(const nib_model *m, graph *g) {
    return m->roles.mask >= 0 ? g->inputs[m->roles.mask] : all_ones(g, g->inputs[m->roles.ids]);
}
graph_value *model_normalized(graph *g, graph_value *v) { return normalized(g, v); }

/* ---- the table */

static const model_task tasks[MODEL_PROGRAMS] = {
    [NIB_TASK_EMBED] = {"embed texts", MODEL_ROW_A_TEXT, choose_embedding, embedding_suffix, NULL, NULL},
    [NIB_TASK_TOKENS] = {"give vectors of tokens", MODEL_ROW_A_TOKEN, choose_tokens, tokens_suffix, NULL, NULL},
    [NIB_TASK_CLASSIFY] = {"classify texts", MODEL_ROW_A_TEXT, choose_scores, scores_suffix, name_labels, NULL},
    [NIB_TASK_TAG] = {"label tokens", MODEL_ROW_A_TOKEN, choose_tags, scores_suffix, name_labels, NULL},
    [NIB_TASK_COLBERT] = {"encode for late interaction", MODEL_ROW_A_TOKEN, choose_rows, rows_suffix, NULL, NULL},
    [NIB_TASK_SPARSE] = {"give sparse vectors", MODEL_ROW_EITHER, model_choose_sparse, model_sparse_suffix,
                         model_finish_sparse, NULL},
    [NIB_TASK_HYBRID] = {"give dense, sparse and token vectors", MODEL_ROW_A_TEXT, choose_hybrid, embedding_suffix, NULL,
                         model_hybrid_more},
    [NIB_TASK_FILL] = {"fill masks", MODEL_ROW_A_PLACE, model_choose_words, model_words_suffix, NULL, NULL},
    [NIB_TASK_ANSWER] = {"answer questions", MODEL_ROW_A_TOKEN, model_choose_spans, model_spans_suffix, NULL, NULL},
};

bool model_gives_labels(int which) { return tasks[which].finish == name_labels; }
const model_task *model_task_of(int which) { return which == MODEL_EXACT ? NULL : &tasks[which]; }

nib_task model_choose_task(const nib_model *m, const char **why) {
    const graph *g = m->source;
    const char *head = m->settings.architecture, *output_why;
    const graph_value *logits = named_output(g, LOGITS);
    const bool pools =
        m->asked.pooling != NIB_POOLING_MODEL || m->settings.pooling != NIB_POOLING_MODEL || m->asked.output_name;
    *why = "its folder says how queries and documents become rows";
    if (m->settings.colbert.there && m->asked.pooling == NIB_POOLING_MODEL) return NIB_TASK_COLBERT;
    *why = "modules.json pools words";
    if (m->settings.sparse.from[0] && m->asked.pooling == NIB_POOLING_MODEL) return NIB_TASK_SPARSE;
    *why = "modules.json has a LogitScore";
    if (m->settings.judge.words_from[0] && !pools) return NIB_TASK_CLASSIFY;
    *why = "it pools";
    if (pools || named_output(g, "sentence_embedding")) return NIB_TASK_EMBED;
    *why = "architectures of config.json";
    if (base_ends_with(head, TAGGER) && logits && logits->type.rank == 3) return NIB_TASK_TAG;
    if (base_ends_with(head, MODEL_SPANS_FOR) && model_has_spans(g)) return NIB_TASK_ANSWER;
    *why = "nothing says otherwise";
    if (!score_output(g, &output_why)) return NIB_TASK_EMBED;
    *why = "architectures of config.json";
    if (base_ends_with(head, "ForSequenceClassification")) return NIB_TASK_CLASSIFY;
    *why = "its outputs: " LOGITS ", and no vectors";
    if (named_output(g, LOGITS) && !vectors_of_rank(g, 3) && !vectors_of_rank(g, 2)) return NIB_TASK_CLASSIFY;
    *why = "nothing says otherwise";
    return NIB_TASK_EMBED;
}

nib_status model_choose_output(const nib_model *m, int which, model_program *p, nib_error *err) {
    const graph *g = m->source;
    const char *name = which == (int)m->task ? m->asked.output_name : NULL;
    const graph_value *wanted = name ? named_output(g, name) : NULL;
    if (name && !wanted) {
        base_str names;
        base_str_init(&names, &m->runtime->heap);
        for (int i = 0; i < g->n_outputs; i++) base_str_printf(&names, "%s%s", i ? ", " : "", g->outputs[i]->name);
        nib_status status = base_error_set(err, NIB_NOT_FOUND, "the model has no output %s; it has %s", name,
                                           names.data ? names.data : "none");
        base_str_free(&names);
        return status;
    }
    tasks[which].choose(m, g, wanted, p);
    return NIB_OK;
}

nib_status model_add_suffix(const nib_model *m, int which, graph *g, model_program *p, nib_error *err) {
    nib_status status = NIB_OK;
    graph_value *source = g->outputs[p->output], *v = tasks[which].suffix(m, g, source, p), *more[MODEL_MORE];
    const int n_more = tasks[which].more ? tasks[which].more(m, g, source, more) : 0;
    if (!v || n_more < 0) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    for (int i = 0; i < g->n_outputs; i++) g->outputs[i]->is_output = false;
    g->n_outputs = 0;
    NIB_TRY(graph_add_output(g, v));
    for (int i = 0; i < n_more; i++) NIB_TRY(graph_add_output(g, more[i]));
    op_resolve(g);
    NIB_TRY(op_infer_graph(g, err));
fail:
    return status;
}

nib_status model_finish_task(const nib_model *m, int which, model_program *p, nib_error *err) {
    nib_status status = NIB_OK;
    const model_task *task = &tasks[which];
    const graph_type *t = p->g->n_outputs == 1 || task->more ? &p->g->outputs[0]->type : NULL;
    const bool each = task->result == MODEL_ROW_A_TOKEN || (task->result == MODEL_ROW_EITHER && t && t->rank == 3);
    const int rank = each ? 3 : 2;
    p->tokens = each || task->result == MODEL_ROW_A_PLACE;
    const bool fits = t && t->kind == GRAPH_KIND_TENSOR && t->rank == rank && t->dtype == NIB_DTYPE_F32;
    if (!fits || !graph_dim_is_const(t->dims[rank - 1], &p->width) || p->width < 1 || p->width > INT32_MAX) {
        p->width = 0;
        snprintf(p->cannot, sizeof p->cannot, "the width of output %.100s is not known%s", p->output_name,
                 t && t->rank == 3 && rank == 2 ? ", or it is one row a token: nib embed --tokens" : "");
        return NIB_OK;
    }
    for (int i = 1; i < p->g->n_outputs; i++) {
        const graph_value *more = p->g->outputs[i];
        const bool rows = i <= MODEL_MORE && more->type.rank == 3 && more->type.dtype == NIB_DTYPE_F32;
        if (!rows || !graph_dim_is_const(more->type.dims[2], &p->more[i - 1]) || p->more[i - 1] < 1)
            NIB_FAIL(err, NIB_BAD_MODEL, "output %.100s is not [batch, seq, width]", more->name);
    }
    return task->finish ? task->finish(m, p, err) : NIB_OK;
fail:
    return status;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a model. Out: what it is, for a person: one fact a line, with where the fact comes from.
 */
#include "model.h"
#include "base/base_json.h"
#include <string.h>

static void print_type(const graph_value *v, base_str *out) {
    base_str_printf(out, "%s %s[", v->name, nib_dtype_name(v->type.dtype));
    for (int i = 0; i < v->type.rank; i++) {
        if (i) base_str_add(out, ", ");
        graph_dim_print(v->type.dims[i], out);
    }
    base_str_add(out, v->type.rank < 0 ? "?]" : "]");
}

static const char *role_of(const nib_model *m, int i) {
    const run_roles *r = &m->roles;
    return i == r->ids ? "token ids"
           : i == r->mask
               ? (model_own(m)->mask_of_padding ? "0 for tokens, 1 for padding" : "1 for tokens, 0 for padding")
           : i == r->types     ? "segment of each token"
           : i == r->positions ? "positions"
                               : "?";
}

static void weights_of(const graph *g, base_str *out) {
    size_t bytes[32] = {0};
    int64_t elements = 0;
    const int presets = graph_required_inputs(g);
    for (int i = 0; i < g->n_constants + g->n_inputs - presets; i++) {
        const graph_tensor *t = i < g->n_constants ? g->constants[i]->constant : g->inputs[presets + i - g->n_constants]->preset;
        if ((unsigned)t->dtype < 32) bytes[t->dtype] += t->bytes;
        elements += graph_tensor_elements(t);
    }
    base_str_printf(out, "weights       %.1f million numbers:", (double)elements / 1e6);
    for (int d = 0; d < 32; d++)
        if (bytes[d] > 4096) base_str_printf(out, " %.1f MB %s", (double)bytes[d] / 1e6, nib_dtype_name((nib_dtype)d));
    base_str_add(out, "\n");
}

static bool computes_in_f32(const graph *g) {
    for (int i = 0; i < g->n_constants; i++) {
        nib_dtype t = g->constants[i]->constant->dtype;
        if ((t == NIB_DTYPE_F16 || t == NIB_DTYPE_BF16) && g->constants[i]->constant->bytes > 4096) return false;
    }
    return true;
}

void model_describe_source(const nib_model *m, base_str *out) {
    const graph *g = m->source;
    const model_program *p = model_own(m);
    if (m->settings.tokenizer.bare) base_str_printf(out, "family        %s, a table of rows\n", m->settings.model_type);
    else if (m->settings.model_type[0])
        base_str_printf(out, "family        %s %s, %lld layers, hidden size %lld (config.json)\n", m->settings.model_type,
                        m->settings.architecture, (long long)m->settings.layers, (long long)m->settings.hidden);
    if (g->producer[0]) base_str_printf(out, "producer      %s\n", g->producer);
    base_str_printf(out, "graph         %d nodes, opset %d\n", g->node_count, graph_opset_version(g, ""));
    weights_of(g, out);
    for (int i = 0; i < g->n_inputs; i++) {
        base_str_add(out, i ? "              " : "inputs        ");
        print_type(g->inputs[i], out);
        if (g->inputs[i]->preset) base_str_add(out, ": may be left out");
        else if (m->roles.ids >= 0) base_str_printf(out, ": %s", role_of(m, i));
        base_str_add(out, "\n");
    }
    for (int i = 0; i < g->n_outputs; i++) {
        base_str_add(out, i ? "              " : "outputs       ");
        print_type(g->outputs[i], out);
        if (p->output_why[0] && i == p->output) base_str_printf(out, ": used (%s)", p->output_why);
        base_str_add(out, "\n");
    }
}

/* Those that say anything, one a line. */
static void describe_prompts(const nib_model *m, base_str *out) {
    const hf_settings *s = &m->settings;
    const char *head = "prompts       ", *pooled = model_own(m)->roles.skip >= 0 ? ", not pooled" : "";
    for (size_t i = 0; i < s->prompt_count; i++) {
        bool chosen = s->default_prompt == (int64_t)i;
        if (!s->prompts[i].text[0] && !chosen) continue;
        base_str_printf(out, "%s%s: ", head, s->prompts[i].name);
        base_json_quote(out, s->prompts[i].text);
        base_str_printf(out, "%s%s\n", chosen ? ", put before each text unless another is asked for" : "", pooled);
        head = "              ";
    }
}

static void describe_embedding(const nib_model *m, const model_program *p, base_str *out) {
    base_str_printf(out, "embeddings    %lld numbers", (long long)p->width);
    if (p->pooled) base_str_add(out, ", pooled by the graph itself");
    else
        base_str_printf(out, ", pooling %s (%s)%s",
                        m->settings.pooling_said[0] ? m->settings.pooling_said : nib_pooling_name(m->pooling),
                        m->settings.pooling_from[0] ? m->settings.pooling_from : "nothing was said: mean",
                        m->pooling != NIB_POOLING_NONE ? m->settings.modules_said : "");
    base_str_printf(out, ", %s", m->normalize || m->normalize_first ? "normalized" : "not normalized");
    if (m->settings.truncate_dim > 0)
        base_str_printf(out, ", %scut to the first %lld (truncate_dim of config_sentence_transformers.json)",
                        m->normalize_first ? "and then " : "", (long long)m->settings.truncate_dim);
}

static void describe_tokens(const nib_model *m, const model_program *p, base_str *out) {
    base_str_printf(out, "tokens        %lld numbers each, %s", (long long)p->width,
                    p->normalized ? "normalized" : "not normalized");
}

#define LABELS_SAID 12

static void list_labels(const model_program *p, base_str *out) {
    base_str_printf(out, "labels        %lld:", (long long)p->width);
    for (int64_t i = 0; i < p->width && i < LABELS_SAID; i++) {
        base_str_add(out, i ? ", " : " ");
        base_json_quote(out, p->labels[i]);
    }
    if (p->width > LABELS_SAID) base_str_add(out, ", ...");
}

/* What a pair becomes, and which words are asked for. */
static void describe_judge(const nib_model *m, const model_program *p, base_str *out) {
    const hf_judge *j = &m->settings.judge;
    if (p->judged)
        base_str_printf(out, "\njudged by     the word that would come next: token %lld%s", (long long)j->yes,
                        j->no < 0 ? "" : " less ");
    if (p->judged && j->no >= 0) base_str_printf(out, "%lld", (long long)j->no);
    if (p->judged && j->words_from[0]) base_str_printf(out, " (%s)", j->words_from);
    else if (p->judged && j->words[0])
        base_str_printf(out, " (%s%s%s)", j->words[0], j->words[1] ? " less " : "", j->words[1] ? j->words[1] : "");
    if (j->from[0])
        base_str_printf(out, "\npairs         as %s says%s", j->from,
                        j->text[1][0] ? ", with a place for --prompt" : ", without a place for --prompt");
}

static void describe_labels(const nib_model *m, const model_program *p, base_str *out) {
    list_labels(p, out);
    base_str_printf(out, "; scores are %s",
                    m->labels.unknown[0] ? "raw: nib does not have the activation " : nib_scores_name(p->scores));
    base_str_add(out, m->labels.unknown);
    describe_judge(m, p, out);
}

static void describe_tags(const nib_model *m, const model_program *p, base_str *out) {
    list_labels(p, out);
    base_str_add(out, "; one for each token");
}

static void describe_colbert(const nib_model *m, const model_program *p, base_str *out) {
    static const char *const roles[HF_ROLES] = {"query", "document"};
    const hf_colbert *c = &m->settings.colbert;
    base_str_printf(out, "tokens        %lld numbers each, normalized%s", (long long)p->width,
                    c->there ? m->settings.modules_said : " (colbert_linear.pt); the first has none");
    for (int i = 0; i < HF_ROLES; i++) {
        base_str_printf(out, "\n%-13s ", roles[i]);
        base_json_quote(out, c->prefixes[i]);
        base_str_printf(out, " in front, up to %lld tokens",
                        (long long)(c->lengths[i] && c->lengths[i] < m->max_tokens ? c->lengths[i] : m->max_tokens));
        if (i == HF_QUERY && c->expand)
            base_str_printf(out, ", filled up to %lld with %s, which the others %s", (long long)c->expand,
                            c->mask[0] ? c->mask : "[MASK]", c->attends ? "see" : "do not see");
    }
}

static void describe_sparse(const nib_model *m, const model_program *p, base_str *out) {
    const hf_sparse *s = &m->settings.sparse;
    base_str_add(out, "sparse        ");
    if (m->settings.m3.lexical) base_str_add(out, "the largest weight of a word's places");
    else if (p->tokens) base_str_add(out, "a weight of each word that is there");
    else
        base_str_printf(out, "%lld words, the %s over tokens of %s", (long long)p->width, s->sum ? "sum" : "largest",
                        s->twice ? "log(1 + log(1 + relu(score)))" : "log(1 + relu(score))");
    base_str_printf(out, " (%s)", m->settings.m3.lexical ? "sparse_linear.pt" : s->from[0] ? s->from : "nothing was said: SPLADE");
    if (s->top) base_str_printf(out, ", the largest %lld (max_active_dims)", (long long)s->top);
}

static void describe_hybrid(const nib_model *m, const model_program *p, base_str *out) {
    describe_embedding(m, p, out);
    if (m->settings.m3.lexical) base_str_add(out, "; a weight of each word (sparse_linear.pt)");
    if (m->settings.m3.rows)
        base_str_printf(out, "; %lld numbers of each token (colbert_linear.pt)",
                        (long long)p->more[m->settings.m3.lexical]);
}

static void describe_words(const nib_model *m, const model_program *p, base_str *out) {
    base_str_printf(out, "words         %lld scores of each token that is wanted", (long long)p->width);
}

static void describe_spans(const nib_model *m, const model_program *p, base_str *out) {
    base_str_add(out, "answers       of each token how well they begin and end there");
}

static const struct {
    const char *head; /* of the line that says what comes out */
    void (*describe)(const nib_model *m, const model_program *p, base_str *out);
} results[MODEL_PROGRAMS] = {
    [NIB_TASK_EMBED] = {"embeddings", describe_embedding},
    [NIB_TASK_TOKENS] = {"tokens", describe_tokens},
    [NIB_TASK_CLASSIFY] = {"labels", describe_labels},
    [NIB_TASK_TAG] = {"labels", describe_tags},
    [NIB_TASK_COLBERT] = {"tokens", describe_colbert},
    [NIB_TASK_SPARSE] = {"sparse", describe_sparse},
    [NIB_TASK_HYBRID] = {"hybrid", describe_hybrid},
    [NIB_TASK_FILL] = {"words", describe_words},
    [NIB_TASK_ANSWER] = {"answers", describe_spans},
};

/* A device beside the cpu, and its part of the graph. */
static void describe_device(const plan *p, const struct device *d, base_str *out) {
    device_props props;
    int regions = 0, nodes = 0;
    for (int i = 0; i < p->n_regions; i++) {
        if (p->regions[i].device != d) continue;
        regions++;
        nodes += p->regions[i].g->node_count;
    }
    d->table->props(d, &props);
    base_str_printf(out, "device        %s runs %d of %d nodes, in %d regions", props.name, nodes, p->g->node_count, regions);
    if (d->pool) base_str_printf(out, "; it and %d more of its kind take groups in turn", d->pool->n - 1);
    base_str_add(out, "\n");
}

/* How texts go through the program. */
static void describe_running(const nib_model *m, const model_program *p, base_str *out) {
    const device_table *table = m->device->table;
    base_str_printf(out, "runs on       %s (%s), %d thread%s, in %s (%s%s)\n", table->kind,
                    table->instructions(m->device), base_pool_threads(m->runtime->pool),
                    base_pool_threads(m->runtime->pool) == 1 ? "" : "s", nib_precision_name(model_arithmetic(p->computes)),
                    m->precision == NIB_PRECISION_AUTO ? "auto: " : "",
                    p->computes == NIB_PRECISION_FILE && !m->compiled && !computes_in_f32(m->source)
                        ? "f32 arithmetic on the file's half-precision weights"
                        : p->precision_why);
    for (int i = 0; p->p && i < p->p->n_others; i++) describe_device(p->p, p->p->others[i], out);
    base_str_printf(out, "memory        %.1f MB of packed weights, %.1f MB in all; the %.1f MB of the file are mapped, not copied\n",
                    (double)table->weight_bytes(m->device) / 1e6,
                    (double)atomic_load((_Atomic size_t *)(uintptr_t)&m->runtime->heap.current) / 1e6, (double)m->weight_bytes / 1e6);
    if (p->roundings)
        base_str_printf(out,
                        "8 bits        %d roundings of values and the ranges that they cut at are left out: nib run keeps them\n",
                        p->roundings);
    if (p->dropouts)
        base_str_printf(out, "dropout       %d nodes are set to training, and are off: nib explain names them\n",
                        p->dropouts);
    if (p->random)
        base_str_add(out, "random        the model draws random numbers when it runs: nib explain names where\n");
    base_str_printf(out, "batches       %s\n", p->packed ? "packed: no padding is computed" : "padded");
    static const char *const groups[] = {
        [RUN_GROUP_ONE] = "one at a time", [RUN_GROUP_EQUAL] = "with others of the same length", [RUN_GROUP_ANY] = "with any others"};
    base_str_printf(out, "texts run     %s", groups[p->roles.group]);
    if (p->roles.group == RUN_GROUP_ONE && p->roles.fixed_batch > 1)
        base_str_printf(out,
                        ", beside copies of itself: the file fixes a batch of %lld, whose texts may reach one another",
                        (long long)p->roles.fixed_batch);
    base_str_add(out, "\n");
    if (!p->packed || p->roles.group != RUN_GROUP_ANY) base_str_add(out, p->notes);
}

void model_describe(const nib_model *m, base_str *out) {
    char text[400];
    const model_program *p = model_own(m);
    base_str_printf(out, "model         %s (%s)\n", m->path, m->compiled ? "compiled" : m->door);
    if (m->file) base_str_printf(out, "file          %s (%s)\n", m->file, m->file_why);
    if (m->compiled) {
        const bool exact =
            m->slots[MODEL_EXACT].program.p != NULL; /* it was made when the file was opened, or never will be */
        base_str_printf(out, "compiled      from %s (%s) by nib %s for %s%s\n%s", m->compiled->made_of, m->door,
                        m->compiled->library, m->compiled->cpu,
                        !exact ? ", texts"
                        : p->p ? ", texts and named tensors"
                               : ", named tensors",
                        m->compiled->about);
    } else {
        model_describe_source(m, out);
    }
    if (m->tokenizer) {
        text_describe(m->tokenizer, text, sizeof text);
        base_str_printf(out, "tokenizer     %s\n", text);
    } else {
        base_str_printf(out, "tokenizer     none: %s\n", m->no_tokenizer ? m->no_tokenizer : "");
    }
    base_str_printf(out, "task          %s (%s)\n", nib_task_name(m->task), m->task_why);
    if (p->cannot[0]) {
        base_str_printf(out, "%-13s no: %s\n", results[m->task].head, p->cannot);
        return;
    }
    results[m->task].describe(m, p, out);
    if (m->max_tokens == INT32_MAX) base_str_printf(out, "\nlongest text  any (%s)\n", m->max_tokens_why);
    else
        base_str_printf(out, "\nlongest text  %lld tokens (%s); longer ones are cut\n", (long long)m->max_tokens,
                        m->max_tokens_why);
    if (m->settings.route[0])
        base_str_printf(out, "route         %s, of %s\n", m->settings.route, m->settings.routes);
    if (m->task == NIB_TASK_EMBED)
        base_str_printf(out, "cuts          %s\n",
                        !m->settings.matryoshka[0]         ? "config.json says nothing of vectors trained to be cut"
                        : m->settings.matryoshka[0] == '*' ? "to any numbers, trained for it (is_matryoshka of config.json)"
                                                           : m->settings.matryoshka);
    if (m->settings.similarity[0])
        base_str_printf(out, "similarity    %s (config_sentence_transformers.json)\n", m->settings.similarity);
    if (!model_gives_labels((int)m->task)) describe_prompts(m, out);
    describe_running(m, p, out);
}

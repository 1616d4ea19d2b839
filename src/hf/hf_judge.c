/* SPDX-License-Identifier: Apache-2.0
 *
 * Rerankers that are decoders: a chat template makes one text of a query and a document, and the score is that of a
 * word that would come next, "yes", less that of another, "no". In: the small files of a folder. Out: the template's
 * texts and the ids; and of the weights the one row that is needed of as many as there are words.
 *
 * As CrossEncoder of sentence-transformers has it (cross_encoder/modules/logit_score.py, base/modules/transformer.py):
 * messages of the roles `query` and `document`, in front of them one of `system` where there is a prompt, where
 * sentence_bert_config.json names the modality `message`, or where nothing is said and the template has a place for
 * both.
 */
#include "base/base_half.h"
#include "hf_jinja.h"
#include "hf_json.h"
#include "hf_stack.h"
#include <stdio.h>
#include <string.h>

#define MOST_TEMPLATE (1 << 20)

/* What the card of a model, or the code that it names, says and its folder leaves out. \4: HF_PLACE_CUT. */
static const struct {
    const char *model_type, *name, *words[2], *chat_template;
} cards[] = {
    {"qwen3",
     "the card of Qwen3-Reranker",
     {"yes", "no"},
     "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
     "provided. "
     "Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n<|im_start|>user\n<Instruct>: "
     "{{ messages[-3].content if messages | length == 3 else "
     "'Given a web search query, retrieve relevant passages that answer the query' }}\n<Query>: {{ "
     "messages[-2].content }}\n"
     "<Document>: {{ messages[-1].content }}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n\n"},
    {"qwen2",
     "the code of mxbai-rerank-v2",
     {"1", "0"},
     "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful "
     "assistant.<|im_end|>\n<|im_start|>user\n\4"
     "{% if messages | length == 3 %}instruction: {{ messages[0].content }}{{ '\n' }}{% endif %}"
     "query: {{ messages[-2].content }}\4\n\4document: {{ messages[-1].content }}\4\n\4"
     "You are a search relevance expert who evaluates how well documents match search queries. For each query-document "
     "pair, "
     "carefully analyze the semantic relationship between them, then provide your binary relevance judgment (0 for not "
     "relevant, 1 for relevant).\nRelevance:\4<|im_end|>\n<|im_start|>assistant\n\n"},
    {"gemma",
     "the card of bge-reranker-v2-gemma",
     {"Yes", NULL},
     "{{ bos_token }}\4A: {{ messages[-2].content }}\4\n\4B: {{ messages[-1].content }}\4\n\4"
     "{{ messages[-3].content if messages | length == 3 else 'Given a query A and a passage B, determine whether the "
     "passage "
     "contains an answer to the query by providing a prediction of either \\'Yes\\' or \\'No\\'.' }}"},
};

/* ---------------------------------------------------------------- what a template makes of a pair */

/* A key of processing_kwargs.chat_template that is an argument of apply_chat_template, and no variable; NULL: all are variables. */
static const char *argument_of(yyjson_val *said) {
    static const struct {
        const char *name;
        int usual; /* 0, 1: what it is anyway; -1: nothing but null is */
    } arguments[] = {{"restore_suffix", 1},          {"continue_final_message", 0}, {"tokenize", -1},
                     {"chat_template", -1},          {"max_length", -1},            {"truncation", -1},
                     {"padding", -1},                {"return_tensors", -1},        {"return_dict", -1},
                     {"return_assistant_tokens_mask", 0}, {"tokenizer_kwargs", -1}, {"processor_kwargs", -1}};
    for (size_t i = 0; i < BASE_COUNT(arguments); i++) {
        yyjson_val *v = yyjson_obj_get(said, arguments[i].name);
        const bool usual = yyjson_is_bool(v) && arguments[i].usual == (int)yyjson_get_bool(v);
        if (v && !yyjson_is_null(v) && !usual) return arguments[i].name;
    }
    return NULL;
}

static const char *token_text(yyjson_val *of, const char *name) {
    return hf_json_string(of, name, hf_json_string(yyjson_obj_get(of, name), "content", NULL));
}

/* Whether a text may stand in a template: no byte of it is one that stands for another. */
static bool is_plain(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] <= HF_PLACE_CUT) return false;
    return true;
}

/* False: it is a list, has members, or is no text of a template. */
static bool value_of(yyjson_val *v, hf_jinja_value *out) {
    const char *text = yyjson_get_str(v);
    *out = (hf_jinja_value){.kind = HF_JINJA_NONE};
    if (yyjson_is_bool(v)) *out = (hf_jinja_value){.kind = HF_JINJA_BOOL, .number = yyjson_get_bool(v)};
    if (yyjson_is_int(v)) *out = (hf_jinja_value){.kind = HF_JINJA_INT, .number = yyjson_get_sint(v)};
    if (text) *out = hf_jinja_text(text);
    return text ? is_plain(text, yyjson_get_len(v)) : yyjson_is_null(v) || yyjson_is_bool(v) || yyjson_is_int(v);
}

/* Variables beside the messages: what transformers always gives, special tokens, and what processing_kwargs says. A template that asks
 * for other special tokens is refused. -1: there are more than `room`, or one is what no variable can be; *odd: its name. */
static int more_variables(yyjson_val *tokenizer, yyjson_val *said, hf_jinja_variable *out, int room, const char **odd) {
    static const char *const tokens[] = {"bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token"};
    int n = 0;
    size_t i, count;
    yyjson_val *key, *v, *extra = yyjson_obj_get(tokenizer, "extra_special_tokens");
    *odd = "extra_special_tokens, processing_kwargs";
    if (yyjson_obj_size(extra) + yyjson_obj_size(said) + BASE_COUNT(tokens) + 3 > (size_t)room) return -1;
    out[n++] = (hf_jinja_variable){"tools", {.kind = HF_JINJA_NONE}};
    out[n++] = (hf_jinja_variable){"documents", {.kind = HF_JINJA_NONE}};
    out[n++] = (hf_jinja_variable){"add_generation_prompt", {.kind = HF_JINJA_BOOL}};
    for (size_t k = 0; k < BASE_COUNT(tokens); k++) {
        const char *text = token_text(tokenizer, tokens[k]);
        *odd = tokens[k];
        if (text && !is_plain(text, strlen(text))) return -1;
        if (text) out[n++] = (hf_jinja_variable){tokens[k], hf_jinja_text(text)};
    }
    yyjson_obj_foreach(extra, i, count, key, v) {
        const char *text = token_text(extra, *odd = yyjson_get_str(key));
        if (text && !is_plain(text, strlen(text))) return -1;
        if (text) out[n++] = (hf_jinja_variable){*odd, hf_jinja_text(text)};
    }
    yyjson_obj_foreach(said, i, count, key, v) {
        out[n].name = *odd = yyjson_get_str(key);
        if (!value_of(v, &out[n++].value)) return -1;
    }
    return n;
}

/* A template, and what its variables are made of. */
typedef struct chat {
    const char *from, *text; /* whose it is; it */
    size_t length;
    yyjson_val *tokenizer, *said; /* tokenizer_config.json, processing_kwargs.chat_template */
    bool parts;                   /* a message has a list of parts, of which text is one */
} chat;

/* Of a pair, with an instruction in front or without. */
static nib_status render(base_heap *heap, const chat *c, bool instructed, char *to, size_t room, nib_error *err) {
    enum { VARIABLES = 32 };
    static const char *const keys[] = {"role", "content"}, *const part_keys[] = {"type", "text"};
    static const char *const roles[] = {"system", "query", "document"};
    static const char *const marks[] = {"\1", "\2", "\3"};
    hf_jinja_value members[3][2], messages[3], parts[3][2], lists[3];
    hf_jinja_variable variables[VARIABLES];
    base_str out;
    for (int i = 0; i < 3; i++) {
        members[i][0] = hf_jinja_text(roles[i]);
        parts[i][0] = hf_jinja_text("text");
        parts[i][1] = members[i][1] = hf_jinja_text(marks[i]);
        lists[i] = (hf_jinja_value){.kind = HF_JINJA_MAP, .items = parts[i], .keys = part_keys, .count = 2};
        if (c->parts) members[i][1] = (hf_jinja_value){.kind = HF_JINJA_LIST, .items = &lists[i], .count = 1};
        messages[i] = (hf_jinja_value){.kind = HF_JINJA_MAP, .items = members[i], .keys = keys, .count = 2};
    }
    const int first = instructed ? 0 : 1;
    const char *odd;
    int n = more_variables(c->tokenizer, c->said, variables, VARIABLES - 1, &odd);
    if (n < 0) return base_error_set(err, NIB_UNSUPPORTED, "a variable that is a list, or too many of them (%.80s)", odd);
    variables[n++] =
        (hf_jinja_variable){"messages", {.kind = HF_JINJA_LIST, .items = messages + first, .count = 3 - first}};
    base_str_init(&out, heap);
    nib_status status = hf_jinja_render(heap, c->text, c->length, variables, n, &out, err);
    if (status == NIB_OK && out.length >= room)
        status = base_error_set(err, NIB_LIMIT, "it makes more than %zu bytes of it", room - 1);
    if (status == NIB_OK) snprintf(to, room, "%s", out.data ? out.data : "");
    base_str_free(&out);
    return status;
}

/* Fills text and wrong. */
static nib_status use_template(base_heap *heap, const chat *c, hf_judge *out, nib_error *err) {
    nib_error why = {.message = ""};
    nib_status status = NIB_OK;
    snprintf(out->from, sizeof out->from, "%s", c->from);
    out->wrong[0] = 0;
    for (int i = 0; i < 2 && status == NIB_OK; i++)
        status = render(heap, c, i == 1, out->text[i], sizeof out->text[i], &why);
    if (status == NIB_OUT_OF_MEMORY) return base_error_set(err, status, "%s", why.message);
    if (status != NIB_OK)
        snprintf(out->wrong, sizeof out->wrong, "%s does what nib does not: %.150s", c->from, why.message);
    else if (argument_of(c->said))
        snprintf(out->wrong, sizeof out->wrong, "sentence_bert_config.json: processing_kwargs.chat_template.%s, which nib does not apply",
                 argument_of(c->said));
    else if (!strchr(out->text[0], HF_PLACE_QUERY) || !strchr(out->text[0], HF_PLACE_DOCUMENT))
        snprintf(out->wrong, sizeof out->wrong, "%s has no place for messages of the roles query and document",
                 c->from);
    if (!strchr(out->text[1], HF_PLACE_INSTRUCTION)) out->text[1][0] = 0;
    return NIB_OK;
}

/* ---------------------------------------------------------------- the files */

typedef struct chat_files {
    base_file jinja;
    yyjson_doc *tokenizer, *sentence;
    char from[64];    /* of the template; "": there is none */
    const char *text; /* it */
    size_t length;
} chat_files;

/* One of several templates that have names: the usual one's is "default". */
static yyjson_val *named_template(yyjson_val *list) {
    size_t i, n;
    yyjson_val *v;
    yyjson_arr_foreach(list, i, n, v) if (strcmp(hf_json_string(v, "name", ""), "default") ==
                                          0) return yyjson_obj_get(v, "template");
    return NULL;
}

static nib_status open_files(nib_runtime *runtime, const char *dir, chat_files *f, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &runtime->heap;
    char *path = base_path_join(heap, dir, "chat_template.jinja");
    if (!path) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "no memory for a path");
    NIB_TRY(hf_json_open(runtime, dir, "tokenizer_config.json", false, &f->tokenizer, err));
    NIB_TRY(hf_json_open(runtime, dir, "sentence_bert_config.json", false, &f->sentence, err));
    if (base_path_is_file(path)) {
        NIB_TRY(base_file_open(heap, path, runtime->private_reads, &f->jinja, err));
        f->text = (const char *)f->jinja.data;
        f->length = f->jinja.size;
        snprintf(f->from, sizeof f->from, "chat_template.jinja");
    } else {
        yyjson_val *said = yyjson_obj_get(yyjson_doc_get_root(f->tokenizer), "chat_template");
        if (yyjson_is_arr(said)) said = named_template(said);
        f->text = yyjson_get_str(said);
        f->length = yyjson_get_len(said);
        if (f->text) snprintf(f->from, sizeof f->from, "chat_template of tokenizer_config.json");
    }
    const bool odd = f->text && (memchr(f->text, 0, f->length) || memchr(f->text, HF_PLACE_CUT, f->length));
    if (f->length > MOST_TEMPLATE || odd)
        NIB_FAIL(err, NIB_LIMIT, "%s: longer than %d bytes, or with a byte inside that no text has", f->from,
                 MOST_TEMPLATE);
fail:
    base_free(heap, path);
    return status;
}

nib_status hf_judge_load(nib_runtime *runtime, const char *dir, const hf_list *list, hf_settings *s, nib_error *err) {
    nib_status status = NIB_OK;
    chat_files f = {.text = NULL};
    hf_judge *j = &s->judge;
    const bool next_word = base_ends_with(s->architecture, "ForCausalLM"), plain = !list->there;
    NIB_TRY(open_files(runtime, dir, &f, err));
    yyjson_val *tokenizer = yyjson_doc_get_root(f.tokenizer), *sentence = yyjson_doc_get_root(f.sentence);
    yyjson_val *modalities = yyjson_obj_get(sentence, "modality_config");
    yyjson_val *message = yyjson_obj_get(modalities, "message");
    const bool named = message != NULL;
    chat c = {.from = f.from,
              .text = f.text,
              .length = f.length,
              .tokenizer = tokenizer,
              .said = yyjson_obj_get(yyjson_obj_get(sentence, "processing_kwargs"), "chat_template"),
              .parts = strcmp(hf_json_string(message, "format", ""), "structured") == 0};
    const bool open = !modalities && plain && (next_word || base_ends_with(s->architecture, "ForSequenceClassification"));
    j->next_word = j->words_from[0] || (next_word && plain);
    j->words[0] = "yes", j->words[1] = "no";
    if (f.text && (named || open)) NIB_TRY(use_template(&runtime->heap, &c, j, err));
    else if (named)
        snprintf(j->wrong, sizeof j->wrong, "sentence_bert_config.json wants messages, and there is no chat template");
    const bool useless = !j->from[0] || j->wrong[0];
    if (!named && useless) j->from[0] = j->wrong[0] = 0; /* pairs are the tokenizer's, or a card says more */
    for (size_t i = 0; open && next_word && useless && i < BASE_COUNT(cards); i++)
        if (strcmp(cards[i].model_type, s->model_type) == 0) {
            c.from = cards[i].name, c.text = cards[i].chat_template, c.length = strlen(c.text);
            memcpy(j->words, cards[i].words, sizeof j->words);
            NIB_TRY(use_template(&runtime->heap, &c, j, err));
        }
    if (j->next_word && j->capped)
        snprintf(j->no_head, sizeof j->no_head, "config.json: final_logit_softcapping, which nib does not apply");
    /* sentence-transformers gives the module no scores of words then, and fails */
    if (j->words_from[0] && strcmp(hf_json_string(sentence, "transformer_task", ""), "text-generation") != 0)
        snprintf(j->no_head, sizeof j->no_head,
                 "modules.json has a LogitScore, and sentence_bert_config.json does not say that transformer_task is text-generation");
    if (j->next_word && !j->from[0] && !j->wrong[0] && plain)
        snprintf(j->wrong, sizeof j->wrong, "it says of no words how a query and a document become one text");
fail:
    base_file_close(&f.jinja);
    base_json_free(&runtime->heap, f.tokenizer);
    base_json_free(&runtime->heap, f.sentence);
    return status;
}

/* ---------------------------------------------------------------- the row of the head */

/* The scores of all words are products with this table: a head's own, else the words', unless those are not the same. */
static const graph_tensor *find_table(const hf_weights *w, const char *model_type, bool untied) {
    const hf_family *f = hf_find_family(model_type);
    const graph_tensor *t = hf_weights_find(w, "lm_head.weight");
    char name[200];
    for (const char *const *p = f ? f->prefixes : NULL; p && *p && !t && !untied; p++)
        for (const char *at = f->names->words; *at && !t; at += strcspn(at, "|"), at += *at == '|') {
            snprintf(name, sizeof name, "%s%.*s.weight", *p, (int)strcspn(at, "|"), at);
            t = hf_weights_find(w, name);
        }
    return t;
}

/* yes's row less no's. */
static bool fill_row(const graph_tensor *table, int64_t yes, int64_t no, float *row) {
    const size_t n = (size_t)table->dims[1], size = table->bytes / (size_t)table->dims[0];
    float other[256];
    if (!base_is_half(table->dtype) && table->dtype != NIB_DTYPE_F32) return false;
    const char *from = table->data;
    base_widen(table->dtype, from + size * (size_t)yes, n, row);
    for (size_t i = 0; no >= 0 && i < n; i += BASE_COUNT(other)) {
        const size_t k = n - i < BASE_COUNT(other) ? n - i : BASE_COUNT(other);
        base_widen(table->dtype, from + size * (size_t)no + i * (size / n), k, other);
        for (size_t c = 0; c < k; c++) row[i + c] -= other[c];
    }
    return true;
}

nib_status hf_judge_open(nib_runtime *runtime, const char *dir, hf_settings *s, graph *g, nib_error *err) {
    nib_status status = NIB_OK;
    hf_judge *j = &s->judge;
    hf_weights *w = NULL;
    char *input = hf_folder(runtime, dir, s->input);
    if (!input) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a path");
    status = hf_weights_open(runtime, input, &w, err);
    if (status == NIB_NOT_FOUND) {
        snprintf(j->no_head, sizeof j->no_head,
                 "the scores of words are products with a table of safetensors, and there are none");
        status = NIB_OK;
        goto fail;
    }
    NIB_TRY(status);
    const graph_tensor *t = find_table(w, s->model_type, j->untied);
    if (!t && j->untied) {
        snprintf(j->no_head, sizeof j->no_head, "config.json says that the head is not the table of words (tie_word_embeddings), and "
                                                "there is no lm_head.weight");
        goto fail;
    }
    if (!t || t->rank != 2 || j->yes < 0 || j->yes >= t->dims[0] || j->no >= t->dims[0] || t->dims[1] < 1 ||
        t->dims[1] > INT32_MAX) {
        snprintf(j->no_head, sizeof j->no_head, "no table of words with the rows %lld and %lld (%.100s)",
                 (long long)j->yes, (long long)j->no, j->words_from[0] ? j->words_from : j->words[0]);
        goto fail;
    }
    float *row = base_arena_alloc(g->arena, (size_t)t->dims[1] * sizeof *row);
    if (!row) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a head");
    if (!fill_row(t, j->yes, j->no, row)) {
        snprintf(j->no_head, sizeof j->no_head, "a table of words of type %s", nib_dtype_name(t->dtype));
        goto fail;
    }
    j->weight = (graph_tensor){.dtype = NIB_DTYPE_F32,
                               .rank = 2,
                               .dims = {t->dims[1], 1},
                               .data = row,
                               .bytes = (size_t)t->dims[1] * sizeof *row};
fail:
    hf_weights_close(w);
    base_free(&runtime->heap, input);
    return status;
}

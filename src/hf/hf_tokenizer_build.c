/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a folder without tokenizer.json: vocabulary files, and tokenizer_config.json, special_tokens_map.json and
 * added_tokens.json over them. Out: the tokenizer.json that transformers 5 would make of them, by the class's row in
 * hf_classes.c. From there on there is one way: src/text reads it like any other.
 */
#include "hf_tokenizer_build.h"
#include "base/base_sort.h"
#include "hf_json.h"
#include "hf_tokenizer_parts.h"
#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------- the vocabulary */

static void encode_base64(base_str *out, const hf_bytes *in) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < in->length; i += 3) {
        const size_t n = in->length - i < 3 ? in->length - i : 3;
        uint32_t bits = 0;
        char four[4];
        for (size_t k = 0; k < 3; k++) bits = bits << 8 | (k < n ? (uint8_t)in->data[i + k] : 0);
        for (size_t k = 0; k < 4; k++) four[k] = k <= n ? digits[bits >> (18 - 6 * k) & 63] : '=';
        base_str_add_bytes(out, four, 4);
    }
}

static int longer_first(const void *x, const void *y) {
    const hf_piece *const *a = x, *const *b = y;
    const size_t n = (*a)->text.length, m = (*b)->text.length;
    return n == m ? ((*a)->id > (*b)->id) - ((*a)->id < (*b)->id) : n < m ? 1 : -1;
}

/* The user's own pieces, longest first, as alternatives of a regular expression. */
static nib_status make_pattern(hf_draft *b) {
    size_t count = 0;
    const hf_piece **own = base_alloc(b->heap, (b->pieces.count + 1) * sizeof *own);
    if (!own) return hf_draft_no_memory(b);
    for (size_t i = 0; i < b->pieces.count; i++)
        if (b->pieces.pieces[i].type == HF_PIECE_USER) own[count++] = &b->pieces.pieces[i];
    base_sort(own, count, sizeof *own, longer_first);
    for (size_t i = 0; i < count; i++) {
        if (i) base_str_add(&b->pattern, "|");
        for (size_t k = 0; k < own[i]->text.length; k++) {
            const char c = own[i]->text.data[k];
            if (c > 0 && strchr("\\^$.|?*+()[]{}-&~# \t\n\r\f\v", c)) base_str_add(&b->pattern, "\\");
            base_str_add_bytes(&b->pattern, &c, 1);
        }
    }
    base_free(b->heap, own);
    return b->pattern.failed ? hf_draft_no_memory(b) : NIB_OK;
}

/* One word of a row's list: an argument's token, "=literal", or what stands for several. */
static nib_status add_word(hf_draft *b, hf_vocab *to, const char *word);

static nib_status add_text(hf_draft *b, hf_vocab *to, const char *text, size_t length, float score) {
    /* the row's texts and made ones live in the draft, which holds them as long as it is */
    yyjson_mut_val *kept = base_json_text_n(&b->draft, text, length);
    if (!kept) return hf_draft_no_memory(b);
    const hf_bytes t = {yyjson_mut_get_str(kept), yyjson_mut_get_len(kept)};
    return hf_vocab_add(to, (hf_piece){t, score, (int32_t)to->count, HF_PIECE_CONTROL}, b->err);
}

nib_status hf_draft_add_words(hf_draft *b, hf_vocab *to, const char *words) {
    nib_status status = NIB_OK;
    char word[40];
    int n;
    for (; words && sscanf(words, " %39s%n", word, &n) == 1; words += n) NIB_TRY(add_word(b, to, word));
fail:
    return status;
}

static nib_status add_word(hf_draft *b, hf_vocab *to, const char *word) {
    nib_status status = NIB_OK;
    char key[48];
    if (word[0] == '=') return add_text(b, to, word + 1, strlen(word + 1), strcmp(word, "=<unk>NOTUSED") ? 0 : -100);
    if (strcmp(word, "languages") == 0) return hf_draft_add_words(b, to, hf_mbart_languages);
    if (strcmp(word, "extra_ids") == 0) {
        const int64_t n = yyjson_mut_get_sint(hf_draft_argument(b, "extra_ids"));
        if (n > 10000) NIB_FAIL(b->err, NIB_LIMIT, "tokenizer_config.json: extra_ids is more than 10000");
        for (int64_t i = n - 1; i >= 0; i--) {
            snprintf(key, sizeof key, "<extra_id_%d>", (int)i);
            NIB_TRY(add_text(b, to, key, strlen(key), 0));
        }
        return NIB_OK;
    }
    snprintf(key, sizeof key, "%s_token", word);
    yyjson_mut_val *v = hf_draft_argument(b, key);
    if (!yyjson_mut_is_str(v))
        NIB_FAIL(b->err, NIB_BAD_TOKENIZER, "%sTokenizer: its vocabulary needs a %s", b->class->name, key);
    status = add_text(b, to, yyjson_mut_get_str(v), yyjson_mut_get_len(v), 0);
fail:
    return status;
}

static nib_status read_pieces(hf_draft *b) {
    nib_status status = NIB_OK;
    const hf_class *c = b->class;
    const base_file *f = &b->files[0];
    NIB_TRY(hf_sentencepiece_read(b->heap, f->data, f->size, &b->pieces, b->err));
    encode_base64(&b->charsmap, &b->pieces.charsmap);
    if (b->charsmap.failed) return hf_draft_no_memory(b);
    if (c == &hf_class_pieces) NIB_TRY(make_pattern(b));
    NIB_TRY(hf_draft_add_words(b, &b->vocab, c->front));
    for (size_t i = c->dropped; i < b->pieces.count; i++) {
        hf_piece p = b->pieces.pieces[i];
        p.id = (int32_t)b->vocab.count;
        NIB_TRY(hf_vocab_add(&b->vocab, p, b->err));
    }
    NIB_TRY(hf_draft_add_words(b, &b->vocab, c->behind));
fail:
    return status;
}

/* ---------------------------------------------------------------- the model */

static nib_status put_unigram(hf_draft *b, yyjson_mut_val *model) {
    yyjson_mut_doc *doc = b->draft.doc;
    yyjson_mut_val *list = base_json_put_array(&b->draft, model, "vocab"), *unknown = hf_draft_argument(b, "unk_token");
    int64_t id = b->class->unknown[0];
    if (id == HF_UNKNOWN_NAMED) {
        const hf_piece *p = yyjson_mut_is_str(unknown)
                                ? hf_vocab_find(&b->vocab, yyjson_mut_get_str(unknown), yyjson_mut_get_len(unknown))
                                : NULL;
        id = p && (p->score == 0 || b->class->unknown[1] == 0) ? p->id : b->class->unknown[1];
    }
    if (id == HF_UNKNOWN_FILE) id = b->pieces.unknown;
    if (id < 0 || (size_t)id >= b->vocab.count)
        return base_error_set(b->err, NIB_BAD_TOKENIZER, "SentencePiece model: it has no unknown piece %lld",
                              (long long)id);
    for (size_t i = 0; i < b->vocab.count; i++) {
        const hf_piece *p = &b->vocab.items[i];
        yyjson_mut_val *pair = yyjson_mut_arr(doc);
        yyjson_mut_arr_append(pair, base_json_text_n(&b->draft, p->text.data, p->text.length));
        yyjson_mut_arr_add_real(doc, pair, (double)p->score);
        yyjson_mut_arr_append(list, pair);
    }
    yyjson_mut_obj_add_sint(doc, model, "unk_id", id);
    return NIB_OK;
}

static nib_status put_ids(hf_draft *b, yyjson_mut_val *model) {
    nib_status status = NIB_OK;
    yyjson_mut_doc *doc = b->draft.doc;
    yyjson_mut_val *object = base_json_put_object(&b->draft, model, "vocab");
    for (size_t i = 0; i < b->vocab.count; i++) {
        const hf_piece *p = &b->vocab.items[i];
        if (hf_vocab_find(&b->vocab, p->text.data, p->text.length) != p) continue;
        yyjson_mut_obj_add(object, base_json_text_n(&b->draft, p->text.data, p->text.length),
                           yyjson_mut_sint(doc, p->id));
    }
    if (b->class->vocab == HF_VOCAB_LINES) return NIB_OK;
    yyjson_mut_val *merges = base_json_put_array(&b->draft, model, "merges");
    if (b->class->vocab == HF_VOCAB_JSON)
        NIB_TRY(hf_vocab_read_merges(&b->draft, merges, (const char *)b->files[1].data, b->files[1].size, b->err));
    else NIB_TRY(hf_vocab_make_merges(&b->vocab, &b->draft, merges, b->class == &hf_class_pieces, b->err));
fail:
    return status;
}

static nib_status put_model(hf_draft *b) {
    nib_status status = NIB_OK;
    yyjson_mut_val *model;
    NIB_TRY(hf_draft_expand(b, b->class->model, &model));
    if (yyjson_mut_is_arr(model)) model = yyjson_mut_arr_remove_first(model);
    yyjson_mut_obj_add_val(b->draft.doc, b->draft.root, "model", model);
    if (yyjson_mut_equals_str(yyjson_mut_obj_get(model, "type"), "Unigram")) NIB_TRY(put_unigram(b, model));
    else NIB_TRY(put_ids(b, model));
fail:
    return status;
}

/* ---------------------------------------------------------------- all */

static nib_status put_all(hf_draft *b, base_str *out) {
    nib_status status = NIB_OK;
    const hf_class *c = b->class;
    const char *arguments = c->arguments;
    NIB_TRY(base_json_parse(b->heap, arguments, strlen(arguments), c->name, NIB_BAD_TOKENIZER, &b->row, b->err));
    if (c->vocab == HF_VOCAB_SENTENCEPIECE) NIB_TRY(read_pieces(b));
    const char *bytes = (const char *)b->files[0].data;
    if (c->vocab == HF_VOCAB_LINES) NIB_TRY(hf_vocab_read_lines(&b->vocab, bytes, b->files[0].size, b->err));
    if (c->vocab == HF_VOCAB_JSON) {
        NIB_TRY(base_json_parse(b->heap, bytes, b->files[0].size, "vocab.json", NIB_BAD_TOKENIZER, &b->words, b->err));
        NIB_TRY(hf_vocab_read_json(&b->vocab, yyjson_doc_get_root(b->words), b->err));
    }
    yyjson_mut_obj_add_str(b->draft.doc, b->draft.root, "version", "1.0");
    yyjson_mut_obj_add_null(b->draft.doc, b->draft.root, "truncation");
    yyjson_mut_obj_add_null(b->draft.doc, b->draft.root, "padding");
    NIB_TRY(hf_draft_add_tokens(b));
    NIB_TRY(hf_draft_put_section(b, "normalizer", "normalizers", c->normalizer));
    NIB_TRY(hf_draft_put_section(b, "pre_tokenizer", "pretokenizers", c->pre_tokenizer));
    NIB_TRY(hf_draft_put_template(b));
    NIB_TRY(hf_draft_put_section(b, "decoder", "decoders", c->decoder));
    NIB_TRY(put_model(b));
    NIB_TRY(base_json_write(&b->draft, out, b->err));
fail:
    return status;
}

/* What is missing in a draft whose memory ran out looks like a file's fault, and is none. */
static nib_status put_or_no_memory(hf_draft *b, base_str *out) {
    const nib_status status = put_all(b, out);
    return status != NIB_OK && b->draft.failed ? hf_draft_no_memory(b) : status;
}

static void begin(hf_draft *b, nib_runtime *runtime, nib_error *err) {
    *b = (hf_draft){.runtime = runtime, .heap = &runtime->heap, .err = err};
    b->vocab.heap = b->added.heap = b->heap;
    base_str_init(&b->charsmap, b->heap);
    base_str_init(&b->pattern, b->heap);
    base_json_draft_init(&b->draft, b->heap);
}

static void end(hf_draft *b) {
    yyjson_doc *const docs[] = {b->config, b->special, b->older, b->row, b->words};
    for (size_t i = 0; i < BASE_COUNT(docs); i++) base_json_free(b->heap, docs[i]);
    hf_sentencepiece_free(b->heap, &b->pieces);
    hf_vocab_free(&b->vocab);
    hf_vocab_free(&b->added);
    base_str_free(&b->charsmap);
    base_str_free(&b->pattern);
    base_json_drop(&b->draft);
    for (int k = 0; k < 2; k++) base_file_close(&b->files[k]);
}

static const char *const vocab_names[][6] = {
    [HF_VOCAB_LINES] = {"vocab.txt", NULL},
    [HF_VOCAB_JSON] = {"vocab.json", NULL},
    [HF_VOCAB_SENTENCEPIECE] = {"tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model",
                                "sentencepiece.model", NULL},
};

/* Opens dir/name if it is there. */
static nib_status open_if_there(hf_draft *b, const char *dir, const char *name, base_file *file, bool *there) {
    nib_status status = NIB_OK;
    char *path = base_path_join(b->heap, dir, name);
    if (!path) return hf_draft_no_memory(b);
    *there = base_path_is_file(path);
    if (*there) status = base_file_open(b->heap, path, b->runtime->private_reads, file, b->err);
    base_free(b->heap, path);
    return status;
}

static nib_status open_vocab(hf_draft *b, const char *dir, hf_vocab_kind kind, bool *there) {
    nib_status status = NIB_OK;
    *there = false;
    for (const char *const *name = vocab_names[kind]; *name && !*there; name++)
        NIB_TRY(open_if_there(b, dir, *name, &b->files[0], there));
    if (!*there || kind != HF_VOCAB_JSON) return NIB_OK;
    NIB_TRY(open_if_there(b, dir, "merges.txt", &b->files[1], there));
    if (!*there) NIB_FAIL(b->err, NIB_NOT_FOUND, "%s: vocab.json is there without merges.txt", dir);
fail:
    return status;
}

nib_status hf_tokenizer_build(nib_runtime *runtime, const char *dir, const hf_settings *s, base_str *out,
                              nib_error *err) {
    nib_status status = NIB_OK;
    hf_draft b;
    bool there = false;
    begin(&b, runtime, err);
    NIB_TRY(hf_json_open(runtime, dir, "tokenizer_config.json", false, &b.config, err));
    NIB_TRY(hf_json_open(runtime, dir, "special_tokens_map.json", false, &b.special, err));
    NIB_TRY(hf_json_open(runtime, dir, "added_tokens.json", false, &b.older, err));
    const char *name = hf_json_string(yyjson_doc_get_root(b.config), "tokenizer_class", s->tokenizer_class);
    const bool as_it_is = strcmp(name, "TokenizersBackend") == 0 || strcmp(name, "PreTrainedTokenizerFast") == 0;
    b.class = *name ? hf_class_find(name) : hf_class_of_model(s->model_type);
    if (b.class) NIB_TRY(open_vocab(&b, dir, b.class->vocab, &there));
    if (!b.class && (!*name || as_it_is)) {
        NIB_TRY(open_vocab(&b, dir, HF_VOCAB_SENTENCEPIECE, &there));
        if (there) b.class = &hf_class_pieces;
    }
    for (int kind = 0; !b.class && !there && kind <= HF_VOCAB_SENTENCEPIECE; kind++) {
        NIB_TRY(open_vocab(&b, dir, (hf_vocab_kind)kind, &there));
        if (there)
            NIB_FAIL(err, NIB_UNSUPPORTED, "%s: %s is no class of tokenizers that nib builds without tokenizer.json",
                     dir, *name ? name : "no class that is named");
    }
    if (!there) NIB_FAIL(err, NIB_NOT_FOUND, "there is no tokenizer.json beside the model, and no vocabulary file");
    status = put_or_no_memory(&b, out);
fail:
    end(&b);
    return status;
}

nib_status hf_tokenizer_build_file(nib_runtime *runtime, const void *bytes, size_t size, bool lines, base_str *out,
                                   nib_error *err) {
    hf_draft b;
    begin(&b, runtime, err);
    b.class = lines ? hf_class_find("Bert") : &hf_class_pieces;
    b.files[0] = (base_file){0};
    b.files[0].data = bytes;
    b.files[0].size = size;
    nib_status status = put_or_no_memory(&b, out);
    b.files[0] = (base_file){0};
    end(&b);
    return status;
}

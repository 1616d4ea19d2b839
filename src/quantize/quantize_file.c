/* SPDX-License-Identifier: Apache-2.0
 *
 * nib_quantize_file. In: a model's path, options with texts. Out: a file or folder with smaller weights, and the receipt.
 *
 * Both vectors of a text are computed: by the model as it was, in f32, and by what would be written, as nib runs it and as ONNX means it
 * (no rewriting: the graph as it stands). Of a model that gives no vectors both graphs are run on random inputs instead. Nothing is written
 * before, and nothing below min_cosine: there, layers get more bits first, those before the others whose rounding costs the vectors most
 * for their bytes. So it is with `mixed`, up to a size or a cosine.
 */
#include "quantize.h"
#include <stdio.h>
#include <string.h>

typedef struct quantizing {
    nib_runtime *runtime;
    const nib_quantize_options *o;
    const char *in;
    graph *source, *base, *g; /* as loaded; simplified; quantized */
    char *folder;             /* of the small files; NULL: the path was a file */
    quantize_layers layers;
    nib_model *reference; /* of base, in f32; NULL: it does not embed texts, and why says so */
    char why[REWRITE_WHY];
    float *wanted; /* its vectors of the check texts [n, width] */
    int64_t width;
    const char *const *check;
    size_t n_check;
    quantize_receipt receipt;
    pass_notes notes, halves; /* where other weights lie; what fp16 left in f32 */
    nib_error *err;
} quantizing;

static void done(quantizing *z) {
    base_heap *heap = &z->runtime->heap;
    model_release(z->reference);
    quantize_layers_free(heap, &z->layers);
    graph_free(z->g);
    graph_free(z->base);
    graph_free(z->source);
    base_free(heap, z->wanted);
    base_free(heap, z->folder);
    base_str_free(&z->notes.text);
    base_str_free(&z->halves.text);
}

/* ---------------------------------------------------------------- the model as it was */

static bool is_left(const quantizing *z, const quantize_layer *l, quantize_bits bits) {
    return l->kept || l->why || (bits == QUANTIZE_4 && l->K % z->o->block != 0);
}

static bool is_half(const quantizing *z) { return z->o->type == NIB_QUANTIZE_FP16 || z->o->type == NIB_QUANTIZE_BF16; }

static bool has_blocks(const quantizing *z) { return z->o->type == NIB_QUANTIZE_INT4 || z->o->type == NIB_QUANTIZE_MIXED; }

static quantize_bits wanted_bits(const quantizing *z) { return has_blocks(z) ? QUANTIZE_4 : QUANTIZE_8; }

static nib_status load(quantizing *z) {
    nib_status status = NIB_OK;
    model_found found;
    char why[REWRITE_WHY];
    kernels ks;
    kernel_table_init(&ks, z->runtime->isas);
    base_str_init(&z->notes.text, &z->runtime->heap);
    base_str_init(&z->halves.text, &z->runtime->heap);
    NIB_TRY(model_load(z->runtime, z->in, NULL, NIB_PRECISION_FILE, &z->source, &found, z->err));
    if (base_path_is_dir(z->in) && !(z->folder = base_strndup(&z->runtime->heap, z->in, strlen(z->in))))
        NIB_FAIL(z->err, NIB_OUT_OF_MEMORY, "out of memory");
    op_resolve(z->source);
    NIB_TRY(op_infer_declared(z->source, why, sizeof why, z->err));
    pass_context ctx = {
        .g = z->source, .runtime = z->runtime, .kernels = &ks, .level = 1, .mode = PASS_MODE_FILE, .notes = &z->notes, .err = z->err};
    NIB_TRY(pass_dropout(&ctx));
    if (!graph_align_constants(z->source)) NIB_FAIL(z->err, NIB_OUT_OF_MEMORY, "out of memory for weights");
    NIB_TRY(graph_clone(z->source, &z->base, z->err));
    ctx.g = z->base;
    NIB_TRY(pass_run_all(&ctx));
    NIB_TRY(quantize_open_gemm(&ctx));
    NIB_TRY(pass_names(&ctx));
    NIB_TRY(quantize_find(&z->runtime->heap, z->base, z->o, &z->layers, z->err));
    base_str_clear(&z->notes.text);
    quantize_rest(z->base, &z->layers, &z->notes.text);
    bool any = false;
    for (int i = 0; i < z->layers.count; i++) any |= !is_left(z, &z->layers.items[i], wanted_bits(z));
    if (!any)
        NIB_FAIL(z->err, NIB_UNSUPPORTED,
                 "there is nothing to quantize: no product with a constant matrix of f32, nor a large table, that may be; weights: %.200s",
                 z->notes.text.length ? z->notes.text.data : "none of 2 kB");
fail:
    return status;
}

static nib_status open_model(quantizing *z, const graph *g, nib_precision precision, int optimize, nib_model **out) {
    return quantize_open_model(z->runtime, &(model_source){.path = z->in, .graph = g}, precision, optimize, out, z->err);
}

/* The reference, and its vectors; a model without a tokenizer, or that gives none, is quantized all the same. */
static nib_status refer(quantizing *z) {
    nib_status status = NIB_OK;
    NIB_TRY(open_model(z, z->base, NIB_PRECISION_F32, -1, &z->reference));
    status = quantize_vectors(z->reference, z->check, z->n_check, &z->wanted, &z->width, z->err);
    if (status == NIB_UNSUPPORTED || status == NIB_NOT_FOUND) {
        snprintf(z->why, sizeof z->why, "%.280s", z->err ? z->err->message : "the model does not embed texts");
        if (z->o->min_cosine > 0 || z->o->type == NIB_QUANTIZE_MIXED)
            NIB_FAIL(z->err, NIB_UNSUPPORTED, "min_cosine cannot be kept where nothing is measured: %s", z->why);
        base_error_clear(z->err);
        status = NIB_OK;
    }
fail:
    return status;
}

/* ---------------------------------------------------------------- rounding */

#define SMALL_TABLE 4096 /* rows: fewer, positions' say, are looked up for every token, and save little with 4 bits */

static nib_status round_one(quantizing *z, quantize_layer *l, quantize_bits bits, const quantize_moments *m) {
    if (is_left(z, l, bits)) return NIB_OK;
    if (l->table && l->N < SMALL_TABLE) bits = QUANTIZE_8;
    nib_status status = NIB_OK;
    const bool raises = bits == QUANTIZE_4 && m && (z->o->min_cosine > 0 || z->o->type == NIB_QUANTIZE_MIXED);
    if (raises) { /* what it may be raised to, while its moments are known */
        NIB_TRY(quantize_round(z->runtime, l, QUANTIZE_8, l->K, m, z->err));
        l->high = l->codes;
        l->codes = (quantize_codes){.bits = QUANTIZE_NONE};
    }
    NIB_TRY(quantize_round(z->runtime, l, bits, z->o->block, m, z->err));
fail:
    return status;
}

static nib_status round_readers(void *user, const quantize_moments *m, nib_error *err) {
    quantizing *z = user;
    nib_status status = NIB_OK;
    NIB_TRY(quantize_migrate(&z->runtime->heap, &z->layers, m, wanted_bits(z) == QUANTIZE_4 ? z->o->block : 0, err));
    if (z->o->type == NIB_QUANTIZE_INT8_STATIC) NIB_TRY(quantize_range(&z->runtime->heap, &z->layers, m, z->o->ranges, err));
    for (int i = 0; i < z->layers.count; i++) {
        quantize_layer *l = &z->layers.items[i];
        if (!l->table && l->x == m->x) NIB_TRY(round_one(z, l, wanted_bits(z), m));
    }
fail:
    return status;
}

static nib_status round_all(quantizing *z) {
    nib_status status = NIB_OK;
    if (is_half(z)) return NIB_OK;
    if (z->o->calibrate_count) {
        if (z->why[0]) NIB_FAIL(z->err, NIB_UNSUPPORTED, "calibrating: %s", z->why);
        NIB_TRY(quantize_calibrate(z->reference, z->base, &z->layers, z->o->calibrate, z->o->calibrate_count, round_readers, z, z->err));
    }
    for (int i = 0; i < z->layers.count; i++)
        if (!z->layers.items[i].codes.q) NIB_TRY(round_one(z, &z->layers.items[i], wanted_bits(z), NULL));
fail:
    return status;
}

/* ---------------------------------------------------------------- measuring, and more bits */

static nib_status measure_as(quantizing *z, nib_precision precision, int optimize, size_t texts, quantize_quality *out) {
    nib_status status = NIB_OK;
    nib_model *m = NULL;
    float *got = NULL;
    int64_t width;
    NIB_TRY(open_model(z, z->g, precision, optimize, &m));
    NIB_TRY(quantize_vectors(m, z->check, texts, &got, &width, z->err));
    quantize_compare(z->wanted, got, texts, width, out);
fail:
    base_free(&z->runtime->heap, got);
    model_release(m);
    return status;
}

#define HALF_TEXTS 16 /* of a file in 16 bits as ONNX means it, which runs node by node without a kernel of its own */

static nib_status write_and_measure(quantizing *z) {
    nib_status status = NIB_OK;
    quantize_receipt *t = &z->receipt;
    graph_free(z->g);
    z->g = NULL;
    NIB_TRY(graph_clone(z->base, &z->g, z->err));
    base_str_clear(&z->halves.text);
    if (is_half(z)) NIB_TRY(quantize_write_half(z->runtime, z->g, &z->layers, z->o->type, &z->halves, z->err));
    else NIB_TRY(quantize_write(z->runtime, z->g, &z->layers, z->o, z->err));
    if (z->o->preset && z->o->type == NIB_QUANTIZE_INT8) NIB_TRY(quantize_write_products(z->runtime, z->g, z->o, z->err));
    t->nib.known = t->file.known = false;
    snprintf(t->nib.why, sizeof t->nib.why, "%s", z->why);
    snprintf(t->file.why, sizeof t->file.why, "%s", z->why);
    if (z->why[0]) goto fail;
    NIB_TRY(measure_as(z, NIB_PRECISION_FILE, -1, z->n_check, &t->nib));
    NIB_TRY(measure_as(z, NIB_PRECISION_F32, 1, is_half(z) && z->n_check > HALF_TEXTS ? HALF_TEXTS : z->n_check, &t->file));
fail:
    return status;
}

static bool is_below(const quantizing *z) {
    const quantize_receipt *t = &z->receipt;
    return z->o->min_cosine > 0 && t->nib.known && (t->nib.mean < z->o->min_cosine || t->file.mean < z->o->min_cosine);
}

#define EFFECT_TEXTS 32 /* a run for each layer: MiniLM's 38 take 8 s */

/* What each layer costs where it alone is rounded: on texts to calibrate on, if there are, for those to check with shall not choose. */
static nib_status measure_effects(quantizing *z) {
    nib_status status = NIB_OK;
    const char *const *texts = z->o->calibrate_count ? z->o->calibrate : z->check;
    size_t n = z->o->calibrate_count ? z->o->calibrate_count : z->n_check;
    float *wanted = NULL, *got = NULL;
    int64_t width;
    nib_model *m = NULL;
    graph *g = NULL;
    n = n < EFFECT_TEXTS ? n : EFFECT_TEXTS;
    NIB_TRY(quantize_vectors(z->reference, texts, n, &wanted, &width, z->err));
    for (int i = 0; i < z->layers.count; i++) {
        quantize_layer *l = &z->layers.items[i];
        const quantize_layers alone = {l, 1};
        quantize_quality q;
        if (!l->codes.q) continue;
        NIB_TRY(graph_clone(z->base, &g, z->err));
        NIB_TRY(quantize_write(z->runtime, g, &alone, z->o, z->err));
        NIB_TRY(open_model(z, g, NIB_PRECISION_F32, -1, &m));
        NIB_TRY(quantize_vectors(m, texts, n, &got, &width, z->err));
        quantize_compare(wanted, got, n, width, &q);
        l->effect = 1 - q.mean;
        base_free(&z->runtime->heap, got);
        model_release(m);
        graph_free(g);
        got = NULL, m = NULL, g = NULL;
        NIB_TRY(base_stop_check(z->err));
    }
fail:
    base_free(&z->runtime->heap, wanted);
    base_free(&z->runtime->heap, got);
    model_release(m);
    graph_free(g);
    return status;
}

static uint64_t weight_bytes(const graph *g) {
    uint64_t bytes = 0;
    for (int i = 0; i < g->n_constants; i++) bytes += g->constants[i]->constant->bytes;
    return bytes;
}

static nib_status take(quantizing *z, const quantize_step *steps, int n) {
    nib_status status = NIB_OK;
    NIB_TRY(quantize_take(z->runtime, &z->layers, steps, n, z->err));
    NIB_TRY(write_and_measure(z));
    z->receipt.raised = n;
fail:
    return status;
}

/* The least steps that reach min_cosine, or all that the size allows. */
static nib_status mix(quantizing *z) {
    nib_status status = NIB_OK;
    const uint64_t most = (uint64_t)z->o->most_bytes, bytes = weight_bytes(z->g);
    quantize_step *steps = NULL;
    int n = 0, lo = 0, hi, at = 0;
    if (!is_below(z) && !most) return NIB_OK;
    if (most && bytes > most)
        NIB_FAIL(z->err, NIB_UNSUPPORTED, "with the fewest bits, weights have %.2f MB: more than the %.2f MB that were asked for",
                 (double)bytes / 1e6, (double)most / 1e6);
    NIB_TRY(measure_effects(z));
    NIB_TRY(quantize_plan(&z->runtime->heap, &z->layers, &steps, &n, z->err));
    if (most) quantize_fit(steps, &n, bytes, most);
    for (hi = n, lo = most ? n : 1; lo < hi;) {
        at = (lo + hi) / 2;
        NIB_TRY(take(z, steps, at));
        if (is_below(z)) lo = at + 1;
        else hi = at;
    }
    if (at != lo && n) NIB_TRY(take(z, steps, lo));
fail:
    base_free(&z->runtime->heap, steps);
    return status;
}

/* ---------------------------------------------------------------- the verb */

static nib_status check_texts(const quantizing *z) {
    for (size_t i = 0; i < z->o->calibrate_count; i++)
        for (size_t k = 0; k < z->n_check; k++)
            if (strcmp(z->o->calibrate[i], z->check[k]) == 0)
                return base_error_set(z->err, NIB_INVALID_ARGUMENT,
                                      "a text is among both those to calibrate on and those to check with, which would flatter the "
                                      "result: \"%.60s\"",
                                      z->check[k]);
    return NIB_OK;
}

/* What both cost: on top of the receipt, for nib.json has no times, so that the same model gives the same file. */
static nib_status add_cost(const quantizing *z, const char *out, nib_report *r) {
    const char *const paths[2] = {z->in, out};
    quantize_cost cost[2];
    nib_error e = {.offset = -1};
    const char *why = z->why[0] ? z->why : NULL;
    /* The model is written: what is wrong here is no more than a line of the receipt. */
    if (!why && quantize_cost_of(z->runtime, paths, z->check, z->n_check, cost, &e) != NIB_OK) why = e.message;
    quantize_receipt_cost(r, cost, z->n_check, nib_runtime_threads(z->runtime), why);
    return rewrite_report_write(r, z->err);
}

static nib_status make(quantizing *z, const char *out, nib_report **r, bool *refused) {
    nib_status status = NIB_OK;
    rewrite_proof outputs = {0};
    const double begun = base_clock();
    NIB_TRY(check_texts(z));
    NIB_TRY(load(z));
    NIB_TRY(rewrite_check_out(z->runtime, z->folder, out, z->err));
    NIB_TRY(refer(z));
    base_stop_advance(1);
    NIB_TRY(round_all(z));
    base_stop_advance(1);
    NIB_TRY(write_and_measure(z));
    if (!z->why[0]) NIB_TRY(mix(z));
    base_stop_advance(1);
    if (z->why[0]) NIB_TRY(rewrite_prove(z->runtime, z->source, z->g, REWRITE_PROVE_WHOLE, &outputs, z->err));
    NIB_TRY(rewrite_report_create(r, z->err));
    z->receipt.bytes[0] = weight_bytes(z->base), z->receipt.bytes[1] = weight_bytes(z->g);
    z->receipt.seconds = base_clock() - begun;
    z->receipt.notes = z->halves.text.length ? z->halves.text.data : NULL;
    z->receipt.rest = z->notes.text.length ? z->notes.text.data : NULL;
    quantize_receipt_put(*r, &z->receipt);
    if (z->why[0]) rewrite_report_proof(*r, &outputs, 1); /* how far, not whether: there is no tolerance */
    NIB_TRY(rewrite_report_write(*r, z->err));
    const quantize_quality *nib = &z->receipt.nib, *file = &z->receipt.file;
    const size_t lost = nib->lost > file->lost ? nib->lost : file->lost;
    *refused = lost || is_below(z);
    if (lost) /* an fp16 file whose ranges real texts leave, say: nobody asks for that */
        NIB_FAIL(z->err, NIB_DIFFERENT, "of %zu texts %zu give what is no number%s, and in f32 numbers; nothing was written",
                 (nib->lost > file->lost ? nib : file)->texts, lost, nib->lost > file->lost ? "" : " as ONNX means the file");
    if (*refused)
        NIB_FAIL(z->err, NIB_DIFFERENT, "mean cosine %.5f is below %.5f, with all layers raised; nothing was written",
                 nib->mean < file->mean ? nib->mean : file->mean, z->o->min_cosine);
    NIB_TRY(rewrite_write_out(z->runtime, z->g, &(rewrite_out){z->folder, out, z->o->external_over, z->source}, *r, z->err));
    base_stop_advance(1);
fail:
    return status;
}

nib_status quantize_file(nib_runtime *runtime, const char *in, const char *out, const nib_quantize_options *o, nib_report **report,
                         nib_error *err) {
    nib_report *r = NULL;
    bool refused = false;
    nib_error own = {.offset = -1};
    quantizing z = {.runtime = runtime, .o = o, .in = in, .err = err ? err : &own};
    *report = NULL;
    z.check = quantize_own_texts(&z.n_check);
    if (o->check_count) z.check = o->check, z.n_check = o->check_count;
    z.receipt = (quantize_receipt){.options = o, .layers = &z.layers};
    nib_status status = make(&z, out, &r, &refused);
    done(&z); /* before both are opened: they shall have the memory */
    if (status == NIB_OK && o->speed) status = add_cost(&z, out, r);
    if (status == NIB_OK || refused) *report = r;
    else rewrite_report_free(r);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Every family that folders may have, against what transformers computes (tools/make_hf_goldens.py): padded on either
 * side through named tensors, and texts of other lengths together through the packed plan. A model that is changed a
 * little must differ by more than that, and one that is said in other words must not.
 */
#include "hf_golden.h"
#include "nib/nib.h"
#include <math.h>

#define TOLERANCE 1e-4 /* of the largest number */
#define TEXTS 8

typedef struct opened {
    nib_model *model;
    yyjson_val *golden;
    const char *name;
    int *compared; /* of a file that has one of a golden's outputs alone: how many outputs were; NULL: all are there */
} opened;

static nib_model *open_path(const char *path, const char *name, nib_precision precision) {
    nib_model_options o;
    nib_model *m;
    nib_error e;
    nib_model_defaults(&o, sizeof o);
    o.pooling = NIB_POOLING_MEAN;
    o.normalize = 0;
    o.precision = precision;
    if (nib_model_open(path, &o, &m, &e) != NIB_OK) fail_msg("%s: %s", name, e.message);
    return m;
}

static nib_model *open_folder(const char *name, nib_precision precision) { return open_path(hf_dir, name, precision); }

/* [B, S] of a list of lists. */
static int64_t *read_ids(yyjson_val *rows, int64_t dims[2]) {
    size_t i, n, k, m;
    yyjson_val *row, *v;
    dims[0] = (int64_t)yyjson_arr_size(rows);
    dims[1] = (int64_t)yyjson_arr_size(yyjson_arr_get_first(rows));
    int64_t *out = calloc((size_t)(dims[0] * dims[1]), sizeof *out);
    yyjson_arr_foreach(rows, i, n, row) yyjson_arr_foreach(row, k, m, v) out[(int64_t)i * dims[1] + (int64_t)k] =
        yyjson_get_sint(v);
    return out;
}

/* The largest difference of rows of `got` from a golden's values, as a part of the largest of them. */
static double output_difference(const nib_tensor *got, yyjson_val *golden) {
    yyjson_val *rows = yyjson_obj_get(golden, "rows"), *values = yyjson_obj_get(golden, "values");
    const int64_t width = got->dims[got->rank - 1];
    double worst = 0, largest = 0;
    size_t i, n;
    yyjson_val *v;
    if ((int64_t)yyjson_arr_size(values) != (rows ? (int64_t)yyjson_arr_size(rows) : got->dims[0]) * width)
        return INFINITY;
    yyjson_arr_foreach(values, i, n, v) {
        int64_t at = (int64_t)i / width;
        if (rows) {
            yyjson_val *row = yyjson_arr_get(rows, (size_t)at);
            at = yyjson_get_sint(yyjson_arr_get(row, 0)) * got->dims[1] + yyjson_get_sint(yyjson_arr_get(row, 1));
        }
        const double want = yyjson_get_num(v),
                     d = fabs((double)((const float *)got->data)[at * width + (int64_t)i % width] - want);
        if (!(d <= worst)) worst = d;
        if (fabs(want) > largest) largest = fabs(want);
    }
    return worst / largest;
}

static bool bind(const opened *o, nib_session *s, const char *name, const int64_t *data, const int64_t dims[2]) {
    nib_error e;
    nib_tensor t = {.dtype = NIB_DTYPE_I64,
                    .rank = 2,
                    .dims = {dims[0], dims[1]},
                    .data = (void *)data,
                    .bytes = (size_t)(dims[0] * dims[1]) * 8};
    const nib_status status = nib_session_set_input(s, name, &t, &e);
    if (status != NIB_OK && status != NIB_NOT_FOUND) fail_msg("%s, %s: %s", o->name, name, e.message);
    return status == NIB_OK;
}

/* The largest difference of all outputs of one batch. */
static double batch_difference(const opened *o, yyjson_val *batch) {
    int64_t dims[2], *ids = read_ids(yyjson_obj_get(batch, "ids"), dims),
                     *mask = read_ids(yyjson_obj_get(batch, "mask"), dims);
    nib_session *s;
    nib_error e;
    double worst = 0;
    size_t i, n;
    yyjson_val *key, *golden;
    if (nib_session_create(o->model, &s, &e) != NIB_OK) fail_msg("%s: %s", o->name, e.message);
    const bool with_types = yyjson_get_bool(yyjson_obj_get(o->golden, "types"));
    int64_t *types = calloc((size_t)(dims[0] * dims[1]), sizeof *types);
    for (int64_t k = 0; with_types && k < dims[0] * dims[1]; k++) types[k] = ids[k] % 2;
    assert_true(bind(o, s, "input_ids", ids, dims) && bind(o, s, "attention_mask", mask, dims));
    assert_true(bind(o, s, "token_type_ids", types, dims) || !with_types);
    if (nib_session_run(s, &e) != NIB_OK) fail_msg("%s: %s", o->name, e.message);
    yyjson_obj_foreach(yyjson_obj_get(batch, "outputs"), i, n, key, golden) {
        nib_tensor got;
        const nib_status status = nib_session_get_output(s, yyjson_get_str(key), &got, &e);
        if (status == NIB_NOT_FOUND && o->compared) continue;
        if (status != NIB_OK) fail_msg("%s: %s", o->name, e.message);
        if (o->compared) ++*o->compared;
        const double d = output_difference(&got, golden);
        if (!(d <= worst)) worst = d;
    }
    nib_session_free(s);
    free(ids);
    free(mask);
    free(types);
    return worst;
}

/* Texts, of lengths that differ, in one call or one by one: the means of their rows, [texts, dim], which the caller frees. */
static float *means_of(const opened *o, bool one_by_one, int64_t *count) {
    yyjson_val *batch = yyjson_arr_get_first(yyjson_obj_get(o->golden, "batches"));
    int64_t dims[2], lengths[TEXTS], *ids = read_ids(yyjson_obj_get(batch, "ids"), dims),
                                     *mask = read_ids(yyjson_obj_get(batch, "mask"), dims);
    const int32_t *texts[TEXTS];
    int32_t narrow[TEXTS][64];
    nib_error e;
    assert_true(dims[0] <= TEXTS && dims[1] <= 64);
    for (int64_t b = 0; b < dims[0]; b++) {
        lengths[b] = 0;
        for (int64_t k = 0; k < dims[1]; k++)
            if (mask[b * dims[1] + k]) narrow[b][lengths[b]++] = (int32_t)ids[b * dims[1] + k];
        texts[b] = narrow[b];
    }
    const int64_t at_once = one_by_one ? 1 : dims[0], width = nib_model_dim(o->model);
    float *out = calloc((size_t)(dims[0] * width), sizeof *out);
    for (int64_t b = 0; b < dims[0]; b += at_once)
        if (nib_embed_ids(o->model, texts + b, lengths + b, (size_t)at_once, NULL, out + b * width, &e) != NIB_OK)
            fail_msg("%s: %s", o->name, e.message);
    *count = dims[0];
    free(ids);
    free(mask);
    return out;
}

static float *packed_means(const opened *o, int64_t *count) { return means_of(o, false, count); }
static float *means_one_by_one(const opened *o, int64_t *count) { return means_of(o, true, count); }

static double packed_difference(const opened *o) {
    int64_t count;
    float *out = packed_means(o, &count);
    const nib_tensor got = {.rank = 2, .dims = {count, nib_model_dim(o->model)}, .data = out};
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_val(doc, root, "values", yyjson_val_mut_copy(doc, yyjson_obj_get(o->golden, "means")));
    yyjson_doc *wrapped = yyjson_mut_val_imut_copy(root, NULL);
    const double d = output_difference(&got, yyjson_doc_get_root(wrapped));
    yyjson_doc_free(wrapped);
    yyjson_mut_doc_free(doc);
    free(out);
    return d;
}

/* The largest difference of all that a golden has, of the model in hf_dir. */
static double difference(const char *name, yyjson_val *golden) {
    const opened o = {open_folder(name, NIB_PRECISION_FILE), golden, name, NULL};
    double worst = packed_difference(&o);
    size_t i, n;
    yyjson_val *batch;
    yyjson_arr_foreach(yyjson_obj_get(golden, "batches"), i, n, batch) {
        const double d = batch_difference(&o, batch);
        if (!(d <= worst)) worst = d;
    }
    nib_model_free(o.model);
    return worst;
}

/* The folder as nib export writes it: what is read from that file is what the folder gives. */
static void exported(const char *name, yyjson_val *golden, int opset, bool pooling) {
    nib_export_options options;
    nib_error e;
    char path[100];
    double worst = 0;
    int compared = 0;
    size_t i, n;
    yyjson_val *batch;
    nib_export_defaults(&options, sizeof options);
    options.opset = opset;
    options.pooling = pooling;
    snprintf(path, sizeof path, "%s/exported", hf_dir);
    if (nib_export_folder(hf_dir, path, &options, &e) != NIB_OK) fail_msg("%s, opset %d: %s", name, opset, e.message);
    const opened o = {open_path(path, name, NIB_PRECISION_FILE), golden, name, &compared};
    if (pooling) {
        worst = packed_difference(&o);
    } else {
        yyjson_arr_foreach(yyjson_obj_get(golden, "batches"), i, n, batch) {
            const double d = batch_difference(&o, batch);
            if (!(d <= worst)) worst = d;
        }
        assert_true(compared > 0);
    }
    if (!(worst <= TOLERANCE)) fail_msg("%s exported, opset %d, pooling %d: differs by %g", name, opset, pooling, worst);
    nib_model_free(o.model);
}

/* In its own opset, and in one of the others, family by family; tools/check_exports.py takes all. */
static void one_export(void *user, const char *name) {
    static const int others[] = {15, 20, 24};
    const int opsets[] = {0, others[(*(int *)user)++ % (int)BASE_COUNT(others)]};
    yyjson_doc *golden = golden_read(name, "golden.json"), *config = golden_read(name, "config.json");
    const golden_spoil none = {{NULL, NULL}, NULL, NULL};
    hf_fresh();
    golden_weights(yyjson_doc_get_root(golden), &none);
    golden_config(yyjson_doc_get_root(config), NULL);
    for (size_t i = 0; i < 2 * BASE_COUNT(opsets); i++) exported(name, yyjson_doc_get_root(golden), opsets[i / 2], i % 2);
    yyjson_doc_free(golden);
    yyjson_doc_free(config);
}

static void as_exported(void **state) {
    int count = 0;
    assert_true(golden_each(one_export, &count) >= 45);
}

static void one_family(void *user, const char *name) {
    yyjson_doc *golden = golden_read(name, "golden.json"), *config = golden_read(name, "config.json");
    yyjson_val *g = yyjson_doc_get_root(golden), *c = yyjson_doc_get_root(config), *change;
    const golden_spoil none = {{NULL, NULL}, NULL, NULL};
    size_t i, n;
    hf_fresh();
    golden_weights(g, &none);
    golden_config(c, NULL);
    double d = difference(name, g);
    if (!(d <= TOLERANCE)) fail_msg("%s differs from transformers by %g of its largest number", name, d);
    yyjson_arr_foreach(yyjson_obj_get(g, "same"), i, n, change) {
        golden_config(c, yyjson_obj_get(change, "config"));
        d = difference(name, g);
        if (!(d <= TOLERANCE)) fail_msg("%s, config.json in other words %zu: differs by %g", name, i, d);
    }
    yyjson_arr_foreach(yyjson_obj_get(g, "spoils"), i, n, change) {
        yyjson_val *swap = yyjson_obj_get(change, "swap");
        const golden_spoil spoil = {{yyjson_get_str(yyjson_arr_get(swap, 0)), yyjson_get_str(yyjson_arr_get(swap, 1))},
                                    yyjson_get_str(yyjson_obj_get(change, "roll")),
                                    NULL};
        golden_weights(g, &spoil);
        golden_config(c, yyjson_obj_get(change, "config"));
        d = difference(name, g);
        if (!(d > 10 * TOLERANCE)) fail_msg("%s, spoiled %zu: differs by no more than %g", name, i, d);
        ++*(int *)user;
    }
    yyjson_doc_free(golden);
    yyjson_doc_free(config);
}

static void as_transformers_computes(void **state) {
    int spoils = 0;
    assert_true(golden_each(one_family, &spoils) >= 45);
    assert_true(spoils >= 65);
}

/* A model of several parts describes the one for texts in text_config, and names its weights after it. */
static void a_part_of_a_model(void **state) {
    yyjson_doc *golden = golden_read("gemma3", "golden.json"), *config = golden_read("gemma3", "config.json");
    golden_spoil inner = {{NULL, NULL}, NULL, "model.language_model."};
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "model_type", "gemma3");
    yyjson_mut_obj_add_val(doc, root, "text_config", yyjson_val_mut_copy(doc, yyjson_doc_get_root(config)));
    yyjson_doc *wrapped = yyjson_mut_doc_imut_copy(doc, NULL);
    hf_fresh();
    golden_weights(yyjson_doc_get_root(golden), &inner);
    golden_config(yyjson_doc_get_root(wrapped), NULL);
    const double d = difference("gemma3", yyjson_doc_get_root(golden));
    if (!(d <= TOLERANCE)) fail_msg("gemma3 within a model: differs by %g", d);
    yyjson_doc_free(wrapped);
    yyjson_mut_doc_free(doc);
    yyjson_doc_free(golden);
    yyjson_doc_free(config);
}

/* Scores of texts by a head, packed: transformers' numbers, and the same bits alone and in company, in fewer bits, too.
 */
static void has_scores(void *user, const char *name) {
    static const nib_precision precisions[] = {NIB_PRECISION_FILE, NIB_PRECISION_Q8, NIB_PRECISION_BF16};
    yyjson_doc *golden = golden_read(name, "golden.json"), *config = golden_read(name, "config.json");
    yyjson_val *batch = yyjson_arr_get_first(yyjson_obj_get(yyjson_doc_get_root(golden), "batches")),
               *logits = yyjson_obj_get(yyjson_obj_get(batch, "outputs"), "logits");
    const golden_spoil none = {{NULL, NULL}, NULL, NULL};
    const bool of_texts = logits && !yyjson_obj_get(logits, "rows");
    if (of_texts) {
        hf_fresh();
        golden_weights(yyjson_doc_get_root(golden), &none);
        golden_config(yyjson_doc_get_root(config), NULL);
        ++*(int *)user;
    }
    for (size_t i = 0; of_texts && i < BASE_COUNT(precisions); i++) {
        nib_model_options o;
        nib_error e;
        static char text[1 << 16];
        size_t length;
        opened m = {.golden = yyjson_doc_get_root(golden), .name = name};
        nib_model_defaults(&o, sizeof o);
        o.output_name = "logits";
        o.precision = precisions[i];
        if (nib_model_open(hf_dir, &o, &m.model, &e) != NIB_OK) fail_msg("%s: %s", name, e.message);
        int64_t count, width = nib_model_dim(m.model);
        float *all = packed_means(&m, &count), *alone = means_one_by_one(&m, &count);
        const nib_tensor got = {.rank = 2, .dims = {count, width}, .data = all};
        const double d = output_difference(&got, logits);
        if (i == 0 && !(d <= TOLERANCE)) fail_msg("%s: scores differ from transformers' by %g", name, d);
        if (memcmp(all, alone, sizeof *all * (size_t)(count * width)) != 0)
            fail_msg("%s: a text alone has other scores (case %zu)", name, i);
        if (nib_model_explain(m.model, text, sizeof text, &length, &e) != NIB_OK) fail_msg("%s: %s", name, e.message);
        if (!strstr(text, "batches are packed")) fail_msg("%s: %s", name, text);
        if (strstr(text, "MatMul") || strstr(text, "Softmax")) fail_msg("%s is not fused: %s", name, text);
        nib_model_describe(m.model, text, sizeof text, &length);
        if (!strstr(text, "with any others")) fail_msg("%s: a text reaches another: %s", name, text);
        free(all);
        free(alone);
        nib_model_free(m.model);
    }
    yyjson_doc_free(golden);
    yyjson_doc_free(config);
}

static void scores_of_texts(void **state) {
    int families = 0;
    golden_each(has_scores, &families);
    assert_true(families >= 15);
}

/* Every family's batches are packed, and its attention and products fused. */
static void is_packed(void *user, const char *name) {
    yyjson_doc *golden = golden_read(name, "golden.json"), *config = golden_read(name, "config.json");
    const golden_spoil none = {{NULL, NULL}, NULL, NULL};
    static char text[1 << 16];
    size_t length;
    nib_error e;
    hf_fresh();
    golden_weights(yyjson_doc_get_root(golden), &none);
    golden_config(yyjson_doc_get_root(config), NULL);
    nib_model *m = open_folder(name, NIB_PRECISION_FILE);
    if (nib_model_explain(m, text, sizeof text, &length, &e) != NIB_OK) fail_msg("%s: %s", name, e.message);
    if (!strstr(text, "batches are packed")) fail_msg("%s: %s", name, text);
    if (strstr(text, "MatMul") || strstr(text, "Softmax")) fail_msg("%s is not fused: %s", name, text);
    if (strstr(text, "logits") || strstr(text, "pooler"))
        fail_msg("%s computes a head for an embedding: %s", name, text);
    nib_model_free(m);
    yyjson_doc_free(golden);
    yyjson_doc_free(config);
}

static void packed_and_fused(void **state) { golden_each(is_packed, NULL); }

/* Vectors of rounded weights and rows point where those of transformers do. */
static void is_near(void *user, const char *name) {
    static const struct {
        nib_precision precision;
        double cosine;
    } rows[] = {{NIB_PRECISION_BF16, 0.998}, {NIB_PRECISION_Q8, 0.98}};
    yyjson_doc *golden = golden_read(name, "golden.json"), *config = golden_read(name, "config.json");
    const golden_spoil none = {{NULL, NULL}, NULL, NULL};
    hf_fresh();
    golden_weights(yyjson_doc_get_root(golden), &none);
    golden_config(yyjson_doc_get_root(config), NULL);
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        const opened o = {open_folder(name, rows[i].precision), yyjson_doc_get_root(golden), name, NULL};
        int64_t count, width = nib_model_dim(o.model);
        float *out = packed_means(&o, &count);
        double dot = 0, a = 0, b = 0;
        for (int64_t k = 0; k < count * width; k++) {
            const double want = yyjson_get_num(yyjson_arr_get(yyjson_obj_get(o.golden, "means"), (size_t)k));
            dot += (double)out[k] * want, a += (double)out[k] * (double)out[k], b += want * want;
        }
        if (!(dot / sqrt(a * b) >= rows[i].cosine)) fail_msg("%s: cosine %g (case %zu)", name, dot / sqrt(a * b), i);
        free(out);
        nib_model_free(o.model);
    }
    yyjson_doc_free(golden);
    yyjson_doc_free(config);
}

static void near_in_few_bits(void **state) { golden_each(is_near, NULL); }

/* ---- on other devices: what a second cpu behind the device contract (test/plan/mirror_device.h) has not refused it computes, and the
 * numbers are the cpu's alone, bit for bit. */

static nib_model *open_as(const char *name, const char *devices, nib_precision precision, bool as_it_is) {
    nib_model_options o;
    nib_model *m;
    nib_error e;
    nib_model_defaults(&o, sizeof o);
    o.pooling = NIB_POOLING_MEAN;
    o.normalize = 0;
    o.precision = precision;
    o.device = devices;
    if (as_it_is) o.pack = 0, o.optimize = 1; /* in the words of a file */
    if (nib_model_open(hf_dir, &o, &m, &e) != NIB_OK) fail_msg("%s on %s: %s", name, devices, e.message);
    return m;
}

static nib_model *open_on(const char *name, const char *devices, nib_precision precision) {
    return open_as(name, devices, precision, false);
}
static nib_model *open_padded_on(const char *name, const char *devices) { return open_as(name, devices, NIB_PRECISION_FILE, true); }

#define MIRROR NIB_TEST_PLUGINS "/mirror.so"

static void is_same_elsewhere(void *user, const char *name) {
    static const nib_precision precisions[] = {NIB_PRECISION_FILE, NIB_PRECISION_Q8, NIB_PRECISION_BF16};
    yyjson_doc *golden = golden_read(name, "golden.json"), *config = golden_read(name, "config.json");
    const golden_spoil none = {{NULL, NULL}, NULL, NULL};
    char devices[200], text[1 << 12];
    size_t length;
    const int seed = (*(int *)user)++;
    hf_fresh();
    golden_weights(yyjson_doc_get_root(golden), &none);
    golden_config(yyjson_doc_get_root(config), NULL);
    snprintf(devices, sizeof devices, MIRROR ":seed=%d;refuse=%d;bucket=%d,cpu", seed, seed % 3 * 20, 1 + seed % 4 * 16);
    const nib_precision precision = precisions[seed % (int)BASE_COUNT(precisions)];
    opened here = {open_on(name, "cpu", precision), yyjson_doc_get_root(golden), name, NULL};
    opened there = {open_on(name, devices, precision), here.golden, name, NULL};
    int64_t count;
    float *want = packed_means(&here, &count), *got = packed_means(&there, &count);
    if (memcmp(want, got, sizeof *want * (size_t)(count * nib_model_dim(here.model))) != 0) fail_msg("%s on %s: other numbers", name, devices);
    nib_model_describe(there.model, text, sizeof text, &length);
    if (!strstr(text, "mirror:0 ")) fail_msg("%s on %s: %s", name, devices, text);
    size_t i, n;
    yyjson_val *batch;
    yyjson_arr_foreach(yyjson_obj_get(here.golden, "batches"), i, n, batch) /* named tensors: the graph as it is */
        if (precision == NIB_PRECISION_FILE && !(batch_difference(&there, batch) <= TOLERANCE))
            fail_msg("%s on %s: tensors differ", name, devices);
    free(want);
    free(got);
    nib_model_free(here.model);
    nib_model_free(there.model);
    yyjson_doc_free(golden);
    yyjson_doc_free(config);
}

static void on_other_devices(void **state) {
    int seed = 0;
    assert_true(golden_each(is_same_elsewhere, &seed) >= 45);
}

/* Regions that go to the device as the bytes of ONNX files, and come back as graphs: rounded otherwise, and no more. */
static void is_same_as_onnx(void *user, const char *name) {
    yyjson_doc *golden = golden_read(name, "golden.json"), *config = golden_read(name, "config.json");
    const golden_spoil none = {{NULL, NULL}, NULL, NULL};
    char devices[200];
    const int seed = (*(int *)user)++;
    if (seed % 6 == 0) {
        hf_fresh();
        golden_weights(yyjson_doc_get_root(golden), &none);
        golden_config(yyjson_doc_get_root(config), NULL);
        snprintf(devices, sizeof devices, MIRROR ":onnx=1;seed=%d;refuse=20,cpu", seed);
        const opened o = {open_padded_on(name, devices), yyjson_doc_get_root(golden), name, NULL};
        double worst = packed_difference(&o);
        size_t i, n;
        yyjson_val *batch;
        yyjson_arr_foreach(yyjson_obj_get(o.golden, "batches"), i, n, batch) {
            const double d = batch_difference(&o, batch);
            if (!(d <= worst)) worst = d;
        }
        if (!(worst <= TOLERANCE)) fail_msg("%s on %s: differs by %g", name, devices, worst);
        nib_model_free(o.model);
    }
    yyjson_doc_free(golden);
    yyjson_doc_free(config);
}

static void as_onnx_for_other_runtimes(void **state) {
    int seed = 0;
    golden_each(is_same_as_onnx, &seed);
}

/* Many texts on a pool of two, one of which dies in the middle: each of its groups is done by the other, and nothing is lost. */
static void one_of_two_dies(void **state) {
    enum { MANY = 400 };
    static const char *const policies[] = {"", "@round-robin", "@random", "@by-speed"};
    yyjson_doc *golden = golden_read("bert", "golden.json"), *config = golden_read("bert", "config.json");
    const golden_spoil none = {{NULL, NULL}, NULL, NULL};
    static int32_t ids[MANY][30];
    const int32_t *texts[MANY];
    int64_t lengths[MANY];
    nib_error e;
    hf_fresh();
    golden_weights(yyjson_doc_get_root(golden), &none);
    golden_config(yyjson_doc_get_root(config), NULL);
    for (int i = 0; i < MANY; i++) {
        lengths[i] = 1 + i * 7 % 30;
        texts[i] = ids[i];
        for (int k = 0; k < 30; k++) ids[i][k] = (i * 31 + k * 17) % 40;
    }
    nib_model *m = open_on("bert", "cpu", NIB_PRECISION_FILE);
    const size_t width = (size_t)nib_model_dim(m);
    float *want = calloc(MANY * width, sizeof *want), *got = calloc(MANY * width, sizeof *got);
    if (nib_embed_ids(m, texts, lengths, MANY, NULL, want, &e) != NIB_OK) fail_msg("%s", e.message);
    nib_model_free(m);
    for (size_t p = 0; p < BASE_COUNT(policies); p++) {
        char devices[400];
        snprintf(devices, sizeof devices, MIRROR ":die=6;after=5+" MIRROR ":name=1%s,cpu", policies[p]);
        m = open_on("bert", devices, NIB_PRECISION_FILE);
        for (int turn = 0; turn < 3; turn++) {
            memset(got, 0, MANY * width * sizeof *got);
            if (nib_embed_ids(m, texts, lengths, MANY, NULL, got, &e) != NIB_OK) fail_msg("%s: %s", devices, e.message);
            assert_memory_equal(want, got, MANY * width * sizeof *got);
        }
        nib_model_free(m);
    }
    m = open_on("bert", MIRROR ":die=6;after=5,cpu", NIB_PRECISION_FILE);
    assert_int_equal(nib_embed_ids(m, texts, lengths, MANY, NULL, got, &e), NIB_DEVICE);
    nib_model_free(m);
    free(want);
    free(got);
    yyjson_doc_free(golden);
    yyjson_doc_free(config);
}

/* What a list of devices may not say. */
static void lists_that_are_refused(void **state) {
    static const struct {
        const char *list;
        nib_status status;
    } rows[] = {{"cuda", NIB_UNSUPPORTED},
                {"", NIB_UNSUPPORTED},
                {"cpu,cpu", NIB_INVALID_ARGUMENT},
                {"cpu," MIRROR, NIB_INVALID_ARGUMENT},
                {MIRROR ",", NIB_UNSUPPORTED},
                {MIRROR "+cpu", NIB_UNSUPPORTED},
                {MIRROR "@no-policy,cpu", NIB_INVALID_ARGUMENT},
                {MIRROR ":nonsense,cpu", NIB_INVALID_ARGUMENT},
                {"./no_such.so,cpu", NIB_NOT_FOUND},
                {NIB_TEST_PLUGINS "/mirror_other.so,cpu", NIB_UNSUPPORTED}};
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        nib_model_options o;
        nib_model *m;
        nib_error e;
        nib_model_defaults(&o, sizeof o);
        o.device = rows[i].list;
        const nib_status status = nib_model_open(hf_dir, &o, &m, &e);
        if (status != rows[i].status) fail_msg("%s: %s, %s", rows[i].list, nib_status_text(status), e.message);
    }
}

/* Each text alone, on one thread and on three, which then divide columns, too: the same bits. */
static void is_same_on_threads(void *user, const char *name) {
    static const nib_precision precisions[] = {NIB_PRECISION_FILE, NIB_PRECISION_Q8, NIB_PRECISION_BF16, NIB_PRECISION_Q4};
    yyjson_doc *golden = golden_read(name, "golden.json"), *config = golden_read(name, "config.json");
    const golden_spoil none = {{NULL, NULL}, NULL, NULL};
    const int seed = (*(int *)user)++;
    float *got[2];
    int64_t count, width = 0;
    hf_fresh();
    golden_weights(yyjson_doc_get_root(golden), &none);
    golden_config(yyjson_doc_get_root(config), NULL);
    for (int i = 0; i < 2; i++) {
        nib_runtime_options r;
        nib_runtime *rt;
        nib_model_options o;
        nib_error e;
        nib_runtime_defaults(&r, sizeof r);
        r.threads = i ? 3 : 1;
        assert_int_equal(nib_runtime_create(&r, &rt, &e), NIB_OK);
        nib_model_defaults(&o, sizeof o);
        o.pooling = NIB_POOLING_MEAN;
        o.precision = precisions[seed % (int)BASE_COUNT(precisions)];
        o.runtime = rt;
        opened m = {.golden = yyjson_doc_get_root(golden), .name = name};
        if (nib_model_open(hf_dir, &o, &m.model, &e) != NIB_OK) fail_msg("%s: %s", name, e.message);
        got[i] = means_one_by_one(&m, &count);
        width = nib_model_dim(m.model);
        nib_model_free(m.model);
        nib_runtime_free(rt);
    }
    if (memcmp(got[0], got[1], sizeof **got * (size_t)(count * width)) != 0) fail_msg("%s: other bits on three threads", name);
    free(got[0]);
    free(got[1]);
    yyjson_doc_free(golden);
    yyjson_doc_free(config);
}

static void on_one_thread_and_on_three(void **state) {
    int seed = 0;
    assert_true(golden_each(is_same_on_threads, &seed) >= 45);
}

static int teardown(void **state) {
    hf_clear();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_transformers_computes), cmocka_unit_test(as_exported),
        cmocka_unit_test(a_part_of_a_model),
        cmocka_unit_test(scores_of_texts),
        cmocka_unit_test(packed_and_fused),
        cmocka_unit_test(near_in_few_bits),
        cmocka_unit_test(on_other_devices),
        cmocka_unit_test(on_one_thread_and_on_three),
        cmocka_unit_test(as_onnx_for_other_runtimes),
        cmocka_unit_test(one_of_two_dies),
        cmocka_unit_test(lists_that_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}

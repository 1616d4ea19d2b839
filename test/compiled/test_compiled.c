/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiled files: vectors are the same bits as the source's, on every instruction set that this machine has; and whatever a file holds
 * instead, the answer is a status (NIB_SEED, NIB_ROUNDS: other bytes, more of them). In: small models of test/data.
 */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>
#include "../fuzz/nib_sign.h"
#include "kernel/kernel_list.h"

#define TINY NIB_TEST_DATA "/nib/tiny"

static char folder[] = "/tmp/nib-compiled-XXXXXX";

static const char *at(const char *name) {
    static char path[4][200];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static nib_runtime *runtime_of(base_isa cap, bool private_reads) {
    nib_runtime_options r;
    nib_runtime *rt;
    nib_error e;
    int known;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 2;
    assert_int_equal(nib_runtime_create(&r, &rt, &e), NIB_OK);
    rt->isas = base_cpu_cap(base_cpu_detect(), base_isa_name(cap), &known);
    rt->private_reads = private_reads;
    return rt;
}

static nib_status open_in(nib_runtime *rt, const char *path, nib_precision precision, nib_model **m, nib_error *e) {
    nib_model_options o;
    nib_model_defaults(&o, sizeof o);
    o.runtime = rt;
    o.precision = precision;
    memset(e, 0, sizeof *e);
    return nib_model_open(path, &o, m, e);
}

static nib_status compile_in(nib_runtime *rt, const char *in, const char *out, nib_precision precision, bool exact, nib_error *e) {
    nib_model_options o;
    nib_compile_options c;
    nib_model_defaults(&o, sizeof o);
    nib_compile_defaults(&c, sizeof c);
    o.runtime = rt;
    o.precision = precision;
    c.model = &o;
    c.exact = exact;
    memset(e, 0, sizeof *e);
    return nib_compile_file(in, out, &c, e);
}

/* ---- the same bits */

#define TEXTS 7
static void some_ids(int32_t *rows, const int32_t **ids, int64_t *lengths) {
    for (int i = 0; i < TEXTS; i++) {
        lengths[i] = i == 0 ? 1 : 2 * i + 1;
        ids[i] = rows + 16 * i;
        for (int k = 0; k < 16; k++) rows[16 * i + k] = (i * 7 + k * 5) % 23;
    }
}

static float *vectors(nib_model *m) {
    int32_t rows[16 * TEXTS];
    const int32_t *ids[TEXTS];
    int64_t lengths[TEXTS];
    nib_error e;
    float *out = calloc(TEXTS * (size_t)nib_model_dim(m), sizeof *out);
    some_ids(rows, ids, lengths);
    if (nib_embed_ids(m, ids, lengths, TEXTS, NULL, out, &e) != NIB_OK) fail_msg("%s", e.message);
    return out;
}

static const struct {
    const char *path;
    bool embeds;
} sources[] = {
    {TINY, true},
    {NIB_TEST_DATA "/hf/bert-tiny", true},
    {NIB_TEST_DATA "/hf/modernbert-tiny", true},
    {NIB_TEST_DATA "/hf/modernbert-biased", true},
    {NIB_TEST_DATA "/onnx/bert-tiny.ts.sdpa.onnx", true},
    {NIB_TEST_DATA "/onnx/bert-tiny.dynamo.eager.onnx", true},
    {NIB_TEST_DATA "/onnx/bert-tiny.pooled.onnx", true},
    {NIB_TEST_DATA "/onnx/modernbert-tiny.dynamo.onnx", true},
    {NIB_TEST_DATA "/onnx/modernbert-tiny.ts.onnx", true},
};
static const nib_precision precisions[] = {NIB_PRECISION_FILE, NIB_PRECISION_BF16, NIB_PRECISION_Q8, NIB_PRECISION_Q4};

/* Steps and kernels of the plan, too: what inference lost, a step would show. */
static void same_steps(const model_program *a, const model_program *b, const char *path) {
    assert_int_equal(a->p->n_steps, b->p->n_steps);
    for (int i = 0; i < a->p->n_steps; i++)
        if (strcmp(a->p->steps[i].kernel, b->p->steps[i].kernel) != 0 || strcmp(a->p->steps[i].why, b->p->steps[i].why) != 0)
            fail_msg("%s: step %d, %s: %s instead of %s (%s)", path, i, a->p->steps[i].node->op, b->p->steps[i].kernel,
                     a->p->steps[i].kernel, b->p->steps[i].why);
}

static void same_bits(nib_runtime *rt, const char *path, nib_precision precision) {
    nib_error e;
    nib_model *source, *compiled;
    const char *file = at("same.nib");
    if (open_in(rt, path, precision, &source, &e) != NIB_OK) fail_msg("%s: %s", path, e.message);
    if (compile_in(rt, path, file, precision, false, &e) != NIB_OK) fail_msg("%s: %s", path, e.message);
    if (open_in(rt, file, NIB_PRECISION_FILE, &compiled, &e) != NIB_OK) fail_msg("%s: %s (%s)", path, e.message, e.node);
    assert_int_equal(nib_model_dim(source), nib_model_dim(compiled));
    assert_int_equal(nib_model_max_tokens(source), nib_model_max_tokens(compiled));
    same_steps(model_own(source), model_own(compiled), path);
    float *a = vectors(source), *b = vectors(compiled);
    if (memcmp(a, b, TEXTS * (size_t)nib_model_dim(source) * sizeof *a) != 0) fail_msg("%s: other bits", path);
    for (int i = 0; i < model_own(compiled)->g->n_constants; i++) { /* nothing that was aligned in the file is copied */
        const graph_value *v = model_own(compiled)->g->constants[i];
        const base_file *f = &compiled->compiled->file;
        const uint8_t *p = v->packed ? v->packed->data[0] : v->constant->data;
        if (v->packed || v->constant->bytes >= COMPILED_ALIGN) assert_true(p >= f->data && p < f->data + f->size);
    }
    free(a);
    free(b);
    nib_model_free(source);
    nib_model_free(compiled);
}

static void test_bits(void **state) {
    for (int isa = 0; isa < BASE_ISA_COUNT; isa++) {
        if (!(base_cpu_detect() >> isa & 1u)) continue;
        nib_runtime *rt = runtime_of((base_isa)isa, false);
        for (size_t i = 0; i < BASE_COUNT(sources); i++)
            for (size_t k = 0; k < BASE_COUNT(precisions); k++) same_bits(rt, sources[i].path, precisions[k]);
        nib_runtime_free(rt);
    }
}

/* Where a Linear runs as an eval (here for want of the number of its rows), its weight lies in the file as it was, and is rounded all the
 * same. */
static void test_types_without_packing(void **state) {
    static const char text[] = "<ir_version: 8, opset_import: [\"\" : 17]> g (int64[b,s] input_ids, int64[b,s] attention_mask) => "
                               "(float[b,4] sentence_embedding) <float[3,8] table = {1,2,3,4,5,6,7,8,2,1,2,5,7,4,3,1,9,3,0,5,1,2,4,6}, "
                               "float[8,4] w = {1,3,7,2,1,5,3,8,1,2,9,4,6,2,8,1,3,3,5,7,2,9,1,1,4,6,2,8,3,1,7,5}, float[4] c = {1,2,3,4}, "
                               "int64[1] axis = {1}, int64[1] zero = {0}> { h = Gather (table, input_ids) "
                               "length = ReduceSum <keepdims = 0> (attention_mask, axis) k = ReduceMax (length) "
                               "x = Slice (h, zero, k, axis) y = MatMul (x, w) z = Add (y, c) "
                               "sentence_embedding = ReduceMean <axes = [1], keepdims = 0> (z) }";
    nib_runtime *rt = runtime_of(BASE_ISA_GENERIC, false);
    nib_error e;
    graph *g;
    float of[2][4];
    const int32_t ids[] = {0, 2, 1};
    assert_int_equal(graph_parse(&rt->heap, text, strlen(text), &g, &e), NIB_OK);
    assert_int_equal(onnx_save(rt, g, at("eval.onnx"), &(onnx_save_options){.external_over = -1}, &e), NIB_OK);
    graph_free(g);
    for (size_t k = 1; k < BASE_COUNT(precisions); k++) {
        assert_int_equal(compile_in(rt, at("eval.onnx"), at("eval.nib"), precisions[k], false, &e), NIB_OK);
        for (int compiled = 0; compiled < 2; compiled++) {
            nib_model *m;
            if (open_in(rt, at(compiled ? "eval.nib" : "eval.onnx"), compiled ? NIB_PRECISION_FILE : precisions[k], &m, &e) != NIB_OK)
                fail_msg("%s", e.message);
            int evals = 0;
            op_linear l;
            for (int i = 0; i < model_own(m)->p->n_steps; i++)
                evals += op_linear_get(model_own(m)->p->steps[i].node, &l) && strcmp(model_own(m)->p->steps[i].kernel, "eval") == 0;
            assert_int_equal(evals, 1);
            if (nib_embed_ids(m, &(const int32_t *){ids}, &(int64_t){3}, 1, NULL, of[compiled], &e) != NIB_OK) fail_msg("%s", e.message);
            nib_model_free(m);
        }
        assert_memory_equal(of[0], of[1], sizeof of[0]);
    }
    nib_runtime_free(rt);
}

/* Each layout opens where a kernel reads it, and is refused with both names elsewhere. */
static void test_other_processors(void **state) {
    uint32_t have = base_cpu_detect();
    nib_error e;
    nib_model *m;
    for (int from = 0; from < BASE_ISA_COUNT; from++)
        for (int to = 0; to < BASE_ISA_COUNT; to++)
            for (size_t k = 0; k < BASE_COUNT(precisions); k++) {
                if (!(have >> from & 1u) || !(have >> to & 1u)) continue;
                nib_runtime *a = runtime_of((base_isa)from, false), *b = runtime_of((base_isa)to, false);
                assert_int_equal(compile_in(a, TINY, at("from.nib"), precisions[k], false, &e), NIB_OK);
                nib_status status = open_in(b, at("from.nib"), NIB_PRECISION_FILE, &m, &e);
                if (status == NIB_OK) {
                    float *x = vectors(m), *y;
                    nib_model_free(m);
                    assert_int_equal(open_in(a, at("from.nib"), NIB_PRECISION_FILE, &m, &e), NIB_OK);
                    y = vectors(m);
                    /* generic has no fused multiply-add, and tiles of bf16 add in another order */
                    const bool tiles = precisions[k] == NIB_PRECISION_BF16 && (from == BASE_ISA_AMX) != (to == BASE_ISA_AMX);
                    if (tiles)
                        for (size_t i = 0; i < TEXTS * (size_t)nib_model_dim(m); i++) assert_true(fabsf(x[i] - y[i]) <= 1e-2f);
                    else if (from > BASE_ISA_GENERIC && to > BASE_ISA_GENERIC)
                        assert_memory_equal(x, y, TEXTS * (size_t)nib_model_dim(m) * sizeof *x);
                    free(x);
                    free(y);
                    nib_model_free(m);
                } else {
                    assert_int_equal(status, NIB_UNSUPPORTED);
                    assert_true(to < from);
                    assert_non_null(strstr(e.message, "packed as "));
                    assert_non_null(strstr(e.message, base_isa_name((base_isa)to)));
                }
                nib_runtime_free(a);
                nib_runtime_free(b);
            }
}

/* Kernels of one layout's name pack the same bytes. */
static void test_layouts(void **state) {
    size_t count;
    const kernel_entry *all = kernel_entries(&count);
    enum { N = 75, K = 70 };
    static float w[N * K];
    for (int i = 0; i < N * K; i++) w[i] = (float)((i * 37) % 101 - 50) / 17;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++) {
            const kernel_linear *a = all[i].linear, *b = all[k].linear;
            char x[KERNEL_LAYOUT_NAME], y[KERNEL_LAYOUT_NAME];
            if (!a || !b || !(base_cpu_detect() >> a->isa & 1u) || !(base_cpu_detect() >> b->isa & 1u)) continue;
            kernel_layout_name(a, x);
            kernel_layout_name(b, y);
            if (strcmp(x, y) != 0) continue;
            size_t bytes = a->packed_bytes(N, K);
            assert_int_equal(bytes, b->packed_bytes(N, K));
            void *p = aligned_alloc(64, (bytes + 63) / 64 * 64), *q = aligned_alloc(64, (bytes + 63) / 64 * 64);
            const kernel_weight from = {w, 1, K, N, K, NULL};
            a->pack(&from, 0, N, p);
            b->pack(&from, 0, N, q);
            if (memcmp(p, q, bytes) != 0) fail_msg("%s and %s pack otherwise", a->name, b->name);
            free(p);
            free(q);
        }
}

/* ---- texts, sessions, options */

static void test_texts(void **state) {
    static const char *const texts[] = {"nibs of the pen, \xc3\xa9t\xc3\xa9 [MASK]", "", "a b c ab aab \xe5\xa2\xa8 zz \xff"};
    nib_runtime *rt = runtime_of(base_cpu_best(base_cpu_detect()), true);
    nib_error e;
    nib_model *a, *b;
    float x[96], y[96];
    assert_int_equal(compile_in(rt, TINY, at("texts.nib"), NIB_PRECISION_F32, false, &e), NIB_OK);
    assert_int_equal(open_in(rt, TINY, NIB_PRECISION_F32, &a, &e), NIB_OK);
    assert_int_equal(open_in(rt, at("texts.nib"), NIB_PRECISION_F32, &b, &e), NIB_OK);
    assert_int_equal(nib_embed(a, texts, 3, NULL, x, &e), NIB_OK);
    assert_int_equal(nib_embed(b, texts, 3, NULL, y, &e), NIB_OK);
    assert_memory_equal(x, y, sizeof x);
    assert_int_equal(text_vocab_size(a->tokenizer), text_vocab_size(b->tokenizer));
    for (int32_t i = 0; i < (int32_t)text_vocab_size(a->tokenizer); i++) {
        size_t n = 0, k = 0;
        const char *p = text_token(a->tokenizer, i, &n), *q = text_token(b->tokenizer, i, &k);
        assert_int_equal(n, k);
        assert_memory_equal(p, q, n);
        assert_int_equal(text_token_id(b->tokenizer, q, k), i);
    }
    nib_model_free(a);
    nib_model_free(b);
    nib_runtime_free(rt);
}

static void test_options(void **state) {
    nib_runtime *rt = runtime_of(base_cpu_best(base_cpu_detect()), false);
    nib_error e;
    nib_model *m;
    nib_session *s;
    nib_model_options o;
    assert_int_equal(compile_in(rt, TINY, at("o.nib"), NIB_PRECISION_Q8, false, &e), NIB_OK);
    assert_int_equal(open_in(rt, at("o.nib"), NIB_PRECISION_F32, &m, &e), NIB_UNSUPPORTED);
    assert_non_null(strstr(e.message, "another precision"));
    assert_int_equal(open_in(rt, at("o.nib"), NIB_PRECISION_Q8, &m, &e), NIB_OK);
    assert_int_equal(nib_session_create(m, &s, &e), NIB_UNSUPPORTED);
    assert_non_null(strstr(e.message, "--exact"));
    nib_model_free(m);
    nib_model_defaults(&o, sizeof o);
    o.runtime = rt;
    o.pooling = NIB_POOLING_CLS;
    assert_int_equal(nib_model_open(at("o.nib"), &o, &m, &e), NIB_UNSUPPORTED);
    o.pooling = NIB_POOLING_MODEL;
    o.max_tokens = 4;
    assert_int_equal(nib_model_open(at("o.nib"), &o, &m, &e), NIB_OK);
    assert_int_equal(nib_model_max_tokens(m), 4);
    nib_model_free(m);
    assert_int_equal(compile_in(rt, at("o.nib"), at("o2.nib"), NIB_PRECISION_FILE, false, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(compile_in(rt, at("o.nib"), at("o.nib"), NIB_PRECISION_FILE, false, &e), NIB_INVALID_ARGUMENT);
    nib_report *report;
    assert_int_equal(nib_optimize_file(at("o.nib"), at("x.onnx"), NULL, &report, &e), NIB_UNSUPPORTED);
    assert_non_null(strstr(e.message, "compiled"));
    nib_runtime_free(rt);
}

/* Named tensors: the exact program beside the task, the only one of a model that embeds nothing. */
static void test_exact(void **state) {
    static const char *const paths[] = {TINY, NIB_TEST_DATA "/onnx/linear.onnx", NIB_TEST_DATA "/onnx/bert-tiny.ts.sdpa.onnx"};
    nib_runtime *rt = runtime_of(base_cpu_best(base_cpu_detect()), false);
    nib_error e;
    for (size_t i = 0; i < BASE_COUNT(paths); i++) {
        nib_model *m[2];
        nib_tensor out[2];
        nib_session *s[2];
        int64_t data[24];
        assert_int_equal(compile_in(rt, paths[i], at("exact.nib"), NIB_PRECISION_FILE, true, &e), NIB_OK);
        for (int k = 0; k < 2; k++) {
            if (open_in(rt, k ? at("exact.nib") : paths[i], NIB_PRECISION_FILE, &m[k], &e) != NIB_OK)
                fail_msg("%s: %s", paths[i], e.message);
            assert_int_equal(nib_session_create(m[k], &s[k], &e), NIB_OK);
            for (size_t j = 0; j < nib_session_input_count(s[k]); j++) {
                nib_value_info info, first;
                assert_int_equal(nib_session_input_info(s[k], j, &info, sizeof info), NIB_OK);
                assert_int_equal(nib_session_input_info(s[0], j, &first, sizeof first), NIB_OK);
                assert_int_equal(info.below, first.below);
                assert_int_equal(info.role, first.role);
                nib_tensor t = {.dtype = info.dtype, .rank = info.rank, .data = data, .bytes = sizeof data};
                for (int d = 0; d < t.rank; d++) t.dims[d] = info.dims[d] > 0 ? info.dims[d] : d ? 4 : 2;
                for (int n = 0; n < 24; n++) data[n] = info.dtype == NIB_DTYPE_I64 ? (j == 1 ? 1 : n % 2) : 0;
                assert_int_equal(nib_session_set_input(s[k], nib_session_input_name(s[k], j), &t, &e), NIB_OK);
            }
            if (nib_session_run(s[k], &e) != NIB_OK) fail_msg("%s: %s", paths[i], e.message);
            assert_int_equal(nib_session_get_output(s[k], nib_session_output_name(s[k], 0), &out[k], &e), NIB_OK);
        }
        assert_int_equal(out[0].bytes, out[1].bytes);
        assert_memory_equal(out[0].data, out[1].data, out[0].bytes);
        for (int k = 0; k < 2; k++) nib_session_free(s[k]), nib_model_free(m[k]);
    }
    nib_runtime_free(rt);
}

/* ---- hostile files */

typedef struct bytes {
    uint8_t *data;
    size_t size;
} bytes;

static bytes read_bytes(const char *path) {
    bytes b = {0};
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    b.data = malloc(4u << 20);
    b.size = fread(b.data, 1, 4u << 20, f);
    fclose(f);
    return b;
}

static bytes copy_of(bytes b, size_t size) {
    bytes c = {malloc(size + 1), size};
    memcpy(c.data, b.data, size < b.size ? size : b.size);
    return c;
}

/* Opens such a file, and embeds with it what it opens to. */
static nib_status try_bytes(nib_runtime *rt, bytes b, nib_error *e) {
    static const char *const texts[] = {"nibs of the pen", "a b zz"};
    nib_model *m;
    nib_error ignored;
    FILE *f = fopen(at("hostile.nib"), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b.data, 1, b.size, f), b.size);
    fclose(f);
    nib_status status = open_in(rt, at("hostile.nib"), NIB_PRECISION_FILE, &m, e);
    if (status != NIB_OK) return status;
    float *out = calloc(2 * (size_t)nib_model_dim(m) + 1, sizeof *out);
    if (out && nib_model_dim(m) && nib_model_dim(m) < 1 << 20) nib_embed(m, texts, 2, NULL, out, &ignored);
    free(out);
    nib_model_free(m);
    return NIB_OK;
}

static compiled_entry entry_of(bytes b, compiled_kind kind) {
    compiled_head h;
    memcpy(&h, b.data, sizeof h);
    return h.table[kind];
}

static uint8_t *find(bytes b, const char *what) {
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= b.size; i++)
        if (memcmp(b.data + i, what, n) == 0) return b.data + i;
    fail_msg("%s does not stand in the file", what);
    return NULL;
}

#define HEAD(member, value, sign, status, says)                                                                                            \
    { offsetof(compiled_head, member), sizeof(((compiled_head *)0)->member), value, sign, status, says }
static const struct {
    size_t offset, bytes;
    uint64_t value;
    bool sign; /* checksums agree with it */
    nib_status status;
    const char *says;
} heads[] = {
    HEAD(magic, 1, true, NIB_BAD_MODEL, ""), /* no compiled file: ONNX's reader says what it is not */
    HEAD(order, 0x04030201u, true, NIB_UNSUPPORTED, "byte order"),
    HEAD(order, 7, true, NIB_BAD_MODEL, "broken"),
    HEAD(version, 1, true, NIB_UNSUPPORTED, "version 1 of the format"),
    HEAD(version, 0, true, NIB_UNSUPPORTED, "version 0 of the format"),
    HEAD(length, 1, false, NIB_BAD_MODEL, "was written with 1"),
    HEAD(checksum, 1, false, NIB_BAD_MODEL, "checksum differs"),
    HEAD(library, 1, false, NIB_BAD_MODEL, "checksum differs"),
    HEAD(table[COMPILED_SETTINGS].offset, 0, true, NIB_BAD_MODEL, "where it cannot"),
    HEAD(table[COMPILED_SETTINGS].offset, UINT64_MAX - 63, true, NIB_BAD_MODEL, "where it cannot"),
    HEAD(table[COMPILED_SETTINGS].offset, 321, true, NIB_BAD_MODEL, "where it cannot"),
    HEAD(table[COMPILED_SETTINGS].length, UINT64_MAX, true, NIB_BAD_MODEL, "where it cannot"),
    HEAD(table[COMPILED_SETTINGS].length, 0, true, NIB_BAD_MODEL, "no settings"),
    HEAD(table[COMPILED_SETTINGS].length, 9000, true, NIB_BAD_MODEL, "where it cannot"), /* over the next one */
    HEAD(table[COMPILED_TASK].offset, 320, true, NIB_BAD_MODEL, "where it cannot"),
    HEAD(table[COMPILED_TASK].length, 0, true, NIB_BAD_MODEL, "no graph"),
    HEAD(table[COMPILED_TASK].length, 70, true, NIB_BAD_MODEL, ""),
    HEAD(table[COMPILED_BLOBS].length, 0, true, NIB_BAD_MODEL, "'blobs' of 0 bytes"),
    HEAD(table[COMPILED_BLOBS].length, 64, true, NIB_BAD_MODEL, "'blobs' of 64 bytes"),
    HEAD(table[COMPILED_VOCABULARY].length, 0, true, NIB_BAD_TOKENIZER, "vocab"),
    HEAD(table[COMPILED_VOCABULARY].length, 8, true, NIB_BAD_TOKENIZER, "vocabulary has 8 bytes"),
};

/* Texts in the file, and others of the same length. */
static const struct {
    const char *from, *to;
    nib_status status;
    const char *says;
} words[] = {
    {"\"ids\": 0", "\"ids\": 1", NIB_BAD_MODEL, "input"},
    {"\"ids\": 0", "\"ids\": 7", NIB_BAD_MODEL, "input"},
    {"\"mask\": 1", "\"mask\":-1", NIB_BAD_MODEL, "for nothing"},
    {"\"pooling\": 2", "\"pooling\": 9", NIB_BAD_MODEL, "pooling"},
    {"\"computes\": 5", "\"computes\": 8", NIB_BAD_MODEL, "computes"},
    {"\"max_tokens\": 1", "\"max_tokens\":-1", NIB_BAD_MODEL, "max_tokens"},
    {"\"default_prompt\": -1", "\"default_prompt\": 99", NIB_BAD_MODEL, "default_prompt"},
    {"\"prompts\": []", "\"prompts\": {}", NIB_BAD_MODEL, "prompts"},
    {"\"prompt_rows\": -1", "\"prompt_rows\": 12", NIB_BAD_MODEL, "not the last input"},
    {"\"prompt_rows\": -1", "\"prompt_rows\":  2", NIB_BAD_MODEL, "not one number"},
    {"\"tokenizer_strip_accents\": -1", "\"tokenizer_strip_accents\": 77", NIB_BAD_MODEL, "strip_accents"},
    {"\"q8_columns_n1\"", "\"q9_columns_n1\"", NIB_UNSUPPORTED, "which no kernel reads"},
    {"\"task\": {", "\"tusk\": {", NIB_BAD_MODEL, "task"},
    {"gelu_erf", "gelu_esf", NIB_BAD_MODEL, "activation"},
    {"Attention", "Attentiom", NIB_UNSUPPORTED, "Attentiom"},
    {"WordPiece", "WordPiec3", NIB_UNSUPPORTED, "WordPiec3"},
    {"\"[MASK]\"", "\"[MASX]\"", NIB_BAD_TOKENIZER, "MASX"},
    {"blobs", "blebs", NIB_BAD_MODEL, "blebs"},
    {"\x12\x06packed", "\x12\x06pocked", NIB_BAD_MODEL, "external data"},
};

static void test_hostile(void **state) {
    nib_runtime *rt = runtime_of(BASE_ISA_GENERIC, true);
    nib_error e;
    assert_int_equal(compile_in(rt, TINY, at("good.nib"), NIB_PRECISION_Q8, false, &e), NIB_OK);
    bytes good = read_bytes(at("good.nib"));
    assert_int_equal(try_bytes(rt, good, &e), NIB_OK);
    assert_int_equal(nib_compiled_verify(at("good.nib"), &e), NIB_OK);
    for (int i = 0; i < 64; i++) {
        bytes b = copy_of(good, good.size * (size_t)i / 64);
        assert_true(try_bytes(rt, b, &e) < 0);
        nib_sign(b.data, b.size);
        try_bytes(rt, b, &e);
        free(b.data);
    }
    for (size_t i = 0; i < BASE_COUNT(heads); i++) {
        bytes b = copy_of(good, good.size);
        memset(b.data + heads[i].offset, 0, heads[i].bytes);
        memcpy(b.data + heads[i].offset, &heads[i].value, heads[i].bytes < 8 ? heads[i].bytes : 8);
        if (heads[i].sign) nib_sign(b.data, b.size);
        nib_status status = try_bytes(rt, b, &e);
        if (status != heads[i].status || !strstr(e.message, heads[i].says)) fail_msg("head %zu: %d, %s", i, (int)status, e.message);
        free(b.data);
    }
    for (size_t i = 0; i < BASE_COUNT(words); i++) {
        bytes b = copy_of(good, good.size);
        assert_int_equal(strlen(words[i].from), strlen(words[i].to));
        uint8_t *p = find(b, words[i].from);
        memcpy(p, words[i].to, strlen(words[i].to));
        assert_int_equal(try_bytes(rt, b, &e), NIB_BAD_MODEL); /* bytes changed, and their checksum not */
        assert_non_null(strstr(e.message, "checksum differs"));
        nib_sign(b.data, b.size);
        nib_status status = try_bytes(rt, b, &e);
        if (status != words[i].status || !strstr(e.message, words[i].says)) fail_msg("%s: %d, %s", words[i].to, (int)status, e.message);
        free(b.data);
    }
    compiled_entry blobs = entry_of(good, COMPILED_BLOBS); /* found by verify alone */
    good.data[blobs.offset + blobs.length - 1] ^= 1;
    assert_int_equal(try_bytes(rt, good, &e), NIB_OK);
    assert_int_equal(nib_compiled_verify(at("hostile.nib"), &e), NIB_BAD_MODEL);
    assert_non_null(strstr(e.message, "blobs"));
    free(good.data);
    nib_runtime_free(rt);
}

/* A packed constant has no values: whoever reads small integers must not find it to be some. The bytes are those of its TensorProto,
 * [08 rows] [08 columns] [10 type] before its name and place; a rank is less by making a dimension a field that nobody knows. */
static void test_packed_constants(void **state) {
    static const nib_dtype types[] = {NIB_DTYPE_F32, NIB_DTYPE_I64,    NIB_DTYPE_I32, NIB_DTYPE_BOOL,
                                      NIB_DTYPE_U8,  NIB_DTYPE_STRING, NIB_DTYPE_F64};
    nib_runtime *rt = runtime_of(BASE_ISA_GENERIC, true);
    nib_error e;
    assert_int_equal(compile_in(rt, TINY, at("good.nib"), NIB_PRECISION_Q8, false, &e), NIB_OK);
    bytes good = read_bytes(at("good.nib"));
    for (size_t i = 0; i < BASE_COUNT(types); i++)
        for (int rank = 0; rank <= 2; rank++) {
            bytes b = copy_of(good, good.size);
            uint8_t *p = find(b, "\x12\x06packed") - 14;
            while (p[0] != 0x10 || p[1] != 1 || p[-2] != 8 || p[-4] != 8) p--;
            p[1] = (uint8_t)types[i];
            if (rank < 2) p[-2] = 0x78;
            if (rank < 1) p[-4] = 0x78;
            nib_sign(b.data, b.size);
            nib_status status = try_bytes(rt, b, &e);
            bool same = types[i] == NIB_DTYPE_F32 && rank == 2;
            if (status != (same ? NIB_OK : NIB_BAD_MODEL) ||
                (!same && !strstr(e.message, types[i] == NIB_DTYPE_STRING ? "strings" : "matrix")))
                fail_msg("%s of rank %d: %d, %s", nib_dtype_name(types[i]), rank, (int)status, e.message);
            free(b.data);
        }
    free(good.data);
    nib_runtime_free(rt);
}

/* Bytes of the small sections turned at random, checksums made to agree: whatever it opens to, it may only be wrong. */
static void test_random(void **state) {
    nib_runtime *rt = runtime_of(BASE_ISA_GENERIC, true);
    nib_error e;
    const char *given = getenv("NIB_SEED"), *more = getenv("NIB_ROUNDS");
    uint32_t seed = given ? (uint32_t)strtoul(given, NULL, 10) : 12345;
    int rounds = more ? atoi(more) : 700;
    int opened = 0;
    for (int round = 0; round < 3; round++) {
        assert_int_equal(compile_in(rt, TINY, at("good.nib"), precisions[round], false, &e), NIB_OK);
        bytes good = read_bytes(at("good.nib"));
        const uint64_t end = entry_of(good, COMPILED_BLOBS).offset;
        for (int i = 0; i < rounds; i++) {
            bytes b = copy_of(good, good.size);
            for (int k = 0; k < 1 + i % 3; k++) {
                seed = seed * 1664525u + 1013904223u;
                size_t where = seed % end;
                seed = seed * 1664525u + 1013904223u;
                b.data[where] ^= (uint8_t)(1u << (seed >> 29));
            }
            nib_sign(b.data, b.size);
            opened += try_bytes(rt, b, &e) == NIB_OK;
            free(b.data);
        }
        free(good.data);
    }
    assert_true(opened > 100); /* else nothing was tried but the door */
    nib_runtime_free(rt);
}

static int set_up(void **state) { return mkdtemp(folder) ? 0 : 1; }
static int tear_down(void **state) {
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_other_processors),
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_types_without_packing),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_packed_constants),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

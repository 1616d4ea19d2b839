/* SPDX-License-Identifier: Apache-2.0
 *
 * A text's vector is the model's own, whatever the other texts of the call are: for encoders whose outputs padding or neighbours reach,
 * whose masks are 1 at padding, whose sizes are fixed, that were exported in training, or that do not fuse. In: graphs in ONNX's textual
 * syntax, written to a file and opened. Expected: the graph's own evals on the text alone.
 */
#include <unistd.h>
#include "pass/pass_test.h"

#define WIDTH 8

typedef struct encoder {
    const char *mask;  /* what is done to the input m before it is a mask of 1 for tokens, a [b,s] */
    const char *tail;  /* h -> y [b,s,8] or [b,8] */
    const char *sizes; /* of the inputs */
    const char *says;  /* in what describes the model */
    bool of_padding;   /* m is 1 at padding */
    bool pooled;       /* y is [b,8] */
    const char *type;  /* of m; NULL: int64 */
} encoder;

static const encoder encoders[] = {
    {"a = Identity (m)", "y = Identity (h)", "b,s", "texts run     with any others", false, false, NULL},
    {"a = Identity (m)", "y = ReduceMean <axes = [1], keepdims = 0> (h)", "b,s",
     "padding reaches the output at ReduceMean", false, true, NULL},
    {"a = Identity (m)", "y = ReduceMax <axes = [1], keepdims = 0> (h)", "b,s", "with others of the same length", false,
     true, NULL},
    {"a = Identity (m)", "c = ReduceMean <axes = [1]> (h) y = Add (h, c)", "b,s", "with others of the same length",
     false, false, NULL},
    {"a = Identity (m)", "f = Slice (h, last, end, v1, last) y = Add (h, f)", "b,s", "with others of the same length",
     false, false, NULL},
    {"a = Identity (m)", "y = Gather <axis = 1> (h, i0)", "b,s", "texts run     with any others", false, true, NULL},
    {"a = Identity (m)", "y = Gather <axis = 1> (h, ilast)", "b,s", "with others of the same length", false, true,
     NULL},
    {"a = Identity (m)", "c = ReduceMean <axes = [0,1]> (h) y = Add (h, c)", "b,s", "one at a time", false, false,
     NULL},
    {"a = Identity (m)", "q, r, z = DynamicQuantizeLinear (h) y = DequantizeLinear (q, r, z)", "b,s", "one at a time",
     false, false, NULL},
    {"a = Identity (m)",
     "half = Constant <value_float = 0.5> () yes = Constant <value = bool {1}> () y = Dropout (h, half, yes)", "b,s",
     "1 nodes are set to training, and are off", false, false, NULL},
    /* a mask that nothing reads: there is no proof that padding is harmless, and nib feeds none */
    {"sh = Shape (ids) a = ConstantOfShape <value = int64[1] {1}> (sh)", "y = Identity (h)", "b,s",
     "with others of the same length", false, false, NULL},
    /* 1 at padding */
    {"a = Sub (one, m)", "y = Identity (h)", "b,s", "0 for tokens, 1 for padding", true, false, NULL},
    {"n = Not (m) a = Cast <to = 7> (n)", "y = Identity (h)", "b,s", "0 for tokens, 1 for padding", true, false,
     "bool"},
    {"n = Sub (fone, m) a = Cast <to = 7> (n)", "y = Identity (h)", "b,s", "0 for tokens, 1 for padding", true, false,
     "float"},
    {"c = Cast <to = 7> (m) a = Identity (c)", "y = Identity (h)", "b,s", "1 for tokens, 0 for padding", false, false,
     "float"},
    /* fixed sizes: a text is padded as the file wants it */
    {"a = Identity (m)", "y = Add (h, table)", "b,12", "packed", false, false, NULL},
    {"a = Identity (m)", "y = Add (h, table)", "2,12", "packed", false, false, NULL},
    {"a = Identity (m)", "y = Add (h, table)", "1,12", "packed", false, false, NULL},
    {"a = Identity (m)", "y = ReduceMean <axes = [1], keepdims = 0> (h)", "b,12", "padding to the fixed length reaches",
     false, true, NULL},
    {"a = Sub (one, m)", "y = ReduceMean <axes = [1], keepdims = 0> (h)", "2,12", "padding to the fixed length reaches",
     true, true, NULL},
    /* a fixed batch whose texts reach one another: each is run beside copies of itself */
    {"a = Identity (m)", "c = ReduceMean <axes = [0,1]> (h) y = Add (h, c)", "3,12",
     "beside copies of itself: the file fixes a batch of 3", false, false, NULL},
    {"a = Identity (m)", "c = ReduceMean <axes = [0,1]> (h) y = Add (h, c)", "3,s",
     "beside copies of itself: the file fixes a batch of 3", false, false, NULL},
    {"a = Identity (m)", "q, r, z = DynamicQuantizeLinear (h) y = DequantizeLinear (q, r, z)", "2,s",
     "beside copies of itself", false, false, NULL},
    {"a = Identity (m)", "c = ReduceSum (h, first) y = Sub (h, c)", "4,s", "beside copies of itself", false, false,
     NULL},
    {"a = Identity (m)", "c = ReduceMean <axes = [0,1]> (h) y = Add (h, c)", "1,s", "with others of the same length",
     false, false, NULL},
};

static char *write_text(const encoder *e) {
    static char text[4000], sized[4000];
    snprintf(text, sizeof text,
             "<ir_version: 8, opset_import: [\"\" : 17]> g (int64[b,s] ids, %s[b,s] m) => (float[%s] "
             "last_hidden_state) <float[9,8] words = "
             "{@}, "
             "float[8,8] wq = {@}, float[8,8] wk = {@}, float[8,8] wv = {@}, float[8,8] wo = {@}, float[8] gamma = "
             "{@}, float[8] beta = {@}, "
             "int64 one = {1}, float fone = {1}, float lowest = {-3.4e38}, float two = {2}, int64[2] v12 = {1,2}, "
             "int64[4] split = {0,0,2,4}, "
             "int64[3] merge = {0,0,8}, int64[1] last = {-1}, int64[1] end = {-9223372036854775807}, int64[1] v1 = "
             "{1}, int64[1] first = {0}, "
             "int64 i0 = {0}, "
             "int64 ilast = {-1}, float[1,12,8] table = {@}> { %s u = Unsqueeze (a, v12) f0 = Cast <to = 1> (u) n0 = "
             "Sub (fone, f0) bias = "
             "Mul (n0, lowest) x = Gather (words, ids) q0 = MatMul (x, wq) k0 = MatMul (x, wk) v0 = MatMul (x, wv) q4 "
             "= Reshape (q0, split) "
             "qh = Transpose <perm = [0,2,1,3]> (q4) k4 = Reshape (k0, split) kh = Transpose <perm = [0,2,3,1]> (k4) "
             "v4 = Reshape (v0, split) "
             "vh = Transpose <perm = [0,2,1,3]> (v4) qk = MatMul (qh, kh) sc = Div (qk, two) sb = Add (sc, bias) p = "
             "Softmax <axis = -1> (sb) "
             "c0 = MatMul (p, vh) ct = Transpose <perm = [0,2,1,3]> (c0) r0 = Reshape (ct, merge) o = MatMul (r0, wo) "
             "xo = Add (o, x) h = "
             "LayerNormalization <axis = -1> (xo, gamma, beta) %s last_hidden_state = Identity (y) }",
             e->type ? e->type : "int64", e->pooled ? "b,8" : "b,s,8", e->mask, e->tail);
    char *to = sized;
    for (const char *p = text; *p; p++) {
        if (strncmp(p, "[b,s", 4) == 0) to += sprintf(to, "[%s", e->sizes), p += 3;
        else if (strncmp(p, "[b,8", 4) == 0) to += sprintf(to, "[%.1s,8", e->sizes), p += 3;
        else *to++ = *p;
    }
    *to = 0;
    return sized;
}

static int32_t id_at(int text, int64_t j) { return (int32_t)((j * (text + 3) + text + 1) % 9); }

/* The text alone, or padded to the fixed length, and in as many copies as a fixed batch has, by the evals of the graph's own nodes. */
static void expect(const encoder *e, graph *g, int text, int64_t n, float want[WIDTH]) {
    base_arena arena;
    nib_error err;
    const graph_tensor *y;
    int64_t B = 1, S = n;
    base_arena_init(&arena, &test_runtime->heap);
    graph_dim_is_const(g->inputs[0]->type.dims[0], &B);
    graph_dim_is_const(g->inputs[0]->type.dims[1], &S);
    op_env *env = op_env_create(g, &arena, 64u << 20, &test_kernels);
    int64_t *ids = base_arena_calloc(&arena, (size_t)(B * S), sizeof *ids),
            *mask = base_arena_calloc(&arena, (size_t)(B * S), sizeof *mask);
    float *real = base_arena_calloc(&arena, (size_t)(B * S), sizeof *real);
    uint8_t *bits = base_arena_calloc(&arena, (size_t)(B * S), 1);
    for (int64_t i = 0; i < B * S; i++) {
        if (i % S < n) ids[i] = id_at(text, i % S);
        mask[i] = (i % S < n) != e->of_padding;
        real[i] = (float)mask[i];
        bits[i] = (uint8_t)mask[i];
    }
    graph_tensor in = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {B, S}, .data = ids, .bytes = (size_t)(B * S) * 8}, m = in;
    m.dtype = g->inputs[1]->type.dtype;
    m.data = m.dtype == NIB_DTYPE_F32 ? (void *)real : m.dtype == NIB_DTYPE_BOOL ? (void *)bits : (void *)mask;
    m.bytes = graph_type_bytes(m.dtype, (size_t)(B * S));
    assert_int_equal(op_env_set(env, g->inputs[0], &in), NIB_OK);
    assert_int_equal(op_env_set(env, g->inputs[1], &m), NIB_OK);
    if (op_env_get(env, g->outputs[0], &y, &err) != NIB_OK) fail_msg("%s", err.message);
    for (int k = 0; k < WIDTH; k++) {
        double sum = 0;
        for (int64_t j = 0; j < (e->pooled ? 1 : n); j++) sum += (double)((const float *)y->data)[j * WIDTH + k];
        want[k] = (float)(sum / (double)(e->pooled ? 1 : n));
    }
    base_arena_free(&arena);
}

static nib_model *open_text(const char *text, const char *path) {
    nib_model_options o;
    nib_model *m;
    nib_error err;
    char *full = fill_text(text);
    graph *g;
    if (graph_parse(&test_runtime->heap, full, strlen(full), &g, &err) != NIB_OK) fail_msg("%s\n%s", err.message, full);
    base_free(&test_runtime->heap, full);
    if (onnx_save(test_runtime, g, path, NULL, &err) != NIB_OK) fail_msg("%s", err.message);
    graph_free(g);
    nib_model_defaults(&o, sizeof o);
    o.runtime = test_runtime;
    if (nib_model_open(path, &o, &m, &err) != NIB_OK) fail_msg("%s", err.message);
    return m;
}

static void check(const encoder *e, const char *path) {
    static const int64_t lengths[] = {3, 9, 1, 9, 12, 2};
    enum { TEXTS = BASE_COUNT(lengths) };
    int32_t ids[TEXTS][12];
    const int32_t *rows[TEXTS];
    float all[TEXTS][WIDTH], alone[WIDTH], want[WIDTH];
    char said[8000];
    nib_error err;
    char *text = write_text(e), *training = strstr(text, "bool {1}");
    nib_model *m = open_text(text, path);
    if (training) training[6] = '0'; /* what is expected is the model in use */
    graph *g = parse_graph(text);
    assert_int_equal(nib_model_describe(m, said, sizeof said, NULL), NIB_OK);
    if (!strstr(said, e->says)) {
        print_message("%s\n", said);
        fail_msg("%s: \"%s\" is not there", e->tail, e->says);
    }
    for (int i = 0; i < TEXTS; i++) {
        rows[i] = ids[i];
        for (int64_t j = 0; j < lengths[i]; j++) ids[i][j] = id_at(i, j);
    }
    if (nib_embed_ids(m, rows, lengths, TEXTS, NULL, &all[0][0], &err) != NIB_OK) fail_msg("%s: %s", e->tail, err.message);
    for (int i = 0; i < TEXTS; i++) {
        if (nib_embed_ids(m, &rows[i], &lengths[i], 1, NULL, alone, &err) != NIB_OK) fail_msg("%s: %s", e->tail, err.message);
        if (memcmp(alone, all[i], sizeof alone) != 0) fail_msg("%s, %s: text %d has other bits beside others", e->mask, e->tail, i);
        expect(e, g, i, lengths[i], want);
        for (int k = 0; k < WIDTH; k++)
            if (!(fabsf(alone[k] - want[k]) <= 1e-5f))
                fail_msg("%s, %s, %s: text %d, %d: %g, not %g", e->mask, e->tail, e->sizes, i, k, (double)alone[k], (double)want[k]);
    }
    nib_model_free(m);
    graph_free(g);
}

static void every_text_has_its_own_vector(void **state) {
    char path[] = "/tmp/nib-texts-XXXXXX";
    assert_true(mkstemp(path) >= 0);
    for (size_t i = 0; i < BASE_COUNT(encoders); i++) check(&encoders[i], path);
    remove(path);
}

enum { LONGEST = 9 };

/* The encoder with a second bias, cut from a table of nine places: three keys to either side are seen. `rows`: what
 * attention reads of x.
 */
static void write_banded(const char *rows, char text[4200]) {
    const encoder e = {"a = Identity (m)", "y = Identity (h)", "b,s", "", false, false, NULL};
    const char *body = write_text(&e), *end = strstr(body, "x = Gather"), *rest = strstr(body, "q0 = MatMul"),
               *open = strstr(body, "float[1,12,8]");
    int n = snprintf(text, 4200, "%.*sfloat[9,9] band = {", (int)(open - body), body);
    for (int k = 0; k < LONGEST * LONGEST; k++)
        n += snprintf(text + n, 4200 - (size_t)n, "%s%s", k ? "," : "",
                      abs(k / LONGEST - k % LONGEST) <= 3 ? "0" : "-10000");
    n += snprintf(text + n, 4200 - (size_t)n, "}, int64[1] z0 = {0}, int64[1] o1 = {1}, %.*s", (int)(end - open), open);
    n += snprintf(text + n, 4200 - (size_t)n,
                  "sh = Shape (ids) len = Gather (sh, o1) t0 = Slice (band, z0, len, z0) t1 = Slice (t0, z0, len, o1) "
                  "x0 = Gather (words, ids) "
                  "x = Identity (x0) %s ",
                  rows);
    static const char *const instead[][2] = {{"sb = Add (sc, bias)", "both = Add (bias, t1) sb = Add (sc, both)"},
                                             {"MatMul (x,", "MatMul (h0,"}};
    for (const char *at = rest; *at;) {
        size_t k = 0;
        while (k < BASE_COUNT(instead) && strncmp(at, instead[k][0], strlen(instead[k][0])) != 0) k++;
        if (k == BASE_COUNT(instead)) {
            text[n++] = *at++;
        } else {
            n += snprintf(text + n, 4200 - (size_t)n, "%s", instead[k][1]);
            at += strlen(instead[k][0]);
        }
    }
    text[n] = 0;
}

/* By ids, and by named tensors, where the graph's own nodes fail and the message says why. */
static void check_longest(nib_model *m) {
    int32_t ids[LONGEST + 1] = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2};
    int64_t numbers[LONGEST + 1] = {0}, ones[LONGEST + 1] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const int32_t *row = ids;
    float v[WIDTH];
    nib_error err = {0};
    nib_session *s;
    assert_int_equal(nib_model_max_tokens(m), LONGEST);
    for (int64_t length = LONGEST; length <= LONGEST + 1; length++)
        assert_int_equal(nib_embed_ids(m, &row, &length, 1, NULL, v, &err),
                         length > LONGEST ? NIB_INVALID_ARGUMENT : NIB_OK);
    assert_int_equal(nib_session_create(m, &s, &err), NIB_OK);
    for (int64_t length = LONGEST; length <= LONGEST + 1; length++) {
        nib_tensor t = {.dtype = NIB_DTYPE_I64,
                        .rank = 2,
                        .dims = {1, length},
                        .data = numbers,
                        .bytes = (size_t)length * 8},
                   mask = t;
        mask.data = ones;
        assert_int_equal(nib_session_set_input(s, "ids", &t, &err), NIB_OK);
        assert_int_equal(nib_session_set_input(s, "m", &mask, &err), NIB_OK);
        assert_int_equal(nib_session_run(s, &err), length > LONGEST ? NIB_SHAPE : NIB_OK);
    }
    if (!strstr(err.message, "10 tokens a text; the model has 9 positions (a table of the model's mask ends there)"))
        fail_msg("%s", err.message);
    nib_session_free(s);
}

/* Texts end where a table of the mask does, packed or not, and whoever asks for more. */
static void texts_end_where_a_table_does(void **state) {
    static const struct {
        const char *rows;
        bool packed;
    } cases[] = {{"h0 = Identity (x)", true}, {"h0 = Slice (x, last, end, v1, last)", false}};
    char path[] = "/tmp/nib-texts-XXXXXX", said[8000], text[4200];
    assert_true(mkstemp(path) >= 0);
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        nib_model_options o;
        nib_error err = {0};
        write_banded(cases[i].rows, text);
        nib_model *m = open_text(text, path);
        assert_int_equal(nib_model_describe(m, said, sizeof said, NULL), NIB_OK);
        if (!strstr(said, cases[i].packed ? "batches       packed" : "batches       padded")) fail_msg("%s", said);
        if (!strstr(said, "longest text  9 tokens (a table of the model's mask ends there)")) fail_msg("%s", said);
        check_longest(m);
        nib_model_free(m);
        nib_model_defaults(&o, sizeof o);
        o.runtime = test_runtime;
        for (o.max_tokens = LONGEST; o.max_tokens <= LONGEST + 1; o.max_tokens++) {
            assert_int_equal(nib_model_open(path, &o, &m, &err),
                             o.max_tokens > LONGEST ? NIB_INVALID_ARGUMENT : NIB_OK);
            if (o.max_tokens == LONGEST) nib_model_free(m);
        }
        assert_non_null(strstr(
            err.message, "texts of 10 tokens were asked for; the model has 9 positions (a table of the model's mask"));
    }
    remove(path);
}

/* One layer masks where m is 0, another where it is 1. */
static void a_mask_in_two_senses_is_refused(void **state) {
    const encoder e = {
        "a = Identity (m)", "i = Sub (one, m) c = Cast <to = 1> (i) c3 = Unsqueeze (c, v2) y = Mul (h, c3)", "b,s", "", false, false, NULL};
    char path[] = "/tmp/nib-texts-XXXXXX", said[8000], text[4200];
    assert_true(mkstemp(path) >= 0);
    const char *body = write_text(&e), *at = strstr(body, "int64 one");
    snprintf(text, sizeof text, "%.*sint64[1] v2 = {2}, %s", (int)(at - body), body, at);
    nib_model *m = open_text(text, path);
    assert_int_equal(nib_model_describe(m, said, sizeof said, NULL), NIB_OK);
    assert_non_null(strstr(said, "tokens at one place of the graph and padding at another"));
    nib_model_free(m);
    remove(path);
}

/* Its mask is made of ids, which nib does not know to be one: it would pool the padding to the fixed length. */
static void a_fixed_length_without_a_mask_is_refused(void **state) {
    static const struct {
        encoder e;
        nib_pooling pooling;
        bool refused;
    } rows[] = {
        {{"e0 = Equal (ids, i0) e1 = Not (e0) a = Cast <to = 7> (e1)", "y = Identity (h)", "b,12", "", false, false, NULL},
         NIB_POOLING_MODEL, true},
        {{"e0 = Equal (ids, i0) e1 = Not (e0) a = Cast <to = 7> (e1)", "y = Identity (h)", "1,12", "", false, false, NULL},
         NIB_POOLING_LAST, true},
        {{"e0 = Equal (ids, i0) e1 = Not (e0) a = Cast <to = 7> (e1)", "y = Identity (h)", "b,12", "", false, false, NULL},
         NIB_POOLING_CLS, false},
        {{"e0 = Equal (ids, i0) e1 = Not (e0) a = Cast <to = 7> (e1)", "y = Identity (h)", "b,s", "", false, false, NULL},
         NIB_POOLING_MODEL, false},
        {{"e0 = Equal (ids, i0) e1 = Not (e0) a = Cast <to = 7> (e1)", "y = Gather <axis = 1> (h, i0)", "b,12", "", false, true, NULL},
         NIB_POOLING_MODEL, false},
        {{"a = Identity (m)", "y = Identity (h)", "b,12", "", false, false, NULL}, NIB_POOLING_MODEL, false},
    };
    const int32_t ids[3] = {1, 5, 2}, *texts[1] = {ids};
    const int64_t lengths[1] = {3};
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char path[] = "/tmp/nib-texts-XXXXXX", text[4200];
        float v[WIDTH];
        nib_model_options o;
        nib_model *m;
        nib_error err = {0};
        assert_true(mkstemp(path) >= 0);
        const char *body = write_text(&rows[i].e), *at = strstr(body, ", int64["), *end = strstr(body, ") =>");
        const bool has_mask = strstr(rows[i].e.mask, "(m)") != NULL;
        snprintf(text, sizeof text, "%.*s%s", (int)((has_mask ? end : at) - body), body, end);
        nib_model_free(open_text(text, path));
        nib_model_defaults(&o, sizeof o);
        o.runtime = test_runtime;
        o.pooling = rows[i].pooling;
        if (nib_model_open(path, &o, &m, &err) != NIB_OK) fail_msg("%s", err.message);
        const nib_status status = nib_embed_ids(m, texts, lengths, 1, NULL, v, &err);
        if (status != (rows[i].refused ? NIB_UNSUPPORTED : NIB_OK)) fail_msg("row %d: %s", (int)i, err.message);
        if (rows[i].refused) assert_non_null(strstr(err.message, "fixes 12 tokens a text and has no mask input"));
        nib_model_free(m);
        remove(path);
    }
}

/* A file is for use: the Dropout goes, is named, and the proof compares without it; unless it is to be kept. */
static void a_dropout_in_training_goes(void **state) {
    encoder e = {"a = Identity (m)",
                 "half = Constant <value_float = 0.5> () yes = Constant <value = bool {1}> () y = Dropout (h, half, yes)",
                 "b,s",
                 "",
                 false,
                 false,
                 NULL};
    char path[] = "/tmp/nib-texts-XXXXXX", out[] = "/tmp/nib-texts-XXXXXX";
    assert_true(mkstemp(path) >= 0 && mkstemp(out) >= 0);
    nib_model_free(open_text(write_text(&e), path));
    for (int keep = 0; keep < 2; keep++) {
        nib_optimize_options o;
        nib_report *report;
        nib_error err;
        graph *g;
        nib_optimize_defaults(&o, sizeof o);
        o.runtime = test_runtime;
        o.keep_random = keep;
        o.check = !keep; /* the output's name, by which it draws, is another */
        if (nib_optimize_file(path, out, &o, &report, &err) != NIB_OK) fail_msg("%s", err.message);
        const char *text = nib_report_text(report);
        if ((strstr(text, "Dropout at y is set to training: it is off") != NULL) == keep) fail_msg("%s", text);
        if (!keep && !strstr(text, "last_hidden_state: differs by at most")) fail_msg("%s", text);
        if ((strstr(text, "draws random numbers when it runs: Dropout") != NULL) != keep) fail_msg("%s", text);
        nib_report_free(report);
        if (onnx_load(test_runtime, out, &g, &err) != NIB_OK) fail_msg("%s", err.message);
        assert_int_equal(count_op(g, "", "Dropout"), keep);
        graph_free(g);
    }
    remove(path);
    remove(out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_text_has_its_own_vector), cmocka_unit_test(texts_end_where_a_table_does),
        cmocka_unit_test(a_mask_in_two_senses_is_refused), cmocka_unit_test(a_dropout_in_training_goes),
        cmocka_unit_test(a_fixed_length_without_a_mask_is_refused)};
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}

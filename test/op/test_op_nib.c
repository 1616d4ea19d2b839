/* SPDX-License-Identifier: Apache-2.0
 *
 * nib's own operators: each computes what its expansion in standard operators computes, on random shapes and attributes and
 * in every opset that changed the words; what cannot be expanded says so; and hostile inputs are refused by eval.
 */
#include "pass/pass_test.h"

static const int opsets[] = {9, 10, 12, 13, 17, 18, 20, 23};

static void expand_all(graph *g) {
    nib_error err = {0};
    for (graph_node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (strcmp(n->domain, "nib") != 0) continue;
        assert_non_null(n->meaning);
        assert_non_null(n->meaning->expand);
        if (n->meaning->expand(g, n, &err) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
        if (graph_verify(g, &err) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
    }
    for (const graph_node *n = g->first; n; n = n->next) {
        assert_string_equal(n->domain, "");
        if (!n->meaning) fail_msg("%s is not known in this opset", n->op);
    }
}

/* `text` begins behind the opset. */
static void check(const char *text) {
    static const char *const since_13[] = {"nib.Rotary", "nib.Pool",  "nib.Offsets",  "nib.Pack",
                                           "nib.Unpack", "nib.Pick",  "Unsqueeze",    "int32[5] rows"};
    char full[3000];
    int first = 0;
    for (size_t i = 0; i < BASE_COUNT(since_13); i++)
        if (strstr(text, since_13[i])) first = 13;
    for (size_t i = 0; i < BASE_COUNT(opsets); i++) {
        if (opsets[i] < first) continue;
        snprintf(full, sizeof full, "<ir_version: 8, opset_import: [\"\" : %d]> %s", opsets[i], text);
        graph *nib = parse_graph(full), *standard = clone_graph(nib);
        expand_all(standard);
        check_equal(nib, standard, false);
        graph_free(nib);
        graph_free(standard);
    }
}

static void check_masks(const char *text) {
    for (mask_kind = 0; mask_kind < MASK_KINDS; mask_kind++) check(text);
    mask_kind = MASK_FULL;
}

static void linear(void **state) {
    static const char *const activations[] = {"none", "gelu_erf", "gelu_tanh", "tanh", "silu", "relu", "sigmoid"};
    static const char *const inputs[] = {"x, w", "x, w, c", "x, w, c, r", "x, w, \"\", r"};
    char text[700];
    for (size_t a = 0; a < BASE_COUNT(activations); a++)
        for (size_t i = 0; i < BASE_COUNT(inputs); i++)
            for (int trans = 0; trans < 2; trans++) {
                snprintf(text, sizeof text,
                         "g (float[b,s,6] x, float[b,s,3] r) => (float[b,s,3] y) <float[%s] w = {@}, float[3] c = {@}> { y = nib.Linear "
                         "<trans_w = %d, activation = \"%s\"> (%s) }",
                         trans ? "3,6" : "6,3", trans, activations[a], inputs[i]);
                check(text);
            }
    check("g (float[b,4] x) => (float[b,2] y) <float[4,2] w = {@}> { y = nib.Linear (x, w) }");
}

static void linear_of_many_weights(void **state) {
    static const char *const gates[] = {"first", "second"};
    char text[700];
    for (int trans = 0; trans < 2; trans++) {
        snprintf(text, sizeof text,
                 "g (float[b,s,6] x, float[b,s,8] r) => (float[b,s,8] y) <float[%s] w = {@}, float[%s] w2 = {@}, float[%s] w3 = {@}, "
                 "float[8] c = {@}> { y = nib.Linear <trans_w = %d, activation = \"relu\"> (x, w, c, r, \"\", w2, w3) }",
                 trans ? "3,6" : "6,3", trans ? "1,6" : "6,1", trans ? "4,6" : "6,4", trans);
        check(text);
        for (size_t i = 0; i < BASE_COUNT(gates); i++) {
            snprintf(text, sizeof text,
                     "g (float[b,s,6] x) => (float[b,s,4] y, float[b,s,4] z) <float[%s] w = {@}, float[%s] w2 = {@}, float[%s] w3 = {@}, "
                     "float[8] c = {@}> { y = nib.Linear <trans_w = %d, activation = \"gelu_erf\", gate = \"%s\"> (x, w, c) "
                     "z = nib.Linear <trans_w = %d, activation = \"silu\", gate = \"%s\"> (x, w2, \"\", \"\", \"\", w3) }",
                     trans ? "8,6" : "6,8", trans ? "4,6" : "6,4", trans ? "4,6" : "6,4", trans, gates[i], trans, gates[i]);
            check(text);
        }
    }
}

static void rotary(void **state) {
    static const char *const attrs[] = {"heads = 2, head_size = 6", "heads = 1, head_size = 6, first_column = 6, rotary = 6",
                                        "heads = 2, head_size = 7, first_column = 1, rotary = 6"};
    char text[700];
    for (size_t i = 0; i < BASE_COUNT(attrs); i++)
        for (int twice = 0; twice < 2; twice++) {
            snprintf(text, sizeof text,
                     "g (float[b,s,15] x, int64[1,s] p) => (float[b,s,15] y) <float[5,%d] cosines = {@}, float[5,%d] sines = {@}> "
                     "{ y = nib.Rotary <%s> (x, cosines, sines, p) }",
                     twice ? 6 : 3, twice ? 6 : 3, attrs[i]);
            check(text);
        }
    check("g (float[t,12] x, int64[t] p) => (float[t,12] y) <float[5,2] cosines = {@}, float[5,2] sines = {@}> "
          "{ y = nib.Rotary <heads = 3, head_size = 4> (x, cosines, sines, p) }");
}

/* A pair turned by angle 0 stays, by a right angle becomes (-b, a); interleaved pairs are neighbours. */
static void rotary_turns(void **state) {
    static const float want[2][8] = {{-3, -4, 1, 2, -7, -8, 5, 6}, {-2, 1, -4, 3, -6, 5, -8, 7}};
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        char text[500];
        graph *g;
        nib_error err = {0};
        const graph_tensor *out;
        base_arena arena;
        base_arena_init(&arena, &test_runtime->heap);
        snprintf(text, sizeof text,
                 HEAD "g () => (float[1,8] y) <float[1,8] x = {1,2,3,4,5,6,7,8}, float[2,2] c = {1,1,0,0}, float[2,2] s = {0,0,1,1}, "
                      "int64[1] p = {1}> { y = nib.Rotary <heads = 2, head_size = 4, interleaved = %d> (x, c, s, p) }",
                 interleaved);
        assert_int_equal(graph_parse(&test_runtime->heap, text, strlen(text), &g, &err), NIB_OK);
        op_resolve(g);
        op_env *env = op_env_create(g, &arena, 1u << 20, &test_kernels);
        assert_int_equal(op_env_get(env, g->outputs[0], &out, &err), NIB_OK);
        assert_memory_equal(out->data, want[interleaved], sizeof want[0]);
        base_arena_free(&arena);
        graph_free(g);
    }
}

static void norm(void **state) {
    static const char *const inputs[] = {"x, gamma", "x, gamma, beta", "x, gamma, beta, r", "x, gamma, \"\", r"};
    char text[700];
    for (size_t i = 0; i < BASE_COUNT(inputs); i++)
        for (int both = 0; both < 2; both++)
            for (int rms = 0; rms < 2; rms++) {
                snprintf(text, sizeof text,
                         "g (float[b,s,7] x, float[b,s,7] r) => (float[b,s,7] y%s) <float[7] gamma = {@}, float[7] beta = {@}> { y%s = "
                         "nib.Norm <kind = \"%s\", epsilon = %s> (%s) }",
                         both ? ", float[b,s,7] sum" : "", both ? ", sum" : "", rms ? "rms" : "layer", i ? "0.001" : "0.5", inputs[i]);
                check(text);
            }
}

static void embed(void **state) {
    check("g (int64[b,s] ids, int32[1,s] ids2, int64[s] ids3) => (float[b,s,3] y) <float[5,3] t = {@}, float[4,3] u = {@}> { y = nib.Embed "
          "(ids, t, ids2, u, ids3, t) }");
    check("g (int64[s] ids, int64[b,1] ids2) => (float[b,s,2] y) <float[5,2] t = {@}, float[4,2] u = {@}> { y = nib.Embed (ids, t, ids2, "
          "u) }");
    check("g (int64[b] ids) => (float[b,3] y) <float[5,3] t = {@}> { y = nib.Embed (ids, t) }");
}

static void attention(void **state) {
    static const char *const biases[] = {"", ", bias", ", bias4", ", key_bias", ", head_bias"};
    char text[900];
    for (size_t i = 0; i < BASE_COUNT(biases); i++)
        for (int heads = 1; heads <= 4; heads *= 2) {
            snprintf(text, sizeof text,
                     "g (float[b,s,8] q, float[b,t,8] k, float[b,t,8] v, float[s,t] bias, float[b,%d,s,t] bias4, float[b,1,1,t] key_bias, "
                     "float[1,%d,1,t] head_bias) => (float[b,s,8] y)"
                     "{ y = nib.Attention <heads = %d, kv_heads = %d, scale = %s%s> (q, k, v%s) }",
                     heads, heads, heads, heads, i % 2 ? "0.5" : "1.25", i == 1 ? ", softcap = 2.0" : "", biases[i]);
            check(text);
        }
    check("g (float[b,s,24] qkv, float[s,s] bias) => (float[b,s,8] y) { y = nib.Attention <heads = 4, scale = 0.5> (qkv, \"\", \"\", bias) "
          "}");
    check("g (float[b,s,24] qkv) => (float[b,s,8] y) { y = nib.Attention <heads = 2> (qkv) }");
    for (int i = 0; i < 8; i++) { /* rows in any order, which the kernels would not have */
        static const char *const tables[] = {"rk, rq, rows", "rk, \"\", rows",     "\"\", rq, rows",
                                             "rk, rq, one",  "rk, \"\", rows, rb", "\"\", \"\", rows, rb",
                                             "\"\", \"\", \"\", \"\", sl", "rk, \"\", rows, rb, sl"};
        snprintf(text, sizeof text,
                 "g (float[b,s,8] q, float[b,t,8] k, float[b,t,8] v, float[2,3,4] rk, float[2,3,4] rq, float[2,3] rb, "
                 "float[1,1,1,t] "
                 "bias) => (float[b,s,8] y) "
                 "<int32[5] rows = {2,0,1,1,2}, int32[1] one = {1}, float[2] sl = {-0.5,0.25}> "
                 "{ y = nib.Attention <heads = 2, scale = 0.5> (q, k, v, bias, \"\", \"\", %s) }",
                 tables[i]);
        check(text);
    }
    for (int masked_nan = 0; masked_nan < 2; masked_nan++) {
        snprintf(text, sizeof text,
                 "g (float[b,s,8] q, float[b,s,8] k, float[b,s,8] v, int64[b,s] mask) => (float[b,s,8] y) <float zero "
                 "= {0}, float ninf = "
                 "{-inf}, int64[2] ax = {1,2}> {"
                 " m = Cast <to = 9> (mask) u = Unsqueeze (m, ax) bias = Where (u, zero, ninf) y = nib.Attention "
                 "<heads = 2, scale = 0.5, "
                 "masked_nan = %d> (q, k, v, bias) }",
                 masked_nan);
        check_masks(text);
    }
}

static void pool(void **state) {
    static const char *const modes[] = {"mean", "cls", "max", "mean_sqrt_len", "weighted_mean", "last"};
    static const char *const types[] = {"int64", "float", "bool", "int32"};
    char text[500];
    for (size_t i = 0; i < BASE_COUNT(modes); i++)
        for (size_t k = 0; k < BASE_COUNT(types); k++) {
            snprintf(text, sizeof text, "g (float[b,s,4] x, %s[b,s] mask) => (float[b,4] y) { y = nib.Pool <mode = \"%s\"> (x, mask) }",
                     types[k], modes[i]);
            check_masks(text);
        }
    check_masks("g (float[b,s,4] x, int64[b,s] mask) => (float[b,4] y) { y = nib.Pool (x, mask) }");
}

static void ragged(void **state) {
    check_masks("g (int64[b,s] mask) => (int64[n] y) { y = nib.Offsets (mask) }");
    check_masks("g (float[b,s] mask) => (int64[n] y) { y = nib.Offsets (mask) }");
    check_masks("g (float[b,s,4] x, int64[b,s] mask) => (float[t,4] y) { y = nib.Pack (x, mask) }");
    check_masks("g (int64[b,s] ids, bool[b,s] mask) => (int64[t] y) { y = nib.Pack (ids, mask) }");
    check_masks("g (float[b,s,2,3] x, int32[b,s] mask) => (float[b,s,2,3] y) { t = nib.Pack (x, mask) y = nib.Unpack (t, mask) }");
    check_masks("g (int64[b,s] ids, int64[b,s] mask) => (int64[b,s] y) { t = nib.Pack (ids, mask) y = nib.Unpack (t, mask) }");
}

/* Places are 0 and 1 here: of texts and of tokens. */
static void pick(void **state) {
    check("g (float[2,3,4] x, int64[n,2] places) => (float[n,4] y) { y = nib.Pick (x, places) }");
    check("g (int32[2,3,4] x, int64[n,2] places) => (int32[n,4] y) { y = nib.Pick (x, places) }");
}

/* Row i of packed texts is that of the padded ones, whose padding nobody names. */
static void pick_of_packed_rows(void **state) {
    static const char *const text =
        HEAD "g (float x) => (float[3,2] y, float[3,2] z) <float[2,3,2] padded = {1,2, 3,4, 5,6, 7,8, 0,0, 0,0}, "
             "float[4,2] rows = {1,2, 3,4, 5,6, 7,8}, int64[3] offsets = {0,3,4}, int64[3,2] places = {1,0, 0,2, 0,0}> "
             "{ y = nib.Pick (padded, places) z = nib.Pick <packed = 1> (rows, places, offsets) }";
    static const float want[] = {7, 8, 5, 6, 1, 2};
    graph *g;
    nib_error err = {0};
    const graph_tensor *out;
    base_arena arena;
    base_arena_init(&arena, &test_runtime->heap);
    assert_int_equal(graph_parse(&test_runtime->heap, text, strlen(text), &g, &err), NIB_OK);
    op_resolve(g);
    assert_int_equal(op_infer_graph(g, &err), NIB_OK);
    op_env *env = op_env_create(g, &arena, 1u << 20, &test_kernels);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(op_env_get(env, g->outputs[i], &out, &err), NIB_OK);
        assert_memory_equal(out->data, want, sizeof want);
    }
    base_arena_free(&arena);
    graph_free(g);
}

/* A packed text alone computes what it does padded: offsets against masks. */
static void packed_forms_equal_padded_ones(void **state) {
    static const char *const modes[] = {"mean", "cls", "max", "mean_sqrt_len", "weighted_mean", "last"};
    char padded[900], packed[900];
    for (size_t i = 0; i < BASE_COUNT(modes); i++) {
        snprintf(padded, sizeof padded,
                 HEAD "g (float[b,s,4] x, int64[b,s] mask) => (float[b,4] y) { y = nib.Pool <mode = \"%s\"> (x, mask) }", modes[i]);
        snprintf(packed, sizeof packed,
                 HEAD "g (float[b,s,4] x, int64[b,s] mask) => (float[b,4] y) { o = nib.Offsets (mask) t = nib.Pack (x, mask) y = nib.Pool "
                      "<mode = \"%s\", packed = 1> (t, o) }",
                 modes[i]);
        graph *a = parse_graph(padded), *b = parse_graph(packed);
        for (mask_kind = 0; mask_kind < MASK_KINDS; mask_kind++) check_equal(a, b, false);
        mask_kind = MASK_FULL;
        graph_free(a);
        graph_free(b);
    }
}

/* So do they where the rows of a prompt are left out. */
static void prompts_are_left_out_alike(void **state) {
    static const char *const modes[] = {"mean", "cls", "max", "mean_sqrt_len", "weighted_mean", "last"};
    char padded[900], packed[900];
    for (size_t i = 0; i < BASE_COUNT(modes); i++) {
        snprintf(padded, sizeof padded,
                 HEAD "g (float[b,s,4] x, int64[b,s] mask, int64[1] n) => (float[b,4] y) { y = nib.Pool <mode = \"%s\"> (x, mask, n) }",
                 modes[i]);
        snprintf(packed, sizeof packed,
                 HEAD "g (float[b,s,4] x, int64[b,s] mask, int64[1] n) => (float[b,4] y) { o = nib.Offsets (mask) t = nib.Pack (x, mask) "
                      "y = nib.Pool <mode = \"%s\", packed = 1> (t, o, n) }",
                 modes[i]);
        graph *a = parse_graph(padded), *b = parse_graph(packed);
        for (mask_kind = 0; mask_kind < MASK_KINDS; mask_kind++) check_equal(a, b, false);
        mask_kind = MASK_FULL;
        graph_free(a);
        graph_free(b);
    }
}

static void what_cannot_be_said_is_refused(void **state) {
    static const struct {
        const char *body, *why;
        int opset;
    } rows[] = {
        {"y = nib.Attention <heads = 2, causal = 1> (q, k, v)", "causal", 17},
        {"y = nib.Attention <heads = 2, window_left = 3> (q, k, v)", "window", 17},
        {"y = nib.Attention <heads = 2, window_right = 0> (q, k, v)", "window", 17},
        {"y = nib.Attention <heads = 4, kv_heads = 2> (q, k, v)", "shared", 17},
        {"y = nib.Pool <packed = 1> (p, o)", "packed", 17},
        {"y = nib.Attention <heads = 2> (p, p, p, \"\", o)", "packed", 17},
        {"y = nib.Attention <heads = 2> (q, k, v, \"\", \"\", \"\", rk, rk, rows)", "opset 12", 12},
        {"y = nib.Attention <heads = 2> (q, k, v, \"\", \"\", at, rk, rk, rows)", "positions", 17},
        {"y = nib.Attention <heads = 2> (q, k, v, \"\", \"\", at, \"\", \"\", \"\", \"\", sl)", "positions", 17},
        {"y = nib.Attention <heads = 2> (q, k, v, \"\", \"\", \"\", rk, \"\", far)", "reach", 17},
        {"y = nib.Attention <heads = 2> (q, k, v)", "opset 6", 6},
        {"y = nib.Pool <mode = \"cls\"> (q, m)", "opset 12", 12},
        {"y = nib.Linear <activation = \"gelu_erf\"> (q, p)", "opset 8: it has no Erf", 8},
    };
    char text[600];
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        snprintf(text, sizeof text,
                 "<ir_version: 8, opset_import: [\"\" : %d]> g (float[b,s,8] q, float[b,s,8] k, float[b,s,8] v, float[t,8] p, int64[n] o, "
                 "int64[b,s] m, float[2,3,4] rk, int32[5] rows, int32[r] far, int32[b,s] at, float[2] sl) => (float y) { %s }",
                 rows[i].opset, rows[i].body);
        graph *g;
        nib_error err = {0};
        assert_int_equal(graph_parse(&test_runtime->heap, text, strlen(text), &g, &err), NIB_OK);
        g->outputs[0]->type = (graph_type){.rank = -1};
        op_resolve(g);
        assert_int_equal(g->first->meaning->expand(g, g->first, &err), NIB_UNSUPPORTED);
        if (!strstr(err.message, rows[i].why)) fail_msg("%s", err.message);
        assert_int_equal(g->node_count, 1); /* left as it was */
        assert_int_equal(graph_verify(g, &err), NIB_OK);
        graph_free(g);
    }
}

/* ---- hostile tensors. A word is a type and a shape; offsets are written out. */

static graph_tensor hostile_tensor(base_arena *arena, const char *word) {
    graph_tensor t = {.dtype = NIB_DTYPE_F32};
    const char *open = strchr(word, '[');
    if (strncmp(word, "i64", 3) == 0) t.dtype = NIB_DTYPE_I64;
    if (strncmp(word, "i32", 3) == 0) t.dtype = NIB_DTYPE_I32;
    if (strncmp(word, "f64", 3) == 0) t.dtype = NIB_DTYPE_F64;
    if (strncmp(word, "i4", 2) == 0 && word[2] == '[') t.dtype = NIB_DTYPE_I4;
    for (char *end = (char *)(uintptr_t)open; *end == '[' || *end == ',';)
        if (end[1] == ']') break;
        else t.dims[t.rank++] = strtoll(end + 1, &end, 10);
    int64_t n = graph_tensor_elements(&t);
    t.bytes = graph_type_bytes(t.dtype, (size_t)n);
    t.data = base_arena_calloc(arena, t.bytes + 1, 1);
    const char *values = strchr(word, '=');
    for (int64_t i = 0; values && i < n; i++) {
        char *end;
        int64_t x = strtoll(values + 1, &end, 10);
        if (t.dtype == NIB_DTYPE_I64) ((int64_t *)t.data)[i] = x;
        if (t.dtype == NIB_DTYPE_I32) ((int32_t *)t.data)[i] = (int32_t)x;
        values = *end == ',' ? end : NULL;
    }
    return t;
}

static const struct {
    const char *node;
    const char *in[10];
} hostile[] = {
    {"nib.Linear", {"f32[2,3]", "f32[4,2]"}},
    {"nib.Linear", {"f32[]", "f32[1,2]"}},
    {"nib.Linear", {"f32[2,3]", "f32[3]"}},
    {"nib.Linear", {"f64[2,3]", "f32[3,2]"}},
    {"nib.Linear", {"f32[2,3]", "f64[3,2]"}},
    {"nib.Linear", {"f32[2,3]", "f32[3,2]", "f32[3]"}},
    {"nib.Linear", {"f32[2,3]", "f32[3,2]", "f32[2]", "f32[2,1]"}},
    {"nib.Linear", {"f32[2,3]", "f32[3,2]", "f32[2]", "i64[2,2]"}},
    {"nib.Linear <activation = \"cube\">", {"f32[2,3]", "f32[3,2]"}},
    {"nib.Linear", {"f32[4611686018427387904,0]", "f32[0,4611686018427387904]"}},
    {"nib.Linear <gate = \"first\">", {"f32[2,3]", "f32[3,3]"}},
    {"nib.Linear <gate = \"both\">", {"f32[2,3]", "f32[3,2]"}},
    {"nib.Linear <gate = \"second\">", {"f32[2,3]", "f32[3,4]", NULL, "f32[2,2]"}},
    {"nib.Linear", {"f32[2,3]", "f32[3,2]", "f32[2]", NULL, NULL, "f32[3,2]"}},
    {"nib.Linear", {"f32[2,3]", "f32[3,2]", NULL, NULL, NULL, "f32[4,2]"}},
    {"nib.Linear", {"f32[2,3]", "f32[3,2]", NULL, NULL, NULL, "i64[3,2]"}},
    {"nib.Rotary <head_size = 4>", {"f32[2,4]", "f32[3,2]", "f32[3,2]", "i64[2]=0,3"}},
    {"nib.Rotary <head_size = 4>", {"f32[2,4]", "f32[3,2]", "f32[3,2]", "i64[2]=0,-1"}},
    {"nib.Rotary <head_size = 4>", {"f32[2,4]", "f32[3,2]", "f32[3,2]", "i64[3]"}},
    {"nib.Rotary <head_size = 4>", {"f32[2,4]", "f32[3,2]", "f32[3,2]", "i64[0]"}},
    {"nib.Rotary <head_size = 4>", {"f32[2,4]", "f32[3,2]", "f32[2,2]", "i64[2]"}},
    {"nib.Rotary <head_size = 4>", {"f32[2,4]", "f32[3,3]", "f32[3,3]", "i64[2]"}},
    {"nib.Rotary <head_size = 4>", {"f32[2,4]", "f32[3,2]", "f32[3,2]", "f32[2]"}},
    {"nib.Rotary <head_size = 4>", {"f32[2,4]", "f32[3,2]", "f64[3,2]", "i64[2]"}},
    {"nib.Rotary <head_size = 3>", {"f32[2,4]", "f32[3,1]", "f32[3,1]", "i64[2]"}},
    {"nib.Rotary <head_size = 4, rotary = 6>", {"f32[2,8]", "f32[3,3]", "f32[3,3]", "i64[2]"}},
    {"nib.Rotary <head_size = 4, first_column = 2>", {"f32[2,4]", "f32[3,2]", "f32[3,2]", "i64[2]"}},
    {"nib.Rotary <head_size = 4, first_column = -4>", {"f32[2,4]", "f32[3,2]", "f32[3,2]", "i64[2]"}},
    {"nib.Rotary <head_size = 4, heads = 4611686018427387905>", {"f32[2,4]", "f32[3,2]", "f32[3,2]", "i64[2]"}},
    {"nib.Rotary", {"f32[2,4]", "f32[3,2]", "f32[3,2]", "i64[2]"}},
    {"nib.Norm", {"f32[2,3]", "f32[2]"}},
    {"nib.Norm", {"f32[]", "f32[1]"}},
    {"nib.Norm", {"f32[2,3]", "f32[3]", "f32[1]"}},
    {"nib.Norm", {"f32[2,3]", "f32[3]", "f32[3]", "f32[3]"}},
    {"nib.Norm", {"i32[2,3]", "f32[3]"}},
    {"nib.Norm <groups = 2>", {"f32[2,3]", "f32[1]"}},
    {"nib.Norm <groups = 3>", {"f32[2,3]", "f32[3]"}},
    {"nib.Norm <groups = 0>", {"f32[2,3]", "f32[3]"}},
    {"nib.Norm <groups = -3>", {"f32[2,3]", "f32[1]"}},
    {"nib.Norm <groups = 4611686018427387905>", {"f32[2,0]", "f32[0]"}},
    {"nib.Embed", {"i64[2]=0,5", "f32[5,3]"}},
    {"nib.Embed", {"i64[2]=-6,0", "f32[5,3]"}},
    {"nib.Embed", {"i64[2]=0,9223372036854775807", "f32[5,3]"}},
    {"nib.Embed", {"i64[1]=-9223372036854775808", "f32[5,3]"}},
    {"nib.Embed", {"i64[2]", "f32[0,3]"}},
    {"nib.Embed", {"i64[2]", "f32[15]"}},
    {"nib.Embed", {"i64[2]", "f64[5,3]"}},
    {"nib.Embed", {"f64[2]", "f32[5,3]"}},
    {"nib.Embed", {"i64[2]", "f32[5,3]", "i64[3]", "f32[5,3]"}},
    {"nib.Embed", {"i64[2]", "f32[5,3]", "i64[2]", "f32[5,2]"}},
    {"nib.Embed",
     {"i32[2097152,1,1]", "f32[1,8]", "i32[2097152,1]", "f32[1,8]", "i32[524288]", "f32[1,8]"}}, /* 2^64 bytes */
    {"nib.Attention <heads = 2>", {"f32[2,3,4]", "f32[2,3,4]", "f32[2,2,4]"}},
    {"nib.Attention <heads = 2>", {"f32[2,3,4]", "f32[1,3,4]", "f32[1,3,4]"}},
    {"nib.Attention <heads = 2>", {"f32[2,3,4]", "f32[2,3,6]", "f32[2,3,6]"}},
    {"nib.Attention <heads = 3>", {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]"}},
    {"nib.Attention <heads = 0>", {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]"}},
    {"nib.Attention <heads = 4, kv_heads = 2>", {"f32[2,3,8]", "f32[2,3,5]", "f32[2,3,5]"}},
    {"nib.Attention <heads = 4, kv_heads = 3>", {"f32[2,3,8]", "f32[2,3,6]", "f32[2,3,6]"}},
    {"nib.Attention <heads = 4, kv_heads = -2>", {"f32[2,3,8]", "f32[2,3,4]", "f32[2,3,4]"}},
    {"nib.Attention <heads = 1>", {"f32[1,1,513]", "f32[1,1,513]", "f32[1,1,513]"}},
    {"nib.Attention <heads = 2>", {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", "f32[2,1,3,4]"}},
    {"nib.Attention <heads = 2>", {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", "f32[1,2,1,3,3]"}},
    {"nib.Attention <heads = 2>", {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", "i64[3,3]"}},
    {"nib.Attention <heads = 2>", {"f32[5,4]", "f32[5,4]", "f32[5,4]"}},
    {"nib.Attention <heads = 2>", {"f32[5,4]", "f32[5,4]", "f32[5,4]", NULL, "i64[3]=0,2,6"}},
    {"nib.Attention <heads = 2>", {"f32[5,4]", "f32[5,4]", "f32[5,4]", NULL, "i64[3]=-1,2,5"}},
    {"nib.Attention <heads = 2>", {"f32[5,4]", "f32[5,4]", "f32[5,4]", NULL, "i64[3]=0,4,2"}},
    {"nib.Attention <heads = 2>", {"f32[5,4]", "f32[5,4]", "f32[5,4]", NULL, "i64[3]=-9223372036854775808,5,5"}},
    {"nib.Attention <heads = 2>", {"f32[5,4]", "f32[5,4]", "f32[3,4]", NULL, "i64[2]=0,5"}},
    {"nib.Attention <heads = 2>", {"f32[5,4]", "f32[3,4]", "f32[5,4]", NULL, "i64[2]=0,5"}},
    {"nib.Attention <heads = 2>", {"f32[5,4]", "f32[5,4]", "f32[5,4]", NULL, "f64[2]"}},
    {"nib.Attention <heads = 2>", {"f32[5,4]", "f32[5,4]", "f32[5,4]", NULL, "i64[0]"}},
    {"nib.Attention <heads = 2>", {"f32[5,4]", "f32[5,4]", "f32[5,4]", "f32[1]", "i64[2]=0,5"}},
    {"nib.Attention <heads = 2>", {"f32[2,3,8]"}},
    {"nib.Attention <heads = 2>", {"f32[2,3,12]", "f32[2,3,4]"}},
    {"nib.Attention <heads = 1073741824, kv_heads = 1073741824>", {"f32[2,3,12]"}},
    {"nib.Attention <heads = 2>", {"f32[5,12]", NULL, NULL, NULL, "i64[2]=0,5", "i32[4]"}},
    {"nib.Attention <heads = 2>", {"f32[5,12]", NULL, NULL, NULL, "i64[2]=0,5", "i64[5]"}},
    {"nib.Attention <heads = 2>",
     {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", NULL, NULL, NULL, "f32[2,3,2]", NULL, "i32[3]=0,1,3"}},
    {"nib.Attention <heads = 2>",
     {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", NULL, NULL, NULL, "f32[2,3,2]", NULL, "i32[3]=0,-1,2"}},
    {"nib.Attention <heads = 2>",
     {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", NULL, NULL, NULL, "f32[2,3,2]", NULL, "i32[2]=0,1"}},
    {"nib.Attention <heads = 2>",
     {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", NULL, NULL, NULL, "f32[2,3,2]", NULL, "i32[0]"}},
    {"nib.Attention <heads = 2>",
     {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", NULL, NULL, NULL, "f32[2,3,2]", NULL, "i64[1]"}},
    {"nib.Attention <heads = 2>",
     {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", NULL, NULL, NULL, "f32[2,3,2]", "f32[2,4,2]", "i32[1]=0"}},
    {"nib.Attention <heads = 2>",
     {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", NULL, NULL, NULL, "f32[2,3,3]", NULL, "i32[1]=0"}},
    {"nib.Attention <heads = 2>",
     {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", NULL, NULL, NULL, "f32[1,3,2]", NULL, "i32[1]=0"}},
    {"nib.Attention <heads = 2>",
     {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", NULL, NULL, NULL, "f32[3,2]", NULL, "i32[1]=0"}},
    {"nib.Attention <heads = 2>",
     {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", NULL, NULL, NULL, "f64[2,3,2]", NULL, "i32[1]=0"}},
    {"nib.Attention <heads = 2>",
     {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", NULL, NULL, NULL, "f32[2,0,2]", NULL, "i32[1]=0"}},
    {"nib.Attention <heads = 2>", {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", NULL, NULL, NULL, NULL, NULL, "i32[1]=0"}},
    {"nib.Attention <heads = 2>", {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", NULL, NULL, NULL, "f32[2,3,2]"}},
    {"nib.Attention <heads = 2>",
     {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", NULL, NULL, NULL, NULL, NULL, "i32[1]=1", "f32[2,1]"}},
    {"nib.Attention <heads = 2>",
     {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", NULL, NULL, NULL, NULL, NULL, "i32[1]=0", "f32[1,1]"}},
    {"nib.Attention <heads = 2>",
     {"f32[2,3,4]", "f32[2,3,4]", "f32[2,3,4]", NULL, NULL, NULL, NULL, NULL, NULL, "f32[2,1]"}},
    {"nib.Pool", {"f32[2,3,4]", "i64[2,4]"}},
    {"nib.Pool", {"f32[2,3]", "i64[2,3]"}},
    {"nib.Pool", {"f32[2,3,4]", "f64[2,3]"}},
    {"nib.Pool", {"i64[2,3,4]", "i64[2,3]"}},
    {"nib.Pool <mode = \"median\">", {"f32[2,3,4]", "i64[2,3]"}},
    {"nib.Pool <packed = 1>", {"f32[5,4]", "i64[2]=0,6"}},
    {"nib.Pool <packed = 1>", {"f32[5,4]", "i64[2]=-2,3"}},
    {"nib.Pool <packed = 1>", {"f32[5,4]", "i64[3]=0,4,1"}},
    {"nib.Pool <packed = 1>", {"f32[5,4]", "i64[2]=9223372036854775807,-9223372036854775807"}},
    {"nib.Pool <packed = 1>", {"f32[5,4]", "i64[0]"}},
    {"nib.Pool <packed = 1>", {"f32[5,4]", "f32[2]"}},
    {"nib.Offsets", {"i64[3]"}},
    {"nib.Offsets", {"f64[2,3]"}},
    {"nib.Offsets", {"i64[9223372036854775807,0]"}},
    {"nib.Pack", {"f32[2,3,4]", "i64[2,4]"}},
    {"nib.Pack", {"f32[6]", "i64[2,3]"}},
    {"nib.Pack", {"f32[2,3,4]", "i64[6]"}},
    {"nib.Pack", {"f32[2,3,4]", "f64[2,3]"}},
    {"nib.Unpack", {"f32[4,5]", "i64[2,3]=1,1,1,0,0,0"}},
    {"nib.Unpack", {"f32[]", "i64[2,3]"}},
    {"nib.Unpack", {"f32[2,5]", "i64[6]=1,1"}},
    {"nib.Pick", {"f32[2,3]", "i64[1,2]"}},
    {"nib.Pick", {"f32[2,3,4]", "i64[2]"}},
    {"nib.Pick", {"f32[2,3,4]", "i64[1,3]"}},
    {"nib.Pick", {"f32[2,3,4]", "i32[1,2]"}},
    {"nib.Pick", {"f32[2,3,4]", "i64[1,2]=2,0"}},
    {"nib.Pick", {"f32[2,3,4]", "i64[1,2]=-1,0"}},
    {"nib.Pick", {"f32[2,3,4]", "i64[1,2]=0,3"}},
    {"nib.Pick", {"f32[2,3,4]", "i64[1,2]=0,-1"}},
    {"nib.Pick <packed = 1>", {"f32[5,4]", "i64[1,2]=0,0"}},
    {"nib.Pick <packed = 1>", {"f32[5,4]", "i64[1,2]=0,3", "i64[2]=0,3"}},
    {"nib.Pick <packed = 1>", {"f32[5,4]", "i64[1,2]=1,0", "i64[2]=0,3"}},
    {"nib.Pick <packed = 1>", {"f32[5,4]", "i64[1,2]=0,0", "i64[2]=6,9"}},
    {"nib.Pick <packed = 1>", {"f32[5,4]", "i64[1,2]=0,0", "i64[2]=-9223372036854775807,9223372036854775807"}},
    {"nib.Pick <packed = 1>", {"f32[5,4]", "i64[1,2]=0,0", "i64[0]"}},
    {"nib.Pick <packed = 1>", {"f32[2,3,4]", "i64[1,2]", "i64[2]=0,1"}},
};

static void hostile_inputs_are_refused(void **state) {
    for (size_t i = 0; i < BASE_COUNT(hostile); i++) {
        char text[500];
        size_t n = (size_t)sprintf(text,
                                   HEAD "g (float a0, float a1, float a2, float a3, float a4, float a5, float a6, "
                                        "float a7, float a8, float a9) => (float y) { y = %s (",
                                   hostile[i].node);
        int last = 9;
        while (!hostile[i].in[last]) last--;
        for (int k = 0; k <= last; k++)
            n += (size_t)(hostile[i].in[k] ? sprintf(text + n, "%sa%d", k ? ", " : "", k) : sprintf(text + n, ", \"\""));
        strcpy(text + n, ") }");
        graph *g;
        nib_error err = {0};
        const graph_tensor *out;
        base_arena arena;
        base_arena_init(&arena, &test_runtime->heap);
        assert_int_equal(graph_parse(&test_runtime->heap, text, strlen(text), &g, &err), NIB_OK);
        op_resolve(g);
        op_env *env = op_env_create(g, &arena, 1u << 20, &test_kernels);
        for (int k = 0; k <= last; k++) {
            if (!hostile[i].in[k]) continue;
            graph_tensor t = hostile_tensor(&arena, hostile[i].in[k]);
            assert_int_equal(op_env_set(env, g->inputs[k], &t), NIB_OK);
        }
        nib_status status = op_env_get(env, g->outputs[0], &out, &err);
        if (status == NIB_OK)
            fail_msg("%s of %s, %s .. is computed", hostile[i].node, hostile[i].in[0], hostile[i].in[1] ? hostile[i].in[1] : "");
        assert_true(err.message[0] != 0);
        base_arena_free(&arena);
        graph_free(g);
    }
}

/* Nothing to compute must cost nothing, however long the sides are. */
static void empty_tensors_cost_nothing(void **state) {
    static const struct {
        const char *node, *in[3];
    } rows[] = {
        {"nib.Linear", {"f32[1152921504606846976,0]", "f32[0,0]", NULL}},
        {"nib.Attention", {"f32[1,1152921504606846976,0]", "f32[1,1152921504606846976,0]", "f32[1,1152921504606846976,0]"}},
        {"nib.Pool", {"f32[0,1073741824,1073741824]", "i64[0,1073741824]", NULL}},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char text[300];
        graph *g;
        nib_error err = {0};
        const graph_tensor *out;
        base_arena arena;
        base_arena_init(&arena, &test_runtime->heap);
        snprintf(text, sizeof text, HEAD "g (float a0, float a1, float a2) => (float y) { y = %s (a0, a1%s) }", rows[i].node,
                 rows[i].in[2] ? ", a2" : "");
        assert_int_equal(graph_parse(&test_runtime->heap, text, strlen(text), &g, &err), NIB_OK);
        op_resolve(g);
        op_env *env = op_env_create(g, &arena, 1u << 20, &test_kernels);
        for (int k = 0; k < 3 && rows[i].in[k]; k++) {
            graph_tensor t = hostile_tensor(&arena, rows[i].in[k]);
            assert_int_equal(op_env_set(env, g->inputs[k], &t), NIB_OK);
        }
        op_env_get(env, g->outputs[0], &out, &err); /* either answer will do, soon */
        base_arena_free(&arena);
        graph_free(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear),
        cmocka_unit_test(linear_of_many_weights),
        cmocka_unit_test(rotary),
        cmocka_unit_test(rotary_turns),
        cmocka_unit_test(norm),
        cmocka_unit_test(embed),
        cmocka_unit_test(attention),
        cmocka_unit_test(pool),
        cmocka_unit_test(ragged),
        cmocka_unit_test(pick),
        cmocka_unit_test(pick_of_packed_rows),
        cmocka_unit_test(packed_forms_equal_padded_ones),
        cmocka_unit_test(prompts_are_left_out_alike),
        cmocka_unit_test(what_cannot_be_said_is_refused),
        cmocka_unit_test(hostile_inputs_are_refused),
        cmocka_unit_test(empty_tensors_cost_nothing),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}

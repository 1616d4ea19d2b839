/* SPDX-License-Identifier: Apache-2.0
 *
 * Recurrent layers as steps: of any cell, attributes, optional inputs and sizes what the operator's eval gives, within 1e-5; the same bits
 * on one thread and on three, and inside a body; and what does not fit fails as the eval does.
 */
#include "../pass/pass_test.h"
#include "cpu/cpu.h"
#include "plan/plan.h"
#include "run/run.h"

static uint32_t seed = 11;
static int draw(int n) { return (int)(next_random(&seed) % (uint32_t)n); }

enum { RNN, GRU, LSTM, LSTM_OF_8, CELLS };
static const char *const domains[] = {"", "", "", "com.microsoft"}, *const names[] = {"RNN", "GRU", "LSTM", "DynamicQuantizeLSTM"};
static const int gates_of[] = {1, 3, 4, 4};

typedef struct layer {
    int cell, D, I, H;
    bool reverse, first, clip, bias, lengths, h0, c0, peephole, coupled, linear, curves, body;
    bool s8, each, zeros; /* of 8 bits: signed; a scale and zero point a column; zero points other than 0 */
} layer;

static layer random_layer(void) {
    layer l = {.cell = draw(CELLS), .D = 1 + draw(2), .I = 1 + draw(20), .H = 1 + draw(40), .first = draw(2), .clip = draw(3) == 0};
    l.reverse = l.D == 1 && draw(2);
    l.bias = draw(3) > 0;
    l.lengths = draw(2);
    l.h0 = draw(2);
    l.linear = draw(2);
    l.curves = draw(4) == 0;
    l.clip |= l.curves; /* Relu alone may grow without end */
    l.body = draw(3) == 0;
    if (l.cell >= LSTM) l.c0 = draw(2), l.peephole = draw(3) == 0, l.coupled = draw(3) == 0;
    l.s8 = draw(2);
    l.each = draw(2);
    l.zeros = draw(2);
    return l;
}

#define ADD(...) at += (size_t)snprintf(text + at, sizeof text - at, __VA_ARGS__)

/* Inputs: x, lengths, h0, c0, all of unknown sizes, and a condition that is true; of which a layer reads some. */
static graph *graph_of(const layer *l) {
    static char text[4000];
    const int G = gates_of[l->cell] * l->H, each = l->cell >= LSTM ? 3 : l->cell == GRU ? 2 : 1;
    const char *byte = l->s8 ? "int8" : "uint8";
    size_t at = 0;
    ADD("%s", HEAD "g (float[d0,d1,d2] x, int32[d3] lengths, float[d4,d5,d6] h0, float[d7,d8,d9] c0, bool c) => (float[y0,y1,y2,y3] y, "
        "float[p0,p1,p2] y_h, float[q0,q1,q2] y_c) ");
    if (l->cell == LSTM_OF_8) {
        ADD("<%s[%d,%d,%d] w = {@}, %s[%d,%d,%d] r = {@}", byte, l->D, l->I, G, byte, l->D, l->H, G);
        for (int i = 0; i < 2; i++) {
            ADD(", float[%d", l->D);
            if (l->each) ADD(",%d", G);
            ADD("] s%d = {@}, %s[%d", i, byte, l->D);
            if (l->each) ADD(",%d", G);
            ADD("] z%d = {@}", i);
        }
    } else {
        ADD("<float[%d,%d,%d] w = {@}, float[%d,%d,%d] r = {@}", l->D, G, l->I, l->D, G, l->H);
    }
    ADD(", float[%d,%d] b = {@}, float[%d,%d] p = {@}> {", l->D, 2 * G, l->D, 3 * l->H);
    if (l->body) ADD(" y, y_h, y_c = If (c) <then_branch = t () => (float[a0,a1,a2,a3] ty, float[e0,e1,e2] ty_h, float[f0,f1,f2] ty_c) {");
    const char *s = l->body ? "t" : "";
    ADD(" %sy, %sy_h%s%s%s = %s%s%s <hidden_size = %d, layout = %d, input_forget = %d, linear_before_reset = %d, direction = \"%s\"", s, s,
        l->cell >= LSTM ? ", " : "", l->cell >= LSTM ? s : "", l->cell >= LSTM ? "y_c" : "", domains[l->cell],
        l->cell == LSTM_OF_8 ? "." : "", names[l->cell], l->H, l->first, l->coupled,
        l->linear, l->D == 2 ? "bidirectional" : l->reverse ? "reverse" : "forward");
    if (l->clip) ADD(", clip = 0.7");
    for (int i = 0; l->curves && i < each * l->D; i++) {
        static const char *const some[] = {"Relu", "sigmoid", "Tanh"};
        ADD("%s\"%s\"", i ? ", " : ", activations = [", some[draw(3)]);
    }
    if (l->curves) ADD("]");
    ADD("> (x, w, r, %s, %s, %s", l->bias ? "b" : "\"\"", l->lengths ? "lengths" : "\"\"", l->h0 ? "h0" : "\"\"");
    if (l->cell >= LSTM) ADD(", %s, %s", l->c0 ? "c0" : "\"\"", l->peephole ? "p" : "\"\"");
    if (l->cell == LSTM_OF_8) ADD(", s0, z0, s1, z1");
    ADD(")");
    if (l->cell < LSTM) ADD(" %sy_c = Identity (%sy_h)", s, s);
    if (l->body) ADD("}, else_branch = e () => (float[g0] ey, float[h0] ey_h, float[i0] ey_c) <float[1] n = {0}> {ey = Neg (n) ey_h = Neg (n) ey_c = Neg (n)}>");
    ADD(" }");
    graph *g = parse_graph(text);
    for (int i = 0; i < g->n_constants; i++) {
        const graph_tensor *t = g->constants[i]->constant;
        const bool weights = t->rank == 3, scales = g->constants[i]->name[0] == 's', zeros = g->constants[i]->name[0] == 'z';
        /* A state that is fed back at its full size tells nothing: every rounding grows. */
        for (size_t k = 0; t->dtype == NIB_DTYPE_F32 && (weights || scales) && k < t->bytes / sizeof(float); k++)
            ((float *)(uintptr_t)t->data)[k] *= scales ? 0.003f : 0.3f;
        for (size_t k = 0; zeros && k < t->bytes; k++)
            ((uint8_t *)(uintptr_t)t->data)[k] = (uint8_t)((l->s8 ? 0 : 128) + (l->zeros ? ((const uint8_t *)t->data)[k] % 9 : 0));
    }
    return g;
}

typedef struct call {
    float x[6000], h0[4000], c0[4000];
    int32_t lengths[40];
    bool yes;
    nib_tensor in[5];
} call;

static nib_tensor tensor_of(float *data, int64_t a, int64_t b, int64_t c) {
    for (int64_t i = 0; i < a * b * c; i++) data[i] = random_float(&seed);
    return (nib_tensor){.dtype = NIB_DTYPE_F32, .rank = 3, .dims = {a, b, c}, .data = data, .bytes = (size_t)(a * b * c) * sizeof *data};
}

static void make_call(call *c, const layer *l, int T, int B) {
    c->yes = true;
    c->in[0] = tensor_of(c->x, l->first ? B : T, l->first ? T : B, l->I);
    c->in[1] = (nib_tensor){.dtype = NIB_DTYPE_I32, .rank = 1, .dims = {B}, .data = c->lengths, .bytes = (size_t)B * sizeof *c->lengths};
    for (int b = 0; b < B; b++) c->lengths[b] = draw(T + 1);
    c->in[2] = tensor_of(c->h0, l->first ? B : l->D, l->first ? l->D : B, l->H);
    c->in[3] = tensor_of(c->c0, l->first ? B : l->D, l->first ? l->D : B, l->H);
    c->in[4] = (nib_tensor){.dtype = NIB_DTYPE_BOOL, .rank = 0, .data = &c->yes, .bytes = 1};
}

typedef struct program {
    struct device *cpu;
    plan *p;
    run_session *s;
} program;

static void open_program(nib_runtime *rt, const graph *g, program *out) {
    nib_error err = {0};
    assert_int_equal(cpu_open(rt, &out->cpu, &err), NIB_OK);
    if (plan_build(rt, g, &out->cpu, 1, NULL, &out->p, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_int_equal(run_session_create(out->p, &out->s, &err), NIB_OK);
}

static void close_program(program *o) {
    run_session_free(o->s);
    plan_free(o->p);
    o->cpu->table->close(o->cpu);
}

static nib_status run_program(program *o, const call *c, nib_error *err) {
    const nib_tensor *in[5];
    for (int i = 0; i < 5; i++) in[i] = &c->in[i];
    return run_tensors(o->s, in, err);
}

/* How many steps of a plan, its bodies' too, are recurrent and no eval. */
static int fast_steps(const plan *p) {
    int n = 0;
    for (int i = 0; i < p->n_steps; i++)
        for (int k = 0; k < CELLS; k++) n += graph_is_op(p->steps[i].node, domains[k], names[k]) && strcmp(p->steps[i].kernel, "eval") != 0;
    for (int i = 0; i < p->n_bodies; i++) n += fast_steps(p->bodies[i]);
    return n;
}

static op_env *eval_env(const graph *g, base_arena *arena, const call *c) {
    base_arena_init(arena, &test_runtime->heap);
    op_env *env = op_env_create(g, arena, 1u << 26, &test_kernels);
    for (int i = 0; i < 5; i++) op_env_set(env, g->inputs[i], &c->in[i]);
    return env;
}

/* States of 8 bits that lie between two numbers may come to be either, where their f32 is a bit off: from the second step on, they and
 * what they lead to are compared by their grid. */
static void compare_numbers(int round, const layer *l, int T, const nib_tensor *got, const graph_tensor *want) {
    const float *a = got->data, *b = want->data, most = l->cell == LSTM_OF_8 && T > 1 ? 0.02f : 1e-5f;
    float largest = 0;
    assert_int_equal(got->rank, want->rank);
    for (int k = 0; k < want->rank; k++) assert_int_equal(got->dims[k], want->dims[k]);
    for (size_t i = 0; i < want->bytes / sizeof *b; i++) largest = fmaxf(largest, fabsf(b[i]));
    for (size_t i = 0; i < want->bytes / sizeof *b; i++)
        if (!(fabsf(a[i] - b[i]) <= most * (largest > 1 ? largest : 1)))
            fail_msg("round %d: %s of %d directions, number %zu: %.8f, not %.8f", round, names[l->cell], l->D, i, (double)a[i], (double)b[i]);
}

static void what_the_eval_gives(void **state) {
    static call c;
    nib_runtime_options options = {.size = sizeof options, .threads = 3};
    nib_runtime *three;
    assert_int_equal(base_runtime_create(&options, &three, NULL), NIB_OK);
    for (int round = 0; round < 240; round++) {
        nib_error err = {0};
        program one, more;
        base_arena arena;
        const layer l = random_layer();
        graph *g = graph_of(&l);
        open_program(test_runtime, g, &one);
        open_program(three, g, &more);
        assert_int_equal(fast_steps(one.p), 1);
        for (int again = 0; again < 2; again++) {
            const int T = 1 + (round % 3 ? draw(round % 10 ? 9 : 150) : 0);
            make_call(&c, &l, T, T < 10 ? 1 + draw(round % 4 ? 3 : 30) : 1);
            if (run_program(&one, &c, &err) != NIB_OK || run_program(&more, &c, &err) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
            op_env *env = eval_env(g, &arena, &c);
            for (int i = 0; i < 3; i++) {
                nib_tensor got, same;
                const graph_tensor *want;
                assert_int_equal(run_output(one.s, i, &got, &err), NIB_OK);
                assert_int_equal(run_output(more.s, i, &same, &err), NIB_OK);
                if (op_env_get(env, g->outputs[i], &want, &err) != NIB_OK) fail_msg("%s", err.message);
                compare_numbers(round, &l, T, &got, want);
                assert_int_equal(got.bytes, same.bytes);
                assert_memory_equal(got.data, same.data, got.bytes);
            }
            base_arena_free(&arena);
        }
        close_program(&one);
        close_program(&more);
        graph_free(g);
    }
    base_runtime_release(three);
}

/* What a call may bring that is no good, or nothing. */
enum { NO_STEPS, NO_TEXTS, WIDER, OTHER_STATE, TOO_LONG, NEGATIVE, FEW_LENGTHS, FAULTS };

static void spoil(call *c, int fault) {
    nib_tensor *x = &c->in[0];
    switch (fault) {
    case NO_STEPS: x->dims[0] = 0, x->bytes = 0, memset(c->lengths, 0, sizeof c->lengths); break;
    case NO_TEXTS: x->dims[1] = 0, x->bytes = 0, c->in[1].dims[0] = c->in[2].dims[1] = c->in[3].dims[1] = 0; break;
    case WIDER: x->dims[2]++, x->dims[0]--, x->bytes = (size_t)(x->dims[0] * x->dims[1] * x->dims[2]) * sizeof(float); break;
    case OTHER_STATE: c->in[2].dims[0]++, c->in[2].bytes *= 2; break;
    case TOO_LONG: c->lengths[0] = 1000; break;
    case NEGATIVE: c->lengths[1] = -1; break;
    case FEW_LENGTHS: c->in[1].dims[0]--, c->in[1].bytes -= sizeof(int32_t); break;
    default: break;
    }
    if (fault == NO_TEXTS)
        for (int i = 1; i < 4; i++) c->in[i].bytes = 0;
}

static void what_does_not_fit(void **state) {
    static call c;
    for (int round = 0; round < 2 * CELLS * FAULTS; round++) {
        const layer l = {.cell = round / 2 % CELLS, .D = 1, .I = 5, .H = 7, .lengths = true, .h0 = true, .body = round % 2};
        nib_error err = {0}, other = {0};
        program one;
        base_arena arena;
        nib_tensor got;
        const graph_tensor *want;
        graph *g = graph_of(&l);
        open_program(test_runtime, g, &one);
        assert_int_equal(fast_steps(one.p), 1);
        make_call(&c, &l, 6, 3);
        spoil(&c, round / 2 / CELLS);
        op_env *env = eval_env(g, &arena, &c);
        const nib_status status = op_env_get(env, g->outputs[1], &want, &other);
        assert_int_equal(run_program(&one, &c, &err), status);
        assert_int_equal(status == NIB_OK, round / 2 / CELLS <= NO_TEXTS);
        if (status != NIB_OK) {
            assert_string_equal(err.message, other.message);
        } else {
            assert_int_equal(run_output(one.s, 1, &got, &err), NIB_OK);
            compare_numbers(round, &l, 6, &got, want);
        }
        base_arena_free(&arena);
        close_program(&one);
        graph_free(g);
    }
}

/* An activation without a kernel, weights that are no constants: the eval runs, and explain has the reason. */
static void what_is_refused(void **state) {
    static const char *const texts[] = {
        "g (float[t,b,3] x) => (float[t,1,b,2] y) <float[1,2,3] w = {@}, float[1,2,2] r = {@}> "
        "{ y = RNN <hidden_size = 2, activations = [\"Softsign\"]> (x, w, r) }",
        "g (float[t,b,3] x, float[1,2,3] w) => (float[t,1,b,2] y) <float[1,2,2] r = {@}> { y = RNN <hidden_size = 2> (x, w, r) }",
        "g (float16[t,b,3] x) => (float16[t,1,b,2] y) <float16[1,2,3] w = {1,2,3,4,5,6}, float16[1,2,2] r = {1,2,3,4}> "
        "{ y = RNN <hidden_size = 2> (x, w, r) }",
    };
    for (size_t i = 0; i < BASE_COUNT(texts); i++) {
        char text[600];
        program one;
        snprintf(text, sizeof text, "%s%s", HEAD, texts[i]);
        graph *g = parse_graph(text);
        open_program(test_runtime, g, &one);
        assert_string_equal(one.p->steps[0].kernel, "eval");
        assert_true(one.p->steps[0].why[0] != 0);
        close_program(&one);
        graph_free(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_the_eval_gives), cmocka_unit_test(what_does_not_fit),
                                       cmocka_unit_test(what_is_refused)};
    return cmocka_run_group_tests_name("plan_recurrent", tests, pass_setup, pass_teardown);
}

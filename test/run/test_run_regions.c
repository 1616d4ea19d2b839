/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans on several devices. The device `mirror` is a second cpu behind the contract of plan/device.h: whatever it refuses, the numbers
 * are those of the cpu alone, bit for bit; where one fails, its group is done by another of its pool, or the caller is told.
 */
#include "../pass/pass_test.h"
#include "../plan/mirror_device.h"
#include "cpu/cpu.h"
#include "run/run.h"

enum { ROWS = 37, C = 24 };

/* Branches that meet again, an If that reads values around it, a size that only data tell, an input that is an output. */
static const char text[] =
    HEAD "g (float[batch,24] x, bool flag) => (float[batch,24] y, float[batch,70] z, float[batch,24] x2, int64[k,2] where) "
         "<float[24,70] w = {@}, float[70,24] v = {@}, float[24] b = {@}> { "
         "h = MatMul (x, w) g1 = Sigmoid (h) g2 = Tanh (h) z = Mul (g1, g2) u = MatMul (z, v) a = Add (u, b) r = Relu (a) "
         "s = Softmax <axis = -1> (r) p = Add (s, x) "
         "q = If (flag) <then_branch = t () => (float[batch,24] t1) { t1 = Add (p, a) }, else_branch = e () => (float[batch,24] e1) "
         "{ e1 = Mul (p, a) }> "
         "y = Sub (q, b) nz = NonZero (r) where = Transpose (nz) x2 = Identity (x) }";

typedef struct setup_of {
    graph *g;
    struct device *cpu, *devices[3];
    device_pool pool;
    int n;
    plan *p;
    run_session *s;
} setup_of;

/* `arguments`: of mirrors in front of the cpu, a list that ends with NULL; they are a pool if `policy` is not negative. */
static nib_status open_all(setup_of *o, nib_runtime *rt, const char *const *arguments, int policy, nib_error *err) {
    nib_status status = NIB_OK;
    *o = (setup_of){.g = parse_graph(text)};
    NIB_TRY(cpu_open(rt, &o->cpu, err));
    for (; arguments[o->pool.n]; o->pool.n++) NIB_TRY(mirror_open(rt, arguments[o->pool.n], &o->pool.devices[o->pool.n], err));
    o->pool.policy = policy < 0 ? 0 : (device_policy)policy;
    for (int i = 0; i < o->pool.n && (i == 0 || policy < 0); i++) o->devices[o->n++] = o->pool.devices[i];
    if (policy >= 0) o->pool.devices[0]->pool = &o->pool;
    o->devices[o->n++] = o->cpu;
    NIB_TRY(plan_build(rt, o->g, o->devices, o->n, NULL, &o->p, err));
    NIB_TRY(run_session_create(o->p, &o->s, err));
fail:
    return status;
}

static void close_all(setup_of *o) {
    run_session_free(o->s);
    plan_free(o->p);
    for (int i = 0; i < o->pool.n; i++) o->pool.devices[i]->table->close(o->pool.devices[i]);
    if (o->cpu) o->cpu->table->close(o->cpu);
    graph_free(o->g);
}

typedef struct results {
    float y[ROWS * C], z[ROWS * 70], x2[ROWS * C];
    int64_t where[2 * ROWS * C];
    size_t n_where;
} results;

static nib_status run_once(setup_of *o, int64_t rows, bool flag, results *out, nib_error *err) {
    nib_status status = NIB_OK;
    static float x[ROWS * C];
    void *const to[4] = {out->y, out->z, out->x2, out->where};
    for (int i = 0; i < ROWS * C; i++) x[i] = (float)((i * 37 + (int)rows) % 101) / 50.0f - 1.0f;
    const nib_tensor in = {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {rows, C}, .data = x, .bytes = (size_t)rows * C * sizeof *x};
    const nib_tensor is = {.dtype = NIB_DTYPE_BOOL, .data = &flag, .bytes = 1};
    memset(out, 0, sizeof *out);
    NIB_TRY(run_tensors(o->s, (const nib_tensor *const[]){&in, &is}, err));
    for (int i = 0; i < 4; i++) {
        nib_tensor t;
        NIB_TRY(run_output(o->s, i, &t, err));
        if (t.bytes) memcpy(to[i], t.data, t.bytes);
        if (i == 3) out->n_where = t.bytes;
    }
fail:
    return status;
}

static results want[2][3];
static const int64_t row_counts[3] = {ROWS, 1, 17};

static void expect(void) {
    setup_of o;
    nib_error err = {0};
    if (open_all(&o, test_runtime, (const char *const[]){NULL}, -1, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_int_equal(o.p->n_regions, 0);
    for (int f = 0; f < 2; f++)
        for (int k = 0; k < 3; k++)
            if (run_once(&o, row_counts[k], f, &want[f][k], &err) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
    close_all(&o);
}

static void run_all_sizes(setup_of *o, const char *name) {
    nib_error err = {0};
    results got;
    for (int i = 0; i < 12; i++) { /* sizes come back: layouts do, too */
        const int f = i % 2, k = i % 3;
        if (run_once(o, row_counts[k], f, &got, &err) != NIB_OK) fail_msg("%s: %s (%s)", name, err.message, err.node);
        if (memcmp(&got, &want[f][k], sizeof got) != 0) fail_msg("%s, %d rows: other numbers", name, (int)row_counts[k]);
    }
}

/* Whatever devices refuse: one, and two that are different. */
static void the_same_bits(void **state) {
    (void)state;
    int most = 0, least = 1000;
    for (int seed = 0; seed < 60; seed++) {
        setup_of o;
        nib_error err = {0};
        char a[60], b[60];
        snprintf(a, sizeof a, "seed=%d;refuse=%d;bucket=%d", seed, seed % 4 * 30, 1 + seed % 3 * 8);
        snprintf(b, sizeof b, "name=1;seed=%d;refuse=40", seed + 1000);
        if (open_all(&o, test_runtime, (const char *const[]){a, seed % 2 ? b : NULL, NULL}, -1, &err) != NIB_OK)
            fail_msg("%s", err.message);
        assert_true(o.p->n_regions > 1); /* If and NonZero are the cpu's */
        if (o.p->n_regions > most) most = o.p->n_regions;
        if (o.p->n_regions < least) least = o.p->n_regions;
        run_all_sizes(&o, a);
        close_all(&o);
    }
    assert_true(least <= 4 && most >= 6);
}

/* A mirror that dies in its call K, in whichever, or runs out of memory there. */
static void failures(void **state) {
    (void)state;
    static const char *const whole = "name=1";
    int done_by_other = 0, refused = 0;
    for (int call = 0; call < MIRROR_CALLS; call++)
        for (int after = 0; after < 6; after++)
            for (int kind = 0; kind < 3; kind++) { /* dies alone, dies in a pool, has no memory once */
                setup_of o;
                nib_error err = {0};
                char a[60];
                results got;
                snprintf(a, sizeof a, "%s=%d;after=%d", kind == 2 ? "oom" : "die", call, after);
                nib_status status = open_all(&o, test_runtime, (const char *const[]){a, kind == 1 ? whole : NULL, NULL},
                                             kind == 1 ? DEVICE_POLICY_ROUND_ROBIN : -1, &err);
                for (int i = 0; i < 4 && status == NIB_OK; i++) {
                    status = run_once(&o, row_counts[i % 3], i % 2, &got, &err);
                    if (status == NIB_OK && memcmp(&got, &want[i % 2][i % 3], sizeof got) != 0) fail_msg("%s: other numbers", a);
                    if (status == NIB_OUT_OF_MEMORY && kind == 2) { /* once: the next run has it */
                        refused++;
                        status = run_once(&o, row_counts[i % 3], i % 2, &got, &err);
                        if (status == NIB_OK && memcmp(&got, &want[i % 2][i % 3], sizeof got) != 0) fail_msg("%s: other numbers", a);
                    }
                }
                const bool compiling = call == MIRROR_CALL_COMPILE && kind == 2; /* it is not tried again */
                if (kind == 0 && status != NIB_OK) assert_int_equal(status, NIB_DEVICE);
                if (kind == 0 && after == 0) assert_int_equal(status, NIB_DEVICE);
                if (kind == 1 && !compiling && status != NIB_OK) fail_msg("%s, with another: %s", a, err.message);
                if (kind == 2 && !compiling && status != NIB_OK) fail_msg("%s: %s", a, err.message);
                if (kind == 1 && !compiling && atomic_load(&o.pool.state[0].lost)) done_by_other++;
                close_all(&o);
            }
    assert_true(done_by_other > 20 && refused > 10);
}

/* All of a pool fail: the caller is told, and so is the next. */
static void nobody_is_left(void **state) {
    (void)state;
    setup_of o;
    nib_error err = {0};
    results got;
    const char *const both[] = {"die=6;after=3", "name=1;die=6;after=9", NULL};
    if (open_all(&o, test_runtime, both, DEVICE_POLICY_RANDOM, &err) != NIB_OK) fail_msg("%s", err.message);
    nib_status status = NIB_OK;
    for (int i = 0; i < 40 && status == NIB_OK; i++) status = run_once(&o, ROWS, false, &got, &err);
    assert_int_equal(status, NIB_DEVICE);
    assert_int_equal(run_once(&o, ROWS, false, &got, &err), NIB_DEVICE);
    assert_non_null(strstr(err.message, "have failed"));
    close_all(&o);
}

/* Of 24 groups, one after the other, which each of two devices got: the second is four times as fast. */
static void policies(void **state) {
    (void)state;
    static const struct {
        device_policy policy;
        int least, most; /* of the first */
    } rows[] = {{DEVICE_POLICY_ROUND_ROBIN, 12, 12},
                {DEVICE_POLICY_LEAST_LOADED, 12, 12},
                {DEVICE_POLICY_BY_SPEED, 1, 1},
                {DEVICE_POLICY_RANDOM, 6, 18}};
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        device_pool pool = {.policy = rows[i].policy, .n = 2};
        int got[2] = {0, 0};
        for (int k = 0; k < 24; k++) {
            const int at = device_pool_pick(&pool);
            got[at]++;
            device_pool_done(&pool, at, false, at == 0 ? 0.4 : 0.1, 100);
        }
        assert_in_range(got[0], rows[i].least, rows[i].most);
        const int a = device_pool_pick(&pool), b = device_pool_pick(&pool); /* at the same time */
        if (rows[i].policy == DEVICE_POLICY_LEAST_LOADED) assert_int_not_equal(a, b);
        device_pool_done(&pool, a, true, 0, 0);
        device_pool_done(&pool, b, false, 0, 0);
        for (int k = 0; k < 4; k++) assert_int_not_equal(device_pool_pick(&pool), a); /* it is lost */
        device_pool_done(&pool, 1 - a, true, 0, 0);
        assert_int_equal(device_pool_pick(&pool), -1);
    }
    device_policy policy;
    assert_true(device_policy_from_name("by-speed", 8, &policy) && policy == DEVICE_POLICY_BY_SPEED);
    assert_false(device_policy_from_name("by-spee", 7, &policy));
}

static void plugins(void **state) {
    (void)state;
    static const struct {
        const char *path, *says;
        nib_status status;
    } rows[] = {{NIB_TEST_PLUGINS "/mirror.so", "", NIB_OK},
                {NIB_TEST_PLUGINS "/mirror_other.so", "was built for nib another", NIB_UNSUPPORTED},
                {NIB_TEST_PLUGINS "/no_such.so", "cannot be loaded", NIB_NOT_FOUND},
                {NIB_TEST_PLUGINS "/mirror_none.so", "no symbol", NIB_BAD_MODEL},
                {"mirror", "", NIB_OK}, /* which the loader finds as libnib-mirror.so */
                {"other", "a device of another name, mirror", NIB_BAD_MODEL},
                {"third", "finds no libnib-third.so", NIB_UNSUPPORTED},
                {"", "no name of a device", NIB_UNSUPPORTED},
                {"mirror.so", "no name of a device", NIB_UNSUPPORTED}};
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        struct device *d;
        nib_error err = {0};
        const device_host_calls calls = {.size = sizeof calls};
        assert_int_equal(device_load(test_runtime, &calls, rows[i].path, "name=7", &d, &err), rows[i].status);
        if (rows[i].status == NIB_OK) {
            device_props props;
            d->table->props(d, &props);
            assert_string_equal(props.name, "mirror:7");
            d->table->close(d);
        } else {
            assert_non_null(strstr(err.message, rows[i].says));
        }
    }
}

static int setup(void **state) {
    const int rc = pass_setup(state);
    if (rc == 0) expect();
    return rc;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_same_bits), cmocka_unit_test(failures), cmocka_unit_test(nobody_is_left),
                                       cmocka_unit_test(policies), cmocka_unit_test(plugins)};
    return cmocka_run_group_tests(tests, setup, pass_teardown);
}

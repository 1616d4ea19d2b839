/* SPDX-License-Identifier: Apache-2.0
 *
 * A model on a list of devices: what weights are rounded for, what devices are called, and what their regions take. The device is
 * test/plan/mirror_device.h as a plug-in.
 */
#include "../task/task_golden.h"

#define MIRROR NIB_TEST_PLUGINS "/mirror.so"
#define MODEL NIB_TEST_DATA "/tasks/rank-bert"

static nib_model *open_on(const char *devices, nib_precision precision) {
    nib_model_options o;
    nib_model *m;
    nib_error e;
    nib_model_defaults(&o, sizeof o);
    o.precision = precision;
    o.device = devices;
    o.task = NIB_TASK_CLASSIFY;
    if (nib_model_open(MODEL, &o, &m, &e) != NIB_OK) fail_msg("%s: %s", devices, e.message);
    return m;
}

/* What it says of its steps, or of itself; the caller frees it. */
static char *said(nib_model *m, bool steps) {
    const size_t room = 1 << 20;
    size_t length;
    nib_error e;
    char *text = malloc(room);
    assert_int_equal(steps ? nib_model_explain(m, text, room, &length, &e) : nib_model_describe(m, text, room, &length), NIB_OK);
    return text;
}

static void scores_of(nib_model *m, nib_profile *profile, float *out) {
    static const char *const texts[] = {"a b c", "d e", "f"}, *const pairs[] = {"g h", "i", "j k l"};
    nib_classify_options o;
    nib_error e;
    nib_classify_defaults(&o, sizeof o);
    o.scores = NIB_SCORES_RAW;
    o.profile = profile;
    if (nib_classify(m, texts, pairs, 3, &o, out, &e) != NIB_OK) fail_msg("%s", e.message);
}

/* Whether rows are made bf16 is for the device to say that has the first choice, not for the cpu. */
static void rows_are_the_first_devices(void **state) {
    float want[6], got[6];
    nib_model *m = open_on(MIRROR ":refuse=100;rows=1,cpu", NIB_PRECISION_BF16); /* 1 + KERNEL_INPUT_F32 */
    char *text = said(m, true);
    assert_null(strstr(text, "Cast"));
    scores_of(m, NULL, got);
    free(text);
    nib_model_free(m);
    m = open_on(MIRROR ":refuse=100;rows=2,cpu", NIB_PRECISION_BF16); /* 1 + KERNEL_INPUT_BF16 */
    text = said(m, true);
    assert_non_null(strstr(text, "Cast"));
    free(text);
    nib_model_free(m);
    m = open_on("cpu", NIB_PRECISION_F32);
    scores_of(m, NULL, want);
    for (int i = 0; i < 3 * nib_model_label_count(m); i++) assert_true(fabsf(want[i] - got[i]) < 0.02f);
    nib_model_free(m);
}

static void auto_is_the_first_devices(void **state) {
    char devices[200];
    snprintf(devices, sizeof devices, MIRROR ":fast=%d,cpu", NIB_PRECISION_BF16);
    nib_model *m = open_on(devices, NIB_PRECISION_AUTO);
    char *text = said(m, false);
    assert_non_null(strstr(text, "in bf16 (auto: the device computes fastest in it)"));
    free(text);
    nib_model_free(m);
}

static void devices_have_names(void **state) {
    static const struct {
        const char *name, *kind;
        int entry, host;
        int64_t bucket;
    } want[] = {{"mirror:3", "mirror", 0, 0, 16}, {"mirror:4", "mirror", 0, 0, 8}, {"mirror:0", "mirror", 1, 0, 16}, {"cpu", "cpu", 2, 1, 1}};
    const char *list = MIRROR ":name=3+" MIRROR ":name=4;bucket=8@random," MIRROR ",cpu";
    nib_device_info got[5];
    nib_error e;
    size_t n;
    memset(got, 0x5a, sizeof got);
    assert_int_equal(nib_devices_get(NULL, list, got, sizeof *got, 3, &n, &e), NIB_OK);
    assert_int_equal(n, 4);
    assert_int_equal(got[3].entry, 0x5a5a5a5a); /* beyond what there was room for */
    assert_int_equal(nib_devices_get(NULL, list, got, sizeof *got, 5, &n, &e), NIB_OK);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(got[i].name, want[i].name);
        assert_string_equal(got[i].kind, want[i].kind);
        assert_int_equal(got[i].entry, want[i].entry);
        assert_int_equal(got[i].host, want[i].host);
        assert_int_equal(got[i].row_bucket, want[i].bucket);
    }
    assert_int_equal(nib_devices_get(NULL, NULL, got, sizeof *got, 5, &n, &e), NIB_OK);
    assert_int_equal(n, 1);
    assert_int_equal(nib_devices_get(NULL, "../no/such,cpu", got, sizeof *got, 5, &n, &e), NIB_NOT_FOUND);
    assert_int_equal(n, 0);
    assert_int_equal(nib_devices_get(NULL, "no-such-device,cpu", got, sizeof *got, 5, &n, &e), NIB_UNSUPPORTED);
    assert_non_null(strstr(e.message, "libnib-no-such-device.so"));
    assert_int_equal(nib_devices_get(NULL, "cpu", NULL, 0, 1, &n, &e), NIB_INVALID_ARGUMENT);
}

static void failures_name_the_device(void **state) {
    static const char *const texts[] = {"a"};
    float out[4];
    nib_error e;
    nib_model *m = open_on(MIRROR ":name=5;die=6;after=0,cpu", NIB_PRECISION_F32);
    assert_int_equal(nib_classify(m, texts, texts, 1, NULL, out, &e), NIB_DEVICE);
    if (strncmp(e.message, "mirror:5: ", 10) != 0) fail_msg("%s", e.message);
    nib_model_free(m);
}

/* Regions of both kinds are rows, each with its time; what is computed stays as it is. */
static void regions_are_profiled(void **state) {
    float want[6], got[6];
    uint64_t regions = 0, copies = 0, steps = 0;
    nib_profile *profile;
    nib_profile_step s;
    nib_error e;
    nib_model *m = open_on(MIRROR ":name=7;seed=3;refuse=30;slow=200,cpu", NIB_PRECISION_F32);
    scores_of(m, NULL, want);
    assert_int_equal(nib_profile_create(m, &profile, &e), NIB_OK);
    for (int turn = 0; turn < 3; turn++) {
        memset(got, 0, sizeof got);
        scores_of(m, profile, got);
        assert_memory_equal(want, got, sizeof *got * 3 * (size_t)nib_model_label_count(m));
    }
    for (size_t i = 0; nib_profile_step_get(profile, i, NULL, 0, &s, sizeof s) == NIB_OK; i++) {
        const bool region = strcmp(s.kind, "region") == 0, copy = strcmp(s.kind, "copies") == 0;
        if (s.calls < 3) fail_msg("row %zu, %s %s: %llu calls", i, s.op, s.name, (unsigned long long)s.calls);
        if (region || copy) assert_string_equal(s.kernel, "mirror:7");
        if (region && s.nanoseconds < s.calls * 200000) fail_msg("%s took %llu ns", s.name, (unsigned long long)s.nanoseconds);
        if (region) assert_true(s.rows > 0 && s.bytes == 0);
        if (copy) assert_true(s.bytes > 0 && s.nanoseconds > 0);
        regions += region;
        copies += copy;
        steps += !region && !copy && s.nanoseconds > 0;
    }
    assert_true(regions >= 2 && copies == regions && steps >= 2);
    nib_profile_reset(profile);
    assert_int_equal(nib_profile_step_get(profile, 0, NULL, 0, &s, sizeof s), NIB_OK);
    assert_int_equal(s.calls, 0);
    nib_profile_free(profile);
    nib_model_free(m);
    m = open_on(MIRROR ":name=7;mute=1,cpu", NIB_PRECISION_F32);
    assert_int_equal(nib_profile_create(m, &profile, &e), NIB_UNSUPPORTED);
    assert_string_equal(e.message, "mirror:7 does not tell what its work took");
    nib_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_the_first_devices), cmocka_unit_test(auto_is_the_first_devices), cmocka_unit_test(devices_have_names),
        cmocka_unit_test(failures_name_the_device),   cmocka_unit_test(regions_are_profiled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

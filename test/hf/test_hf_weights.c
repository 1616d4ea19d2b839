/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors: what is read, what is refused, shards.
 */
#include "hf_test.h"

#define ONE(dtype, shape, begin, end) "{\"w\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}}"
#define TWO(a, b)                                                                                                                          \
    "{\"" a "\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"" b "\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":"

static nib_status open_weights(nib_runtime *r, nib_error *err) {
    hf_weights *w = NULL;
    size_t before = r->heap.current;
    nib_status status = hf_weights_open(r, hf_dir, &w, err);
    assert_true((status == NIB_OK) == (w != NULL));
    hf_weights_close(w);
    assert_int_equal(r->heap.current, before);
    return status;
}

static void refuses(void **state) {
    static const struct {
        uint64_t length;
        const char *header;
        size_t data;
        nib_status status;
    } cases[] = {
        {0, ONE("F32", "[2,3]", "0", "24"), 24, NIB_OK},
        {0, ONE("F32", "[]", "0", "4"), 4, NIB_OK},
        {0, ONE("F32", "[0,3]", "0", "0"), 0, NIB_OK},
        {0, "{\"__metadata__\":{\"format\":\"pt\"}}", 0, NIB_OK},
        {UINT64_MAX, ONE("F32", "[2,3]", "0", "24"), 24, NIB_BAD_MODEL},
        {UINT64_MAX - 7, ONE("F32", "[2,3]", "0", "24"), 24, NIB_BAD_MODEL},
        {1000, ONE("F32", "[2,3]", "0", "24"), 24, NIB_BAD_MODEL},
        {5, ONE("F32", "[2,3]", "0", "24"), 24, NIB_BAD_MODEL},                 /* JSON cut off */
        {0, ONE("F32", "[4294967296,4294967296]", "0", "0"), 0, NIB_BAD_MODEL}, /* wraps to exactly 0 */
        {0, ONE("F32", "[9223372036854775808,2]", "0", "0"), 0, NIB_BAD_MODEL},
        {0, ONE("F32", "[4611686018427387904]", "0", "0"), 0, NIB_BAD_MODEL}, /* times 4 bytes wraps */
        {0, ONE("F32", "[2,3]", "24", "0"), 24, NIB_BAD_MODEL},               /* begin > end */
        {0, ONE("F32", "[2,3]", "8", "32"), 24, NIB_BAD_MODEL},               /* beyond the data */
        {0, ONE("F32", "[2,3]", "0", "20"), 24, NIB_BAD_MODEL},               /* span != shape */
        {0, ONE("F32", "[2,3]", "0", "18446744073709551615"), 24, NIB_BAD_MODEL},
        {0, ONE("F32", "[2,3]", "-1", "23"), 24, NIB_BAD_MODEL},
        {0, ONE("F32", "[2,3]", "0", "24.0"), 24, NIB_BAD_MODEL},
        {0, ONE("F32", "[-2,-3]", "0", "24"), 24, NIB_BAD_MODEL},
        {0, ONE("F32", "[2.5]", "0", "10"), 10, NIB_BAD_MODEL},
        {0, ONE("F32", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "0", "4"), 4, NIB_LIMIT},
        {0, ONE("X9", "[2]", "0", "8"), 8, NIB_UNSUPPORTED},
        {0, "{\"w\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, NIB_BAD_MODEL},
        {0, "{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, NIB_BAD_MODEL},
        {0, "{\"w\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, NIB_BAD_MODEL},
        {0, "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}", 9, NIB_BAD_MODEL},
        {0, "{\"w\":7}", 8, NIB_BAD_MODEL},
        {0, "[]", 8, NIB_BAD_MODEL},
        {0, TWO("a", "b") "[8,16]}}", 16, NIB_OK},
        {0, TWO("a", "a") "[8,16]}}", 16, NIB_BAD_MODEL}, /* a name twice */
        {0, TWO("a", "b") "[4,12]}}", 16, NIB_BAD_MODEL}, /* overlap */
        {0, TWO("a", "b") "[0,8]}}", 16, NIB_BAD_MODEL},
        {0, TWO("a", "b\\u0000c") "[8,16]}}", 16, NIB_BAD_MODEL},
    };
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        nib_error err = {0};
        hf_fresh();
        hf_safetensors("model.safetensors", cases[i].length, cases[i].header, cases[i].data);
        nib_status status = open_weights(*state, &err);
        if (status != cases[i].status) fail_msg("case %zu: %d %s", i, status, err.message);
    }
    hf_fresh();
    nib_error err;
    assert_int_equal(open_weights(*state, &err), NIB_NOT_FOUND);
    hf_write("model.safetensors", "\1\0\0\0", 4);
    assert_int_equal(open_weights(*state, &err), NIB_BAD_MODEL);
    hf_write("model.safetensors", "", 0);
    assert_int_equal(open_weights(*state, &err), NIB_BAD_MODEL);
}

static void nested_header(void **state) {
    char header[4001];
    nib_error err;
    memset(header, '[', 4000);
    header[4000] = 0;
    hf_fresh();
    hf_safetensors("model.safetensors", 0, header, 0);
    assert_int_not_equal(open_weights(*state, &err), NIB_OK);
}

static void shards(void **state) {
    nib_error err = {0};
    hf_weights *w;
    hf_fresh();
    hf_safetensors("a.safetensors", 0, "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8);
    hf_safetensors("b.safetensors", 0, "{\"y\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8);
    hf_text("model.safetensors.index.json", "{\"weight_map\":{\"x\":\"a.safetensors\",\"y\":\"b.safetensors\"}}");
    if (hf_weights_open(*state, hf_dir, &w, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_int_equal(hf_weights_count(w), 2);
    assert_int_equal(hf_weights_find(w, "x")->dims[0], 2);
    assert_int_equal(hf_weights_find(w, "y")->dtype, NIB_DTYPE_I64);
    assert_null(hf_weights_find(w, "z"));
    hf_weights_close(w);
    static const char *const bad[] = {
        "{\"weight_map\":{\"x\":\"../a.safetensors\"}}",
        "{\"weight_map\":{\"x\":\"/etc/passwd\"}}",
        "{\"weight_map\":{\"x\":\"c.safetensors\"}}",
        "{\"weight_map\":{\"x\":7}}",
        "{\"weight_map\":[]}",
        "{}",
        "[]",
        "{",
        "{\"weight_map\":{\"x\":\"a\\u0000.safetensors\"}}",
        "{\"weight_map\":{\"z\":\"a.safetensors\"}}",
    };
    for (size_t i = 0; i < BASE_COUNT(bad); i++) {
        hf_text("model.safetensors.index.json", bad[i]);
        if (open_weights(*state, &err) == NIB_OK) fail_msg("accepted: %s", bad[i]);
    }
    hf_safetensors("b.safetensors", 0, "{\"x\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8); /* x in both */
    hf_text("model.safetensors.index.json", "{\"weight_map\":{\"x\":\"a.safetensors\",\"y\":\"b.safetensors\"}}");
    assert_int_equal(open_weights(*state, &err), NIB_BAD_MODEL);
}

static int teardown(void **state) {
    hf_clear();
    return test_runtime_teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(refuses), cmocka_unit_test(nested_header), cmocka_unit_test(shards)};
    return cmocka_run_group_tests(tests, test_runtime_setup, teardown);
}

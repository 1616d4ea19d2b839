/* SPDX-License-Identifier: Apache-2.0
 *
 * Regular expressions: full matches as Python's re.fullmatch and RE2 have them, patterns that are refused, and patterns that
 * make backtracking matchers slow.
 */
#include "../../src/op/op_local.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* 1, 0: matches or not; negative: the status. */
static int match(const char *pattern, const char *text, size_t length) {
    base_heap heap;
    graph *g;
    nib_error err = {0};
    kernels table;
    const graph_tensor *out;
    memset(&table, 0, sizeof table);
    base_heap_init(&heap, NULL);
    assert_int_equal(graph_create(&heap, &g, &err), NIB_OK);
    assert_int_equal(graph_set_opset(g, "", 20, &err), NIB_OK);
    graph_value *x = graph_add_value(g, "x"), *y = graph_add_value(g, "y");
    graph_node *n = graph_add_node(g, NULL, "", "RegexFullMatch", "", &x, 1, &y, 1);
    assert_int_equal(graph_set_string(n, "pattern", pattern), NIB_OK);
    op_resolve(g);
    graph_string s = {text, length};
    graph_tensor t = {.dtype = NIB_DTYPE_STRING, .data = &s, .bytes = sizeof s};
    op_env *env = op_env_create(g, g->arena, 1 << 20, &table);
    assert_int_equal(op_env_set(env, x, &t), NIB_OK);
    nib_status status = op_env_get(env, y, &out, &err);
    int result = status == NIB_OK ? *(const uint8_t *)out->data : (int)status;
    graph_free(g);
    assert_int_equal(heap.current, 0);
    return result;
}

static void matches(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *text;
        int want;
    } cases[] = {
        {"", "", 1},
        {"", "a", 0},
        {"abc", "abc", 1},
        {"abc", "abcd", 0},
        {"a|bc", "bc", 1},
        {"a|bc", "ac", 0},
        {"a*", "", 1},
        {"a*", "aaaa", 1},
        {"a+", "", 0},
        {"a?b", "b", 1},
        {"(ab)*", "ababab", 1},
        {"(ab)*", "aba", 0},
        {"a{2}", "aa", 1},
        {"a{2}", "aaa", 0},
        {"a{2,}", "aaaaa", 1},
        {"a{1,3}", "aaa", 1},
        {"a{1,3}", "aaaa", 0},
        {"a{,3}", "a{,3}", 1},
        {"[a-c]+", "abcab", 1},
        {"[^a-c]+", "xyz", 1},
        {"[^a-c]+", "xaz", 0},
        {"[]a]+", "]a", 1},
        {"[a-]+", "a-", 1},
        {"\\d+", "0042", 1},
        {"\\D", "5", 0},
        {"\\w+", "a_9", 1},
        {"\\W", "-", 1},
        {"\\s", "\t", 1},
        {"[\\w.-]+", "a.b-c", 1},
        {"[^\\d]", "4", 0},
        {"a.c", "abc", 1},
        {"a.c", "a\nc", 0},
        {"(?s)a.c", "a\nc", 1},
        {"(?i)straw", "StRaW", 1},
        {"(?i)[a-c]+", "aBC", 1},
        {".", "\xc3\xa4", 1},
        {"[\xc3\xa4-\xc3\xbc]", "\xc3\xb6", 1},
        {"\\x{e4}", "\xc3\xa4", 1},
        {"\\x41", "A", 1},
        {"\\bab\\b", "ab", 1},
        {"a\\bb", "ab", 0},
        {"a\\Bb", "ab", 1},
        {"^a$", "a", 1},
        {"a^b", "ab", 0},
        {"(?:a|b)c", "bc", 1},
        {"(?P<n>a)b", "ab", 1},
        {"a*?b", "aab", 1},
        {"\\.", ".", 1},
        {"\\.", "x", 0},
        {"(a*)*", "aaa", 1},
        {"(a|)+b", "ab", 1},
        {"((a)|(b))*", "abba", 1},
        {"\\n", "\n", 1},
        {"(", "", NIB_BAD_MODEL},
        {")", "", NIB_BAD_MODEL},
        {"[a", "", NIB_BAD_MODEL},
        {"*", "", NIB_BAD_MODEL},
        {"a{2,1}", "", NIB_BAD_MODEL},
        {"\\", "", NIB_BAD_MODEL},
        {"\\q", "", NIB_BAD_MODEL},
        {"[b-a]", "", NIB_BAD_MODEL},
        {"(?=a)", "", NIB_UNSUPPORTED},
        {"((a{1000}){1000}){1000}", "", NIB_LIMIT},
    };
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        int got = match(cases[i].pattern, cases[i].text, strlen(cases[i].text));
        if (got != cases[i].want) fail_msg("%s on %s: %d, not %d", cases[i].pattern, cases[i].text, got, cases[i].want);
    }
}

/* 2^30 paths for a matcher that tries one after the other. */
static void no_pattern_is_slow(void **state) {
    (void)state;
    char text[2001];
    memset(text, 'a', sizeof text);
    assert_int_equal(match("(a*)*(a*)*(a|aa)+b", text, 2000), 0);
    assert_int_equal(match("(a?){500}a{500}", text, 500), 1);
}

/* Whatever the bytes are. */
static void any_bytes_are_a_pattern(void **state) {
    (void)state;
    static const char alphabet[] = "ab()[]{}|*+?\\^$.-,1dwbx\xc3\xa4:P<";
    uint32_t seed = 12345;
    for (int i = 0; i < 20000; i++) {
        char pattern[13] = {0};
        for (int k = 0; k < 12; k++) {
            seed = seed * 1664525u + 1013904223u;
            pattern[k] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
        }
        int got = match(pattern, "abba1", 5);
        assert_true(got == 0 || got == 1 || got == NIB_BAD_MODEL || got == NIB_UNSUPPORTED || got == NIB_LIMIT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(matches), cmocka_unit_test(no_pattern_is_slow),
                                       cmocka_unit_test(any_bytes_are_a_pattern)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

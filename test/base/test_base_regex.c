/* SPDX-License-Identifier: Apache-2.0
 *
 * Oniguruma's dialect: which match is found, as Oniguruma has it (the expected values are its own); that assertions see
 * what lies before; what is refused; and that no text makes matching slow. RE2's dialect is tested by test_op_regex.c.
 */
#include "base_test.h"
#include "base/base_mem.h"
#include "base/base_regex.h"

static base_heap heap;
static base_arena arena;

static nib_status take(void *user, size_t bytes, void **out) {
    *out = base_arena_alloc(user, bytes);
    return *out ? NIB_OK : NIB_OUT_OF_MEMORY;
}

static int64_t steps;

static nib_status spend(void *user, int64_t more) {
    steps += more;
    return NIB_OK;
}

/* All matches of a text as "begin-end ", or the refusal. */
static void find_all(const char *pattern, const char *text, char *out, size_t capacity) {
    const base_regex_host host = {&arena, take, spend};
    base_regex *r;
    nib_error err;
    size_t n = strlen(text), at = 0, begin, end, written = 0;
    bool found;
    base_arena_init(&arena, &heap);
    out[0] = 0;
    if (base_regex_make(&host, BASE_REGEX_ONIG, pattern, strlen(pattern), &r, &err) != NIB_OK) {
        snprintf(out, capacity, "%s", err.message);
    } else {
        void *scratch = calloc(1, base_regex_scratch(r));
        while (at <= n && base_regex_find(r, scratch, &host, text, n, at, &found, &begin, &end) == NIB_OK && found) {
            written += (size_t)snprintf(out + written, capacity - written, "%zu-%zu ", begin, end);
            at = end > begin ? end : end + 1;
        }
        free(scratch);
    }
    base_arena_free(&arena);
}

static void test_matches(void **state) {
    static const struct {
        const char *pattern, *text, *want;
    } cases[] = {
        {"a|ab", "abab", "0-1 2-3 "}, /* the first alternative, not the longest */
        {"ab|a", "abab", "0-2 2-4 "},
        {"a+?", "aaa", "0-1 1-2 2-3 "},
        {"a+?b", "aaab", "0-4 "},
        {"a*", "baa", "0-0 1-3 3-3 "},
        {"(a|b)*c", "abac bc", "0-4 5-7 "},
        {"\\s+(?!\\S)|\\s+", "a   b ", "1-3 3-4 5-6 "},
        {"x(?=[0-9])", "x1xx2", "0-1 3-4 "},
        {"(?i:'s|'re)", "'S 'RE '\xc5\xbf 's", "0-2 3-6 7-10 11-13 "},
        {"(?i:k)", "k\xe2\x84\xaaK", "0-1 1-4 4-5 "},
        {"(?i)ab(?-i:c)", "ABc abC", "0-3 "},
        {"\\p{L}+|\\p{N}{1,3}", "ab1234\xc3\xa9\xc2\xbd", "0-2 2-5 5-6 6-8 8-10 "},
        {"\\p{^L}|\\P{L}", "a1b ", "1-2 3-4 "},
        {"[^\\r\\n\\p{Lu}]+", "abC d\ne", "0-2 3-5 6-7 "},
        {"^a|b$", "a\nab\nb", "0-1 2-3 3-4 5-6 "}, /* ends of lines */
        {"\\Aa|b\\z", "a\nab\nb", "0-1 5-6 "},
        {"\\bw\\w*", "word sword w\xc3\xa9", "0-4 11-14 "},
        {"\\Bd", "dad d", "2-3 "},
        {".", "\n\xe4\xbd\xa0", "1-4 "},
        {"\\d\\D", "1a \xd9\xa3x", "0-2 3-6 "}, /* any decimal digit */
        {"\\u00e9|\\x{4f60}", "\xc3\xa9\xe4\xbd\xa0", "0-2 2-5 "},
        {"a{2}?", "aaa", "0-2 2-2 3-3 "}, /* two or nothing */
        {"a{1,2}?", "aaa", "0-1 1-2 2-3 "},
        {"[a\\]b-]+", "a]-b", "0-4 "},
        {"[]a]", "x]a", "1-2 2-3 "},
    };
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        char out[200];
        find_all(cases[i].pattern, cases[i].text, out, sizeof out);
        if (strcmp(out, cases[i].want) != 0)
            fail_msg("%s in \"%s\": %s, not %s", cases[i].pattern, cases[i].text, out, cases[i].want);
    }
    assert_int_equal(heap.current, 0);
}

static void test_refusals(void **state) {
    static const struct {
        const char *pattern, *says;
    } cases[] = {{"a++", "possessive"},        {"a*+", "possessive"},
                 {"(?>a)", "atomic"},          {"(?<=a)b", "look behind"},
                 {"(?=ab)", "more than one"},  {"(?=)", "more than one"},
                 {"(?m)a", "flags"},           {"\\p{Greek}", "\\p{Greek}"},
                 {"[a&&b]", "intersections"},  {"[[:alpha:]]", "classes"},
                 {"(?i:\xc3\xa9)", "ASCII"},   {"\\W", "\\W"},
                 {"(", "without end"},         {"a)", "nothing opens"},
                 {"*", "nothing to repeat"},   {"[b-a]", "before it begins"},
                 {"\\", "backslash"},          {"\\q", "not known"},
                 {"\\p{L", "without"},         {"[a", "without end"},
                 {"(a{1000}){1000}", "large"}, {"\\u12", "bad"}};
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        char out[400];
        find_all(cases[i].pattern, "a", out, sizeof out);
        if (!strstr(out, cases[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].pattern, out, cases[i].says);
    }
    assert_int_equal(heap.current, 0);
}

/* What makes backtracking take forever takes steps in proportion to the text. */
static void test_steps(void **state) {
    static const char *const patterns[] = {"(a*)*b", "(a|a)*b", "(a|aa)+$", "a?a?a?a?a?a?a?a?aaaaaaaab",
                                           "\\s*[\\r\\n]+|(a+)+b"};
    for (size_t i = 0; i < BASE_COUNT(patterns); i++) {
        int64_t taken[2];
        for (int k = 0; k < 2; k++) {
            const base_regex_host host = {&arena, take, spend};
            base_regex *r;
            const size_t n = 2000u << k;
            size_t begin, end;
            bool found;
            char *text = malloc(n);
            memset(text, 'a', n);
            base_arena_init(&arena, &heap);
            assert_int_equal(base_regex_make(&host, BASE_REGEX_ONIG, patterns[i], strlen(patterns[i]), &r, NULL),
                             NIB_OK);
            void *scratch = calloc(1, base_regex_scratch(r));
            steps = 0;
            assert_int_equal(base_regex_find(r, scratch, &host, text, n, 0, &found, &begin, &end), NIB_OK);
            taken[k] = steps;
            assert_true(steps <= (int64_t)(n + 2) * (int64_t)(base_regex_size(r) + 1));
            free(scratch);
            free(text);
            base_arena_free(&arena);
        }
        assert_true(taken[1] < 3 * taken[0]);
    }
}

static int setup(void **state) {
    base_heap_init(&heap, NULL);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_matches), cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_steps)};
    return cmocka_run_group_tests(tests, setup, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Oniguruma's dialect: which match is found, as Oniguruma has it (the expected values are its own); that assertions see
 * what lies before; what is refused; and that no text makes matching slow. RE2's dialect is tested by test_op_regex.c.
 */
#include "base_test.h"
#include "base/base_mem.h"
#include "base/base_regex_internal.h"
#include "base/base_json.h"
#include "base/base_str.h"

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
    } cases[] = {{"(?:ab)++", "possessive"},
                 {"(?>a|ab)", "atomic"},
                 {"(?>a+b)", "atomic"},
                 {"(?=a+)", "look ahead"},
                 {"(?<=a*)b", "look ahead or behind"},
                 {"(?=(a|b)c)", "look ahead"},
                 {"(a??|b)*", "rather match nothing"},
                 {"(?<=a{33})", "too long"},
                 {"(?m)a", "flags"},
                 {"(?<name>a)", "name"},
                 {"\\p{Klingon}", "\\p{Klingon}"},
                 {"[a&&b]", "intersections"},
                 {"[a[b]]", "classes"},
                 {"[[:graph:]]", "named class"},
                 {"(?i:\xc3\xa9)", "ASCII"},
                 {"(?i:cost)", "ligature"},
                 {"(?i:[\\p{Lu}])", "one case"},
                 {"(?i:[\\p{Han}])", "script"},
                 {"(", "without end"},
                 {"a)", "nothing opens"},
                 {"*", "nothing to repeat"},
                 {"[b-a]", "before it begins"},
                 {"\\", "backslash"},
                 {"\\q", "not known"},
                 {"\\p{L", "without"},
                 {"[a", "without end"},
                 {"(a{1000}){1000}", "large"},
                 {"\\u12", "bad"}};
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        char out[400];
        find_all(cases[i].pattern, "a", out, sizeof out);
        if (!strstr(out, cases[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].pattern, out, cases[i].says);
    }
    assert_int_equal(heap.current, 0);
}

/* ---- what Oniguruma says (tools/make_regex.py) */

static char *read_lines(const char *name) {
    char path[400];
    size_t n;
    snprintf(path, sizeof path, "%s/regex/%s", NIB_TEST_DATA, name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s is not there", path);
    fseek(f, 0, SEEK_END);
    n = (size_t)ftell(f);
    rewind(f);
    char *text = malloc(n + 1);
    assert_int_equal(fread(text, 1, n, f), n);
    text[n] = 0;
    fclose(f);
    return text;
}

/* A text of all code points, one after the other, and where each begins. */
static size_t all_points(char *text, uint32_t *starts) {
    size_t n = 0;
    for (uint32_t cp = 0; cp <= BASE_LAST_POINT; cp++) {
        starts[cp] = (uint32_t)n;
        if (cp < 0xd800 || cp > 0xdfff) n += (size_t)base_utf8_encode(cp, text + n);
    }
    return starts[BASE_LAST_POINT + 1] = (uint32_t)n;
}

static uint64_t fnv(uint64_t h, const char *s) {
    for (; *s; s++) h = (h ^ (uint8_t)*s) * 0x100000001b3u;
    return h;
}

/* How many points a pattern of one character matches, and the hash of their ranges. */
static size_t count_points(const base_regex *r, const char *text, const uint32_t *starts, size_t n, uint64_t *hash) {
    void *scratch = calloc(1, base_regex_scratch(r));
    size_t at = 0, begin, end, count = 0;
    uint32_t first = 1, last = 0;
    bool found;
    *hash = 0xcbf29ce484222325u;
    for (uint32_t cp = 0; cp <= BASE_LAST_POINT + 1;) {
        const bool more =
            cp <= BASE_LAST_POINT &&
            base_regex_find(r, scratch, &(base_regex_host){0}, text, n, at, &found, &begin, &end) == NIB_OK && found;
        while (more && starts[cp + 1] <= begin) cp++;
        if (more && first <= last && (cp == last + 1 || (cp == 0xe000 && last == 0xd7ff))) last = cp;
        else {
            char range[40];
            snprintf(range, sizeof range, "%x-%x,", first, last);
            if (first <= last) *hash = fnv(*hash, range);
            first = last = cp;
        }
        if (!more) break;
        count++;
        at = end;
        cp++;
    }
    free(scratch);
    return count;
}

static void test_classes(void **state) {
    char *lines = read_lines("classes.txt"), *text = malloc(4500000), *rest = lines, *line;
    uint32_t *starts = malloc((BASE_LAST_POINT + 2) * sizeof *starts);
    const size_t n = all_points(text, starts);
    size_t tested = 0;
    while ((line = strtok_r(rest, "\n", &rest)) != NULL) {
        char *tab = strchr(line, '\t'), *end;
        const base_regex_host host = {&arena, take, NULL};
        base_regex *r;
        nib_error err;
        uint64_t hash;
        *tab = 0;
        const size_t want = strtoul(tab + 1, &end, 10);
        const uint64_t want_hash = strtoull(end, NULL, 16);
        base_arena_init(&arena, &heap);
        nib_status status = base_regex_make(&host, BASE_REGEX_ONIG, line, strlen(line), &r, &err);
        if (status != NIB_OK) fail_msg("%s: %s", line, err.message);
        const size_t count = count_points(r, text, starts, n, &hash);
        if (count != want || hash != want_hash) fail_msg("%s: %zu points, not %zu, or others", line, count, want);
        base_arena_free(&arena);
        tested++;
    }
    assert_true(tested > 100);
    free(starts);
    free(text);
    free(lines);
}

/* The matches that are not empty, found as the library's iterator goes on. */
static void find_matches(const base_regex *r, void *scratch, const char *text, size_t n, char *out, size_t capacity) {
    size_t at = 0, last = 0, begin, end, written = 0;
    bool found, matched = false;
    out[0] = 0;
    while (at <= n && base_regex_find(r, scratch, &(base_regex_host){0}, text, n, at, &found, &begin, &end) == NIB_OK &&
           found) {
        if (begin == end && matched && last == end) {
            do at++;
            while (at < n && ((unsigned char)text[at] & 0xc0) == 0x80);
            continue;
        }
        if (begin < end) written += (size_t)snprintf(out + written, capacity - written, "%zu-%zu ", begin, end);
        at = last = end;
        matched = true;
    }
}

/* By the table of states, and by the machine. */
static void test_generated(void **state) {
    char *lines = read_lines("matches.txt"), *rest = lines, *line;
    size_t tested = 0, refused = 0, tables = 0;
    while ((line = strtok_r(rest, "\n", &rest)) != NULL) {
        char *tab = strchr(line, '\t'), *want = strchr(tab + 1, '\t') + 1, out[400];
        const base_regex_host host = {&arena, take, NULL};
        base_regex *r;
        nib_error err;
        yyjson_doc *pattern = yyjson_read(line, (size_t)(tab - line), 0),
                   *text = yyjson_read(tab + 1, (size_t)(want - 2 - tab), 0);
        yyjson_val *p = yyjson_doc_get_root(pattern), *t = yyjson_doc_get_root(text);
        assert_true(yyjson_is_str(p) && yyjson_is_str(t));
        base_arena_init(&arena, &heap);
        nib_status status = base_regex_make(&host, BASE_REGEX_ONIG, yyjson_get_str(p), yyjson_get_len(p), &r, &err);
        if (status == NIB_OK) {
            void *scratch = calloc(1, base_regex_scratch(r));
            tables += r->dfa != NULL;
            for (int machine = 0; machine < 2; machine++, r->dfa = NULL) {
                find_matches(r, scratch, yyjson_get_str(t), yyjson_get_len(t), out, sizeof out);
                if (strcmp(out, want) != 0)
                    fail_msg("%s in %.*s by the %s: %s, not %s", yyjson_get_str(p), (int)(want - 1 - tab), tab + 1,
                             machine ? "machine" : "table", out, want);
            }
            free(scratch);
            tested++;
        } else if (status == NIB_UNSUPPORTED) {
            refused++;
        } else {
            fail_msg("%s: %s", yyjson_get_str(p), err.message);
        }
        base_arena_free(&arena);
        yyjson_doc_free(pattern);
        yyjson_doc_free(text);
    }
    assert_true(tested > 3000 && refused < tested / 4 && tables > tested / 2);
    free(lines);
}

/* ---- the table of states finds what the machine finds, for the patterns of well-known tokenizers */

static uint64_t seed = 0x2545f4914f6cdd1du;

static uint32_t next_random(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32);
}

static size_t random_text(uint8_t *out, size_t most) {
    static const char *const some[] = {"a",
                                       "b",
                                       "S",
                                       "s",
                                       "'",
                                       "'",
                                       "t",
                                       "re",
                                       "LL",
                                       "d",
                                       "D",
                                       "1",
                                       "2",
                                       " ",
                                       " ",
                                       "  ",
                                       "\n",
                                       "\r",
                                       "\t",
                                       "/",
                                       "-",
                                       "\xc5\xbf",
                                       "\xc3\xa9",
                                       "\xc3\x89",
                                       "\xc7\x85",
                                       "\xca\xb0",
                                       "\xe4\xbd\xa0",
                                       "\xcc\x81",
                                       "\xc2\xbd",
                                       "\xc2\xa0",
                                       "\xe3\x80\x80",
                                       "\xf0\x9f\x98\x80",
                                       "\xe2\x80\x8d",
                                       "\xc2\x85",
                                       "\xe0\xa4\xbf"};
    size_t n = 0, parts = next_random() % 24;
    for (size_t i = 0; i < parts && n + 4 < most; i++) {
        if (next_random() % 8 == 0) {
            uint32_t cp = next_random() % 0x20000;
            if (cp >= 0xd800 && cp < 0xe000) continue;
            n += (size_t)base_utf8_encode(cp, (char *)out + n);
            continue;
        }
        const char *s = some[next_random() % BASE_COUNT(some)];
        memcpy(out + n, s, strlen(s));
        n += strlen(s);
    }
    return n;
}

static void test_tables(void **state) {
    static const char *const patterns[] = {
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
        CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES,
        CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES,
        UPPER "*" LOWER "+" CONTRACTIONS "?|" UPPER "+" LOWER "*" CONTRACTIONS
              "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES,
        "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|"
        "\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
        "(?<=\\d)\\p{L}+|\\b\\w|^ |[^\\s\\w]$"};
    for (size_t p = 0; p < BASE_COUNT(patterns); p++) {
        const base_regex_host host = {&arena, take, NULL};
        base_regex *r, machine;
        base_arena_init(&arena, &heap);
        assert_int_equal(base_regex_make(&host, BASE_REGEX_ONIG, patterns[p], strlen(patterns[p]), &r, NULL), NIB_OK);
        assert_non_null(r->dfa); /* all of these are fast */
        machine = *r;
        machine.dfa = NULL;
        void *scratch = calloc(1, base_regex_scratch(r));
        for (int i = 0; i < 5000; i++) {
            char text[200], by_table[1200], by_machine[1200];
            const size_t n = random_text((uint8_t *)text, sizeof text);
            find_matches(r, scratch, text, n, by_table, sizeof by_table);
            find_matches(&machine, scratch, text, n, by_machine, sizeof by_machine);
            if (strcmp(by_table, by_machine) != 0)
                fail_msg("%s in \"%.*s\": %s by the table, %s by the machine", patterns[p], (int)n, text, by_table,
                         by_machine);
        }
        free(scratch);
        base_arena_free(&arena);
    }
}

/* Too many states: no table. Reading the same text in vain: the machine goes on, and finds the same. */
static void test_fall_back(void **state) {
    const base_regex_host host = {&arena, take, NULL};
    enum { LENGTH = 20000 };
    char *text = malloc(LENGTH + 3), out[100];
    base_regex *r;
    size_t from = 0, begin, end;
    int64_t taken = 0;
    base_arena_init(&arena, &heap);
    assert_int_equal(base_regex_make(&host, BASE_REGEX_ONIG, "(a|b)*a(a|b){12}", 16, &r, NULL), NIB_OK);
    assert_null(r->dfa);
    memset(text, 'a', LENGTH);
    memcpy(text + LENGTH, "cab", 3);
    assert_int_equal(base_regex_make(&host, BASE_REGEX_ONIG, "a*b", 3, &r, NULL), NIB_OK);
    assert_int_equal(base_regex_dfa_find(r, text, LENGTH + 3, &from, &begin, &end, &taken), REGEX_GIVE_UP);
    assert_true(from > 0 && from < LENGTH);
    void *scratch = calloc(1, base_regex_scratch(r));
    find_matches(r, scratch, text, LENGTH + 3, out, sizeof out);
    assert_string_equal(out, "20001-20003 ");
    free(scratch);
    free(text);
    base_arena_free(&arena);
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
                                       cmocka_unit_test(test_classes), cmocka_unit_test(test_generated),
                                       cmocka_unit_test(test_tables),  cmocka_unit_test(test_fall_back),
                                       cmocka_unit_test(test_steps)};
    return cmocka_run_group_tests(tests, setup, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * What is believed of a server's words: lines of its answer, addresses it sends on to, and its list of files.
 */
#include "../base/base_test.h"
#include "hub/hub_repo.h"

static void say(hub_reply *r, bool own, const char *line) { hub_reply_take(r, own, line, strlen(line)); }

static void lines(void **state) {
    hub_reply r;
    hub_reply_init(&r);
    say(&r, true, "HTTP/1.1 302 Found\r\n");
    assert_int_equal(r.status, 302);
    say(&r, true, "ETag: W/\"abc\"\r\n");
    assert_string_equal(r.etag, "abc");
    say(&r, true, "X-Linked-Etag: \"def\"\r\n");
    say(&r, true, "etag: \"abc\"\r\n"); /* the contents' goes before the answer's, in any order */
    assert_string_equal(r.etag, "def");
    assert_true(r.linked);
    say(&r, true, "x-linked-size:12 \r\n");
    assert_int_equal(r.size, 12);
    say(&r, true, "Content-Length: 7\r\n");
    assert_int_equal(r.length, 7);
    say(&r, true, "X-Repo-Commit: 0123\r\n");
    say(&r, true, "Content-Range: bytes 5-9/10\r\n");
    assert_int_equal(r.first, 5);
    assert_int_equal(r.total, 10);
    say(&r, true, "Retry-After: 3\r\n");
    assert_int_equal(r.retry_after, 3);
    say(&r, false, "HTTP/2 206\r\n"); /* the next server's answer: what the hub said stays */
    assert_int_equal(r.status, 206);
    assert_int_equal(r.length, -1);
    assert_int_equal(r.first, -1);
    assert_string_equal(r.commit, "0123");
    say(&r, false, "X-Linked-Etag: \"evil\"\r\n");
    say(&r, false, "X-Linked-Size: 1\r\n");
    say(&r, false, "X-Repo-Commit: evil\r\n");
    assert_string_equal(r.etag, "def");
    assert_int_equal(r.size, 12);
    assert_string_equal(r.commit, "0123");
}

static void malformed_lines(void **state) {
    static const char *const wrong[] = {"Content-Length: -1",
                                        "Content-Length: 1x",
                                        "Content-Length: ",
                                        "Content-Length:",
                                        "Content-Length: 99999999999999999999",
                                        "Content-Length: +3",
                                        "Content-Range: bytes */10",
                                        "Content-Range: bytes",
                                        "Content-Range: 5-9/10",
                                        "Content-Range: bytes -5/",
                                        "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT",
                                        "ETag: \"a\tb\"",
                                        ": x",
                                        "",
                                        "x",
                                        "HTTP/"};
    char longest[5000];
    hub_reply r;
    hub_reply_init(&r);
    for (size_t i = 0; i < BASE_COUNT(wrong); i++) say(&r, true, wrong[i]);
    assert_int_equal(r.length, -1);
    assert_int_equal(r.first, -1);
    assert_int_equal(r.retry_after, -1);
    assert_string_equal(r.etag, "");
    memset(longest, 'a', sizeof longest - 1);
    memcpy(longest, "ETag: ", 6);
    longest[sizeof longest - 1] = 0;
    say(&r, true, longest);
    assert_string_equal(r.etag, "");
    longest[4] = 'a';
    say(&r, true, longest);
}

static void addresses(void **state) {
    static const struct {
        const char *url, *origin;
    } rows[] = {
        {"https://huggingface.co/a", "https://huggingface.co:443"},
        {"HTTPS://HuggingFace.co", "https://huggingface.co:443"},
        {"https://huggingface.co:443?x", "https://huggingface.co:443"},
        {"http://h/", "http://h:80"},
        {"http://127.0.0.1:8080/x", "http://127.0.0.1:8080"},
        {"http://[::1]/x", "http://[::1]:80"},
        {"http://[::1]:81/x", "http://[::1]:81"},
        {"https://huggingface.co.evil.org/", "https://huggingface.co.evil.org:443"},
        {"https://huggingface.co@evil.org/", NULL},
        {"https://u:p@huggingface.co/", NULL},
        {"https:///x", NULL},
        {"ftp://h/", NULL},
        {"file:///etc/passwd", NULL},
        {"//h/x", NULL},
        {"/x", NULL},
        {"", NULL},
        {"https:h", NULL},
    };
    char out[300];
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        if (hub_origin(rows[i].url, out) != (rows[i].origin != NULL)) fail_msg("%s", rows[i].url);
        if (rows[i].origin) assert_string_equal(out, rows[i].origin);
    }
    base_heap heap;
    base_str quoted;
    base_heap_init(&heap, NULL);
    base_str_init(&quoted, &heap);
    hub_quote(&quoted, "a b/c?d#\xc3\xa9-._~", false);
    assert_string_equal(quoted.data, "a%20b/c%3Fd%23%C3%A9-._~");
    base_str_clear(&quoted);
    hub_quote(&quoted, "refs/pr/1", true);
    assert_string_equal(quoted.data, "refs%2Fpr%2F1");
    base_str_free(&quoted);
}

/* Any request of memory may fail: a status, nothing is kept, and the same list afterwards. */
static size_t allowed;
static void *allocate(void *user, size_t n) {
    if (allowed == 0) return NULL;
    allowed--;
    return aligned_alloc(64, (n + 63) / 64 * 64);
}
static void release(void *user, void *p, size_t n) { free(p); }

static void lists_without_memory(void **state) {
    static const char text[] =
        "{\"sha\": \"0123\", \"siblings\": [{\"rfilename\": \"config.json\"}, {\"rfilename\": \"b/c\"}]}";
    nib_runtime_options o = {.size = sizeof o, .threads = 1, .allocate = allocate, .release = release};
    nib_error err;
    const hub_id id = {.repo = "org/name"};
    nib_runtime *runtime;
    allowed = SIZE_MAX;
    assert_int_equal(base_runtime_create(&o, &runtime, &err), NIB_OK);
    const size_t before = atomic_load(&runtime->heap.current);
    for (size_t n = 0, done = 0; !done; n++) {
        const hub_pull how = {.runtime = runtime, .id = &id};
        hub_repo repo = {.how = &how};
        allowed = SIZE_MAX;
        base_arena_init(&repo.names, &runtime->heap);
        allowed = n;
        const nib_status status = hub_repo_read_list(&repo, text, sizeof text - 1, &err);
        done = status == NIB_OK;
        if (done) {
            assert_true(n > 0);
            assert_int_equal(repo.count, 2);
            assert_string_equal(repo.files[1].name, "b/c");
            assert_string_equal(repo.commit, "0123");
        } else assert_int_equal(status, NIB_OUT_OF_MEMORY);
        base_arena_free(&repo.names);
        assert_int_equal(atomic_load(&runtime->heap.current), before);
    }
    allowed = SIZE_MAX;
    base_runtime_release(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines), cmocka_unit_test(malformed_lines),
                                       cmocka_unit_test(addresses), cmocka_unit_test(lists_without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

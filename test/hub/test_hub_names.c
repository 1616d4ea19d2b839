/* SPDX-License-Identifier: Apache-2.0
 *
 * What may be a model's name, a revision, a file of a repository; what the environment says; which files are wanted;
 * and where a name lies in a cache. No network.
 */
#include "../base/base_test.h"
#include "hub/hub.h"

static nib_error err;

static void names(void **state) {
    static const struct {
        const char *text, *repo, *revision, *file; /* repo NULL: refused */
    } rows[] = {
        {"org/name", "org/name", "main", ""},
        {"sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2", "main", ""},
        {"a/b@v1.0", "a/b", "v1.0", ""},
        {"a/b@refs/pr/1", "a/b", "refs/pr/1", ""},
        {"a/b:onnx/model_q4.onnx", "a/b", "main", "onnx/model_q4.onnx"},
        {"a/b@dev:model.onnx", "a/b", "dev", "model.onnx"},
        {"_a/b_.c-d", "_a/b_.c-d", "main", ""},
        {"name", NULL, NULL, NULL},
        {"", NULL, NULL, NULL},
        {"/", NULL, NULL, NULL},
        {"a/", NULL, NULL, NULL},
        {"/a", NULL, NULL, NULL},
        {"/abs/path", NULL, NULL, NULL},
        {"a/b/c", NULL, NULL, NULL},
        {"a//b", NULL, NULL, NULL},
        {"../b", NULL, NULL, NULL},
        {"a/..", NULL, NULL, NULL},
        {"./b", NULL, NULL, NULL},
        {"a/b..c", NULL, NULL, NULL},
        {"a/b--c", NULL, NULL, NULL},
        {"a/-b", NULL, NULL, NULL},
        {"a/b-", NULL, NULL, NULL},
        {"a/b.", NULL, NULL, NULL},
        {"a/b.git", NULL, NULL, NULL},
        {"a/b c", NULL, NULL, NULL},
        {"a/b\n", NULL, NULL, NULL},
        {"a/b\\c", NULL, NULL, NULL},
        {"a/b%2f", NULL, NULL, NULL},
        {"a/b\xc3\xa9", NULL, NULL, NULL},
        {"a/b@", NULL, NULL, NULL},
        {"a/b@..", NULL, NULL, NULL},
        {"a/b@../../x", NULL, NULL, NULL},
        {"a/b@/x", NULL, NULL, NULL},
        {"a/b@x y", NULL, NULL, NULL},
        {"a/b@x\x7f", NULL, NULL, NULL},
        {"a/b:", NULL, NULL, NULL},
        {"a/b:../x", NULL, NULL, NULL},
        {"a/b:/etc/passwd", NULL, NULL, NULL},
        {"a/b:x//y", NULL, NULL, NULL},
        {"a/b:x/", NULL, NULL, NULL},
    };
    hub_id id;
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        const nib_status status = hub_id_parse(rows[i].text, &id, &err);
        if (!rows[i].repo && status != NIB_INVALID_ARGUMENT) fail_msg("'%s' was taken", rows[i].text);
        if (!rows[i].repo) continue;
        if (status != NIB_OK) fail_msg("%s", err.message);
        assert_string_equal(id.repo, rows[i].repo);
        assert_string_equal(id.revision, rows[i].revision);
        assert_string_equal(id.file, rows[i].file);
    }
    char longest[HUB_NAME + 200];
    memset(longest, 'a', sizeof longest);
    longest[1] = '/';
    longest[96] = 0;
    assert_int_equal(hub_id_parse(longest, &id, &err), NIB_OK);
    longest[96] = 'a', longest[97] = 0;
    assert_int_equal(hub_id_parse(longest, &id, &err), NIB_INVALID_ARGUMENT);
    longest[97] = 'a', longest[3] = '@', longest[sizeof longest - 1] = 0;
    assert_int_equal(hub_id_parse(longest, &id, &err), NIB_INVALID_ARGUMENT);
    longest[3] = ':';
    assert_int_equal(hub_id_parse(longest, &id, &err), NIB_INVALID_ARGUMENT);
}

static void files(void **state) {
    static const char *const good[] = {
        "config.json", "onnx/model.onnx", ".gitattributes", "a b.txt", "1_Pooling/config.json", "\xc3\xa9.txt", "..x"};
    static const char *const bad[] = {"",    "/x",  "x/",   "a//b", ".",    "..",   "a/../b",
                                      "a/.", "./a", "a\\b", "a\nb", "\x01", "\xff", "a/\x7f"};
    for (size_t i = 0; i < BASE_COUNT(good); i++)
        if (!hub_name_is_good(good[i])) fail_msg("%s is refused", good[i]);
    for (size_t i = 0; i < BASE_COUNT(bad); i++)
        if (hub_name_is_good(bad[i])) fail_msg("'%s' is taken", bad[i]);
    assert_true(hub_word_is_good("0123abc", 7));
    assert_false(hub_word_is_good("0123abc", 6));
    assert_false(hub_word_is_good(".hidden", 20));
    assert_false(hub_word_is_good("a/b", 20));
    assert_false(hub_word_is_good("a..b", 20));
    assert_false(hub_word_is_good("", 20));
}

static void choices(void **state) {
    static const char *const small[] = {"config.json",
                                        "tokenizer.json",
                                        "spiece.model",
                                        "modules.json",
                                        "sentence_bert_config.json",
                                        "sentence_xlm-roberta_config.json",
                                        "1_Pooling/config.json",
                                        "2_Dense/model.safetensors",
                                        "vocab.txt",
                                        "0_StaticEmbedding/tokenizer.json",
                                        "1_Router/query_0_Dense/config.json"};
    static const char *const not_small[] = {"README.md",         "model.safetensors",       "onnx/config.json",
                                            "pytorch_model.bin", "openvino/x.xml",          ".gitattributes",
                                            "data.json",         "train/1_data/config.json"};
    for (size_t i = 0; i < BASE_COUNT(small); i++)
        if (!hub_is_small_file(small[i])) fail_msg("%s is left out", small[i]);
    for (size_t i = 0; i < BASE_COUNT(not_small); i++)
        if (hub_is_small_file(not_small[i])) fail_msg("%s is taken", not_small[i]);
    assert_true(hub_is_weights("model-00001-of-00002.safetensors", HUB_WEIGHTS_SAFETENSORS, true));
    assert_false(hub_is_weights("onnx/model.onnx", HUB_WEIGHTS_SAFETENSORS, true));
    assert_true(hub_is_weights("onnx/model.onnx_data", HUB_WEIGHTS_ONNX, true));
    assert_false(hub_is_weights("onnx/model_fp16.onnx", HUB_WEIGHTS_ONNX, true));
    assert_false(hub_is_weights("model.onnx", HUB_WEIGHTS_ONNX, true));
    assert_true(hub_is_weights("model.onnx", HUB_WEIGHTS_ONNX, false));
}

/* ---------------------------------------------------------------- the environment */

static const char *const variables[] = {"HOME",
                                        "XDG_CACHE_HOME",
                                        "HF_HOME",
                                        "HF_HUB_CACHE",
                                        "HUGGINGFACE_HUB_CACHE",
                                        "HF_ENDPOINT",
                                        "HF_TOKEN",
                                        "HUGGING_FACE_HUB_TOKEN",
                                        "HF_TOKEN_PATH",
                                        "HF_HUB_OFFLINE",
                                        "TRANSFORMERS_OFFLINE",
                                        "HF_HUB_DISABLE_SYMLINKS",
                                        "HF_HUB_ETAG_TIMEOUT",
                                        "HF_HUB_DOWNLOAD_TIMEOUT",
                                        "HF_HUB_DISABLE_IMPLICIT_TOKEN",
                                        "SSL_CERT_FILE",
                                        "CURL_CA_BUNDLE",
                                        "REQUESTS_CA_BUNDLE"};

/* Sets what "NAME=value;NAME=value" says, and nothing else of these. */
static nib_status with(const char *said, hub_env *env) {
    char copy[600];
    for (size_t i = 0; i < BASE_COUNT(variables); i++) unsetenv(variables[i]);
    snprintf(copy, sizeof copy, "%s", said);
    for (char *word = strtok(copy, ";"); word; word = strtok(NULL, ";")) {
        char *equals = strchr(word, '=');
        *equals = 0;
        setenv(word, equals + 1, 1);
    }
    return hub_env_read(env, &err);
}

static void environments(void **state) {
    static const struct {
        const char *said, *cache;
    } caches[] = {
        {"HOME=/h", "/h/.cache/huggingface/hub"},
        {"HOME=/h;XDG_CACHE_HOME=/x", "/x/huggingface/hub"},
        {"HOME=/h;XDG_CACHE_HOME=/x;HF_HOME=/f", "/f/hub"},
        {"HOME=/h;HF_HOME=/f;HUGGINGFACE_HUB_CACHE=/old", "/old"},
        {"HOME=/h;HF_HOME=/f;HUGGINGFACE_HUB_CACHE=/old;HF_HUB_CACHE=/new", "/new"},
        {"HOME=/h;HF_HOME=~/f", "/h/f/hub"},
        {"HOME=/h;XDG_CACHE_HOME=/x;HF_HUB_CACHE=$XDG_CACHE_HOME/c/${HOME}y$NOTHING~", "/x/c//hy$NOTHING~"},
        {"HF_HUB_CACHE=/alone", "/alone"},
        {"HOME=/h;HF_HOME=", "/h/.cache/huggingface/hub"},
    };
    hub_env env;
    for (size_t i = 0; i < BASE_COUNT(caches); i++) {
        if (with(caches[i].said, &env) != NIB_OK) fail_msg("%s: %s", caches[i].said, err.message);
        assert_string_equal(env.cache, caches[i].cache);
    }
    assert_int_equal(with("", &env), NIB_INVALID_ARGUMENT);
    assert_int_equal(with("HOME=/h", &env), NIB_OK);
    assert_string_equal(env.endpoint, "https://huggingface.co");
    assert_null(env.offline);
    assert_int_equal(env.timeout, 10);
    assert_string_equal(env.token, "");
    assert_int_equal(with("HOME=/h;HF_ENDPOINT=http://127.0.0.1:8/x//;HF_HUB_DOWNLOAD_TIMEOUT=3;SSL_CERT_FILE=/"
                          "c.pem;HF_HUB_DISABLE_SYMLINKS=YES",
                          &env),
                     NIB_OK);
    assert_string_equal(env.endpoint, "http://127.0.0.1:8/x");
    assert_int_equal(env.timeout, 3);
    assert_string_equal(env.certificates, "/c.pem");
    assert_true(env.no_links);
    static const char *const wrong[] = {"HF_ENDPOINT=ftp://x",
                                        "HF_ENDPOINT=huggingface.co",
                                        "HF_ENDPOINT=https://u:p@x",
                                        "HF_HUB_DOWNLOAD_TIMEOUT=ten",
                                        "HF_HUB_ETAG_TIMEOUT=0",
                                        "HF_TOKEN=a b",
                                        "HF_TOKEN=a\x01"};
    for (size_t i = 0; i < BASE_COUNT(wrong); i++) {
        char said[100];
        snprintf(said, sizeof said, "HOME=/h;%s", wrong[i]);
        if (with(said, &env) != NIB_INVALID_ARGUMENT) fail_msg("%s was taken", wrong[i]);
        assert_null(strstr(err.message, "a b")); /* a wrong token is as secret as a right one */
        assert_null(strstr(err.message, "u:p"));
    }
}

static void switches(void **state) {
    static const struct {
        const char *said;
        bool offline;
    } rows[] = {
        {"HF_HUB_OFFLINE=1", true},       {"HF_HUB_OFFLINE=true", true},
        {"HF_HUB_OFFLINE=On", true},      {"HF_HUB_OFFLINE=yes", true},
        {"HF_HUB_OFFLINE=0", false},      {"HF_HUB_OFFLINE=2", false},
        {"TRANSFORMERS_OFFLINE=1", true}, {"HF_HUB_OFFLINE=0;TRANSFORMERS_OFFLINE=1", false},
    };
    char said[200];
    hub_env env;
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        snprintf(said, sizeof said, "HOME=/h;%s", rows[i].said);
        assert_int_equal(with(said, &env), NIB_OK);
        if ((env.offline != NULL) != rows[i].offline) fail_msg("%s", rows[i].said);
    }
    write_text(in_dir("token"), "  hf_file\n");
    snprintf(said, sizeof said, "HF_HOME=%s", test_dir);
    assert_int_equal(with(said, &env), NIB_OK);
    assert_string_equal(env.token, "hf_file");
    snprintf(said, sizeof said, "HF_HOME=%s;HF_TOKEN=hf_variable\n", test_dir);
    assert_int_equal(with(said, &env), NIB_OK);
    assert_string_equal(env.token, "hf_variable");
    snprintf(said, sizeof said, "HF_HOME=%s;HF_HUB_DISABLE_IMPLICIT_TOKEN=1", test_dir);
    assert_int_equal(with(said, &env), NIB_OK);
    assert_string_equal(env.token, "");
    write_text(in_dir("other"), "hf_other");
    snprintf(said, sizeof said, "HF_HOME=/f;HF_TOKEN_PATH=%s", in_dir("other"));
    assert_int_equal(with(said, &env), NIB_OK);
    assert_string_equal(env.token, "hf_other");
}

/* ---------------------------------------------------------------- a cache */

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static void found(const char *given, const char *want) {
    char room[HUB_PATH];
    const char *out;
    const nib_status status = hub_resolve(given, room, &out, &err);
    if (!want) {
        if (status != NIB_NOT_FOUND) fail_msg("%s was found", given);
        return;
    }
    if (status != NIB_OK) fail_msg("%s: %s", given, err.message);
    assert_string_equal(out, want);
}

static void caches_are_looked_up(void **state) {
    char said[200], snapshot[400], file[600];
    hub_env env;
    const char *const folders[] = {"c",
                                   "c/models--org--name",
                                   "c/models--org--name/refs",
                                   "c/models--org--name/snapshots",
                                   "c/models--org--name/snapshots/" COMMIT,
                                   "c/models--org--name/snapshots/" COMMIT "/onnx"};
    for (size_t i = 0; i < BASE_COUNT(folders); i++) assert_int_equal(mkdir(in_dir(folders[i]), 0777), 0);
    write_text(in_dir("c/models--org--name/refs/main"), COMMIT);
    write_text(in_dir("c/models--org--name/refs/lines"), COMMIT "\n");
    write_text(in_dir("c/models--org--name/refs/out"), "../../../../etc");
    write_text(in_dir("c/models--org--name/refs/empty"), "");
    write_text(in_dir("c/models--org--name/snapshots/" COMMIT "/onnx/model.onnx"), "x");
    snprintf(said, sizeof said, "HF_HUB_CACHE=%s", in_dir("c"));
    assert_int_equal(with(said, &env), NIB_OK);
    snprintf(snapshot, sizeof snapshot, "%s", in_dir("c/models--org--name/snapshots/" COMMIT));
    snprintf(file, sizeof file, "%s/onnx/model.onnx", snapshot);
    found("org/name", snapshot);
    found("org/name@main", snapshot);
    found("org/name@lines", snapshot);
    found("org/name@" COMMIT, snapshot);
    found("org/name:onnx/model.onnx", file);
    found("org/name@main:onnx/model.onnx", file);
    found("org/name:onnx/other.onnx", NULL);
    assert_non_null(strstr(err.message, "--include"));
    found("org/name@out", NULL);
    found("org/name@empty", NULL);
    found("org/name@dev", NULL);
    assert_non_null(strstr(err.message, "nib pull org/name@dev"));
    found("org/other", NULL);
    assert_non_null(strstr(err.message, "nib pull org/other"));
    /* what is there goes first; what is no name stays as it is, for others to say so */
    found(test_dir, test_dir);
    found("models/model.onnx", "models/model.onnx");
    found("plain", "plain");
    for (size_t i = 0; i < BASE_COUNT(variables); i++) unsetenv(variables[i]); /* where the cache is, nobody says */
    found("org/name", NULL);
    found("a/b/c", "a/b/c");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(names),    cmocka_unit_test(files),
                                       cmocka_unit_test(choices),  cmocka_unit_test(environments),
                                       cmocka_unit_test(switches), cmocka_unit_test(caches_are_looked_up)};
    return cmocka_run_group_tests(tests, test_dir_make, test_dir_remove);
}

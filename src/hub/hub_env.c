/* SPDX-License-Identifier: Apache-2.0
 *
 * In: the environment, as huggingface_hub reads it (constants.py, utils/_auth.py). Out: where the cache is, what is
 * asked for contents and as whom.
 */
#include "base/base_file.h"
#include "base/base_number.h"
#include "hub.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* 1, ON, YES, TRUE, in any case. */
static bool is_true(const char *name) {
    static const char *const words[] = {"1", "on", "yes", "true"};
    const char *value = variable(name);
    for (size_t i = 0; value && i < BASE_COUNT(words); i++)
        if (strcasecmp(value, words[i]) == 0) return true;
    return false;
}

/* "~" in front is HOME; $NAME and ${NAME} are variables, where they are set. */
static bool expand(const char *text, char out[HUB_PATH]) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    size_t used = 0;
    for (const char *p = text; *p;) {
        char name[64];
        const bool home = p == text && p[0] == '~' && (p[1] == '/' || !p[1]), brace = p[0] == '$' && p[1] == '{';
        const size_t n = home ? 4 : p[0] == '$' ? strspn(p + 1 + brace, letters) : 0;
        const char *value = NULL, *from = home ? "HOME" : p + 1 + brace;
        if (n && n < sizeof name && (!brace || from[n] == '}')) {
            memcpy(name, from, n);
            name[n] = 0;
            value = getenv(name);
        }
        const size_t length = value ? strlen(value) : 1;
        if (used + length >= HUB_PATH) return false;
        memcpy(out + used, value ? value : p, length);
        used += length;
        p += !value ? 1 : home ? 1 : n + 1 + 2 * (size_t)brace;
    }
    out[used] = 0;
    return true;
}

/* A folder or file that a variable names, or NAME in another folder. */
static nib_status path_of(const char *name, const char *folder, const char *in_folder, char out[HUB_PATH],
                          nib_error *err) {
    const char *value = variable(name);
    if (!value) return hub_join(folder, in_folder, out, err);
    if (expand(value, out)) return NIB_OK;
    return base_error_set(err, NIB_INVALID_ARGUMENT, "%s: the path is too long", name);
}

static nib_status seconds(const char *name, int *out, nib_error *err) {
    const char *value = variable(name);
    *out = 10;
    if (!value) return NIB_OK;
    char *end;
    const long n = strtol(value, &end, 10);
    if (*end || n < 1 || n > 86400)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "%s: '%.40s' is no number of seconds", name, value);
    *out = (int)n;
    return NIB_OK;
}

static nib_status read_endpoint(hub_env *out, nib_error *err) {
    const char *value = variable("HF_ENDPOINT");
    if (!value) value = "https://huggingface.co";
    size_t n = strlen(value);
    while (n && value[n - 1] == '/') n--;
    const bool web = strncasecmp(value, "https://", 8) == 0 || strncasecmp(value, "http://", 7) == 0;
    if (!web || n >= sizeof out->endpoint)
        return base_error_set(err, NIB_INVALID_ARGUMENT,
                              "HF_ENDPOINT: not an address that begins with https:// or http://");
    memcpy(out->endpoint, value, n);
    out->endpoint[n] = 0;
    if (strpbrk(out->endpoint, "@?#")) /* a password would be sent where the token is not */
        return base_error_set(err, NIB_INVALID_ARGUMENT,
                              "HF_ENDPOINT: an address without user, password and query is meant");
    return NIB_OK;
}

/* What is between blanks of text[0..n). */
static nib_status take_token(const char *from, const char *text, size_t n, hub_env *out, nib_error *err) {
    while (n && strchr(" \t\r\n", text[n - 1])) n--;
    while (n && strchr(" \t\r\n", *text)) text++, n--;
    bool good = n < sizeof out->token;
    for (size_t i = 0; i < n; i++) good &= text[i] > ' ' && text[i] < 0x7f;
    if (!good) return base_error_set(err, NIB_INVALID_ARGUMENT, "%s: what it holds is no token", from);
    memcpy(out->token, text, n);
    out->token[n] = 0;
    return NIB_OK;
}

static nib_status read_token(const char *home, hub_env *out, nib_error *err) {
    char path[HUB_PATH], text[HUB_NAME + 16];
    size_t n = 0;
    if (is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return NIB_OK;
    const char *names[] = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"};
    for (size_t i = 0; i < BASE_COUNT(names); i++)
        if (variable(names[i])) return take_token(names[i], variable(names[i]), strlen(variable(names[i])), out, err);
    nib_status status = path_of("HF_TOKEN_PATH", home, "token", path, err);
    if (status == NIB_OK && base_file_peek(path, text, sizeof text, &n)) status = take_token(path, text, n, out, err);
    return status;
}

nib_status hub_env_read(hub_env *out, nib_error *err) {
    static const char *const offline[] = {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"};
    static const char *const bundles[] = {"CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"};
    nib_status status = NIB_OK;
    char base[HUB_PATH], home[HUB_PATH];
    memset(out, 0, sizeof *out);
    if (!variable("HOME") && !variable("XDG_CACHE_HOME") && !variable("HF_HOME") && !variable("HF_HUB_CACHE"))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT,
                 "where the cache is, is not known: none of HOME, XDG_CACHE_HOME, HF_HOME and HF_HUB_CACHE is set");
    NIB_TRY(path_of("XDG_CACHE_HOME", variable("HOME") ? variable("HOME") : "", ".cache", base, err));
    NIB_TRY(path_of("HF_HOME", base, "huggingface", home, err));
    NIB_TRY(path_of(variable("HF_HUB_CACHE") ? "HF_HUB_CACHE" : "HUGGINGFACE_HUB_CACHE", home, "hub", out->cache, err));
    NIB_TRY(read_endpoint(out, err));
    NIB_TRY(read_token(home, out, err));
    NIB_TRY(seconds("HF_HUB_ETAG_TIMEOUT", &out->etag_timeout, err));
    NIB_TRY(seconds("HF_HUB_DOWNLOAD_TIMEOUT", &out->timeout, err));
    for (size_t i = BASE_COUNT(offline); i-- > 0;)
        if (is_true(offline[i])) out->offline = offline[i];
    /* As there: the second counts only where the first is not set at all. */
    if (variable(offline[0]) && !is_true(offline[0])) out->offline = NULL;
    for (size_t i = BASE_COUNT(bundles); i-- > 0;)
        if (variable(bundles[i])) NIB_TRY(path_of(bundles[i], "", "", out->certificates, err));
    out->no_links = is_true("HF_HUB_DISABLE_SYMLINKS");
fail:
    return status;
}

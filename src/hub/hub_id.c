/* SPDX-License-Identifier: Apache-2.0
 *
 * In: what a user calls a model, or what a server calls a file. Out: its parts, or why it is none. Rules:
 * validate_repo_id of huggingface_hub (utils/_validators.py), and what makes a name safe as a path.
 */
#include "hub.h"
#include <stdio.h>
#include <string.h>

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool hub_word_is_good(const char *word, size_t most) {
    const size_t n = strlen(word);
    if (n == 0 || n > most || !is_letter(word[0]) || strstr(word, "..")) return false;
    for (size_t i = 0; i < n; i++)
        if (!is_letter(word[i]) && word[i] != '-' && word[i] != '.') return false;
    return true;
}

bool hub_name_is_good(const char *name) {
    uint32_t cp;
    if (!*name || strlen(name) >= HUB_NAME) return false;
    for (const char *p = name; *p; p++) {
        const size_t n = strcspn(p, "/");
        if (n == 0 || n > 255 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.')) return false;
        p += n;
        if (!*p) break;
        if (!p[1]) return false; /* a slash at the end */
    }
    for (const char *p = name; *p;) {
        const int n = base_utf8_decode(p, strlen(p), &cp);
        if (n == 0 || cp < 0x20 || cp == 0x7f || cp == '\\') return false;
        p += n;
    }
    return true;
}

/* A part of ORG/NAME: begins and ends with a letter, a digit or '_'. */
static const char *fault_of_part(const char *part) {
    const size_t n = strlen(part);
    if (n == 0) return "a part of it is empty";
    if (strstr(part, "..") || strstr(part, "--")) return "it has .. or --";
    if (!hub_word_is_good(part, HUB_REPO) || !is_letter(part[n - 1]))
        return "parts are of letters, digits, '-', '_' and '.', which is neither first nor last";
    if (n >= 4 && strcmp(part + n - 4, ".git") == 0) return "it ends in .git";
    return NULL;
}

/* git-check-ref-format(1), and what makes it a path below refs/. */
static const char *fault_of_revision(const char *r) {
    if (!hub_name_is_good(r)) return "its revision is no name of a branch, a tag or a commit";
    if (strpbrk(r, " ~^:?*[") || strstr(r, "..") || strstr(r, "@{"))
        return "its revision has a character that git has none with";
    return NULL;
}

/* Copies text[0..n); false if there is no room. */
static bool cut(char *out, size_t room, const char *text, size_t n) {
    if (n >= room) return false;
    memcpy(out, text, n);
    out[n] = 0;
    return true;
}

static const char *parse(const char *text, hub_id *out) {
    char part[2][HUB_REPO];
    const size_t repo = strcspn(text, "@:");
    const char *slash = memchr(text, '/', repo), *p = text + repo, *fault;
    if (!slash) return "it has no slash";
    if (memchr(slash + 1, '/', repo - (size_t)(slash + 1 - text))) return "it has two slashes";
    if (!cut(out->repo, sizeof out->repo, text, repo)) return "it is longer than 96 characters";
    cut(part[0], sizeof part[0], text, (size_t)(slash - text));
    cut(part[1], sizeof part[1], slash + 1, repo - (size_t)(slash + 1 - text));
    for (int i = 0; i < 2; i++)
        if ((fault = fault_of_part(part[i]))) return fault;
    strcpy(out->revision, "main");
    out->file[0] = 0;
    if (*p == '@') {
        const size_t n = strcspn(++p, ":");
        if (!cut(out->revision, sizeof out->revision, p, n)) return "its revision is too long";
        if ((fault = fault_of_revision(out->revision))) return fault;
        p += n;
    }
    if (*p != ':') return NULL;
    if (!cut(out->file, sizeof out->file, p + 1, strlen(p + 1)) || !hub_name_is_good(out->file))
        return "behind the colon is no name of a file";
    return NULL;
}

nib_status hub_id_parse(const char *text, hub_id *out, nib_error *err) {
    const char *fault = parse(text, out);
    if (!fault) return NIB_OK;
    return base_error_set(err, NIB_INVALID_ARGUMENT, "'%.200s' is no ORG/NAME[@REVISION][:FILE]: %s", text, fault);
}

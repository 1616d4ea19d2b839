/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a JSON value and lists of keys. Out: a warning for each key that is not applied, or the first of them.
 */
#include "base_keys.h"
#include "base_number.h"
#include <stdio.h>
#include <string.h>

#define MOST_WARNINGS 8 /* of one file: a file of nothing but unknown keys is no settings' file */
#define MOST_PATH 200

typedef struct check {
    const nib_runtime *runtime;
    const char *file;
    const base_key *const *lists;
    int warned;
    char *first; /* NULL: each is said through the log */
    size_t first_size;
} check;

/* ---------------------------------------------------------------- paths */

/* Whether `row` names `path`, or (inside) something within it. */
static bool names(const char *row, const char *path, bool inside) {
    for (;;) {
        size_t a = strcspn(row, "."), b = strcspn(path, ".");
        if (!(a == 1 && row[0] == '*') && (a != b || strncmp(row, path, a) != 0)) return false;
        row += a;
        path += b;
        if (!*path || !*row) return *path == *row ? !inside : inside && !*path;
        row++;
        path++;
    }
}

static const base_key *find(const check *c, const char *path, bool inside) {
    for (const base_key *const *list = c->lists; *list; list++)
        for (const base_key *k = *list; k->path; k++)
            if (names(k->path, path, inside)) return k;
    return NULL;
}

/* ---------------------------------------------------------------- values */

static void show(yyjson_val *v, char *out, size_t size) {
    if (yyjson_is_str(v)) snprintf(out, size, "\"%.60s\"", yyjson_get_str(v));
    else if (yyjson_is_bool(v)) snprintf(out, size, "%s", yyjson_get_bool(v) ? "true" : "false");
    else if (yyjson_is_null(v)) snprintf(out, size, "null");
    else if (yyjson_is_num(v)) base_snprintf(out, size, "%g", yyjson_get_num(v));
    else if (yyjson_is_obj(v)) snprintf(out, size, yyjson_obj_size(v) ? "{...}" : "{}");
    else snprintf(out, size, yyjson_arr_size(v) ? "[...]" : "[]");
}

static bool is_harmless(const base_key *k, yyjson_val *v) {
    char text[80];
    if (!k->harmless || strcmp(k->harmless, "*") == 0) return true;
    show(v, text, sizeof text);
    for (const char *at = k->harmless; *at;) {
        size_t n = strcspn(at, "|");
        if (strlen(text) == n && strncmp(at, text, n) == 0) return true;
        at += n + (at[n] == '|');
    }
    return false;
}

/* ---------------------------------------------------------------- walking */

static void warn(check *c, const char *path, yyjson_val *v, const char *what) {
    char text[80];
    show(v, text, sizeof text);
    if (c->first && c->warned++ == 0) snprintf(c->first, c->first_size, "%s %s%s", path, text, what);
    if (c->first) return;
    if (c->warned++ < MOST_WARNINGS) base_log(c->runtime, NIB_LOG_WARN, "%s: %s %s is not applied%s", c->file, path, text, what);
}

static void walk(check *c, const char *path, yyjson_val *v);

static void visit(check *c, const char *path, const char *name, yyjson_val *parent, yyjson_val *v) {
    char full[MOST_PATH];
    snprintf(full, sizeof full, "%s%s%.100s", path, path[0] ? "." : "", name);
    const base_key *k = find(c, full, false);
    if (yyjson_is_obj(parent) && (k || find(c, full, true)) && yyjson_obj_get(parent, name) != v)
        warn(c, full, v, ": the key stands there twice");
    else if (k && is_harmless(k, v)) return;
    else if (yyjson_is_ctn(v) && find(c, full, true)) walk(c, full, v);
    else warn(c, full, v, "");
}

static void walk(check *c, const char *path, yyjson_val *v) {
    size_t i, n;
    yyjson_val *key, *item;
    char place[24];
    if (yyjson_is_obj(v)) {
        yyjson_obj_foreach(v, i, n, key, item) {
            if (c->warned > MOST_WARNINGS) return;
            visit(c, path, yyjson_get_str(key), v, item);
        }
    } else {
        yyjson_arr_foreach(v, i, n, item) {
            if (c->warned > MOST_WARNINGS) return;
            snprintf(place, sizeof place, "%zu", i);
            visit(c, path, place, v, item);
        }
    }
}

void base_keys_check(const nib_runtime *runtime, const char *file, const base_key *const *lists, yyjson_val *root) {
    check c = {.runtime = runtime, .file = file, .lists = lists};
    walk(&c, "", root);
    if (c.warned > MOST_WARNINGS) base_log(runtime, NIB_LOG_WARN, "%s: more keys are not applied", file);
}

bool base_keys_first_unknown(const base_key *const *lists, yyjson_val *root, char *out, size_t size) {
    check c = {.lists = lists, .first = out, .first_size = size};
    walk(&c, "", root);
    return c.warned > 0;
}

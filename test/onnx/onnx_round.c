/* SPDX-License-Identifier: Apache-2.0
 *
 * In: folders with models anywhere inside (ONNX's backend suite). Each is loaded, written and loaded again: both graphs must
 * print the same text, and be written as the same bytes. Models that nib does not load are left out.
 *
 *     onnx_round [--keep DIR] DIR...      --keep: what was written stays in DIR, for other readers to look at
 *
 * Exits 0 if all came back the same, 77 if there are no models.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "onnx/onnx.h"

static nib_runtime *runtime;
static const char *keep;
static int same, different, unloaded;
static const onnx_save_options with_types = {.external_over = -1, .types = true};

static char *text_of(const graph *g) {
    base_str s;
    base_str_init(&s, g->heap);
    graph_print(g, 1 << 20, &s);
    char *text = strdup(s.data ? s.data : ""), *producer = strstr(text, ",\n   producer_name:");
    char *ir = strstr(text, "ir_version: "); /* both may differ */
    base_str_free(&s);
    if (producer) memset(producer, ' ', strcspn(producer + 2, "\n") + 2);
    if (producer) memmove(producer, producer + strcspn(producer + 2, "\n") + 2, strlen(producer + strcspn(producer + 2, "\n") + 2) + 1);
    if (ir) memmove(ir, strchr(ir, ','), strlen(strchr(ir, ',')) + 1);
    return text;
}

static char *bytes_of(const char *path, long *size) {
    FILE *f = fopen(path, "rb");
    fseek(f, 0, SEEK_END);
    *size = ftell(f);
    rewind(f);
    char *bytes = malloc((size_t)*size + 1);
    if (fread(bytes, 1, (size_t)*size, f) != (size_t)*size) *size = -1;
    fclose(f);
    return bytes;
}

static const char *first_difference(const char *a, const char *b) {
    static char text[600];
    const char *x = a, *y = b;
    for (size_t i = 0; a[i] && a[i] == b[i]; i++)
        if (a[i] == '\n') x = a + i + 1, y = b + i + 1;
    snprintf(text, sizeof text, "%.*s became %.*s", (int)(strcspn(x, "\n") % 250), x, (int)(strcspn(y, "\n") % 250), y);
    return text;
}

static void round_trip(const char *path) {
    char out[1200], again[1300];
    nib_error err = {0};
    graph *g = NULL, *h = NULL;
    snprintf(out, sizeof out, "%s/%d.onnx", keep ? keep : "/tmp", keep ? same + different : (int)getpid());
    snprintf(again, sizeof again, "%s.again", out);
    if (onnx_load(runtime, path, &g, &err) != NIB_OK) {
        unloaded++;
        return;
    }
    const char *what = NULL;
    if (onnx_save(runtime, g, out, &with_types, &err) != NIB_OK) what = err.message;
    else if (onnx_load(runtime, out, &h, &err) != NIB_OK) what = err.message;
    else if (onnx_save(runtime, h, again, &with_types, &err) != NIB_OK) what = err.message;
    if (!what) {
        char *a = text_of(g), *b = text_of(h);
        long n, m;
        char *x = bytes_of(out, &n), *y = bytes_of(again, &m);
        if (strcmp(a, b) != 0) what = first_difference(a, b);
        else if (n != m || memcmp(x, y, (size_t)n) != 0) what = "other bytes";
        free(a), free(b), free(x), free(y);
    }
    if (what) printf("%s: %s\n", path, what), different++;
    else same++;
    unlink(again);
    if (!keep) unlink(out);
    graph_free(g);
    graph_free(h);
}

static void walk(const char *dir) {
    DIR *d = opendir(dir);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));) {
        char path[1024];
        struct stat st;
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        const char *dot = strrchr(e->d_name, '.');
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) walk(path);
        else if (dot && strcmp(dot, ".onnx") == 0) round_trip(path);
    }
    closedir(d);
}

int main(int argc, char **argv) {
    nib_runtime_options options = {.size = sizeof options, .threads = 1};
    nib_error err;
    int first = 1;
    if (argc > 2 && strcmp(argv[1], "--keep") == 0) keep = argv[2], first = 3;
    if (base_runtime_create(&options, &runtime, &err) != NIB_OK) return 1;
    for (int i = first; i < argc; i++) walk(argv[i]);
    base_runtime_release(runtime);
    if (same + different == 0) return 77;
    printf("%d models came back the same, %d did not; %d are not loaded\n", same, different, unloaded);
    return different ? 1 : 0;
}

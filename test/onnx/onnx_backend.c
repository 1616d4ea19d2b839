/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs cases of ONNX's backend suite through the public sessions: in: folders that tools/make_onnx_cases.py wrote (or trees of
 * them); out: what passed.
 *
 *     onnx_backend [--known FILE] [--list-failures] [--write-known FILE] [--filter TEXT] DIR...
 *     onnx_backend --operators DIR/operators.txt      lists the operators that nib does not know, with the versions
 *
 * A case runs in a process of its own, so that a crash or a case without end is that case's failure. It passes if each output
 * has the expected type and shape and, by the suite's own comparison, |got - want| <= atol + rtol |want|, NaN equal to NaN;
 * strings are equal. compare.txt beside the model may set rtol, atol, and `values any` (random numbers: type and shape only).
 *
 * --known names a file of cases that are known to fail, one `kind/name` a line, `#` begins a remark. Exits 0 if exactly the
 * known cases failed: the list may only shrink. 77: there are no cases (not generated).
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_file.h"
#include "onnx/onnx.h"
#include "op/op.h"

#define SECONDS 60 /* of one case */
#define REASON 420
#define MOST_FILES 4096 /* tensors of one case */

typedef struct rules {
    double rtol, atol;
    bool any;
} rules;

typedef struct verdict {
    enum { PASSED, FAILED, SKIPPED } what;
    bool any;
    char reason[REASON];
} verdict;

typedef struct names {
    char **items;
    size_t count, capacity;
} names;

static void add_name(names *n, const char *text) {
    if (n->count == n->capacity) {
        n->capacity = n->capacity ? n->capacity * 2 : 256;
        n->items = realloc(n->items, n->capacity * sizeof *n->items);
    }
    n->items[n->count++] = strdup(text);
}

static void free_names(names *n) {
    for (size_t i = 0; i < n->count; i++) free(n->items[i]);
    free(n->items);
}

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool has_name(const names *n, const char *text) {
    return n->count && bsearch(&text, n->items, n->count, sizeof *n->items, compare_names);
}

/* ---- comparing */

static bool same_value(const nib_tensor *got, const nib_tensor *want, const rules *r, char *reason) {
    nib_difference d;
    if (nib_tensor_compare(got, want, r->rtol, r->atol, &d, sizeof d) != NIB_OK)
        return snprintf(reason, REASON, "cannot be compared"), false;
    if (d.same || (r->any && d.wrong)) return true; /* `wrong` counts elements: type and shape were equal */
    return snprintf(reason, REASON, "%s", d.message), false;
}

/* ---- one case */

typedef struct run_case {
    const char *folder;
    rules r;
    nib_runtime *runtime;
    nib_tensor *read[MOST_FILES];
    int n_read;
    graph *g; /* the model's own inputs and outputs: kinds and order */
    nib_model *model;
    nib_error err;
} run_case;

static nib_status load_pb(run_case *c, const char *path, graph_kind kind, nib_tensor **out) {
    nib_dtype container = kind == GRAPH_KIND_SEQUENCE   ? NIB_DTYPE_SEQUENCE
                          : kind == GRAPH_KIND_OPTIONAL ? NIB_DTYPE_OPTIONAL
                                                        : NIB_DTYPE_UNDEFINED;
    if (kind == GRAPH_KIND_MAP) return base_error_set(&c->err, NIB_UNSUPPORTED, "maps are not supported");
    if (c->n_read == MOST_FILES) return base_error_set(&c->err, NIB_LIMIT, "more than %d files", MOST_FILES);
    nib_status status = nib_tensor_read(path, container, out, &c->err);
    if (status == NIB_OK) c->read[c->n_read++] = *out;
    return status;
}

static bool failed(verdict *v, const char *what, const char *name, const run_case *c) {
    snprintf(v->reason, REASON, "%s %.60s: %.250s%s%.80s", what, name, c->err.message, c->err.node[0] ? " at " : "", c->err.node);
    v->what = FAILED;
    return false;
}

static bool run_set(run_case *c, nib_session *s, const char *folder, verdict *v) {
    char path[1300], why[REASON];
    for (int i = 0; i < graph_required_inputs(c->g); i++) { /* the others hold what the case wants of them */
        nib_tensor *t;
        const graph_value *in = c->g->inputs[i];
        snprintf(path, sizeof path, "%s/input_%d.pb", folder, i);
        if (load_pb(c, path, in->type.kind, &t) != NIB_OK) return failed(v, "reading input", in->name, c);
        if (nib_session_set_input(s, in->name, t, &c->err) != NIB_OK) return failed(v, "input", in->name, c);
    }
    if (nib_session_run(s, &c->err) != NIB_OK) return failed(v, "run", "", c);
    for (int i = 0; i < c->g->n_outputs; i++) {
        nib_tensor *want, got;
        const graph_value *out = c->g->outputs[i];
        snprintf(path, sizeof path, "%s/output_%d.pb", folder, i);
        if (!base_path_is_file(path)) continue;
        if (load_pb(c, path, out->type.kind, &want) != NIB_OK) return failed(v, "reading output", out->name, c);
        if (nib_session_get_output(s, out->name, &got, &c->err) != NIB_OK) return failed(v, "output", out->name, c);
        if (same_value(&got, want, &c->r, why)) continue;
        snprintf(v->reason, REASON, "output %.60s %.330s", out->name, why);
        v->what = FAILED;
        return false;
    }
    return true;
}

static void read_rules(const char *folder, rules *r) {
    char path[1200], line[200], word[200];
    snprintf(path, sizeof path, "%s/compare.txt", folder);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        sscanf(line, "rtol %lf", &r->rtol);
        sscanf(line, "atol %lf", &r->atol);
        if (sscanf(line, "values %199s", word) == 1 && strcmp(word, "any") == 0) r->any = true;
    }
    if (f) fclose(f);
}

static void run_one(const char *folder, verdict *v) {
    char path[1200];
    run_case c = {.folder = folder, .r = {1e-3, 1e-7, false}};
    nib_runtime_options options;
    nib_session *s = NULL;
    int sets = 0;
    bool good = true;
    v->what = PASSED;
    read_rules(folder, &c.r);
    v->any = c.r.any;
    nib_runtime_defaults(&options, sizeof options);
    options.threads = 1;
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    nib_model_options how;
    nib_model_defaults(&how, sizeof how);
    if (nib_runtime_create(&options, &c.runtime, &c.err) != NIB_OK || onnx_load(c.runtime, path, &c.g, &c.err) != NIB_OK) {
        failed(v, "load", "", &c);
        goto done;
    }
    how.runtime = c.runtime;
    if (nib_model_open(path, &how, &c.model, &c.err) != NIB_OK || nib_session_create(c.model, &s, &c.err) != NIB_OK) {
        failed(v, "open", "", &c);
        goto done;
    }
    for (; good; sets++) {
        snprintf(path, sizeof path, "%s/test_data_set_%d", folder, sets);
        if (!base_path_is_dir(path)) break;
        good = run_set(&c, s, path, v);
    }
    if (good && sets == 0) v->what = SKIPPED, snprintf(v->reason, REASON, "there are no data sets");
done:
    nib_session_free(s);
    nib_model_free(c.model);
    graph_free(c.g);
    nib_runtime_free(c.runtime);
    for (int i = 0; i < c.n_read; i++) nib_tensor_free(c.read[i]);
}

static void run_guarded(const char *folder, verdict *v) {
    int ends[2], status = 0;
    memset(v, 0, sizeof *v);
    v->what = FAILED;
    fflush(NULL);
    if (pipe(ends) != 0) exit(2);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        alarm(SECONDS);
        run_one(folder, v);
        ssize_t wrote = write(ends[1], v, sizeof *v);
        exit(wrote == (ssize_t)sizeof *v ? 0 : 2); /* not _exit: a leak checker speaks at exit */
    }
    close(ends[1]);
    ssize_t got = child > 0 ? read(ends[0], v, sizeof *v) : -1;
    close(ends[0]);
    if (child > 0) waitpid(child, &status, 0);
    if (got == (ssize_t)sizeof *v && WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    v->what = FAILED;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) snprintf(v->reason, REASON, "took more than %d seconds", SECONDS);
    else if (WIFSIGNALED(status)) snprintf(v->reason, REASON, "crashed: %s", strsignal(WTERMSIG(status)));
    else snprintf(v->reason, REASON, "ended with status %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/* ---- all of them */

static void collect(const char *path, names *out) {
    char inner[1100];
    snprintf(inner, sizeof inner, "%s/model.onnx", path);
    if (base_path_is_file(inner)) {
        add_name(out, path);
        return;
    }
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        if (base_path_is_dir(inner)) collect(inner, out);
    }
    if (d) closedir(d);
}

/* "node/test_abs" of ".../node/test_abs" */
static const char *short_name(const char *folder) {
    const char *at = folder + strlen(folder);
    for (int slashes = 0; at > folder; at--)
        if (at[-1] == '/' && ++slashes == 2) break;
    return at;
}

static bool read_known(const char *path, names *known) {
    char line[400];
    FILE *f = fopen(path, "r");
    if (!f) return fprintf(stderr, "onnx_backend: cannot read %s\n", path), false;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, " \t\r\n#")] = 0;
        if (line[0]) add_name(known, line);
    }
    fclose(f);
    if (known->count) qsort(known->items, known->count, sizeof *known->items, compare_names);
    return true;
}

/* Of lines `domain name since`: those without a row, versions of one operator on one line. */
static int list_operators(const char *path) {
    char domain[100], name[100], last[201] = "", key[201];
    int since, have = 0, all = 0;
    FILE *f = fopen(path, "r");
    if (!f) return fprintf(stderr, "onnx_backend: cannot read %s\n", path), 2;
    while (fscanf(f, "%99s %99s %d", domain, name, &since) == 3) {
        all++;
        if (op_find(domain, name, since) || (strcmp(domain, "ai.onnx") == 0 && strcmp(name, "Constant") == 0)) {
            have++;
            continue;
        }
        snprintf(key, sizeof key, "%s.%s", domain, name);
        if (strcmp(key, last) == 0) printf(", %d", since);
        else printf("%s%s %d", last[0] ? "\n" : "", key, since);
        snprintf(last, sizeof last, "%s", key);
    }
    fclose(f);
    printf("%s%d of %d operators and versions have a row\n", last[0] ? "\n" : "", have, all);
    return 0;
}

int main(int argc, char **argv) {
    names cases = {0}, known = {0};
    const char *filter = NULL, *write_to = NULL;
    bool list = false, check = false;
    int count[3] = {0}, any = 0, news = 0, gone = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--operators") == 0 && i + 1 < argc) return list_operators(argv[i + 1]);
        if (strcmp(argv[i], "--list-failures") == 0) list = true;
        else if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc) filter = argv[++i];
        else if (strcmp(argv[i], "--write-known") == 0 && i + 1 < argc) write_to = argv[++i];
        else if (strcmp(argv[i], "--known") == 0 && i + 1 < argc) {
            check = true;
            if (!read_known(argv[++i], &known)) return 2;
        } else if (argv[i][0] == '-') {
            fprintf(stderr, "usage: onnx_backend [--known FILE] [--list-failures] [--write-known FILE] [--filter TEXT] DIR...\n");
            return 2;
        } else {
            collect(argv[i], &cases);
        }
    }
    if (cases.count == 0) {
        puts("no cases: make test-onnx generates them");
        free_names(&known);
        return 77;
    }
    qsort(cases.items, cases.count, sizeof *cases.items, compare_names);
    FILE *out = write_to ? fopen(write_to, "w") : NULL;
    for (size_t i = 0; i < cases.count; i++) {
        const char *name = short_name(cases.items[i]);
        verdict v;
        if (filter && !strstr(name, filter)) continue;
        run_guarded(cases.items[i], &v);
        count[v.what]++;
        any += v.what == PASSED && v.any;
        bool expected = has_name(&known, name);
        if (v.what == FAILED && (list || (check && !expected))) printf("FAIL %s: %s\n", name, v.reason);
        if (v.what == PASSED && expected) printf("PASS %s, which is listed as failing: take it off the list\n", name);
        news += v.what == FAILED && !expected;
        gone += v.what == PASSED && expected;
        if (out && v.what == FAILED) fprintf(out, "%s # %s\n", name, v.reason);
    }
    if (out) fclose(out);
    printf("%d passed, %d failed, %d skipped", count[PASSED], count[FAILED], count[SKIPPED]);
    if (any) printf(" (%d of those that passed draw random numbers: type and shape were compared)", any);
    if (check) printf("; %d failures are not on the list, %d of the list passed", news, gone);
    puts("");
    free_names(&cases);
    free_names(&known);
    return news || gone ? 1 : 0;
}

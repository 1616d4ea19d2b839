/* SPDX-License-Identifier: Apache-2.0
 *
 * See cli_options.h. In: argv and a verb's tables. Out: cli_args filled, or what is wrong with the command line, or the verb's help.
 */
#include "cli.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELP_COLUMN 23 /* where explanations begin */

/* ---- the tables */

/* Row i of all tables of a verb; NULL behind the last. */
static const cli_option *row_of(const cli_verb *verb, size_t i) {
    for (const cli_option *const *table = verb->options; *table; table++)
        for (const cli_option *o = *table; o->name; o++)
            if (i-- == 0) return o;
    return NULL;
}

static const cli_option *find(const cli_verb *verb, const char *name, size_t length, char letter) {
    const cli_option *o;
    for (size_t i = 0; (o = row_of(verb, i)) != NULL; i++)
        if (letter ? o->letter == letter : strlen(o->name) == length && memcmp(o->name, name, length) == 0) return o;
    return NULL;
}

/* ---- what was meant */

/* Letters to insert, leave out or replace, or neighbours to swap; 3 if it is more than two. */
static int distance(const char *a, const char *b) {
    enum { MOST = 40 };
    int d[MOST + 1][MOST + 1];
    int n = (int)strlen(a), k = (int)strlen(b);
    if (n > MOST || k > MOST || n - k > 2 || k - n > 2) return 3;
    for (int i = 0; i <= n; i++)
        for (int j = 0; j <= k; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            int least = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < least) least = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < least) least = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < least) least = d[i - 2][j - 2] + 1;
            d[i][j] = least;
        }
    return d[n][k] < 3 ? d[n][k] : 3;
}

const char *cli_nearest(const char *text, const char *const *names, size_t count) {
    const char *best = NULL, *begins = NULL;
    size_t n_begins = 0, n = strlen(text);
    int least = 3;
    for (size_t i = 0; i < count; i++) {
        int d = distance(text, names[i]);
        if (d < least && (size_t)d < n) least = d, best = names[i]; /* of a text that short, everything is near */
        if (n > 1 && strncmp(text, names[i], n) == 0) begins = names[i], n_begins++;
    }
    return best ? best : n_begins == 1 ? begins : NULL;
}

/* An option that the verb does not have: the one that was meant, or the verbs that have it. */
static int unknown(const cli_verb *verb, const char *argument, const char *name, size_t length) {
    char text[64], more[400] = "";
    const char *names[CLI_MOST_OPTIONS], *near;
    size_t n = 0, at = 0;
    const cli_option *o;
    snprintf(text, sizeof text, "%.*s", (int)(length < 60 ? length : 60), name);
    for (size_t i = 0; (o = row_of(verb, i)) != NULL && n < CLI_MOST_OPTIONS; i++) names[n++] = o->name;
    for (const cli_verb *const *v = cli_verbs; *v && length > 1; v++)
        if (find(*v, name, length, 0))
            at += (size_t)snprintf(more + at, sizeof more - at, "%s nib %s", at ? "," : "; it is an option of", (*v)->name);
    if (!at && length > 1 && (near = cli_nearest(text, names, n)) != NULL) snprintf(more, sizeof more, "; did you mean --%s?", near);
    else if (!at && verb->plain < 0) snprintf(more, sizeof more, "; a text that begins with - goes behind --");
    return cli_usage(verb, "unrecognized option %.80s%s%s", argument, strlen(argument) > 80 ? ".." : "", more);
}

/* ---- values */

static bool whole_number(const char *text, double least, double most, long long *out) {
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return *text && *end == 0 && errno == 0 && (double)*out >= least && (double)*out <= most;
}

static bool real_number(const char *text, double least, double most, double *out) {
    char *end;
    *out = strtod(text, &end);
    return *text && *end == 0 && *out >= least && *out <= most;
}

/* 500M, 2G, 123456 */
static bool size_of(const char *text, double least, size_t *out) {
    static const char units[] = "KMGT";
    char *end;
    double n = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end & ~32) : NULL;
    for (long i = 0; unit && i <= unit - units; i++) n *= 1024;
    if (end == text || (*end && (!unit || end[1])) || !(n >= least) || n > 1e18) return false;
    *out = (size_t)n;
    return true;
}

static bool append(cli_list *list, const char *item) {
    if (list->count == list->capacity) {
        size_t room = list->capacity * 2 + 8;
        const char **more = realloc(list->items, room * sizeof *more);
        if (!more) return false;
        list->items = more;
        list->capacity = room;
    }
    list->items[list->count++] = item;
    return true;
}

const char *cli_list_twice(const cli_list *list) {
    for (size_t i = 1; i < list->count; i++)
        for (size_t k = 0; k < i; k++) {
            size_t n = strcspn(list->items[i], "=") + 1;
            if (strncmp(list->items[i], list->items[k], n) == 0) return list->items[i];
        }
    return NULL;
}

/* "a, b or c" */
static void say_names(const cli_names *names, char *out, size_t room) {
    size_t at = 0;
    for (const int *n = names->accepted; *n >= 0 && at < room; n++)
        at += (size_t)snprintf(out + at, room - at, "%s%s",
                               n == names->accepted ? ""
                               : n[1] >= 0          ? ", "
                                                    : " or ",
                               names->texts[*n]);
}

/* What a number or a name may be, for a message. */
static void say_wanted(const cli_option *o, char *out, size_t room) {
    if (o->kind == CLI_SIZE) snprintf(out, room, "a size such as 500M or 2G");
    else if (o->kind == CLI_LIST) snprintf(out, room, "%s", o->value);
    else if (o->kind == CLI_NAME) say_names(o->names, out, room);
    else if (o->kind != CLI_REAL && o->most > 1e15) snprintf(out, room, "a whole number from %.0f on", o->least);
    else if (o->kind != CLI_REAL) snprintf(out, room, "a whole number from %.0f to %.0f", o->least, o->most);
    else if (o->most > 1e15) snprintf(out, room, "a number from %.9g on", o->least);
    else snprintf(out, room, "a number from %.9g to %.9g", o->least, o->most);
}

static int wrong(const cli_args *a, const cli_option *o, const char *value) {
    char want[200];
    say_wanted(o, want, sizeof want);
    return cli_usage(a->verb, "--%s %s: it takes %s", o->name, value, want);
}

static int take_name(cli_args *a, const cli_option *o, const char *value, int *to) {
    for (const int *n = o->names->accepted; *n >= 0; n++)
        if (strcmp(o->names->texts[*n], value) == 0) return *to = *n, 0;
    return wrong(a, o, value);
}

static int take_value(cli_args *a, const cli_option *o, const char *value) {
    void *to = (char *)a + o->at;
    long long n;
    switch (o->kind) {
    case CLI_FILE:
        if (strcmp(value, "-") == 0)
            return cli_usage(a->verb, "--%s -: it is not written to standard output; name a file (./- if it is to be called so)", o->name);
        *(const char **)to = value;
        return 0;
    case CLI_TEXT: *(const char **)to = value; return 0;
    case CLI_FLAG: *(int *)to = (int)o->least; return 0;
    case CLI_INT:
        if (!whole_number(value, o->least, o->most, &n)) return wrong(a, o, value);
        *(int *)to = (int)n;
        return 0;
    case CLI_WHOLE:
        if (!whole_number(value, o->least, o->most, &n)) return wrong(a, o, value);
        *(int64_t *)to = n;
        return 0;
    case CLI_REAL: return real_number(value, o->least, o->most, to) ? 0 : wrong(a, o, value);
    case CLI_SIZE: return size_of(value, o->least, to) ? 0 : wrong(a, o, value);
    case CLI_NAME: return take_name(a, o, value, to);
    default:
        if (strchr(o->value, '=') && (!strchr(value, '=') || !strchr(value, '=')[1])) return wrong(a, o, value);
        return append(to, value) ? 0 : cli_no_memory();
    }
}

/* An option that is given twice would have one of its values silently dropped. */
static int check_once(const cli_args *a, const cli_option *o) {
    for (size_t i = 0; i < a->n_given && o->kind != CLI_LIST; i++) {
        const cli_option *earlier = a->given[i].option;
        if (earlier == o) return cli_usage(a->verb, "--%s was given twice; it takes one value", o->name);
        if (earlier->at == o->at) return cli_usage(a->verb, "give --%s or --%s, not both", earlier->name, o->name);
    }
    return a->n_given < CLI_MOST_OPTIONS ? 0 : cli_usage(a->verb, "--%s: at most %d options", o->name, CLI_MOST_OPTIONS);
}

/* argv[*at] is an option; *at moves on over its value. */
static int take_option(cli_args *a, int argc, char **argv, int *at) {
    const cli_verb *verb = a->verb;
    const char *argument = argv[*at], *value = NULL, *name = argument + 2;
    bool is_long = argument[1] == '-';
    size_t length = strcspn(name, "=");
    const cli_option *o = is_long ? find(verb, name, length, 0) : find(verb, NULL, 0, argument[1]);
    if (!o) return unknown(verb, argument, is_long ? name : argument + 1, is_long ? length : strlen(argument + 1));
    if (is_long && name[length] == '=') value = name + length + 1;
    if (!is_long && argument[2]) value = argument + 2;
    if (o->kind == CLI_FLAG && value) return cli_usage(verb, "%s: --%s takes no value", argument, o->name);
    if (o->kind != CLI_FLAG && !value) {
        if (*at + 1 == argc) return cli_usage(verb, "--%s needs a value: %s", o->name, o->value);
        value = argv[++*at];
    }
    int code = check_once(a, o);
    if (code) return code;
    a->given[a->n_given++] = (cli_given){o, value};
    return take_value(a, o, value);
}

/* ---- limits, and which plain argument is the model */

static int take_limits(cli_args *a) {
    nib_limits *l = &a->m.limits;
    const struct {
        const char *name;
        int *number;
        size_t *bytes;
    } rows[] = {
        {"graph-depth", &l->graph_depth, NULL}, {"wire-nesting", &l->wire_nesting, NULL},
        {"json-depth", &l->json_depth, NULL},   {"files", &l->files, NULL},
        {"fold-bytes", NULL, &l->fold_bytes},   {"expand-bytes", NULL, &l->expand_bytes},
    };
    enum { ROWS = sizeof rows / sizeof *rows };
    const char *names[ROWS];
    for (size_t r = 0; r < ROWS; r++) names[r] = rows[r].name;
    for (size_t i = 0; i < a->limits.count; i++) {
        const char *text = a->limits.items[i], *equals = strchr(text, '=');
        char name[24];
        long long n = 0;
        size_t r = 0;
        snprintf(name, sizeof name, "%.*s", (int)(equals - text < 23 ? equals - text : 23), text);
        while (r < ROWS && strcmp(name, names[r]) != 0) r++;
        if (r == ROWS) {
            const char *near = cli_nearest(name, names, ROWS);
            return cli_usage(a->verb, "--limit %s: it takes NAME=N%s%s", text, near ? "; did you mean " : "", near ? near : "");
        }
        bool ok = rows[r].bytes ? size_of(equals + 1, 1, rows[r].bytes) : whole_number(equals + 1, 1, 1 << 30, &n);
        if (!ok) return cli_usage(a->verb, "--limit %s: it takes NAME=N, a number from 1 on", text);
        if (rows[r].number) *rows[r].number = (int)n;
    }
    const char *twice = cli_list_twice(&a->limits);
    return twice ? cli_usage(a->verb, "--limit %s: this limit was given twice", twice) : 0;
}

/* Takes the first plain argument away. */
static const char *shift(cli_list *list) {
    if (!list->count) return NULL;
    const char *first = list->items[0];
    memmove(list->items, list->items + 1, --list->count * sizeof *list->items);
    return first;
}

/* Whether `list`, words with '|' between, has it; NULL: not. */
static bool is_one_of(const char *word, const char *list) {
    for (const size_t n = word ? strlen(word) : 0; n && list;) {
        const char *bar = strchr(list, '|');
        if (n == (bar ? (size_t)(bar - list) : strlen(list)) && memcmp(word, list, n) == 0) return true;
        list = bar ? bar + 1 : NULL;
    }
    return false;
}

static int place_plain(cli_args *a) {
    const cli_verb *verb = a->verb;
    if (verb->word) {
        const char *word = shift(&a->plain);
        if (!is_one_of(word, verb->word)) return cli_usage(verb, "say what to measure: nib %s %s", verb->name, verb->word);
        a->word = word;
    }
    int code = verb->recipes ? cli_recipe_apply(a) : 0;
    if (code) return code;
    if (verb->model == CLI_MODEL_MAYBE) {
        if (a->plain.count > (size_t)verb->plain)
            return cli_usage(verb, "%s: one argument too many", a->plain.items[verb->plain]);
        return a->m.path ? cli_model_there(a, a->m.path) : 0;
    }
    if (verb->model == CLI_MODEL_NONE)
        return a->plain.count ? cli_usage(verb, "%s: it takes no argument", a->plain.items[0]) : 0;
    const bool named = a->m.path != NULL;
    if (!named) a->m.path = shift(&a->plain);
    if (!a->m.path && verb->model == CLI_MODEL_NAMED) return cli_usage(verb, "no model was named: give its ORG/NAME");
    if (!a->m.path && verb->recipes) cli_recipe_hint(a);
    if (!a->m.path) return cli_usage(verb, "no model was named: give --model PATH, or PATH as the first argument");
    if (strcmp(a->m.path, "-") == 0) return cli_usage(verb, "a model is not read from standard input: name a file or folder");
    if (verb->plain >= 0 && a->plain.count > (size_t)verb->plain)
        return cli_usage(verb, "%s: one argument too many; it takes one model%s, and that is %s%s", a->plain.items[verb->plain],
                         verb->plain ? " and a second path" : "", named ? "--model " : "", a->m.path);
    code = verb->model == CLI_MODEL_NAMED ? 0 : cli_model_there(a, a->m.path);
    if (code && !named && verb->plain < 0) fprintf(stderr, "nib: without --model, the first argument names the model\n");
    if (code && !named && verb->recipes) cli_recipe_hint(a);
    return code;
}

int cli_parse(const cli_verb *verb, int argc, char **argv, cli_args *a) {
    *a = (cli_args){.verb = verb,
                    .check = 1,
                    .graph = -1,
                    .level = -1,
                    .cut_front = -1,
                    .stride = -1,
                    .pool_factor = 1,
                    .aggregation = NIB_AGGREGATION_SIMPLE,
                    .rounds = 5,
                    .callers = 1,
                    .seconds = 60,
                    .least_cosine = 0.995,
                    .rtol = 1e-3,
                    .atol = 1e-5,
                    .external_over = SIZE_MAX};
    nib_model_defaults(&a->m.options, sizeof a->m.options);
    a->m.options.stop = cli_stop;
    nib_runtime_defaults(&a->m.runtime, sizeof a->m.runtime);
    nib_limits_defaults(&a->m.limits, sizeof a->m.limits);
    a->m.runtime.memory_limit = NIB_MEMORY_AUTO;
    a->m.runtime.limits = &a->m.limits; /* copies of the model's options share it: `a` outlives them */
    bool options = true;
    for (int i = 1; i < argc; i++) {
        int code = 0;
        if (options && strcmp(argv[i], "--") == 0) options = false;
        else if (options && argv[i][0] == '-' && argv[i][1]) code = take_option(a, argc, argv, &i);
        else if (!append(&a->plain, argv[i])) code = cli_no_memory();
        if (code) return code;
        if (a->help) return cli_help(verb), -1;
    }
    cli_quiet = a->quiet;
    int code = take_limits(a);
    return code ? code : place_plain(a);
}

void cli_args_free(cli_args *a) {
    cli_list *const lists[] = {&a->targets, &a->labels, &a->plain, &a->inputs, &a->shapes, &a->disabled, &a->keep, &a->limits, &a->includes,
                               &a->ignore, &a->queries};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) free(lists[i]->items);
}

/* ---- help: "usage:", options as "  --name VALUE  text", "examples:" */

static void print_option(const cli_option *o) {
    char left[80], help[600], names[200] = "";
    const char *at = o->kind == CLI_NAME ? strstr(o->help, "%s") : NULL;
    if (at) say_names(o->names, names, sizeof names);
    snprintf(help, sizeof help, "%.*s%s%s", (int)(at ? at - o->help : (ptrdiff_t)strlen(o->help)), o->help, names,
             at ? at + 2 : "");
    int n = snprintf(left, sizeof left, "  ");
    if (o->letter) n += snprintf(left + n, sizeof left - (size_t)n, "-%c, ", o->letter);
    n += snprintf(left + n, sizeof left - (size_t)n, "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
    if (n > HELP_COLUMN - 2) printf("%s\n%*s", left, HELP_COLUMN, "");
    else printf("%-*s", HELP_COLUMN, left);
    for (const char *p = help; *p; p++) {
        putchar(*p);
        if (*p == '\n') printf("%*s", HELP_COLUMN, "");
    }
    putchar('\n');
}

void cli_help(const cli_verb *verb) {
    printf("usage: nib %s %s\n\n%s\n", verb->name, verb->usage, verb->about);
    for (const cli_option *const *table = verb->options; *table; table++)
        for (const cli_option *o = *table; o->name; o++)
            if (o->help) print_option(o);
    printf("\nexamples:\n%s", verb->examples);
    if (verb->after) printf("\n%s", verb->after);
}

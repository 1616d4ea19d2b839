/* SPDX-License-Identifier: Apache-2.0
 *
 * nib models. In: the cache. Out: what is in it, what each model is for, and whether nib opens it.
 */
#include "cli.h"
#include "cli_json.h"
#include <stdio.h>
#include <string.h>

static const cli_option models_options[] = {
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "one JSON object instead of lines", 1, 0, NULL},
    {0},
};

static void print_json(const nib_hub *hub) {
    cli_json j = {0};
    nib_hub_model m;
    cli_json_open(&j, NULL, '{');
    cli_json_open(&j, "models", '[');
    for (size_t i = 0; nib_hub_model_get(hub, i, &m, sizeof m) == NIB_OK; i++) {
        cli_json_open(&j, NULL, '{');
        cli_json_text(&j, "name", m.name);
        cli_json_text(&j, "commit", m.commit);
        cli_json_text(&j, "refs", m.refs);
        cli_json_text(&j, "path", m.path);
        cli_json_whole(&j, "bytes", (long long)m.bytes);
        cli_json_whole(&j, "partial", m.partial);
        cli_json_text(&j, "kind", m.kind);
        cli_json_whole(&j, "runs", m.runs);
        cli_json_text(&j, "why", m.why);
        cli_json_text(&j, "task", m.runs ? nib_task_name(m.task) : "");
        cli_json_whole(&j, "dim", m.dim);
        cli_json_text(&j, "file", m.file);
        cli_json_close(&j);
    }
    cli_json_close(&j);
    cli_json_close(&j);
}

/* What it is called by: main needs no word. */
static void name_text(const nib_hub_model *m, char out[200]) {
    const bool is_main = strcmp(m->refs, "main") == 0 || strncmp(m->refs, "main,", 5) == 0;
    if (is_main) snprintf(out, 200, "%s", m->name);
    else
        snprintf(out, 200, "%s@%.*s", m->name, m->refs[0] ? (int)strcspn(m->refs, ",") : 12,
                 m->refs[0] ? m->refs : m->commit);
}

static void print_lines(const nib_hub *hub) {
    nib_hub_model m;
    char name[200], dim[24];
    int widest = 5;
    for (size_t i = 0; nib_hub_model_get(hub, i, &m, sizeof m) == NIB_OK; i++) {
        name_text(&m, name);
        if ((int)strlen(name) > widest) widest = (int)strlen(name);
    }
    printf("%-*s  %9s  %-8s  %5s  %s\n", widest, "model", "MB", "for", "dim", "nib opens");
    for (size_t i = 0; nib_hub_model_get(hub, i, &m, sizeof m) == NIB_OK; i++) {
        name_text(&m, name);
        snprintf(dim, sizeof dim, "%lld", (long long)m.dim);
        printf("%-*s  %9.1f  %-8s  %5s  %s%.100s%s\n", widest, name, 1e-6 * (double)m.bytes,
               m.runs ? nib_task_name(m.task) : "-", m.dim ? dim : "-", m.runs ? m.file : "no: ", m.runs ? "" : m.why,
               m.partial ? " (a pull of it did not end)" : "");
    }
}

static int run_models(cli_args *a) {
    nib_error error;
    nib_hub *hub;
    int code;
    cli_quiet = true; /* what each model's files warn of is said when it is opened */
    nib_runtime *runtime = cli_runtime(&a->m, &code);
    if (code) return code;
    if (nib_hub_open(runtime, &hub, &error) != NIB_OK) return cli_fail(&error);
    if (a->json) print_json(hub);
    else if (nib_hub_count(hub)) print_lines(hub);
    else if (!a->quiet) fputs("nib: the cache holds no model; nib pull ORG/NAME fetches one\n", stderr);
    nib_hub_free(hub);
    return 0;
}

static const cli_option *const options[] = {models_options, cli_common_options, NULL};

const cli_verb cli_models = {
    .name = "models",
    .line = "what is in the cache",
    .usage = "[options]",
    .about = "Lists the models in the cache of Hugging Face's tools: what each is for, how many numbers a vector has "
             "(of a classifier:\n"
             "labels), and which of its files nib opens, or why it opens none.\n",
    .options = options,
    .examples = "  nib models\n"
                "  nib models --json\n"
                "  HF_HUB_CACHE=/mnt/models nib models\n",
    .after = "The JSON object is {\"models\": [{\"name\": .., \"commit\": .., \"refs\": .., \"path\": .., \"bytes\": "
             "n, \"partial\": 0|1,\n"
             "\"kind\": .., \"runs\": 0|1, \"why\": .., \"task\": .., \"dim\": n, \"file\": ..}, ..]}.\n",
    .model = CLI_MODEL_NONE,
    .run = run_models,
};

/* SPDX-License-Identifier: Apache-2.0
 *
 * --profile: a model with the settings of a purpose (nib_recipe). In: its name. Out: the same command line as if all of
 * that had been given; what was given stays.
 */
#include "cli.h"
#include <stdio.h>
#include <string.h>

const cli_option cli_recipe_option[] = {
    {"profile", 0, CLI_TEXT, CLI_AT(profile), "NAME",
     "a model with its settings: efficient, high-quality, ultra-efficient, bge-base, bge-large, e5-base,\n"
     "multilingual-e5-base, or auto, by --dimensions and this machine; what else is given counts more",
     0, 0, NULL},
    {0},
};

static bool was_given(const cli_args *a, const char *name) {
    for (size_t i = 0; i < a->n_given; i++)
        if (strcmp(a->given[i].option->name, name) == 0) return true;
    return false;
}

static uint64_t memory_of(const cli_args *a) {
    return a->m.runtime.memory_limit == NIB_MEMORY_AUTO ? 0 : (uint64_t)a->m.runtime.memory_limit;
}

int cli_recipe_apply(cli_args *a) {
    nib_recipe r;
    nib_error error;
    if (!a->profile) return 0;
    if (nib_recipe_find(a->profile, a->m.path ? 0 : a->dimensions, memory_of(a), &r, sizeof r, &error) != NIB_OK)
        return cli_usage(a->verb, "--profile: %s", error.message);
    if (!a->m.path) a->m.path = r.model;
    if (!was_given(a, "precision")) a->m.options.precision = r.precision;
    if (!was_given(a, "type")) a->type = (int)r.type;
    if (!a->dimensions) a->dimensions = r.dimensions;
    const bool own = a->prompt || a->prompt_name || a->no_prompt;
    const bool query = a->prompt_name && strcmp(a->prompt_name, "query") == 0;
    const bool document = a->prompt_name && strcmp(a->prompt_name, "document") == 0;
    a->document_prompt = r.document_prompt;
    if (a->verb == &cli_search) {
        if (!a->no_prompt) a->prompt = r.query_prompt;
    } else if ((query || document || !own) && (*r.query_prompt || *r.document_prompt)) {
        a->prompt = query ? r.query_prompt : r.document_prompt;
        a->prompt_name = NULL;
    }
    return 0;
}

void cli_recipe_hint(const cli_args *a) {
    nib_recipe r;
    nib_error error;
    if (nib_recipe_find("auto", a->dimensions, memory_of(a), &r, sizeof r, &error) != NIB_OK) return;
    fprintf(stderr,
            "nib: --profile auto would take %s here: %lld numbers, %s. Once and for all:\n"
            "nib:     nib pull %s\n",
            r.model, (long long)(r.dimensions ? r.dimensions : r.width), nib_precision_name(r.precision), r.model);
}

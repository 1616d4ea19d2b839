/* SPDX-License-Identifier: Apache-2.0
 *
 * nib profile. In: a model, and lines of text or a built-in sample. Out: what every step of the plan takes, beside what it would take at
 * the machine's peak, and how the time divides by what steps are for.
 */
#include "cli_json.h"
#include "cli_steps.h"
#include "cli_texts.h"
#include <stdio.h>
#include <stdlib.h>

static const cli_option profile_options[] = {
    {"input", 'i', CLI_TEXT, CLI_AT(input), "FILE|-", "one text a line; - is standard input (default: 64 built-in ones)", 0, 0, NULL},
    {"repeat", 0, CLI_INT, CLI_AT(repeat), "N", "passes over the texts, after one that does not count (default 3)", 1, 10000, NULL},
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "one JSON object instead of tables", 1, 0, NULL},
    {0},
};

typedef struct profile_run {
    cli_model m;
    nib_model *model;
    nib_profile *profile;
    nib_machine machine;
    cli_texts texts;
    int repeat;
    bool json;
    double seconds;
} profile_run;

static int measure(profile_run *r) {
    nib_error error;
    nib_embed_options o;
    int64_t dim = nib_model_dim(r->model);
    float *out = malloc(r->texts.n * (size_t)(dim > 0 ? dim : 1) * sizeof *out);
    if (!out) return cli_no_memory();
    nib_embed_defaults(&o, sizeof o);
    int code = 0;
    for (int pass = 0; pass <= r->repeat && code == 0; pass++) {
        double begun = cli_now();
        o.profile = pass ? r->profile : NULL;
        if (nib_embed(r->model, (const char *const *)r->texts.texts, r->texts.n, &o, out, &error) != NIB_OK) code = cli_fail(&error);
        if (pass) r->seconds += cli_now() - begun;
    }
    free(out);
    return code;
}

static void print(const profile_run *r) {
    cli_split split;
    double thread_ns = 1e9 * r->seconds * r->machine.threads;
    cli_split_of(r->profile, &r->machine, &split);
    if (r->json) {
        printf("{\"model\": ");
        cli_json_string(r->m.path);
        printf(", \"precision_asked\": \"%s\", \"texts\": %zu, \"tokens\": %lld, \"repeat\": %d, \"wall_ms\": %.6f,\n "
               "\"machine\": ",
               nib_precision_name(r->m.options.precision), r->texts.n, (long long)r->texts.tokens, r->repeat,
               1e3 * r->seconds / r->repeat);
        cli_machine_json(&r->machine);
        printf(",\n ");
        cli_split_json(&split, thread_ns, r->repeat);
        printf(",\n ");
        cli_steps_json(r->profile, &r->machine, r->repeat);
        printf("}\n");
        return;
    }
    printf(
        "texts       %zu of %lld tokens, the longest %lld; precision asked for: %s; mean of %d passes, %.3f ms each\n",
        r->texts.n, (long long)r->texts.tokens, (long long)r->texts.longest, nib_precision_name(r->m.options.precision),
        r->repeat, 1e3 * r->seconds / r->repeat);
    cli_machine_print(&r->machine);
    printf("\n");
    cli_steps_print(r->profile, &r->machine, r->repeat);
    printf("\n");
    cli_split_print(&split, thread_ns, r->repeat);
}

static int run_all(profile_run *r, const char *input) {
    nib_error error;
    int code = input ? cli_texts_read(&r->texts, input) : cli_texts_sample(&r->texts);
    if (code) return code;
    if ((code = cli_model_open(&r->m, &r->model)) != 0) return code;
    if ((code = cli_texts_tokenize(&r->texts, r->model)) != 0) return code;
    if (nib_profile_create(r->model, &r->profile, &error) != NIB_OK) return cli_fail(&error);
    if (nib_machine_measure(cli_runtime(&r->m, &code), &r->machine, sizeof r->machine, &error) != NIB_OK)
        return cli_fail(&error);
    if ((code = measure(r)) != 0) return code;
    print(r);
    return 0;
}

static int run_profile(cli_args *a) {
    profile_run r = {.m = a->m, .repeat = a->repeat ? a->repeat : 3, .json = a->json};
    r.m.options.task = NIB_TASK_EMBED;
    int code = run_all(&r, a->input);
    nib_profile_free(r.profile);
    nib_model_free(r.model);
    cli_texts_free(&r.texts);
    return code;
}

static const cli_option *const options[] = {profile_options,
                                            cli_level_option,
                                            cli_pack_option,
                                            cli_model_option,
                                            cli_length_options,
                                            cli_engine_options,
                                            cli_vector_options,
                                            cli_group_option,
                                            cli_thread_option,
                                            cli_safety_options,
                                            NULL};

const cli_verb cli_profile = {
    .name = "profile",
    .line = "what every step takes, beside the machine's peak",
    .usage = "MODEL [options]",
    .about =
        "Embeds texts and prints what every step takes: calls, milliseconds of thread time for all texts once, its share of the time in\n"
        "steps, GFLOP/s, the share of the machine's peak (measured first) and of the lower bound: the least time that its operations and "
        "its\n"
        "bytes allow. Then the same by what steps are for, and the time outside steps.\n",
    .options = options,
    .examples = "  nib profile models/all-MiniLM-L6-v2 --precision q8 --threads 1\n"
                "  nib profile model.onnx --input texts.txt --json\n",
    .run = run_profile,
};

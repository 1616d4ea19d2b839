/* SPDX-License-Identifier: Apache-2.0
 *
 * nib compile. In: a model and how it is to run. Out: one file that opens at once. Ctrl-C leaves nothing behind.
 */
#include "cli.h"

static const cli_option compile_options[] = {
    {"output", 'o', CLI_FILE, CLI_AT(output), "FILE", "where to write it", 0, 0, NULL},
    {"exact", 0, CLI_FLAG, CLI_AT(exact), NULL, "named tensors, too (nib run); without it a model that embeds is compiled for texts alone",
     1, 0, NULL},
    {0},
};

static int run_compile(cli_args *a) {
    nib_compile_options o;
    nib_error error = {.offset = -1};
    int code;
    if (!a->output) return cli_usage(a->verb, "-o is missing: where to write it");
    cli_catch(false);
    nib_compile_defaults(&o, sizeof o);
    a->m.options.runtime = cli_runtime(&a->m, &code);
    if (code) return code;
    o.model = &a->m.options;
    o.exact = a->exact;
    o.stop = cli_stop;
    nib_status status = nib_compile_file(a->m.path, a->output, &o, &error);
    return status == NIB_OK ? 0 : cli_fail(&error);
}

static const cli_option *const options[] = {compile_options,
                                            cli_model_option,
                                            cli_task_option,
                                            cli_length_options,
                                            cli_engine_options,
                                            cli_vector_options,
                                            cli_thread_option,
                                            cli_level_option,
                                            cli_pack_option,
                                            cli_safety_options,
                                            NULL};

const cli_verb cli_compile = {
    .name = "compile",
    .line = "write a model as one file that opens at once",
    .usage = "MODEL -o MODEL.nib [options]",
    .about = "Writes one file that opens at once on machines like this one: the optimized graph, weights as the "
             "kernels here read them, "
             "tokenizer\n"
             "and settings. Every verb that runs a model takes it, and gives the same bits as from MODEL. What the "
             "options decide is decided "
             "here:\n"
             "a compiled model is opened for its own task, precision, pooling and output. A processor without kernels "
             "for its weights refuses it.\n",
    .options = options,
    .examples = "  nib compile models/all-MiniLM-L6-v2 -o minilm.nib --precision q8\n"
                "  nib embed --model minilm.nib 'a short text'\n"
                "  nib compile cross-encoder -o relevance.nib --task classify\n"
                "  nib inspect minilm.nib --verify\n"
                "  NIB_CPU=avx2 nib compile model.onnx -o anywhere-x86.nib\n",
    .run = run_compile,
};

/* SPDX-License-Identifier: Apache-2.0
 *
 * nib export. In: a Hugging Face folder. Out: a folder with model.onnx, as Optimum lays it out. Ctrl-C leaves nothing half-written.
 */
#include "cli.h"

static const nib_dtype types[] = {NIB_DTYPE_UNDEFINED, NIB_DTYPE_F32, NIB_DTYPE_F16, NIB_DTYPE_BF16};
static const cli_names type_names = {(const char *const[]){"", "f32", "fp16", "bf16"}, (const int[]){1, 2, 3, -1}};

static const cli_option export_options[] = {
    {"output", 'o', CLI_FILE, CLI_AT(output), "DIR", "the folder to write; it is made if need be", 0, 0, NULL},
    {"opset", 0, CLI_INT, CLI_AT(opset), "N", "of ai.onnx in the written file (default 17)", 15, 28, NULL},
    {"precision", 0, CLI_NAME, CLI_AT(dtype), "P",
     "of the file's weight matrices: %s (default: the folder's own). Halves stand behind a Cast, and sums stay f32", 0, 0, &type_names},
    {"with-pooling", 0, CLI_FLAG, CLI_AT(with_pooling), NULL,
     "outputs token_embeddings and sentence_embedding: what modules.json lists is in the graph, too", 1, 0, NULL},
    {"external-over", 0, CLI_SIZE, CLI_AT(external_over), "SIZE",
     "weights go to model.onnx.data if the model's own file would be longer (default: 2 GiB - 1; 0: always)", 0, 0, NULL},
    {0},
};

static int run_export(cli_args *a) {
    nib_export_options o;
    nib_error error = {.offset = -1};
    int code;
    if (!a->output) return cli_usage(a->verb, "-o is missing: the folder to write");
    cli_catch(false);
    nib_export_defaults(&o, sizeof o);
    o.runtime = cli_runtime(&a->m, &code);
    if (code) return code;
    o.opset = a->opset;
    o.dtype = types[a->dtype];
    o.pooling = a->with_pooling;
    o.external_over = (int64_t)a->external_over; /* not given: -1 */
    o.stop = cli_stop;
    return nib_export_folder(a->m.path, a->output, &o, &error) == NIB_OK ? 0 : cli_fail(&error);
}

static const cli_option *const options[] = {export_options, cli_model_option, cli_safety_options, NULL};

const cli_verb cli_export = {
    .name = "export",
    .line = "write a Hugging Face folder as ONNX, as Optimum does",
    .usage = "HF-DIR -o DIR [options]",
    .about = "Writes DIR/model.onnx, and the tokenizer's and settings' files beside it, as Optimum lays them out: inputs input_ids,\n"
             "attention_mask and, where the model reads it, token_type_ids, of batch_size x sequence_length; output last_hidden_state,\n"
             "or logits where the model has such a head (of one for answers start_logits and end_logits). Only operators of ai.onnx, none of them fused: nib optimize does that.\n"
             "A folder with model.safetensors is refused as DIR: it would be opened by that.\n",
    .options = options,
    .examples = "  nib export models/all-MiniLM-L6-v2 -o minilm-onnx\n"
                "  nib export models/all-MiniLM-L6-v2 -o minilm-onnx --with-pooling --precision fp16\n"
                "  nib optimize minilm-onnx -o minilm-fused -O2 --target onnxruntime\n",
    .run = run_export,
};

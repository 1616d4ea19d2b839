/* SPDX-License-Identifier: Apache-2.0
 *
 * In: names of a repository's files. Out: which of them a model needs here.
 */
#include "hf/hf.h"
#include "hub.h"
#include <fnmatch.h>
#include <string.h>

/* Beside hf_small_files, some of which have other names elsewhere: patterns of fnmatch with FNM_PATHNAME, whose '*' stays
 * within a folder. Modules of sentence-transformers lie in folders that begin with their number, "1_Pooling",
 * "0_StaticEmbedding", and a Router's in folders below. */
static const char *const more_small_files[] = {
    "*.model",
    "sentence_*_config.json",
    "router_config.json",
    "[0-9]*_*/*.json",
    "[0-9]*_*/*.txt",
    "[0-9]*_*/*.model",
    "[0-9]*_*/*/*.json",
    "[0-9]*_*/*/*.txt",
    "[0-9]*_*/*/*.model",
    /* a Dense layer's, which are weights of any choice */
    "[0-9]*_*/model.safetensors",
    "[0-9]*_*/*/model.safetensors",
};

static const struct {
    hub_weights kind;
    bool folder; /* of ONNX: in the folder onnx */
    const char *pattern;
} weights[] = {
    {HUB_WEIGHTS_SAFETENSORS, false, "model.safetensors"},
    {HUB_WEIGHTS_SAFETENSORS, false, "model.safetensors.index.json"},
    {HUB_WEIGHTS_SAFETENSORS, false, "model-*-of-*.safetensors"},
    {HUB_WEIGHTS_ONNX, true, "onnx/model.onnx"},
    {HUB_WEIGHTS_ONNX, true, "onnx/model.onnx_data*"},
    {HUB_WEIGHTS_ONNX, true, "onnx/model.onnx.data*"},
    {HUB_WEIGHTS_ONNX, false, "model.onnx"},
    {HUB_WEIGHTS_ONNX, false, "model.onnx_data*"},
    {HUB_WEIGHTS_ONNX, false, "model.onnx.data*"},
};

bool hub_is_small_file(const char *name) {
    for (const char *const *known = hf_small_files; *known; known++)
        if (strcmp(*known, name) == 0) return true;
    for (size_t i = 0; i < BASE_COUNT(more_small_files); i++)
        if (fnmatch(more_small_files[i], name, FNM_PATHNAME) == 0) return true;
    return false;
}

bool hub_is_weights(const char *name, hub_weights choice, bool onnx_folder) {
    for (size_t i = 0; i < BASE_COUNT(weights); i++) {
        const bool taken =
            weights[i].kind == choice && (choice != HUB_WEIGHTS_ONNX || weights[i].folder == onnx_folder);
        if (taken && fnmatch(weights[i].pattern, name, FNM_PATHNAME) == 0) return true;
    }
    return false;
}

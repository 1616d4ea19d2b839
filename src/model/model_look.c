/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a path that could not be read as a model. Out: what people most often have there instead, by its first bytes or its files' names.
 */
#include "model_look.h"
#include "base/base_file.h"
#include <string.h>

static const struct {
    size_t at;
    const char *bytes;
    size_t n;
    const char *what;
} looks[] = {
    {0, "version https://git-lfs", 23, "a pointer of git-lfs, not the file itself: fetch it with `git lfs pull`"},
    {0, "GGUF", 4, "a .gguf file; nib does not read those"},
    {0, "PK\3\4", 4, "a zip archive, as PyTorch's .pt and .bin are; nib does not read those: save as safetensors, or export to ONNX"},
    {0, "\x80\x02", 2, "a pickle, as PyTorch's .pt and .bin are; nib does not read those: save as safetensors, or export to ONNX"},
    {0, "\x89HDF", 4, "an HDF5 file, as Keras writes; nib does not read those"},
    {4, "TFL3", 4, "a .tflite file; nib does not read those"},
    {0, "\x1f\x8b", 2, "compressed by gzip: unpack it first"},
    {0, "\x93NUMPY", 6, "a tensor in .npy"},
    {8, "{\"", 2, "a .safetensors file; nib opens the folder that holds it beside its config.json"},
};

/* A small file of words: no control characters but those of lines. */
static bool is_text(const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i] < 0x20 && !strchr("\t\n\r\f", p[i])) return false;
    return true;
}

static const char *text_kind(const uint8_t *p, size_t n) {
    size_t i = 0;
    while (i < n && strchr(" \t\r\n", p[i]) && p[i]) i++;
    if (i < n && p[i] == '<') return "a web page or XML, as a failed download leaves: is its address right, and does it need a login?";
    return i < n && p[i] == '{' ? "JSON; nib opens the folder that holds a model's files" : "text";
}

void model_look(const char *path, nib_error *err) {
    uint8_t begin[64];
    size_t n;
    const char *what = NULL;
    if (!err || !base_file_peek(path, begin, sizeof begin, &n)) return;
    if (n == 0) what = "empty";
    for (size_t i = 0; !what && i < BASE_COUNT(looks); i++)
        if (looks[i].at + looks[i].n <= n && memcmp(begin + looks[i].at, looks[i].bytes, looks[i].n) == 0) what = looks[i].what;
    if (!what && is_text(begin, n)) what = text_kind(begin, n);
    if (what)
        base_error_set(err, err->status,
                       "%s is no model but looks like this: %s. nib takes .onnx and .nib files, and folders with config.json "
                       "and model.safetensors or with model.onnx",
                       path, what);
}

const char *model_look_in(base_heap *heap, const char *folder) {
    static const struct {
        const char *file, *what;
    } others[] = {
        {"pytorch_model.bin", "; it has pytorch_model.bin, a pickle, which nib does not read: save as safetensors, or export to ONNX"},
        {"tf_model.h5", "; it has tf_model.h5, which nib does not read: save as safetensors, or export to ONNX"},
        {"flax_model.msgpack", "; it has flax_model.msgpack, which nib does not read: save as safetensors, or export to ONNX"},
        {"model.safetensors", "; it has model.safetensors, but the config.json that says what they are is missing"},
        {"config.json", "; it has config.json, but the weights are missing"},
    };
    const char *what = "";
    for (size_t i = 0; !*what && i < BASE_COUNT(others); i++) {
        char *path = base_path_join(heap, folder, others[i].file);
        if (path && base_path_is_file(path)) what = others[i].what;
        base_free(heap, path);
    }
    return what;
}

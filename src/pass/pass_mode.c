/* SPDX-License-Identifier: Apache-2.0
 *
 * What a graph is rewritten for, and what that decides: one row a mode.
 */
#include "pass.h"

const pass_mode_row pass_modes[PASS_MODES] = {
    [PASS_MODE_EXACT] = {.name = "exact", .runs = true, .queries = PASS_QUERIES_ALL},
    [PASS_MODE_TASK] = {.name = "task", .runs = true, .texts = true, .packs = true, .queries = PASS_QUERIES_TOKENS},
    [PASS_MODE_TASK_PADDED] = {.name = "task, padded", .runs = true, .texts = true, .queries = PASS_QUERIES_TOKENS},
    [PASS_MODE_FILE] = {.name = "file", .since = 23, .queries = PASS_QUERIES_ALL},
    [PASS_MODE_FILE_ONNXRUNTIME] = {.name = "file for ONNX Runtime", .contrib = true, .since = 13, .queries = PASS_QUERIES_ALL},
};

/* SPDX-License-Identifier: Apache-2.0
 *
 * nib quantize. In: a model, files of texts. Out: a smaller model, and the receipt.
 */
#include "cli.h"
#include "cli_lines.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_names types = {(const char *const[]){NIB_QUANTIZE_MAP(CLI_NAME_TEXT)},
                                (const int[]){NIB_QUANTIZE_INT8, NIB_QUANTIZE_INT4, NIB_QUANTIZE_MIXED, NIB_QUANTIZE_FP16,
                                            NIB_QUANTIZE_BF16, NIB_QUANTIZE_INT8_STATIC, -1}};
static const cli_names ranges = {(const char *const[]){NIB_RANGES_MAP(CLI_NAME_TEXT)},
                                 (const int[]){NIB_RANGES_MINMAX, NIB_RANGES_PERCENTILE, NIB_RANGES_MSE, NIB_RANGES_ENTROPY, -1}};
static const cli_names presets = {(const char *const[]){NIB_PRESET_MAP(CLI_NAME_TEXT)},
                                  (const int[]){NIB_PRESET_NONE, NIB_PRESET_AVX2, NIB_PRESET_AVX512, NIB_PRESET_AVX512_VNNI,
                                                NIB_PRESET_ARM64, -1}};
static const cli_names targets = {(const char *const[]){NIB_TARGET_MAP(CLI_NAME_TEXT)},
                                  (const int[]){NIB_TARGET_STANDARD, NIB_TARGET_ONNXRUNTIME, -1}};

static const cli_option quantize_options[] = {
    {"output", 'o', CLI_FILE, CLI_AT(output), "OUT", "where to write it", 0, 0, NULL},
    {"type", 0, CLI_NAME, CLI_AT(type), "T",
     "what weights become: %s. int8 (the default) multiplies in 8 bits; int4 keeps weights in 4\n"
     "bits, and multiplies in f32; mixed, each layer's in the fewest bits that --min-cosine or --size lets it have;\n"
     "fp16 is half precision throughout, but for what leaves its range; bf16 of weights alone; int8-static\nmultiplies in 8 bits with ranges from --calibrate", 0, 0, &types},
    {"ranges", 0, CLI_NAME, CLI_AT(ranges), "R",
     "of int8-static: what of the rows that --calibrate saw is not clipped: %s (all, the default; all but the\nlast ten thousandth; "
     "with the least error; by their histogram)", 0, 0, &ranges},
    {"preset", 0, CLI_NAME, CLI_AT(preset), "P",
     "of int8: %s: weights, tables and attention as Optimum's configuration of that name has them", 0, 0, &presets},
    {"static", 0, CLI_FLAG, CLI_AT(type), NULL, "--type int8-static", NIB_QUANTIZE_INT8_STATIC, 0, NULL},
    {"dynamic", 0, CLI_FLAG, CLI_AT(type), NULL, "--type int8", NIB_QUANTIZE_INT8, 0, NULL},
    {"per-channel", 0, CLI_FLAG, CLI_AT(per_tensor), NULL, "of int8: a scale for each column of a weight (the default)", 0, 0, NULL},
    {"per-tensor", 0, CLI_FLAG, CLI_AT(per_tensor), NULL, "of int8: one scale for a weight", 1, 0, NULL},
    {"reduce-range", 0, CLI_FLAG, CLI_AT(reduce_range), NULL, "of int8: weights of 7 bits, for CPUs without VNNI in ONNX Runtime", 1, 0, NULL},
    {"size", 0, CLI_SIZE, CLI_AT(most_bytes), "SIZE", "of mixed: what all weights together may have", 1, 0, NULL},
    {"target", 0, CLI_NAME, CLI_AT(target), "T",
     "which operators say it: %s (ai.onnx alone, which is the default, or com.microsoft, too: faster int4\nthere)", 0, 0,
     &targets},
    {"block", 0, CLI_INT, CLI_AT(block), "N", "of int4 and mixed: numbers that share a scale: 32 (the default), 64 or 128", 32, 128, NULL},
    {"keep", 0, CLI_LIST, CLI_AT(keep), "PATTERN", "weights or nodes that stay as they are ('*' is anything); may be given several times",
     0, 0, NULL},
    {"external-over", 0, CLI_SIZE, CLI_AT(external_over), "SIZE",
     "weights go to OUT.data if the model's own file would be longer (default: 2 GiB - 1; 0: always)", 0, 0, NULL},
    {0},
};
static const cli_option text_options[] = {
    {"calibrate", 0, CLI_TEXT, CLI_AT(calibrate), "FILE|-",
     "texts, one a line, like those that the model will see: rounding makes up for what matters to them\n(default: weights are rounded to the nearest)", 0, 0,
     NULL},
    {"check", 0, CLI_TEXT, CLI_AT(check_texts), "FILE|-",
     "other texts, one a line, to measure the result with (default: 48 sentences of nib's own)", 0, 0, NULL},
    {"min-cosine", 0, CLI_REAL, CLI_AT(min_cosine), "X",
     "mean cosine to f32 that the result must have: layers get more bits until it has; else exit 3, and nothing is\nwritten", 0, 1, NULL},
    {"report", 0, CLI_TEXT, CLI_AT(report), "FILE|-", "the receipt as JSON; - is standard output, in place of the text", 0, 0, NULL},
    {"no-speed", 0, CLI_FLAG, CLI_AT(no_speed), NULL, "do not measure how fast both models are here, and what memory they hold", 1, 0, NULL},
    {0},
};

typedef struct texts {
    const char **items;
    size_t count, capacity;
} texts;

static void drop(texts *t) {
    for (size_t i = 0; i < t->count; i++) free((char *)(uintptr_t)t->items[i]);
    free(t->items);
}

static bool add(texts *t, const char *line, size_t length) {
    if (t->count == t->capacity) {
        const size_t more = t->capacity ? 2 * t->capacity : 256;
        const char **items = realloc(t->items, more * sizeof *items);
        if (!items) return false;
        t->items = items;
        t->capacity = more;
    }
    char *copy = malloc(length + 1);
    if (!copy) return false;
    memcpy(copy, line, length);
    copy[length] = 0;
    t->items[t->count++] = copy;
    return true;
}

/* The lines of a file that are not empty. */
static int read_texts(const char *path, const char *option, texts *out) {
    const char *reason, *const *lines;
    const size_t *lengths;
    long n = 0;
    if (!path) return 0;
    cli_lines *l = cli_lines_open(path, &reason);
    if (!l) return fprintf(stderr, "nib: %s: %s\n", path, reason), 2;
    while ((n = cli_lines_next(l, 256, &lines, &lengths, &reason)) > 0)
        for (long i = 0; i < n; i++)
            if (lengths[i] && !add(out, lines[i], lengths[i])) return cli_lines_close(l), cli_no_memory();
    cli_lines_close(l);
    if (n < 0) return fprintf(stderr, "nib: %s: %s\n", path, reason), 1;
    if (out->count == 0) return fprintf(stderr, "nib: --%s: %s has no text\n", option, path), 2;
    return 0;
}

static int quantize(const cli_args *a, const texts *calibrate, const texts *check) {
    nib_quantize_options o;
    nib_error error = {.offset = -1};
    nib_report *report = NULL;
    int code;
    nib_quantize_defaults(&o, sizeof o);
    if (a->type) o.type = (nib_quantize_type)a->type;
    o.target = (nib_target)a->target;
    if (a->block) o.block = a->block;
    o.ranges = (nib_ranges)a->ranges;
    o.preset = (nib_preset)a->preset;
    o.per_tensor = a->per_tensor, o.reduce_range = a->reduce_range;
    o.most_bytes = (int64_t)a->most_bytes;
    o.calibrate = calibrate->items, o.calibrate_count = calibrate->count;
    o.check = check->items, o.check_count = check->count;
    o.keep = a->keep.items, o.keep_count = a->keep.count;
    o.min_cosine = a->min_cosine;
    o.speed = !a->no_speed;
    o.external_over = (int64_t)a->external_over; /* not given: -1 */
    o.runtime = cli_runtime(&a->m, &code);
    if (code) return code;
    o.stop = cli_stop;
    cli_catch(true);
    nib_status status = nib_quantize_file(a->m.path, a->output, &o, &report, &error);
    return cli_finish_report(a->report, status, &error, report);
}

static int run_quantize(cli_args *a) {
    texts calibrate = {0}, check = {0};
    if (!a->output) return cli_usage(a->verb, "-o is missing: where to write it");
    if (a->block && a->type != NIB_QUANTIZE_INT4 && a->type != NIB_QUANTIZE_MIXED)
        return cli_usage(a->verb, "--block is of --type int4 and mixed");
    if (a->type == NIB_QUANTIZE_INT8_STATIC && !a->calibrate) return cli_usage(a->verb, "--type int8-static wants --calibrate");
    if (a->ranges && a->type != NIB_QUANTIZE_INT8_STATIC) return cli_usage(a->verb, "--ranges is of --type int8-static");
    if (a->most_bytes && a->type != NIB_QUANTIZE_MIXED) return cli_usage(a->verb, "--size is of --type mixed");
    int code = read_texts(a->calibrate, "calibrate", &calibrate);
    if (code == 0) code = read_texts(a->check_texts, "check", &check);
    if (code == 0) code = quantize(a, &calibrate, &check);
    drop(&calibrate);
    drop(&check);
    return code;
}

static const cli_option *const options[] = {quantize_options, text_options, cli_model_option, cli_thread_option, cli_safety_options, NULL};

const cli_verb cli_quantize = {
    .name = "quantize",
    .line = "write a model with smaller weights, and what that did to it",
    .usage = "IN -o OUT [--type int8|int8-static|int4|mixed|fp16|bf16] [options]",
    .about = "Writes a model with weights of 16, 8 or 4 bits, and a receipt: cosines of texts' vectors to those of f32, as nib\n"
             "runs the file and as ONNX means it, what each layer lost, sizes, speed and memory here. IN is an .onnx file or a folder as on Hugging\n"
             "Face; OUT is an .onnx file, or, for a folder, a folder. Below --min-cosine layers get more bits first; if that is not\n"
             "enough, nothing is written (exit 3).\n",
    .options = options,
    .examples = "  nib quantize models/all-MiniLM-L6-v2 -o minilm-int8\n"
                "  nib quantize models/all-MiniLM-L6-v2 -o minilm-int4 --type int4 --calibrate texts.txt --min-cosine 0.98\n"
                "  nib quantize model.onnx -o small.onnx --type int4 --target onnxruntime --keep 'classifier*'\n",
    .run = run_quantize,
};

/* SPDX-License-Identifier: Apache-2.0
 *
 * See api_options.h. In: a caller's option struct, which begins with its size. Out: the same as this library knows it.
 * The table has a row for each kind: its defaults, and where its members end, so that a size which cuts one in two
 * leaves it out.
 *
 * A member that is added to a struct begins where the struct ended before (its old sizeof, padding included), and its
 * default is what the library did without it.
 */
#include "api_options.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define OPTIONS_MOST 4096 /* bytes of a struct: more is no size but a stray number */

static const nib_runtime_options runtime_options = {.size = sizeof runtime_options};
static const nib_limits limits = {.size = sizeof limits};
static const nib_model_options model_options = {
    .size = sizeof model_options, .normalize = -1, .optimize = -1, .pack = -1};
static const nib_embed_options embed_options = {.size = sizeof embed_options};
static const nib_chunk_options chunk_options = {.size = sizeof chunk_options};
static const nib_stream_options stream_options = {.size = sizeof stream_options};
static const nib_classify_options classify_options = {.size = sizeof classify_options};
static const nib_queue_options queue_options = {.size = sizeof queue_options};
static const nib_vector_options vector_options = {.size = sizeof vector_options, .normalize = -1};
static const nib_search_options search_options = {.size = sizeof search_options};
static const nib_ticket ticket_options = {.size = sizeof ticket_options};
static const nib_encode_options encode_options = {
    .size = sizeof encode_options, .max_tokens = NIB_TOKENS_OWN, .cut_front = -1, .stride = -1};
static const nib_optimize_options optimize_options = {
    .size = sizeof optimize_options, .level = 1, .check = 1, .external_over = -1};
static const nib_quantize_options quantize_options = {
    .size = sizeof quantize_options, .type = NIB_QUANTIZE_INT8, .block = 32, .external_over = -1, .speed = 1};
static const nib_compile_options compile_options = {.size = sizeof compile_options};
static const nib_export_options export_options = {.size = sizeof export_options, .external_over = -1};
static const nib_pull_options pull_options = {.size = sizeof pull_options};
static const nib_rank_options rank_options = {.size = sizeof rank_options};
static const nib_tag_options tag_options = {.size = sizeof tag_options};
static const nib_sparse_options sparse_options = {.size = sizeof sparse_options};
static const nib_zero_shot_options zero_shot_options = {.size = sizeof zero_shot_options};
static const nib_answer_options answer_options = {
    .size = sizeof answer_options, .stride = -1, .longest = 15, .top = 1, .whole_words = 1};
static const nib_fill_options fill_options = {.size = sizeof fill_options, .top = 5};
static const nib_colbert_options colbert_options = {.size = sizeof colbert_options, .pool_factor = 1};

#define END(type, member) (uint16_t)(offsetof(type, member) + sizeof(((type *)0)->member))

static const uint16_t runtime_ends[] = {
#define RUNTIME(member) END(nib_runtime_options, member)
    RUNTIME(size),     RUNTIME(threads), RUNTIME(memory_limit), RUNTIME(log),           RUNTIME(log_user),
    RUNTIME(allocate), RUNTIME(release), RUNTIME(alloc_user),   RUNTIME(private_reads), RUNTIME(limits),
};
static const uint16_t limits_ends[] = {
#define LIMIT(member) END(nib_limits, member)
    LIMIT(size),  LIMIT(graph_depth), LIMIT(wire_nesting), LIMIT(json_depth),
    LIMIT(files), LIMIT(fold_bytes),  LIMIT(expand_bytes),
};
static const uint16_t model_ends[] = {
#define MODEL(member) END(nib_model_options, member)
    MODEL(size),      MODEL(runtime),    MODEL(precision),    MODEL(device),   MODEL(output_name), MODEL(pooling),
    MODEL(normalize), MODEL(max_tokens), MODEL(batch_tokens), MODEL(optimize), MODEL(pack),
    MODEL(stop),      MODEL(stop_user),  MODEL(task),         MODEL(route),
    MODEL(min_cosine), MODEL(sessions),
};
static const uint16_t embed_ends[] = {
#define EMBED(member) END(nib_embed_options, member)
    EMBED(size),        EMBED(max_tokens), EMBED(lengths),     EMBED(tokens),
    EMBED(full_tokens), EMBED(profile),    EMBED(prompt_name), EMBED(prompt),
    EMBED(stop),        EMBED(stop_user),  EMBED(ticket),      EMBED(vectors),
    EMBED(chunks),
};
static const uint16_t chunk_ends[] = {
#define CHUNK(member) END(nib_chunk_options, member)
    CHUNK(size), CHUNK(overflow), CHUNK(aggregate), CHUNK(tokens), CHUNK(overlap), CHUNK(sentences),
    CHUNK(overlap_sentences),
};
static const uint16_t stream_ends[] = {
#define STREAM(member) END(nib_stream_options, member)
    STREAM(size), STREAM(embed), STREAM(max_bytes), STREAM(max_vectors), STREAM(full), STREAM(vector), STREAM(user),
};
static const uint16_t vector_ends[] = {
#define VECTOR(member) END(nib_vector_options, member)
    VECTOR(size), VECTOR(type), VECTOR(normalize), VECTOR(dimensions), VECTOR(ranges), VECTOR(ranges_width),
};
static const uint16_t search_ends[] = {
#define SEARCH(member) END(nib_search_options, member)
    SEARCH(size),   SEARCH(runtime), SEARCH(similarity), SEARCH(rescore),
    SEARCH(better), SEARCH(stop),    SEARCH(stop_user),
};
static const uint16_t classify_ends[] = {
#define CLASSIFY(member) END(nib_classify_options, member)
    CLASSIFY(size),        CLASSIFY(max_tokens), CLASSIFY(lengths), CLASSIFY(pair_lengths), CLASSIFY(tokens),
    CLASSIFY(full_tokens), CLASSIFY(scores),     CLASSIFY(profile), CLASSIFY(stop),         CLASSIFY(stop_user),
    CLASSIFY(ticket),
};
static const uint16_t queue_ends[] = {
#define QUEUE(member) END(nib_queue_options, member)
    QUEUE(size), QUEUE(threads), QUEUE(max_texts), QUEUE(max_tokens),
    QUEUE(full), QUEUE(quantum), QUEUE(pick),    QUEUE(pick_user),
};
static const uint16_t ticket_ends[] = {
#define TICKET(member) END(nib_ticket, member)
    TICKET(size),   TICKET(queue),       TICKET(client), TICKET(priority),    TICKET(deadline),
    TICKET(answer), TICKET(answer_user), TICKET(finish), TICKET(finish_user),
};
static const uint16_t encode_ends[] = {
#define ENCODE(member) END(nib_encode_options, member)
    ENCODE(size),  ENCODE(pair),   ENCODE(pair_length), ENCODE(max_tokens), ENCODE(no_special),
    ENCODE(types), ENCODE(begins), ENCODE(ends),        ENCODE(parts),      ENCODE(full_count),
    ENCODE(cut),   ENCODE(cut_front), ENCODE(windows),  ENCODE(stride),     ENCODE(window_begins),
    ENCODE(window_capacity), ENCODE(window_count),
};
static const uint16_t optimize_ends[] = {
#define OPTIMIZE(member) END(nib_optimize_options, member)
    OPTIMIZE(size),      OPTIMIZE(runtime),       OPTIMIZE(level),       OPTIMIZE(target),   OPTIMIZE(opset),
    OPTIMIZE(shapes),    OPTIMIZE(shape_count),   OPTIMIZE(disabled),    OPTIMIZE(disabled_count),
    OPTIMIZE(check),     OPTIMIZE(tolerance),     OPTIMIZE(external_over), OPTIMIZE(keep_random),
    OPTIMIZE(stop),      OPTIMIZE(stop_user),
};
static const uint16_t compile_ends[] = {
#define COMPILE(member) END(nib_compile_options, member)
    COMPILE(size), COMPILE(model), COMPILE(exact), COMPILE(stop), COMPILE(stop_user),
};
static const uint16_t quantize_ends[] = {
#define QUANTIZE(member) END(nib_quantize_options, member)
    QUANTIZE(size),            QUANTIZE(runtime), QUANTIZE(type),        QUANTIZE(target), QUANTIZE(block),      QUANTIZE(calibrate),
    QUANTIZE(calibrate_count), QUANTIZE(check),   QUANTIZE(check_count), QUANTIZE(keep),   QUANTIZE(keep_count), QUANTIZE(min_cosine),
    QUANTIZE(external_over),   QUANTIZE(stop),    QUANTIZE(stop_user),   QUANTIZE(most_bytes), QUANTIZE(ranges),
    QUANTIZE(speed),           QUANTIZE(preset),  QUANTIZE(per_tensor),  QUANTIZE(reduce_range),
};
static const uint16_t export_ends[] = {
#define EXPORT(member) END(nib_export_options, member)
    EXPORT(size),          EXPORT(runtime), EXPORT(opset),     EXPORT(dtype), EXPORT(pooling),
    EXPORT(external_over), EXPORT(stop),    EXPORT(stop_user),
};

static const uint16_t pull_ends[] = {
#define PULL(member) END(nib_pull_options, member)
    PULL(size),     PULL(runtime),       PULL(weights), PULL(include),   PULL(include_count),
    PULL(progress), PULL(progress_user), PULL(stop),    PULL(stop_user),
};
static const uint16_t rank_ends[] = {
#define RANK(member) END(nib_rank_options, member)
    RANK(size), RANK(query_length), RANK(lengths), RANK(max_tokens), RANK(tokens),    RANK(full_tokens),
    RANK(top),  RANK(scores),       RANK(profile), RANK(stop),       RANK(stop_user), RANK(ticket),
    RANK(prompt_name), RANK(prompt),
};
static const uint16_t tag_ends[] = {
#define TAG(member) END(nib_tag_options, member)
    TAG(size),         TAG(aggregation), TAG(max_tokens), TAG(lengths), TAG(tokens), TAG(full_tokens), TAG(ignore),
    TAG(ignore_count), TAG(windows),     TAG(stride),     TAG(profile), TAG(stop),   TAG(stop_user),   TAG(ticket),
};

static const uint16_t fill_ends[] = {
#define FILL(member) END(nib_fill_options, member)
    FILL(size),         FILL(lengths), FILL(max_tokens), FILL(tokens),    FILL(full_tokens), FILL(top), FILL(targets),
    FILL(target_count), FILL(profile), FILL(stop),       FILL(stop_user), FILL(ticket),
};

static const uint16_t answer_ends[] = {
#define ANSWER(member) END(nib_answer_options, member)
    ANSWER(size), ANSWER(question_lengths), ANSWER(context_lengths), ANSWER(max_tokens), ANSWER(stride), ANSWER(longest),
    ANSWER(top),  ANSWER(impossible),       ANSWER(whole_words),     ANSWER(profile),    ANSWER(stop),   ANSWER(stop_user),
    ANSWER(ticket),
};

static const uint16_t zero_shot_ends[] = {
#define ZERO_SHOT(member) END(nib_zero_shot_options, member)
    ZERO_SHOT(size),    ZERO_SHOT(hypothesis), ZERO_SHOT(multi_label), ZERO_SHOT(lengths), ZERO_SHOT(max_tokens),
    ZERO_SHOT(profile), ZERO_SHOT(stop),       ZERO_SHOT(stop_user),   ZERO_SHOT(ticket),
};

static const uint16_t colbert_ends[] = {
#define COLBERT(member) END(nib_colbert_options, member)
    COLBERT(size),        COLBERT(max_tokens), COLBERT(lengths), COLBERT(tokens),    COLBERT(full_tokens),
    COLBERT(pool_factor), COLBERT(profile),    COLBERT(stop),    COLBERT(stop_user), COLBERT(ticket),
};

static const uint16_t sparse_ends[] = {
#define SPARSE(member) END(nib_sparse_options, member)
    SPARSE(size), SPARSE(max_tokens), SPARSE(lengths), SPARSE(tokens), SPARSE(full_tokens), SPARSE(prompt_name),
    SPARSE(prompt), SPARSE(top), SPARSE(profile), SPARSE(stop), SPARSE(stop_user), SPARSE(ticket),
};

typedef struct kind {
    const char *name, *filled_by;
    const void *defaults;
    size_t size;
    const uint16_t *ends; /* rising; the last is within the struct's padding of its size */
    size_t n_ends;
} kind;

#define KIND(type, filled_by, defaults, ends) {#type, filled_by, &(defaults), sizeof(type), ends, BASE_COUNT(ends)}

static const kind kinds[] = {
    [API_RUNTIME_OPTIONS] = KIND(nib_runtime_options, "nib_runtime_defaults", runtime_options, runtime_ends),
    [API_LIMITS] = KIND(nib_limits, "nib_limits_defaults", limits, limits_ends),
    [API_MODEL_OPTIONS] = KIND(nib_model_options, "nib_model_defaults", model_options, model_ends),
    [API_EMBED_OPTIONS] = KIND(nib_embed_options, "nib_embed_defaults", embed_options, embed_ends),
    [API_CHUNK_OPTIONS] = KIND(nib_chunk_options, "nib_chunk_options_defaults", chunk_options, chunk_ends),
    [API_STREAM_OPTIONS] = KIND(nib_stream_options, "nib_stream_defaults", stream_options, stream_ends),
    [API_CLASSIFY_OPTIONS] = KIND(nib_classify_options, "nib_classify_defaults", classify_options, classify_ends),
    [API_QUEUE_OPTIONS] = KIND(nib_queue_options, "nib_queue_defaults", queue_options, queue_ends),
    [API_TICKET] = KIND(nib_ticket, "nib_ticket_defaults", ticket_options, ticket_ends),
    [API_VECTOR_OPTIONS] = KIND(nib_vector_options, "nib_vector_options_defaults", vector_options, vector_ends),
    [API_SEARCH_OPTIONS] = KIND(nib_search_options, "nib_search_defaults", search_options, search_ends),
    [API_ENCODE_OPTIONS] = KIND(nib_encode_options, "nib_encode_defaults", encode_options, encode_ends),
    [API_OPTIMIZE_OPTIONS] = KIND(nib_optimize_options, "nib_optimize_defaults", optimize_options, optimize_ends),
    [API_COMPILE_OPTIONS] = KIND(nib_compile_options, "nib_compile_defaults", compile_options, compile_ends),
    [API_QUANTIZE_OPTIONS] = KIND(nib_quantize_options, "nib_quantize_defaults", quantize_options, quantize_ends),
    [API_EXPORT_OPTIONS] = KIND(nib_export_options, "nib_export_defaults", export_options, export_ends),
    [API_PULL_OPTIONS] = KIND(nib_pull_options, "nib_pull_defaults", pull_options, pull_ends),
    [API_RANK_OPTIONS] = KIND(nib_rank_options, "nib_rank_defaults", rank_options, rank_ends),
    [API_TAG_OPTIONS] = KIND(nib_tag_options, "nib_tag_defaults", tag_options, tag_ends),
    [API_FILL_OPTIONS] = KIND(nib_fill_options, "nib_fill_defaults", fill_options, fill_ends),
    [API_ANSWER_OPTIONS] = KIND(nib_answer_options, "nib_answer_defaults", answer_options, answer_ends),
    [API_ZERO_SHOT_OPTIONS] =
        KIND(nib_zero_shot_options, "nib_zero_shot_defaults", zero_shot_options, zero_shot_ends),
    [API_COLBERT_OPTIONS] =
        KIND(nib_colbert_options, "nib_colbert_defaults", colbert_options, colbert_ends),
    [API_SPARSE_OPTIONS] = KIND(nib_sparse_options, "nib_sparse_defaults", sparse_options, sparse_ends),
};

/* Where the last member that is whole in a struct of `size` bytes ends. */
static size_t whole_members(const kind *k, size_t size) {
    size_t end = 0;
    for (size_t i = 0; i < k->n_ends && k->ends[i] <= size; i++) end = k->ends[i];
    return end;
}

nib_status api_options_take(api_options which, void *into, const void *given, nib_error *err) {
    const kind *k = &kinds[which];
    size_t size;
    memcpy(into, k->defaults, k->size);
    if (!given) return NIB_OK;
    memcpy(&size, given, sizeof size);
    if (size < sizeof size || size > OPTIONS_MOST)
        return base_error_set(err, NIB_INVALID_ARGUMENT,
                              "%s.size is %zu, which is no size: fill the struct with %s(&options, sizeof options)",
                              k->name, size, k->filled_by);
    for (size_t i = k->size; i < size; i++)
        if (((const char *)given)[i])
            return base_error_set(err, NIB_INVALID_ARGUMENT,
                                  "%s asks for something that this library (nib %s) does not know: byte %zu of %zu is "
                                  "set, and it knows %zu",
                                  k->name, NIB_VERSION, i, size, k->size);
    memcpy(into, given, whole_members(k, size));
    memcpy(into, &k->size, sizeof k->size);
    return NIB_OK;
}

void api_fill(void *out, size_t size, const void *made, size_t known) {
    size_t both = size < known ? size : known;
    if (!out || !size) return;
    memcpy(out, made, both);
    memset((char *)out + both, 0, size - both);
}

/* The caller's `size` bytes: the defaults of what they have room for, and their size in front. */
static void fill_defaults(api_options which, void *options, size_t size) {
    if (!options || size < sizeof size) return;
    api_fill(options, size, kinds[which].defaults, kinds[which].size);
    memcpy(options, &size, sizeof size);
}

void nib_runtime_defaults(nib_runtime_options *o, size_t size) { fill_defaults(API_RUNTIME_OPTIONS, o, size); }
void nib_limits_defaults(nib_limits *o, size_t size) { fill_defaults(API_LIMITS, o, size); }
void nib_model_defaults(nib_model_options *o, size_t size) { fill_defaults(API_MODEL_OPTIONS, o, size); }
void nib_embed_defaults(nib_embed_options *o, size_t size) { fill_defaults(API_EMBED_OPTIONS, o, size); }
void nib_encode_defaults(nib_encode_options *o, size_t size) { fill_defaults(API_ENCODE_OPTIONS, o, size); }
void nib_queue_defaults(nib_queue_options *o, size_t size) { fill_defaults(API_QUEUE_OPTIONS, o, size); }
void nib_ticket_defaults(nib_ticket *o, size_t size) { fill_defaults(API_TICKET, o, size); }
void nib_vector_options_defaults(nib_vector_options *o, size_t size) { fill_defaults(API_VECTOR_OPTIONS, o, size); }
void nib_chunk_options_defaults(nib_chunk_options *o, size_t size) { fill_defaults(API_CHUNK_OPTIONS, o, size); }
void nib_stream_defaults(nib_stream_options *o, size_t size) { fill_defaults(API_STREAM_OPTIONS, o, size); }
void nib_search_defaults(nib_search_options *o, size_t size) { fill_defaults(API_SEARCH_OPTIONS, o, size); }
void nib_classify_defaults(nib_classify_options *o, size_t size) { fill_defaults(API_CLASSIFY_OPTIONS, o, size); }
void nib_optimize_defaults(nib_optimize_options *o, size_t size) { fill_defaults(API_OPTIMIZE_OPTIONS, o, size); }
void nib_compile_defaults(nib_compile_options *o, size_t size) { fill_defaults(API_COMPILE_OPTIONS, o, size); }
void nib_quantize_defaults(nib_quantize_options *o, size_t size) { fill_defaults(API_QUANTIZE_OPTIONS, o, size); }
void nib_export_defaults(nib_export_options *o, size_t size) { fill_defaults(API_EXPORT_OPTIONS, o, size); }
void nib_pull_defaults(nib_pull_options *o, size_t size) { fill_defaults(API_PULL_OPTIONS, o, size); }
void nib_rank_defaults(nib_rank_options *o, size_t size) { fill_defaults(API_RANK_OPTIONS, o, size); }
void nib_tag_defaults(nib_tag_options *o, size_t size) { fill_defaults(API_TAG_OPTIONS, o, size); }
void nib_sparse_defaults(nib_sparse_options *o, size_t size) { fill_defaults(API_SPARSE_OPTIONS, o, size); }
void nib_fill_defaults(nib_fill_options *o, size_t size) { fill_defaults(API_FILL_OPTIONS, o, size); }
void nib_answer_defaults(nib_answer_options *o, size_t size) { fill_defaults(API_ANSWER_OPTIONS, o, size); }
void nib_zero_shot_defaults(nib_zero_shot_options *o, size_t size) {
    fill_defaults(API_ZERO_SHOT_OPTIONS, o, size);
}
void nib_colbert_defaults(nib_colbert_options *o, size_t size) { fill_defaults(API_COLBERT_OPTIONS, o, size); }

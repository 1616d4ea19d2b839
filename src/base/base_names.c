/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of nib.h's enums and the way back. In: a number or a name. Out: the other, as the enum's one list in nib.h (its
 * X-macro) has it.
 */
#include "base_error.h"
#include <string.h>

typedef struct row {
    int number;
    const char *text;
} row;

#define ROW(name, number, text) {number, text},
static const row levels[] = {NIB_LOG_MAP(ROW)};
static const row precisions[] = {NIB_PRECISION_MAP(ROW)};
static const row tasks[] = {NIB_TASK_MAP(ROW)};
static const row scores[] = {NIB_SCORES_MAP(ROW)};
static const row poolings[] = {NIB_POOLING_MAP(ROW)};
static const row roles[] = {NIB_ROLE_MAP(ROW)};
static const row targets[] = {NIB_TARGET_MAP(ROW)};
static const row aggregations[] = {NIB_AGGREGATION_MAP(ROW)};
static const row devices[] = {NIB_DEVICE_MAP(ROW)};
static const row vectors[] = {NIB_VECTOR_MAP(ROW)};
static const row similarities[] = {NIB_SIMILARITY_MAP(ROW)};

static const char *name_of(const row *rows, size_t n, int number) {
    for (size_t i = 0; i < n; i++)
        if (rows[i].number == number) return rows[i].text;
    return "?";
}

static const row *row_of(const row *rows, size_t n, const char *name) {
    for (size_t i = 0; name && i < n; i++)
        if (strcmp(rows[i].text, name) == 0) return &rows[i];
    return NULL;
}

#define NAME_OF(rows, number) name_of(rows, BASE_COUNT(rows), (int)(number))

const char *nib_log_level_name(nib_log_level level) { return NAME_OF(levels, level); }
const char *nib_precision_name(nib_precision precision) { return NAME_OF(precisions, precision); }
const char *nib_aggregation_name(nib_aggregation number) { return NAME_OF(aggregations, number); }
const char *nib_task_name(nib_task task) { return NAME_OF(tasks, task); }
const char *nib_scores_name(nib_scores number) { return NAME_OF(scores, number); }
const char *nib_pooling_name(nib_pooling pooling) { return NAME_OF(poolings, pooling); }
const char *nib_role_name(nib_role role) { return NAME_OF(roles, role); }
const char *nib_target_name(nib_target target) { return NAME_OF(targets, target); }
const char *nib_vector_type_name(nib_vector_type type) { return NAME_OF(vectors, type); }
const char *nib_similarity_name(nib_similarity number) { return NAME_OF(similarities, number); }
const char *nib_device_name(nib_device_kind kind) { return NAME_OF(devices, kind); }

#define FROM_NAME(rows, type)                                                                                          \
    const row *found = row_of(rows, BASE_COUNT(rows), name);                                                           \
    if (!found || !out) return found ? NIB_INVALID_ARGUMENT : NIB_NOT_FOUND;                                           \
    *out = (type)found->number;                                                                                        \
    return NIB_OK

nib_status nib_precision_from_name(const char *name, nib_precision *out) { FROM_NAME(precisions, nib_precision); }
nib_status nib_task_from_name(const char *name, nib_task *out) { FROM_NAME(tasks, nib_task); }
nib_status nib_pooling_from_name(const char *name, nib_pooling *out) { FROM_NAME(poolings, nib_pooling); }
nib_status nib_vector_type_from_name(const char *name, nib_vector_type *out) { FROM_NAME(vectors, nib_vector_type); }
nib_status nib_similarity_from_name(const char *name, nib_similarity *out) { FROM_NAME(similarities, nib_similarity); }
nib_status nib_target_from_name(const char *name, nib_target *out) { FROM_NAME(targets, nib_target); }

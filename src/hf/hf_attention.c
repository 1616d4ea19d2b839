/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention of a stack of layers. In: its description, rows [batch, seq, hidden], ids and mask. Out: rows, and before
 * them what the layers of a kind share: the bias that is added to scores, and angles by which positions turn heads.
 */
#include "hf_stack.h"
#include <float.h>
#include <math.h>

#define MOST_ANGLES                                                                                                    \
    (1 << 22) /* of a table: 16 MiB. Beyond that they are computed, for as many positions as there are */

/* ---------------------------------------------------------------- angles */

typedef struct angles {
    const float *frequencies; /* [columns / 2] */
    int64_t half;
    float factor;
    double (*of)(double);
} angles;

static int64_t rotated_columns(const hf_stack *s) {
    return (int64_t)((double)s->head_size * (s->rotary_part > 0 ? s->rotary_part : 1));
}

static float llama3_scaled(const hf_rotary *r, float frequency) {
    const double wave = 2 * 3.14159265358979323846 / (double)frequency;
    if (wave > r->original / r->low) return frequency / (float)r->factor;
    if (wave < r->original / r->high) return frequency;
    const float smooth = (float)((r->original / wave - r->low) / (r->high - r->low));
    return (1 - smooth) * frequency / (float)r->factor + smooth * frequency;
}

/* Where the ramp of yarn begins or ends: the dimension that turns so often in `original` positions. */
static double yarn_dimension(const hf_rotary *r, double rotations, double columns) {
    return columns * log(r->original / (rotations * 2 * 3.14159265358979323846)) / (2 * log(r->theta));
}

static float yarn_scaled(const hf_rotary *r, float frequency, int64_t i, int64_t columns) {
    double low = yarn_dimension(r, r->high, (double)columns), high = yarn_dimension(r, r->low, (double)columns);
    if (r->truncate) low = floor(low), high = ceil(high);
    low = low > 0 ? low : 0;
    high = high < (double)(columns - 1) ? high : (double)(columns - 1);
    if (low == high) high += 0.001;
    double ramp = ((double)i - low) / (high - low);
    const float stretched = (float)(ramp < 0 ? 0 : ramp > 1 ? 1 : ramp);
    return frequency / (float)r->factor * stretched + frequency * (1 - stretched);
}

static float ntk_mixed(const hf_rotary *r, float frequency, int64_t i, int64_t columns) {
    const double a = log(r->factor) / pow((double)columns / 2, r->mixed);
    return frequency / (float)exp(a * pow((double)(i + 1), r->mixed));
}

/* theta^(-2 i / columns), scaled, in the precision that models were trained with: f32. */
static float frequency_of(const hf_rotary *r, int64_t i, int64_t columns) {
    const double base = r->scaling == HF_SCALING_NTK ? r->theta * r->factor : r->theta;
    const float f = 1.0f / (float)pow(base, (double)((float)(2 * i) / (float)columns));
    switch (r->scaling) {
    case HF_SCALING_NONE: return f;
    case HF_SCALING_LINEAR: return f / (float)r->factor;
    case HF_SCALING_LLAMA3: return llama3_scaled(r, f);
    case HF_SCALING_YARN: return yarn_scaled(r, f, i, columns);
    case HF_SCALING_LONGROPE: return 1.0f / ((float)yyjson_get_num(yyjson_arr_get(r->factors, (size_t)i)) / f);
    case HF_SCALING_NTK: return f / (float)pow(r->factor, 2.0 / (double)columns);
    case HF_SCALING_NTK_MIXED: return ntk_mixed(r, f, i, columns);
    case HF_SCALING_DYNAMIC: return f;
    }
    return f;
}

static float angle_at(int64_t i, const void *user) {
    const angles *a = user;
    const float angle = (float)(i / a->half) * a->frequencies[i % a->half];
    return (float)a->of((double)angle) * a->factor;
}

static float frequency_at(int64_t i, const void *user) { return ((const float *)user)[i]; }

/* The table [positions, columns / 2]: computed, or, where the file has one (names->angles), half of its columns: sin, then cos. */
static graph_value *table(hf_builder *b, const hf_stack *s, const char *at, const angles *a) {
    const char *own = s->names->angles ? hf_path(b, "%s.weight", s->names->angles) : NULL;
    const int64_t first = a->of == sin ? 0 : a->half;
    if (!own || !hf_has_weight(b, own)) return hf_constant(b, at, s->positions, a->half, angle_at, a);
    return hf_columns(b, at, hf_weight(b, own, s->positions, 2 * a->half), first, first + a->half);
}

/* cos and sin of positions times frequencies, [1, seq, columns / 2]: rows of a table. */
static graph_value *rows_of_table(hf_builder *b, const hf_stack *s, const char *at, const angles *a, graph_value *ids) {
    graph_value *positions = graph_find_value(b->g, "positions.rotary");
    if (!positions) positions = hf_positions(b, "positions.rotary", ids, s->positions, 0);
    return hf_op2(b, "Gather", hf_path(b, "%s.rows", at), table(b, s, at, a), positions);
}

/* The same, computed in the graph. */
static graph_value *rows_computed(hf_builder *b, const char *at, const char *op, const angles *a, graph_value *ids) {
    graph_value *p = hf_cast(b, hf_path(b, "%s.positions", at), hf_range(b, ids), NIB_DTYPE_F32);
    p = hf_op2(b, "Unsqueeze", hf_path(b, "%s.rows", at), p,
               hf_ints(b, hf_path(b, "%s.axes", at), (int64_t[]){0, 2}, 2));
    graph_value *f = hf_constant(b, hf_path(b, "%s.frequencies", at), a->half, 0, frequency_at, a->frequencies);
    p = hf_op1(b, op, hf_path(b, "%s.wave", at), hf_op2(b, "Mul", hf_path(b, "%s.angles", at), p, f));
    return a->factor == 1.0f ? p : hf_op2(b, "Mul", hf_path(b, "%s.times", at), p, hf_scalar(b, a->factor));
}

static void make_angles(hf_builder *b, const hf_stack *s, hf_kind kind, graph_value *ids, hf_shared *out) {
    static const struct {
        const char *name, *op;
        double (*of)(double);
    } waves[] = {{"cos", "Cos", cos}, {"sin", "Sin", sin}};
    const hf_rotary *r = &s->sight[kind].rotary;
    const int64_t columns = rotated_columns(s), half = columns / 2;
    float *frequencies = base_arena_alloc(b->g->arena, (size_t)half * sizeof(float));
    if (!frequencies) hf_no_memory(b);
    for (int64_t i = 0; frequencies && i < half; i++) frequencies[i] = frequency_of(r, i, columns);
    for (size_t w = 0; w < BASE_COUNT(waves) && b->status == NIB_OK; w++) {
        const angles a = {frequencies, half, (float)r->attention_factor, waves[w].of};
        const char *at = hf_path(b, "rotary.%s.%s", hf_kind_names[kind], waves[w].name);
        graph_value *rows = s->positions <= MOST_ANGLES / half ? rows_of_table(b, s, at, &a, ids)
                                                               : rows_computed(b, at, waves[w].op, &a, ids);
        rows = hf_unsqueeze(b, hf_path(b, "%s.heads", at), hf_concat(b, hf_path(b, "%s.twice", at), rows, rows), 1);
        *(w ? &out->sin : &out->cos) = rows;
    }
}

/* x cos + (-second half, first half) sin, of the first columns of each head; x is [batch, heads, seq, D]. */
static graph_value *turn(hf_builder *b, const hf_stack *s, const char *path, graph_value *x, const hf_shared *shared) {
    const int64_t columns = rotated_columns(s), D = s->head_size;
    graph_value *rest = columns < D ? hf_columns(b, hf_path(b, "%s.rest", path), x, columns, D) : NULL;
    if (rest) x = hf_columns(b, hf_path(b, "%s.part", path), x, 0, columns);
    graph_value *first = hf_columns(b, hf_path(b, "%s.first", path), x, 0, columns / 2);
    graph_value *second = hf_columns(b, hf_path(b, "%s.second", path), x, columns / 2, columns);
    graph_value *around =
        hf_concat(b, hf_path(b, "%s.around", path), hf_op1(b, "Neg", hf_path(b, "%s.negative", path), second), first);
    x = hf_op2(b, "Mul", hf_path(b, "%s.cos", path), x, shared->cos);
    x = hf_op2(b, "Add", hf_path(b, "%s.turned", path), x,
               hf_op2(b, "Mul", hf_path(b, "%s.sin", path), around, shared->sin));
    return rest ? hf_concat(b, hf_path(b, "%s.whole", path), x, rest) : x;
}

/* ---------------------------------------------------------------- biases */

graph_value *hf_differences(hf_builder *b, graph_value *ids) {
    if (b->status != NIB_OK) return NULL;
    graph_value *known = graph_find_value(b->g, "window.difference"), *j = known ? NULL : hf_range(b, ids);
    return known ? known : hf_op2(b, "Sub", "window.difference", hf_unsqueeze(b, "window.queries", j, 1), j);
}

static graph_value *within(hf_builder *b, const char *at, const char *op, graph_value *x, int64_t most) {
    return hf_op2(b, op, at, x, hf_int(b, hf_path(b, "%s.limit", at), most));
}

/* The padding of keys, and beside it the least float where a key is out of sight. */
static graph_value *sight_bias(hf_builder *b, const hf_sight *sight, hf_kind kind, graph_value *ids,
                               graph_value *mask) {
    graph_value *padding = b->status == NIB_OK ? graph_find_value(b->g, "mask.bias") : NULL, *sees = NULL;
    if (!padding) padding = hf_mask_bias(b, mask);
    if (sight->left < 0 && sight->right < 0) return padding;
    const char *at = hf_path(b, "window.%s", hf_kind_names[kind]);
    graph_value *d = hf_differences(b, ids);
    if (sight->left == sight->right) {
        sees = within(b, hf_path(b, "%s.sees", at), "LessOrEqual", hf_op1(b, "Abs", hf_path(b, "%s.distance", at), d),
                      sight->left);
    } else {
        if (sight->right >= 0) sees = within(b, hf_path(b, "%s.after", at), "GreaterOrEqual", d, -sight->right);
        graph_value *before =
            sight->left >= 0 ? within(b, hf_path(b, "%s.before", at), "LessOrEqual", d, sight->left) : NULL;
        if (before) sees = sees ? hf_op2(b, "And", hf_path(b, "%s.sees", at), sees, before) : before;
    }
    return hf_op(b, "Where", hf_path(b, "%s.bias", at), (graph_value *[]){sees, padding, hf_scalar(b, -FLT_MAX)}, 3);
}

/* Head h's slope: 2^(-8 (h + 1) / n) for n heads, a power of 2; those beyond it get every other one of twice as many.
 */
static float slope_at(int64_t h, const void *user) {
    const int64_t heads = *(const int64_t *)user;
    int64_t n = 1;
    while (2 * n <= heads) n *= 2;
    return -(float)(h < n ? pow(2, -8.0 * (double)(h + 1) / (double)n)
                          : pow(2, -4.0 * (double)(2 * (h - n) + 1) / (double)n));
}

/* -slope |i - j|: [1, heads, seq, seq]. Where causal, BLOOM's slope * j differs by a number that is one query's own,
 * which softmax takes away. */
static graph_value *alibi(hf_builder *b, const hf_stack *s, graph_value *ids) {
    graph_value *far =
        hf_cast(b, "alibi.distance.f32", hf_op1(b, "Abs", "alibi.distance", hf_differences(b, ids)), NIB_DTYPE_F32);
    graph_value *slopes = hf_constant(b, "alibi.slopes", s->heads, 0, slope_at, &s->heads);
    slopes = hf_reshape(b, "alibi.heads", slopes, (int64_t[]){1, s->heads, 1, 1}, 4);
    return hf_op2(b, "Mul", "alibi.bias", far, slopes);
}

/* The bucket of a distance, half of them for keys behind the query, unless it sees none: whole distances up to a
 * quarter of all, then ever wider ones (Raffel et al., 2020), with torch's f32 logarithms. */
static int64_t bucket_at(int64_t i, const void *user) { /* of key - query = i - bucket_reach */
    const hf_stack *s = user;
    const int64_t half = s->causal ? s->buckets : s->buckets / 2, exact = half / 2, d = i - s->bucket_reach;
    const int64_t far = d < 0 ? -d : s->causal ? 0 : d;
    int64_t at = far;
    if (far >= exact) {
        const float ratio = logf((float)far / (float)exact) / (float)log((double)s->bucket_reach / (double)exact);
        at = exact + (int64_t)(ratio * (float)(half - exact));
        if (at > half - 1) at = half - 1;
    }
    return at + (d > 0 && !s->causal ? half : 0);
}

/* table[bucket of j - i]: [1, heads, seq, seq]. Beyond bucket_reach all distances have the last bucket. */
static graph_value *bucket_bias(hf_builder *b, const hf_stack *s, graph_value *ids) {
    const char *at = s->names->buckets;
    const hf_pick by_distance = {"distances", 2 * s->bucket_reach + 1, bucket_at, s};
    graph_value *table = hf_weight_picked(b, hf_path(b, "%s.weight", at), s->buckets, s->heads, &by_distance);
    graph_value *least = hf_int(b, hf_path(b, "%s.least", at), -s->bucket_reach),
                *most = hf_int(b, hf_path(b, "%s.most", at), s->bucket_reach);
    graph_value *d = hf_op1(b, "Neg", hf_path(b, "%s.ahead", at), hf_differences(b, ids));
    d = hf_op(b, "Clip", hf_path(b, "%s.near", at), (graph_value *[]){d, least, most}, 3);
    graph_value *bias =
        hf_op2(b, "Gather", hf_path(b, "%s.rows", at), table, hf_op2(b, "Add", hf_path(b, "%s.index", at), d, most));
    bias = hf_transpose(b, hf_path(b, "%s.heads", at), bias, (int64_t[]){2, 0, 1}, 3);
    return hf_unsqueeze(b, hf_path(b, "%s.scores", at), bias, 0);
}

hf_shared hf_shared_make(hf_builder *b, const hf_stack *s, hf_kind kind, graph_value *ids, graph_value *mask) {
    hf_shared out = {.ids = ids, .bias = sight_bias(b, &s->sight[kind], kind, ids, mask)};
    graph_value *by_distance = NULL;
    if (s->alibi || s->buckets) {
        const char *known = s->alibi ? "alibi.bias" : hf_path(b, "%s.scores", s->names->buckets);
        by_distance = b->status == NIB_OK ? graph_find_value(b->g, known) : NULL;
        if (!by_distance) by_distance = s->alibi ? alibi(b, s, ids) : bucket_bias(b, s, ids);
        out.bias = hf_op2(b, "Add", hf_path(b, "bias.%s", hf_kind_names[kind]), by_distance, out.bias);
    }
    if (s->sight[kind].rotary.theta > 0 && b->status == NIB_OK) make_angles(b, s, kind, ids, &out);
    if (s->names->cross.q && b->status == NIB_OK) out.padding = graph_find_value(b->g, "mask.bias");
    return out;
}

/* ---------------------------------------------------------------- queries, keys and values */

/* Where the rows of q, of k or of v stand in the file. */
typedef struct part_rows {
    int64_t D, first, stride; /* head_size; row of head 0; rows from head to head */
    int64_t pairs; /* columns of a head that are turned in pairs: 2 i and 2 i + 1 become i and pairs / 2 + i */
} part_rows;

static int64_t part_row(int64_t i, const void *user) {
    const part_rows *p = user;
    int64_t c = i % p->D, half = p->pairs / 2;
    if (c < half) c = 2 * c;
    else if (c < 2 * half) c = 2 * (c - half) + 1;
    return p->first + i / p->D * p->stride + c;
}

/* x's projection by the rows of `path` that `pick` says, of file_rows. */
static graph_value *project_part(hf_builder *b, const hf_stack *s, const char *at, const char *path, graph_value *x,
                                 int64_t file_rows, bool with_bias, const hf_pick *pick) {
    graph_value *w = hf_weight_picked(b, hf_path(b, "%s.weight", path), file_rows, s->hidden, pick);
    return hf_product(b, at, x, w,
                      with_bias ? hf_weight_picked(b, hf_path(b, "%s.bias", path), file_rows, 0, pick) : NULL);
}

/* q, k, v: [batch, seq, heads D] each. */
static bool make_parts(hf_builder *b, const hf_stack *s, const char *at, graph_value *x, graph_value *parts[3]) {
    const hf_names *n = s->names;
    const int64_t D = s->head_size, widths[3] = {s->heads * D, s->kv_heads * D, s->kv_heads * D},
                  all = widths[0] + 2 * widths[1];
    const char *const paths[3] = {n->q, n->k, n->v}, *const called[3] = {"query", "key", "value"};
    const bool biases[3] = {s->q_bias, s->k_bias, s->v_bias};
    if (s->qkv == HF_QKV_BLOCKS) {
        graph_value *joined = hf_stack_project(b, s, hf_path(b, "%s%s", at, n->qkv), x, s->hidden, all, s->q_bias);
        return hf_split(b, hf_path(b, "%sattention.part", at), joined, widths, 3, parts);
    }
    for (int i = 0; i < 3; i++) {
        const char *path = hf_path(b, "%s%s", at, s->qkv == HF_QKV_SEPARATE ? paths[i] : n->qkv);
        part_rows rows = {.D = D,
                          .stride = s->qkv == HF_QKV_HEADS ? 3 * D : D,
                          .pairs = s->rotary_pairs && i < 2 ? rotated_columns(s) : 0};
        if (s->qkv == HF_QKV_HEADS) rows.first = i * D;
        const hf_pick pick = {called[i], widths[i], part_row, &rows};
        const bool as_it_is = s->qkv == HF_QKV_SEPARATE && rows.pairs == 0;
        parts[i] = as_it_is ? hf_project(b, path, x, s->hidden, widths[i], biases[i])
                            : project_part(b, s, hf_path(b, "%sattention.%s", at, called[i]), path, x,
                                           s->qkv == HF_QKV_SEPARATE ? widths[i] : all, biases[i], &pick);
    }
    return b->status == NIB_OK;
}

/* Rows as heads [batch, heads, seq, D]: normed, split, rotated. */
static graph_value *make_heads(hf_builder *b, const hf_stack *s, const char *at, const char *norm, graph_value *x,
                               int64_t heads, const hf_shared *shared) {
    const int64_t D = s->head_size, split[] = {0, 0, heads, D};
    if (s->head_norm == HF_HEAD_NORM_WIDTH) x = hf_stack_norm(b, s, norm, x, heads * D, s->head_norm_bias);
    if (s->head_norm == HF_HEAD_NORM_HEAD) {
        x = hf_stack_norm(b, s, norm, hf_reshape(b, hf_path(b, "%s.split", at), x, split, 4), D, s->head_norm_bias);
        x = hf_transpose(b, at, x, (int64_t[]){0, 2, 1, 3}, 4);
    } else {
        x = hf_heads(b, at, x, heads, D, false);
    }
    return shared->cos ? turn(b, s, at, x, shared) : x;
}

/* [batch, kv_heads, seq, D] -> [batch, heads, seq, D]: each head heads / kv_heads times. */
static graph_value *repeated(hf_builder *b, const hf_stack *s, const char *at, graph_value *x) {
    const int64_t times = s->heads / s->kv_heads;
    if (times == 1) return x;
    x = hf_unsqueeze(b, hf_path(b, "%s.shared", at), x, 2);
    graph_value *shape = hf_ints(b, hf_path(b, "%s.times", at), (int64_t[]){1, 1, times, 1, 1}, 5);
    x = hf_op2(b, "Expand", hf_path(b, "%s.expanded", at), x, shape);
    return hf_reshape(b, hf_path(b, "%s.repeated", at), x, (int64_t[]){0, s->heads, -1, s->head_size}, 4);
}

/* softmax(cap(q k^T / sqrt(score_size)) + bias) v; q, v [batch, heads, seq, D], k [batch, heads, D, seq]. */
static graph_value *attend(hf_builder *b, const hf_stack *s, const char *layer, graph_value *const qkv[3],
                           const hf_shared *shared) {
    const char *at = hf_path(b, "%sattention", layer);
    graph_value *p = hf_op2(b, "MatMul", hf_path(b, "%s.products", at), qkv[0], qkv[1]);
    if (s->score_size != 1)
        p = hf_op2(b, "Div", hf_path(b, "%s.scaled", at), p, hf_scalar(b, (float)sqrt(s->score_size)));
    if (s->score_cap > 0) {
        p = hf_op2(b, "Div", hf_path(b, "%s.small", at), p, hf_scalar(b, (float)s->score_cap));
        p = hf_op1(b, "Tanh", hf_path(b, "%s.tanh", at), p);
        p = hf_op2(b, "Mul", hf_path(b, "%s.capped", at), p, hf_scalar(b, (float)s->score_cap));
    }
    if (s->relative.span > 0)
        p = hf_op2(b, "Add", hf_path(b, "%s.distant", at), p,
                   hf_relative_scores(b, s, layer, qkv[0], qkv[1], shared->ids));
    p = hf_op1(b, "Softmax", hf_path(b, "%s.probabilities", at),
               hf_op2(b, "Add", hf_path(b, "%s.masked", at), p, shared->bias));
    if (p && graph_set_int(p->producer, "axis", -1) != NIB_OK) hf_no_memory(b);
    p = hf_op2(b, "MatMul", hf_path(b, "%s.context", at), p, qkv[2]);
    p = hf_transpose(b, hf_path(b, "%s.context.T", at), p, (int64_t[]){0, 2, 1, 3}, 4);
    return hf_reshape(b, hf_path(b, "%s.joined", at), p, (int64_t[]){0, 0, s->heads * s->head_size}, 3);
}

graph_value *hf_stack_attention(hf_builder *b, const hf_stack *s, const char *at, graph_value *x,
                                const hf_shared *shared) {
    const hf_names *n = s->names;
    graph_value *qkv[3];
    const char *q = hf_path(b, "%sattention.q", at), *k = hf_path(b, "%sattention.k", at),
               *v = hf_path(b, "%sattention.v", at);
    if (!make_parts(b, s, at, x, qkv)) return NULL;
    const bool plain = !shared->cos && s->head_norm == HF_HEAD_NORM_NONE && s->kv_heads == s->heads;
    qkv[0] = make_heads(b, s, q, s->head_norm ? hf_path(b, "%s%s", at, n->q_norm) : NULL, qkv[0], s->heads, shared);
    if (plain) {
        qkv[1] = hf_heads(b, k, qkv[1], s->heads, s->head_size, true);
    } else {
        qkv[1] =
            make_heads(b, s, k, s->head_norm ? hf_path(b, "%s%s", at, n->k_norm) : NULL, qkv[1], s->kv_heads, shared);
        qkv[1] = hf_transpose(b, hf_path(b, "%s.columns", k), repeated(b, s, k, qkv[1]), (int64_t[]){0, 1, 3, 2}, 4);
    }
    qkv[2] = repeated(b, s, v, hf_heads(b, v, qkv[2], s->kv_heads, s->head_size, false));
    x = attend(b, s, at, qkv, shared);
    return hf_stack_project(b, s, hf_path(b, "%s%s", at, n->out), x, s->heads * s->head_size, s->hidden, s->out_bias);
}

graph_value *hf_stack_cross(hf_builder *b, const hf_stack *s, const char *at, graph_value *x, const hf_shared *shared) {
    const hf_cross *n = &s->names->cross;
    const int64_t D = s->head_size, width = s->heads * D;
    const char *own = hf_path(b, "%scross.", at);
    const struct {
        const char *path, *called;
        graph_value *x;
        bool bias, turned;
    } parts[3] = {{n->q, "q", x, s->q_bias, false},
                  {n->k, "k", shared->memory, s->k_bias, true},
                  {n->v, "v", shared->memory, s->v_bias, false}};
    graph_value *qkv[3];
    for (int i = 0; i < 3; i++) {
        qkv[i] =
            hf_stack_project(b, s, hf_path(b, "%s%s", at, parts[i].path), parts[i].x, s->hidden, width, parts[i].bias);
        qkv[i] = hf_heads(b, hf_path(b, "%sattention.%s", own, parts[i].called), qkv[i], s->heads, D, parts[i].turned);
    }
    x = attend(b, s, own, qkv, &(hf_shared){.bias = shared->padding});
    return hf_stack_project(b, s, hf_path(b, "%s%s", at, n->out), x, width, s->hidden, s->out_bias);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Scores by distance (kernel_relative), in every precision: the including file has included attention_parts.h, and
 * defines the two products that are declared here.
 *
 * The products of queries and of keys are made with whole rows of the tables, those that the distances between a panel
 * of queries and a tile of keys can reach: neighbours reach neighbouring rows. Then each pair takes its own.
 *
 * Of keys: for one key, the queries of a vector stand one apart, and so do their distances. Where rows do, too, they
 * lie side by side, and one load takes them. Neighbouring panels reach most of the same rows, so these products are
 * made once a tile of keys, from left to right as panels get there.
 *
 * Of queries: a lane is a query, and each lane wants another row, one further than its neighbour. So lane l of all rows
 * is moved up by l, in four steps: by 1 where bit 0 of l is set, by 2 where bit 1 is, by 4, by 8. The first step also
 * turns rows into distances.
 *
 * Positions that are not adjacent are looked up pair by pair. Each pair has the same sums whichever way, so the same
 * bits.
 */
#ifndef ATTENTION_RELATIVE_H
#define ATTENTION_RELATIVE_H

/* Rows that a panel, and that all panels and a tile of keys can reach, and what rounding to whole blocks adds. */
#define REL_REACH (KERNEL_KEY_TILE + ATTN_LANES + KERNEL_RELATIVE_BLOCK)
#define REL_WIDTH (KERNEL_KEY_TILE + KERNEL_ATTENTION_PANELS * ATTN_LANES + KERNEL_RELATIVE_BLOCK)

typedef struct attn_relative {
    const kernel_relative *of;
    const char *keys, *queries; /* the head's tables, or NULL */
    const float *bias;          /* [count] the head's, or NULL */
    float slope;                /* the head's, or 0 */
    const void *tile;           /* what the products know the tile of keys by */
    bool adjacent;              /* positions are */
    float *c2p;                 /* [REL_REACH][lanes] products of queries */
    float *p2c;   /* [KERNEL_KEY_TILE][REL_WIDTH] products of the keys from `begin` on: rows [first, first + made) */
    float *moved; /* [KERNEL_KEY_TILE + 16][16] */
    int64_t begin, first, made;
} attn_relative;

/* c2p [end - row][lanes]: rows [row, end) of the keys' table by the panel's queries, as scores are. */
static void attn_relative_scores(const attn *t, const attn_relative *r, int64_t row, int64_t end);
/* Columns [column, column + 16) of p2c: keys [begin, end) by the block of the queries' table from `row` on. */
static void attn_relative_pairs(const attn *t, const attn_relative *r, int64_t begin, int64_t end, int64_t row,
                                int64_t column);

static attn_relative attn_relative_begin(const kernel_attention_args *g, int64_t first, int64_t n, int64_t kv_old,
                                         int head, bool q8, char **scratch) {
    attn_relative r = {.of = g->relative, .begin = -1, .adjacent = true};
    const size_t at = (size_t)head * kernel_relative_bytes(q8, r.of->count, g->head_dim);
    if (r.of->keys) r.keys = (const char *)r.of->keys + at;
    if (r.of->queries) r.queries = (const char *)r.of->queries + at;
    if (r.of->bias) r.bias = r.of->bias + (int64_t)head * r.of->count;
    if (r.of->slopes) r.slope = r.of->slopes[head];
    r.c2p = attn_take(scratch, REL_REACH * ATTN_LANES * sizeof(float));
    r.p2c = attn_take(scratch, KERNEL_KEY_TILE * REL_WIDTH * sizeof(float));
    r.moved = attn_take(scratch, (KERNEL_KEY_TILE + 16) * 16 * sizeof(float));
    if (g->positions && n > 0) {
        const int32_t *p = g->positions + first;
        r.adjacent = kv_old == 0 || p[0] == kv_old;
        for (int64_t i = 1; i < n; i++) r.adjacent = r.adjacent && (int64_t)p[i] - p[i - 1] == 1;
    }
    return r;
}

VEC_INLINE int64_t attn_relative_row(const kernel_relative *of, int64_t distance) {
    const int64_t d = distance < -of->reach ? -of->reach : distance > of->reach ? of->reach : distance;
    return of->rows[d + of->reach];
}

/* Lane l of x[s] becomes lane l of x[s + l], for s in [0, n). The first step reads c2p at the rows at[s .. s + 15]. */
VEC_INLINE void attn_move_up(const float *c2p, const int32_t *at, int64_t n, float *x) {
    static const float bits[4][16] = {{0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1},
                                      {0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1},
                                      {0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1},
                                      {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}};
    const vec zero = vec_zero();
    vec bit = vec_load(bits[0]), here = vec_load(c2p + at[0] * ATTN_LANES), next;
    for (int64_t s = 0; s < n + 14; s++, here = next) {
        next = vec_load(c2p + at[s + 1] * ATTN_LANES);
        vec_store(x + 16 * s, vec_select_lt(zero, bit, next, here));
    }
    VEC_UNROLL
    for (int k = 1; k < 4; k++) {
        bit = vec_load(bits[k]);
        for (int64_t s = 0; s < n + 16 - (2 << k); s++)
            vec_store(x + 16 * s, vec_select_lt(zero, bit, vec_load(x + 16 * (s + (1 << k))), vec_load(x + 16 * s)));
    }
}

/* Lane l is row[at[l]]. */
VEC_INLINE vec attn_pick(const float *row, const int32_t *at) {
    if (at[15] - at[0] == 15) return vec_load(row + at[0]);
    if (at[15] == at[0]) return vec_set1(row[at[0]]);
    float some[16];
    for (int l = 0; l < 16; l++) some[l] = row[at[l]];
    return vec_load(some);
}

/* What pairs' numbers are multiplied by to be scores of a lane: products of keys with a table, and biases. */
typedef struct attn_units {
    float pairs[ATTN_LANES], bias[ATTN_LANES];
} attn_units;

/* p of each key j and lane gets row[at[n - 1 - j + lane]] times the lane's unit; rows of keys lie `stride` apart. */
static void attn_relative_pick(const attn *t, const float *rows, int64_t stride, const int32_t *at, int n,
                               const float *units) {
    for (int j = 0; j < n; j++) {
        for (int v = 0; v < (t->rows + 15) / 16; v++) {
            float *p = t->p + j * ATTN_LANES + 16 * v;
            vec x = attn_pick(rows + j * stride, at + n - 1 - j + 16 * v);
            vec_store(p, vec_fma(x, vec_load(units + 16 * v), vec_load(p)));
        }
    }
}

/* p of keys [begin, end) where positions are adjacent: distances ascend by one from key to key before it, and from lane
 * to lane. */
static void attn_relative_adjacent(const attn *t, attn_relative *r, int64_t begin, int64_t end,
                                   const attn_units *units) {
    const int n = (int)(end - begin), nv = (t->rows + 15) / 16, distances = n + 16 * nv - 1;
    const int64_t least = t->kv_old + (t->row - t->first) - (end - 1); /* of the first query and the last key */
    const int64_t low = attn_relative_row(r->of, least), high = attn_relative_row(r->of, least + distances - 1);
    int32_t at[KERNEL_KEY_TILE + ATTN_LANES];
    for (int e = 0; e < distances; e++) at[e] = (int32_t)(attn_relative_row(r->of, least + e) - low);
    if (r->keys) {
        attn_relative_scores(t, r, low, high + 1);
        for (int v = 0; v < nv; v++) {
            attn_move_up(r->c2p + 16 * v, at + 16 * v, n, r->moved);
            for (int j = 0; j < n; j++) {
                float *p = t->p + j * ATTN_LANES + 16 * v;
                vec_store(p, vec_add(vec_load(p), vec_load(r->moved + 16 * (n - 1 - j))));
            }
        }
    }
    if (r->queries) {
        if (r->begin != begin || low < r->first || high >= r->first + REL_WIDTH) {
            r->begin = begin;
            r->first = low / KERNEL_RELATIVE_BLOCK * KERNEL_RELATIVE_BLOCK;
            r->made = 0;
        }
        for (; r->first + r->made <= high; r->made += KERNEL_RELATIVE_BLOCK)
            attn_relative_pairs(t, r, begin, end, r->first + r->made, r->made);
        attn_relative_pick(t, r->p2c + (low - r->first), REL_WIDTH, at, n, units->pairs);
    }
    if (r->bias) attn_relative_pick(t, r->bias + low, 0, at, n, units->bias);
}

/* The rows that keys and lanes have, wherever positions are; *low, *high: the least and the most of them. */
static void attn_relative_rows(const attn *t, const attn_relative *r, int64_t begin, int n,
                               int32_t at[KERNEL_KEY_TILE][ATTN_LANES], int64_t *low, int64_t *high) {
    *low = INT64_MAX, *high = -1;
    for (int j = 0; j < n; j++) {
        for (int l = 0; l < (t->rows + 15) / 16 * 16; l++) {
            const int64_t query = t->kv_old + t->row - t->first + (l < t->rows ? l : 0);
            const int64_t row = attn_relative_row(r->of, attn_position(t, query) - attn_position(t, begin + j));
            at[j][l] = (int32_t)row;
            if (row < *low) *low = row;
            if (row > *high) *high = row;
        }
    }
}

/* The same wherever positions are: so many rows at a time, of which each pair takes its own once they are there. First
 * all of the keys' table, then all of the queries': each pair adds in one order. */
static void attn_relative_anywhere(const attn *t, attn_relative *r, int64_t begin, int64_t end,
                                   const attn_units *units) {
    const int n = (int)(end - begin), lanes = (t->rows + 15) / 16 * 16;
    int64_t low, high;
    int32_t at[KERNEL_KEY_TILE][ATTN_LANES];
    attn_relative_rows(t, r, begin, n, at, &low, &high);
    r->begin = -1;
    low = low / KERNEL_RELATIVE_BLOCK * KERNEL_RELATIVE_BLOCK;
    for (int table = 0; table < 2; table++) {
        for (int64_t from = low; (table ? r->queries : r->keys) && from <= high; from += REL_REACH) {
            const int64_t to = high + 1 - from < REL_REACH ? high + 1 : from + REL_REACH;
            if (!table) attn_relative_scores(t, r, from, to);
            for (int64_t row = from; table && row < to; row += KERNEL_RELATIVE_BLOCK)
                attn_relative_pairs(t, r, begin, end, row, row - from);
            for (int j = 0; j < n; j++) {
                for (int l = 0; l < lanes; l++) {
                    float *p = t->p + j * ATTN_LANES + l;
                    if (at[j][l] < from || at[j][l] >= to) continue;
                    if (!table) *p += r->c2p[(at[j][l] - from) * ATTN_LANES + l];
                    else *p = fmaf(r->p2c[j * REL_WIDTH + at[j][l] - from], units->pairs[l], *p);
                }
            }
        }
    }
    for (int j = 0; r->bias && j < n; j++)
        for (int l = 0; l < lanes; l++) {
            float *p = t->p + j * ATTN_LANES + l;
            *p = fmaf(r->bias[at[j][l]], units->bias[l], *p);
        }
}

/* p of keys [begin, end) gets the slope times the distance, wherever positions are. */
static void attn_relative_far(const attn *t, const attn_relative *r, int64_t begin, int64_t end, const float *units) {
    const int nv = (t->rows + 15) / 16;
    float queries[ATTN_LANES];
    for (int l = 0; l < 16 * nv; l++)
        queries[l] = (float)attn_position(t, t->kv_old + t->row - t->first + (l < t->rows ? l : 0));
    const vec slope = vec_set1(r->slope);
    for (int64_t key = begin; key < end; key++) {
        const vec at = vec_set1((float)attn_position(t, key));
        for (int v = 0; v < nv; v++) {
            float *p = t->p + (key - begin) * ATTN_LANES + 16 * v;
            const vec x = vec_mul(slope, vec_abs(vec_sub(vec_load(queries + 16 * v), at)));
            vec_store(p, vec_fma(x, vec_load(units + 16 * v), vec_load(p)));
        }
    }
}

/* p [end - begin][lanes] gets what distances add. */
static void attn_relative_add(const attn *t, attn_relative *r, int64_t begin, int64_t end, const attn_units *units) {
    if (r->of->rows && r->adjacent) attn_relative_adjacent(t, r, begin, end, units);
    else if (r->of->rows) attn_relative_anywhere(t, r, begin, end, units);
    if (r->of->slopes) attn_relative_far(t, r, begin, end, units->bias);
}

#endif

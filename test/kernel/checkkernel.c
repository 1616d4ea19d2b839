/* SPDX-License-Identifier: Apache-2.0
 *
 * checkkernel: every kernel of kernels.def that this machine can run against the reference, on random sizes, strides and
 * alignments, between guard pages.
 *
 *     checkkernel [--seed n] [--need rung] [--digest] [filter]    tests; filter: linear, rows, convert, functions, attention
 *     checkkernel --bench [filter] [--shapes file] [--seconds s]  times
 *
 * NIB_CPU caps the rungs as everywhere. --need makes the program end with code 77 (skipped) where the rung is missing.
 * Checked are: the bound against the reference, that a row's bits depend on nothing but the row, that all rungs with
 * fused multiply-add give the same bits, and that nothing outside the arguments is read or written.
 */
#include "checkkernel.h"
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

sigjmp_buf check_jump;
volatile int check_armed;
size_t (*check_scratch)(int head_dim), (*check_q8_scratch)(int head_dim);

static uint64_t base_seed, state = 1;
static char kernel_name[128], case_name[512];
static uint64_t cases, failures;
static uint32_t isas;

/* ---- random numbers ---- */

void check_seed(uint64_t seed) {
    base_seed = seed;
    state = seed * 0x9e3779b97f4a7c15u + 0x1234567u;
}

void check_case(const char *part, uint64_t n) {
    uint64_t hash = 0xcbf29ce484222325u ^ base_seed;
    for (; *part; part++) hash = (hash ^ (unsigned char)*part) * 0x100000001b3u;
    state = (hash + n) * 0x9e3779b97f4a7c15u | 1u;
    for (int i = 0; i < 4; i++) check_random();
}

uint64_t check_random(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545f4914f6cdd1du;
}

int64_t check_pick(int64_t lo, int64_t hi) { return lo + (int64_t)((check_random() >> 16) % (uint64_t)(hi - lo + 1)); }
bool check_chance(int percent) { return check_pick(0, 99) < percent; }
float check_uniform(void) { return (float)((int32_t)(check_random() >> 40) - (1 << 23)) * 0x1p-23f; }

/* ---- memory ---- */

enum { CANARY = 0xb7, BLOCKS = 64 };
#define GAP 0xffb7b7b7u /* a NaN that no kernel makes */

typedef struct block {
    unsigned char *map, *data;
    size_t map_bytes, page, bytes;
} block;
static block blocks[BLOCKS];
static int block_count;

void *check_bytes(size_t bytes, size_t skew) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (bytes + skew + 63 + page) / page * page;
    unsigned char *map = mmap(NULL, inner + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || block_count == BLOCKS || mprotect(map, page, PROT_NONE) || mprotect(map + page + inner, page, PROT_NONE)) {
        fprintf(stderr, "checkkernel: no memory for a case\n");
        exit(2);
    }
    memset(map + page, CANARY, inner);
    unsigned char *data = check_chance(50) ? map + page + skew : map + page + inner - bytes - skew;
    blocks[block_count++] = (block){map, data, inner + 2 * page, page, bytes};
    return data;
}

float *check_floats(size_t n) {
    unsigned char *p = check_bytes(n * sizeof(float), 0);
    uint32_t gap = GAP;
    for (size_t i = 0; i < n; i++) memcpy(p + i * sizeof(float), &gap, sizeof(gap));
    return (float *)(void *)p;
}

float *check_random_floats(size_t n) {
    float *p = check_floats(n);
    for (size_t i = 0; i < n; i++) p[i] = check_uniform();
    return p;
}

void check_release(void) {
    for (int i = 0; i < block_count; i++) {
        block *b = &blocks[i];
        bool broken = false;
        for (unsigned char *p = b->map + b->page; p < b->data; p++) broken |= *p != CANARY;
        for (unsigned char *p = b->data + b->bytes; p < b->map + b->map_bytes - b->page; p++) broken |= *p != CANARY;
        if (broken) check_fail("wrote outside a buffer of %zu bytes", b->bytes);
        munmap(b->map, b->map_bytes);
    }
    block_count = 0;
}

/* ---- calls and messages ---- */

void check_begin(const char *kernel, const char *what, ...) {
    va_list args;
    va_start(args, what);
    snprintf(kernel_name, sizeof(kernel_name), "%s", kernel);
    vsnprintf(case_name, sizeof(case_name), what, args);
    va_end(args);
    cases++;
}

void check_fail(const char *format, ...) {
    va_list args;
    if (failures++ >= 50) return;
    va_start(args, format);
    printf("FAIL %s (%s): ", kernel_name, case_name);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

static void on_signal(int number) {
    if (!check_armed) {
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    check_armed = number;
    siglongjmp(check_jump, 1);
}

void check_crashed(void) {
    check_fail("crashed with signal %d", check_armed);
    check_armed = 0;
}

/* ---- comparisons ---- */

static uint32_t bits_of(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof(u));
    return u;
}

void check_near(const float *got, int64_t got_stride, const float *want, int64_t want_stride, int64_t rows, int64_t columns,
                const double *bound, double flat) {
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < columns; c++) {
            float g = got[r * got_stride + c], w = want[r * want_stride + c];
            double limit = bound ? bound[r * columns + c] : flat;
            bool ok = isnan(w) ? isnan(g) && bits_of(g) != GAP : isinf(w) || isinf(g) ? g == w : fabs((double)g - (double)w) <= limit;
            if (ok) continue;
            check_fail("[%" PRId64 "][%" PRId64 "] is %.9g, not %.9g (off by %.3g, allowed %.3g)", r, c, (double)g, (double)w,
                       fabs((double)g - (double)w), limit);
            return;
        }
        for (int64_t c = columns; c < got_stride && r + 1 < rows; c++) {
            if (bits_of(got[r * got_stride + c]) != GAP) {
                check_fail("wrote into the gap after row %" PRId64, r);
                return;
            }
        }
    }
}

void check_same(const float *got, int64_t got_stride, const float *want, int64_t want_stride, int64_t rows, int64_t columns,
                const char *as_what) {
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < columns; c++) {
            float g = got[r * got_stride + c], w = want[r * want_stride + c];
            if (bits_of(g) == bits_of(w) || (isnan(g) && isnan(w) && bits_of(g) != GAP)) continue;
            check_fail("[%" PRId64 "][%" PRId64 "] is %a, but %a %s", r, c, (double)g, (double)w, as_what);
            return;
        }
    }
}

static struct {
    const char *task;
    uint64_t hash;
} digests[32];

void check_digest(const char *task, const float *y, int64_t stride, int64_t rows, int64_t columns) {
    int i = 0;
    while (digests[i].task && strcmp(digests[i].task, task) != 0) i++;
    digests[i].task = task;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < columns; c++) {
            uint32_t u = isnan(y[r * stride + c]) ? 0x7fc00000u : bits_of(y[r * stride + c]);
            digests[i].hash = (digests[i].hash ^ u) * 0x100000001b3u + 1;
        }
    }
}

/* ---- the list ---- */

check_task check_find(const char *task) {
    check_task found = {{NULL}, 0};
    size_t count;
    const kernel_entry *list = kernel_entries(&count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].task, task) == 0 && (isas >> list[i].isa & 1u) && found.count < CHECK_MOST)
            found.entry[found.count++] = &list[i];
    }
    return found;
}

/* All kernels that the processor has, in the list's order turned round; and whatever is asked for has an answer, the best and at the least
 * the reference. */
static void check_linears(const kernels *all, const kernels *lowest) {
    size_t count;
    const kernel_entry *list = kernel_entries(&count);
    int last = 0;
    while (all->linear[last]) last++;
    for (size_t i = 0; i < count; i++) {
        if (!list[i].linear || !(isas >> list[i].isa & 1u)) continue;
        if (last == 0 || all->linear[--last] != list[i].linear) check_fail("%s is not in its place", list[i].name);
        if (strcmp(list[i].linear->name, list[i].name) != 0) check_fail("%s is named %s", list[i].name, list[i].linear->name);
        char task[32];
        snprintf(task, sizeof task, "linear_%s", kernel_weight_formats[list[i].linear->weight].name);
        if (strcmp(task, list[i].task) != 0) check_fail("%s multiplies %s", list[i].name, task);
    }
    if (last) check_fail("%s is not in kernels.def", all->linear[0]->name);
    for (int weight = 0; weight < KERNEL_WEIGHTS; weight++) {
        const kernel_linear *k = kernel_linear_find(lowest, KERNEL_INPUTS, (kernel_weight_format)weight, NULL);
        if (!k || k->isa != BASE_ISA_GENERIC) check_fail("%s has no reference", kernel_weight_formats[weight].name);
        const kernel_linear *best = kernel_linear_find(all, KERNEL_INPUTS, (kernel_weight_format)weight, NULL);
        for (const kernel_linear *const *at = all->linear; *at && *at != best; at++)
            if ((*at)->weight == (kernel_weight_format)weight) check_fail("%s is better than %s", (*at)->name, best->name);
        char layout[KERNEL_LAYOUT_NAME];
        kernel_layout_name(best, layout);
        if (kernel_linear_find(all, best->input, (kernel_weight_format)weight, layout) != best || kernel_layout_format(layout) != weight)
            check_fail("%s is not found by its layout", best->name);
        const int found = kernel_format_of(kernel_weight_formats, KERNEL_WEIGHTS, &kernel_weight_formats[weight].type);
        if (found != (kernel_weight_formats[weight].sums ? -1 : weight)) check_fail("%s is not found by its type", layout);
    }
    if (kernel_linear_find(all, KERNEL_INPUT_F32, KERNEL_WEIGHT_F32, "q8_n16") || kernel_layout_format("none_n1") >= 0)
        check_fail("a layout that nobody has is found");
}

/* The ladder gives every task to its best candidate, and to the reference where nothing else may be used. */
static void check_tables(void) {
    kernels all, lowest;
    kernel_table_init(&all, isas);
    kernel_table_init(&lowest, 0);
    check_begin("kernel_table_init", "the ladder");
    check_linears(&all, &lowest);
#define CHECK_MEMBER(member)                                                                                                               \
    do {                                                                                                                                   \
        check_task t = check_find(#member);                                                                                                \
        if ((void (*)(void))all.member != t.entry[t.count - 1]->function) check_fail("%s is not the best", #member);                       \
        if ((void (*)(void))lowest.member != t.entry[0]->function) check_fail("%s is not the reference", #member);                         \
    } while (0)
    CHECK_MEMBER(attention_f32);
    CHECK_MEMBER(attention_q8);
    CHECK_MEMBER(layer_norm_f32);
    CHECK_MEMBER(rms_norm_f32);
    CHECK_MEMBER(softmax_f32);
    CHECK_MEMBER(activation_f32);
    CHECK_MEMBER(map_f32);
    CHECK_MEMBER(conv_columns_f32);
    CHECK_MEMBER(conv_plane_f32);
    CHECK_MEMBER(pool_plane_f32);
    CHECK_MEMBER(turn_u8);
    CHECK_MEMBER(requantize_s32);
    CHECK_MEMBER(conv_plane_u8);
    CHECK_MEMBER(reduce_rows_f32);
    CHECK_MEMBER(add_f32);
    CHECK_MEMBER(mul_f32);
    CHECK_MEMBER(scale_f32);
    CHECK_MEMBER(row_sum_f32);
    CHECK_MEMBER(row_max_f32);
    CHECK_MEMBER(l2_normalize_f32);
    CHECK_MEMBER(gather_sum_f32);
    CHECK_MEMBER(rotary_f32);
    CHECK_MEMBER(quantize_rows_u8);
    CHECK_MEMBER(round_rows_bf16);
    CHECK_MEMBER(range_f32);
    CHECK_MEMBER(round_u8);
    CHECK_MEMBER(scale_s32);
    CHECK_MEMBER(l2_norms_f32);
    CHECK_MEMBER(round_rows_f16);
    CHECK_MEMBER(bucket_rows_u8);
    CHECK_MEMBER(pack_rows_u1);
    CHECK_MEMBER(score_rows);
    CHECK_MEMBER(hamming_rows);
    check_scratch = all.attention_scratch;
    check_q8_scratch = all.attention_q8_scratch;
}

static int run_tests(uint64_t seed, const char *filter, bool digest) {
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {{"linear", check_linear},
                 {"rows", check_rows},
                 {"convert", check_convert},
                 {"vectors", check_vectors},
                 {"functions", check_functions},
                 {"maps", check_maps},
                 {"convolutions", check_convolutions},
                 {"attention", check_attention}};
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    printf("checkkernel: seed %" PRIu64 ", rungs", seed);
    for (int i = 0; i < BASE_ISA_COUNT; i++) {
        if (isas >> i & 1u) printf(" %s", base_isa_name((base_isa)i));
    }
    printf("\n");
    check_tables();
    size_t ran = 0;
    for (size_t i = 0; i < BASE_COUNT(parts); i++) {
        if (filter && !strstr(parts[i].name, filter)) continue;
        check_seed(seed);
        parts[i].run();
        ran++;
    }
    if (ran == 0) {
        fprintf(stderr, "checkkernel: no part is called %s: linear, rows, convert, functions, attention\n", filter);
        return 2;
    }
    for (size_t i = 0; digest && i < BASE_COUNT(digests) && digests[i].task; i++) {
        printf("digest %-18s %016" PRIx64 "\n", digests[i].task, digests[i].hash);
    }
    printf("checkkernel: %" PRIu64 " cases, %" PRIu64 " failures%s\n", cases, failures, failures ? " (repeat with the seed above)" : "");
    return failures ? 1 : 0;
}

int main(int argc, char **argv) {
    uint64_t seed = (uint64_t)time(NULL);
    const char *need = NULL, *filter = NULL, *shapes = NULL;
    double seconds = 0.2;
    bool bench = false, digest = false;
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (!strcmp(argv[i], "--seed") && more) seed = strtoull(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--need") && more) need = argv[++i];
        else if (!strcmp(argv[i], "--shapes") && more) shapes = argv[++i];
        else if (!strcmp(argv[i], "--seconds") && more) seconds = strtod(argv[++i], NULL);
        else if (!strcmp(argv[i], "--bench")) bench = true;
        else if (!strcmp(argv[i], "--digest")) digest = true;
        else if (argv[i][0] != '-' && !filter) filter = argv[i];
        else {
            fprintf(stderr, "usage: checkkernel [--bench] [--seed n] [--need rung] [--digest] [--shapes file] [--seconds s] [filter]\n");
            return 2;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    isas = base_cpu_isas();
    for (int i = 0; need && i < BASE_ISA_COUNT; i++) {
        if (strcmp(need, base_isa_name((base_isa)i)) == 0 && !(isas >> i & 1u)) {
            printf("skipped: this machine has no %s\n", need);
            return 77;
        }
    }
    return bench ? check_bench(filter, shapes, seconds) : run_tests(seed, filter, digest);
}

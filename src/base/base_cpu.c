/* SPDX-License-Identifier: Apache-2.0
 *
 * In: the processor, /sys, /proc, cgroup files, NIB_CPU. Out: which instruction sets may run, cache sizes, how many CPUs are
 * ours. The only state is what was detected, written once.
 */
#include "base_cpu.h"
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdbool.h>
#include <unistd.h>
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif
#endif

static const char *const isa_names[] = {
#define ISA_NAME(upper, lower) #lower,
    BASE_ISA_MAP(ISA_NAME)
#undef ISA_NAME
};

const char *base_isa_name(base_isa isa) { return (unsigned)isa < BASE_ISA_COUNT ? isa_names[isa] : "?"; }

#define BIT(isa) (1u << BASE_ISA_##isa)
#define X86_RUNGS (BIT(AVX2) | BIT(AVXVNNI) | BIT(AVX512) | BIT(AVX512VNNI) | BIT(AVX512BF16) | BIT(AMX))
#define ARM_RUNGS (BIT(NEON) | BIT(DOTPROD))

#if defined(__x86_64__)
/* Asks Linux for the 8 KiB a thread that tile registers are (Documentation/arch/x86/xstate.rst). Elsewhere they
 * are not used. */
static bool may_use_tiles(void) {
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { REQUEST = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
#else
    return false;
#endif
}

uint32_t base_cpu_detect(void) {
    uint32_t isas = BIT(GENERIC), a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_FMA) || !(c & bit_F16C) || !(c & bit_POPCNT)) return isas;
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 0x6) != 0x6) return isas; /* the system does not save ymm */
    uint32_t b7, c7, d7, a71 = 0, x;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7) || !(b7 & bit_AVX2)) return isas;
    isas |= BIT(AVX2);
    if (a >= 1) __get_cpuid_count(7, 1, &a71, &b, &c, &x);
    if (a71 & (1u << 4)) isas |= BIT(AVXVNNI);
    const uint32_t need = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL | bit_AVX512CD;
    if ((low & 0xe6) != 0xe6 || (b7 & need) != need) return isas;
    isas |= BIT(AVX512);
    if (!(c7 & bit_AVX512VNNI)) return isas;
    isas |= BIT(AVX512VNNI);
    if (!(a71 & (1u << 5))) return isas;
    isas |= BIT(AVX512BF16);
    const uint32_t tiles = 1u << 22 | 1u << 24 | 1u << 25; /* AMX-BF16, AMX-TILE, AMX-INT8 */
    if ((low & 0x60000) == 0x60000 && (d7 & tiles) == tiles && may_use_tiles()) isas |= BIT(AMX);
    return isas;
}
#elif defined(__aarch64__)
uint32_t base_cpu_detect(void) {
    uint32_t isas = BIT(GENERIC) | BIT(NEON);
#if defined(__linux__)
    if (getauxval(AT_HWCAP) & (1ul << 20)) isas |= BIT(DOTPROD); /* HWCAP_ASIMDDP */
#endif
    return isas;
}
#else
uint32_t base_cpu_detect(void) { return BIT(GENERIC); }
#endif

uint32_t base_cpu_cap(uint32_t have, const char *cap, int *known) {
    if (known) *known = 1;
    if (!cap || !*cap) return have;
    for (int i = 0; i < BASE_ISA_COUNT; i++) {
        if (strcmp(cap, isa_names[i]) != 0) continue;
        uint32_t upto = (2u << i) - 1;
        if (i == BASE_ISA_GENERIC) return have & BIT(GENERIC);
        uint32_t family = BIT(GENERIC) | ((X86_RUNGS >> i) & 1u ? X86_RUNGS : ARM_RUNGS);
        if (!(have & family & ~BIT(GENERIC))) break; /* a name of the other architecture */
        uint32_t left = have & family & upto;
        if (i >= BASE_ISA_AVX512 && i <= BASE_ISA_AMX && !(have & BIT(AVXVNNI))) left &= ~BIT(AVXVNNI);
        return left;
    }
    if (known) *known = 0;
    return have;
}

uint32_t base_cpu_isas(void) {
    static _Atomic uint32_t seen; /* 0: not yet; every thread would write the same */
    uint32_t isas = atomic_load_explicit(&seen, memory_order_relaxed);
    if (!isas) {
        isas = base_cpu_cap(base_cpu_detect(), getenv("NIB_CPU"), NULL);
        atomic_store_explicit(&seen, isas, memory_order_relaxed);
    }
    return isas;
}

base_isa base_cpu_best(uint32_t isas) {
    for (int i = BASE_ISA_COUNT - 1; i > 0; i--)
        if (isas & (1u << i)) return (base_isa)i;
    return BASE_ISA_GENERIC;
}

const char *nib_cpu_name(void) { return base_isa_name(base_cpu_best(base_cpu_isas())); }

/* First line of a small file; false if it cannot be read. */
static bool read_line(const char *path, char *out, size_t capacity) {
    FILE *f = fopen(path, "re");
    if (!f) return false;
    bool ok = fgets(out, (int)capacity, f) != NULL;
    fclose(f);
    if (ok) out[strcspn(out, "\n")] = 0;
    return ok;
}

base_caches base_cpu_caches(void) {
    base_caches c = {32u << 10, 1u << 20, 8u << 20};
    for (int i = 0; i < 8; i++) {
        char path[96], level[16], type[32], size[32];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/level", i);
        if (!read_line(path, level, sizeof level)) break;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/type", i);
        if (!read_line(path, type, sizeof type) || strcmp(type, "Instruction") == 0) continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        if (!read_line(path, size, sizeof size)) continue;
        char *unit;
        size_t bytes = strtoul(size, &unit, 10);
        bytes <<= *unit == 'M' ? 20 : 10;
        if (bytes < 4096) continue;
        if (level[0] == '1') c.l1d = bytes;
        if (level[0] == '2') c.l2 = bytes;
        if (level[0] == '3') c.l3 = bytes;
    }
    return c;
}

/* CPUs that a quota of `quota` microseconds every `period` pays for, rounded up; 0: no limit. */
static int quota_cpus(double quota, double period) {
    if (!(quota > 0) || !(period > 0)) return 0;
    double n = quota / period;
    return n >= 1e6 ? 0 : (int)(n + 0.999);
}

/* A line of digits in a file; 0: there is none. */
static size_t number_in(const char *path) {
    char text[64];
    if (!read_line(path, text, sizeof text)) return 0;
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    return end == text ? 0 : (size_t)n;
}

size_t base_cpu_memory(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t most = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : SIZE_MAX;
    char line[1024], path[1200];
    FILE *f = fopen("/proc/self/cgroup", "re");
    size_t n = number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    if (n && n < most) most = n;
    while (f && fgets(line, sizeof line, f)) { /* v2: our group and each around it, up to the root of what is mounted */
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "0::/", 4) != 0) continue;
        for (char *group = line + 3, *slash = group; slash; (slash = strrchr(group, '/')) ? *slash = 0 : 0) {
            snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", strcmp(group, "/") == 0 ? "" : group);
            n = number_in(path);
            if (n && n < most) most = n;
        }
    }
    if (f) fclose(f);
    return most;
}

size_t base_cpu_mapped(void) {
    char line[256];
    size_t kilobytes = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "RssFile:", 8) == 0) kilobytes = strtoul(line + 8, NULL, 10);
    if (f) fclose(f);
    return kilobytes * 1024;
}

/* The tightest quota on the path from our cgroup up to the root of what is mounted. */
static int cgroup_cpus(void) {
    char line[1024], path[1200], group[1024] = "";
    int best = 0;
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (f) {
        while (fgets(line, sizeof line, f)) {
            line[strcspn(line, "\n")] = 0;
            if (strncmp(line, "0::", 3) == 0) snprintf(group, sizeof group, "%s", line + 3);
        }
        fclose(f);
    }
    for (;;) { /* v2: cpu.max holds "quota period" or "max period" */
        long long quota = 0, period = 0;
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", strcmp(group, "/") == 0 ? "" : group);
        if (read_line(path, line, sizeof line) && sscanf(line, "%lld %lld", &quota, &period) == 2) {
            int n = quota_cpus((double)quota, (double)period);
            if (n && (!best || n < best)) best = n;
        }
        char *slash = strrchr(group, '/');
        if (!slash) break;
        *slash = 0;
    }
    char quota[64], period[64];
    if (read_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota, sizeof quota) &&
        read_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period, sizeof period)) {
        int n = quota_cpus((double)atoll(quota), (double)atoll(period));
        if (n && (!best || n < best)) best = n;
    }
    return best;
}

int base_cpu_count(void) {
    int n = 0;
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
#endif
    if (n < 1) n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (n < 1) n = 1;
    int quota = cgroup_cpus();
    return quota && quota < n ? quota : n;
}

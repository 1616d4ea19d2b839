/* SPDX-License-Identifier: Apache-2.0
 *
 * Inputs that a fuzz target found, test/hostile/found/TARGET/NAME, each through its own target again: none may crash, leak or take long.
 * One program per target is linked from the target itself (CMakeLists.txt); this is its main.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libFuzzer's; nothing is mutated here. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max) { return size; }

static int all_of(const char *folder) {
    char path[1000];
    int count = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        FILE *f = fopen(path, "rb");
        uint8_t *data = malloc(1 << 20);
        size_t n = f && data ? fread(data, 1, 1 << 20, f) : 0;
        if (!f || !data) return fprintf(stderr, "%s cannot be read\n", path), -1;
        fclose(f);
        uint8_t *exact = malloc(n ? n : 1); /* so that a sanitizer sees every byte beyond */
        for (size_t i = 0; exact && i < n; i++) exact[i] = data[i];
        free(data);
        fprintf(stderr, "%s\n", path);
        alarm(120);
        LLVMFuzzerTestOneInput(exact, n);
        alarm(0);
        free(exact);
        count++;
    }
    if (d) closedir(d);
    return count;
}

int main(int argc, char **argv) {
    int count = 0;
    for (int i = 1; i < argc; i++) {
        int n = all_of(argv[i]);
        if (n < 0) return 1;
        count += n;
    }
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1; /* the seeds are always there */
}

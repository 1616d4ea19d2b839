/* SPDX-License-Identifier: Apache-2.0
 *
 * A folder that tests of the Hugging Face door fill with files of their own.
 */
#ifndef HF_TEST_H
#define HF_TEST_H

#include "hf/hf.h"
#include "onnx/onnx_test.h"
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

static char hf_dir[64];

static inline int hf_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) { return remove(path); }

static inline void hf_clear(void) {
    if (hf_dir[0]) nftw(hf_dir, hf_remove_one, 8, FTW_DEPTH | FTW_PHYS);
    hf_dir[0] = 0;
}

static inline void hf_fresh(void) { /* an empty folder */
    hf_clear();
    strcpy(hf_dir, "/tmp/nib-hf-XXXXXX");
    if (!mkdtemp(hf_dir)) fail_msg("no temporary folder");
}

static inline void hf_write(const char *name, const void *bytes, size_t n) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", hf_dir, name);
    for (char *slash = path + strlen(hf_dir); (slash = strchr(slash + 1, '/')) != NULL;) {
        *slash = 0;
        mkdir(path, 0755);
        *slash = '/';
    }
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static inline void hf_text(const char *name, const char *text) { hf_write(name, text, strlen(text)); }

/* header length (taken from the header if `length` is 0), header, `data` zero bytes */
static inline void hf_safetensors(const char *name, uint64_t length, const char *header, size_t data) {
    size_t n = strlen(header);
    uint8_t *bytes = calloc(1, 8 + n + data);
    if (length == 0) length = n;
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(length >> (8 * i));
    memcpy(bytes + 8, header, n);
    hf_write(name, bytes, 8 + n + data);
    free(bytes);
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of quantizing share: the tiny model, a runtime, and a folder that goes with the test.
 */
#ifndef QUANTIZE_TEST_H
#define QUANTIZE_TEST_H

#define TINY NIB_TEST_DATA "/nib/tiny"

static char dir[] = "/tmp/nib-quantize-XXXXXX";
static nib_runtime *runtime;

static int setup(void **state) {
    nib_error err;
    *state = NULL;
    return mkdtemp(dir) && base_runtime_create(NULL, &runtime, &err) == NIB_OK ? 0 : -1;
}

static int teardown(void **state) {
    char command[200];
    (void)state;
    base_runtime_release(runtime);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static const char *in_dir(const char *name) {
    static char path[2][200];
    static int at;
    snprintf(path[at ^= 1], sizeof *path, "%s/%s", dir, name);
    return path[at];
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * In: names of shared libraries. Out: what the system's loader finds of them.
 */
#include "base_library.h"
#include <dlfcn.h>
#include <stddef.h>

void *base_library_load(const char *const *names) {
    void *library = NULL;
    for (; !library && *names; names++) library = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
    return library;
}

void *base_library_symbol(void *library, const char *name) { return dlsym(library, name); }

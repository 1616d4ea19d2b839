/* SPDX-License-Identifier: Apache-2.0
 *
 * Plug-ins. In: a name, or a path. Out: the device of the shared object of that name, or there, if it was built with the library's
 * own headers.
 */
#include "base/base_library.h"
#include "device.h"
#include <stdio.h>
#include <string.h>

#define NAME_MOST 31

static bool is_name(const char *name) {
    const size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return n > 0 && n <= NAME_MOST && !name[n];
}

/* The shared object of a name is what the system's loader finds as libnib-NAME.so. */
static nib_status open_library(const char *name, void **out, nib_error *err) {
    char file[NAME_MOST + sizeof "libnib-.so"];
    if (strchr(name, '/')) {
        *out = base_library_load((const char *const[]){name, NULL});
        return *out ? NIB_OK : base_error_set(err, NIB_NOT_FOUND, "%s cannot be loaded as a shared object", name);
    }
    if (!is_name(name)) return base_error_set(err, NIB_UNSUPPORTED, "\"%s\" is no name of a device; a path has a / in it", name);
    snprintf(file, sizeof file, "libnib-%s.so", name);
    *out = base_library_load((const char *const[]){file, NULL});
    if (*out) return NIB_OK;
    return base_error_set(err, NIB_UNSUPPORTED, "device %s is not built into this nib, and the system's loader finds no %s; there are "
                                                "cpu, and plug-ins by their name or path", name, file);
}

nib_status device_load(nib_runtime *runtime, const device_host_calls *calls, const char *name, const char *argument, device **out,
                       nib_error *err) {
    const device_plugin *(*entry)(void);
    void *library = NULL;
    *out = NULL;
    nib_status status = open_library(name, &library, err);
    if (status != NIB_OK) return status;
    void *symbol = base_library_symbol(library, NIB_DEVICE_PLUGIN);
    if (!symbol) return base_error_set(err, NIB_BAD_MODEL, "%s is no device: it has no symbol " NIB_DEVICE_PLUGIN, name);
    memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast from an object's address to a function's */
    const device_plugin *plugin = entry();
    if (!plugin || !plugin->build_id || strcmp(plugin->build_id, device_build_id) != 0)
        return base_error_set(err, NIB_UNSUPPORTED, "%s was built for nib %s, this is %s", name,
                              plugin && plugin->build_id ? plugin->build_id : "of no known build", device_build_id);
    status = plugin->open(calls, runtime, argument, out, err);
    if (status != NIB_OK || strchr(name, '/') || strcmp((*out)->table->kind, name) == 0) return status;
    status = base_error_set(err, NIB_BAD_MODEL, "libnib-%s.so is a device of another name, %s", name, (*out)->table->kind);
    (*out)->table->close(*out);
    *out = NULL;
    return status;
}

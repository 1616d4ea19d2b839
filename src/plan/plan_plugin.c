/* SPDX-License-Identifier: Apache-2.0
 *
 * Plug-ins. In: a path. Out: the device of the shared object there, if it was built with the library's own headers.
 */
#include "base/base_library.h"
#include "device.h"
#include <string.h>

nib_status device_load(nib_runtime *runtime, const device_host_calls *calls, const char *path, const char *argument, device **out,
                       nib_error *err) {
    const device_plugin *(*entry)(void);
    void *library = base_library_load((const char *const[]){path, NULL});
    *out = NULL;
    if (!library) return base_error_set(err, NIB_NOT_FOUND, "%s cannot be loaded as a shared object", path);
    void *symbol = base_library_symbol(library, NIB_DEVICE_PLUGIN);
    if (!symbol) return base_error_set(err, NIB_BAD_MODEL, "%s is no device: it has no symbol " NIB_DEVICE_PLUGIN, path);
    memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast from an object's address to a function's */
    const device_plugin *plugin = entry();
    if (!plugin || !plugin->build_id || strcmp(plugin->build_id, device_build_id) != 0)
        return base_error_set(err, NIB_UNSUPPORTED, "%s was built for nib %s, this is %s", path,
                              plugin && plugin->build_id ? plugin->build_id : "of no known build", device_build_id);
    return plugin->open(calls, runtime, argument, out, err);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * In: nothing. Out: libcurl's functions, or which package has them.
 */
#include "hub_curl.h"
#include "base/base_library.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

nib_status hub_curl_load(hub_curl *out, nib_error *err) {
    static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4", NULL};
    static const struct {
        const char *name;
        size_t at;
    } functions[] = {
        {"curl_global_init", offsetof(hub_curl, global_init)},
        {"curl_easy_init", offsetof(hub_curl, easy_init)},
        {"curl_easy_setopt", offsetof(hub_curl, easy_setopt)},
        {"curl_easy_perform", offsetof(hub_curl, easy_perform)},
        {"curl_easy_getinfo", offsetof(hub_curl, easy_getinfo)},
        {"curl_easy_strerror", offsetof(hub_curl, easy_strerror)},
        {"curl_easy_cleanup", offsetof(hub_curl, easy_cleanup)},
        {"curl_slist_append", offsetof(hub_curl, slist_append)},
        {"curl_slist_free_all", offsetof(hub_curl, slist_free_all)},
    };
    /* curl_global_init counts its calls, but before 7.84 it may be in one thread alone. */
    static atomic_flag busy = ATOMIC_FLAG_INIT;
    bool ready = false;
    void *library = base_library_load(names);
    for (size_t i = 0; library && i < BASE_COUNT(functions); i++) {
        void *function = base_library_symbol(library, functions[i].name);
        if (!function) library = NULL;
        memcpy((char *)out + functions[i].at, &function, sizeof function);
    }
    if (library) {
        while (atomic_flag_test_and_set(&busy)) continue;
        ready = out->global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
        atomic_flag_clear(&busy);
    }
    if (ready) return NIB_OK;
    return base_error_set(err, NIB_UNSUPPORTED,
                          "pulling needs libcurl.so.4, which this system does not have: on Debian and Ubuntu `apt "
                          "install libcurl4`, on Fedora `dnf install libcurl`");
}

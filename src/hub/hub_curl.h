/* SPDX-License-Identifier: Apache-2.0
 *
 * What is called of libcurl, which is loaded when it is first wanted: nib is built without it, and runs without it
 * where nothing is pulled. Types and numbers are those of libcurl's include/curl/curl.h; its ABI keeps them as long as
 * the library is called libcurl.so.4, which it is since 2006. All options used are in 7.37 (2014) and later.
 */
#ifndef HUB_CURL_H
#define HUB_CURL_H

#include "base/base_error.h"

typedef void CURL;
struct curl_slist;

enum { /* CURLoption: 0 + n takes a long, 10000 + n a pointer, 20000 + n a function */
       CURLOPT_LOW_SPEED_LIMIT = 19,
       CURLOPT_LOW_SPEED_TIME = 20,
       CURLOPT_NOPROGRESS = 43,
       CURLOPT_NOBODY = 44,
       CURLOPT_FOLLOWLOCATION = 52,
       CURLOPT_BUFFERSIZE = 98,
       CURLOPT_NOSIGNAL = 99,
       CURLOPT_CONNECTTIMEOUT = 78,
       CURLOPT_PROTOCOLS = 181,
       CURLOPT_HEADEROPT = 229,
       CURLOPT_WRITEDATA = 10001,
       CURLOPT_URL = 10002,
       CURLOPT_ERRORBUFFER = 10010,
       CURLOPT_USERAGENT = 10018,
       CURLOPT_HTTPHEADER = 10023,
       CURLOPT_HEADERDATA = 10029,
       CURLOPT_XFERINFODATA = 10057,
       CURLOPT_CAINFO = 10065,
       CURLOPT_WRITEFUNCTION = 20011,
       CURLOPT_HEADERFUNCTION = 20079,
       CURLOPT_XFERINFOFUNCTION = 20219
};
enum { /* CURLINFO */
       CURLINFO_REDIRECT_URL = 0x100000 + 31,
       CURLINFO_RESPONSE_CODE = 0x200000 + 2
};
enum { CURLPROTO_HTTP = 1, CURLPROTO_HTTPS = 2 };
enum { CURLHEADER_SEPARATE = 1 };
enum { CURL_GLOBAL_DEFAULT = 3 };
enum { /* CURLcode: those that decide whether another try may help */
       CURLE_OK = 0,
       CURLE_UNSUPPORTED_PROTOCOL = 1,
       CURLE_URL_MALFORMAT = 3,
       CURLE_COULDNT_RESOLVE_HOST = 6,
       CURLE_COULDNT_CONNECT = 7,
       CURLE_OPERATION_TIMEDOUT = 28,
       CURLE_PEER_FAILED_VERIFICATION = 60,
       CURLE_SSL_CACERT_BADFILE = 77
};
#define CURL_ERROR_SIZE 256

typedef struct hub_curl {
    int (*global_init)(long flags);
    CURL *(*easy_init)(void);
    int (*easy_setopt)(CURL *curl, int option, ...);
    int (*easy_perform)(CURL *curl);
    int (*easy_getinfo)(CURL *curl, int info, ...);
    const char *(*easy_strerror)(int code);
    void (*easy_cleanup)(CURL *curl);
    struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
    void (*slist_free_all)(struct curl_slist *list);
} hub_curl;

/* UNSUPPORTED, with what to install: there is no libcurl. Any thread; what it fills stays usable. */
nib_status hub_curl_load(hub_curl *out, nib_error *err);

#endif

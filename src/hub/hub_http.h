/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests of a hub. Redirects are followed here and not in libcurl, so that each of them is looked at: no more than
 * ten, to http or https, never from https to http, and with the token only where scheme, host and port are the hub's
 * own. Messages name addresses without what stands behind a '?': such words are signatures.
 */
#ifndef HUB_HTTP_H
#define HUB_HTTP_H

#include "hub.h"
#include "hub_curl.h"

typedef struct hub_http {
    const hub_env *env;
    nib_runtime *runtime;
    hub_curl curl;
    CURL *handle;     /* kept, so that its connections are */
    int code;         /* what it answered last */
    char origin[300]; /* of the endpoint: "https://huggingface.co:443" */
} hub_http;

nib_status hub_http_open(nib_runtime *runtime, const hub_env *env, hub_http *out, nib_error *err);
void hub_http_close(hub_http *http); /* a zeroed one is accepted */

typedef struct hub_reply {
    long status;
    /* What the hub itself said, on any hop; "" and -1: nothing. Quotes and W/ are taken off etags. */
    char etag[HUB_ETAG], commit[HUB_ETAG];
    int64_t size; /* X-Linked-Size */
    bool linked;  /* the etag is X-Linked-Etag: of the contents, not of the answer */
    /* of the last hop */
    int64_t length;       /* Content-Length */
    int64_t first, total; /* Content-Range */
    int64_t retry_after;  /* seconds */
    char code[64];        /* X-Error-Code */
} hub_reply;

void hub_reply_init(hub_reply *reply);
/* A line of an answer's head, line[0..n); the first is the status. own: the hub itself says it. What is malformed is as
 * if it were not there (hub_reply.c). */
void hub_reply_take(hub_reply *reply, bool own, const char *line, size_t n);

typedef struct hub_request {
    const char *url;
    bool head;     /* asks for what is said of the contents: it ends before it leaves the hub's own host */
    uint64_t from; /* the first byte that is wanted; what has come counts on, so that another try goes on there */
    bool whole;    /* another try begins at 0 again */
    uint64_t most; /* bytes that may come, those before `from` included: LIMIT beyond */
    bool exact;    /* and that have to: else it counts as a connection that was cut */
    /* What comes, at its place: 0 again where the server began anew. */
    nib_status (*sink)(void *user, uint64_t at, const void *bytes, size_t n, nib_error *err);
    void *user;
    const char *what; /* in messages: "config.json of ORG/NAME" */
} hub_request;

/* Asks, and asks again where that may help: a connection that is cut, 408, 429, 5xx, after as long as Retry-After says;
 * five times in a row in which nothing came, or too slowly. NOT_FOUND: 401, 403, 404 and 410, with what to do. IO: all
 * else. */
nib_status hub_http_do(hub_http *http, hub_request *request, hub_reply *reply, nib_error *err);

/* "scheme://host:port" in lower case; false: no address that nib asks: of another scheme, or with a user or password.
 */
bool hub_origin(const char *url, char out[300]);

/* Appends text as a part of an address: all but letters, digits and "-._~" as %XX, and slashes if `slashes`. */
void hub_quote(base_str *out, const char *text, bool slashes);

#endif

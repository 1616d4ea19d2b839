/* SPDX-License-Identifier: Apache-2.0
 *
 * Words of HTTP. In: addresses, and lines of a server's answer. Out: what they say, as far as it can be believed.
 */
#include "hub_http.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---------------------------------------------------------------- addresses */

void hub_quote(base_str *out, const char *text, bool slashes) {
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        const bool plain =
            (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("-._~", *p);
        if (plain || (*p == '/' && !slashes)) base_str_add_bytes(out, p, 1);
        else base_str_printf(out, "%%%02X", *p);
    }
}

bool hub_origin(const char *url, char out[300]) {
    const char *begin = strstr(url, "://");
    const bool tls = strncasecmp(url, "https://", 8) == 0;
    if (!tls && strncasecmp(url, "http://", 7) != 0) return false;
    begin += 3;
    const size_t n = strcspn(begin, "/?#\\");
    if (n == 0 || n > 250 || memchr(begin, '@', n)) return false;
    const char *bracket = memchr(begin, ']', n), *from = bracket ? bracket : begin; /* [::1]:80 */
    const bool port = memchr(from, ':', n - (size_t)(from - begin)) != NULL;
    snprintf(out, 300, "%s://%.*s%s", tls ? "https" : "http", (int)n, begin, port ? "" : tls ? ":443" : ":80");
    for (char *p = out; *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p += 'a' - 'A';
    return true;
}

/* ---------------------------------------------------------------- an answer's lines */

/* text[0..n) without blanks around it, into `out`; "" if it does not fit or has control characters. */
static void take(char *out, size_t room, const char *text, size_t n) {
    while (n && strchr(" \t\r\n", text[n - 1])) n--;
    while (n && strchr(" \t", *text)) text++, n--;
    bool good = n < room;
    for (size_t i = 0; i < n; i++) good &= text[i] >= ' ' && text[i] < 0x7f;
    snprintf(out, room, "%.*s", good ? (int)n : 0, text);
}

static int64_t number(const char *text) {
    char *end;
    const long long n = *text >= '0' && *text <= '9' ? strtoll(text, &end, 10) : -1;
    return n < 0 || n == INT64_MAX || *end ? -1 : n;
}

/* W/"abc" -> abc */
static void take_etag(char out[HUB_ETAG], const char *value) {
    const char *from = strncmp(value, "W/", 2) == 0 ? value + 2 : value;
    size_t n = strlen(from);
    if (n >= 2 && from[0] == '"' && from[n - 1] == '"') from++, n -= 2;
    take(out, HUB_ETAG, from, n);
}

/* "bytes 5-9/10" */
static void take_range(hub_reply *r, const char *value) {
    char first[32];
    if (strncasecmp(value, "bytes ", 6) != 0) return;
    take(first, sizeof first, value + 6, strcspn(value + 6, "-"));
    const char *slash = strchr(value, '/');
    r->first = number(first);
    r->total = slash ? number(slash + 1) : -1;
}

static void take_header(hub_reply *r, bool own, const char *name, const char *value) {
    if (strcasecmp(name, "content-length") == 0) r->length = number(value);
    else if (strcasecmp(name, "content-range") == 0) take_range(r, value);
    else if (strcasecmp(name, "retry-after") == 0) r->retry_after = number(value);
    else if (!own) return;
    else if (strcasecmp(name, "x-linked-etag") == 0) take_etag(r->etag, value), r->linked = true;
    else if (strcasecmp(name, "x-linked-size") == 0) r->size = number(value);
    else if (strcasecmp(name, "etag") == 0 && !r->linked) take_etag(r->etag, value);
    else if (strcasecmp(name, "x-repo-commit") == 0) take(r->commit, sizeof r->commit, value, strlen(value));
    else if (strcasecmp(name, "x-error-code") == 0) take(r->code, sizeof r->code, value, strlen(value));
}

void hub_reply_init(hub_reply *r) {
    memset(r, 0, sizeof *r);
    r->size = r->length = r->first = r->total = r->retry_after = -1;
}

void hub_reply_take(hub_reply *r, bool own, const char *line, size_t n) {
    char name[64], value[2048];
    const char *colon = memchr(line, ':', n);
    if (n >= 5 &&
        strncasecmp(line, "HTTP/", 5) == 0) { /* what was said before (100 Continue, a proxy) does not count */
        r->length = r->first = r->total = r->retry_after = -1;
        take(value, sizeof value, line, n);
        const char *space = strchr(value, ' ');
        r->status = space ? strtol(space, NULL, 10) : 0;
    } else if (colon) {
        take(name, sizeof name, line, (size_t)(colon - line));
        take(value, sizeof value, colon + 1, n - (size_t)(colon + 1 - line));
        take_header(r, own, name, value);
    }
}

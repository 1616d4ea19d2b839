/* SPDX-License-Identifier: Apache-2.0
 *
 * See hub_http.h. In: an address and where its bytes go. Out: what the server said, or a message that a user can act
 * on.
 */
#include "hub_http.h"
#include "base/base_disk.h"
#include <stdio.h>
#include <string.h>

#define MOST_HOPS 10
#define MOST_TRIES 5       /* in a row in which nothing came */
#define MOST_CUTS 1000     /* of one file */
#define LONGEST_WAIT 300.0 /* seconds that a server may ask to wait */
#define SLOWEST 100        /* bytes a second: fewer, for as long as the timeout, is a stalled download */
#define BUFFER (256 << 10)
#define MOST_OF_ERROR 65536 /* bytes of a page that says what is wrong; nobody reads it */

/* ---------------------------------------------------------------- addresses */

/* For messages. */
static int shown(const char *url) {
    const size_t n = strcspn(url, "?#");
    return (int)(n < 150 ? n : 150);
}

/* ---------------------------------------------------------------- one hop */

typedef struct hop {
    hub_http *http;
    hub_request *request;
    hub_reply *reply;
    bool own;         /* it is the hub itself that is asked */
    bool starts;      /* the first byte of contents came */
    uint64_t skipped; /* bytes of a body that nobody reads */
    uint64_t at;      /* the next byte's place */
    nib_status status;
    nib_error *err;
} hop;

static size_t on_header(char *text, size_t size, size_t n, void *user) {
    hop *h = user;
    hub_reply_take(h->reply, h->own, text, n * size);
    return n * size;
}

/* Where the body that begins lies in the contents. */
static nib_status begin_body(hop *h) {
    hub_request *q = h->request;
    const hub_reply *r = h->reply;
    if (r->status == 206 && (r->first < 0 || (uint64_t)r->first != q->from))
        return base_error_set(h->err, NIB_IO, "%s: asked for bytes from %llu on, the server sent others", q->what,
                              (unsigned long long)q->from);
    h->at = r->status == 206 ? q->from : 0;
    const int64_t total = r->status == 206 ? r->total : r->length;
    if (total >= 0 && (uint64_t)total > q->most)
        return base_error_set(h->err, NIB_LIMIT, "%s: the server announces %lld bytes, %llu are expected at most",
                              q->what, (long long)total, (unsigned long long)q->most);
    return NIB_OK;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *user) {
    hop *h = user;
    hub_request *q = h->request;
    n *= size;
    if (h->reply->status != 200 && h->reply->status != 206) {
        h->skipped += n;
        return h->skipped > MOST_OF_ERROR ? 0 : n;
    }
    if (!h->starts) h->starts = true, h->status = begin_body(h);
    if (h->status == NIB_OK && n > q->most - h->at)
        h->status = base_error_set(h->err, NIB_LIMIT, "%s: the server sends more than the %llu bytes that are expected",
                                   q->what, (unsigned long long)q->most);
    if (h->status == NIB_OK) h->status = q->sink(q->user, h->at, bytes, n, h->err);
    if (h->status != NIB_OK) return 0;
    h->at += n;
    if (!q->whole) q->from = h->at;
    return n;
}

static int on_progress(void *user, int64_t a, int64_t b, int64_t c, int64_t d) {
    hop *h = user;
    if (h->status == NIB_OK) h->status = base_stop_check(h->err);
    return h->status != NIB_OK;
}

static nib_status add_header(hub_http *http, struct curl_slist **list, const char *text, nib_error *err) {
    struct curl_slist *longer = http->curl.slist_append(*list, text);
    if (!longer) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory");
    *list = longer;
    return NIB_OK;
}

/* The list is this hop's alone: the token is in it if the hub itself is asked. */
static nib_status make_headers(hop *h, struct curl_slist **list) {
    nib_status status = NIB_OK;
    char line[HUB_NAME + 64];
    hub_http *http = h->http;
    NIB_TRY(add_header(http, list, "Accept-Encoding: identity", h->err));
    if (h->own && http->env->token[0]) {
        snprintf(line, sizeof line, "Authorization: Bearer %s", http->env->token);
        NIB_TRY(add_header(http, list, line, h->err));
    }
    if (h->request->from && !h->request->head) {
        snprintf(line, sizeof line, "Range: bytes=%llu-", (unsigned long long)h->request->from);
        NIB_TRY(add_header(http, list, line, h->err));
    }
fail:
    memset(line, 0, sizeof line);
    return status;
}

/* What libcurl answers, in http->code. */
static nib_status ask(hop *h, const char *url, char why[CURL_ERROR_SIZE]) {
    nib_status status = NIB_OK;
    hub_http *http = h->http;
    const hub_curl *c = &http->curl;
    struct curl_slist *headers = NULL;
    why[0] = 0;
    NIB_TRY(make_headers(h, &headers));
    const long timeout = h->request->head || h->request->whole ? http->env->etag_timeout : http->env->timeout;
    c->easy_setopt(http->handle, CURLOPT_URL, url);
    c->easy_setopt(http->handle, CURLOPT_NOBODY, (long)h->request->head);
    c->easy_setopt(http->handle, CURLOPT_HTTPHEADER, headers);
    c->easy_setopt(http->handle, CURLOPT_HEADERFUNCTION, on_header);
    c->easy_setopt(http->handle, CURLOPT_HEADERDATA, h);
    c->easy_setopt(http->handle, CURLOPT_WRITEFUNCTION, on_body);
    c->easy_setopt(http->handle, CURLOPT_WRITEDATA, h);
    c->easy_setopt(http->handle, CURLOPT_XFERINFOFUNCTION, on_progress);
    c->easy_setopt(http->handle, CURLOPT_XFERINFODATA, h);
    c->easy_setopt(http->handle, CURLOPT_ERRORBUFFER, why);
    c->easy_setopt(http->handle, CURLOPT_LOW_SPEED_LIMIT, (long)SLOWEST);
    c->easy_setopt(http->handle, CURLOPT_LOW_SPEED_TIME, timeout);
    http->code = c->easy_perform(http->handle);
    c->easy_setopt(http->handle, CURLOPT_ERRORBUFFER, NULL);
    c->easy_setopt(http->handle, CURLOPT_HTTPHEADER, NULL);
    status = h->status;
fail:
    c->slist_free_all(headers);
    return status;
}

/* ---------------------------------------------------------------- what a status means */

static bool is_redirect(long status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* 401, 403, 404, 410: the hub says no, and this is what a user can do. */
static nib_status refused(const hub_http *http, const hub_request *q, const hub_reply *r, bool own, nib_error *err) {
    const bool token = http->env->token[0] != 0;
    const char *more = "";
    if (!own) more = " by the server that the hub sends on to";
    else if (strcmp(r->code, "GatedRepo") == 0 || r->status == 403)
        more = token ? ": this token may not read it; ask for access on the model's page"
                     : ": access is given on the model's page, and "
                       "HF_TOKEN says who asks";
    else if (strcmp(r->code, "RevisionNotFound") == 0) more = ": there is no such revision";
    else if (strcmp(r->code, "EntryNotFound") == 0) more = ": there is no such file";
    else if (r->status == 401)
        more = token ? ": there is no such model, or it is private and this token may not read it"
                     : ": there is no such model, or it is private: HF_TOKEN says who asks";
    else if (r->status == 404) more = ": there is no such model, revision or file";
    return base_error_set(err, NIB_NOT_FOUND, "%s: refused with HTTP %ld%s", q->what, r->status, more);
}

static bool may_change(long status) {
    return status == 408 || status == 429 || (status >= 500 && status <= 599 && status != 501);
}

/* ---------------------------------------------------------------- a request */

/* The next address, or an error. */
static nib_status next_hop(hub_http *http, const hub_request *q, char url[HUB_PATH], nib_error *err) {
    char from[300], to[300];
    const char *next = NULL;
    http->curl.easy_getinfo(http->handle, CURLINFO_REDIRECT_URL, &next);
    if (!next || strlen(next) >= HUB_PATH)
        return base_error_set(err, NIB_IO, "%s: a redirect without an address", q->what);
    if (!hub_origin(next, to))
        return base_error_set(err, NIB_IO, "%s: redirected to what is no address of http or https", q->what);
    hub_origin(url, from);
    if (strncmp(from, "https:", 6) == 0 && strncmp(to, "https:", 6) != 0)
        return base_error_set(err, NIB_IO,
                              "%s: redirected from https to %.*s, which everybody on the way can read: refused",
                              q->what, shown(next), next);
    memmove(url, next, strlen(next) + 1);
    return NIB_OK;
}

/* The server is done: whether that was all. */
static nib_status check_end(const hop *h, bool *again) {
    const hub_request *q = h->request;
    if (q->head || !q->exact || h->at == q->most) return NIB_OK;
    *again = true;
    return base_error_set(h->err, NIB_IO, "%s: the server ended after %llu of %llu bytes", q->what,
                          (unsigned long long)h->at, (unsigned long long)q->most);
}

/* A server that is not there at all is said at once, but for one that was there before. */
static bool may_mend(int code, bool was_there) {
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT) return was_there;
    return code != CURLE_UNSUPPORTED_PROTOCOL && code != CURLE_URL_MALFORMAT &&
           code != CURLE_PEER_FAILED_VERIFICATION && code != CURLE_SSL_CACERT_BADFILE;
}

/* One try, all of its hops. *again: another may help. */
static nib_status try_once(hub_http *http, hub_request *q, hub_reply *r, bool *again, nib_error *err) {
    nib_status status = NIB_OK;
    char url[HUB_PATH], origin[300], why[CURL_ERROR_SIZE];
    *again = false;
    if (strlen(q->url) >= sizeof url) NIB_FAIL(err, NIB_IO, "%s: the address is too long", q->what);
    strcpy(url, q->url);
    for (int hops = 0; hops <= MOST_HOPS; hops++) {
        hop h = {.http = http, .request = q, .reply = r, .err = err};
        if (!hub_origin(url, origin)) NIB_FAIL(err, NIB_IO, "%s: no address of http or https", q->what);
        h.own = strcmp(origin, http->origin) == 0;
        NIB_TRY(ask(&h, url, why));
        const bool cut_short = h.skipped > MOST_OF_ERROR;
        if (http->code != CURLE_OK && !cut_short) {
            *again = may_mend(http->code, q->from > 0);
            NIB_FAIL(err, NIB_IO, "%s: %.*s: %s", q->what, shown(url), url,
                     why[0] ? why : http->curl.easy_strerror(http->code));
        }
        if (is_redirect(r->status)) {
            char next[300];
            NIB_TRY(next_hop(http, q, url, err));
            if (q->head && hub_origin(url, next) && strcmp(next, http->origin) != 0)
                return NIB_OK; /* all that is asked for was said */
            continue;
        }
        if (r->status == 200 || r->status == 206) return check_end(&h, again);
        *again = may_change(r->status);
        if (r->status == 401 || r->status == 403 || r->status == 404 || r->status == 410)
            return refused(http, q, r, h.own, err);
        NIB_FAIL(err, NIB_IO, "%s: %.*s answers HTTP %ld", q->what, shown(url), url, r->status);
    }
    NIB_FAIL(err, NIB_IO, "%s: more than %d redirects", q->what, MOST_HOPS);
fail:
    return status;
}

nib_status hub_http_do(hub_http *http, hub_request *q, hub_reply *r, nib_error *err) {
    for (int tries = 0, all = 0;; all++) {
        const uint64_t before = q->from;
        bool again;
        hub_reply_init(r);
        nib_status status = try_once(http, q, r, &again, err);
        if (status == NIB_OK || !again) return status;
        tries = q->from != before && http->code != CURLE_OPERATION_TIMEDOUT ? 0 : tries + 1;
        double wait = tries ? 0.25 * (double)(1 << tries) : 0;
        if (r->retry_after >= 0 && may_change(r->status)) wait = (double)r->retry_after;
        if (tries >= MOST_TRIES || all >= MOST_CUTS) return status;
        if (wait > LONGEST_WAIT)
            return base_error_set(err, NIB_IO, "%s: HTTP %ld: the server asks to come again in %lld seconds", q->what,
                                  r->status, (long long)r->retry_after);
        if (err) base_log(http->runtime, NIB_LOG_INFO, "%s; trying again", err->message);
        nib_status stopped = base_wait(wait, err);
        if (stopped != NIB_OK) return stopped;
    }
}

nib_status hub_http_open(nib_runtime *runtime, const hub_env *env, hub_http *out, nib_error *err) {
    nib_status status = NIB_OK;
    memset(out, 0, sizeof *out);
    out->env = env;
    out->runtime = runtime;
    if (!hub_origin(env->endpoint, out->origin))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "HF_ENDPOINT: no address of http or https");
    NIB_TRY(hub_curl_load(&out->curl, err));
    if (!(out->handle = out->curl.easy_init())) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for libcurl");
    out->curl.easy_setopt(out->handle, CURLOPT_NOSIGNAL, 1L);
    out->curl.easy_setopt(out->handle, CURLOPT_NOPROGRESS, 0L);
    out->curl.easy_setopt(out->handle, CURLOPT_FOLLOWLOCATION, 0L);
    out->curl.easy_setopt(out->handle, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); /* no token for a proxy */
    out->curl.easy_setopt(out->handle, CURLOPT_BUFFERSIZE, (long)BUFFER);
    out->curl.easy_setopt(out->handle, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    out->curl.easy_setopt(out->handle, CURLOPT_USERAGENT, "nib/" NIB_VERSION);
    out->curl.easy_setopt(out->handle, CURLOPT_CONNECTTIMEOUT, (long)env->etag_timeout);
    if (env->certificates[0]) out->curl.easy_setopt(out->handle, CURLOPT_CAINFO, env->certificates);
fail:
    return status;
}

void hub_http_close(hub_http *http) {
    if (http->handle) http->curl.easy_cleanup(http->handle);
    memset(http, 0, sizeof *http);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * See hf_jinja.h. In: a template and its variables. Out: text. The template is walked from its first byte to its last;
 * the body of a loop again for each of its items. There is no tree of it.
 */
#include "hf_jinja.h"
#include "base/base_number.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MOST_DEPTH 64
#define MOST_STEPS 200000
#define MOST_OUTPUT 65536

void hf_jinja_refuse(hf_jinja *j, const char *format, ...) {
    char text[200];
    va_list args;
    if (j->status != NIB_OK) return;
    va_start(args, format);
    base_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    j->status = base_error_set(j->err, NIB_UNSUPPORTED, "%s", text);
}

bool hf_jinja_step(hf_jinja *j) {
    if (j->status == NIB_OK && (++j->steps > MOST_STEPS || j->depth > MOST_DEPTH || j->out->length > MOST_OUTPUT))
        j->status = base_error_set(j->err, NIB_LIMIT, "it goes on for too long, or too deep");
    return j->status == NIB_OK;
}

void hf_jinja_set(hf_jinja *j, const char *name, size_t length, hf_jinja_value value) {
    if (j->n_variables == HF_JINJA_VARIABLES) {
        hf_jinja_refuse(j, "more than %d variables", HF_JINJA_VARIABLES);
        return;
    }
    j->variables[j->n_variables].name = name;
    j->variables[j->n_variables].length = length;
    j->variables[j->n_variables++].value = value;
}

/* ---------------------------------------------------------------- text between tags */

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f); }

/* Python's spaces are those of Unicode; beyond ASCII they are refused where they would be stripped. */
static void no_wide_space(hf_jinja *j, const char *from, const char *to) {
    static const char *const spaces[] = {"\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\xa8", "\xe2\x80\xa9",
                                         "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};
    const size_t n = (size_t)(to - from);
    bool found = n >= 3 && memcmp(from, "\xe2\x80", 2) == 0 && (unsigned char)from[2] >= 0x80 && (unsigned char)from[2] <= 0x8a;
    for (size_t i = 0; i < BASE_COUNT(spaces) && !found; i++)
        found = n >= strlen(spaces[i]) && memcmp(from, spaces[i], strlen(spaces[i])) == 0;
    if (found) hf_jinja_refuse(j, "a space beyond ASCII beside a tag that strips");
}

/* The next "{{", "{%" or "{#", or the end. */
static const char *next_tag(const hf_jinja *j) {
    const char *at = j->at;
    while (at < j->end && !(at[0] == '{' && at + 1 < j->end && (at[1] == '{' || at[1] == '%' || at[1] == '#'))) at++;
    return at;
}

/* What is left of the text in front of a tag. */
static void put_text(hf_jinja *j, const char *tag) {
    const char *from = j->at, *to = tag;
    while (j->strips && from < tag && is_space(*from)) from++;
    if (j->strips) no_wide_space(j, from, tag);
    if (!j->strips && j->trims && from < tag && *from == '\n') from++;
    const bool begins = from > j->at ? from[-1] == '\n' : j->line_begins;
    const char control = tag + 2 < j->end ? tag[2] : 0;
    if (tag < j->end && control == '-') {
        while (to > from && is_space(to[-1])) to--;
        for (int k = 2; k <= 3; k++)
            if (to - from >= k) no_wide_space(j, to - k, to);
    } else if (tag < j->end && tag[1] != '{' && control != '+') {
        const char *line = to;
        while (line > from && (line[-1] == ' ' || line[-1] == '\t')) line--;
        if (line > from ? line[-1] == '\n' : begins) to = line;
    }
    base_str_add_bytes(j->out, from, (size_t)(to - from));
    j->strips = j->trims = j->line_begins = false;
    j->at = tag;
}

static void open_tag(hf_jinja *j) {
    j->at += 2;
    if (j->at < j->end && (*j->at == '-' || *j->at == '+')) j->at++;
}

/* Behind "}}", "%}" or "#}", with or without a sign in front. */
static void close_tag(hf_jinja *j, char kind) {
    const char closing[3] = {kind == '{' ? '}' : kind, '}', 0};
    hf_jinja_space(j);
    const bool dash = hf_jinja_sign(j, "-"), plus = !dash && hf_jinja_sign(j, "+");
    if (!hf_jinja_sign(j, closing)) hf_jinja_refuse(j, "something before %s that is not read: %.20s", closing, j->at);
    j->strips = dash;
    j->trims = kind != '{' && !plus;
}

static void skip_comment(hf_jinja *j) {
    const char *begin = j->at;
    while (j->at + 1 < j->end && !(j->at[0] == '#' && j->at[1] == '}')) j->at++;
    if (j->at > begin && (j->at[-1] == '-' || j->at[-1] == '+')) j->at--;
    close_tag(j, '#');
}

/* To the end of a tag whose contents nobody asks. */
static void skip_tag(hf_jinja *j, char kind) {
    const char closing = kind == '{' ? '}' : kind;
    while (j->at + 1 < j->end && !(j->at[0] == closing && j->at[1] == '}')) {
        const char quote = *j->at;
        if (quote == '\'' || quote == '"')
            for (j->at++; j->at < j->end && *j->at != quote; j->at++) j->at += *j->at == '\\' && j->at + 1 < j->end;
        if (j->at < j->end) j->at++;
    }
    if (j->at > j->end) j->at = j->end;
    if (j->at[-1] == '-' || j->at[-1] == '+') j->at--;
    close_tag(j, kind);
}

/* ---------------------------------------------------------------- blocks */

static void read_word(hf_jinja *j) {
    const char *name = "";
    size_t length = 0;
    hf_jinja_space(j);
    if (!hf_jinja_name(j, &name, &length) || length >= sizeof j->word) hf_jinja_refuse(j, "a tag without a word");
    else snprintf(j->word, sizeof j->word, "%.*s", (int)length, name);
}

static bool is_word(const hf_jinja *j, const char *word) { return strcmp(j->word, word) == 0; }

static bool ends_block(const hf_jinja *j, bool loop) {
    return loop ? is_word(j, "endfor") || is_word(j, "else")
                : is_word(j, "endif") || is_word(j, "elif") || is_word(j, "else");
}

/* Goes to the tag that ends a block, which nothing is made of, and reads its word. */
static void skip_block(hf_jinja *j, bool loop) {
    static const char *const openers[] = {"if", "for", "macro", "call", "filter", "block", "raw"};
    int inside = 0;
    while (hf_jinja_step(j)) {
        const char *tag = next_tag(j);
        if (tag >= j->end) hf_jinja_refuse(j, "a block without an end");
        if (j->status != NIB_OK) return;
        j->at = tag;
        const char kind = tag[1];
        open_tag(j);
        if (kind == '#') skip_comment(j);
        if (kind == '%') {
            read_word(j);
            if (inside == 0 && ends_block(j, loop)) return;
            for (size_t i = 0; i < BASE_COUNT(openers); i++) inside += is_word(j, openers[i]);
            inside -= strncmp(j->word, "end", 3) == 0 && !is_word(j, "endset") && !is_word(j, "endgeneration");
        }
        if (kind != '#') skip_tag(j, kind);
    }
}

static void walk(hf_jinja *j, bool inside, bool loop);

static void walk_if(hf_jinja *j) {
    hf_jinja_value v = hf_jinja_expression(j);
    bool wanted = hf_jinja_truth(j, &v), done = false;
    close_tag(j, '%');
    while (hf_jinja_step(j)) {
        if (wanted) walk(j, true, false);
        else skip_block(j, false);
        done |= wanted;
        if (j->status != NIB_OK || is_word(j, "endif")) break;
        wanted = !done;
        if (is_word(j, "elif") && done) {
            skip_tag(j, '%');
            continue;
        }
        if (is_word(j, "elif")) v = hf_jinja_expression(j), wanted = hf_jinja_truth(j, &v);
        close_tag(j, '%');
    }
    close_tag(j, '%');
}

/* What `loop` is in its i-th turn. */
static hf_jinja_value loop_value(hf_jinja *j, int i, int count) {
    static const char *const keys[] = {"first", "last", "index", "index0", "length"};
    hf_jinja_value *items = base_arena_calloc(&j->arena, BASE_COUNT(keys), sizeof *items);
    if (!items) {
        j->status = base_error_set(j->err, NIB_OUT_OF_MEMORY, "out of memory for a template");
        return (hf_jinja_value){.kind = HF_JINJA_UNDEFINED};
    }
    items[0] = (hf_jinja_value){.kind = HF_JINJA_BOOL, .number = i == 0};
    items[1] = (hf_jinja_value){.kind = HF_JINJA_BOOL, .number = i == count - 1};
    items[2] = (hf_jinja_value){.kind = HF_JINJA_INT, .number = i + 1};
    items[3] = (hf_jinja_value){.kind = HF_JINJA_INT, .number = i};
    items[4] = (hf_jinja_value){.kind = HF_JINJA_INT, .number = count};
    return (hf_jinja_value){.kind = HF_JINJA_MAP, .items = items, .keys = keys, .count = BASE_COUNT(keys)};
}

static void walk_for(hf_jinja *j) {
    const char *name, *in;
    size_t length, in_length;
    hf_jinja_space(j);
    if (!hf_jinja_name(j, &name, &length)) hf_jinja_refuse(j, "a loop without a variable");
    hf_jinja_space(j);
    if (!hf_jinja_name(j, &in, &in_length) || in_length != 2 || memcmp(in, "in", 2) != 0)
        hf_jinja_refuse(j, "a loop of another form than: for NAME in LIST");
    const hf_jinja_value list = hf_jinja_expression(j);
    close_tag(j, '%');
    if (list.kind != HF_JINJA_LIST) hf_jinja_refuse(j, "a loop over something that is no list");
    const char *body = j->at; /* where it begins, and what its first text loses */
    const bool strips = j->strips, trims = j->trims;
    const int outer = j->n_variables;
    for (int i = 0; i < list.count && hf_jinja_step(j); i++) {
        j->at = body, j->strips = strips, j->trims = trims, j->line_begins = false;
        hf_jinja_set(j, name, length, list.items[i]);
        hf_jinja_set(j, "loop", 4, loop_value(j, i, list.count));
        walk(j, true, true);
        j->n_variables = outer;
        if (j->status == NIB_OK && is_word(j, "else")) hf_jinja_refuse(j, "a loop with an else");
    }
    if (list.count == 0 && j->status == NIB_OK) skip_block(j, true);
    if (j->status == NIB_OK && !is_word(j, "endfor")) hf_jinja_refuse(j, "a loop with an else");
    close_tag(j, '%');
}

static void walk_set(hf_jinja *j) {
    const char *name;
    size_t length;
    hf_jinja_space(j);
    if (!hf_jinja_name(j, &name, &length)) hf_jinja_refuse(j, "a set without a name");
    hf_jinja_space(j);
    if (!hf_jinja_sign(j, "=")) hf_jinja_refuse(j, "a set of another form than: set NAME = ..");
    hf_jinja_set(j, name, length, hf_jinja_expression(j));
    close_tag(j, '%');
}

static void walk_tag(hf_jinja *j) {
    if (is_word(j, "if")) walk_if(j);
    else if (is_word(j, "for")) walk_for(j);
    else if (is_word(j, "set")) walk_set(j);
    else if (is_word(j, "generation") || is_word(j, "endgeneration")) close_tag(j, '%'); /* marks what is trained on */
    else hf_jinja_refuse(j, "{%% %s %%}", j->word);
}

/* To the end of the template or, inside a block, to the tag that ends it, whose word is read. */
static void walk(hf_jinja *j, bool inside, bool loop) {
    j->depth++;
    while (hf_jinja_step(j)) {
        const char *tag = next_tag(j), kind = tag < j->end ? tag[1] : 0;
        put_text(j, tag);
        if (!kind) break;
        open_tag(j);
        if (kind == '#') {
            skip_comment(j);
        } else if (kind == '{') {
            hf_jinja_value v = hf_jinja_expression(j);
            v = hf_jinja_print(j, &v);
            close_tag(j, kind);
            if (j->status == NIB_OK) base_str_add_bytes(j->out, v.text, v.length);
        } else {
            read_word(j);
            if (inside && ends_block(j, loop)) {
                j->depth--;
                return;
            }
            if (j->status == NIB_OK) walk_tag(j);
        }
    }
    j->depth--;
    if (inside) hf_jinja_refuse(j, "a block without an end");
}

nib_status hf_jinja_render(base_heap *heap, const char *text, size_t length, const hf_jinja_variable *variables,
                           int count, base_str *out, nib_error *err) {
    hf_jinja j = {.out = out, .err = err, .line_begins = true};
    base_arena_init(&j.arena, heap);
    char *plain = base_arena_alloc(&j.arena, length + 1);
    size_t n = 0;
    if (!plain) j.status = base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a template");
    for (size_t i = 0; plain && i < length; i++) {
        const bool newline = text[i] == '\r'; /* of any kind: "\n" */
        if (newline && i + 1 < length && text[i + 1] == '\n') i++;
        plain[n++] = newline ? '\n' : text[i];
        if ((unsigned char)plain[n - 1] <= HF_JINJA_MARKS) hf_jinja_refuse(&j, "it holds a byte of %d", plain[n - 1]);
    }
    n -= n > 0 && plain[n - 1] == '\n';
    if (plain) plain[n] = 0;
    j.at = plain;
    j.end = plain ? plain + n : NULL;
    for (int i = 0; i < count; i++) hf_jinja_set(&j, variables[i].name, strlen(variables[i].name), variables[i].value);
    if (j.status == NIB_OK) walk(&j, false, false);
    base_arena_free(&j.arena);
    if (j.status == NIB_OK && out->failed)
        j.status = base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a template");
    return j.status;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Expressions of templates (hf_jinja.h). In: their text. Out: values, in the order of binding that Jinja has: if-else,
 * or, and, not, comparisons, + and -, ~, a sign, and behind a value its members, filters and tests.
 */
#include "hf_jinja.h"
#include <stdlib.h>
#include <string.h>

static const hf_jinja_value undefined = {.kind = HF_JINJA_UNDEFINED};

hf_jinja_value hf_jinja_text(const char *text) {
    return (hf_jinja_value){.kind = HF_JINJA_TEXT, .text = text, .length = strlen(text)};
}

static hf_jinja_value of_bool(bool b) { return (hf_jinja_value){.kind = HF_JINJA_BOOL, .number = b}; }
static hf_jinja_value of_int(int64_t n) { return (hf_jinja_value){.kind = HF_JINJA_INT, .number = n}; }

static hf_jinja_value no_memory(hf_jinja *j) {
    if (j->status == NIB_OK) j->status = base_error_set(j->err, NIB_OUT_OF_MEMORY, "out of memory for a template");
    return undefined;
}

/* ---------------------------------------------------------------- reading */

void hf_jinja_space(hf_jinja *j) {
    while (j->at < j->end && (*j->at == ' ' || (*j->at >= '\t' && *j->at <= '\r'))) j->at++;
}

bool hf_jinja_sign(hf_jinja *j, const char *sign) {
    const size_t n = strlen(sign);
    if (j->status != NIB_OK || (size_t)(j->end - j->at) < n || memcmp(j->at, sign, n) != 0) return false;
    j->at += n;
    return true;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool hf_jinja_name(hf_jinja *j, const char **name, size_t *length) {
    const char *at = j->at;
    if (j->status != NIB_OK || at >= j->end || !is_letter(*at)) return false;
    while (at < j->end && (is_letter(*at) || is_digit(*at))) at++;
    *name = j->at;
    *length = (size_t)(at - j->at);
    j->at = at;
    return true;
}

static bool is_named(const char *name, size_t length, const char *word) {
    return strlen(word) == length && memcmp(name, word, length) == 0;
}

/* Takes the word, if it is next. */
static bool word(hf_jinja *j, const char *wanted) {
    const char *before = j->at, *name;
    size_t length;
    hf_jinja_space(j);
    if (hf_jinja_name(j, &name, &length) && is_named(name, length, wanted)) return true;
    j->at = before;
    return false;
}

static bool sign(hf_jinja *j, const char *wanted) {
    hf_jinja_space(j);
    return hf_jinja_sign(j, wanted);
}

/* What is at hand is evaluated. */
static bool is_on(const hf_jinja *j) { return j->status == NIB_OK && j->off == 0; }

/* ---------------------------------------------------------------- what is asked of values */

/* Whether it is, or holds, a text that is not known yet. */
static bool has_mark(const hf_jinja_value *v) {
    for (size_t i = 0; v->kind == HF_JINJA_TEXT && i < v->length; i++)
        if ((unsigned char)v->text[i] <= HF_JINJA_MARKS) return true;
    return false;
}

static bool asks(hf_jinja *j, const hf_jinja_value *v, const char *what) {
    if (!is_on(j) || !has_mark(v)) return false;
    hf_jinja_refuse(j, "it asks %s a message", what);
    return true;
}

bool hf_jinja_truth(hf_jinja *j, const hf_jinja_value *v) {
    switch (v->kind) {
    case HF_JINJA_BOOL:
    case HF_JINJA_INT: return v->number != 0;
    case HF_JINJA_TEXT: return !asks(j, v, "for the emptiness of") && v->length > 0;
    case HF_JINJA_LIST:
    case HF_JINJA_MAP: return v->count > 0;
    default: return false;
    }
}

static bool is_same(hf_jinja *j, const hf_jinja_value *a, const hf_jinja_value *b) {
    if (a->kind == HF_JINJA_TEXT && b->kind == HF_JINJA_TEXT) {
        if (asks(j, a, "what is said in") || asks(j, b, "what is said in")) return false;
        return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
    }
    const bool numbers =
        (a->kind == HF_JINJA_BOOL || a->kind == HF_JINJA_INT) && (b->kind == HF_JINJA_BOOL || b->kind == HF_JINJA_INT);
    if (numbers) return a->number == b->number;
    if (is_on(j) && (a->kind >= HF_JINJA_LIST || b->kind >= HF_JINJA_LIST) && a->kind == b->kind)
        hf_jinja_refuse(j, "lists are compared");
    return a->kind == b->kind;
}

static hf_jinja_value member(const hf_jinja_value *v, const char *name, size_t length) {
    for (int i = 0; v->kind == HF_JINJA_MAP && i < v->count; i++)
        if (is_named(name, length, v->keys[i])) return v->items[i];
    return undefined;
}

static bool contains(hf_jinja *j, const hf_jinja_value *all, const hf_jinja_value *one) {
    if (all->kind == HF_JINJA_TEXT && one->kind == HF_JINJA_TEXT) {
        if (asks(j, all, "what is said in") || asks(j, one, "what is said in")) return false;
        for (size_t i = 0; i + one->length <= all->length; i++)
            if (memcmp(all->text + i, one->text, one->length) == 0) return true;
        return false;
    }
    if (all->kind == HF_JINJA_MAP && one->kind == HF_JINJA_TEXT)
        return member(all, one->text, one->length).kind != HF_JINJA_UNDEFINED;
    if (all->kind != HF_JINJA_LIST && is_on(j)) hf_jinja_refuse(j, "`in` of something that holds nothing");
    for (int i = 0; all->kind == HF_JINJA_LIST && i < all->count; i++)
        if (is_same(j, &all->items[i], one)) return true;
    return false;
}

static hf_jinja_value join(hf_jinja *j, const hf_jinja_value *a, const hf_jinja_value *b) {
    char *text = base_arena_alloc(&j->arena, a->length + b->length + 1);
    if (!text) return no_memory(j);
    if (a->length + b->length > 65536) {
        hf_jinja_refuse(j, "a text that is too long");
        return undefined;
    }
    memcpy(text, a->text, a->length);
    memcpy(text + a->length, b->text, b->length);
    text[a->length + b->length] = 0;
    return (hf_jinja_value){.kind = HF_JINJA_TEXT, .text = text, .length = a->length + b->length};
}

hf_jinja_value hf_jinja_print(hf_jinja *j, const hf_jinja_value *v) {
    char *number;
    switch (v->kind) {
    case HF_JINJA_TEXT: return *v;
    case HF_JINJA_UNDEFINED: return hf_jinja_text("");
    case HF_JINJA_NONE: return hf_jinja_text("None");
    case HF_JINJA_BOOL: return hf_jinja_text(v->number ? "True" : "False");
    case HF_JINJA_INT:
        number = base_arena_printf(&j->arena, "%lld", (long long)v->number);
        return number ? hf_jinja_text(number) : no_memory(j);
    default: break;
    }
    if (is_on(j)) hf_jinja_refuse(j, "a list, or what has members, as text");
    return hf_jinja_text("");
}

/* ---------------------------------------------------------------- arguments of filters and tests */

#define MOST_ARGUMENTS 4

typedef struct arguments {
    hf_jinja_value list[MOST_ARGUMENTS];
    const char *names[MOST_ARGUMENTS]; /* "": by place */
    size_t lengths[MOST_ARGUMENTS];
    int count;
} arguments;

static void read_arguments(hf_jinja *j, arguments *a) {
    a->count = 0;
    if (!sign(j, "(")) return;
    while (hf_jinja_step(j) && !sign(j, ")")) {
        if (a->count == MOST_ARGUMENTS || (a->count && !sign(j, ","))) {
            hf_jinja_refuse(j, "arguments that are not read");
            return;
        }
        const char *before = j->at, *name = "";
        size_t length = 0;
        hf_jinja_space(j);
        const bool named = hf_jinja_name(j, &name, &length) && sign(j, "=") && !hf_jinja_sign(j, "=");
        if (!named) j->at = before, length = 0;
        a->names[a->count] = name;
        a->lengths[a->count] = length;
        a->list[a->count++] = hf_jinja_expression(j);
    }
}

static hf_jinja_value argument(const arguments *a, int i) { return i < a->count ? a->list[i] : undefined; }

/* ---------------------------------------------------------------- filters */

/* Whether what `is` compares with v. */
static bool test(hf_jinja *j, const char *name, size_t length, const hf_jinja_value *v, const hf_jinja_value *other) {
    static const char *const equal[] = {"eq", "equalto", "=="}, *const unequal[] = {"ne", "!="};
    for (size_t i = 0; i < BASE_COUNT(equal); i++)
        if (is_named(name, length, equal[i])) return is_same(j, v, other);
    for (size_t i = 0; i < BASE_COUNT(unequal); i++)
        if (is_named(name, length, unequal[i])) return !is_same(j, v, other);
    if (is_named(name, length, "defined")) return v->kind != HF_JINJA_UNDEFINED;
    if (is_named(name, length, "undefined")) return v->kind == HF_JINJA_UNDEFINED;
    if (is_named(name, length, "none")) return v->kind == HF_JINJA_NONE;
    if (is_named(name, length, "string")) return v->kind == HF_JINJA_TEXT;
    if (is_named(name, length, "mapping")) return v->kind == HF_JINJA_MAP;
    if (is_named(name, length, "true")) return v->kind == HF_JINJA_BOOL && v->number;
    if (is_named(name, length, "false")) return v->kind == HF_JINJA_BOOL && !v->number;
    if (is_named(name, length, "iterable") || is_named(name, length, "sequence")) {
        if (is_on(j) && v->kind == HF_JINJA_UNDEFINED) hf_jinja_refuse(j, "whether what is undefined is a list");
        return v->kind >= HF_JINJA_TEXT;
    }
    if (is_on(j)) hf_jinja_refuse(j, "the test `%.*s`", (int)length, name);
    return false;
}

/* Those of a list that `keeps`, or what each has as a member. */
static hf_jinja_value of_list(hf_jinja *j, const hf_jinja_value *v, const arguments *a, bool picks, bool rejects) {
    const hf_jinja_value *by = &a->list[0];
    const bool by_member =
        picks ? a->count >= 1 && !a->lengths[0] : a->count == 1 && is_named(a->names[0], a->lengths[0], "attribute");
    if (v->kind != HF_JINJA_LIST || !by_member || by->kind != HF_JINJA_TEXT) {
        hf_jinja_refuse(j, "a filter of a list by something else than a member");
        return undefined;
    }
    hf_jinja_value *items = base_arena_calloc(&j->arena, (size_t)v->count + 1, sizeof *items);
    int n = 0;
    for (int i = 0; items && i < v->count; i++) {
        const hf_jinja_value m = member(&v->items[i], by->text, by->length), other = argument(a, 2);
        const bool plain = a->count < 2, keeps = plain ? picks && hf_jinja_truth(j, &m)
                                                       : test(j, a->list[1].text, a->list[1].length, &m, &other);
        if (!picks) items[n++] = m;
        else if (keeps != rejects) items[n++] = v->items[i];
    }
    return items ? (hf_jinja_value){.kind = HF_JINJA_LIST, .items = items, .count = n} : no_memory(j);
}

static hf_jinja_value trimmed(hf_jinja *j, const hf_jinja_value *v) {
    hf_jinja_value t = *v;
    const char *space = " \t\n\v\f\r";
    while (t.length && strchr(space, *t.text)) t.text++, t.length--;
    while (t.length && strchr(space, t.text[t.length - 1])) t.length--;
    if (t.length && ((unsigned char)*t.text <= HF_JINJA_MARKS || (unsigned char)t.text[t.length - 1] <= HF_JINJA_MARKS))
        hf_jinja_refuse(j, "`trim` of what a message says");
    return t;
}

static hf_jinja_value in_case(hf_jinja *j, const hf_jinja_value *v, bool upper) {
    char *text = base_arena_strndup(&j->arena, v->text, v->length);
    if (asks(j, v, "for the case of")) return undefined;
    for (size_t i = 0; text && i < v->length; i++) {
        const char from = upper ? 'a' : 'A', c = text[i];
        if ((unsigned char)c >= 0x80) hf_jinja_refuse(j, "the case of letters beyond ASCII");
        if (c >= from && c <= from + 25) text[i] = (char)(c ^ 0x20);
    }
    return text ? (hf_jinja_value){.kind = HF_JINJA_TEXT, .text = text, .length = v->length} : no_memory(j);
}

static hf_jinja_value joined(hf_jinja *j, const hf_jinja_value *v, const hf_jinja_value *between) {
    hf_jinja_value all = hf_jinja_text(""), none = hf_jinja_text("");
    for (int i = 0; i < v->count && j->status == NIB_OK; i++) {
        const hf_jinja_value one = hf_jinja_print(j, &v->items[i]);
        if (i) all = join(j, &all, between->kind == HF_JINJA_TEXT ? between : &none);
        all = join(j, &all, &one);
    }
    return all;
}

static hf_jinja_value filter(hf_jinja *j, const char *name, size_t length, const hf_jinja_value *v,
                             const arguments *a) {
    const bool list = v->kind == HF_JINJA_LIST, text = v->kind == HF_JINJA_TEXT;
    if (!is_on(j)) return undefined;
    if (list && (is_named(name, length, "first") || is_named(name, length, "last")))
        return v->count == 0 ? undefined : v->items[name[0] == 'f' ? 0 : v->count - 1];
    if (list && is_named(name, length, "list")) return *v;
    if (list && (is_named(name, length, "length") || is_named(name, length, "count"))) return of_int(v->count);
    if (is_named(name, length, "map")) return of_list(j, v, a, false, false);
    if (is_named(name, length, "selectattr")) return of_list(j, v, a, true, false);
    if (is_named(name, length, "rejectattr")) return of_list(j, v, a, true, true);
    if (is_named(name, length, "default") || is_named(name, length, "d")) {
        const hf_jinja_value falsy = argument(a, 1);
        const bool missing =
            v->kind == HF_JINJA_UNDEFINED || (a->count > 1 && hf_jinja_truth(j, &falsy) && !hf_jinja_truth(j, v));
        return missing ? (a->count ? a->list[0] : hf_jinja_text("")) : *v;
    }
    if (text && a->count == 0 && is_named(name, length, "trim")) return trimmed(j, v);
    if (text && (is_named(name, length, "upper") || is_named(name, length, "lower")))
        return in_case(j, v, name[0] == 'u');
    if (is_named(name, length, "string")) return hf_jinja_print(j, v);
    const hf_jinja_value between = argument(a, 0);
    if (list && is_named(name, length, "join")) return joined(j, v, &between);
    hf_jinja_refuse(j, "the filter `%.*s`", (int)length, name);
    return undefined;
}

/* ---------------------------------------------------------------- values and what stands behind them */

static hf_jinja_value read_string(hf_jinja *j) {
    static const char codes[] = "ntr\\'\"", means[] = "\n\t\r\\'\"";
    const char quote = *j->at++;
    char *text = base_arena_alloc(&j->arena, (size_t)(j->end - j->at) + 1);
    size_t n = 0;
    if (!text) return no_memory(j);
    for (; j->at < j->end && *j->at != quote; j->at++) {
        const bool code = *j->at == '\\' && j->at + 1 < j->end;
        if (code) j->at++;
        const char *known = code && *j->at ? strchr(codes, *j->at) : NULL;
        if (code && !known) hf_jinja_refuse(j, "\\%c in a string", *j->at);
        text[n++] = known ? means[known - codes] : *j->at;
    }
    if (j->at == j->end) hf_jinja_refuse(j, "a string without an end");
    else j->at++;
    return (hf_jinja_value){.kind = HF_JINJA_TEXT, .text = text, .length = n};
}

static hf_jinja_value read_list(hf_jinja *j) {
    enum { MOST = 64 };
    hf_jinja_value *items = base_arena_calloc(&j->arena, MOST, sizeof *items);
    int n = 0;
    if (!items) return no_memory(j);
    while (hf_jinja_step(j) && !sign(j, "]")) {
        if (n == MOST || (n && !sign(j, ","))) hf_jinja_refuse(j, "a list that is not read");
        if (j->status == NIB_OK && !sign(j, "]")) items[n++] = hf_jinja_expression(j);
        else break;
    }
    return (hf_jinja_value){.kind = HF_JINJA_LIST, .items = items, .count = n};
}

static hf_jinja_value variable(hf_jinja *j, const char *name, size_t length) {
    static const struct {
        const char *name;
        hf_jinja_value value;
    } constants[] = {{"true", {.kind = HF_JINJA_BOOL, .number = 1}},
                     {"True", {.kind = HF_JINJA_BOOL, .number = 1}},
                     {"false", {.kind = HF_JINJA_BOOL}},
                     {"False", {.kind = HF_JINJA_BOOL}},
                     {"none", {.kind = HF_JINJA_NONE}},
                     {"None", {.kind = HF_JINJA_NONE}}};
    for (size_t i = 0; i < BASE_COUNT(constants); i++)
        if (is_named(name, length, constants[i].name)) return constants[i].value;
    for (int i = j->n_variables; i-- > 0;)
        if (j->variables[i].length == length && memcmp(j->variables[i].name, name, length) == 0)
            return j->variables[i].value;
    /* Any file of a tokenizer may name special tokens. */
    const char *const ends[] = {"_token", "_tokens"};
    for (size_t i = 0; i < BASE_COUNT(ends) && is_on(j); i++)
        if (length > strlen(ends[i]) && memcmp(name + length - strlen(ends[i]), ends[i], strlen(ends[i])) == 0)
            hf_jinja_refuse(j, "the variable `%.*s`", (int)length, name);
    return undefined;
}

static hf_jinja_value primary(hf_jinja *j) {
    const char *name;
    size_t length;
    hf_jinja_space(j);
    const char c = j->at < j->end ? *j->at : 0;
    if (c == '\'' || c == '"') return read_string(j);
    if (hf_jinja_sign(j, "[")) return read_list(j);
    if (hf_jinja_sign(j, "(")) {
        const hf_jinja_value v = hf_jinja_expression(j);
        if (!sign(j, ")")) hf_jinja_refuse(j, "a parenthesis that is not read: %.20s", j->at);
        return v;
    }
    if (is_digit(c)) {
        int64_t n = 0;
        for (int i = 0; j->at < j->end && is_digit(*j->at); j->at++, i++) n = i < 9 ? 10 * n + (*j->at - '0') : n;
        return of_int(n);
    }
    if (hf_jinja_name(j, &name, &length)) {
        const bool calls = sign(j, "(");
        if (!calls) return variable(j, name, length);
        j->at--;
        arguments a;
        read_arguments(j, &a);
        if (is_on(j) && is_named(name, length, "raise_exception") && a.count == 1 && a.list[0].kind == HF_JINJA_TEXT)
            hf_jinja_refuse(j, "it says: %.*s", a.list[0].length > 120 ? 120 : (int)a.list[0].length, a.list[0].text);
        if (is_on(j)) hf_jinja_refuse(j, "the function `%.*s`", (int)length, name);
        return undefined;
    }
    hf_jinja_refuse(j, "an expression that is not read: %.20s", j->at);
    return undefined;
}

/* [i] or [a:b], the bracket is read. */
static hf_jinja_value subscript(hf_jinja *j, const hf_jinja_value *v) {
    hf_jinja_value from = of_int(0), to = of_int(v->count);
    const bool has_from = !sign(j, ":");
    if (has_from) from = hf_jinja_expression(j);
    const bool slices = !has_from || sign(j, ":");
    if (slices && !sign(j, "]")) to = hf_jinja_expression(j), hf_jinja_space(j);
    else if (slices) j->at--;
    if (!sign(j, "]")) hf_jinja_refuse(j, "brackets that are not read: %.20s", j->at);
    if (!is_on(j)) return undefined;
    if (v->kind == HF_JINJA_MAP && !slices && from.kind == HF_JINJA_TEXT) return member(v, from.text, from.length);
    if (v->kind != HF_JINJA_LIST || from.kind != HF_JINJA_INT || to.kind != HF_JINJA_INT) {
        hf_jinja_refuse(j, "brackets behind something that is no list");
        return undefined;
    }
    int64_t a = from.number + (from.number < 0 ? v->count : 0), b = to.number + (to.number < 0 ? v->count : 0);
    if (!slices) return a >= 0 && a < v->count ? v->items[a] : undefined;
    a = a < 0 ? 0 : a > v->count ? v->count : a;
    b = b < a ? a : b > v->count ? v->count : b;
    return (hf_jinja_value){.kind = HF_JINJA_LIST, .items = v->items + a, .count = (int)(b - a)};
}

static hf_jinja_value behind(hf_jinja *j, hf_jinja_value v) {
    const char *name;
    size_t length;
    arguments a;
    while (hf_jinja_step(j)) {
        const char *before = j->at;
        if (sign(j, "[")) {
            v = subscript(j, &v);
        } else if (hf_jinja_sign(j, ".")) {
            if (!hf_jinja_name(j, &name, &length)) hf_jinja_refuse(j, "a dot that is not read");
            else if (is_on(j) && v.kind != HF_JINJA_MAP) hf_jinja_refuse(j, "`.%.*s`", (int)length, name);
            else v = member(&v, name, length);
            if (sign(j, "(")) j->at--, read_arguments(j, &a), is_on(j) ? hf_jinja_refuse(j, "a method") : (void)0;
        } else if (hf_jinja_sign(j, "|")) {
            hf_jinja_space(j);
            if (!hf_jinja_name(j, &name, &length)) hf_jinja_refuse(j, "a filter without a name");
            read_arguments(j, &a);
            if (j->status == NIB_OK) v = filter(j, name, length, &v, &a);
        } else if (word(j, "is")) {
            const bool negates = word(j, "not");
            hf_jinja_space(j);
            if (!hf_jinja_name(j, &name, &length)) hf_jinja_refuse(j, "a test without a name");
            read_arguments(j, &a);
            const hf_jinja_value other = argument(&a, 0);
            if (j->status == NIB_OK) v = of_bool(test(j, name, length, &v, &other) != negates);
        } else {
            j->at = before;
            break;
        }
    }
    return v;
}

/* ---------------------------------------------------------------- operators */

static hf_jinja_value signed_value(hf_jinja *j) {
    const char *before = j->at;
    if (!sign(j, "-") || j->at >= j->end || *j->at == '}' || *j->at == '%') { /* not of a tag's end */
        j->at = before;
        return behind(j, primary(j));
    }
    hf_jinja_value v = behind(j, primary(j));
    if (is_on(j) && v.kind != HF_JINJA_INT) hf_jinja_refuse(j, "a sign before something that is no number");
    v.number = -v.number;
    return v;
}

static hf_jinja_value tilde(hf_jinja *j) {
    hf_jinja_value v = signed_value(j);
    while (hf_jinja_step(j) && sign(j, "~")) {
        const hf_jinja_value w = signed_value(j), a = hf_jinja_print(j, &v), b = hf_jinja_print(j, &w);
        if (is_on(j)) v = join(j, &a, &b);
    }
    return v;
}

static hf_jinja_value sum(hf_jinja *j) {
    hf_jinja_value v = tilde(j);
    while (hf_jinja_step(j)) {
        const char *before = j->at;
        const bool plus = sign(j, "+"), minus = !plus && hf_jinja_sign(j, "-");
        if ((!plus && !minus) || (j->at < j->end && (*j->at == '}' || *j->at == '%'))) { /* the end of a tag */
            j->at = before;
            break;
        }
        const hf_jinja_value w = tilde(j);
        if (!is_on(j)) continue;
        if (plus && v.kind == HF_JINJA_TEXT && w.kind == HF_JINJA_TEXT) v = join(j, &v, &w);
        else if (v.kind == HF_JINJA_INT && w.kind == HF_JINJA_INT) v.number += plus ? w.number : -w.number;
        else hf_jinja_refuse(j, "a sum of something else than two texts or two numbers");
    }
    return v;
}

static hf_jinja_value comparison(hf_jinja *j) {
    hf_jinja_value v = sum(j);
    for (int n = 0; hf_jinja_step(j); n++) {
        static const char *const signs[] = {"==", "!=", "<=", ">=", "<", ">"};
        size_t k = 0;
        while (k < BASE_COUNT(signs) && !sign(j, signs[k])) k++;
        const char *before = j->at;
        const bool negates = k == BASE_COUNT(signs) && word(j, "not"), in = k == BASE_COUNT(signs) && word(j, "in");
        if (k == BASE_COUNT(signs) && !in) {
            j->at = before;
            break;
        }
        const hf_jinja_value w = sum(j);
        if (n > 0) hf_jinja_refuse(j, "comparisons in a chain");
        if (in) v = of_bool(is_on(j) && contains(j, &w, &v) != negates);
        else if (k < 2) v = of_bool(is_same(j, &v, &w) == (k == 0));
        else if (v.kind == HF_JINJA_INT && w.kind == HF_JINJA_INT)
            v = of_bool(k == 2   ? v.number <= w.number
                        : k == 3 ? v.number >= w.number
                        : k == 4 ? v.number < w.number
                                 : v.number > w.number);
        else if (is_on(j)) hf_jinja_refuse(j, "an order of something else than numbers");
    }
    return v;
}

static hf_jinja_value negation(hf_jinja *j) {
    if (!hf_jinja_step(j) || !word(j, "not")) return comparison(j);
    j->depth++;
    const hf_jinja_value v = negation(j);
    j->depth--;
    return of_bool(!hf_jinja_truth(j, &v));
}

/* `and` (stops at what is false) or `or`; what is behind is read, and not evaluated. */
static hf_jinja_value logic(hf_jinja *j, bool is_and) {
    hf_jinja_value v = is_and ? negation(j) : logic(j, true);
    while (hf_jinja_step(j) && word(j, is_and ? "and" : "or")) {
        const bool stays = is_on(j) && hf_jinja_truth(j, &v) != is_and;
        j->off += stays;
        const hf_jinja_value w = is_and ? negation(j) : logic(j, true);
        j->off -= stays;
        if (!stays) v = w;
    }
    return v;
}

/* One value or, by what stands between `if` and `else`, another: the one that counts is evaluated, and that alone. */
static hf_jinja_value choice(hf_jinja *j, const char *begin) {
    const hf_jinja_value condition = logic(j, false);
    const bool wanted = hf_jinja_truth(j, &condition), on = is_on(j);
    hf_jinja_value v = undefined;
    if (word(j, "else")) {
        j->off += wanted;
        v = hf_jinja_expression(j);
        j->off -= wanted;
    }
    if (!on || !wanted) return v;
    const char *end = j->at;
    j->at = begin;
    v = logic(j, false);
    j->at = end;
    return v;
}

hf_jinja_value hf_jinja_expression(hf_jinja *j) {
    const char *begin = j->at;
    if (!hf_jinja_step(j)) return undefined;
    j->depth++;
    j->off++; /* until it is known whether it counts */
    hf_jinja_value v = logic(j, false);
    j->off--;
    if (word(j, "if")) v = choice(j, begin);
    else if (is_on(j)) j->at = begin, v = logic(j, false);
    j->depth--;
    return v;
}

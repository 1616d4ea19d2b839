/* SPDX-License-Identifier: Apache-2.0
 *
 * In: what a call says of a prompt, and the model's own. Out: the text that is put before each text.
 */
#include "task.h"

static nib_status unknown(const nib_model *m, const char *name, nib_error *err) {
    const hf_settings *s = &m->settings;
    base_str names;
    base_str_init(&names, &m->runtime->heap);
    for (size_t i = 0; i < s->prompt_count; i++) base_str_printf(&names, "%s%s", i ? ", " : "", s->prompts[i].name);
    nib_status status = base_error_set(err, NIB_INVALID_ARGUMENT, "the model has no prompt '%s'; it has %s", name,
                                       names.data && names.length ? names.data : "none");
    base_str_free(&names);
    return status;
}

nib_status task_prompt(const nib_model *m, const char *name, const char *text, const char **out, nib_error *err) {
    const hf_settings *s = &m->settings;
    int64_t which = s->default_prompt;
    *out = text ? text : "";
    if (text && name) return base_error_set(err, NIB_INVALID_ARGUMENT, "a prompt was given, and a prompt's name: which is meant?");
    if (text || (name && !*name)) return NIB_OK;
    if (name && (which = hf_settings_find_prompt(s, name)) < 0) return unknown(m, name, err);
    if (which >= 0) *out = s->prompts[which].text;
    return NIB_OK;
}

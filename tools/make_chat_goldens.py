#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes test/data/chat/golden.json: chat templates, and what transformers' Jinja environment makes of a query and a document.

    python tools/make_chat_goldens.py

Needs transformers, jinja2. What messages say is one byte each, as in src/hf/hf_judge.c: 1 the instruction, 2 the query,
3 the document. `refused`: templates that do what nib does not, with a word of the reason.
"""
import json
from pathlib import Path

from transformers.utils.chat_template_utils import _compile_jinja_template

OUT = Path(__file__).resolve().parent.parent / "test/data/chat"
SELECT = "messages | selectattr({q}role{q}, {q}eq{q}, {q}{role}{q}) | map(attribute={q}content{q}) | first"


def one(role, q='"'):
    return SELECT.format(role=role, q=q)


QWEN3 = (
    f'{{%- set instruction = {one("system")} | default("Given a web search query, retrieve relevant passages that answer '
    'the query") -%}\n'
    f'{{%- set query_text = {one("query")} -%}}\n{{%- set document_text = {one("document")} -%}}\n'
    '<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. '
    'Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: {{ instruction }}\n'
    "<Query>: {{ query_text }}\n<Document>: {{ document_text }}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n\n"
)
ROLES = """{%- set query = messages | selectattr('role', 'eq', 'query') | map(attribute='content') | list -%}
{%- set document = messages | selectattr('role', 'eq', 'document') | map(attribute='content') | list -%}
{%- if query and document -%}
{{- '<|im_start|>system\\n' + (query | first) + '<|im_end|>\\n' -}}
{{- '<|im_start|>user\\n' + (document | first) + '<|im_end|>\\n' -}}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
{%- else -%}
{%- for tool in tools | sort(attribute='name') %}{{ tool | tojson }}{% endfor -%}
{% set ns = namespace(a=1) %}{% macro x(a) %}{{ a }}{% endmacro %}
{%- endif -%}
"""
LOOP = """{{ bos_token }}{% for message in messages %}
    {% if message['role'] == 'system' and loop.first %}
[{{ message.content }}]
    {% elif message.role in ['query', 'document'] %}
{{ message['role'] | upper }}:{{ message.content }}{% if not loop.last %};{% endif %}

    {% endif %}
{% endfor %}
{# a comment #}
{{ '' if add_generation_prompt else 'no prompt' }}
"""
TEMPLATES = [
    QWEN3,
    ROLES,
    LOOP,
    "question:{{ (messages | selectattr(\"role\", \"eq\", \"query\") | first).content }} \n \n passage:"
    '{{ (messages | selectattr("role", "eq", "document") | first).content }}',
    "{% for m in messages[-2:] %}{{ m.role ~ ' ' ~ loop.index ~ ':' }}{{ m.content }}|{% endfor %}\n\n",
    "  {% if messages[0].role == 'system' %}\n  S{{ messages[0].content }}\n  {%- else +%}\n  N{%+ endif %}\n"
    "Q{{- messages[-2]['content'] -}}  D  {{- messages[-1].content }}",
    "{% set a = 1 + 2 - 1 %}{{ a }}{{ a == 2 }}{{ a < 3 and not a > 9 }}{{ none }}{{ missing }}"
    "{{ missing is defined }}{{ missing is not defined or x.y }}{{ messages | length }}{{ messages[-2].content }}\t{{ messages[-1].content }}",
    "{{ ['a', 'b'] | join('-') }}{{ ' x ' | trim }}{{ 'A' | lower }}{{ 'x' in 'axb' }}{{ 'role' in messages[0] }}"
    "{{ missing | default('d') }}{{ '' | default('e', true) }}{{ eos_token }}{% generation %}{{ messages[-2].content }}"
    "{% endgeneration %}{{ messages[-1].content }}\r\nend\r\n",
    "{%- for m in [] %}never{% endfor -%}\n{% if false %}{% if true %}a{% else %}b{% endif %}{{ '%}' }}{% elif true %}c{% endif %}\n"
    "{{ messages[-2].content }}{{ \"it's \\\"\\n\" }}{{ messages[-1].content }}",
    "{{ messages[-3].content.x if messages | length == 9 else ('b' if messages[0].role == 'system' else 'c') }}"
    "{{ 'a' if true }}{{ 'b' if false }}{{ messages[-2].content }}{{ messages[-1].content if not (none or false) else none.x }}",
    "{{ messages | rejectattr('role', 'equalto', 'system') | map(attribute='content') | join(' & ') }}",
    "{% if messages[0].content is string %}text{% else %}parts{% endif %}{{ messages[-2].content }}{{ messages[-1].content }}",
]
REFUSED = [
    ["{% macro f() %}{% endmacro %}", "macro"],
    ["{{ messages | tojson }}", "tojson"],
    ["{{ messages[0].content.strip() }}", "strip"],
    ["{{ namespace(x=1) }}", "namespace"],
    ["{{ messages[-1].content | trim }}", "trim"],
    ["{% if messages[-1].content %}a{% endif %}", "emptiness"],
    ["{% if 'x' in messages[-1].content %}a{% endif %}", "what is said"],
    ["{% if messages[-1].content == 'x' %}a{% endif %}", "what is said"],
    ["{{ raise_exception('no such roles') }}", "no such roles"],
    ["{{ messages[-1].content", "}}"],
    ["{% if true %}a", "end"],
    ["{% for m in messages %}a{% endfor", "%}"],
    ["{{ 'a }}", "string"],
    ["{{ 1 + 'a' }}", "sum"],
    ["{{ messages }}", "as text"],
    ["{% for i in 7 %}{% endfor %}", "no list"],
    ["{% for a in messages %}{% for b in messages %}" * 9 + "x" + "{% endfor %}{% endfor %}" * 9, "too long"],
    ["{{ " + "(" * 200 + "1" + ")" * 200 + " }}", "too deep"],
    ["{{ 'a\\qb' }}", "\\q"],
    ["a\x02b", "byte of 2"],
    ["{{ }}", "expression"],
    ["{% %}", "without a word"],
]


def messages(instructed):
    all = [dict(role=r, content=c) for r, c in (("system", "\1"), ("query", "\2"), ("document", "\3"))]
    return all[0 if instructed else 1:]


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rows = []
    for text in TEMPLATES:
        template = _compile_jinja_template(text)
        for prompt in (True, False):
            made = [template.render(messages=messages(i), add_generation_prompt=prompt, bos_token="<s>", eos_token="</s>", tools=None)
                    for i in (False, True)]
            rows.append({"template": text, "prompt": prompt, "plain": made[0], "instructed": made[1]})
    lines = ",\n".join(json.dumps(r) for r in rows)
    refused = ",\n".join(json.dumps(r) for r in REFUSED)
    (OUT / "golden.json").write_text('{"rows": [\n' + lines + '\n],\n"refused": [\n' + refused + "\n]}\n")
    print(len(rows), len(REFUSED))


main()

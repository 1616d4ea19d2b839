#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/op/op_schema_tables.c: what ai.onnx's operators take and give in each opset, from onnx's own schemas. Needs onnx.

A row is an operator from an opset on. Attributes are "NAME=KIND[DEFAULT]" with a comma between, and ! in front of a required one; KIND is
i f s t g p (an integer, float, string, tensor, graph, type), a capital for a list, x for a sparse tensor. Types are a letter for each
input, >, a letter for each output, and what each letter may be: two hexadecimal digits, an index into the sets; equal letters are equal
types. ? stands behind what may be left out, * behind a last one that may be repeated with other types. Bits of a set: a tensor's element
type; beyond, 27 for sequences and 44 for optionals, by the element's type, where only those up to bfloat16 can be told apart.
"""
import pathlib
import re
import sys

import onnx
from onnx import AttributeProto, helper

OUT = pathlib.Path(__file__).resolve().parent.parent / "src/op/op_schema_tables.c"
KINDS = {"FLOAT": "f", "INT": "i", "STRING": "s", "TENSOR": "t", "GRAPH": "g", "FLOATS": "F", "INTS": "I", "STRINGS": "S", "TENSORS": "T",
         "GRAPHS": "G", "SPARSE_TENSOR": "x", "SPARSE_TENSORS": "X", "TYPE_PROTO": "p", "TYPE_PROTOS": "P"}
ELEMENTS = {"float": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "string": 8, "bool": 9, "float16": 10,
            "double": 11, "uint32": 12, "uint64": 13, "complex64": 14, "complex128": 15, "bfloat16": 16, "float8e4m3fn": 17,
            "float8e4m3fnuz": 18, "float8e5m2": 19, "float8e5m2fnuz": 20, "uint4": 21, "int4": 22, "float4e2m1": 23, "float8e8m0": 24,
            "uint2": 25, "int2": 26}
SEQUENCE, OPTIONAL = 27, 44


def bit(text):
    """"seq(tensor(float))" -> its bit; None for maps and what nib does not read."""
    outer = OPTIONAL if text.startswith("optional(") else SEQUENCE if text.startswith("seq(") else 0
    inner = re.search(r"tensor\((\w+)\)", text)
    if not inner or inner[1] not in ELEMENTS or "map(" in text or "sparse" in text or (outer and ELEMENTS[inner[1]] > 16):
        return None
    return 1 << (outer + ELEMENTS[inner[1]])


def mask(types):
    return sum({b for b in map(bit, types) if b})


def attribute(a):
    text = ("!" if a.required else "") + a.name + "=" + KINDS[a.type.name]
    d = a.default_value
    if d and d.type == AttributeProto.INT:
        text += str(d.i)
    elif d and d.type == AttributeProto.STRING:
        text += d.s.decode()
    return text


class Table:
    def __init__(self):
        self.sets = []

    def index(self, bits):
        if bits not in self.sets:
            self.sets.append(bits)
        return self.sets.index(bits)

    def types(self, s):
        allowed = {c.type_param_str: mask(c.allowed_type_strs) for c in s.type_constraints}
        letters = {}

        def params(formal):
            text = ""
            for p in formal:
                text += letters.setdefault(p.type_str, chr(ord("a") + len(letters)))
                if p.option == onnx.defs.OpSchema.FormalParameterOption.Optional:
                    text += "?"
                if p.option == onnx.defs.OpSchema.FormalParameterOption.Variadic and not p.is_homogeneous:
                    text += "*"
            return text

        text = params(s.inputs) + ">" + params(s.outputs)
        for name, letter in letters.items():
            text += f" {letter}{self.index(allowed[name] if name in allowed else mask([name])):02x}"
        return text


def count(n):
    return min(n, 255)


def main():
    schemas = [s for s in onnx.defs.get_all_schemas_with_history() if s.domain == ""]
    table, rows = Table(), []
    for s in sorted(schemas, key=lambda s: (s.name, s.since_version)):
        attributes = ",".join(attribute(s.attributes[name]) for name in sorted(s.attributes))
        rows.append(f'    {{"{s.name}", {s.since_version}, {int(s.deprecated)}, {count(s.min_input)}, {count(s.max_input)}, {count(s.min_output)}, '
                    f'{count(s.max_output)}, "{attributes}", "{table.types(s)}"}},')
    assert len(table.sets) < 256 and helper
    text = f"""/* SPDX-License-Identifier: Apache-2.0
 *
 * Made by tools/make_opset_table.py from the schemas of onnx {onnx.__version__}; op_schema.c reads it, and the script's head says how.
 */
#include "op_schema.h"

/* clang-format off */
const uint64_t op_schema_sets[] = {{
"""
    text += "".join(f"    {v:#x},\n" for v in table.sets)
    text += "};\n\nconst op_schema op_schema_rows[] = {\n" + "\n".join(rows) + "\n};\n/* clang-format on */\n\n"
    text += "const size_t op_schema_count = sizeof op_schema_rows / sizeof *op_schema_rows;\n"
    (pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else OUT).write_text(text)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small convolutional models, optimized by nib and by others: nodes left (bodies included), and the largest difference in ONNX Runtime.

usage: compare_conv.py NIB [FOLDER]     (needs torch, onnx, onnxruntime, numpy; onnxsim and onnxslim where they are installed)

A ResNet with BatchNormalization behind every Conv, a MobileNet (depthwise, pads, a factor for each channel, ConvTranspose), a voice detector of
Conv and LSTM, and two of these behind an If, whose condition is an input's or constant. Weights are random. Each tool runs in a
process of its own, so that one that crashes ends nothing but its own line."""
import copy
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import helper, numpy_helper
from torch import nn

OTHERS = {
    "onnxsim": "import sys, onnx, onnxsim; onnx.save(onnxsim.simplify(onnx.load(sys.argv[1]))[0], sys.argv[2])",
    "onnxslim": "import sys, onnx, onnxslim; onnx.save(onnxslim.slim(onnx.load(sys.argv[1])), sys.argv[2])",
}


def layer(i, o, size=3, stride=1, groups=1, act=nn.ReLU):
    return nn.Sequential(nn.Conv2d(i, o, size, stride, size // 2, groups=groups, bias=False), act())


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.a, self.b = layer(c, c), nn.Conv2d(c, c, 3, 1, 1, bias=False)

    def forward(self, x):
        return torch.relu(x + self.b(self.a(x)))


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(layer(3, 16, 7, 2), nn.MaxPool2d(3, 2, 1), Block(16), Block(16), layer(16, 32, 3, 2), Block(32))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))

    def forward(self, x):
        return self.head(self.body(x))


class MobileNet(nn.Module):
    def __init__(self):
        super().__init__()
        act = nn.Hardswish
        self.body = nn.Sequential(layer(3, 16, 3, 2, act=act), layer(16, 16, 3, 1, 16), layer(16, 32, 1), layer(32, 32, 3, 2, 32, act),
                                  layer(32, 24, 1, act=nn.Identity))
        self.factor = nn.Parameter(torch.randn(1, 24, 1, 1))
        self.pad, self.down, self.up = nn.ZeroPad2d((0, 1, 0, 1)), layer(24, 24, 3, 2, 24), nn.ConvTranspose2d(24, 8, 2, 2, bias=False)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(torch.relu(self.up(self.down(self.pad(self.body(x) * self.factor)))).mean((2, 3)))


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.lstm, self.head = nn.Conv1d(1, 16, 8, 4), nn.LSTM(16, 24, batch_first=True), nn.Linear(24, 1)

    def forward(self, x, h, c):
        y, (h, c) = self.lstm(torch.relu(self.conv(x.unsqueeze(1))).transpose(1, 2), (h, c))
        return torch.sigmoid(self.head(y.mean(1))), h, c


def with_norms(model):
    """BatchNormalization behind every convolution: the exporter takes them in by itself."""
    rng = np.random.default_rng(1)
    graph, weights, nodes = model.graph, {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}, []
    for n in graph.node:
        nodes.append(n)
        if n.op_type not in ("Conv", "ConvTranspose"):
            continue
        y, channels = n.output[0], weights[n.input[1]].shape[n.op_type == "ConvTranspose"]
        n.output[0] = y + "_plain"
        for name, values in (("s", rng.uniform(0.5, 1.5, channels)), ("b", rng.normal(size=channels)), ("m", rng.normal(size=channels)),
                             ("v", rng.uniform(0.5, 2, channels))):
            graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), y + name))
        nodes.append(helper.make_node("BatchNormalization", [y + "_plain"] + [y + k for k in "sbmv"], [y]))
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def behind_if(model, constant):
    names = {i.name for i in model.graph.input}

    def branch(tag):
        g = copy.deepcopy(model.graph)
        for n in g.node:
            n.input[:] = [i + tag if i and i not in names else i for i in n.input]
            n.output[:] = [o + tag if o else o for o in n.output]
        for item in list(g.initializer) + list(g.output):
            item.name += tag
        del g.input[:], g.value_info[:]
        g.name = tag
        return g

    condition = helper.make_node("Equal", ["rate", "wanted"], ["same"])
    chosen = helper.make_node("If", ["same"], [o.name for o in model.graph.output], then_branch=branch("_a"), else_branch=branch("_b"))
    inputs, constants = list(model.graph.input), [helper.make_tensor("wanted", 7, [], [16000])]
    if constant:
        constants.append(helper.make_tensor("rate", 7, [], [8000]))
    else:
        inputs.append(helper.make_tensor_value_info("rate", 7, []))
    graph = helper.make_graph([condition, chosen], "detector", inputs, list(model.graph.output), constants)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=8)


def models(folder):
    torch.manual_seed(0)
    image, sound = (torch.randn(2, 3, 32, 32),), (torch.randn(2, 256), torch.zeros(1, 2, 24), torch.zeros(1, 2, 24))
    for name, module, inputs in (("resnet", ResNet(), image), ("mobilenet", MobileNet(), image), ("detector", Detector(), sound)):
        path = str(folder / "exported.onnx")
        torch.onnx.export(module.eval(), inputs, path, dynamo=False, opset_version=17, input_names=["x", "h", "c"][:len(inputs)])
        model = with_norms(onnx.load(path))
        yield name, model
        if name == "detector":
            yield "detector, If", behind_if(model, False)
            yield "detector, constant If", behind_if(model, True)


def count(graph):
    return sum(1 + sum(count(a.g) for a in n.attribute if a.type == onnx.AttributeProto.GRAPH) for n in graph.node)


def run(path, feed):
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: feed[i.name] for i in session.get_inputs()})


def main():
    warnings.filterwarnings("ignore")
    ort.set_default_logger_severity(4)
    nib = sys.argv[1]
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
    tools = [(f"nib {o}", lambda a, b, o=o: [nib, "optimize", a, "-o", b, o]) for o in ("-O1", "-O2", "-O4")]
    tools += [(k, lambda a, b, code=code: [sys.executable, "-c", code, a, b]) for k, code in OTHERS.items()]
    print(f"{'model':22} {'nodes':>5}" + "".join(f" {name:>18}" for name, _ in tools))
    for name, model in models(folder):
        source, out = str(folder / "source.onnx"), folder / "out.onnx"
        onnx.checker.check_model(model)
        onnx.save(model, source)
        rng = np.random.default_rng(0)
        feed = {i.name: np.array(16000) if i.name == "rate" else rng.standard_normal(
            [d.dim_value for d in i.type.tensor_type.shape.dim]).astype(np.float32) for i in model.graph.input}
        want, row = run(source, feed), ""
        for _, command in tools:
            out.unlink(missing_ok=True)
            done = subprocess.run(command(source, str(out)), capture_output=True)
            cell = f"failed ({done.returncode})"
            if out.exists():
                onnx.checker.check_model(str(out), full_check=True)
                off = max(float(abs(a - b).max()) for a, b in zip(want, run(str(out), feed)))
                cell = f"{count(onnx.load(str(out)).graph)}  {off:.1e}"
            row += f" {cell:>18}"
        print(f"{name:22} {count(model.graph):5}{row}", flush=True)


main()

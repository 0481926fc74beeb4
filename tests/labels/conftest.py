"""A classifier that is made here, of colours, and clips that it can tell apart."""

from __future__ import annotations

import warnings
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from flowkit.datasets import write_manifest
from flowkit.types import Clip

SIDE = 8
GAIN = 4.0
PLAIN = {"size": SIDE, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
RGB = {"red": (220, 40, 40), "green": (40, 220, 40), "blue": (40, 40, 220)}


def onnx_model(path: Path, *, outputs: int = 3, softmax: bool = False) -> Path:
    """Means of the channels times `GAIN`, further outputs far above them; after softmax where wanted."""
    weight = np.zeros((outputs, 3), np.float32)
    weight[np.arange(3), np.arange(3)] = GAIN
    bias = np.zeros(outputs, np.float32)
    bias[3:] = 100.0
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight", "bias"], ["scores"], transB=1),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["scores"], ["out"], axis=1))
    weights = {"weight": weight, "bias": bias}
    return saved(path, nodes, weights, {"out" if softmax else "scores": [1, outputs]})


def striding_model(path: Path) -> Path:
    """Means times `GAIN` of the channels at pixels of even row and column: a convolution that pads at the end alone."""
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[np.arange(3), np.arange(3), 0, 0] = GAIN
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["even"], auto_pad="SAME_UPPER", kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["even"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["scores"]),
    ]
    return saved(path, nodes, {"kernel": kernel}, {"scores": [1, 3]})


def saved(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    outputs: dict[str, list[int]],
    inputs: tuple[str, ...] = ("x",),
) -> Path:
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, SIDE, SIDE]) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name, sides in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def torchscript_model(path: Path) -> Path:
    """The same as `onnx_model` by torch."""
    torch = pytest.importorskip("torch")

    class Colours(torch.nn.Module):
        def forward(self, x):
            return GAIN * x.mean((2, 3))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Colours(), torch.zeros(1, 3, SIDE, SIDE)).save(str(path))
    return path


def coloured(folder: Path, colours: list[str]) -> Path:
    """Frames img1.png, ... of one colour each."""
    folder.mkdir(parents=True)
    for number, name in enumerate(colours, start=1):
        picture = np.full((12, 10, 3), RGB[name][::-1], np.uint8)
        assert cv2.imwrite(str(folder / f"img{number}.png"), picture)
    return folder


def clip(clip_id: str, source: Path | str = "none", **fields) -> Clip:
    dataset, subject, _ = clip_id.split("/")
    return Clip(clip_id=clip_id, source=str(source), dataset=dataset, subject=subject, **fields)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return onnx_model(tmp_path_factory.mktemp("model") / "colours.onnx")


@pytest.fixture
def manifest(tmp_path):
    """Three clips: red, green in most of its frames, and blue of which a frame is damaged."""
    clips = [
        clip("toy/1/a", coloured(tmp_path / "a", ["red"] * 6), onset=1, offset=6),
        clip("toy/1/b", coloured(tmp_path / "b", ["blue", "green", "green", "green", "red"]), onset=2, offset=5),
        clip("toy/2/c", coloured(tmp_path / "c", ["blue"] * 4), emotion="happiness", emotion3="positive"),
    ]
    (tmp_path / "c" / "img4.png").write_bytes((tmp_path / "c" / "img4.png").read_bytes()[:40])
    write_manifest(clips, tmp_path / "m.csv")
    return tmp_path / "m.csv"

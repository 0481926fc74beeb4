"""The networks and where their weights come from."""

import os
import subprocess
import sys

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from flowkit.errors import InputError
from trainer.catalogue import CATALOGUE
from trainer.models import build_model, pretrained_weights
from trainer.models.rcn_a import averaged
from trainer.models.svc import SupportVectors

BACKBONE_PARAMETERS = 11_176_512  # ResNet-18 without its classifier (He et al., 2016)


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture(scope="module")
def imagenet_like():
    """A ResNet-18 with a classifier of 1000 classes, as such files hold."""
    torch.manual_seed(3)
    return timm.create_model("resnet18", pretrained=False).state_dict()


def test_resnet18_gives_three_logits_a_cube():
    model = build_model("resnet18")
    outputs = model(torch.zeros(5, 3, 40, 32))
    assert outputs.prediction.shape == (5, 3)
    assert outputs.prediction is outputs.emotion
    assert outputs.ethnicity is None
    assert outputs.fusion is None
    assert count(model) == BACKBONE_PARAMETERS + 3 * 513


def test_the_dual_model_has_two_backbones_of_its_own_and_predicts_by_fusion():
    model = build_model("dual-resnet18", ethnic_classes=5)
    outputs = model(torch.randn(4, 3, 32, 32))
    assert (outputs.emotion.shape, outputs.ethnicity.shape, outputs.fusion.shape) == ((4, 3), (4, 5), (4, 3))
    assert outputs.prediction is outputs.fusion
    # parameters() lists a shared tensor once, so sharing would show in the count.
    assert count(model) == 2 * BACKBONE_PARAMETERS + 3 * 513 + 5 * 513 + 3 * 1025


def test_each_head_teaches_the_backbones_that_it_reads():
    model = build_model("dual-resnet18", ethnic_classes=2)
    cubes = torch.randn(4, 3, 32, 32)

    def taught(name):
        model.zero_grad(set_to_none=True)
        getattr(model(cubes), name).square().sum().backward()
        backbones = (model.emotion_backbone, model.ethnicity_backbone)
        return [backbone.conv1.weight.grad is not None for backbone in backbones]

    assert taught("emotion") == [True, False]
    assert taught("ethnicity") == [False, True]
    assert taught("fusion") == [True, True]


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name != "svc"])
def test_the_catalogue_counts_every_parameter(name):
    info = CATALOGUE[name]
    model = build_model(name, ethnic_classes=2).eval()
    assert count(model) == info.parameters
    side = info.size or 32
    cubes, rgb = torch.randn(2, 3, side, side), torch.randn(2, 3, side, side)
    outputs = model(cubes, rgb if info.rgb else None)
    assert outputs.prediction.shape == (2, 3)
    assert (outputs.fusion is not None) == info.ethnic
    if info.rgb:
        assert not torch.equal(model(cubes, rgb + 1).fusion, outputs.fusion)
        assert torch.equal(model(cubes, rgb + 1).emotion, outputs.emotion)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("ststnet", 5_292), ("off-apexnet", 2_673_700), ("sssnet", 1_351_564), ("rcn-a", 65_548)],
)
def test_shallow_models_have_their_published_sizes_with_twelve_units(name, parameters):
    assert count(build_model(name, classes=12)) == parameters


@pytest.mark.parametrize("side", [5, 12, 14, 28, 30, 60])
def test_rcn_a_averages_as_torch_does(side):
    pictures = torch.randn(2, 4, side, side + 1, dtype=torch.float32, requires_grad=True)
    weight = torch.randn(2, 4, 5, 5)
    expected, found = nn.AdaptiveAvgPool2d(5)(pictures), averaged(pictures)
    torch.testing.assert_close(found, expected)
    (wanted,), (gradient,) = (torch.autograd.grad((each * weight).sum(), pictures) for each in (expected, found))
    torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name != "svc"])
def test_no_model_has_a_backward_pass_that_cuda_cannot_repeat(name):
    """Of the operations without a deterministic implementation these are the ones that classifiers have."""
    side = CATALOGUE[name].size or 32
    outputs = build_model(name, ethnic_classes=2)(torch.randn(2, 3, side, side), torch.randn(2, 3, side, side))
    seen, ahead = set(), [outputs.prediction.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is not None and node not in seen:
            seen.add(node)
            ahead += [before for before, _ in node.next_functions]
    names = {node.name().partition("Backward")[0] for node in seen}
    assert names
    assert not names & {"AdaptiveAvgPool2D", "AdaptiveMaxPool2D", "UpsampleBilinear2D", "ReflectionPad2D"}


def test_off_apexnet_reads_u_and_v_alone_and_ststnet_all():
    cubes = torch.randn(2, 3, 28, 28)
    strain = cubes.clone()
    strain[:, 2] += 1
    for name, reads in (("off-apexnet", False), ("ststnet", True)):
        model = build_model(name).eval()
        assert torch.equal(model(cubes).emotion, model(strain).emotion) != reads


@pytest.mark.parametrize(("fusion", "extra"), [("concat", 0), ("mean", -1536), ("attention", 64_257)])
def test_fusions(fusion, extra):
    model = build_model("dual-resnet18", ethnic_classes=2, fusion=fusion)
    assert count(model) == CATALOGUE["dual-resnet18"].parameters + extra
    one, other = torch.randn(4, 512), torch.randn(4, 512)
    if fusion != "concat":
        torch.testing.assert_close(model.fusion_head(one, other), model.fusion_head(other, one))
        torch.testing.assert_close(model.fusion_head(one, one), model.fusion_head.head(one))


def test_a_shared_backbone_is_one_and_learns_from_all_heads():
    model = build_model("dual-resnet18", ethnic_classes=2, shared=True)
    assert model.emotion_backbone is model.ethnicity_backbone
    assert count(model) == CATALOGUE["dual-resnet18"].parameters - BACKBONE_PARAMETERS
    with pytest.raises(InputError, match="two kinds, which cannot be shared"):
        build_model("resnet18-tinyvit", ethnic_classes=2, shared=True)


def test_any_network_of_timm_has_its_backbone_and_a_head():
    model = build_model("convnext_atto", classes=12)
    assert model(torch.zeros(1, 3, 64, 64)).emotion.shape == (1, 12)


def test_support_vectors_give_probabilities_in_the_order_of_their_decisions(rng):
    cubes = rng.normal(size=(30, 3, 4, 4)).astype(np.float32)
    emotion = np.arange(30) % 3
    cubes[:, 0] += 3 * emotion[:, None, None]
    machine = SupportVectors(3).fit(cubes, emotion)
    probabilities = machine.probabilities(cubes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (probabilities.argmax(axis=1) == emotion).all()
    two = SupportVectors(3).fit(cubes[emotion != 1], emotion[emotion != 1]).probabilities(cubes)
    assert (two[:, 1] == 0).all()
    assert (two.argmax(axis=1) == emotion)[emotion != 1].all()
    assert SupportVectors(3).fit(cubes[:2], np.array([2, 2])).probabilities(cubes).argmax(axis=1).tolist() == [2] * 30


def test_support_vectors_learn_each_unit_by_itself(rng):
    cubes = rng.normal(size=(40, 3, 4, 4)).astype(np.float32)
    units = np.zeros((40, 12), dtype=np.int64)
    units[::2, 3], units[:, 5] = 1, 1
    cubes[::2, 1] += 2
    found = SupportVectors(12).fit(cubes, units).probabilities(cubes)
    assert ((found[:, 3] > 0.5) == units[:, 3]).all()
    assert (found[:, 0] == 0).all()
    assert (found[:, 5] == 1).all()


def test_impossible_models_are_refused():
    with pytest.raises(InputError, match="model='vgg' is unknown; flowkit-train models lists names"):
        build_model("vgg")
    with pytest.raises(InputError, match="at least 2, found 1"):
        build_model("dual-resnet18", ethnic_classes=1)


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_weights_of_a_file_are_in_every_backbone(imagenet_like, tmp_path, kind):
    path = tmp_path / f"resnet18.{kind}"
    if kind == "pth":
        torch.save(imagenet_like, path)
    else:
        save_file(imagenet_like, path)
    weights = pretrained_weights(str(path))
    assert weights.digest == pretrained_weights(str(path)).digest
    assert weights.source == str(path)
    both = (weights, weights)
    dual = build_model("dual-resnet18", ethnic_classes=2, weights=both)
    for backbone in (dual.emotion_backbone, dual.ethnicity_backbone, build_model("resnet18", weights=both).backbone):
        state = backbone.state_dict()
        assert set(state) == {name for name in imagenet_like if not name.startswith("fc.")}
        assert all(torch.equal(state[name], imagenet_like[name]) for name in state)


@pytest.mark.parametrize("architecture", ["deit_tiny_distilled_patch16_224", "levit_128s", "swiftformer_xs"])
def test_weights_of_a_network_with_several_classifiers_are_read(tmp_path, architecture):
    state = timm.create_model(architecture, pretrained=False).state_dict()
    torch.save(state, tmp_path / "weights.pth")
    weights = pretrained_weights(str(tmp_path / "weights.pth"), architecture)
    found = build_model(architecture, weights=(weights, None)).backbone.state_dict()
    assert {name.partition(".")[0] for name in state.keys() - found.keys()} == {"head", "head_dist"}
    assert all(torch.equal(value, state[name]) for name, value in found.items())


def test_no_weights_are_random_weights():
    assert pretrained_weights(None) is None
    one, other = build_model("resnet18"), build_model("resnet18")
    assert not torch.equal(one.backbone.conv1.weight, other.backbone.conv1.weight)


def test_a_missing_file_says_how_to_get_it(tmp_path):
    with pytest.raises(InputError, match=r"gone\.pth': there is no such file; download .* or use hub"):
        pretrained_weights(str(tmp_path / "gone.pth"))


def test_a_file_of_something_else_is_refused(tmp_path):
    text = tmp_path / "text.pth"
    text.write_text("not weights")
    with pytest.raises(InputError, match=r"text\.pth: cannot be read as weights"):
        pretrained_weights(str(text))
    other = tmp_path / "resnet34.pth"
    torch.save(timm.create_model("resnet34", pretrained=False).state_dict(), other)
    with pytest.raises(InputError, match=r"resnet34\.pth: these are not the weights of timm's resnet18"):
        pretrained_weights(str(other))
    part = tmp_path / "part.pth"
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, part)
    with pytest.raises(InputError, match=r"part\.pth: these are not the weights"):
        pretrained_weights(str(part))


def test_a_failing_download_is_an_error_and_never_random_weights(tmp_path):
    code = "from trainer.models import pretrained_weights; pretrained_weights('hub')"
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "HUGGINGFACE_HUB_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=offline, capture_output=True, text=True)
    assert done.returncode != 0
    assert "the download of resnet18 from the hub failed" in done.stderr
    assert "give their file" in done.stderr

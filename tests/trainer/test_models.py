"""The networks and where their weights come from."""

import os
import subprocess
import sys

import pytest
import timm
import torch
from safetensors.torch import save_file

from flowkit.errors import InputError
from trainer.models import build_model, pretrained_weights

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


def test_impossible_models_are_refused():
    with pytest.raises(InputError, match="model='vgg' is unknown; choose one of resnet18, dual-resnet18"):
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
    dual = build_model("dual-resnet18", ethnic_classes=2, weights=weights)
    for backbone in (dual.emotion_backbone, dual.ethnicity_backbone, build_model("resnet18", weights=weights).backbone):
        state = backbone.state_dict()
        assert set(state) == {name for name in imagenet_like if not name.startswith("fc.")}
        assert all(torch.equal(state[name], imagenet_like[name]) for name in state)


def test_no_weights_are_random_weights():
    assert pretrained_weights(None) is None
    one, other = build_model("resnet18"), build_model("resnet18")
    assert not torch.equal(one.backbone.conv1.weight, other.backbone.conv1.weight)


def test_a_missing_file_says_how_to_get_it(tmp_path):
    with pytest.raises(InputError, match=r"gone\.pth': there is no such file; download .* or use --pretrained hub"):
        pretrained_weights(str(tmp_path / "gone.pth"))


def test_a_file_of_something_else_is_refused(tmp_path):
    text = tmp_path / "text.pth"
    text.write_text("not weights")
    with pytest.raises(InputError, match=r"text\.pth: cannot be read as weights"):
        pretrained_weights(str(text))
    other = tmp_path / "resnet34.pth"
    torch.save(timm.create_model("resnet34", pretrained=False).state_dict(), other)
    with pytest.raises(InputError, match=r"resnet34\.pth: these are not the weights of a ResNet-18"):
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
    assert "give --pretrained FILE" in done.stderr

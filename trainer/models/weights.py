"""Pretrained weights of a backbone: from a file or, where that is asked for, from the hub; never silently random.

timm is imported where it is used: it takes six seconds, which models that have none of its networks need not wait for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from flowkit.errors import InputError
from trainer.models.pooling import spare_memory

HUB = "hub"


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of one backbone, without its classifier."""

    state: Mapping[str, torch.Tensor]
    source: str
    """The file, or the hub's name of it."""
    digest: str
    """SHA-256 (hex) over the names, types, shapes and bytes of the tensors: the same for .pth and .safetensors."""


def pretrained_weights(source: str | None, architecture: str = "resnet18") -> Weights | None:
    """The weights of a timm architecture from a file, or from the hub for "hub"; None for None.

    Any state dict with timm's names (of a ResNet also torchvision's) will do, as .pth or .safetensors; its classifier
    is left out. Raises InputError where the file is missing, no such state dict, or the download fails.
    """
    if source is None:
        return None
    import timm

    empty = backbone(architecture)
    where, state = _from_hub(architecture) if source == HUB else (source, _from_file(Path(source), architecture))
    with torch.device("meta"):
        whole: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=2, in_chans=3)
    classifier = whole.state_dict().keys() - empty.state_dict().keys()  # of some architectures several
    state = {name: value for name, value in state.items() if name not in classifier}
    _load(empty, state, source, architecture)
    return Weights(state, where, digest_of(state))


def backbone(architecture: str, weights: Weights | None = None) -> nn.Module:
    """A timm network that gives (n, features) of (n, 3, h, w), random where no weights are given.

    Raises InputError for a name that timm lacks, and for weights of something else.
    """
    import timm

    if not timm.is_model(architecture):
        raise InputError(f"model={architecture!r} is unknown; flowkit-train models lists names, and timm has more")
    model: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=0, in_chans=3)
    if weights is not None:
        _load(model, weights.state, weights.source, architecture)
    return spare_memory(model)


def feature_count(model: nn.Module) -> int:
    """How many features a backbone gives."""
    return int(getattr(model, "head_hidden_size", None) or model.num_features)  # type: ignore[arg-type]


def digest_of(state: Mapping[str, torch.Tensor]) -> str:
    """See `Weights.digest`."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _load(model: nn.Module, state: Mapping[str, torch.Tensor], source: str, architecture: str) -> None:
    try:
        model.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"{source}: these are not the weights of timm's {architecture} ({reason[:200]})") from error


def _from_file(path: Path, architecture: str) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise InputError(
            f"pretrained={str(path)!r}: there is no such file; download weights of timm's {architecture}, for example "
            f"model.safetensors of {_hub_name(architecture)} on the Hugging Face hub, or use {HUB}"
        )
    from timm.models import load_state_dict

    try:
        state: dict[str, torch.Tensor] = load_state_dict(str(path), device="cpu", weights_only=True)
    except Exception as error:  # whatever a broken file makes the unpickler or safetensors raise
        raise InputError(f"{path}: cannot be read as weights ({type(error).__name__}); download it again") from error
    return state


def _from_hub(architecture: str) -> tuple[str, dict[str, torch.Tensor]]:
    import timm

    try:
        model: nn.Module = timm.create_model(architecture, pretrained=True)
    except Exception as error:  # the network, the proxy, the cache and the hub all have their own
        raise InputError(
            f"the download of {architecture} from the hub failed ({type(error).__name__}); "
            "download the weights elsewhere and give their file"
        ) from error
    return f"hub: {_hub_name(architecture)}", model.state_dict()


def _hub_name(architecture: str) -> str:
    import timm

    config = timm.get_pretrained_cfg(architecture)
    return str(config.hf_hub_id if config and config.hf_hub_id else f"timm/{architecture}")

"""The networks, a file a family: `build_model` makes one by the name that trainer/catalogue.py lists, or timm's."""

from __future__ import annotations

from torch import nn

from flowkit.errors import InputError
from trainer.catalogue import find
from trainer.models.dual import DualBackbone
from trainer.models.off_apexnet import OffApexNet
from trainer.models.outputs import Outputs
from trainer.models.rcn_a import RCNA
from trainer.models.single import SingleBackbone
from trainer.models.sssnet import SSSNet
from trainer.models.ststnet import STSTNet
from trainer.models.weights import Weights, pretrained_weights

__all__ = ["Outputs", "Weights", "build_model", "pretrained_weights"]

SHALLOW = {"ststnet": STSTNet, "off-apexnet": OffApexNet, "sssnet": SSSNet, "rcn-a": RCNA}


def build_model(
    name: str,
    *,
    classes: int = 3,
    ethnic_classes: int = 0,
    fusion: str = "concat",
    shared: bool = False,
    weights: tuple[Weights | None, Weights | None] = (None, None),
) -> nn.Module:
    """A new model whose forward takes cubes (n, 3, h, w) and, where it reads them, apex frames (n, 3, h, w).

    Random where `weights` (of the motion backbone, of the context backbone) are not given; heads always start random.
    Raises InputError for an unknown name, and for a dual model with fewer than two ethnic classes.
    """
    info = find(name)
    if name in SHALLOW:
        return SHALLOW[name](classes)
    if not info.ethnic:
        return SingleBackbone(name, classes, weights[0])
    if ethnic_classes < 2:
        raise InputError(f"{name} learns to tell ethnic groups apart and needs at least 2, found {ethnic_classes}")
    context = info.pretrained[-1]
    if shared and context != "resnet18":
        raise InputError(f"{name} has backbones of two kinds, which cannot be shared; leave out --shared")
    return DualBackbone(
        classes, ethnic_classes, context=context, rgb=info.rgb, fusion=fusion, shared=shared, weights=weights
    )

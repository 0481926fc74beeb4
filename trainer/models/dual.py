"""Two backbones, one for the emotion and one for the ethnic group, and a fusion of their features.

Khor et al., "Is Micro-expression Ethnic Leaning?", ICMEW 2025: the emotion backbone reads the motion cube; the other
one the same cube, or the apex frame in colour. A third head reads both feature vectors, and its emotion is the
prediction.
"""

from __future__ import annotations

import torch
from torch import nn

from flowkit.errors import InputError
from trainer.models.outputs import Outputs
from trainer.models.weights import Weights, backbone, feature_count


class ConcatFusion(nn.Module):
    """A linear head on the concatenation of two feature vectors: 1024 or 1088 -> 3 (the paper's)."""

    def __init__(self, one: int, other: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(one + other, classes)

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(torch.cat([one, other], dim=1))
        return logits


class WeightedFusion(nn.Module):
    """A linear head on a weighted mean of two feature vectors; of unequal lengths, the second one is projected first.

    `mean`: both count half. `attention`: softmax over w^T tanh(V f) of the two, learnt (the attention of Ilse et al.,
    Attention-based Deep Multiple Instance Learning, ICML 2018, equation 8, over two instances). Ours, not the paper's.
    """

    def __init__(self, one: int, other: int, classes: int, *, attention: bool, hidden: int = 128) -> None:
        super().__init__()
        self.project = nn.Linear(other, one) if other != one else nn.Identity()
        self.score = nn.Sequential(nn.Linear(one, hidden), nn.Tanh(), nn.Linear(hidden, 1)) if attention else None
        self.head = nn.Linear(one, classes)

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        both = torch.stack([one, self.project(other)], dim=1)
        share = self.score(both).softmax(dim=1) if self.score is not None else both.new_full((1, 2, 1), 0.5)
        logits: torch.Tensor = self.head((share * both).sum(dim=1))
        return logits


class DualBackbone(nn.Module):
    """An emotion backbone on the cube (n, 3, h, w), an ethnicity backbone on the cube or on the apex RGB, three heads.

    Without shared weights, unless `shared`: then one backbone serves both, as in the code that was released with the
    paper.
    """

    def __init__(
        self,
        classes: int,
        ethnic_classes: int,
        *,
        context: str = "resnet18",
        rgb: bool = False,
        fusion: str = "concat",
        shared: bool = False,
        weights: tuple[Weights | None, Weights | None] = (None, None),
    ) -> None:
        super().__init__()
        self.rgb, self.shared = rgb, shared
        self.emotion_backbone = backbone("resnet18", weights[0])
        self.ethnicity_backbone = self.emotion_backbone if shared else backbone(context, weights[1])
        one, other = feature_count(self.emotion_backbone), feature_count(self.ethnicity_backbone)
        self.emotion_head = nn.Linear(one, classes)
        self.ethnicity_head = nn.Linear(other, ethnic_classes)
        self.fusion_head = _fusion(fusion, one, other, classes)

    def forward(self, cubes: torch.Tensor, rgb: torch.Tensor | None = None) -> Outputs:
        if self.rgb and rgb is None:
            raise ValueError("this model reads the apex frame in colour beside the cube")
        emotion = self.emotion_backbone(cubes)
        same = self.shared and not self.rgb
        ethnicity = emotion if same else self.ethnicity_backbone(rgb if self.rgb else cubes)
        return Outputs(self.emotion_head(emotion), self.ethnicity_head(ethnicity), self.fusion_head(emotion, ethnicity))


def _fusion(name: str, one: int, other: int, classes: int) -> nn.Module:
    match name:
        case "concat":
            return ConcatFusion(one, other, classes)
        case "attention" | "mean":
            return WeightedFusion(one, other, classes, attention=name == "attention")
    raise InputError(f"fusion={name!r}: must be one of concat, attention, mean")

"""The models by name: what each reads, how large it is, and where it is described. Knows no torch.

tests/trainer/test_models.py builds each and counts its parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

KHOR = 'Khor et al., "Is Micro-expression Ethnic Leaning?", ICMEW 2025'


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a user and a run must know of a model before it is built."""

    parameters: int | None
    """Numbers that are learnt, with three emotions and two groups; None where they follow from the data."""
    size: int | None
    """Side of its input, px, where only one will do; None takes cubes of any size."""
    source: str
    ethnic: bool = False
    """Whether it learns the group of each row, too."""
    rgb: bool = False
    """Whether it reads the apex frame in colour beside the cube (`flowkit extract --rgb`)."""
    pretrained: tuple[str, ...] = ()
    """The timm names of its backbones that may start from pretrained weights: of the motion, of the colour picture."""

    @property
    def reads(self) -> str:
        """Its input in words."""
        return "cube and apex RGB" if self.rgb else "cube"


CATALOGUE: Mapping[str, ModelInfo] = {
    "resnet18": ModelInfo(11_178_051, None, "He et al., CVPR 2016, as " + KHOR + " uses it", pretrained=("resnet18",)),
    "dual-resnet18": ModelInfo(22_358_664, None, KHOR, ethnic=True, pretrained=("resnet18",)),
    "dual-resnet18-rgb": ModelInfo(22_358_664, None, KHOR, ethnic=True, rgb=True, pretrained=("resnet18", "resnet18")),
    "resnet18-tinyvit": ModelInfo(
        31_804_040,
        224,
        KHOR + "; Wu et al., TinyViT, ECCV 2022",
        ethnic=True,
        rgb=True,
        pretrained=("resnet18", "tiny_vit_21m_224"),
    ),
    "ststnet": ModelInfo(1_683, 28, "Liong et al., Shallow Triple Stream Three-dimensional CNN, FG 2019"),
    "off-apexnet": ModelInfo(2_664_475, 28, "Gan et al., OFF-ApexNet, Signal Processing: Image Communication 2019"),
    "sssnet": ModelInfo(1_349_251, 64, "Varanka et al., Data Leakage and Evaluation Issues in MER (MEB), 2023"),
    "rcn-a": ModelInfo(51_139, 60, "Xia et al., Revealing the Invisible with Model and Data Shrinking, TIP 2020"),
    "svc": ModelInfo(None, 32, "RBF support vectors, C = 28, on the flattened cube: the baseline of MEB, 2023"),
}
"""Any other name is one of timm's."""


def find(name: str) -> ModelInfo:
    """The entry of a model; of a name that is not listed, that of a timm network, whose existence is not checked."""
    return CATALOGUE.get(name) or ModelInfo(None, None, f"timm's {name}", pretrained=(name,))

"""The training objective: cross-entropies of the heads, summed with weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from trainer.models import Outputs


def head_losses(outputs: Outputs, emotion: torch.Tensor, ethnicity: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """The loss of each head that the model has, a scalar each, in float32.

    `emotion` is (n,) class numbers for cross-entropy, or (n, c) zeros and ones of c action units for the binary one;
    `ethnicity` is (n,) class numbers. Classes are not weighted by their frequency.
    """
    losses = {"emotion": _emotion_loss(outputs.emotion, emotion)}
    if outputs.ethnicity is not None:
        if ethnicity is None:
            raise ValueError("a model with an ethnicity head needs ethnicity targets")
        losses["ethnicity"] = F.cross_entropy(outputs.ethnicity.float(), ethnicity)
    if outputs.fusion is not None:
        losses["fusion"] = _emotion_loss(outputs.fusion, emotion)
    return losses


def total_loss(losses: dict[str, torch.Tensor], weights: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> torch.Tensor:
    """L = w0 L_emo + w1 L_ethnic + w2 L_fusion of a batch, a scalar (Khor et al., ICMEW 2025).

    A model with the emotion head alone has L = L_emo, unweighted.
    """
    if "fusion" not in losses:
        return losses["emotion"]
    return weights[0] * losses["emotion"] + weights[1] * losses["ethnicity"] + weights[2] * losses["fusion"]


def _emotion_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    if target.ndim == 2:
        return F.binary_cross_entropy_with_logits(logits.float(), target)
    return F.cross_entropy(logits.float(), target)

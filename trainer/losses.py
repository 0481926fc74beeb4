"""The training objective: cross-entropies of the heads, summed with weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from trainer.models import Outputs


def total_loss(
    outputs: Outputs,
    emotion: torch.Tensor,
    ethnicity: torch.Tensor | None,
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> torch.Tensor:
    """L = w0 L_emo + w1 L_ethnic + w2 L_fusion of a batch, a scalar (Khor et al., ICMEW 2025).

    `emotion` and `ethnicity` are (n,) class numbers. A model with the emotion head alone has L = L_emo, unweighted.
    Classes are not weighted by their frequency.
    """
    loss = F.cross_entropy(outputs.emotion, emotion)
    if outputs.fusion is None or outputs.ethnicity is None:
        return loss
    if ethnicity is None:
        raise ValueError("a model with an ethnicity head needs ethnicity targets")
    ethnic = F.cross_entropy(outputs.ethnicity, ethnicity)
    fusion = F.cross_entropy(outputs.fusion, emotion)
    return weights[0] * loss + weights[1] * ethnic + weights[2] * fusion

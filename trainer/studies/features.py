"""Features of motion for the prima-facie study: what a ResNet-18 makes of each cube."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.models.weights import backbone, pretrained_weights
from trainer.normalisation import fit_normaliser
from trainer.studies.prima_facie import require_unfitted

BATCH = 16


def resnet18_features(
    cubes: NDArray[np.float32], pretrained: str | None, normalise: str = "none", seed: int = 0
) -> NDArray[np.float32]:
    """The 512 pooled features of each cube, (n, 512), of a frozen ResNet-18 in evaluation mode.

    Args:
        cubes: (n, 3, h, w).
        pretrained: a file of weights, or "hub"; None takes random weights of `seed`, whose features are random
            projections of the motion.
        normalise: "none" or "minmax". What is fitted on training rows has no place here, where no fold is known.

    Raises:
        InputError: for another normalisation, and where the weights cannot be had.
    """
    require_unfitted(normalise)
    torch.manual_seed(seed)
    model = backbone("resnet18", pretrained_weights(pretrained)).eval()
    scaled = fit_normaliser(normalise, cubes, range(len(cubes)))(cubes)
    with torch.inference_mode():
        parts = [model(torch.from_numpy(scaled[i : i + BATCH])).numpy() for i in range(0, len(scaled), BATCH)]
    return np.concatenate(parts).astype(np.float32)

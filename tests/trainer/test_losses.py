"""The objective is the weighted sum of the heads' cross-entropies."""

import numpy as np
import pytest
import torch

from trainer.losses import total_loss
from trainer.models import Outputs


def cross_entropy(logits, targets):
    """The definition, in float64."""
    values = logits.numpy().astype(np.float64)
    log_sum = np.log(np.exp(values).sum(axis=1))
    return float(np.mean(log_sum - values[np.arange(len(values)), targets.numpy()]))


def test_the_loss_is_the_sum_of_three_cross_entropies(rng):
    emotion = torch.from_numpy(rng.normal(size=(6, 3)))
    ethnicity = torch.from_numpy(rng.normal(size=(6, 2)))
    fusion = torch.from_numpy(rng.normal(size=(6, 3)))
    feelings, groups = torch.tensor([0, 1, 2, 2, 1, 0]), torch.tensor([0, 1, 1, 0, 1, 1])
    parts = [cross_entropy(emotion, feelings), cross_entropy(ethnicity, groups), cross_entropy(fusion, feelings)]
    outputs = Outputs(emotion, ethnicity, fusion)
    assert float(total_loss(outputs, feelings, groups)) == pytest.approx(sum(parts))
    weighted = 0.5 * parts[0] + 2 * parts[1] + 3 * parts[2]
    assert float(total_loss(outputs, feelings, groups, (0.5, 2, 3))) == pytest.approx(weighted)
    assert float(total_loss(Outputs(emotion), feelings, None)) == pytest.approx(parts[0])
    with pytest.raises(ValueError, match="needs ethnicity targets"):
        total_loss(outputs, feelings, None)

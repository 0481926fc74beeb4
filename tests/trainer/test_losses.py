"""The objective is the weighted sum of the heads' cross-entropies."""

import numpy as np
import pytest
import torch

from trainer.losses import head_losses, total_loss
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
    losses = head_losses(Outputs(emotion, ethnicity, fusion), feelings, groups)
    assert [float(losses[name]) for name in ("emotion", "ethnicity", "fusion")] == pytest.approx(parts)
    assert float(total_loss(losses)) == pytest.approx(sum(parts))
    weighted = 0.5 * parts[0] + 2 * parts[1] + 3 * parts[2]
    assert float(total_loss(losses, (0.5, 2, 3))) == pytest.approx(weighted)
    assert float(total_loss(head_losses(Outputs(emotion), feelings, None))) == pytest.approx(parts[0])
    with pytest.raises(ValueError, match="needs ethnicity targets"):
        head_losses(Outputs(emotion, ethnicity, fusion), feelings, None)


def test_action_units_have_a_binary_cross_entropy_each(rng):
    logits, shown = rng.normal(size=(5, 12)), rng.integers(0, 2, (5, 12)).astype(float)
    chance = 1 / (1 + np.exp(-logits))
    expected = -np.mean(shown * np.log(chance) + (1 - shown) * np.log(1 - chance))
    losses = head_losses(Outputs(torch.from_numpy(logits).float()), torch.from_numpy(shown).float(), None)
    assert float(total_loss(losses)) == pytest.approx(expected, rel=1e-5)

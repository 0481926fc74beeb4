"""What every network gives."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Outputs(NamedTuple):
    """Logits of a batch; a head that the model lacks is None. c is the number of emotions, or of action units."""

    emotion: torch.Tensor
    """(n, c)"""
    ethnicity: torch.Tensor | None = None
    """(n, number of ethnic classes)"""
    fusion: torch.Tensor | None = None
    """(n, c)"""

    @property
    def prediction(self) -> torch.Tensor:
        """The logits that decide what is predicted, (n, c): the fusion head's where there is one."""
        return self.emotion if self.fusion is None else self.fusion

    @property
    def heads(self) -> dict[str, torch.Tensor]:
        """The logits of each head that the model has, by name."""
        return {name: value for name, value in self._asdict().items() if value is not None}

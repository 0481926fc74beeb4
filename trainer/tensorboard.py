"""TensorBoard logs of a run: learning curves of every fold, and the scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowkit.errors import InputError
from trainer.run import RunResult
from trainer.run_folder import clear_logs


def require_tensorboard() -> None:
    """InputError where the package is missing, said before anything is trained."""
    try:
        import torch.utils.tensorboard  # noqa: F401 (asks for the package tensorboard)
    except ImportError as error:
        raise InputError("--tensorboard: tensorboard is not installed; pip install tensorboard") from error


def write_logs(folder: Path, summary: dict[str, Any], result: RunResult) -> None:
    """Event files in `folder`: fold-0000, ... with a scalar for each loss and epoch, and `scores`; earlier ones go.

    Raises InputError where the package is missing.
    """
    require_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    clear_logs(folder)
    for fold in result.folds:
        with SummaryWriter(str(folder / f"fold-{fold.fold.index:04d}")) as writer:
            for epoch, curve in enumerate(fold.curves, 1):
                for name, value in curve.items():
                    if name != "epoch" and value is not None:
                        writer.add_scalar(name, value, epoch)
    overall = summary["metrics"]["overall"]
    with SummaryWriter(str(folder / "scores")) as writer:
        for name, value in overall.items():
            if isinstance(value, float):
                writer.add_scalar(name, value)

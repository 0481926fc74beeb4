"""TensorBoard reads all event files of a folder as one run: those of another must not lie beside them."""

import itertools
import sys
import types
from pathlib import Path

import pytest

from tests.motions import motion_samples, write_out
from trainer.cli.app import command

SVC = ["--model", "svc", "--device", "cpu", "--protocol"]


@pytest.fixture
def writer(monkeypatch):
    """In place of the package's, which may not be installed: an event file of a new name for each writer."""
    numbers = itertools.count()

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._file = Path(folder) / f"events.out.tfevents.{next(numbers)}.host"

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            self._file.touch()

        def add_scalar(self, name: str, value: float, step: int = 0) -> None:
            assert name
            assert float(value) is not None

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)


def test_logs_of_an_earlier_run_do_not_stay_beside_those_of_the_next(tmp_path, writer):
    out = write_out(motion_samples(subjects=4, clips=3), tmp_path / "out")
    run, logs = tmp_path / "run", tmp_path / "run" / "tensorboard"
    command(["loso", str(out), "-o", str(run), *SVC, "loso", "--tensorboard"])
    (logs / "notes.txt").write_text("mine")
    (logs / "mine").mkdir()
    (logs / "mine" / "events.out.tfevents.0.host").touch()

    def written():
        return sorted(file.parent.name for file in logs.rglob("events.*"))

    four = ["fold-0000", "fold-0001", "fold-0002", "fold-0003", "mine", "scores"]
    assert written() == four
    command(["loso", str(out), "-o", str(run), *SVC, "loso", "--tensorboard"])
    assert written() == four
    command(["loso", str(out), "-o", str(run), *SVC, "kfold:2", "--overwrite", "--tensorboard"])
    assert written() == ["fold-0000", "fold-0001", "mine", "scores"]
    command(["loso", str(out), "-o", str(run), *SVC, "kfold:3", "--overwrite"])
    assert written() == ["mine"]
    assert sorted(path.name for path in logs.iterdir()) == ["mine", "notes.txt"]

"""The whole demo: made, trained on, shown on a page; what is learnt is the motion."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from flowkit.cli.demo_run import run
from flowkit.errors import InputError, OutputError
from tests.chance import hits_by_chance
from tests.motions import motion_samples, write_out


def made(folder: Path) -> list[str]:
    """Every file of a demo but the frames, truths and shards."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(path) for path in files if path.parts[0] not in ("frames", "truth", "shards"))


def test_the_demo_is_trained_on_and_leaves_a_page_whose_links_lead_somewhere(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    from trainer.demo import tour

    said: list[str] = []
    folder = tmp_path / "demo"
    with pytest.raises(InputError, match=f"holds no finished demo; run flowkit demo {folder} first"):
        tour.run(folder)
    run(folder, subjects=3, clips=1, size=64, say=said.append)
    index = tour.run(folder, epochs=1, say=said.append)
    steps = [line.split()[0] for line in said if not line.startswith(" ")]
    assert steps == ["dataset", "extraction", "truth", "pictures", "look", "LOSO", "open"]
    assert sum("tested on demo/s0" in line for line in said) == 3
    assert "9 pairs, 0 failed" in said[1]
    text = index.read_text()
    links = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(links) == 1 + 2 + 3
    for link in links:
        assert (index.parent / link).stat().st_size > 1000
    # A second demo in the same folder replaces the first, and no trace of it is left.
    first = made(folder)
    (folder / "mine.txt").write_text("kept")
    run(folder, subjects=3, clips=1, size=64, seed=1, say=said.append)
    tour.run(folder, epochs=1, say=said.append)
    assert {re.sub(r"\d\.png", "N.png", name) for name in made(folder)} == {
        re.sub(r"\d\.png", "N.png", name) for name in [*first, "mine.txt"]
    }
    assert len(list((folder / "frames").iterdir())) == 9


def test_results_are_written_while_no_other_run_can_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    from trainer.demo import tour
    from trainer.results import write_run
    from trainer.run_folder import held

    def written(folder: Path, *arguments: Any) -> dict[str, Any]:
        with pytest.raises(OutputError, match="another run is writing to"), held(folder):
            pass
        return write_run(folder, *arguments)

    monkeypatch.setattr(tour, "write_run", written)
    write_out(motion_samples(subjects=3, clips=3, side=28), tmp_path / "shards")
    (tmp_path / "demo.json").write_text('{"figures": [], "views": []}')
    assert tour.run(tmp_path, epochs=1, say=lambda line: None).exists()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The demo as `flowkit demo` makes it, and what it said."""
    said: list[str] = []
    folder = tmp_path_factory.mktemp("demo") / "demo"
    run(folder, say=said.append)
    return folder, said


@pytest.mark.slow
def test_the_demo_can_be_learnt_from_its_motion(demo: tuple[Path, list[str]]) -> None:
    pytest.importorskip("timm")
    from trainer.demo import tour

    folder, said = demo
    figures = re.search(r"error ([\d.]+) px; finding no motion at all would be ([\d.]+) px", said[2])
    assert figures is not None
    assert float(figures[1]) < 0.5 * float(figures[2])
    tour.run(folder, say=said.append)
    metrics = json.loads((folder / "loso" / "metrics.json").read_text())
    # Weak, one-sided and noisy expressions, one of which motion alone cannot tell.
    assert 0.6 < metrics["metrics"]["overall"]["uf1"] < 0.9


@pytest.mark.slow
def test_the_demo_can_be_learnt_from_nothing_else(demo: tuple[Path, list[str]]) -> None:
    pytest.importorskip("timm")
    from trainer.data import load
    from trainer.demo.tour import config_of
    from trainer.run import run_here
    from trainer.samples import shuffle_labels

    config = config_of()
    samples = shuffle_labels(load(demo[0] / "shards", config), seed=0)
    hits = (run_here(samples, config).predicted == samples.emotion).sum()
    fewest, most = hits_by_chance(len(samples))
    assert fewest <= hits <= most

"""Every Python recipe of README and docs runs, each in a process of its own, on small real data."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from flowkit.extraction.run import extract
from tests.clips import dataset, video

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
NEEDS_NO_OUTPUT = "flowkit.extract("
FRAMES = """
import numpy
frames0 = numpy.random.default_rng(0).integers(0, 255, (24, 32), dtype="uint8")[None].repeat(2, axis=0)
frames1 = frames0[::-1].copy()
frame0, frame1 = frames0[0], frames1[0]
"""
"""What a recipe may take for granted: names that stand for the reader's own frames."""


@dataclass(frozen=True)
class Recipe:
    """One fenced Python block of a page."""

    page: str
    line: int
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def recipes(page: Path) -> list[Recipe]:
    text = page.read_text(encoding="utf-8")
    blocks = re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Recipe(page.name, text[: block.start()].count("\n") + 2, block[1]) for block in blocks]


RECIPES = [recipe for page in PAGES for recipe in recipes(page)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the recipes name: talk.mp4, manifest.csv with 290 pairs from each clip's onset, and "out" of these."""
    folder = tmp_path_factory.mktemp("made")
    video(folder / "talk.mp4", 5)
    extract(dataset(folder, clips=2, frames=146, size=(16, 16)), folder / "out", pairs="onset-all", workers=1)
    return folder


def test_the_pages_have_recipes() -> None:
    pages = [recipe.page for recipe in RECIPES]
    assert pages.count("README.md") >= 2
    assert pages.count("shards.md") >= 3
    fences = sum(page.read_text(encoding="utf-8").count("```python") for page in PAGES)
    assert fences == len(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_a_recipe_runs(recipe: Recipe, made: Path, tmp_path: Path) -> None:
    for library in re.findall(r"^import (torch|pandas|polars|duckdb)\b", recipe.code, re.MULTILINE):
        pytest.importorskip(library)
    folder = shutil.copytree(made, tmp_path / "here")
    if NEEDS_NO_OUTPUT in recipe.code:
        shutil.rmtree(folder / "out")
    (folder / "recipe.py").write_text((FRAMES if "frames0" in recipe.code else "") + recipe.code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "recipe.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{recipe}\n{done.stderr}"
    assert done.stderr == ""

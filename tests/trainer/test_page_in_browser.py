"""The report in a real browser: every section is there and visible, and nothing is wrong on the console."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from tests.motions import motion_samples
from tests.trainer.test_results import guesses, write_finished
from trainer.comparison import compare, read_finished
from trainer.pictures import as_png
from trainer.report import Page, render
from trainer.results import read_page
from trainer.types import RunConfig

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SECTIONS = (
    *("beside", "confusion", "meaning", "audit", "paper", "groups", "datasets", "classes"),
    *("clips", "heads", "curves", "grad-cam", "mistakes", "folds", "made"),
)


PROBE = """<script>
window.onload = () => {
  const shown = box => box && box.width > 0 && box.height > 0;
  const seen = IDS.filter(id => shown(document.getElementById(id)?.getBoundingClientRect()));
  const broken = [...document.images].filter(image => !image.complete || image.naturalWidth === 0).length;
  const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
  document.body.dataset.probe = JSON.stringify([seen, broken, wide, document.images.length]);
};
</script>""".replace("IDS", str(list(SECTIONS)))


@pytest.fixture(scope="module")
def browser():
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser is installed here (looked for {', '.join(BROWSERS)})")
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of two runs with everything that a page can have, made without training."""
    root = tmp_path_factory.mktemp("pages")
    samples = motion_samples(subjects=4, clips=6, side=24)
    clips = [f"{person}/{i % 3}" for i, person in enumerate(samples.subject)]
    object.__setattr__(samples, "clip_id", clips)
    for name, seed in (("first", 0), ("second", 1)):
        result = guesses(samples, seed=seed)
        for fold in result.folds:
            fold.curves.extend({"epoch": e, "lr": 0.1, "loss": 1 / e, "loss_emotion": 0.9 / e} for e in (1, 2, 3))
        write_finished(root / name, samples, RunConfig(seed=seed, batch=8 + seed), result)
    panels = as_png(np.full((40, 60, 3), 120, dtype=np.uint8))
    first, second = (read_page(root / name) for name in ("first", "second"))
    text = render(
        Page(first.summary, first.misclassified, panels),
        second,
        compare([read_finished(root / name) for name in ("first", "second")]),
    )
    path = root / "page.html"
    path.write_text(text)
    return path


def visit(browser, page, *arguments):
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    return subprocess.run(
        [*command, profile, "--window-size=1100,9000", *arguments, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=180,
    )


def test_every_section_is_shown_and_the_console_is_silent(browser, page):
    probed = page.with_name("probed.html")
    probed.write_text(page.read_text().replace("</body>", PROBE + "</body>"))
    done = visit(browser, probed, "--dump-dom")
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found is not None, done.stderr[-2000:]
    seen, broken, wide, pictures = json.loads(html.unescape(found[1]))
    assert seen == list(SECTIONS)
    assert broken == 0
    assert not wide
    assert pictures >= 7
    assert "CONSOLE" not in done.stderr


def test_a_picture_of_the_page_can_be_taken(browser, page, tmp_path):
    picture = tmp_path / "page.png"
    done = visit(browser, page, f"--screenshot={picture}")
    assert picture.stat().st_size > 50_000, done.stderr[-2000:]
    assert "CONSOLE" not in done.stderr

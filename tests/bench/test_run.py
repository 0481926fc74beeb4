"""The command bench: table, JSON and plot, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from flowkit import _core
from flowkit.bench import Measurement
from flowkit.bench.methods import MEASURED
from flowkit.params import PRESETS
from tests.clips import flowkit as in_its_own_process


def test_command_writes_table_json_and_plot(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    out, picture = tmp_path / "bench.json", tmp_path / "plot.png"
    arguments = (
        "bench",
        "--sizes",
        "48x32",
        "--threads",
        "1,2",
        "--against",
        "dis-fast",
        "--out",
        out,
        "--plot",
        picture,
    )
    code, stdout, stderr = in_its_own_process(*arguments)
    assert (code, stderr) == (0, "")
    assert "48x32, 1 thread\n" in stdout
    assert "48x32, 2 threads, 8 a call\n" in stdout
    assert "x DIS fast" in stdout
    document = json.loads(out.read_text())
    assert document["schema"] == "flowkit-bench 1"
    assert document["simd"] == _core.simd_level()
    assert document["presets"]["micro"] == PRESETS["micro"].to_dict()
    names = {m["method"] for m in document["measurements"]}
    assert names == {"cv2 DIS fast", *(f"flowkit {name}" for name in MEASURED)}
    for m in (Measurement(**m) for m in document["measurements"]):
        assert 0 < m.fastest <= m.seconds <= m.slowest
        assert m.error_px == pytest.approx(np.mean(list(m.errors_px.values())))
        assert list(m.errors_px) == ["0.2", "0.5", "1", "2"]
    height, width, _ = cv2.imread(str(picture)).shape
    assert min(height, width) > 500
    assert picture.stat().st_size < 150_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--against", "raft"], "--against raft: no such peer; known are opencv, "),
        (["--sizes", "224,wide"], "size 'wide'"),
        (["--sizes", "224,200x31"], "--sizes 224,200x31: 200x31 is too small to compare on; give at least 32 px"),
        (["--threads", "1,0"], "--threads 1,0: '0' is neither"),
        (["--out", "nowhere/bench.json"], "nowhere/bench.json: there is no folder nowhere; make it first"),
    ],
)
def test_options_that_cannot_be_used(arguments, words):
    code, stdout, stderr = in_its_own_process("bench", *arguments)
    assert (code, stdout) == (2, "")
    assert words in stderr
    assert len(stderr.splitlines()) == 1


def test_a_plot_without_matplotlib_says_how_to_get_it(monkeypatch, tmp_path):
    from flowkit.bench import command
    from flowkit.errors import InputError

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'flowkit-mer\[train\]'"):
        command(None, "224", "1", None, tmp_path / "plot.png", print)


def test_the_command_line_imports_no_optional_package():
    code = (
        "import sys, flowkit.cli, flowkit.bench; print(*{'matplotlib', 'skimage', 'torch', 'ray'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout == "\n"

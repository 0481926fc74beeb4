"""A sample of the storm, and proof that it notices: `python -m tests.storm --long` runs all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.storm.case import Broken, Case
from tests.storm.crash import HARSH, Disk, lay_out
from tests.storm.power import FRESH, Blackout
from tests.storm.run import SHORT, Storm, journal
from tests.storm.run import storm as run
from tests.storm.table import BEGIN, BEGIN_CLUSTER, END, PAGE, summary, write_page
from tests.storm.trace import Call
from tests.storm.without import PRECAUTIONS

SEED = 11


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storm]:
    # Mounts are for the long form: a test leaves the machine as it is.
    made = Storm(tmp_path_factory.mktemp("storm"), SEED, mounts=False)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", SHORT)
def test_every_promise_is_kept(storm, kind):
    cases = [storm.case(kind, index) for index in range(SHORT[kind])]
    assert [f"{case.kind} {case.index}: {case.broken}" for case in cases if case.broken] == []


@pytest.mark.parametrize("precaution", PRECAUTIONS)
def test_a_power_loss_shows_which_precaution_is_missing(storm, precaution):
    """Without a sync, or with the record before its files, some state after a power loss has lost a committed part."""
    blackout = Blackout(storm.scene, storm.launcher, storm.folder / precaution.replace(" ", "-"), precaution)
    calls = len(blackout.recording(FRESH).calls)
    rng = np.random.default_rng(SEED)
    for at in np.linspace(calls, 1, 40).astype(int):
        folder = storm.folder / "case"
        try:
            blackout.case(rng, folder, int(at))
        except Broken:
            return
    pytest.fail(f"no power loss of 40 shows that {precaution!r} is missing")


def test_a_disk_keeps_what_was_synced_and_nothing_else(tmp_path):
    """The crash model by itself: one file whose data is safe and whose name is not, and the reverse."""

    def call(what: str, file: int = 0, path: str = "", data: bytes = b"", flags: int = 0, to: str = "") -> Call:
        return Call(what, file, 0, flags, path, to, data)

    root = tmp_path / "disk"
    root.mkdir()
    disk = Disk(root)
    made = 0o101  # O_WRONLY | O_CREAT
    for step in (call("o", 3, f"{root}/a", flags=made), call("w", 3, data=b"data"), call("s", 3), call("c", 3)):
        disk.play(step)
    rng = np.random.default_rng(SEED)
    assert disk.state(HARSH, rng) == {}
    disk.play(call("o", 4, str(root)))
    disk.play(call("s", 4))
    assert disk.state(HARSH, rng) == {f"{root}/a": b"data"}
    disk.play(call("r", path=f"{root}/a", to=f"{root}/b"))
    assert disk.state(HARSH, rng) == {f"{root}/a": b"data"}
    assert disk.contents() == {f"{root}/b": b"data"}
    disk.play(call("s", 4))
    state = disk.state(HARSH, rng)
    assert state == {f"{root}/b": b"data"}
    lay_out(state)
    assert Disk(root).contents() == state


def test_a_storm_that_was_stopped_goes_on_from_its_journal(storm, tmp_path):
    """Of four cases two are in the journal, and half a line of a third, as a kill leaves it."""
    whole = [json.dumps(storm.case("damage", index).to_dict()) + "\n" for index in (0, 2, 3)]
    line = tmp_path / f"seed-{SEED}-0.jsonl"
    line.write_text(whole[0] + whole[1] + whole[2][:20])
    assert [case.index for case in journal(tmp_path, SEED)] == [0, 2]
    cases = run(tmp_path, SEED, {"damage": 4}, minutes=1, processes=1)
    assert [case.index for case in cases] == [0, 2, 1, 3]
    assert line.read_text().startswith(whole[0] + whole[1])
    again, first = cases[3].to_dict(), json.loads(whole[2])
    assert again | {"seconds": 0} == first | {"seconds": 0}


def test_the_table_goes_between_the_markers_and_counts_what_is_broken(tmp_path):
    cases = [Case("kills", i, "SIGKILL", "killed", "lost" if i == 2 else "", "", 0.5) for i in range(3)]
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_page(summary(cases, SEED), page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "| SIGKILL | 3 | killed: 2 | 1 |" in text
    assert "| Kills | 3 | 1 |" in text


def test_the_page_has_the_markers():
    text = Path(PAGE).read_text()
    assert (text.count(BEGIN), text.count(BEGIN_CLUSTER), text.count(END)) == (1, 1, 2)

"""What cannot be shown, since its reader has gone or the disk is full, ends no command and changes no exit code."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from flowkit.errors import UNEXPECTED_EXIT_CODE
from flowkit.output.verify import verify
from tests.clips import FLOWKIT, frame_folder

TALKS = (
    *(sys.executable, "-c"),
    "import flowkit.cli.progress as p; p.EVERY_SECONDS = 0; from flowkit.cli import main; main()",
)
"""flowkit, which says at each part how far it is."""
FULL = "No space left on device"


@contextmanager
def stream(kind):
    """A descriptor to write to: a pipe whose reader has gone, or a disk that is full."""
    if kind == "full":
        yield (handle := os.open("/dev/full", os.O_WRONLY))
    else:
        read, handle = os.pipe()
        os.close(read)
        yield handle
    os.close(handle)


def ended(command, kind, stderr=subprocess.PIPE, **options):
    """The exit code of a command whose stdout is of this kind, and what it says on stderr."""
    with stream(kind) as stdout:
        stderr = stdout if stderr == "too" else stderr
        command = [*map(str, command)]
        done = subprocess.run(command, stdout=stdout, stderr=stderr, text=True, timeout=120, check=False, **options)
    return done.returncode, done.stderr


@pytest.fixture
def clip(tmp_path):
    return frame_folder(tmp_path / "clip", range(5), size=(16, 16))


@pytest.fixture
def run(clip, tmp_path):
    """An extraction of four pairs."""
    return ("extract", clip, "-o", tmp_path / "out", "--pairs", "lag:1", "--preset", "fast", "--workers", "1")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("kind", ["closed", "full"])
def test_a_run_that_nobody_hears_goes_on_to_its_end(run, tmp_path, kind, unbuffered):
    log = tmp_path / "log"
    command = (*TALKS, *run, "--log", log)
    code, stderr = ended(command, kind, env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
    assert code == 0, stderr
    assert stderr == ("" if kind == "closed" else f"flowkit: not all could be written to stdout ({FULL})\n")
    assert verify(tmp_path / "out").computed == 4
    end = json.loads(log.read_text().splitlines()[-1])
    assert (end["event"], end["code"], end["computed"]) == ("end", 0, 4)


@pytest.mark.parametrize("kind", ["closed", "full"])
def test_the_exit_code_is_that_of_the_work(run, clip, tmp_path, kind):
    (clip / "img2.png").write_bytes(b"")
    assert ended([*FLOWKIT, *run], kind, "too") == (1, None)
    assert ended([*FLOWKIT, "verify", tmp_path / "out"], kind, "too") == (0, None)
    for record in (tmp_path / "out" / "commits").iterdir():
        record.unlink()
    assert ended([*FLOWKIT, "verify", tmp_path / "out"], kind, "too") == (3, None)
    assert ended([*FLOWKIT, *run, "--size", "8"], kind, "too") == (2, None)


def test_no_file_gets_the_number_of_a_stream_that_is_closed(tmp_path):
    """What C code prints there would stand in it."""
    code = (
        "import os, sys; from flowkit.errors import run_command\n"
        "run_command('x', lambda _: os.write(os.open('number', os.O_CREAT | os.O_WRONLY), b'%d' % os.open('.', 0)))"
    )
    shell = '"$@" 0<&- 1>&- 2>&-'
    subprocess.run(["sh", "-c", shell, "sh", sys.executable, "-c", code, "work"], cwd=tmp_path, timeout=60, check=True)
    assert int((tmp_path / "number").read_text()) > 2


def test_a_command_whose_streams_are_closed_does_its_work(run, tmp_path):
    shell = '"$@" 1>&- 2>&-'
    subprocess.run(["sh", "-c", shell, "sh", *map(str, (*TALKS, *run))], timeout=120, check=True)
    assert verify(tmp_path / "out").computed == 4


@pytest.mark.parametrize("command", [[*FLOWKIT, "doctor"], [sys.executable, "-m", "trainer.cli", "models"]])
def test_a_list_that_cannot_be_printed_is_an_error_and_one_that_is_read_no_further_is_none(command):
    assert ended(command, "closed") == (0, "")
    code, stderr = ended(command, "full")
    name = "flowkit" if "doctor" in command else "flowkit-train"
    assert (code, stderr) == (2, f"{name}: stdout cannot be written ({FULL}); make room, or print it elsewhere\n")


def test_a_pipe_of_the_work_that_breaks_is_an_error(flowkit, monkeypatch):
    """typer would end with 1 and without a word, which means another thing."""

    def breaks(_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("flowkit.output.verify.verify", breaks)
    code, _, stderr = flowkit("verify", "out")
    assert code == UNEXPECTED_EXIT_CODE
    assert stderr.startswith("flowkit: unexpected BrokenPipeError: ")


def test_the_log_has_an_end_whatever_the_end_is(flowkit, clip, tmp_path, monkeypatch):
    def ends(*_: object, **__: object) -> None:
        sys.exit(1)

    monkeypatch.setattr("flowkit.extraction.run.extract", ends)
    log = tmp_path / "log"
    code, _, stderr = flowkit("extract", clip, "-o", tmp_path / "out", "-q", "--log", log)
    end = json.loads(log.read_text().splitlines()[-1])
    assert (end["event"], end["code"], code) == ("end", UNEXPECTED_EXIT_CODE, UNEXPECTED_EXIT_CODE)
    assert stderr == f"flowkit: {end['message']}\n"

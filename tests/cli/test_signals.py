"""Signals at the edges of a run: while it starts, twice, and when its owner is killed."""

import os
import signal
import subprocess
import time

import pytest

from flowkit.output.verify import verify
from tests.clips import FLOWKIT, frame_folder, start
from tests.dropped import sigterm_in_a_callback, sigterm_on_the_way_out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("package", ["typer", "rich"])
def test_a_signal_while_the_command_is_imported_is_one_line(tmp_path, package, number):
    # A package that is imported early sends the signal, in the place of a user who is quick.
    sends = f"import os, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(30)\n"
    (tmp_path / f"{package}.py").write_text(sends)
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    process = start("extract", tmp_path, "-o", tmp_path / "out", env=environment)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (3, "")
    assert stderr == "flowkit: stopped; run the same command again\n"


@pytest.mark.parametrize("module", ["typer", "flowkit.output.verify"])
def test_a_verify_that_is_stopped_has_another_code_than_one_that_finds_work_left(tmp_path, module):
    process = start("verify", tmp_path, env=_sigterm_in_an_import(tmp_path, module))
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (2, "")
    assert stderr == (
        "flowkit: stopped before anything was proved: whether the output is sound is not known; run the same command "
        "again\n"
    )


def test_a_verify_that_is_interrupted_where_nothing_hears_it_says_the_same(flowkit, monkeypatch):
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flowkit.output.verify.verify", interrupted)
    code, _, stderr = flowkit("verify", "out")
    assert (code, stderr.startswith("flowkit: stopped before anything was proved: ")) == (2, True)


@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full"])
def test_a_signal_is_heard_where_nothing_can_be_said(tmp_path, closed):
    shell = f'exec "$@" {closed}'
    command = ["sh", "-c", shell, "sh", *FLOWKIT, "doctor"]
    done = subprocess.run(command, env=_sigterm_in_an_import(tmp_path, "typer"), timeout=60, check=False)
    assert done.returncode == 3


def _sigterm_in_an_import(folder, module):
    """The environment of a process that gets one when it imports this module, and would wait there for long."""
    (folder / "sitecustomize.py").write_text(
        "import os, signal, sys, time\n"
        "class Hook:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGTERM), time.sleep(50)\n"
        "sys.meta_path.insert(0, Hook())\n"
    )
    return os.environ | {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}


def test_a_signal_while_the_handlers_are_being_set_is_one_line(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal\n"
        "asked = signal.getsignal\n"
        "def getsignal(number):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return asked(number)\n"
        "signal.getsignal = getsignal\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    process = start("extract", tmp_path, "-o", tmp_path / "out", env=environment)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (3, "flowkit: stopped; run the same command again\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_code_that_is_made_as_text_ends_the_run_like_any_other(tmp_path, number):
    """Python ends itself by SIGINT if a KeyboardInterrupt has ever left code that it compiled from text, as dataclasses
    are made, whoever caught it then. So a run that had said that it stopped now and then ended with -2.
    """
    frame_folder(tmp_path / "clip", range(3))
    sends = f"import os, time; os.kill(os.getpid(), {int(number)}); time.sleep(30)"
    # Python imports this by itself; it signals when the run, well under way, imports its engine.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hook:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == 'flowkit.extraction.engines.local': exec({sends!r})\n"
        "sys.meta_path.insert(0, Hook())\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    process = start("extract", tmp_path / "clip", "-o", tmp_path / "out", env=environment)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, len(stderr.splitlines())) == (3, 1), stderr
    assert stderr.endswith("is not finished; run the same command again to continue\n")


def test_a_signal_where_python_drops_exceptions_is_not_lost(tmp_path):
    frame_folder(tmp_path / "clip", range(3))
    environment = sigterm_in_a_callback(tmp_path, "flowkit.extraction.engines.local")
    process = start("extract", tmp_path / "clip", "-o", tmp_path / "out", env=environment)
    _, stderr = process.communicate(timeout=120)
    assert (process.returncode, len(stderr.splitlines())) == (3, 1), stderr
    assert stderr.endswith("is not finished; run the same command again to continue\n")


def test_a_signal_on_the_way_out_changes_nothing(tmp_path):
    frame_folder(tmp_path / "clip", range(2))
    process = start("extract", tmp_path / "clip", "-o", tmp_path / "out", env=sigterm_on_the_way_out(tmp_path))
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert "stopped" not in stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_disturb_the_first(tmp_path, number):
    frame_folder(tmp_path / "clip", range(501))
    out = tmp_path / "out"
    process = start("extract", tmp_path / "clip", "-o", out, "--workers", "2", "--preset", "opencv")
    wait_for_a_commit(process, out)
    for _ in range(3):
        os.killpg(process.pid, number)
        time.sleep(0.01)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3, stderr
    assert stderr.strip().endswith("run the same command again to continue")
    assert len(stderr.strip().splitlines()) == 1
    assert not verify(out).problems
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_killed_run_leaves_no_process_and_says_nothing(tmp_path):
    frame_folder(tmp_path / "clip", range(501))
    process = start("extract", tmp_path / "clip", "-o", tmp_path / "out", "--workers", "2", "--preset", "opencv")
    wait_for_a_commit(process, tmp_path / "out")
    process.kill()
    # The pipe ends when the last process that could write to it has.
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout, stderr) == (-signal.SIGKILL, "", "")


def wait_for_a_commit(process, out) -> None:
    while not list((out / "commits").glob("part-*.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)

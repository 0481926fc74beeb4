"""benchmarks/gpu_check.sh from end to end on a machine without a GPU (tests/gpu_check/machine.py), and what it makes of
steps that are broken on purpose.

The compiled kernels run on the host (tests/ptx), so that the steps test, sanitize, bench and peers do their real work,
on small images. The stand-in cannot carry the parts `limits` (a kernel compiled by CuPy), `cpu` (minutes there) and
`extract` (pinned memory and streams), and the sanitizer only runs its command. Of `train` it shows the failure.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from flowkit import _core
from tests.gpu_check.machine import Machine

SMALL = "--sizes 40x32 --solvers micro --variants resident"
PASSES = "def test_it():\n    assert True\n"
FAILS = "\n\ndef test_not_it():\n    assert False\n"
HANGS = "\n\ndef test_for_ever():\n    __import__('time').sleep(100)\n"


@pytest.fixture
def machine(tmp_path) -> Machine:
    """Without a GPU, for what does not come so far."""
    return Machine(tmp_path, Path(_core.__file__))


@pytest.fixture
def gpu(tmp_path, ptx_file) -> Machine:
    return Machine(tmp_path, ptx_file)


def test_a_whole_run(gpu):
    run = gpu.run(
        "build test sanitize bench peers",
        TESTS="tests/gpu/test_sanitizer.py",
        PARTS="rates",
        BENCH=SMALL + " --batches 2",
    )
    assert run.code == 0, run.said
    assert run.said.endswith("all steps passed\n")
    summary = run.summary
    assert list(summary) == ["build", "test", "sanitize", "bench", "peers"]
    assert all(line.startswith("passed after ") for line in summary.values())
    assert summary["build"].endswith(" for sm 90")
    assert " 22 passed in " in summary["test"]
    assert summary["sanitize"].endswith(": memcheck passed, racecheck passed, synccheck passed, initcheck passed")
    assert (gpu.folder / "sanitized").read_text().split() == ["memcheck", "racecheck", "synccheck", "initcheck"]
    assert summary["bench"].endswith(": 2 measured, 0 failed or wrong, 0 not measured for want of time")
    assert "absent: cuCIM optical_flow_tvl1 (No module named 'cucim'" in summary["peers"]
    bench, peers = run.found("bench"), run.found("peers")
    assert bench["complete"]
    assert [(row["variant"], row["agrees"]) for row in bench["rows"]] == [(None, True), ("resident", True)]
    assert all(row["error_px"] < row["zero_flow_px"] for row in peers["rows"])
    assert len(peers["absent"]) == 3


def test_steps_that_fail_are_counted_and_do_not_keep_others_from_running(machine):
    machine.write("tests/tiny/test_tiny.py", PASSES + FAILS)
    run = machine.run("build test sanitize bench", TESTS="tests/tiny", SANITIZER="no-such-tool")
    assert run.code == 3
    assert run.said.endswith("failed: test sanitize bench\n")
    assert run.summary["build"].startswith("passed after ")
    assert run.summary["test"].startswith("FAILED, exit 1 after ")
    assert " 1 failed, 1 passed in " in run.summary["test"]
    assert run.summary["sanitize"].endswith(": no-such-tool is not here: it is part of the CUDA toolkit")
    assert "no usable GPU" in run.summary["bench"]


def test_a_run_in_which_no_test_passed_has_failed(machine):
    machine.write("tests/tiny/test_tiny.py", "import pytest\n\n\ndef test_it():\n    pytest.skip('not here')\n")
    machine.replace("tests/gpu/test_sanitizer.py", "pytestmark = pytest.mark.sanitizer\n", "")
    run = machine.run("build test sanitize", TESTS="tests/tiny")
    assert run.code == 2
    assert " 1 skipped in " in run.summary["test"]
    assert run.summary["sanitize"].endswith("memcheck FAILED, racecheck FAILED, synccheck FAILED, initcheck FAILED")
    assert "deselected" in (run.out / "sanitize.log").read_text()


@pytest.mark.parametrize("tool", ["initcheck", "memcheck"])
def test_what_the_sanitizer_reports_fails_its_step_but_for_the_padding_of_rows(machine, tool):
    machine.write("tests/gpu/conftest.py", "")
    machine.write("tests/gpu/test_sanitizer.py", f"import pytest\n\npytestmark = pytest.mark.sanitizer\n\n\n{PASSES}")
    machine.sanitizer_reports(tool)
    run = machine.run("build sanitize")
    words = {"memcheck": "passed", "racecheck": "passed", "synccheck": "passed", "initcheck": "passed"}
    words[tool] = "passed with reports" if tool == "initcheck" else "FAILED"
    assert run.code == (tool != "initcheck")
    assert run.summary["sanitize"].endswith(": " + ", ".join(f"{name} {word}" for name, word in words.items()))


def test_a_test_that_fails_under_initcheck_fails_the_step(machine):
    machine.write("tests/gpu/conftest.py", "")
    machine.write(
        "tests/gpu/test_sanitizer.py", f"import pytest\n\npytestmark = pytest.mark.sanitizer\n\n\n{PASSES}{FAILS}"
    )
    run = machine.run("build sanitize")
    assert run.code == 1
    assert run.summary["sanitize"].endswith("memcheck FAILED, racecheck FAILED, synccheck FAILED, initcheck FAILED")


def test_without_a_gpu_its_tests_fail_and_do_not_skip(machine):
    run = machine.run("build test", TESTS="tests/gpu/test_strain.py")
    assert run.code == 1
    assert " errors in " in run.summary["test"]
    assert "skipped" not in run.summary["test"]
    assert "no usable GPU" in (run.out / "test.log").read_text()


def test_a_build_that_fails_leaves_nothing_to_test(machine):
    machine.replace("flowkit/motion/strain.py", "from __future__ import annotations\n", "import no_such_package\n")
    run = machine.run("build test")
    assert run.code == 2
    assert "No module named 'no_such_package'" in run.summary["build"]
    assert run.summary["test"].startswith("FAILED, not run: these sources are not built")


def test_a_step_is_stopped_at_its_limit(machine):
    machine.write("tests/tiny/test_tiny.py", PASSES + HANGS)
    run = machine.run("build test", TESTS="tests/tiny", LIMITS="build=150 test=5")
    assert run.code == 1
    assert run.summary["test"].startswith("FAILED, stopped at its limit of 5 s after ")


def test_nothing_is_begun_when_the_call_has_no_seconds_left(machine):
    run = machine.run("build test", WITHIN="0")
    assert run.code == 2
    assert run.summary == dict.fromkeys(["build", "test"], "FAILED, not run: the 0 s of WITHIN are used")


def test_a_benchmark_that_dies_and_one_that_hangs_leave_their_rows(gpu):
    here = "work = pixel_iterations(params, size)\n"
    gpu.replace("benchmarks/bench_gpu.py", here, f"if batch == 1:\n        sys.exit(os.abort())\n    {here}")
    gpu.replace("benchmarks/bench_gpu.py", "import math\n", "import math\nimport os\n")
    gpu.replace(
        "benchmarks/bench_gpu_peers.py",
        "    pairs = face_pairs(size)\n        if batch == 1:\n",
        "    pairs = face_pairs(size)\n        if batch == 1:\n            __import__('time').sleep(100)\n",
    )
    run = gpu.run("build bench peers", PARTS="rates", BENCH=SMALL + " --batches 2 1", LIMITS="peers=8")
    assert run.code == 2
    assert run.summary["bench"].startswith("FAILED, exit 134 after ")
    assert run.summary["peers"].startswith("FAILED, stopped at its limit of 8 s after ")
    bench, peers = run.found("bench"), run.found("peers")
    assert ([row["batch"] for row in bench["rows"]], len(bench["not_measured"]), bench["complete"]) == ([2], 2, False)
    assert len(peers["rows"]) <= 1, "what hangs is the second"
    assert len(peers["rows"]) + len(peers["not_measured"]) == 5
    assert not peers["complete"]


def test_a_wrong_answer_fails_the_benchmark(gpu):
    gpu.replace("benchmarks/bench_gpu.py", "- expected[:batch])", "- expected[:batch] - 1)")
    run = gpu.run("build bench", PARTS="rates", BENCH=SMALL + " --batches 2")
    assert run.code == 1
    assert ": 2 measured, 2 failed or wrong" in run.summary["bench"]
    assert [row["error"] for row in run.found("bench")["failed"]] == ["wrong answer"] * 2


def test_no_seconds_are_left(gpu):
    run = gpu.run("build bench", PARTS="rates", BENCH=SMALL + " --batches 2 --seconds 0")
    assert run.code == 1
    assert run.summary["bench"].endswith(": 0 measured, 0 failed or wrong, 2 not measured for want of time")
    assert len(run.found("bench")["not_measured"]) == 2


def test_packages_that_are_missing_are_named(tmp_path, ptx_file):
    gpu = Machine(tmp_path, ptx_file, cupy=False)
    run = gpu.run("build bench", BENCH=SMALL)
    assert run.code == 1
    assert run.summary["bench"].endswith("No module named 'cupy'")


def test_a_trainer_that_finds_no_gpu_fails(gpu):
    pytest.importorskip("torch")
    run = gpu.run("build train")
    assert run.code == 1
    assert run.summary["train"].endswith(": 0 measured, 3 failed or wrong, 0 not measured for want of time")
    assert "torch finds no usable GPU" in run.found("train")["failed"][0]["error"]


def test_an_unknown_step_is_refused(machine):
    run = machine.run("build bnech")
    assert run.code == 100
    assert "no step is called bnech" in run.said
    assert not (run.out / "summary.txt").exists()

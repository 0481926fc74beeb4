"""flowkit.cli.doctor: it tells what is there, and why what is missing is missing."""

from __future__ import annotations

import importlib.metadata

from flowkit import _core
from flowkit.cli import doctor


def test_report_names_the_build_the_machine_and_the_packages() -> None:
    found = dict(doctor.report())
    assert found["flowkit"].startswith(importlib.metadata.version("flowkit-mer"))
    assert _core.simd_level() in found["SIMD"]
    assert found["pyarrow"] == importlib.metadata.version("pyarrow")
    assert "h264" in found["video codecs"]


def test_a_missing_gpu_has_a_reason() -> None:
    devices, problem = _core.cuda_devices()
    found = dict(doctor.report())["GPU"]
    if devices:
        assert devices[0][0] in found
    else:
        assert problem
        assert problem in found


def test_an_absent_package_says_what_it_is_for() -> None:
    assert "pip install" in doctor._optional("no_such_module", "the trainer: pip install 'flowkit-mer[train]'")


def test_doctor_prints_what_it_found_brackets_included(flowkit, monkeypatch):
    monkeypatch.setattr(doctor, "OPTIONAL", {"no_such_module": "arrays: pip install 'flowkit-mer[gpu]'"})
    _, stdout, _ = flowkit("doctor")
    assert "flowkit-mer[gpu]" in "".join(stdout.split())


def test_doctor_prints_a_row_for_each_thing_that_was_looked_at(flowkit, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    code, stdout, stderr = flowkit("doctor")
    assert (code, stderr) == (0, "")
    found = doctor.report()
    widest = max(len(name) for name, _ in found)
    lines = stdout.splitlines()
    assert len(lines) == len(found) == 18
    for line, (name, value) in zip(lines, found, strict=True):
        assert line[: widest + 1].rstrip() == name
        assert line[widest + 1 :].strip() == value

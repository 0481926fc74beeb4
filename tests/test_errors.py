"""Errors carry the exit code of the command line."""

from __future__ import annotations

import subprocess
import sys

from flowkit.errors import FlowkitError, InputError, printable


def test_an_input_error_is_a_value_error_and_exits_with_2():
    assert issubclass(InputError, ValueError)
    assert issubclass(InputError, FlowkitError)
    assert InputError.exit_code == 2


def test_what_is_printed_does_nothing_to_a_terminal():
    assert printable("two\nlines\tand\x1b[2J é中") == "two lines\\tand\\x1b[2J é中"


def test_memory_that_runs_out_is_told_with_a_remedy():
    command = "lambda arguments: numpy.empty(2**62, numpy.uint8)"
    program = f"import numpy, sys; from flowkit.errors import run_command; sys.exit(run_command('flowkit', {command}))"
    done = subprocess.run([sys.executable, "-c", program, "extract"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "")
    reason = "Unable to allocate 4.00 EiB for an array with shape (4611686018427387904,) and data type uint8"
    remedy = "run it again with less at a time, or where there is more"
    assert done.stderr == f"flowkit: memory ran out ({reason}); {remedy}\n"

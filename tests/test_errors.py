"""Errors carry the exit code of the command line."""

from __future__ import annotations

from flowkit.errors import FlowkitError, InputError, printable


def test_an_input_error_is_a_value_error_and_exits_with_2():
    assert issubclass(InputError, ValueError)
    assert issubclass(InputError, FlowkitError)
    assert InputError.exit_code == 2


def test_what_is_printed_does_nothing_to_a_terminal():
    assert printable("two\nlines\tand\x1b[2J é中") == "two lines\\tand\\x1b[2J é中"

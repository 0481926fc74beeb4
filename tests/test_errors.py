"""Errors carry the exit code of the command line."""

from __future__ import annotations

from flowkit.errors import FlowkitError, InputError


def test_an_input_error_is_a_value_error_and_exits_with_2():
    assert issubclass(InputError, ValueError)
    assert issubclass(InputError, FlowkitError)
    assert InputError.exit_code == 2

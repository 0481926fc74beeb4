"""The command line in this process."""

import signal
import sys

import pytest

from flowkit.cli import main


@pytest.fixture
def flowkit(monkeypatch, capsys):
    """Runs `flowkit ...` in this process: exit code, stdout, stderr."""

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["flowkit", *map(str, arguments)])
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return int(ended.value.code or 0), *capsys.readouterr()

    return run

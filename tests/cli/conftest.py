"""The command line in this process."""

import sys

import pytest

from flowkit.cli import main


@pytest.fixture
def flowkit(monkeypatch, capsys, signals_kept):
    """Runs `flowkit ...` in this process: exit code, stdout, stderr."""

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["flowkit", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run

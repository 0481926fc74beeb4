"""A process beside the driver of a local Ray cluster, which ends what is left of the cluster once the driver is gone.

Ray ties its servers to the driver, but not the agents that they start. Run as a script, with nothing but Python's own
modules: `python -I ray_keeper.py SESSION`, the folder of the cluster's session.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_TRIES = 10


def start(session: str) -> subprocess.Popen[bytes]:
    """Starts it; when its standard input is closed, by the driver or by the driver's death, it does its work."""
    command = [sys.executable, "-I", __file__, session]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def members(session: str, but: set[int]) -> list[int]:
    """The processes, but for these, that have a file of the session's folder open, as all of them have their logs."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            files = (str(link.readlink()) for link in (folder / "fd").iterdir())
            if int(folder.name) not in but and any(name.startswith(f"{session}/") for name in files):
                found.append(int(folder.name))
    return found


def main(session: str) -> None:
    """Waits for the end of the driver, and then ends the session's processes."""
    driver = os.getppid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    for _ in range(_TRIES):
        pids = members(session, {os.getpid(), driver})
        if not pids:
            return
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)


if __name__ == "__main__":
    main(sys.argv[1])

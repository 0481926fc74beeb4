"""A process beside the driver of a local Ray cluster, which ends what is left of the cluster once the driver is gone.

Ray ties its servers to the driver, but not the agents that they start. Run as a script, with nothing but Python's own
modules: `python -I ray_keeper.py PID`, the driver's. It is there before the cluster is, whose start can be cut off too.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_TRIES = 10


def start() -> subprocess.Popen[bytes]:
    """Starts it for this process; when its standard input is closed, by the driver or by the driver's death, it does
    its work.
    """
    command = [sys.executable, "-I", __file__, str(os.getpid())]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def members(driver: int) -> list[int]:
    """The processes, but for the driver, that have a file of its session's folder open, as all of them have their logs.

    Ray names that folder after the driver's id, which is another one's in a container.
    """
    session = re.compile(rf"/session_[^/]+_{driver}/")
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            other = int(folder.name) != driver
            here = (folder / "ns/pid").readlink() == Path("/proc/self/ns/pid").readlink()
            if other and here and any(session.search(str(link.readlink())) for link in (folder / "fd").iterdir()):
                found.append(int(folder.name))
    return found


def main(driver: int) -> None:
    """Waits for the end of the driver, and then ends the session's processes."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    for _ in range(_TRIES):
        pids = members(driver)
        if not pids:
            return
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)


if __name__ == "__main__":
    main(int(sys.argv[1]))

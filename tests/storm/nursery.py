"""A process that has imported flowkit and forks: each child is the command, without the half second of imports.

It reads a line of JSON a command from stdin, forks, answers with the child's process id, waits for it, and answers with
its exit status and the seconds of CPU time that it took, with what it waited for. The process itself has one thread and
never runs flowkit, so that its children start clean; which modules a command imports as it goes it learns from the
first one that ends by itself.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from flowkit.cli.signals import stop_at_once

WAITING = {signal.SIGINT, signal.SIGTERM}
WARM = (
    "av",
    "cv2",
    "simplejpeg",
    "pyarrow.parquet",
    "flowkit.cli.app",
    "flowkit.cli.progress",
    "flowkit.extraction.run",
    "flowkit.output.verify",
)


def main() -> None:
    """Serves commands until stdin ends."""
    for name in WARM:
        importlib.import_module(name)
    # Before any frame is decoded, since OpenCV's threads would not be there in a child.
    importlib.import_module("cv2").setNumThreads(1)
    gc.freeze()
    lesson: Path | None = None
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        order = json.loads(line)
        learn = lesson is None or not lesson.exists()
        lesson = Path(f"{order['stdout']}-imports")
        # A signal that comes before the child can tell that it has come waits until then.
        signal.pthread_sigmask(signal.SIG_BLOCK, WAITING)
        child = os.fork()
        if child == 0:
            answers.close()
            _be(order, lesson if learn else None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WAITING)
        print(json.dumps(child), file=answers)
        _, status, usage = os.wait4(child, 0)
        if learn and lesson.exists():
            for name in lesson.read_text().split():
                with contextlib.suppress(ImportError):
                    importlib.import_module(name)
            gc.freeze()
        print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime]), file=answers)


def _be(order: dict[str, Any], lesson: Path | None) -> None:
    """The child: from here on it is `flowkit ARGUMENTS`, and it never returns."""
    os.setsid()
    for number, name in ((0, os.devnull), (1, order["stdout"]), (2, order["stderr"])):
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(handle, number)
        os.close(handle)
    os.environ.update(order["environment"])
    for name, limit in order["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    if order["without"]:
        from tests.storm.without import take_out

        take_out(order["without"])
    code = 70
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # As the command begins with, but here before the first signal can come: what Python itself says of one that
        # comes while it starts is no business of the command's.
        stop_at_once()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WAITING)
        code = _command(order["arguments"])
        if lesson:
            lesson.write_text("\n".join(sorted(sys.modules)))
    except KeyboardInterrupt:
        # What Python does where nothing catches it.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _command(arguments: list[str]) -> int:
    import traceback

    from flowkit.cli import main as flowkit

    sys.argv = ["flowkit", *arguments]
    try:
        flowkit()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        # The interpreter would print it and end with 1; here the harness reads the same.
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()

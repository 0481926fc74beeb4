"""A real S3 server on this machine, for tests: localbucket over HTTP, which keeps blobs as files, also over kill -9.

python -m tests.bucket ROOT PORT

localbucket puts on condition that nothing is there (If-None-Match); what it lacks, If-Match, is added here. It checks
no credentials, syncs nothing to disk, and deletes one blob at a time (hence AWS_DISABLE_BULK_DELETE).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import localbucket

NAME = "bucket"


class Handler(localbucket.S3Handler):
    """localbucket's, with If-Match for what is put, and writes one at a time, so that conditions hold."""

    _writing = threading.Lock()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def _write_object(self, bucket: str, key: str, write: Callable[[Any], str]) -> str:
        with self._writing:
            wanted = self.headers.get("If-Match")
            if wanted is not None:
                path = self._object_path(bucket, key)
                if not path.is_file() or not localbucket.etag_matches(wanted, localbucket.object_etag(path)):
                    raise self._precondition_failed_error()
            return super()._write_object(bucket, key, write)

    def _get(self, bucket: str, key: str, include_body: bool) -> None:
        # localbucket opens the file, and then asks for the tag of what has its name: of another blob, if one was put
        # between. Large ones are left as they are, so that nobody waits for who reads slowly.
        with self._writing if self._is_small(bucket, key) else nullcontext():
            super()._get(bucket, key, include_body)

    def _is_small(self, bucket: str, key: str) -> bool:
        with suppress(OSError):
            return bool(bucket and key) and self._object_path(bucket, key).stat().st_size < 2**16
        return True


class Bucket:
    """The server as a process of its own, which can be killed and started again at the same address."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / NAME).mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def environment(self) -> dict[str, str]:
        """What a client of it needs to know."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "anyone",
            "AWS_SECRET_ACCESS_KEY": "anything",
            "AWS_REGION": "us-east-1",
            "AWS_DISABLE_BULK_DELETE": "true",
        }

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        command = [sys.executable, "-m", "tests.bucket", str(self.root), str(self.port)]
        # It ends when this process does, whose end closes the pipe.
        self.process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdin=subprocess.PIPE)
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < until, "the S3 server does not start"
                time.sleep(0.02)

    def kill(self) -> None:
        """Ends it as kill -9 does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.communicate()
            self.process = None

    def folder(self, name: str) -> Path:
        """Where the blobs below a name are as files."""
        return self.root / NAME / name


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """Clients are killed here: that a connection breaks is no news."""


def main() -> None:
    """Serves until it is killed, or stdin ends."""
    root, port = sys.argv[1:]
    Handler.data_root = Path(root)
    os.nice(5)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    _Server(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()

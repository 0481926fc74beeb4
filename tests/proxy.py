"""A network that stands still: what goes through here arrives, late."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress


class Proxy:
    """Passes connections on to a server on this machine, both ways; while it is stalled nothing gets through, and no
    connection breaks.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.create_server((host, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._flows.set()
        self._listener.close()

    def stall(self, seconds: float) -> None:
        """Returns when all flows again."""
        self._flows.clear()
        time.sleep(seconds)
        self._flows.set()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(self._server) as server:
            back = threading.Thread(target=self._pass, args=(server, client), daemon=True)
            back.start()
            self._pass(client, server)
            back.join()

    def _pass(self, from_: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while piece := from_.recv(2**16):
                self._flows.wait()
                to.sendall(piece)
        # What one side has to say is over; or it is gone, and then the other is to know.
        with suppress(OSError):
            to.shutdown(socket.SHUT_WR)

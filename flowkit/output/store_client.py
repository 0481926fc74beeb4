"""Asking object stores by obstore: who waits how long for an answer, and what each error is to the user.

obstore takes endpoints and credentials from the environment variables that it knows.
"""

from __future__ import annotations

import errno
import functools
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from flowkit.errors import FlowkitError, Interrupted, StoreError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PATIENCE_S = 60.0
"""How long a store that has answered may be away before a run stops; FLOWKIT_STORE_PATIENCE says otherwise."""
_TRY_S = 6.0
"""How long obstore itself tries again, which no signal interrupts; and how long a first answer may take."""
_TIMEOUT_S = 60.0
"""For one request, which transfers some MiB at most, but for what is read at once."""
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
"""By scheme, the variables that obstore takes for a store's address."""
_ADDRESS = re.compile(r"https?://(\[[\da-f:.]+\]|[\w.-]+)(:\d{1,5})?(/[!-~]*)?", re.ASCII | re.IGNORECASE)
_SENT = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION")
"""Variables whose values go into each request to S3, where no blank can stand."""
_Answer = TypeVar("_Answer")


class Overtaken(Exception):
    """A blob is not as it was when a `put_if` relied on it: somebody else has written or removed it."""


_answered: set[str] = set()
"""Buckets that have answered this process: these are waited for."""
_silent: dict[str, tuple[float, Interrupted]] = {}
"""Those that have not, when, and what is to be said of it."""
_lock = threading.Lock()


@functools.cache
def _bucket(root: str, process: int, timeout_s: float) -> ObjectStore:
    """The client of a bucket in this process; a forked one needs its own.

    Args:
        timeout_s: for one request.
    """
    from obstore.store import from_url

    _require_settings(root.partition(":")[0])
    try:
        return from_url(
            root,
            # What is not encrypted is so because the user's endpoint says http.
            client_options={
                "allow_http": True,
                "connect_timeout": timedelta(seconds=3),
                "timeout": timedelta(seconds=timeout_s),
            },
            retry_config={
                "max_retries": 10,
                "retry_timeout": timedelta(seconds=_TRY_S),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=1),
                    "base": 2,
                },
            },
        )
    except Exception as error:
        raise _unusable(root, error) from error


def _require_settings(scheme: str) -> None:
    """Raises StoreError for an environment of which obstore would panic, which says nothing to the user."""
    for name in _ENDPOINTS.get(scheme, ()):
        address = os.environ.get(name)
        if address is not None and not _ADDRESS.fullmatch(address):
            raise StoreError(
                f"{name}={address!r} is no address; write it as http://HOST:PORT or https://HOST, or unset it"
            )
    for name in _SENT if scheme == "s3" else ():
        if re.search(r"[^!-~]", os.environ.get(name, "")):  # its value may be a secret
            raise StoreError(f"{name} has a blank, a line's end or another such character in it; set it without that")


@contextmanager
def _panics_told(root: str) -> Iterator[None]:
    """A panic of obstore's in here, which is no Exception, becomes a StoreError."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise _unusable(root, error) from error


def _unusable(root: str, error: BaseException) -> StoreError:
    return StoreError(f"{root} cannot be used: {_first_line(error)}; correct the environment's settings")


def asked(root: str, key: str, ask: Callable[[Any, ObjectStore], _Answer]) -> _Answer:
    """What the store answers. One that is away is asked again for a while, if it has answered before."""
    try:
        import obstore as obs
    except ImportError as error:
        raise StoreError(f"{root} needs obstore, which is not installed; pip install 'flowkit-mer[store]'") from error
    with _panics_told(root):
        return _asked(root, key, ask, obs)


def _asked(root: str, key: str, ask: Callable[[Any, ObjectStore], _Answer], obs: Any) -> _Answer:
    began = time.monotonic()
    with _lock:
        if root not in _answered:
            _knock(root, key, obs, began)
        store = _bucket(root, os.getpid(), _TIMEOUT_S)
    began = time.monotonic()
    while True:
        try:
            return ask(obs, store)
        except Exception as error:
            trouble = _trouble(root, key, error, obs)
            if not isinstance(trouble, Interrupted):
                raise trouble from error
            if time.monotonic() - began > _patience_s():
                _answered.discard(root)  # nobody is to wait for so long again
                raise trouble from error
            time.sleep(0.5)


def _patience_s() -> float:
    text = os.environ.get("FLOWKIT_STORE_PATIENCE") or str(PATIENCE_S)
    try:
        return float(text)
    except ValueError as error:
        raise StoreError(f"FLOWKIT_STORE_PATIENCE={text!r} is no number of seconds; give one, as 60") from error


def forget() -> None:
    """Makes new clients from now on: the environment's settings have changed."""
    with _lock:
        _answered.clear()
        _silent.clear()
        _bucket.cache_clear()


def _knock(root: str, key: str, obs: Any, waiting_since: float) -> None:
    """Returns once the store answers, whatever; raises as `asked` within some ten seconds where it does not."""
    since, trouble = _silent.get(root, (-math.inf, None))
    if trouble is not None and since > waiting_since:
        raise Interrupted(str(trouble))  # what another thread has heard while this one waited for its turn
    try:
        obs.head(_bucket(root, os.getpid(), _TRY_S), key or "plan")
    except Exception as error:
        told = _trouble(root, key, error, obs)
        if isinstance(told, Interrupted):
            _silent[root] = time.monotonic(), told
        if isinstance(told, FlowkitError):
            raise told from error
    _answered.add(root)


def _trouble(root: str, key: str, error: Exception, obs: Any) -> Exception:
    """What an error of obstore's is to the user."""
    if isinstance(error, obs.exceptions.AlreadyExistsError | obs.exceptions.PreconditionError):
        return Overtaken(f"{root}/{key}")
    text = str(error)
    status = re.search(r"status code: (\d+) ?([\w ]*)", text)
    code = re.search(r"<Code>(\w+)</Code>", text)
    reason = code[1] if code else f"{status[1]} {status[2]}".strip() if status else _unanswered(text)
    if reason == "NoSuchBucket":
        return StoreError(f"{root} does not exist; create that bucket, or correct its name")
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "it is not there", f"{root}/{key}")
    if not isinstance(error, obs.exceptions.BaseError):
        return error
    if "169.254.169.254" in text:
        return StoreError(
            f"{root} cannot be used: no credentials are set; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what "
            "docs/cluster.md says for other stores"
        )
    if status and status[1] == "501":
        return StoreError(
            f"{root} does not know conditional writes, or another request ({reason}); use another store, or, with "
            "one run at a time, set AWS_CONDITIONAL_PUT=disabled"
        )
    refused = isinstance(error, obs.exceptions.PermissionDeniedError | obs.exceptions.UnauthenticatedError)
    if refused or (status and status[1][0] == "4" and status[1] not in ("408", "409", "429")):
        return StoreError(
            f"{root}/{key} is refused by its store ({reason}); give credentials, region and endpoint with which it can "
            "be read and written"
        )
    return Interrupted(
        f"{root} gives no answer ({reason}); mend that, or correct its endpoint, and run the same command again "
        "to continue"
    )


def _unanswered(text: str) -> str:
    kind = re.search(r"kind: (\w+)", text)
    address = re.search(r"Error performing \w+ (\w+://[^/\s]+)", text)
    what = {"Connect": "nobody answers", "Timeout": "it takes too long"}.get(kind[1] if kind else "", "")
    return f"{what or _first_line(text)}{f' at {address[1]}' if address else ''}"


def _first_line(error: object) -> str:
    line = str(error).strip().partition("\n")[0].rpartition(" - ")[2]
    return re.sub(r"^Generic \w+ error: ", "", line)

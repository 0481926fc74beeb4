"""Names in object stores (s3://, gs://, az://), which stand wherever an output's or a source's path may stand.

`StorePath` has what outputs and sources ask of a `pathlib.Path`, and no more. A blob appears whole or not at all, can
be written on condition that nobody else has (`put_if`), and is never renamed or locked: stores do neither.
"""

from __future__ import annotations

import io
import os
import posixpath
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from flowkit.errors import InputError, Interrupted
from flowkit.output.store_client import Overtaken, asked

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az")
_AT_ONCE = 16
"""Small requests that are under way together."""
_UPLOADS = 4
"""Pieces of one blob that are sent together."""
_PIECE_BYTES = 16 * 2**20

_URL = re.compile(rf"({'|'.join(SCHEMES)}):/+([^/]+)/*(.*)")
_OTHER_URL = re.compile(r"([a-z][a-z0-9+.-]+):/.*", re.IGNORECASE)
_Answer = TypeVar("_Answer")
_Item = TypeVar("_Item")


class Tag(NamedTuple):
    """How a store names what a blob holds now; which of the two it goes by differs."""

    e_tag: str | None
    version: str | None


@dataclass(frozen=True, slots=True)
class BlobStat:
    """Size in bytes, when it was written (seconds since 1970, by the store's clock), and the store's tag of it."""

    st_size: int
    st_mtime: float
    tag: Tag


@dataclass(frozen=True, slots=True)
class StorePath:
    """A name in a bucket, as "s3://bucket/out/plan/run.json". Plain data; it can be pickled.

    Methods do as those of `pathlib.Path`. Where the store gives no answer they raise Interrupted, where it refuses
    StoreError; FileNotFoundError is raised where the store says that there is no such blob, and only there.
    """

    root: str
    """Scheme and bucket."""
    key: str
    _listed: BlobStat | None = field(default=None, compare=False)
    """What a listing said of it, for those that one has given."""
    _content: bytes | None = field(default=None, compare=False, repr=False)
    """Of those that are `held`."""

    def __str__(self) -> str:
        return f"{self.root}/{self.key}" if self.key else self.root

    def __truediv__(self, name: str) -> StorePath:
        return StorePath(self.root, f"{self.key}/{name}" if self.key else name)

    @property
    def name(self) -> str:
        """The last part of the key; of a bucket as a whole, the bucket's."""
        return PurePosixPath(str(self)).name

    @property
    def suffix(self) -> str:
        """The suffix of the name."""
        return PurePosixPath(self.name).suffix

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def parent(self) -> StorePath:
        """What it is in; of a bucket, itself."""
        return StorePath(self.root, self.key.rpartition("/")[0])

    @property
    def parents(self) -> tuple[StorePath, ...]:
        """None: a blob's name may go on below another blob's."""
        return ()

    def absolute(self) -> StorePath:
        """Itself."""
        return self

    def relative_to(self, other: StorePath) -> PurePosixPath:
        """Its key from another's on; a ValueError where it is not below that."""
        return PurePosixPath(str(self)).relative_to(str(other))

    def stat(self) -> BlobStat:
        """What is known of the blob: when it was listed, or now."""
        if self._listed is not None:
            return self._listed
        return _stat(self._ask(lambda obs, store: obs.head(store, self.key)))

    def is_file(self) -> bool:
        """Whether there is such a blob."""
        if not self.key:
            return False
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def is_dir(self) -> bool:
        """Whether there is a blob below it."""
        if self._listed is not None:
            return False
        return bool(self._ask(lambda obs, store: next(iter(obs.list(store, self.key or None, chunk_size=1)), [])))

    def exists(self) -> bool:
        """Whether it is a blob or has one below it."""
        return self.is_file() or self.is_dir()

    def iterdir(self) -> Iterator[StorePath]:
        """What is in it, in no order; nothing where there is none."""
        folders, blobs = self.listing()
        yield from [*folders, *blobs]

    def listing(self) -> tuple[list[StorePath], list[StorePath]]:
        """The folders in it, and the blobs, which know what the listing said of them."""
        found = self._ask(lambda obs, store: obs.list_with_delimiter(store, self.key or None))
        folders = [StorePath(self.root, key) for key in found["common_prefixes"]]
        return folders, [StorePath(self.root, blob["path"], _stat(blob)) for blob in found["objects"]]

    def held(self) -> StorePath:
        """The same name, which knows the blob as it is now, and asks for it no more."""

        def get(obs: Any, store: ObjectStore) -> StorePath:
            found = obs.get(store, self.key)
            return StorePath(self.root, self.key, _stat(found.meta), bytes(found.bytes()))

        return self._ask(get)

    def read_bytes(self) -> bytes:
        """The blob's content."""
        return self.read_tagged()[0]

    def read_tagged(self) -> tuple[bytes, Tag]:
        """The blob's content, and its tag, for `put_if`."""
        blob = self if self._content is not None else self.held()
        assert blob._content is not None
        return blob._content, blob.stat().tag

    def read_text(self, encoding: str = "utf-8") -> str:
        """The blob's text."""
        return self.read_bytes().decode(encoding)

    def open(self, mode: str = "rb") -> io.BytesIO:
        """The blob's content as a file that can be read."""
        assert mode == "rb"
        return io.BytesIO(self.read_bytes())

    def ranges(self) -> io.RawIOBase:
        """The blob as a file of which no more is fetched than is read."""
        return _Ranges(self)

    def download(self, to: Path) -> None:
        """Writes the blob's content to a file, a piece at a time; an Interrupted where it changes meanwhile."""
        before = _stat(self._ask(lambda obs, store: obs.head(store, self.key)))
        with to.open("wb") as file:
            for start in range(0, before.st_size, _PIECE_BYTES):
                file.write(self._range(start, min(start + _PIECE_BYTES, before.st_size)))
        after = _stat(self._ask(lambda obs, store: obs.head(store, self.key)))
        if (after.tag, after.st_size) != (before.tag, before.st_size):
            raise Interrupted(f"{self} has changed while it was read; run the same command again when it is whole")

    def upload(self, file: Path) -> None:
        """Makes the file's content that of the blob, in place of another."""
        self._ask(lambda obs, store: obs.put(store, self.key, file, max_concurrency=_UPLOADS))

    def put_if(self, content: bytes, tag: Tag | None) -> None:
        """Makes it the blob's content if the blob has this tag now, or does not exist where the tag is None.

        Where the user has said that the store knows no conditions (AWS_CONDITIONAL_PUT=disabled), it is put all the
        same.

        Raises:
            Overtaken: if it has another, or does or does not exist.
        """
        known = {name: value for name, value in tag._asdict().items() if value is not None} if tag else {}

        def put(obs: Any, store: ObjectStore) -> None:
            try:
                obs.put(store, self.key, content, mode=known or "create", use_multipart=False)
            except NotImplementedError:
                obs.put(store, self.key, content)

        try:
            self._ask(put)
        except Overtaken:
            if self._or_none() != content:  # else it was put, and the answer to that was lost
                raise

    def unlink(self, missing_ok: bool = False) -> None:
        """Removes the blob, which need not be there: stores do not say."""
        self._ask(lambda obs, store: obs.delete(store, self.key))

    def _ask(self, ask: Callable[[Any, ObjectStore], _Answer]) -> _Answer:
        return asked(self.root, self.key, ask)

    def _or_none(self) -> bytes | None:
        try:
            return self.read_bytes()
        except FileNotFoundError:
            return None

    def _range(self, start: int, end: int) -> bytes:
        if end <= start:
            return b""
        return bytes(self._ask(lambda obs, store: obs.get_range(store, self.key, start=start, end=end)))


Place = Path | StorePath
"""Where an output, a manifest, a video or a folder of frames may be."""


def is_url(text: str | Place) -> bool:
    """Whether it names something in an object store."""
    return _URL.fullmatch(str(text)) is not None


def place(text: str | Place) -> Place:
    """The place that a path or a URL names.

    A `Path` made from a URL, which has lost a slash, is that URL's place.

    Raises:
        InputError: for a URL without a bucket, or of another scheme; for an empty text; for one that begins with a home
            folder's "~", which pyarrow would take for that folder and pathlib not.
    """
    if isinstance(text, StorePath):
        return text
    if text == "":
        raise InputError("an empty path ('') names nothing; give a file, a folder or a URL")
    if (home := os.path.expanduser(text)) != os.fspath(text):  # noqa: PTH111
        raise InputError(
            f"{text} begins with ~, which only a shell takes for a home folder; give {home}, or for a folder of that "
            "name its absolute path"
        )
    if found := _URL.fullmatch(str(text)):
        scheme, bucket, key = found.groups()
        return StorePath(f"{scheme}://{bucket}", posixpath.normpath(f"/{key}").strip("/"))
    if re.match(rf"({'|'.join(SCHEMES)})://", str(text)):
        raise InputError(f"{text} names no bucket; write it as {str(text).partition(':')[0]}://BUCKET/NAME")
    if found := _OTHER_URL.fullmatch(str(text)):
        raise InputError(
            f"{text} begins with {found[1]}:, and flowkit knows s3://, gs:// and az://, in small letters; give one of "
            "those, or for a folder of that name its absolute path"
        )
    return Path(text)


def require_utf8(path: Place) -> None:
    """Raises InputError for a path with bytes that are no UTF-8: outputs cannot name it, and OpenCV crashes on it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{str(path)!r} has bytes that are no UTF-8; rename that file or folder") from error


def each(of: str | Place, function: Callable[[_Item], _Answer], items: Iterable[_Item]) -> Iterator[_Answer]:
    """`map`, with many requests under way together where they are of a place in an object store, each in a thread."""
    if not is_url(of):
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(_AT_ONCE)
    ahead: deque[Future[_Answer]] = deque()
    try:
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) >= 2 * _AT_ONCE:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class _Ranges(io.RawIOBase):
    """See `StorePath.ranges`."""

    def __init__(self, path: StorePath) -> None:
        self._path, self._at, self._size = path, 0, path.stat().st_size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._at + size, self._size)
        content = self._path._range(self._at, end)
        self._at += len(content)
        return content


def _stat(blob: Any) -> BlobStat:
    return BlobStat(blob["size"], blob["last_modified"].timestamp(), _tag(blob))


def _tag(blob: Any) -> Tag:
    return Tag(blob["e_tag"], blob["version"])

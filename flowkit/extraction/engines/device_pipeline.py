"""The GPU engine: one worker a GPU in this process, with threads before and behind it that decode and write.

    decode threads -> waiting pairs, by shape -> batches on the GPU, two at a time -> results -> threads that write

Batches are formed across parts and clips. A pair's result does not depend on its batch, so neither do the files. What
goes wrong with a clip before or behind the GPU is that clip's failures; an error of the GPU ends the run.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FlowkitError
from flowkit.extraction.decode import FrameStore
from flowkit.extraction.decoded import Computed, CubeMemory, DecodedPart
from flowkit.extraction.engines.device_part import decode_for_device, rows_from_device
from flowkit.extraction.part import Job, PartRows, commit_rows
from flowkit.extraction.plan import PART_PIXELS, Part
from flowkit.extraction.request import ExtractRequest
from flowkit.frames.prepare import single_threaded_opencv
from flowkit.output.commit import Commit

Frame = NDArray[Any]

IN_FLIGHT = 2
"""Batches a GPU has at once: while one is computed, the next is copied there and the last one back."""
LEAST_WRITERS = 4
"""Threads that write where few decode: some wait for the disk."""
BATCH_PIXELS = 8 * PART_PIXELS
"""Of one batch at most: some thousand faces, or two dozen video frames. More would only take memory."""


class DeviceMemoryError(FlowkitError):
    """A batch does not fit into the GPU's memory."""


class Running(Protocol):
    """A batch on its way."""

    def result(self) -> tuple[Frame, NDArray[np.int32], NDArray[np.bool_]]:
        """Waits; cubes (n, 3, h, w) of the request's dtype, iterations (n,), and whether each flow is finite (n,).

        Valid until the next batch but one. A cube whose flow is not finite means nothing.

        Raises:
            DeviceMemoryError: if the batch turned out not to fit.
        """


class Device(Protocol):
    """A GPU, or what stands in for one. One thread calls it, with at most IN_FLIGHT batches running."""

    def most_pairs(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> int:
        """How many pairs of frames of that shape (h, w) and dtype should fit into the memory that is free."""

    def start(self, frames0: Sequence[Frame], frames1: Sequence[Frame]) -> Running:
        """Begins to compute the cubes of pairs of frames (h, w) of one shape and dtype.

        Raises:
            DeviceMemoryError: if they do not fit.
        """


class DeviceMaker(Protocol):
    """Opens the device that one worker uses, in that worker's thread."""

    def __call__(self, request: ExtractRequest) -> Device: ...


@dataclass(frozen=True, slots=True)
class GpuEngine:
    """A worker for each device."""

    devices: Sequence[DeviceMaker]
    decoders: int
    """Threads that decode frames."""
    busy_s: dict[str, float] = field(default_factory=dict)
    """Seconds that the stages of all runs took, summed over their threads: decode, start, wait, collect, write."""

    @property
    def writers(self) -> int:
        """Threads that find out the results' quality and write them: on a CPU core it takes longer than to decode."""
        return max(LEAST_WRITERS, self.decoders)

    def run(self, parts: Sequence[Part], job: Job) -> Iterator[Commit]:
        """See `Engine`."""
        if not parts:
            return
        with single_threaded_opencv():
            pipeline = _Pipeline(parts, job, self)
            try:
                yield from pipeline.commits()
            finally:
                pipeline.end()


class DeviceRunner:
    """Computes and commits single parts on one device, for an engine that hands them out one by one.

    Several threads may call it: while one part is computed, others are decoded and written.
    """

    def __init__(self, job: Job, maker: DeviceMaker) -> None:
        self._job = job
        self._device = maker(job.request)
        self._lock = threading.Lock()
        self._store = FrameStore()
        self._memory = CubeMemory()

    def __call__(self, part: Part) -> Commit:
        """Runs a part and commits its files; raises Interrupted where they cannot be written."""
        return _written(self._computed(part), self._job, self._memory)

    def rows(self, part: Part) -> PartRows:
        """A part's rows, committed nowhere."""
        return rows_from_device(self._computed(part), self._job)

    def _computed(self, part: Part) -> DecodedPart:
        decoded = decode_for_device(part, self._job.request, self._store)
        with self._lock:
            worker = DeviceWorker(self._device, self._job.request, self._memory, lambda _: None, _Clock({}))
            worker.take(decoded)
            while worker.busy:
                if not worker.start_batch(last=True):
                    worker.finish_batch()
        return decoded


def _written(decoded: DecodedPart, job: Job, memory: CubeMemory) -> Commit:
    """Commits a part whose pairs all have their results; its cubes' memory is free then."""
    commit = commit_rows(job, decoded.part.number, rows_from_device(decoded, job))
    if decoded.cubes is not None:
        memory.give_back(decoded.cubes)
    return commit


_Kind = tuple[tuple[int, int], np.dtype[Any]]


class _Clock:
    """Adds up what stages take, from any thread: `with clock("decode"): ...`."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        with self._lock:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - start


@dataclass(slots=True)
class _Work:
    """A decoded part, the row in its memory of each pair, and how many pairs are still to be computed."""

    decoded: DecodedPart
    row: dict[int, int]
    left: int

    def place(self, i: int) -> Frame:
        """Where the cube of the part's i-th pair is to stand."""
        assert self.decoded.cubes is not None
        place: Frame = self.decoded.cubes[self.row[i]]
        return place


@dataclass(slots=True)
class _Batch:
    """Pairs of one kind, each a part and an index into it, and their results on the way."""

    pairs: list[tuple[_Work, int]]
    running: Running


@dataclass(slots=True)
class _Pipeline:
    """The threads and queues of one run."""

    parts: Sequence[Part]
    job: Job
    engine: GpuEngine
    _decoded: queue.Queue[DecodedPart | None] = field(default_factory=queue.Queue)
    """None: there will be no more."""
    _finished: queue.Queue[Commit | BaseException] = field(default_factory=queue.Queue)
    _ended: threading.Event = field(default_factory=threading.Event)
    _store: FrameStore = field(default_factory=FrameStore)
    _memory: CubeMemory = field(default_factory=CubeMemory)
    _room: threading.Semaphore = field(init=False)
    """Parts that may be between decoding and commit at a time: what bounds the memory of a run."""
    _decode: ThreadPoolExecutor = field(init=False)
    _write: ThreadPoolExecutor = field(init=False)
    _threads: list[threading.Thread] = field(default_factory=list)
    _clock: _Clock = field(init=False)

    def __post_init__(self) -> None:
        self._clock = _Clock(self.engine.busy_s)
        devices, writers = len(self.engine.devices), self.engine.writers
        rows = max(len(part.pairs) for part in self.parts)
        pixels = max(len(part.pairs) * math.prod(part.shape or (1, 1)) for part in self.parts)
        in_a_batch = min(-(-self.job.request.batch // rows), max(BATCH_PIXELS // pixels, 1))
        in_batches = devices * (IN_FLIGHT + 1) * in_a_batch
        self._room = threading.Semaphore(2 * self.engine.decoders + in_batches + 2 * writers)
        self._decode = ThreadPoolExecutor(self.engine.decoders, thread_name_prefix="decode")
        self._write = ThreadPoolExecutor(writers, thread_name_prefix="write")
        self._threads = [threading.Thread(target=self._guarded, args=(self._feed,), name="feed")]
        self._threads += [
            threading.Thread(target=self._guarded, args=(self._compute, maker), name=f"gpu {i}")
            for i, maker in enumerate(self.engine.devices)
        ]

    def commits(self) -> Iterator[Commit]:
        """Each part's commit as it is done; raises what went wrong in any of the threads."""
        for thread in self._threads:
            thread.start()
        for _ in self.parts:
            done = self._finished.get()
            if isinstance(done, BaseException):
                raise done
            yield done

    def end(self) -> None:
        """Stops all threads, in order or amid the work; files that are being written are finished first."""
        self._ended.set()
        self._room.release(len(self.parts))
        self._decode.shutdown(wait=True, cancel_futures=True)
        self._tell_devices()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._write.shutdown(wait=True, cancel_futures=True)

    def _tell_devices(self) -> None:
        for _ in self.engine.devices:
            self._decoded.put(None)

    def _guarded(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as error:
            self._finished.put(error)

    def _feed(self) -> None:
        """Decodes the parts, some ahead of the GPUs."""
        pending = []
        for part in self.parts:
            self._room.acquire()
            if self._ended.is_set():
                return
            pending.append(self._decode.submit(self._guarded, self._decode_one, part))
        for future in pending:
            future.result()
        self._tell_devices()

    def _decode_one(self, part: Part) -> None:
        with self._clock("decode"):
            decoded = decode_for_device(part, self.job.request, self._store)
        self._decoded.put(decoded)

    def _compute(self, maker: DeviceMaker) -> None:
        """One device's worker: starts batches as long as there are pairs, and hands results on in the meantime."""
        request = self.job.request
        worker = DeviceWorker(maker(request), request, self._memory, self._commit, self._clock)
        more = True
        while not self._ended.is_set() and (more or worker.busy):
            # Waits for frames only when there is nothing else to do; other devices get what it has no use for.
            while more and (not worker.busy or (worker.wants_more and not self._decoded.empty())):
                decoded = self._decoded.get()
                more = decoded is not None
                if decoded is not None:
                    worker.take(decoded)
            if worker.busy and not worker.start_batch(last=not more):
                worker.finish_batch()

    def _commit(self, decoded: DecodedPart) -> None:
        def write() -> None:
            with self._clock("write"):
                commit = _written(decoded, self.job, self._memory)
            self._finished.put(commit)
            self._room.release()

        if not self._ended.is_set():
            self._write.submit(self._guarded, write)


class DeviceWorker:
    """The pairs that wait for one device and the batches that it is at."""

    def __init__(
        self,
        device: Device,
        request: ExtractRequest,
        memory: CubeMemory,
        commit: Callable[[DecodedPart], None],
        clock: _Clock,
    ) -> None:
        """`commit` is called with each part once all of its pairs have their results."""
        self._clock = clock
        self._device = device
        self._request = request
        self._memory = memory
        self._commit = commit
        self._waiting: dict[_Kind, deque[tuple[_Work, int]]] = {}
        self._most: dict[_Kind, int] = {}
        self._running: deque[_Batch] = deque()

    @property
    def busy(self) -> bool:
        """Whether pairs wait or run."""
        return bool(self._running or self._waiting)

    @property
    def wants_more(self) -> bool:
        """Whether the pairs that wait do not fill a batch."""
        return all(len(waiting) < self._most_pairs(kind) for kind, waiting in self._waiting.items())

    def take(self, decoded: DecodedPart) -> None:
        """Lets a part's pairs wait; a part without any that can be computed is done already."""
        row = decoded.take_memory(self._memory, self._request.dtype)
        work = _Work(decoded, row, len(row))
        for i in row:
            frame = decoded.frame(i, 0)
            self._waiting.setdefault((frame.shape, frame.dtype), deque()).append((work, i))
        if not row:
            self._commit(decoded)

    def start_batch(self, last: bool) -> bool:
        """Starts the fullest batch, if there is room for it: a partial one only if the device would else be idle."""
        if not self._waiting or len(self._running) == IN_FLIGHT:
            return False
        kind = max(self._waiting, key=lambda kind: len(self._waiting[kind]))
        waiting = self._waiting[kind]
        most = self._most_pairs(kind)
        if len(waiting) < most and self._running and not last:
            return False
        pairs = [waiting.popleft() for _ in range(min(most, len(waiting)))]
        if not waiting:
            del self._waiting[kind]
        try:
            frames0, frames1 = ([work.decoded.frame(i, which) for work, i in pairs] for which in (0, 1))
            with self._clock("start"):
                self._running.append(_Batch(pairs, self._device.start(frames0, frames1)))
        except DeviceMemoryError as error:
            self._too_large(pairs, kind, error)
        return True

    def _most_pairs(self, kind: _Kind) -> int:
        if kind not in self._most:
            height, width = kind[0]
            pairs = min(self._request.batch, BATCH_PIXELS // (height * width), self._device.most_pairs(*kind))
            self._most[kind] = max(1, pairs)
        return self._most[kind]

    def finish_batch(self) -> None:
        """Waits for the oldest batch and gives its results to their parts."""
        batch = self._running.popleft()
        try:
            with self._clock("wait"):
                cubes, iterations, finite = batch.running.result()
        except DeviceMemoryError as error:
            frame = batch.pairs[0][0].decoded.frame(batch.pairs[0][1], 0)
            self._too_large(batch.pairs, (frame.shape, frame.dtype), error)
            return
        with self._clock("collect"):
            for (work, i), cube, count, usable in zip(batch.pairs, cubes, iterations, finite, strict=True):
                # The flow decides, as it does on the CPU, and not what float16 makes of it. The device has looked at
                # it, since on this one thread that would take as long as all that a GPU does for a pair.
                if usable:
                    place = work.place(i)
                    place[...] = cube
                    work.decoded.results[i] = Computed(place, int(count))
                else:
                    work.decoded.fail(i, "the flow is not finite: check the frames' values, or lower tau or lambda_")
                self._one_done(work)

    def _too_large(self, pairs: list[tuple[_Work, int]], kind: _Kind, error: DeviceMemoryError) -> None:
        """Half as many pairs at once from now on; one alone that does not fit has failed."""
        if len(pairs) > 1:
            self._most[kind] = -(-len(pairs) // 2)
            self._waiting.setdefault(kind, deque()).extendleft(reversed(pairs))
            return
        ((work, i),) = pairs
        work.decoded.fail(i, str(error))
        self._one_done(work)

    def _one_done(self, work: _Work) -> None:
        work.left -= 1
        if work.left == 0:
            self._commit(work.decoded)

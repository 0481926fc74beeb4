"""One run of parts on Ray actors: which actors there are, what each is at, and what becomes of what they die on.

Nothing here waits without a bound. A part whose actor dies, or passes the time limit, is tried once more, on another
actor and on another node if there is one; its clips one by one, so that the guilty one is known. What fails again is
rows of the part's failures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from flowkit.errors import Interrupted
from flowkit.extraction.engines.case import Case, Waiting
from flowkit.extraction.engines.engine import RETRIES
from flowkit.extraction.line import STAGES
from flowkit.extraction.part import Job, clip_parts, commit_failed, without
from flowkit.extraction.plan import Part
from flowkit.output.commit import Commit

IN_FLIGHT = len(STAGES)
"""Parts an actor has at once."""
ACTOR_START_S = 300.0
"""How long a run may be without any actor."""
_POLL_S = 0.2
"""Ray waits for so long at a time; in between signals are heard and clocks looked at."""


@dataclass(eq=False)
class _Actor:
    """An actor, as the driver sees it, and what it is at."""

    handle: Any
    started: Any
    """The reference that is there once it has begun; it gives its node's id."""
    node: str | None = None
    """None until it has begun."""
    tasks: dict[Any, _RayCase] = field(default_factory=dict)
    """By the reference of what each gives, in the order in which they were given."""
    since: float = 0.0
    """When it was given its first task, or got one done (time.monotonic)."""


@dataclass(eq=False, slots=True)
class _RayCase(Case):
    """A part, the deaths on it, and where they were."""

    elsewhere: bool = True
    nodes: set[str] = field(default_factory=set)
    """On which actors died on it."""
    lost_nodes: int = 0
    """How often its actor went with its node, which is no part's fault."""
    to_try: list[Part] = field(default_factory=list)
    """Its clips that are still to be tried out, each alone, before it is computed without those that failed."""

    def step(self) -> tuple[str, Part]:
        """The next method of an actor, and what it is to get."""
        if self.to_try:
            return "try_out", self.to_try[0]
        return "complete", without(self.part, self.task.given_up) if self.task.given_up else self.part

    def after(self, cause: str, late_s: float | None) -> None:
        """Takes the death of an actor that was at this case into account."""
        if not self.task.apart:
            clips = list(clip_parts(self.part))
            self.to_try = clips if len(clips) > 1 else []
            self.blame(cause, None, late_s=late_s)
            return
        clip_id = self.to_try[0].pairs[0].clip.clip_id if self.to_try else None
        self.blame(cause, clip_id, late_s=late_s)
        if clip_id in self.task.given_up:
            del self.to_try[0]


class RayShift:
    """One run."""

    def __init__(
        self,
        ray: ModuleType,
        start: Callable[[], Any],
        most: int,
        parts: Sequence[Part],
        job: Job,
        limit_s: float,
        hear: Callable[[], None],
    ) -> None:
        """
        Args:
            start: gives a new actor, at once, whether or not Ray has room for it yet.
            most: actors at a time.
            limit_s: for one part, or one clip that is tried out.
            hear: is called often, and raises what a signal is to do.
        """
        self._ray, self._start, self._most = ray, start, most
        self._job, self._limit_s, self._hear = job, limit_s, hear
        self._waiting: Waiting[_RayCase] = Waiting(map(_RayCase, parts), most)
        self._actors: list[_Actor] = []
        self._lost_at_start = 0
        """In a row."""
        self._without_since = time.monotonic()
        """Since when no actor has been there that has begun."""

    def commits(self) -> Iterator[Commit]:
        """Each part's commit. It ends: each death brings a part, or the run, nearer to being given up."""
        while len(self._waiting) or any(actor.tasks for actor in self._actors):
            busy = sum(bool(actor.tasks) for actor in self._actors)
            while len(self._actors) < min(self._most, len(self._waiting) + busy):
                handle = self._start()
                self._actors.append(_Actor(handle, handle.node.remote()))
            self._require_some()
            self._hand_out()
            yield from self._listen()
            for actor in [actor for actor in self._actors if actor.tasks]:
                if time.monotonic() - actor.since > self._limit_s:
                    yield from self._bury(actor, "time limit", late=True)

    def end(self) -> None:
        """Ends all actors, whatever they are at."""
        for actor in self._actors:
            self._kill(actor)

    def _require_some(self) -> None:
        now = time.monotonic()
        if any(actor.node for actor in self._actors):
            self._without_since = now
        elif now - self._without_since > ACTOR_START_S:
            raise Interrupted(
                f"not one of {len(self._actors)} Ray actors has started in {ACTOR_START_S:g} s: the cluster has no "
                "CPU or GPU free for it; run the same command again when it has"
            )

    def _hand_out(self) -> None:
        """Every actor gets its first part before one gets its second."""
        begun = [actor for actor in self._actors if actor.node]
        nodes = {actor.node for actor in begun}
        for most in range(IN_FLIGHT):
            for actor in begun:

                def fits(case: _RayCase, node: str | None = actor.node) -> bool:
                    return node not in case.nodes or nodes <= case.nodes

                case = self._waiting.next(actor, fits)
                if case is None or len(actor.tasks) > most:
                    continue
                # What is computed clip by clip is alone with its actor: what happens then has one cause.
                if actor.tasks and (case.task.apart or any(other.task.apart for other in actor.tasks.values())):
                    continue
                self._give(actor, self._waiting.take(actor, fits))

    def _give(self, actor: _Actor, case: _RayCase) -> None:
        method, part = case.step()
        if not actor.tasks:
            actor.since = time.monotonic()
        actor.tasks[getattr(actor.handle, method).remote(part)] = case

    def _listen(self) -> Iterator[Commit]:
        heard = {reference: actor for actor in self._actors for reference in actor.tasks}
        heard |= {actor.started: actor for actor in self._actors if actor.node is None}
        done, _ = self._ray.wait(list(heard), num_returns=1, timeout=_POLL_S)
        if done:  # and with it all others: to ask costs as much as there are actors, however many answer
            done, _ = self._ray.wait(list(heard), num_returns=len(heard), timeout=0)
        self._hear()
        for reference in done:
            actor = heard[reference]
            if actor not in self._actors:
                continue  # it has been buried with all its parts
            try:
                found = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except self._ray.exceptions.RayError as error:
                yield from self._bury(actor, _cause(error), error=error)
                continue
            if reference == actor.started:
                actor.node, self._lost_at_start = found, 0
                continue
            case = actor.tasks.pop(reference)
            actor.since = time.monotonic()
            if isinstance(found, Commit):
                yield found
            else:
                del case.to_try[0]
                self._give(actor, case)

    def _bury(
        self, actor: _Actor, cause: str, *, late: bool = False, error: Exception | None = None
    ) -> Iterator[Commit]:
        self._kill(actor)
        self._actors.remove(actor)
        self._waiting.leave(actor)
        if actor.node is None:
            self._lost_at_start += 1
            if self._lost_at_start > RETRIES:
                reason = str(getattr(error, "cause", None) or error).splitlines()[-1]
                raise Interrupted(
                    f"no Ray actor can start ({reason}); see to it that every node has this flowkit, and run the same "
                    "command again"
                ) from error
        cases = list(actor.tasks.values())
        # The first one is late: it has taken that long since the one before it was done.
        blamed = cases[:1] if late else cases
        for case in reversed(cases[len(blamed) :]):
            self._waiting.bring_back(case)
        node_went = not late and bool(cases) and not self._is_there(actor.node)
        for case in reversed(blamed):
            if actor.node is not None:
                case.nodes.add(actor.node)
            if node_went and case.lost_nodes < RETRIES:
                case.lost_nodes += 1
            else:
                case.after(cause, self._limit_s if late else None)
            if case.hopeless is None:
                self._waiting.bring_back(case)
            else:
                yield commit_failed(case.part, self._job, case.hopeless)

    def _kill(self, actor: _Actor) -> None:
        with suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(actor.handle)

    def _is_there(self, node: str | None) -> bool:
        return any(found["NodeID"] == node and found["Alive"] for found in self._ray.nodes())


def _cause(error: Exception) -> str:
    """What an actor died of, as far as Ray says."""
    return "ended by Ray, its node being low on memory" if "low on memory" in str(error) else "an actor's end"

"""Orders that do not depend on each other, each answered once by some worker, whatever they do to the workers."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, cast

from flowkit.extraction.engines.crew import Crew, Death, Single
from flowkit.extraction.engines.engine import RETRIES, THEN, died, too_long

_Order = TypeVar("_Order", bound=Single)


class _Keyed(Protocol):
    @property
    def key(self) -> Any: ...


_Answer = TypeVar("_Answer", bound=_Keyed)


def dispatch(
    crew: Crew,
    orders: Sequence[_Order],
    give_up: Callable[[_Order, str], _Answer],
    processes: int,
    *,
    then: str = THEN,
    report: Callable[[int], None] | None = None,
) -> dict[Any, _Answer]:
    """The answers by the orders' keys; workers are started as they are needed, and stay.

    Args:
        orders: with different keys.
        give_up: the answer for an order that is given up, after deaths or for the time limit, and the reason.
        processes: of the crew, at most.
        then: what helps in the end, as of `died`.
        report: is told how many orders are answered, whenever one is.

    Raises:
        Interrupted: if there can be no workers, and what else a worker answers that is an exception.
    """
    found: dict[Any, _Answer] = {}
    waiting, suspects, deaths = deque(orders), deque[_Order](), Counter[Any]()

    def answer(given: _Answer) -> None:
        found[given.key] = given
        if report:
            report(len(found))

    while len(found) < len(orders):
        crew.enlist(min(processes, len(orders) - len(found)))
        for worker in crew.idle:
            if waiting:
                worker.give(waiting.popleft())
            elif suspects and not crew.busy:
                worker.give(suspects.popleft())
        for _, heard in crew.hear():
            if isinstance(heard, Exception):
                raise heard
            if isinstance(heard, Death):
                for order in cast("tuple[_Order, ...]", heard.tasks):
                    deaths[order.key] += 1
                    if heard.late or deaths[order.key] > RETRIES:
                        times, limit_s = deaths[order.key], crew.limit_s
                        reason = too_long(limit_s, then) if heard.late else died(times, heard.cause, then)
                        answer(give_up(order, reason))
                    elif deaths[order.key] < 2:
                        waiting.append(order)
                    else:  # alone: then memory is its own, and so is the blame
                        suspects.append(order)
            elif not isinstance(heard, str):
                answer(heard)
    return found

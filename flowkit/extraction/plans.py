"""Pair plans as a user writes them: what each text says, and the table of `list:FILE`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flowkit.datasets.tables import Columns, read_columns, whole_number
from flowkit.errors import InputError
from flowkit.types import Clip, fingerprint

PLANS = (
    *("onset-apex", "onset-apex:4+4 (phases)", "onset-apex-offset", "onset-all", "onset:mid16"),
    *("lag:5 (frames)", "lag:0.1s (seconds)", "lag:auto", "lag:5:4+4 (phases)"),
    *("window:30,10", "mdmd:12", "list:FILE (a CSV or Parquet file)"),
)
"""The known plans, as a user writes them."""

AUTO_LAG_S = 0.2
"""The lag of `lag:auto`. Onset phases of micro-expressions last at most 260 ms (Yan, Wu, Liang, Chen, Fu, J. Nonverbal
Behavior 37, 2013), and spotters take half of an expression's mean length: 6 frames at 30 fps, 37 at 200 (Liong, See,
Wong, SOFTNet, ICIP 2021), which is 0.2 s both times."""
MOST_PHASE = 64
"""Frames of one phase."""
_SECONDS = re.compile(r"([0-9]+\.?|[0-9]*\.[0-9]+)(e[+-]?[0-9]+)?s")
_PHASES = re.compile(r"[0-9]{1,3}(\+[0-9]{1,3})+")
_LIST = "list"
"""The role of a list's pairs that name none."""
_MOST_ROLE = 100

Kind = Literal["onset-apex", "onset-apex-offset", "onset-all", "onset-mid", "lag", "window", "mdmd", "list"]
Listed = tuple[int, int, str]
"""Of a pair in a list: frame0, frame1, role."""


@dataclass(frozen=True, slots=True)
class PairPlan:
    """A pair plan; `str(plan)` is the text that `parse_plan` reads. What a kind does not have is None."""

    kind: Kind
    lag_frames: int | None = None
    """Of `lag`, which has this or `lag_s`, and of `mdmd`."""
    lag_s: float | None = None
    middles: int | None = None
    """Of `onset-mid`: how many frames."""
    window: tuple[int, int] | None = None
    """Frames of a window, and from one to the next."""
    phases: tuple[int, ...] | None = None
    """How many frames are averaged for the onset and the apex (and the offset), or for the two frames of a lag."""
    file: Path | None = None
    """Of `list`."""
    listed: Mapping[str, tuple[Listed, ...]] = dataclasses.field(default_factory=dict, repr=False)
    """The pairs of the list by clip_id, in the file's order."""

    def __str__(self) -> str:
        return self._plain() + (f":{'+'.join(map(str, self.phases))}" if self.phases else "")

    def _plain(self) -> str:
        match self.kind:
            case "lag" if self.lag_s is not None:
                return f"lag:{repr(self.lag_s).removesuffix('.0')}s"
            case "lag" | "mdmd":
                return f"{self.kind}:{self.lag_frames}"
            case "onset-mid":
                return f"onset:mid{self.middles}"
            case "window":
                assert self.window is not None
                return f"window:{self.window[0]},{self.window[1]}"
            case "list":
                return f"list:{self.file}"
        return self.kind

    @property
    def digest(self) -> str:
        """All that decides the pairs, for the parameters of a run: the plan's text, or of a list what is in it."""
        if self.kind != "list":
            return str(self)
        return f"list:{fingerprint({clip_id: list(map(list, rows)) for clip_id, rows in self.listed.items()})[:16]}"

    def require_clips(self, clips: Iterable[Clip]) -> None:
        """Raises InputError where a list has pairs of a clip that there is not."""
        unknown = sorted(set(self.listed) - {clip.clip_id for clip in clips})
        if unknown:
            more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
            raise InputError(
                f"{self.file} has pairs of clip {unknown[0]!r}{more}, which is not in the source; remove them"
            )


def parse_plan(text: str) -> PairPlan:
    """The plan that a text names.

    Raises:
        InputError: that lists the known plans; for a list, as `read_columns`, or for a row that is no pair.
    """
    kind, _, rest = text.partition(":")
    if kind == "list" and rest:
        path = Path(rest).absolute()
        return PairPlan("list", file=path, listed=_read_list(path))
    base, _, last = text.rpartition(":")
    phases = tuple(map(int, last.split("+"))) if base and _PHASES.fullmatch(last) else None
    plan = _parse_plain(base if phases else text)
    if plan is None or (phases and not _fit(plan, phases)):
        raise InputError(
            f"pair plan {text!r} is unknown; choose one of {', '.join(PLANS)}; a lag is above 0, phases are of 1 to "
            f"{MOST_PHASE} frames, two of onset-apex or a lag, three of onset-apex-offset, and no longer than the lag"
        )
    return dataclasses.replace(plan, phases=phases) if phases else plan


def _parse_plain(text: str) -> PairPlan | None:
    kind, _, rest = text.partition(":")
    match kind:
        case "onset-apex" | "onset-apex-offset" | "onset-all" if kind == text:
            return PairPlan(kind)
        case "onset" if re.fullmatch(r"mid[1-9][0-9]{0,3}", rest):
            return PairPlan("onset-mid", middles=int(rest[3:]))
        case "window" if found := re.fullmatch(r"([0-9]{1,9}),([0-9]{1,9})", rest):
            frames, step = int(found[1]), int(found[2])
            return PairPlan("window", window=(frames, step)) if frames > 1 and step > 0 else None
        case "lag" if rest == "auto":
            return PairPlan("lag", lag_s=AUTO_LAG_S)
        case "lag" if _SECONDS.fullmatch(rest) and 0 < float(rest[:-1]) < 1e6:
            return PairPlan("lag", lag_s=float(rest[:-1]))
        case "lag" | "mdmd" if re.fullmatch(r"[0-9]{1,9}", rest) and int(rest) > 0:
            return PairPlan(kind, lag_frames=int(rest))
    return None


def _fit(plan: PairPlan, phases: tuple[int, ...]) -> bool:
    """Whether a plan takes phases of so many frames."""
    counts = {"onset-apex": 2, "onset-apex-offset": 3, "lag": 2}
    return (
        len(phases) == counts.get(plan.kind)
        and all(1 <= count <= MOST_PHASE for count in phases)
        and max(phases) > 1
        and (plan.kind != "lag" or plan.lag_frames is None or plan.lag_frames >= lag_room(phases))
    )


def lag_room(phases: tuple[int, ...]) -> int:
    """The least lag at which the two phases of a lag share no frame."""
    return phases[0] // 2 + (phases[1] - 1) // 2 + 1


def _read_list(path: Path) -> dict[str, tuple[Listed, ...]]:
    required = ("clip_id", "frame0", "frame1")
    table = read_columns(path, required, (*required, "role"))
    clip_ids = table.texts("clip_id")
    frames0, frames1 = (_whole(table, name) for name in ("frame0", "frame1"))
    roles = table.convert("role", _role) if "role" in table.cells else [None] * len(clip_ids)
    pairs: dict[str, dict[Listed, None]] = {}
    for i, (clip_id, frame0, frame1, role) in enumerate(zip(clip_ids, frames0, frames1, roles, strict=True)):
        assert clip_id is not None
        of_clip = pairs.setdefault(clip_id, {})
        if (pair := (frame0, frame1, role or _LIST)) in of_clip:
            raise InputError(f"{table.where(i)}: the pair {pair[2]} {frame0}, {frame1} occurs twice; keep one")
        of_clip[pair] = None
    if not pairs:
        raise InputError(f"{path} has no pairs; give a row for each")
    return {clip_id: tuple(found) for clip_id, found in pairs.items()}


def _whole(table: Columns, name: str) -> list[int]:
    column = table.convert(name, whole_number)
    assert None not in column  # a required cell is never empty
    return column  # type: ignore[return-value]


def _role(where: str, column: str, text: str) -> str:
    if not text.isprintable() or len(text) > _MOST_ROLE:
        raise InputError(f"{where}: {column}={text[:40]!r}; give a line of at most {_MOST_ROLE} printable characters")
    return text

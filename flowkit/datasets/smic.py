"""SMIC-HS (Li et al. 2013): 164 clips of 16 subjects at 100 frames a second, without apexes or action units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from flowkit.datasets.contract import Dataset, Row
from flowkit.datasets.emotions import emotion_name


def _read(row: Row, _: object) -> None:
    row.expression = "micro"
    row.texts["class"] = emotion_name(row.texts["emotion"])


def _locate(placed: Sequence[tuple[Row, Mapping[int, str]]]) -> None:
    """Frames are named by the clock (image17581039): a row's number is such a name, or counts from FirstF.

    What counts from FirstF becomes the number of the file at that place; outside of the folder, or where files before
    it are missing, it stays, and fails. Numbers of which one lies between the files' are names; one that is missing
    fails, and none takes its place. Where most clips' names have gaps, so goes the clock on, and no file is missing.
    """
    gaps = [_gaps(sorted(names)) for _, names in placed]
    clock = 2 * sum(map(bool, gaps)) > len(gaps)
    for (row, names), found in zip(placed, gaps, strict=True):
        _locate_row(row, names, found, clock)


def _locate_row(row: Row, names: Mapping[int, str], gaps: Sequence[tuple[int, int]], clock: bool) -> None:
    frames = {name: frame for name in ("onset", "offset") if (frame := row.frames[name]) is not None}
    first = row.texts.get("first", "")
    numbers = sorted(names)
    named = not first.isdecimal() or any(numbers[0] <= frame <= numbers[-1] for frame in frames.values())
    if not named:
        if not all(0 <= frame - int(first) < len(numbers) for frame in frames.values()):
            return
        frames = {name: numbers[frame - int(first)] for name, frame in frames.items()}
    begin = min(frames.values(), default=0) if named else numbers[0]
    crossed = [gap for gap in gaps if begin <= gap[0] and gap[1] <= max(frames.values(), default=0)]
    if not crossed or named or clock:
        row.frames.update(frames)
    if not crossed or (named and clock):
        return
    before, behind = (names[number] for number in crossed[0])
    where = f"between {before} and {behind}" + (", and elsewhere" if len(crossed) > 1 else "")
    if clock:
        row.note("filename", f"the clock skips {where}, as in most clips", "onset and offset are counted by files")
        return
    uncounted = "onset and offset are not counted past them: bring them back, or repair both to numbers of names"
    row.note("filename", f"{row.folder} lacks files {where}", "kept" if named else uncounted, failed=True)


def _gaps(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """The names between which files are missing: where those of a folder go on in equal steps but for larger ones."""
    times = [_hundredths(number) for number in numbers]
    if times != sorted(set(times)):  # no clock's
        times = list(numbers)
    steps = [after - before for before, after in pairwise(times)]
    usual = min(steps, default=1)
    larger = [pair for pair, step in zip(pairwise(numbers), steps, strict=True) if step > usual]
    return larger if 2 * len(larger) < len(steps) and all(step % usual == 0 for step in steps) else []


def _hundredths(name: int) -> int:
    """The time of a name in hundredths of a second: 17585999 is a minute's last, and 17590000 follows."""
    minutes, rest = divmod(name, 10_000)
    hours, minutes = divmod(minutes, 100)
    return (hours * 60 + minutes) * 6000 + rest


SMIC = Dataset(
    name="smic",
    title="SMIC-HS",
    columns={
        "subject": ("subject",),
        "filename": ("filename",),
        "onset": ("onsetf", "onset"),
        "offset": ("offsetf", "offset"),
        "emotion": ("emotion",),
        "first": ("firstf",),
    },
    required=("subject", "filename", "onset", "offset", "emotion", "first"),
    subject=("s?0*([0-9]+)", "s{:02d}"),
    folders=("HS/{subject}/micro/{class}/{filename}", "{subject}/micro/{class}/{filename}"),
    fps=100.0,
    emotions=frozenset({"negative", "positive", "surprise"}),
    published={"rows": (164,), "subjects": (16,)},
    notes=(
        "SMIC has no apexes: use --pairs onset-all or lag:K, or flowkit keyframes, which finds them",
        "SMIC has no action units",
    ),
    read=_read,
    locate=_locate,
)

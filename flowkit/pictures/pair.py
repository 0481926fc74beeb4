"""One pair as a picture: its frames, the flow as a colour wheel, the strain as heat.

flowkit.pictures.pair.render("out", "sub01/EP02_01f", "picture.png")
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from flowkit.errors import FlowkitError, FrameError, InputError, OutputError
from flowkit.frames import open_source
from flowkit.frames.prepare import prepare, warp
from flowkit.output.parquet import read_schema
from flowkit.output.plan_file import read_plan
from flowkit.output.quality import quality_line
from flowkit.output.shard import ShardSet, as_numpy, read
from flowkit.output.store import Place
from flowkit.pictures.canvas import (
    FAINT,
    INK,
    MARGIN,
    PAPER,
    Picture,
    blank,
    fit,
    paste,
    require_format,
    text_width,
    write_picture,
    write_text,
)
from flowkit.pictures.colours import colour_wheel, flow_to_rgb, strain_to_rgb
from flowkit.pictures.cuts import is_cut
from flowkit.types import Box

_PANEL_HEIGHTS = (288, 512)
_WIDEST = 4000  # two in a row are within what JPEG and WebP can hold
_NARROWEST = 190  # room for the wheel and its text
_NARROWEST_BAR = 110  # and for the numbers at its ends
_TOP = 104


@dataclass(frozen=True, slots=True)
class PairView:
    """What a picture of one pair shows. `frames` are (h, w, 3) RGB with their labels; empty where they are gone."""

    title: str
    subtitle: str
    caption: str
    frames: tuple[tuple[str, Picture], ...]
    flow: NDArray[np.float32]
    strain: NDArray[np.float32]
    quality: str = ""
    """A line under the panels; empty where the output has none."""


def compose(pair: PairView, scale_px: float | None = None) -> Picture:
    """Frames, flow and strain side by side (wide ones in two rows) on paper, with titles, scales and a caption.

    The flow is coloured up to `scale_px`, or to its own peak. Returns (height, width, 3) uint8 RGB.
    """
    peak_px = scale_px or _robust_peak(np.hypot(pair.flow[0], pair.flow[1]))
    peak_strain = _robust_peak(pair.strain)
    flow = flow_to_rgb(pair.flow, peak_px or None)
    strain = strain_to_rgb(pair.strain, peak_strain or None)
    tall, wide = pair.strain.shape
    height = max(1, min(int(np.clip(tall, *_PANEL_HEIGHTS)), _WIDEST * tall // wide))
    panels = [(label, fit(panel, height)) for label, panel in (*pair.frames, ("flow", flow), ("strain", strain))]
    width = panels[-1][1].shape[1]
    columns = 2 if width > 1.4 * height else len(panels)
    rows = len(panels) // columns
    step_x, step_y = max(width, _NARROWEST) + MARGIN, height + 34

    texts = (
        (pair.title, 19, INK, 36),
        (pair.subtitle, 13, FAINT, 62),
        (pair.quality, 12, INK, -33),
        (pair.caption, 12, FAINT, -16),
    )
    widest = max(text_width(text, px) for text, px, *_ in texts)
    canvas = blank(_TOP + rows * step_y + 70, MARGIN + max(columns * step_x, widest + MARGIN))
    for text, px, ink, baseline in texts:
        write_text(canvas, text, MARGIN, baseline % canvas.shape[0], px=px, ink=ink)
    for i, (label, panel) in enumerate(panels):
        x, y = MARGIN + i % columns * step_x, _TOP + i // columns * step_y
        write_text(canvas, label, x, y - 9, px=13)
        paste(canvas, panel, x, y)
        if label == "flow":
            _draw_wheel(canvas, x, y + height + 8, f"{'scale' if scale_px else 'peak'} {peak_px:.3g} px")
        if label == "strain":
            _draw_bar(canvas, x, y + height + 12, max(width, _NARROWEST_BAR), peak_strain)
    return canvas


def _robust_peak(values: NDArray[Any]) -> float:
    # A few wild pixels at the border must not wash out the face.
    return float(np.percentile(values, 99.5)) or float(values.max())


def _draw_wheel(canvas: Picture, x: int, y: int, scale: str) -> None:
    side = 48
    canvas[y : y + side, x : x + side] = colour_wheel(side, PAPER)
    write_text(canvas, scale, x + side + 12, y + 21, px=13)
    write_text(canvas, "hue: direction", x + side + 12, y + 41, px=12, ink=FAINT)


def _draw_bar(canvas: Picture, x: int, y: int, width: int, peak: float) -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, width), (12, width))
    canvas[y : y + 12, x : x + width] = strain_to_rgb(ramp, 1.0)
    write_text(canvas, "0", x, y + 33, px=13)
    write_text(canvas, f"{peak:.3g}", x + width, y + 33, px=13, right=True)


def render(
    out: str | Place, clip_id: str | None, picture: Path, index: int | None = None, *, scale_px: float | None = None
) -> Path:
    """Draw one computed pair of an extraction's output into a picture, and return its path.

    Args:
        out: the output folder of an extraction.
        clip_id: the clip; None for all clips.
        picture: where the picture goes; its suffix says how, see `flowkit.pictures.canvas.FORMATS`.
        index: which of the clip's computed pairs, in plan order from 0; by default that of `liveliest_pair`.
        scale_px: length of the most saturated flow, so that pictures can be compared; by default the pair's own.

    The frames are read from where they were when the plan was made, cropped and resized as for the flow; where they
    are gone, the picture says so and shows flow and strain alone.

    Raises:
        InputError: if there is no such clip, or no such pair of it, or for another suffix or scale.
        OutputError: if `out` is no sound output, or the picture cannot be written.
    """
    picture = Path(picture)
    require_format(picture)
    if scale_px is not None and not 0 < scale_px < np.inf:
        raise InputError(f"scale_px={scale_px}: give a number of pixels above 0")
    shards = read(out)
    places = _places(shards, clip_id)
    if index is None:
        index = _liveliest(shards, places).index
    if not 0 <= index < len(places):
        raise InputError(f"pair {index}: {clip_id or out} has {len(places)} pairs, numbered from 0")
    shard, row = places[index]
    table = shards.shard(shard)
    record = table.drop_columns("cube").slice(row, 1).to_pylist()[0]
    write_picture(picture, compose(_pair_view(shards, record, as_numpy(table["cube"])[row]), scale_px))
    return picture


@dataclass(frozen=True, slots=True)
class Liveliest:
    """The pair that moves most, as its number among the clip's computed pairs in plan order, from 0."""

    index: int
    cuts: tuple[int, ...]
    """Those that would come before it, but look like scene cuts."""


def liveliest_pair(out: str | Place, clip_id: str | None) -> Liveliest:
    """The pair of a clip (None: of all) that moves most, by the 99th percentile of its motion.

    Pairs whose frames show different scenes (`flowkit.pictures.cuts.is_cut`) are passed over, unless there is no other.
    Raises as `render`.
    """
    shards = read(out)
    return _liveliest(shards, _places(shards, clip_id))


def _places(shards: ShardSet, clip_id: str | None) -> list[tuple[int, int]]:
    """(shard, row) of every computed pair of a clip, in plan order."""
    places: list[tuple[int, int]] = []
    known: dict[str, None] = {}
    for shard in range(len(shards.paths)):
        clips = shards.shard(shard, ["clip_id"])["clip_id"].to_pylist()
        known.update(dict.fromkeys(clips))
        places += [(shard, row) for row, clip in enumerate(clips) if clip_id in (None, clip)]
    if places:
        return places
    failed = [row for row in shards.failures().to_pylist() if clip_id in (None, row["clip_id"])]
    if failed:
        raise InputError(
            f"{clip_id or shards.folder} has no computed pair to draw; the first error is: {failed[0]['error']}"
        )
    some = ", ".join(list(known)[:5]) + (", ..." if len(known) > 5 else "")
    raise InputError(f"{shards.folder} has no clip {clip_id!r}; it has {len(known)}: {some or 'none'}")


def _gains(shards: ShardSet, shard: int) -> list[float | None]:
    """The gain of each pair's quality; None in outputs of versions that have none."""
    if "quality" not in read_schema(shards.paths[shard]).names:
        return [None] * shards.shard(shard, ["pair_id"]).num_rows
    found = shards.shard(shard, ["quality"])["quality"].to_pylist()
    return [None if quality is None else quality["gain"] for quality in found]


def _liveliest(shards: ShardSet, places: list[tuple[int, int]]) -> Liveliest:
    if len(places) == 1:
        return Liveliest(0, ())
    motion: dict[int, float] = {}
    torn: set[int] = set()
    for shard in sorted({shard for shard, _ in places}):
        cubes, gains = shards.cubes(shard), _gains(shards, shard)
        for index, (where, row) in enumerate(places):
            if where == shard:
                flow = cubes[row][:2].astype(np.float32)
                motion[index] = float(np.percentile(np.hypot(flow[0], flow[1]), 99))
                if is_cut(flow, gains[row]):
                    torn.add(index)
    order = sorted(motion, key=lambda index: (-motion[index], index))
    chosen = next((index for index in order if index not in torn), order[0])
    return Liveliest(chosen, tuple(order[: order.index(chosen)]))


def _pair_view(shards: ShardSet, row: dict[str, Any], cube: NDArray[Any]) -> PairView:
    height, width = cube.shape[1:]
    frames, missing = _frames(shards.folder, row, (height, width))
    names = ("dataset", "subject", "emotion", "au")  # no label of the person, whose source is too long to stand here
    labels = [f"{'AU' if name == 'au' else name} {row[name]}" for name in names if row[name]]
    rate = [f"{row['fps']:g} fps"] if row["fps"] else []
    run = shards.metadata
    made = [
        f"flowkit {run['versions']['flowkit']}",
        f"preset {run['preset']}",
        f"parameters {run['parameters_hash'][:8]}",
        f"{width} x {height} px",
        f"{row['iterations']} iterations",
    ]
    return PairView(
        title=row["clip_id"],
        subtitle="   ".join([f"frames {_side(row, 0)} to {_side(row, 1)} ({row['role']})", *rate, *labels]),
        caption="   ".join([*made, *missing]),
        frames=frames,
        flow=cube[:2].astype(np.float32),
        strain=cube[2].astype(np.float32),
        quality=f"quality   {quality_line(row['quality'])}" if row.get("quality") else "",
    )


def _side(row: dict[str, Any], which: int) -> str:
    """A frame's number, with those that were averaged in its place."""
    phase = row.get(f"frames{which}")
    return f"{row[f'frame{which}']}" + (f" (mean of {phase[0]}..{phase[-1]})" if phase else "")


def _frames(
    out: Place, row: dict[str, Any], size: tuple[int, int]
) -> tuple[tuple[tuple[str, Picture], ...], list[str]]:
    """The pair's frames as the solver saw them, but in colour; or none, and a remark that says so."""
    planned = next(iter(read_plan(out).filter(pc.field("pair_id") == row["pair_id"]).to_pylist()), None)
    if planned is None:
        raise OutputError(f"{out}: its plan has no pair {row['pair_id']}; flowkit verify says what to do")
    box = Box(**row["box"]) if row["box"] else None
    numbers = (row["frame0"], row["frame1"])
    frames = {}
    try:
        source = open_source(planned["source"], frame_base=planned["frame_base"])
        for number, frame in source.read(numbers, colour=True):
            if isinstance(frame, FrameError):
                raise frame
            cut = warp(frame, tuple(row["transform"]), size) if row["transform"] else prepare(frame, box, size)
            frames[number] = cut.astype(np.uint8, copy=False)
    except FlowkitError:
        return (), ["without its frames: they are gone from where they were"]
    return tuple((f"frame {number}", frames[number]) for number in numbers), []

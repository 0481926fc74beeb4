"""Grad-CAM (Selvaraju et al., ICCV 2017) of a run's networks on the rows that each has held out: Figures 3 and 4.

Each row is explained by the network that had not seen its person, for the class that the run predicted, on the last
stage of a backbone. The maps are captum's. Maps are averaged over the rows of a person first and then over people, so
that who has many clips counts once. A row in which nothing speaks for the class has no map, and no part in any mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from captum.attr import LayerAttribution, LayerGradCam
from numpy.typing import NDArray
from torch import nn

from flowkit.errors import InputError
from trainer.comparison import read_finished
from trainer.data import load
from trainer.folds import Fold
from trainer.inputs import Inputs
from trainer.run import division, folds_of
from trainer.run_folder import RunFolder
from trainer.samples import Samples, shuffle_labels
from trainer.saved import config_of, load_trained
from trainer.types import CLASSES

Maps = NDArray[np.float64]
SIDE = 56
"""Maps are kept at this size."""
FEW_PLACES = 4
"""A stage with fewer on a side tells little more apart than halves of the face."""
BATCH = 16

REGIONS: dict[str, tuple[float, float, float, float]] = {
    "brows (AU 1, 2, 4)": (0.10, 0.18, 0.90, 0.38),
    "eyes and cheeks (AU 5, 6, 7)": (0.10, 0.38, 0.90, 0.55),
    "nose (AU 9, 10)": (0.30, 0.50, 0.70, 0.68),
    "mouth (AU 12, 14, 15)": (0.20, 0.65, 0.80, 0.84),
    "chin (AU 17, 26)": (0.30, 0.84, 0.70, 1.00),
}
"""Left, top, right, bottom as shares of a crop that the face fills. Boxes of an average face, not of landmarks."""

SUMMARY = pa.schema(
    [(name, pa.string()) for name in ("group", "emotion", "measure")]
    + [(name, pa.int64()) for name in ("people", "rows", "empty")]
    + [(name, pa.float64()) for name in ("mean", "low", "high")]
)


@dataclass(frozen=True, slots=True)
class Explained:
    """The maps of a run's rows, (n, SIDE, SIDE), each summing to 1, or NaN where nothing speaks for the class."""

    samples: Samples
    maps: Maps
    predicted: NDArray[np.int64]
    fold_of: NDArray[np.int64]
    backdrop: NDArray[np.float64]
    """(n, SIDE, SIDE, 3) from 0 to 1: the apex frame where the backbone reads it, else strain."""
    places: int
    """On the shorter side of the stage: what the maps can tell apart."""

    @property
    def empty(self) -> NDArray[np.bool_]:
        """(n,): nothing speaks for the class."""
        return np.isnan(self.maps[:, 0, 0])


def explain(run: Path, shards: Path | None = None, *, picture: bool = False) -> Explained:
    """The maps of all rows of a finished run that has its weights.

    Args:
        shards: what it was trained on; None for where the run says it was.
        picture: explain the backbone that reads the apex frame instead of the one that reads the cube.

    Raises:
        InputError: for a model without such a backbone, for one whose last stage has a single place, and for shards
            that do not hold what the run was trained on.
        OutputError: where the run is not finished, or a fold's weights were not saved.
    """
    samples, folds = _trained_on(run, shards)
    maps, fold_of, places = np.zeros((len(samples), SIDE, SIDE)), np.zeros(len(samples), dtype=np.int64), SIDE
    finished = read_finished(run)
    said = dict(zip(finished.pair_id, finished.predicted, strict=True))
    predicted = np.array([said[pair] for pair in samples.pair_id], dtype=np.int64)
    for fold in folds:
        trained = load_trained(run, fold.index)
        assert isinstance(trained.model, nn.Module)
        layer = last_layer(trained.model, picture)
        inputs = Inputs(samples, fold.held_out, trained.normalise, torch.device("cpu"))
        for numbers in torch.arange(len(inputs)).split(BATCH):
            rows = fold.held_out[numbers.numpy()]
            cubes, rgb = inputs.batch(numbers)
            maps[rows], here = _maps(trained.model, layer, cubes, rgb, predicted[rows])
            places = min(places, here)
        fold_of[fold.held_out] = fold.index
    return Explained(samples, maps, predicted, fold_of, _backdrops(samples, picture), places)


def _trained_on(run: Path, shards: Path | None) -> tuple[Samples, list[Fold]]:
    """The samples and the folds of the run, to the bit: of others, fold 3 may have trained on whom it would explain."""
    record = RunFolder(run).record()
    config, out = config_of(record), shards or Path(record["input"]["shards"])
    if config.target != "emotion3":
        raise InputError(f"{run}: its target is {config.target}; maps are of emotions")
    if config.model == "svc":
        raise InputError(f"{run}: model='svc' is no network and has no layers to explain; give a run of a network")
    samples = load(out, config)
    if config.shuffle_labels:
        samples = shuffle_labels(samples, config.seed)
    folds = folds_of(samples, config)
    if samples.digest() != record["samples_sha256"] or division(folds) != record["folds"]:
        raise InputError(f"{out}: does not hold what {run} was trained on; give the output that it was, by --shards")
    return samples, folds


def last_layer(model: nn.Module, picture: bool) -> nn.Module:
    """The last stage of the backbone that reads the cube, or of the one that reads the apex frame."""
    if picture and not getattr(model, "rgb", False):
        raise InputError("this model reads no apex frame; leave out --picture")
    if not picture and getattr(model, "rgb", False) and getattr(model, "shared", False):
        raise InputError("one backbone reads the cube and then the apex frame, whose map is left; add --picture")
    names = ("ethnicity_backbone",) if picture else ("emotion_backbone", "backbone")
    backbone: Any = next((getattr(model, name) for name in names if hasattr(model, name)), None)
    stage = getattr(backbone, "layer4", None) or (backbone.stages[-1] if hasattr(backbone, "stages") else None)
    if isinstance(stage, nn.Module):
        return stage
    raise InputError(f"{type(model).__name__} has no layer4; Grad-CAM is for ResNets, and TinyViT with --picture")


def _maps(
    model: nn.Module, layer: nn.Module, cubes: torch.Tensor, rgb: torch.Tensor | None, classes: NDArray[np.int64]
) -> tuple[Maps, int]:
    """The maps of a batch for these classes, as `Explained` has them, and the places on the stage's shorter side."""
    forward: Callable[..., torch.Tensor] = lambda c, r=None: model(c, r).prediction  # noqa: E731
    given = cubes if rgb is None else (cubes, rgb)
    found = LayerGradCam(forward, layer).attribute(given, target=torch.from_numpy(classes), relu_attributions=True)
    places = min(found.shape[-2:])
    if places < 2:
        raise InputError(
            f"size={cubes.shape[-1]}: the last stage has one place, so every map is even; train with a --size of 128 "
            "or more, which has 4 x 4"
        )
    scaled = LayerAttribution.interpolate(found, (SIDE, SIDE), "bilinear")[:, 0].detach().double().numpy()
    total = scaled.sum(axis=(1, 2), keepdims=True)
    maps: Maps = np.divide(scaled, total, out=np.full_like(scaled, np.nan), where=total > 0)
    return maps, places


def _backdrops(samples: Samples, picture: bool) -> NDArray[np.float64]:
    from trainer.data import resize, resize_rgb

    found = []
    for i in range(len(samples)):
        if picture and samples.rgb is not None:
            small = resize_rgb(np.asarray(samples.rgb[i]), (SIDE, SIDE)).transpose(1, 2, 0) / 255
        else:
            strain = resize(np.asarray(samples.cubes[i]), (SIDE, SIDE))[2]
            top = float(np.percentile(strain, 99)) or 1.0
            small = np.repeat(1 - 0.6 * np.clip(strain / top, 0, 1)[..., None], 3, axis=2)
        found.append(small)
    return np.array(found, dtype=np.float64)


def asymmetry(maps: Maps) -> NDArray[np.float64]:
    """(n,): (left - right) / (left + right) of the halves of maps (n, h, w), left as in the picture; NaN for empty."""
    half = maps.shape[2] // 2
    left, right = maps[:, :, :half].sum(axis=(1, 2)), maps[:, :, maps.shape[2] - half :].sum(axis=(1, 2))
    leaning: NDArray[np.float64] = np.divide(
        left - right, left + right, out=np.full_like(left, np.nan), where=left + right > 0
    )
    return leaning


def region_scores(maps: Maps) -> dict[str, NDArray[np.float64]]:
    """Of each region (n,): its share of the map over its share of the area; 1 for an even map, NaN for an empty one."""
    height, width = maps.shape[1:]
    scores = {}
    for name, (left, top, right, bottom) in REGIONS.items():
        rows, columns = (
            slice(round(top * height), round(bottom * height)),
            slice(round(left * width), round(right * width)),
        )
        area = (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
        scores[name] = maps[:, rows, columns].sum(axis=(1, 2)) / area
    return scores


def rows_table(found: Explained) -> pa.Table:
    """A row a pair: who, what, asymmetry, the regions' scores, and the map, SIDE x SIDE row by row.

    What is of an empty map is null.
    """
    samples = found.samples
    measures = {"asymmetry": asymmetry(found.maps), **region_scores(found.maps)}
    maps = found.maps.reshape(len(samples), -1).astype(np.float32)
    columns: dict[str, Any] = {
        "clip_id": list(samples.clip_id),
        "pair_id": list(samples.pair_id),
        "person": list(samples.people),
        "group": list(samples.group),
        "fold": found.fold_of,
        "true": [CLASSES[k] for k in samples.emotion],
        "predicted": [CLASSES[k] for k in found.predicted],
        **{name: pa.array(values, from_pandas=True) for name, values in measures.items()},
        "map": pa.array(
            [None if empty else each for each, empty in zip(maps, found.empty, strict=True)], pa.list_(pa.float32())
        ),
    }
    return pa.table(columns)


def cells(found: Explained) -> list[tuple[str, str, NDArray[np.int64]]]:
    """Group ("all" first), true emotion and rows of each panel that has rows."""
    groups = ["all", *sorted({group for group in found.samples.group if group is not None})]
    parts = []
    for group in groups:
        mine = np.array([group in ("all", name) for name in found.samples.group])
        for k, emotion in enumerate(CLASSES):
            rows = np.flatnonzero(mine & (found.samples.emotion == k))
            if len(rows):
                parts.append((group, emotion, rows))
    return parts


def by_person(values: NDArray[Any], people: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The means of `values` (n, ...) over each person's rows without NaN, (people, ...); of people who have any."""
    rows = rows[np.isfinite(values[rows].reshape(len(rows), -1)).all(axis=1)]
    who = np.asarray(people)[rows]
    return np.array([values[rows[who == name]].mean(axis=0) for name in np.unique(who)], dtype=np.float64)


def summary_table(found: Explained, *, draws: int = 2000) -> pa.Table:
    """A row for each panel and measure: the mean over people and its interval by bootstrap over them.

    `empty` counts rows without a map, `people` who have one; of one person there is no interval.
    """
    measures = {"asymmetry": asymmetry(found.maps), **region_scores(found.maps)}
    lines = []
    for group, emotion, rows in cells(found):
        for name, values in measures.items():
            means = by_person(values, found.samples.people, rows)
            low, high = None, None
            if len(means) > 1:
                draw = np.random.default_rng(0).integers(0, len(means), size=(draws, len(means)))
                low, high = np.quantile(means[draw].mean(axis=1), [0.025, 0.975]).tolist()
            lines.append(
                {
                    "group": group,
                    "emotion": emotion,
                    "measure": name,
                    "people": len(means),
                    "rows": len(rows),
                    "empty": int(found.empty[rows].sum()),
                    "mean": float(means.mean()) if len(means) else None,
                    "low": low,
                    "high": high,
                }
            )
    return pa.Table.from_pylist(lines, schema=SUMMARY)


def panels(found: Explained) -> bytes:
    """A PNG with a panel for each group (down) and emotion (across): the mean map over the mean backdrop."""
    import io

    import matplotlib as mpl
    from matplotlib.figure import Figure

    from trainer.plots import STYLE, drawable

    parts = {(group, emotion): rows for group, emotion, rows in cells(found)}
    groups = list(dict.fromkeys(group for group, _ in parts))
    with mpl.rc_context({**STYLE, "savefig.facecolor": "white"}):
        figure = Figure(figsize=(2.1 * len(CLASSES), 2.3 * len(groups)), layout="constrained")
        for row, axes_row in enumerate(figure.subplots(len(groups), len(CLASSES), squeeze=False)):
            for axes, emotion in zip(axes_row, CLASSES, strict=True):
                axes.set_axis_off()
                rows = parts.get((groups[row], emotion))
                if rows is None:
                    continue
                people, shown = found.samples.people, rows[~found.empty[rows]]
                without = "" if len(shown) == len(rows) else f", {len(rows) - len(shown)} empty"
                axes.set_title(f"{emotion}, {drawable(groups[row])}\n{len(rows)} rows{without}", size=8)
                if not len(shown):
                    continue
                mean = by_person(found.maps, people, shown).mean(axis=0)
                axes.imshow(by_person(found.backdrop, people, shown).mean(axis=0), extent=(0, 1, 1, 0))
                axes.imshow(mean, cmap="inferno", alpha=0.55, extent=(0, 1, 1, 0), interpolation="bilinear")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()

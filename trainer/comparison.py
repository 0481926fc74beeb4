"""Finished runs side by side: mean and spread over seeds, and paired tests between choices.

Two runs are a pair where they predict the same pairs of the same people. What is swapped in the test are people, with
all that a run says about them (trainer/statistics.py), in all seeds at once; of several seeds the means are tested.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flowkit.errors import InputError, OutputError
from trainer.run_folder import METRICS, PREDICTIONS, RunFolder
from trainer.statistics import STATISTICS, counts_by_person, paired_permutation
from trainer.types import CLASSES

UNIT_STATISTICS = ("binary", "macro")
"""The means over action units that metrics.json has, as trainer/protocols/cd6me.py says."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that is done, as its folder has it; rows in the order of their pair_id."""

    path: Path
    name: str
    """The folder's name; in a comparison with as many of the folders above it as tell the runs apart."""
    samples: str
    """SHA-256 (hex) of the samples, before their labels were shuffled where they were."""
    summary: dict[str, Any]
    pair_id: tuple[str, ...]
    person: tuple[str, ...]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.summary["config"]["seed"])

    @property
    def setting(self) -> dict[str, Any]:
        """What seeds of one setting have in common: the choices without the seed, the device it was, the samples."""
        choices = {name: value for name, value in self.summary["config"].items() if name != "seed"}
        return {**choices, "device": self.summary["device"], "samples_sha256": self.samples}


def read_finished(run: Path) -> Finished:
    """A run's folder; OutputError where it holds no finished run, InputError where its target is no emotion."""
    try:
        summary = json.loads((run / METRICS).read_text())
        table = pq.read_table(run / PREDICTIONS).sort_by("pair_id")
        record = RunFolder(run).record()
    except (OSError, ValueError) as error:
        raise OutputError(f"{run} holds no finished run; give a folder of flowkit-train loso that is done") from error
    if "overall" not in summary["metrics"]:
        raise InputError(f"{run}: its target is {summary['config']['target']}, and runs are compared by emotion")
    true, predicted = (
        np.array([CLASSES.index(value) for value in table[name].to_pylist()], dtype=np.int64)
        for name in ("true", "predicted")
    )
    path = run.resolve()
    return Finished(
        path,
        path.name,
        record["input"].get("unshuffled_sha256", record["samples_sha256"]),
        summary,
        tuple(table["pair_id"].to_pylist()),
        tuple(table["person"].to_pylist()),
        true,
        predicted,
    )


def compare(runs: Sequence[Finished]) -> dict[str, Any]:
    """What `flowkit-train compare` tells, ready for JSON.

    Returns:
        `runs`: each run with its scores. `settings`: runs on the same samples that differ in nothing but the seed as
        one, with mean, standard deviation (null for one run) and extremes of each score. `tests`: each later setting
        against the first.

    Raises:
        InputError: for fewer than two runs, for a folder given twice, and for one seed twice in a setting.
    """
    if len(runs) < 2 or len({run.path for run in runs}) < len(runs):
        raise InputError(f"{len(runs)} runs: give at least two different folders")
    runs = told_apart(runs)
    settings: list[list[Finished]] = []
    for run in runs:
        same = next((setting for setting in settings if setting[0].setting == run.setting), None)
        settings.append([run]) if same is None else same.append(run)
    for setting in settings:
        _require_seeds(setting)
    return {
        "runs": [_row(run) for run in runs],
        "settings": [_setting(setting, settings[0][0]) for setting in settings],
        "tests": [paired_test(settings[0], setting) for setting in settings[1:]],
    }


def told_apart(runs: Sequence[Finished]) -> list[Finished]:
    """The runs with names that differ: the shortest ends of their paths that do."""
    length = 1
    while len({run.path.parts[-length:] for run in runs}) < len(runs):
        length += 1
    return [replace(run, name=str(Path(*run.path.parts[-length:]))) for run in runs]


def _require_seeds(setting: Sequence[Finished]) -> None:
    first: dict[int, Finished] = {}
    for run in setting:
        if (twin := first.setdefault(run.seed, run)) is not run:
            raise InputError(
                f"{twin.name} and {run.name} are of one setting and have one seed ({run.seed}): the same run twice; "
                "leave one out"
            )


def _row(run: Finished) -> dict[str, Any]:
    config, overall = run.summary["config"], run.summary["metrics"]["overall"]
    scores = {
        name: {"value": overall[name], **{end: overall["intervals"][name][end] for end in ("low", "high")}}
        for name in STATISTICS
    }
    told = {"run": run.name, "model": config["model"], "seed": run.seed, "slips": config["slips"]}
    return {**told, "n": overall["n"], **scores}


def _setting(runs: Sequence[Finished], first: Finished) -> dict[str, Any]:
    overall = [run.summary["metrics"]["overall"] for run in runs]
    differs = {key: value for key, value in runs[0].setting.items() if value != first.setting.get(key)}
    return {
        "runs": [run.name for run in runs],
        "model": runs[0].summary["config"]["model"],
        "seeds": [run.seed for run in runs],
        "slips": runs[0].setting["slips"],
        "differs": differs,
        **{name: _spread([scores[name] for scores in overall]) for name in STATISTICS},
    }


def _spread(scores: Sequence[float]) -> dict[str, float | None]:
    values = np.array(scores)
    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    extremes = {"lowest": float(values.min()), "highest": float(values.max())}
    return {"mean": float(values.mean()), "sd": deviation, **extremes}


def unit_seeds(runs: Sequence[Path]) -> dict[str, Any]:
    """What `compare` tells, of the seeds of one setting whose target is action units: their mean F1, without a test."""
    summaries = [json.loads((run / METRICS).read_text()) for run in runs]
    config = summaries[0]["config"]
    about = {"model": config["model"], "slips": config["slips"]}
    units = [summary["metrics"]["units"] for summary in summaries]
    seeds = [summary["config"]["seed"] for summary in summaries]
    rows = [
        {
            **about,
            "run": run.name,
            "seed": seed,
            "n": scores["n"],
            **{name: {"value": scores[name], "low": None, "high": None} for name in UNIT_STATISTICS},
        }
        for run, seed, scores in zip(runs, seeds, units, strict=True)
    ]
    setting = {
        **about,
        "runs": [run.name for run in runs],
        "seeds": seeds,
        "differs": {},
        **{name: _spread([scores[name] for scores in units]) for name in UNIT_STATISTICS},
    }
    return {"runs": rows, "settings": [setting], "tests": []}


def paired_test(first: Sequence[Finished], second: Sequence[Finished]) -> dict[str, Any]:
    """The mean of the second setting's seeds less that of the first's, of every score, with two-sided p by people.

    Where they are no pair `p` is null, and `why` says why: other rows, or other numbers of seeds.
    """
    told: dict[str, Any] = {"first": [run.name for run in first], "second": [run.name for run in second]}
    told["slips"] = sorted({slip for run in (first[0], second[0]) for slip in run.setting["slips"]})
    if any((run.pair_id, run.person) != (first[0].pair_id, first[0].person) for run in [*first, *second]):
        return {**told, "p": None, "why": "the runs do not predict the same pairs of the same people"}
    if len(first) != len(second):
        return {**told, "p": None, "why": f"{len(first)} and {len(second)} seeds: give as many of each"}
    counts = [_counts(setting) for setting in (second, first)]
    if (counts[0].sum(axis=3) != counts[1].sum(axis=3)).any():
        return {**told, "p": None, "why": "the runs have other labels, as one with shuffled labels has"}
    tests = {name: paired_permutation(counts[0], counts[1], statistic) for name, statistic in STATISTICS.items()}
    return {
        **told,
        "difference": {name: test[0] for name, test in tests.items()},
        "p": {name: test[1] for name, test in tests.items()},
        "people": counts[0].shape[1],
    }


def _counts(setting: Sequence[Finished]) -> NDArray[np.int64]:
    """(seeds, people, classes, classes), the lowest seed first."""
    runs = sorted(setting, key=lambda run: run.seed)
    return np.array([counts_by_person(run.true, run.predicted, run.person) for run in runs])

"""Finished runs side by side: mean and spread over seeds, and paired tests between choices.

Two runs are a pair where they predict the same pairs of the same people. What is swapped in the test are people, with
all that a run says about them, in all seeds at once, and where a network predicts several people, networks too
(trainer/statistics.py); of several seeds the means are tested.
Where a clip has several pairs, clips are scored and tested, each by the mean probabilities of its pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flowkit.errors import InputError, OutputError
from trainer.run_folder import PREDICTIONS, RunFolder, read_summary, require_one_run, seeds_in
from trainer.scores import clip_predictions, decisive
from trainer.statistics import counts_by_person, networks_of, paired_permutation, statistics_of


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that is done, as its folder has it; rows in the order of their pair_id."""

    path: Path
    name: str
    """The folder's name; in a comparison with as many of the folders above it as tell the runs apart."""
    samples: str
    """SHA-256 (hex) of the samples, before their labels were shuffled where they were."""
    weights: dict[str, str]
    """SHA-256 (hex) of the pretrained weights of each backbone that has such."""
    versions: dict[str, str | None]
    """Of what decides the numbers."""
    summary: dict[str, Any]
    pair_id: tuple[str, ...]
    person: tuple[str, ...]
    true: NDArray[np.int64]
    """(n,) class numbers, or (n, units) zeros and ones; `predicted` too."""
    predicted: NDArray[np.int64]
    fold: tuple[int, ...]
    """The fold that has predicted each row."""
    counts: NDArray[np.int64]
    """What is tested, as `trainer.statistics.counts_by_person` has it."""

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.summary["config"]["seed"])

    @property
    def setting(self) -> dict[str, Any]:
        """What seeds of one setting have in common: the choices without the seed, and all else that decides a number.

        That is the device that it was, the samples, the versions, and the pretrained weights in place of their files.
        """
        files = ("pretrained", "pretrained_rgb")
        choices = {name: value for name, value in self.summary["config"].items() if name not in ("seed", *files)}
        return {
            **choices,
            "device": self.summary["device"],
            "samples_sha256": self.samples,
            **{f"weights of {name}": digest for name, digest in self.weights.items()},
            **{f"version of {name}": version for name, version in self.versions.items()},
        }

    @property
    def scores(self) -> Mapping[str, Any]:
        """As metrics.json has them: of clips where one has several pairs, else of all rows."""
        return decisive(self.summary["metrics"])


def read_all(folders: Sequence[Path]) -> list[Finished]:
    """The runs of those folders, in place of a folder of several seeds each of them; raises as `read_finished`."""
    return [read_finished(run) for folder in folders for run in seeds_in(folder) or [folder]]


def read_finished(run: Path) -> Finished:
    """A run's folder; OutputError where it holds no finished run, or several."""
    require_one_run(run)
    try:
        summary = read_summary(run)
        table = pq.read_table(run / PREDICTIONS).sort_by("pair_id")
        record = RunFolder(run).record()
    except (OSError, ValueError) as error:
        raise OutputError(f"{run} holds no finished run; give a folder of flowkit-train loso that is done") from error
    true, predicted = (_numbers(table[name].to_pylist(), summary) for name in ("true", "predicted"))
    path, person = run.resolve(), table["person"].to_pylist()
    return Finished(
        path,
        path.name,
        record["input"].get("unshuffled_sha256", record["samples_sha256"]),
        {name: each["digest"] for name, each in record["weights"].items()},
        record["versions"],
        summary,
        tuple(table["pair_id"].to_pylist()),
        tuple(person),
        true,
        predicted,
        tuple(table["fold"].to_pylist()),
        _scored_counts(table, true, predicted, person),
    )


def _scored_counts(
    table: pa.Table, true: NDArray[np.int64], predicted: NDArray[np.int64], person: Sequence[str]
) -> NDArray[np.int64]:
    """The counts of each person's rows, or of clips where one has several rows."""
    clips = table["clip_id"].to_pylist()
    if len(set(clips)) == len(clips):
        return counts_by_person(true, predicted, person)
    probabilities = np.array(table["probabilities"].to_pylist(), dtype=np.float32)
    first, said = clip_predictions(clips, probabilities, units=true.ndim == 2)
    return counts_by_person(true[first], said, [person[i] for i in first])


def _numbers(values: Sequence[str], summary: dict[str, Any]) -> NDArray[np.int64]:
    names = summary["classes"]
    if summary["config"]["target"] == "emotion3":
        return np.array([names.index(value) for value in values], dtype=np.int64)
    return np.array([[name in value.split("+") for name in names] for value in values], dtype=np.int64)


def compare(runs: Sequence[Finished]) -> dict[str, Any]:
    """What `flowkit-train compare` tells, ready for JSON.

    Returns:
        `by`: whether pairs are scored, or clips. `runs`: each run with its scores. `settings`: runs on the same samples
        that differ in nothing but the seed as one, with mean, standard deviation (null for one run) and extremes of
        each score; what `differs` from the first, and what that has `instead`. `tests`: each later setting against the
        first.

    Raises:
        InputError: for fewer than two runs, for a folder given twice, for one seed twice in a setting, and for runs of
            several targets.
    """
    if len(runs) < 2:
        raise InputError(f"{len(runs)} run: give at least two")
    for number, run in enumerate(runs):
        if run.path in [earlier.path for earlier in runs[:number]]:
            raise InputError(f"{run.path}: is given twice; leave it out once, or give another run")
    runs = told_apart(runs)
    for run in runs:
        _require_target(run, runs[0])
    settings: list[list[Finished]] = []
    for run in runs:
        same = next((setting for setting in settings if setting[0].setting == run.setting), None)
        settings.append([run]) if same is None else same.append(run)
    for setting in settings:
        _require_seeds(setting)
    return {
        "by": "clip" if any(run.summary["metrics"].get("by_clip") for run in runs) else "pair",
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


def _require_target(run: Finished, first: Finished) -> None:
    targets = [each.summary["config"]["target"] for each in (first, run)]
    if targets[0] != targets[1]:
        raise InputError(
            f"{first.name} has the target {targets[0]} and {run.name} {targets[1]}: no score is of both; give runs of "
            "one target"
        )


def _require_seeds(setting: Sequence[Finished]) -> None:
    first: dict[int, Finished] = {}
    for run in setting:
        if (twin := first.setdefault(run.seed, run)) is not run:
            raise InputError(
                f"{twin.name} and {run.name} are of one setting and have one seed ({run.seed}): the same run twice; "
                "leave one out"
            )


def _row(run: Finished) -> dict[str, Any]:
    config, overall = run.summary["config"], run.scores
    scores = {
        name: {"value": overall[name], **{end: overall["intervals"][name][end] for end in ("low", "high")}}
        for name in statistics_of(run.true)
    }
    told = {"run": run.name, "model": config["model"], "seed": run.seed, "slips": config["slips"]}
    shown = {"shown": len(overall["shown"])} if "shown" in overall else {}
    return {**told, "n": overall["n"], **shown, **scores}


def _setting(runs: Sequence[Finished], first: Finished) -> dict[str, Any]:
    overall = [run.scores for run in runs]
    mine, before = runs[0].setting, first.setting
    differs = [key for key in before | mine if mine.get(key) != before.get(key)]
    return {
        "runs": [run.name for run in runs],
        "model": runs[0].summary["config"]["model"],
        "seeds": [run.seed for run in runs],
        "slips": runs[0].setting["slips"],
        "differs": {key: mine.get(key) for key in differs},
        "instead": {key: before.get(key) for key in differs},
        **{name: _spread([scores[name] for scores in overall]) for name in statistics_of(runs[0].true)},
    }


def _spread(scores: Sequence[float]) -> dict[str, float | None]:
    values = np.array(scores)
    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    extremes = {"lowest": float(values.min()), "highest": float(values.max())}
    return {"mean": float(values.mean()), "sd": deviation, **extremes}


def paired_test(first: Sequence[Finished], second: Sequence[Finished]) -> dict[str, Any]:
    """The mean of the second setting's seeds less that of the first's, of every score, with two-sided p.

    It is by people, and where a network predicts several by `networks` too, of which it says the number, else null.
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
    pairs = zip(_by_seed(first), _by_seed(second), strict=True)
    networks = [networks_of(one.person, one.fold, other.fold) for one, other in pairs]
    people, different = counts[0].shape[1], sum(len(set(own.tolist())) for own in networks)
    shared = networks if different < people * len(networks) else None
    tests = {
        name: paired_permutation(counts[0], counts[1], statistic, networks=shared)
        for name, statistic in statistics_of(first[0].true).items()
    }
    return {
        **told,
        "difference": {name: test[0] for name, test in tests.items()},
        "p": {name: test[1] for name, test in tests.items()},
        "people": people,
        "networks": different if shared else None,
    }


def _counts(setting: Sequence[Finished]) -> NDArray[np.int64]:
    """(seeds, people, classes, classes), or of units (seeds, people, 2 units, 2), the lowest seed first."""
    return np.array([run.counts for run in _by_seed(setting)])


def _by_seed(setting: Sequence[Finished]) -> list[Finished]:
    return sorted(setting, key=lambda run: run.seed)

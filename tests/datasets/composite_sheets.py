"""Invented sheets whose class, group and unit counts are those that were published, and indexes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowkit.datasets.composites import COMPOSITES, UNITS
from flowkit.datasets.defects import defects_path, write_defects
from flowkit.datasets.indexing import index_dataset
from flowkit.datasets.manifest import write_manifest
from flowkit.datasets.registry import DATASETS
from flowkit.datasets.sheets import read_sheets
from tests.datasets.trees import comma, frames

Rows = list[list[Any]]
CASME2 = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion", "Race"]
SAMM = ["Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Action Units"]
SAMM += ["Estimated Emotion", "RaceConcised"]
SMIC = ["Subject", "Filename", "OnsetF", "OffsetF", "Emotion", "FirstF"]
CASME3 = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
FOUR_DME = ["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs", "Positive", "Negative", "Surprise"]
FOUR_DME += ["Repression", "Others"]
MMEW = [*CASME2[:-1], "remarks"]
CASME = ["Subject", "Filename", "OnsetF", "ApexF1", "ApexF2", "OffsetF", "Action Units", "Estimated Emotion"]
WITHOUT = [("24", "EP02_07"), ("04", "EP12_01f"), ("05", "EP09_05f")]
"""What MEGC 2019 leaves out."""


def units_of(dataset: str) -> list[str]:
    """Codings of as many clips as CD6ME has of the dataset, each unit as often as it has it."""
    counts = [count for count in COMPOSITES["cd6me"].published if count.dataset == dataset and not count.people]
    clips = next(count.number for count in counts if count.unit is None)
    without = next(count.number for count in counts if count.unit == 0)
    numbers = {count.unit: count.number for count in counts if count.unit}
    coded: list[list[str]] = [[] for _ in range(clips - without)]
    turn = 0
    for unit in UNITS:
        for _ in range(numbers[unit]):
            coded[turn % len(coded)].append(f"{'L' if turn % 5 == 0 else ''}{unit}")
            turn += 1
    return ["+".join(units) for units in coded] + ["24+M58"] * without


def casme2_rows() -> Rows:
    """256 rows of 26 subjects: subject 1 has others alone, subject 2 sadness alone."""
    emotions = ["others"] * 99 + ["sadness"] * 7 + ["disgust"] * 64 + ["repression"] * 27 + ["fear"] * 2
    emotions += ["happiness"] * 32 + ["surprise"] * 25
    rows: Rows = []
    left = list(WITHOUT)
    for i, (emotion, units) in enumerate(zip(emotions, units_of("casme2"), strict=True)):
        subject = "01" if i < 5 else "02" if emotion == "sadness" else f"{3 + i % 24:02d}"
        name = f"EP{i:03d}"
        if emotion == "disgust" and left:
            subject, name = left.pop()
        rows.append([subject, name, 1, 2, 3, units, emotion, 2])
    return rows


def samm_rows() -> Rows:
    """159 rows of 29 subjects: subject 1 has others alone."""
    classes = {"Asian": (36, 1, 5), "Non-Asian": (56, 25, 10)}
    labels = [("Other", "Asian")] * 26
    for group, counts in classes.items():
        for emotion, count in zip(("Anger", "Happiness", "Surprise"), counts, strict=True):
            labels += [(emotion, group)] * count
    rows: Rows = []
    for i, ((emotion, group), units) in enumerate(zip(labels, units_of("samm"), strict=True)):
        subject = f"{1 if i < 5 else 2 + i % 28:03d}"
        rows.append([subject, f"{subject}_1_{i}", 1, 1, 2, 3, units, emotion, group])
    return rows


def smic_rows() -> Rows:
    """164 rows of 16 subjects."""
    emotions = ["negative"] * 70 + ["positive"] * 51 + ["surprise"] * 43
    return [[i % 16 + 1, f"s{i % 16 + 1}_x_{i:02d}", 1, 3, emotion, 1] for i, emotion in enumerate(emotions)]


def cd6me_rows(dataset: str, people: int) -> Rows:
    """The rows of casme, 4dme, mmew or casme3a."""
    rows: Rows = []
    for i, units in enumerate(units_of(dataset)):
        subject = i % people + 1
        if dataset == "casme":
            rows.append([subject, f"EP{i}", 1, 2, None, 3, units, "disgust"])
        elif dataset == "mmew":
            rows.append([subject, f"S{subject:02d}-01-{i:03d}", 1, 2, 3, units, "happiness", None])
        elif dataset == "casme3a":
            rows.append([f"spNO.{subject}", f"v{i}", 1, 2, 3, units, "I", "sad"])
        else:
            rows.append([f"p{subject}", f"clip{i}", "positive", "1.0", "2.0", "3.0", units, 1, 0, 0, 0, 0])
    return rows


def indexed(folder: Path, name: str, header: Sequence[str], rows: Rows) -> Path:
    """Indexes the rows over a tree in which all clips are links to one folder of frames; returns the manifest."""
    dataset = DATASETS[name]
    clip = folder / "clip"
    if not clip.exists():
        frames(clip, range(1, 4))
    file = comma(folder / f"{name}.csv", [header, *rows])
    root = folder / name
    for path in {_folder(name, dict(zip(header, row, strict=True))) for row in rows}:
        link = root / path
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(clip)
    found = index_dataset(dataset, root, read_sheets([file]))
    write_manifest(found.clips, folder / f"{name}.parquet")
    write_defects(found.defects, defects_path(folder / f"{name}.parquet"))
    return folder / f"{name}.parquet"


def _folder(name: str, row: dict[str, Any]) -> str:
    subject, file = row.get("Subject", row.get("sub_ID")), row.get("Filename", row.get("fold_name"))
    if name in ("casme", "casme2"):
        return f"sub{int(subject):02d}/{file}"
    if name == "smic":
        return f"HS/s{int(subject):02d}/micro/{row['Emotion']}/{file}"
    if name == "mmew":
        return f"Micro_Expression/happiness/{file}"
    if name == "casme3a":
        return f"part_A/{subject}/{file}/color"
    return f"gray_micro/{subject}/{file}" if name == "4dme" else f"{subject}/{file}"

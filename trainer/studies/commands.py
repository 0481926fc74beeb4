"""flowkit-train study: the commands of the studies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from flowkit.errors import InputError
from flowkit.output.files import make_folder, put_text, write_whole
from trainer.studies import prima_facie as study
from trainer.studies.people import GROUPS, Clips, labelled_clips
from trainer.studies.sampling import PAPER_SEED, PEOPLE, class_matched, draw
from trainer.studies.sources import read_source
from trainer.studies.tables import as_text, composition, emotions, sets

app = typer.Typer(no_args_is_help=True, help="The studies of Khor et al., ICMEW 2025, with controls beside them.")
Input = Annotated[Path, typer.Argument(metavar="SOURCE", help="A manifest, or an output folder of flowkit extract.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="RUN", help="Folder for tables (Parquet) and JSON.")]
Groups = Annotated[str, typer.Option(help="The two groups, in the order of drawing.")]

BOTH = ",".join(GROUPS)


@app.command(name="tables")
def tables(source: Input, output: Output, groups: Groups = BOTH, people: int = PEOPLE) -> None:
    """Tables I to III: clips and people by dataset and ethnicity, emotions by group, the prima-facie sets."""
    rows = read_source(source).rows
    clips = labelled_clips(rows, _pair(groups))
    found = {
        "I: composition": composition(rows),
        "II: emotions": emotions(rows),
        "III: prima-facie sets": sets(clips, draw(clips, people=people)),
    }
    write_study(output, {name.partition(":")[0]: table for name, table in found.items()}, {})
    for name, table in found.items():
        typer.echo(f"Table {name} (labels as in {source.name})\n{as_text(table)}\n")


@app.command(name="action-units")
def action_units(
    source: Input,
    output: Output,
    groups: Groups = BOTH,
    units: Annotated[str, typer.Option(help="Which action units, with commas.")] = "1,2,4,5,6,7,9,10,12,14,15,17,26",
    as_substring: Annotated[
        bool, typer.Option("--substring", help="Repeat the released code's slip: look for digits in the text.")
    ] = False,
) -> None:
    """Action units by group within each emotion, tested by person, with the paper's test by clip beside it."""
    from trainer.studies.action_units import parsed, substring, unit_by_group

    clips = labelled_clips(rows := read_source(source).rows, _pair(groups))
    label = {row.clip_id: row for row in rows}
    chosen = [label[clip] for clip in clips.clip_id]
    found = unit_by_group(
        [row.au for row in chosen],
        [str(row.emotion3) for row in chosen],
        clips.person,
        clips.first_group,
        _numbers(units),
        present=substring if as_substring else parsed,
    )
    if not found.num_rows:
        raise InputError(f"{source}: no clip has one of the units {units} in its column au")
    without = sum(row.au is None for row in chosen)
    how = {"groups": list(_pair(groups)), "substring": as_substring, "without_au": without}
    write_study(output, {"action-units": found}, how)
    typer.echo(f"first is {clips.groups[0]}, second {clips.groups[1]}, as {source.name} says\n{as_text(found)}")
    if without:
        typer.echo(f"\n{without} of {len(clips)} clips have no au and are left out")


@app.command(name="prima-facie")
def prima_facie(
    source: Input,
    output: Output,
    misindexed: Annotated[
        bool, typer.Option("--misindexed", help="Repeat the released code's slip; a manifest is enough then.")
    ] = False,
    classifier: Annotated[str, typer.Option(help="svc (C = 100) or forest (100 trees, seed 42).")] = "svc",
    groups: Groups = BOTH,
    people: Annotated[int, typer.Option(help="People drawn of each group; half of each for the mixed set.")] = PEOPLE,
    seed: Annotated[int, typer.Option(help="Of the draw of people.")] = PAPER_SEED,
    repeats: Annotated[int, typer.Option(help="Draws, and permutations of the labels, for the controls.")] = 20,
    pretrained: Annotated[
        str | None, typer.Option(help="ResNet-18 weights: a file, or hub. Default: random weights.")
    ] = None,
    normalise: Annotated[str, typer.Option(help="none or minmax, of each cube by itself.")] = "none",
    size: Annotated[int, typer.Option(help="Side that cubes are resized to, px.")] = 224,
    role: Annotated[str, typer.Option(help="Which pair of each clip.")] = "onset-apex",
) -> None:
    """Table IV: two classes of emotion within one group, within the other, and in a mixed set."""
    if repeats < 1 or people < 2:
        raise InputError(f"repeats={repeats}, people={people}: must be at least 1 and 2")
    if not 16 <= size <= 1024 or not 0 <= seed < 2**32:
        raise InputError(f"size={size}, seed={seed}: must be from 16 to 1024 px, and 0 or above and below 2^32")
    study.require_unfitted(normalise)
    data = read_source(source, size, role)
    if data.cubes is None and not misindexed:
        raise InputError(f"{source} is a manifest, which has no motion; give an output of flowkit extract")
    clips = labelled_clips(data.rows, _pair(groups))
    features = _features(data.cubes, data.rows, clips, pretrained, normalise)
    subsets = draw(clips, seed, people)
    kind: Any = classifier
    main = study.table(clips, features, subsets, kind, misindexed=misindexed)
    controls = {
        "always the commoner class": study.always_majority(clips, subsets),
        "the dataset alone": study.dataset_alone(clips, subsets),
    }
    unmatched: list[str] = []
    if data.cubes is not None:
        matched = class_matched(clips, subsets, seed)
        controls["classes matched"] = study.table(clips, features, matched, kind)
        unmatched = [subset.name for subset in subsets if subset.name not in {kept.name for kept in matched}]
    frame = _lines({"this run" + (", misindexed" if misindexed else ""): main, **controls})
    spread = _spread(clips, features, subsets, kind, repeats, people) if data.cubes is not None else None
    how = {
        "source": str(source),
        "misindexed": misindexed,
        "classifier": classifier,
        "groups": list(_pair(groups)),
        "people": people,
        "seed": seed,
        "repeats": repeats,
        "pretrained": pretrained,
        "normalise": normalise,
        "size": size,
        "role": role,
        "unmatched": unmatched,
        "features": "noise" if data.cubes is None else "ResNet-18",
        "paper": study.PAPER,
    }
    write_study(output, {"table": frame, **({"spread": spread} if spread else {})}, how)
    typer.echo(as_text(frame))
    if unmatched:
        typer.echo(f"\nclasses matched: {', '.join(unmatched)} left out, with 1 person or 1 class; give more --people")
    if spread:
        typer.echo(f"\nmacro F1 over {repeats} repeats\n{as_text(spread)}")
    typer.echo(_verdict(main, misindexed, data.cubes is None))


def _features(cubes: Any, rows: Any, clips: Clips, pretrained: str | None, normalise: str) -> study.Features:
    if cubes is None:
        return study.noise(len(clips))
    from trainer.studies.features import resnet18_features

    number = {row.clip_id: i for i, row in enumerate(rows)}
    return resnet18_features(cubes[[number[clip] for clip in clips.clip_id]], pretrained, normalise)


def _lines(tables: dict[str, list[study.Line]]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "what": what,
                "set": each.name,
                "people": each.people,
                "clips": each.clips,
                "negative": each.negative,
                "non-negative": each.non_negative,
                "mean": each.macro,
            }
            for what, lines in tables.items()
            for each in lines
        ]
    )


def _spread(clips: Clips, features: Any, subsets: Any, kind: Any, repeats: int, people: int) -> pa.Table:
    found = {
        "other draws of people": study.repeated(clips, features, kind, repeats, people=people),
        "other draws, classes matched": study.repeated(clips, features, kind, repeats, people=people, matched=True),
        "labels permuted": study.permuted(clips, features, subsets, kind, repeats),
    }
    return pa.Table.from_pylist(
        [
            {
                "what": what,
                "set": name,
                "repeats": len(values),
                "mean": float(values.mean()),
                "2.5 %": float(np.quantile(values, 0.025)),
                "97.5 %": float(np.quantile(values, 0.975)),
            }
            for what, by_set in found.items()
            for name, values in by_set.items()
        ]
    )


def _verdict(lines: list[study.Line], misindexed: bool, noise: bool) -> str:
    paper = list(study.PAPER.values())
    same = all(
        abs(value - printed) < 5e-5
        for each, row in zip(lines, paper, strict=True)
        for value, printed in zip((each.negative, each.non_negative), row[:2], strict=True)
    )
    if not misindexed:
        return "\nA difference between sets is a finding only where it exceeds the spread and every control above."
    what = "Features were noise: " if noise else ""
    told = "the paper's Table IV to four decimals" if same else "this table"
    return f"\n{what}{told} follows from the order of the labels alone and says nothing on motion or ethnicity."


def write_study(output: Path, tables: dict[str, pa.Table], how: dict[str, Any]) -> None:
    """Writes a study's folder: a Parquet file a table, and study.json with all tables and how they were made."""
    make_folder(output)
    for name, table in tables.items():
        write_whole(output / f"{name}.parquet", lambda path, table=table: pq.write_table(table, path))  # type: ignore[misc]
    content = {**how, "tables": {name: table.to_pylist() for name, table in tables.items()}}
    put_text(output / "study.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _pair(groups: str) -> tuple[str, str]:
    names = [name.strip() for name in groups.split(",")]
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise InputError(f"groups={groups!r}: must be two different names, as in asian,non_asian")
    return names[0], names[1]


def _numbers(units: str) -> list[int]:
    try:
        return [int(unit) for unit in units.split(",")]
    except ValueError:
        raise InputError(f"units={units!r}: must be numbers with commas between, as in 6,12") from None

"""flowkit-train study: the commands that read finished runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from flowkit.output.files import put
from trainer.run_folder import GRAD_CAM
from trainer.studies.commands import Output, write_study
from trainer.studies.commands import app as app
from trainer.studies.tables import as_text


@app.command(name="table-v")
def table_v(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs of the paper's models.")
    ],
    output: Output,
) -> None:
    """Table V: the paper's four models from finished runs, beside the counts that its accuracies imply."""
    from trainer.comparison import read_all, told_apart
    from trainer.studies.table_v import table_v as table
    from trainer.studies.table_v import verdict

    found = told_apart(read_all(runs))
    rows = table(found)
    told = verdict(found)
    write_study(output, {"table": rows}, {"runs": [str(run) for run in runs], "told": told})
    typer.echo("\n".join([as_text(rows), "", *told]))


@app.command(name="grad-cam")
def grad_cam(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run with --save-weights.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Default: RUN/grad-cam, which the report shows."),
    ] = None,
    shards: Annotated[
        Path | None, typer.Option(help="The output that the run was trained on. Default: where the run says it was.")
    ] = None,
    picture: Annotated[
        bool, typer.Option("--picture", help="Explain the backbone that reads the apex frame, not the cube's.")
    ] = False,
) -> None:
    """Figures 3 and 4: Grad-CAM by emotion and group, left-right asymmetry and the scores of the face's regions."""
    from trainer.studies.grad_cam import FEW_PLACES, explain, panels, rows_table, summary_table

    folder = output or run / Path(GRAD_CAM).parent
    found = explain(run, shards, picture=picture)
    table = summary_table(found)
    about = {"run": str(run), "layer": "last stage", "places": found.places, "picture": picture}
    write_study(folder, {"summary": table}, about)
    content = rows_table(found)
    from trainer.results import as_parquet

    files = {"maps.parquet": as_parquet(content), Path(GRAD_CAM).name: panels(found)}
    for name, data in files.items():
        put(folder / name, partial(_write, data))
    typer.echo(as_text(table.slice(0, min(table.num_rows, 18))))
    if found.places < FEW_PLACES:
        many = f"{found.places} x {found.places}"
        typer.echo(f"the last stage has {many} places, and the maps tell no more apart; --size 128 has 4 x 4")
    typer.echo(f"{len(found.maps)} maps in {folder}; flowkit-train report {run} shows them")


def _write(data: bytes, path: Path) -> None:
    path.write_bytes(data)

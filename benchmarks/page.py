"""docs/benchmarks.md from the committed results: the text stays, what stands between the markers is written anew."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.claims import Claim, claims, time_per_pixel
from flowkit.bench import Measurement
from flowkit.bench.document import SCHEMA
from flowkit.bench.table import cells, headings, reference_peers

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
PICTURE = PAGE.parent / "figures" / "error-time.png"
BEGIN, END = "<!-- written by python -m benchmarks --all -->", "<!-- until here -->"


def write(page: Path = PAGE, results: Path = RESULTS) -> None:
    """Every machine's results, in the order of their files' names."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, marker, after = rest.partition(END)
    if not marker:
        raise SystemExit(f"{page} has lost its markers {BEGIN} and {END}")
    documents = [json.loads(file.read_text()) for file in sorted(results.glob("*.json"))]
    written = [text for document in documents if document.get("schema") == SCHEMA for text in _machine(document)]
    page.write_text("\n".join([before + BEGIN, "", *written, END]) + after)


def _machine(document: Mapping[str, Any]) -> Iterator[str]:
    measured = [Measurement(**m) for m in document["measurements"]]
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    yield f"## {document['processor']}, {document['cpus']} CPUs, {document['simd']}\n"
    yield f"{document['date'][:10]}, flowkit {document['flowkit']} ({document['commit'] or 'no commit'}), {versions}."
    yield f"{document['platform']}; load average at the end {document['load']:.1f}.\n"
    for name, reason in document["absent"].items():
        yield f"Without {name}: {reason}.\n"
    yield from _claims(claims(measured, document["memory"]))
    for _, block in itertools.groupby(measured, key=lambda m: (m.size, m.threads, m.error_px is None)):
        rows = list(block)
        if rows[0].error_px is not None:
            yield from _flow(rows)
    yield from _others(measured)
    yield from _pixels(measured)
    yield from _memory(document["memory"])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "|" + "|".join(["---", *["---:"] * (len(header) - 1)]) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def _claims(found: Sequence[Claim]) -> Iterator[str]:
    yield "### Goals\n"
    rows = [(claim.words, claim.measured, "yes" if claim.holds else "**no**") for claim in found]
    yield from _table(("claim", "measured", "holds"), rows)


def _flow(block: Sequence[Measurement]) -> Iterator[str]:
    first, peers = block[0], reference_peers(block)
    threads = "one thread" if first.threads == 1 else f"{first.threads} threads, {first.items} a call"
    yield f"### {first.size}, {threads}\n"
    amplitudes = list(first.errors_px)
    header = [*headings(peers), *(f"at {a} px" for a in amplitudes)]
    yield from _table(header, [[*cells(m, peers), *(f"{m.errors_px[a]:.3f}" for a in amplitudes)] for m in block])


def _others(measured: Sequence[Measurement]) -> Iterator[str]:
    for title, chosen in (
        ("Threads", [m for m in measured if "one thread" in m.times_as_fast_as]),
        ("Strain magnitude", [m for m in measured if "strain" in m.method]),
    ):
        yield f"### {title}\n"
        rows = [
            (m.method, m.size, str(m.threads), str(m.items), f"{1e3 * m.seconds:.3g}", f"{ratio:.2f}", other)
            for m in chosen
            for other, ratio in m.times_as_fast_as.items()
        ]
        yield from _table(("method", "size", "threads", "items a call", "ms/item", "times as fast", "as"), rows)


def _pixels(measured: Sequence[Measurement]) -> Iterator[str]:
    """Of the presets as they are, and of those without the test that stops early."""
    alone = [m.method for m in measured if "one thread" not in m.times_as_fast_as and "strain" not in m.method]
    methods = dict.fromkeys(alone)
    by_method = {method: time_per_pixel(measured, method) for method in methods if method.startswith("flowkit ")}
    sizes = list(next(iter(by_method.values())))
    yield "### Time a pixel, ns, one thread\n"
    rows = [(method, *(f"{times[size]:.0f}" for size in sizes)) for method, times in by_method.items()]
    yield from _table(("method", *sizes), rows)


def _memory(memory: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "### Memory beyond images and result\n"
    rows = [
        (row["preset"], row["size"], str(row["threads"]), f"{row['bytes_per_pixel_per_thread']:.0f}")
        for row in memory
        if "size" in row
    ]
    yield from _table(("preset", "size", "threads", "bytes a pixel a thread"), rows)

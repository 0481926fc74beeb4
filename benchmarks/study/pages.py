"""The tables of docs/study-micro.md and docs/accuracy.md: prose stands in them, every figure is filled in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.study.peers import PEERS
from benchmarks.study.recording import CLIP_RATE, CODECS, LIGHTS
from benchmarks.study.shots import (
    BUMP_AMPLITUDES_PX,
    EDGES,
    FAMILIES,
    FAMILY_AMPLITUDES_PX,
    HEADS,
    NOISES,
    SIDE,
    SIGMAS_PX,
)
from flowkit.bench import methods as bench
from flowkit.params import TVL1Params

_SLOT = re.compile(r"(<!-- table (?P<name>[\w-]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)
BOUND, NOTHING = "bound", "no motion"
"""Stand among the methods for what the best of all would have, and for what finds nothing."""
WORDS = {BOUND: "Cramer and Rao's bound", NOTHING: "no motion found"}
FAMILY = tuple(f"{a:g}" for a in FAMILY_AMPLITUDES_PX)
"""Amplitudes of the families of motion, as rows name them."""
FRAMES = {"single": "one pair", "steady": "4 + 4 frames", "drifting": "4 + 4 frames, head drifting"}


def fill(text: str, found: Mapping[str, str]) -> str:
    """The page with every `<!-- table NAME -->` ... `<!-- end -->` filled; KeyError for a table that is not made."""
    return _SLOT.sub(lambda slot: f"{slot[1]}\n{found[slot['name']]}\n\n{slot[4]}", text)


def slots(text: str) -> list[str]:
    """The names of a page's tables, in order."""
    return [slot["name"] for slot in _SLOT.finditer(text)]


def tables(document: Mapping[str, Any]) -> dict[str, str]:
    """All tables by name, from the report's document."""
    rows = document["rows"]
    with_nothing = rows | {NOTHING: document["no motion"]}
    made = ", ".join(f"{key} {value}" for key, value in document["made with"].items())
    return {
        "set": _set(document),
        "goals": _goals(document["goals"]),
        "gain": _by_method(
            rows, [(f"{a:g} px", f"gain {a:g}") for a in BUMP_AMPLITUDES_PX] + [(".2 over 2", "linearity")], 2
        ),
        "gain-sigma": _by_method(
            rows, [(f"{s:g} / {a:g}", f"gain {a:g} sigma {s:g}") for s in SIGMAS_PX for a in BUMP_AMPLITUDES_PX], 2
        ),
        "moving": _by_method(
            rows, [(f"{w} {a:g}", f"{w} {a:g}") for w in ("moving", "calm") for a in BUMP_AMPLITUDES_PX], 4
        ),
        "sides": _by_method(
            rows | {BOUND: {f"sides {a}": value for a, value in document["bounds"]["sides"].items()}},
            [(f"{w}{a}", f"sides {w}{a}") for w in ("", "lost ") for a in ("0.2", "0.5", "1")],
            2,
        ),
        "light": _by_method(rows, [(light, f"light {light}") for light in LIGHTS] + [("gain", "lit gain")], 3),
        "still": _by_method(rows, [(f"still {n:g}", f"still {n:g}") for n in NOISES], 4),
        "noise": _by_method(rows, [(f"{w} {n:g}", f"{w} noise {n:g}") for w in ("gain", "moving") for n in NOISES], 3),
        "head": _by_method(rows, [("gain", "head gain"), ("error, px", "head error")], 3),
        "head-kinds": _by_method(rows, [(f"{h[5:]}: gain", f"{h} gain") for h in HEADS], 2),
        "edges": _by_method(rows, [(f"{kind}{w}", f"{kind}{w}") for w in ("", " gain") for kind in EDGES], 3),
        "error": _by_method(with_nothing, [(f"{a} px", f"error {a}") for a in ("0.2", "0.5", "1", "2", "5", "10")], 4),
        "family-gain": _by_method(
            rows, [(f"{a} px", f"family gain {a}") for a in ("0.2", "0.5", "1", "2", "5", "10")], 2
        ),
        "family-parts": _by_method(
            with_nothing, [(f"{w} {a}", f"family {w} {a}") for w in ("moving", "still") for a in FAMILY], 4
        ),
        "kinds": _by_method(
            rows,
            [
                (f"{kind}{w}", f"{n} {kind}")
                for w, n in (("", "error"), (" gain", "family gain"))
                for kind in sorted(set(FAMILIES))
            ],
            3,
        ),
        "strain": _by_method(
            with_nothing,
            [(f"{a} px{words}", f"strain {w}{a}") for w, words in (("", ""), ("there ", ", there")) for a in FAMILY],
            2,
            1e3,
        ),
        "strain-share": _by_method(rows, [(f"{a} px", f"strain share {a}") for a in FAMILY], 2),
        "scatter": _by_method(
            rows,
            [
                ("scatter, px", "scatter px"),
                ("bound, px", "bound px"),
                ("scatter / bound", "scatter over bound"),
                ("the same, shrinkage undone", "unshrunk scatter over bound"),
            ],
            3,
        ),
        "return": _by_method(rows, [("forward-backward, px", "forward-backward")], 4),
        "codec": _codecs(document),
        "time": _times(document["milliseconds"]) + f"\n\nMade with {made}.",
        "phases": _phases(document["phases"]),
        "bound-width": _bound_widths(document["bounds"]),
        "bound-size": _bound_sizes(document["bounds"]["size"]),
        "parameters": _parameters(document["presets"]),
        "reach": _reach(document),
    }


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def label(name: str) -> str:
    """A method as readers know it."""
    if name in WORDS:
        return WORDS[name]
    return bench.PEERS[PEERS[name]].name if name in PEERS else f"`{name}`"


def _by_method(
    rows: Mapping[str, Mapping[str, float]], columns: Sequence[tuple[str, str]], digits: int, factor: float = 1.0
) -> str:
    lines = [
        [label(name), *(f"{factor * by[row]:.{digits}f}" if row in by else "" for _, row in columns)]
        for name, by in rows.items()
    ]
    return table(["", *(words for words, _ in columns)], lines)


def _set(document: Mapping[str, Any]) -> str:
    sources: dict[str, int] = {}
    for look in document["looks"]:
        sources[look["source"]] = sources.get(look["source"], 0) + 1
    faces = ", ".join(f"{source} ({count})" for source, count in sources.items())
    return (
        f"{document['pairs']} pairs of the set `{document['set']}`, seed {document['seed']}; faces: {faces}. cv2's "
        f"DualTVL1 itself ran on {document['proved']} of them and gave the bits of preset `opencv`, which stands for "
        "it on all."
    )


def _goals(goals: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        [f"`{g['preset']}`", g["row"], f"{g['value']:.3g}", g["words"], "met" if g["met"] else "**missed**"]
        for g in goals
    ]
    return table(["", "row", "is", "is to be", ""], lines)


def _codecs(document: Mapping[str, Any]) -> str:
    micro = document["rows"]["micro"]
    lines = [
        [
            codec.replace("h264", "H.264 CRF").replace("jpeg", "JPEG"),
            f"{document['rates'][codec]:.0f}",
            f"{micro[f'still {codec}']:.4f}",
            f"{micro[f'gain {codec}']:.2f}",
            f"{micro[f'moving {codec}']:.3f}",
        ]
        for codec in CODECS
    ]
    none = [
        "none",
        f"{8e-3 * CLIP_RATE * SIDE[0] * SIDE[1]:.0f}",
        f"{micro['still 1']:.4f}",
        f"{micro['gain noise 1']:.2f}",
        f"{micro['moving noise 1']:.3f}",
    ]
    return table(["", "kbit/s", "still, px", "gain", "error where it moves, px"], [none, *lines])


def _times(times: Mapping[str, Mapping[str, float]]) -> str:
    sizes = list(next(iter(times.values())))
    lines = [
        [label(name), *(f"{by[size]:.2f} ({by[size] / times['dis'][size]:.2f})" for size in sizes)]
        for name, by in times.items()
    ]
    return table(["", *sizes], lines)


def _phases(phases: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    amplitudes = [f"{a:g}" for a in BUMP_AMPLITUDES_PX]
    lines = [
        [
            f"{FRAMES[frames]}, `{preset}`",
            f"{rows['still 1']:.4f}",
            f"{rows['error 0.5']:.4f}",
            " / ".join(f"{rows[f'gain {a}']:.2f}" for a in amplitudes),
            " / ".join(f"{rows[f'moving {a}']:.3f}" for a in amplitudes),
            f"{rows['sides 0.2']:.2f} / {rows['sides 0.5']:.2f}",
        ]
        for frames, by in phases.items()
        for preset, rows in by.items()
    ]
    at = "at " + " / ".join(amplitudes) + " px"
    head = ["", "still, px", "error, px", f"gain {at}", f"where it moves, px, {at}", "sides at 0.2 / 0.5 px"]
    return table(head, lines)


def _bound_widths(bounds: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    lines = [
        [f"{sigma} px", *(f"{by[f'{noise:g}']:.4f}" for noise in NOISES), f"{bounds['hard'][sigma]['1']:.4f}"]
        for sigma, by in bounds["width"].items()
    ]
    return table(["sigma", *(f"noise {noise:g}" for noise in NOISES), "noise 1, hardest tenth"], lines)


def _bound_sizes(bounds: Mapping[str, Mapping[str, float]]) -> str:
    lines = [[f"{side} px", f"{by['px']:.4f}", f"{by['per mille']:.4f}"] for side, by in bounds.items()]
    return table(["side of the face", "bound, px", "bound, thousandths of the side"], lines)


def _parameters(presets: Mapping[str, Mapping[str, Any]]) -> str:
    opencv = TVL1Params().to_dict()
    names = [field for field in opencv if any(p[field] != opencv[field] for p in presets.values())]
    lines = [[f"`{field}`", str(opencv[field]), *(str(p[field]) for p in presets.values())] for field in names]
    return table(["", "opencv", *(f"`{name}`" for name in presets)], lines)


def _reach(document: Mapping[str, Any]) -> str:
    """What `micro` makes of a motion, by its size."""
    micro = document["rows"]["micro"]
    lines = [
        [
            f"{amplitude:g} px",
            f"{micro[f'gain {amplitude:g}']:.2f}",
            f"{amplitude * micro[f'gain {amplitude:g}']:.3f}",
            f"{micro[f'moving {amplitude:g}']:.3f}",
            f"{micro[f'calm {amplitude:g}']:.4f}",
        ]
        for amplitude in BUMP_AMPLITUDES_PX
    ]
    return table(["true", "gain", "reported, px", "error where it moves, px", "where nothing moves, px"], lines)

"""Speed and accuracy of flowkit and of its peers on this machine, in one run, with every answer checked.

flowkit bench --sizes 128,224 --out bench.json --plot error-time.png

`bench` measures; `lines` makes its table, `document` its JSON, `flowkit.bench.plot` the picture.
"""

from flowkit.bench.answers import WrongAnswer
from flowkit.bench.document import document, machine_name
from flowkit.bench.measure import measure
from flowkit.bench.methods import peers, presets
from flowkit.bench.pairs import Size, facial_pairs
from flowkit.bench.run import bench, command, pairs_for, parse_sizes, parse_threads, plotted
from flowkit.bench.table import lines
from flowkit.bench.timing import Measurement, race, summary

__all__ = [
    "Measurement",
    "Size",
    "WrongAnswer",
    "bench",
    "command",
    "document",
    "facial_pairs",
    "lines",
    "machine_name",
    "measure",
    "pairs_for",
    "parse_sizes",
    "parse_threads",
    "peers",
    "plotted",
    "presets",
    "race",
    "summary",
]

"""What saturates first when an extraction grows to a thousand GPUs: the table of docs/cluster.md, on paper.

    python -m benchmarks.cluster_model

Every figure below has its source. The rate of a GPU is that of `benchmarks.gpu_model`, and was not measured on one.
"""

from __future__ import annotations

from flowkit.extraction.plan import MOST_ROWS

PAIRS_S = 8_401
"""Of an H200 with preset micro at 224 x 224: docs/cuda.md, a model."""
CORES = 16
"""Of a node, for each of its GPUs: an assumption."""
DECODE_MS, WRITE_MS = 1.5, 2.4
"""CPU of a core a pair of 224 x 224: benchmarks.bench_extract, docs/benchmarks.md."""
PAIR_BYTES = 3 * 224 * 224 * 4
"""Of a cube in float32; shards are not compressed."""
DRIVER_MS = 3.7
"""CPU of the driver a part: benchmarks.bench_driver with 3,000 parts in flight."""
NODE_BYTES_S = 100e9 / 8
"""A network of 100 Gbit/s for eight GPUs: an assumption."""
PUTS_S = 3_500
"""That S3 promises for each prefix ("shards/" and "commits/" are two; a part puts one blob into each)."""
GPUS = (1, 8, 64, 1_000)


def pairs_of_a_gpu() -> float:
    """Pairs a second of one GPU, as far as its cores can decode for it and write what it gives."""
    return min(PAIRS_S, 1e3 * CORES / (DECODE_MS + WRITE_MS))


def rows() -> list[tuple[str, str, str, float]]:
    """What may be full, in the order in which it is; when that is; its load, and that of one GPU."""
    pairs = pairs_of_a_gpu()
    parts, gigabytes = pairs / MOST_ROWS, pairs * PAIR_BYTES / 1e9
    return [
        ("cores, to decode and write", f"{pairs / PAIRS_S:.2f} of a GPU", "{:,.0f}", CORES),
        ("network, to the store", f"{NODE_BYTES_S / 1e9 / gigabytes:.1f} GPUs a node", "{:,.1f} GB/s", gigabytes),
        ("one driver", f"{1e3 / DRIVER_MS / parts:.0f} GPUs", "{:,.0f} parts/s", parts),
        ("one prefix of the store", f"{PUTS_S / parts:.0f} GPUs", "{:,.0f} puts/s", parts),
        ("pairs a second, which the cores allow", "", "{:,.0f}", pairs),
    ]


def table() -> str:
    """As Markdown."""
    lines = ["| | full at | " + " | ".join(f"{gpus:,} GPU{'s' * (gpus > 1)}" for gpus in GPUS) + " |"]
    lines.append("|---|---:|" + "---:|" * len(GPUS))
    for name, full, load, unit in rows():
        lines.append(f"| {name} | {full} | " + " | ".join(load.format(gpus * unit) for gpus in GPUS) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())

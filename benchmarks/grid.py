"""What is measured: sizes, and the shorter form of CI."""

from __future__ import annotations

from collections.abc import Sequence

from flowkit.bench import Size, parse_sizes

SIZES = parse_sizes("64,128,224,256,340x280,640x480,1920x1080")
SHORT = parse_sizes("224")
BATCHED = parse_sizes("128,224")
"""Where all methods also run on all threads; at larger sizes cv2 would take minutes."""
MEMORY = parse_sizes("224,640x480,1920x1080")
"""Smaller ones need less than what a process's memory grows by anyway."""
PRESETS = ("opencv", "micro", "fast")
"""Those that have claims to keep; the rest are there for compatibility."""


def sizes(short: bool) -> Sequence[Size]:
    return SHORT if short else SIZES

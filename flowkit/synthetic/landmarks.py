"""The places of a face that its muscles move."""

from __future__ import annotations

from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Landmarks:
    """Anatomical points, each a (left, right) couple or a single point of the midline."""

    brow_inner: tuple[Point, Point]
    brow_outer: tuple[Point, Point]
    cheek: tuple[Point, Point]
    nose_wing: tuple[Point, Point]
    mouth_corner: tuple[Point, Point]
    upper_lip: Point
    lower_lip: Point
    chin: Point

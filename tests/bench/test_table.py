"""The table: columns align, milliseconds are those of the measurement."""

from __future__ import annotations

from flowkit.bench import lines
from tests.bench.test_record import row


def test_lines_align():
    block = [row("flowkit micro", 0.005, 0.04), row("cv2 Farneback", 1.25, 0.1)]
    heading, header, *rows = lines(block)
    assert heading == "224x224, 1 thread"
    assert {len(line) for line in rows} == {len(header)}
    assert "5.00" in rows[0]
    assert "1250" in rows[1]

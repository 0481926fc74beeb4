"""The memory of an extraction does not grow with the number of its pairs."""

import subprocess
import sys

import cv2
import pytest

from tests.clips import texture

SIDE = 48
MOST_MIB = 16
"""By how much six times as many pairs may raise the peak: plan and survey grow, and the allocator is not exact."""

PEAK = """
import resource, sys
from flowkit.extraction.run import extract

done = extract(sys.argv[1], sys.argv[2], pairs="lag:1", workers=1)
print(done.computed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
def test_six_times_as_many_pairs_take_no_more_memory(tmp_path):
    pictures = [cv2.imencode(".png", texture(number, (SIDE, SIDE)))[1].tobytes() for number in range(20)]
    peaks = []
    for pairs in (400, 2400):  # of 128 a part: the first has more parts than the line has stages
        folder = tmp_path / f"frames{pairs}"
        folder.mkdir()
        for number in range(pairs + 1):
            (folder / f"img{number}.png").write_bytes(pictures[number % 20])
        command = [sys.executable, "-c", PEAK, str(folder), str(tmp_path / f"out{pairs}")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        computed, peak_mib = done.stdout.split()
        assert int(computed) == pairs
        peaks.append(float(peak_mib))
    cubes_mib = 2000 * 3 * SIDE * SIDE * 4 / 2**20
    assert cubes_mib > 2.5 * MOST_MIB
    assert peaks[1] - peaks[0] < MOST_MIB, peaks

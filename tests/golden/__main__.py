"""Writes the golden output of this version."""

import flowkit
from tests.golden import write, write_frames

if __name__ == "__main__":
    write_frames()
    write(".".join(flowkit.__version__.split(".")[:2]))

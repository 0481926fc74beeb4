"""Faces with a motion that is exactly known: for the demo, the benchmarks and the tests.

frame0, frame1, flow = flowkit.synthetic.facial_pair(0, 1.0, 128, seed=1)    # one pair with its true flow
"""

from flowkit.synthetic.render import facial_pair

__all__ = ["facial_pair"]

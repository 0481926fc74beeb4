"""A small licence-free dataset with known motion, and the tour of flowkit that it makes possible.

flowkit.demo.run(Path("demo"))                                          # as the command flowkit demo
frame0, frame1, flow = flowkit.demo.facial_pair(0, 1.0, 128, seed=1)    # one pair with its true flow
"""

from flowkit.demo.dataset import make_dataset
from flowkit.demo.render import facial_pair
from flowkit.demo.tour import run

__all__ = ["facial_pair", "make_dataset", "run"]

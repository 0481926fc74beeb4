"""Speed and accuracy of flowkit beside its peers, measured in one run. `python -m benchmarks --help`."""

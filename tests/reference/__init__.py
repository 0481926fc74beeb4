"""Slow and plain: float64 restatements of docs/algorithm.md that decide whether the compiled extension is right."""

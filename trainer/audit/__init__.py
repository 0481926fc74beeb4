"""Audit of an evaluation: what would have let held-out people into training, a check for each way."""

"""The study behind the presets `micro` and `fast`: scenes with known flow, measures, the search, the report."""

"""Keyframes: onset, apex and offset chosen anew near the annotated ones, and apexes spotted where there is none."""

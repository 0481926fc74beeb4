"""Motion to look at."""

"""Ethnicity, age and gender: guessed by a model, agreed on, corrected, grouped, reported, always with the source."""

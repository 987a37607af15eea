"""Oracles that say what a model's output must be, and comparisons with them."""

"""Preferences: weights on the simplex."""

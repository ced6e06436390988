"""Preferences: weights on the simplex, regions of them, and lotteries for utilities that are not linear."""

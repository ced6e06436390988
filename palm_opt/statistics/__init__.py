"""Guarantees over prompts, with confidence."""

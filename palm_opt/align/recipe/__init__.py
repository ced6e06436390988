"""Recipes: declared, read, refused."""

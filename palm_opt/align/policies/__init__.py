"""Policies: the base model, adapters, soups and mixtures."""

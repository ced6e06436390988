"""Prompts, rewards, and the value vector of a policy."""

"""What to train, from scores of the base model's responses alone."""

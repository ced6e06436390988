"""What is read: value matrices, scores of reference responses, samples over prompts."""

"""The portfolio directory: written so that nothing is lost, read with suspicion."""

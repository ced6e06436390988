"""The measures and baselines of the PALM paper."""

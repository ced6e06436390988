"""Training one adapter for one weight, and where it runs."""

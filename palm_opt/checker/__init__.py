"""The exact checker of certificates: standard library only, shares no code with the solver."""

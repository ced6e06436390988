"""`python -m palm_opt` is `palm-opt`."""

from palm_opt.cli import main

main()

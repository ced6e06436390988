"""`python -m palm_opt.cli` is `palm-opt`."""

from palm_opt.cli import main

main()

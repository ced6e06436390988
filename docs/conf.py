"""Sphinx settings: `make docs`."""

from palm_opt import __version__

project = "palm_opt"
author = "the palm_opt authors"
release = __version__
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"palm_opt {release}"
exclude_patterns = ["_build"]

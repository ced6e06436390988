"""Print each least version that pyproject.toml allows as a pip constraint: base, solvers, plot, and the build.

    python .ci/floors.py > floors.txt

The extra `align` is left out: its torch must be the tested build (constraints.txt), whatever its floor.
"""

import re
import tomllib
from pathlib import Path

document = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
project = document["project"]
extras = project["optional-dependencies"]
for requirement in [
    *document["build-system"]["requires"],
    *project["dependencies"],
    *extras["solvers"],
    *extras["plot"],
]:
    found = re.fullmatch(r"([A-Za-z0-9_-]+)>=([0-9.]+)(,.*)?", requirement)
    assert found, f"pyproject.toml: {requirement}: expected NAME>=VERSION"
    print(f"{found[1]}=={found[2]}")

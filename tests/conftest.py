"""Shared fixtures: Hypothesis profiles, and the folder of real data where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

slow_start = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("dev", deadline=None, max_examples=40, suppress_health_check=slow_start)
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.register_profile("long", settings.get_profile("dev"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


@pytest.fixture(scope="session")
def palm_data() -> Path:
    """The folder of real data: $PALM_DATA, or shared/data beside the checkout; tests skip where it is absent."""
    folder = Path(os.environ.get("PALM_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "values").is_dir():
        pytest.skip(f"real data not found at {folder}; set PALM_DATA to its folder")
    return folder

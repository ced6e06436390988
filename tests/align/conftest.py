"""Small models for the tests that train: made once a session, offline."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.align.tiny import make_recipe


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with a random base model of one small layer."""
    return make_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="session")
def embedded_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache folder of the embedded base model: $PALM_CACHE, or a new one for this session."""
    before = os.environ.get("PALM_CACHE")
    folder = Path(before) if before else tmp_path_factory.mktemp("cache")
    os.environ["PALM_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["PALM_CACHE"]

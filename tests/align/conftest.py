"""Shared by the tests of training."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.align.tiny import make_recipe


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with a random base model of one small layer."""
    return make_recipe(tmp_path_factory.mktemp("recipe"))

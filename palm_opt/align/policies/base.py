"""The base model as a local folder with a hash, whatever it was named by; and the device it runs on."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palm_opt.align.policies.hub import find_model, folder_sha256
from palm_opt.align.recipe.declaration import EMBEDDED, Device, Recipe
from palm_opt.errors import BackendNotFound, RecipeError

__all__ = [
    "Base",
    "find_base",
    "load_model",
    "load_tokenizer",
    "named_base",
    "place",
    "precision",
    "quiet",
    "require_libraries",
]


@dataclass(frozen=True)
class Base:
    """A base model. `revision`: the commit of a hub model, else None; `sha256`: of the names and bytes of its files."""

    name: str
    revision: str | None
    folder: Path
    sha256: str


def require_libraries() -> None:
    """Raise BackendNotFound with the pip command unless what training needs is installed."""
    for name in ("torch", "transformers", "trl", "peft", "datasets"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise BackendNotFound(f"training needs {name}: pip install 'palm_opt[align]' ({error})") from error


def find_base(recipe: Recipe, say: Callable[[str], None]) -> Base:
    """The base model of a recipe, pre-trained or downloaded where it is not there yet."""
    try:
        return named_base(recipe.model.base, recipe.model.revision, recipe.folder, say)
    except RecipeError as error:
        raise RecipeError.of(recipe.path, [f"model.base: {error}"]) from error


def named_base(name: str, revision: str, beside: Path, say: Callable[[str], None]) -> Base:
    """The base model of a name, a folder looked up in `beside` first; raises RecipeError if there is none."""
    commit = None
    if name == EMBEDDED:
        from palm_opt.align.policies.pretrain import embedded_base

        folder = embedded_base(say)
    else:
        folder, commit = find_model(name, revision, beside)
    return Base(name, commit, folder, folder_sha256(folder))


def precision(wanted: str) -> str:
    """The number type to compute in, "float32", "bfloat16" or "float16", as `device.precision` asks for it."""
    import torch

    if wanted == "float16" and not torch.cuda.is_available():
        raise RecipeError("device.precision: float16 needs a GPU, and this machine has none")
    if wanted != "auto":
        return wanted
    return "bfloat16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "float32"


def place() -> str:
    """Where this process computes: its own GPU if there is one."""
    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"


def load_model(base: Base, wanted: str) -> Any:
    """The base model in evaluation mode, in the precision `wanted`, on this process's GPU if there is one."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        base.folder, dtype=getattr(torch, precision(wanted)), use_safetensors=True, trust_remote_code=False
    )
    return model.to(place()).eval()


def load_tokenizer(base: Base) -> Any:
    """The tokenizer, padding on the left as generation needs."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.folder, padding_side="left", trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@contextmanager
def quiet(device: Device) -> Iterator[None]:
    """Keep the libraries' chatter off both streams and use as many threads as the recipe says; restored afterwards."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import warnings

    import datasets
    import torch
    import transformers

    logging = transformers.utils.logging
    verbosity, bars, threads = logging.get_verbosity(), logging.is_progress_bar_enabled(), torch.get_num_threads()
    table_bars = datasets.are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    if device.threads:
        torch.set_num_threads(device.threads)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        if not table_bars:
            datasets.enable_progress_bars()

"""Answer with a member of a portfolio: a trained adapter, a sum of adapters, a mixture, or the base model itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from palm_opt.align.policies.base import load_model, load_tokenizer, named_base, require_libraries
from palm_opt.align.policies.mixture import attach
from palm_opt.align.policies.sampling import complete, decoded
from palm_opt.errors import ProblemError, RecipeError, StoreError
from palm_opt.portfolio.directory import Portfolio
from palm_opt.portfolio.manifest import BASE, GENERATION

__all__ = ["LoadedMember", "load_member"]


class LoadedMember:
    """A member ready to answer. `name` is the member's; `generation`: how it samples, as when it was measured."""

    def __init__(self, name: str, model: Any, tokenizer: Any, generation: Mapping[str, Any]) -> None:
        self.name, self.generation = name, dict(generation)
        self._model, self._tokenizer = model, tokenizer

    def generate(self, prompts: Sequence[Any], seed: int | None = None, **generation: Any) -> list[str]:
        """One sampled answer a prompt.

        Parameters
        ----------
        prompts : texts, or lists of chat messages {"role", "content"}; one batch.
        seed : of this call alone; None draws from torch's state.
        generation : settings to change for this call: max_new_tokens, temperature, top_p, top_k, min_p,
            repetition_penalty.
        """
        import torch

        if not prompts or isinstance(prompts, str) or len({isinstance(prompt, str) for prompt in prompts}) > 1:
            raise ProblemError("prompts: expected a list of texts, or of lists of chat messages, with at least one")
        if unknown := generation.keys() - GENERATION.keys():
            raise ProblemError(f"generation: unknown setting {min(unknown)!r}; known are {', '.join(GENERATION)}")
        with torch.inference_mode(), torch.random.fork_rng(enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            sampled = complete(self._model, self._tokenizer, prompts, {**self.generation, **generation})
        return decoded(self._tokenizer, *sampled)[1]


def load_member(
    portfolio: Portfolio | str | Path, name: str, base: str | Path | None = None, precision: str = "auto"
) -> LoadedMember:
    """Load a member of a portfolio, whatever it is: `load_member("runs/x", "w-100-0").generate(["Hello"])`.

    Parameters
    ----------
    portfolio : a portfolio or its directory, whose hashes are then checked, those of the adapters too.
    name : a member, as `palm_opt.route` names it.
    base : folder of the base model; by default it is looked up by its name in the manifest, here or on the hub.
    precision : as `device.precision` in a recipe.

    Returns
    -------
    LoadedMember : `.generate(prompts, seed=None, **generation)` gives one sampled answer a prompt, list[str].

    Raises
    ------
    StoreError : no such member; a damaged or unsafe directory; a base model other than the one that was trained.
    BackendNotFound : a library is missing.
    """
    require_libraries()
    if precision not in ("auto", "float32", "bfloat16", "float16"):
        raise ProblemError(f"precision: expected 'auto', 'float32', 'bfloat16' or 'float16', got {precision!r}")
    if not isinstance(portfolio, Portfolio):
        portfolio = Portfolio.load(portfolio)
    member, about = portfolio.member(name), portfolio.base_model
    try:
        found = named_base(str(base or about["name"]), str(about.get("revision") or "main"), Path(), lambda line: None)
    except RecipeError as error:
        raise StoreError(f"{portfolio.path}: base model: {error}; give its folder as `base`") from error
    if found.sha256 != about.get("sha256"):
        raise StoreError(f"{portfolio.path}: {found.folder} is not the base model {about['name']} of these adapters")
    parts = [
        (None if part == BASE else portfolio.path / "adapters" / part, share) for part, share in member.served.items()
    ]
    model = attach(load_model(found, precision), parts)
    return LoadedMember(name, model, load_tokenizer(found), portfolio.generation)

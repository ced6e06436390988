"""Adapters as files: cleaned up after PEFT wrote them, copied into a model, blended into a soup without training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from palm_opt.errors import ProblemError, StoreError

__all__ = ["ADAPTER_FILES", "blend", "copy_weights", "tidy"]

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def blend(parts: Sequence[tuple[Path, float]], folder: Path) -> dict[str, Any]:
    """Write the adapter whose update of every matrix is the sum of share times the update of each part.

    LoRA adds scale B A to a matrix, with B (out, r) and A (r, in). Stacking the A, and the B times their shares side by
    side, adds the updates exactly, at the sum of the ranks (PEFT calls this combination "cat").

    Parameters
    ----------
    parts : folders of LoRA adapters of one recipe, and their shares.
    folder : where the adapter is written; it exists.
    """
    import torch
    from safetensors.torch import load_file, save_file

    loaded = [load_file(place / ADAPTER_FILES[1]) for place, _ in parts]
    config = _config(parts[0][0])
    if any(tensors.keys() != loaded[0].keys() for tensors in loaded) or config.get("use_rslora"):
        raise StoreError(f"{folder}: expected adapters of the same modules to blend")
    shares = [share for _, share in parts]
    blended = {}
    for name in loaded[0]:
        pieces = [tensors[name] for tensors in loaded]
        if ".lora_A." in name:
            blended[name] = torch.cat(pieces, dim=0).contiguous()
        elif ".lora_B." in name:
            scaled = [piece * share for piece, share in zip(pieces, shares, strict=True)]
            blended[name] = torch.cat(scaled, dim=1).contiguous()
        else:
            raise StoreError(f"{parts[0][0]}: {name}: only plain LoRA matrices can be blended")
    rank, alpha = config["r"], config["lora_alpha"]
    config.update(r=rank * len(parts), lora_alpha=alpha * len(parts))  # the scale alpha / r stays
    save_file(blended, folder / ADAPTER_FILES[1], metadata={"format": "pt"})
    _write_config(folder, config)
    return {"seconds": 0.0, "training_reward": None, "curve": []}


def copy_weights(folder: Path, model: Any) -> None:
    """Copy the weights of a saved adapter into the new one.

    TRL would make a model that comes with an adapter its own reference for the KL; the reference is the base model.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    weights = load_file(folder / ADAPTER_FILES[1])
    own = get_peft_model_state_dict(model)
    if {name: x.shape for name, x in weights.items()} != {name: x.shape for name, x in own.items()}:
        raise ProblemError(f"{folder}: expected an adapter with the recipe's rank and modules to start from")
    set_peft_model_state_dict(model, weights)


def tidy(folder: Path, base: str, revision: str | None) -> None:
    """Leave the adapter alone in its folder, and no machine path in its configuration."""
    for item in folder.iterdir():
        if item.is_dir():
            shutil.rmtree(item)
        elif item.name not in ADAPTER_FILES:
            item.unlink()
    config = _config(folder)
    config.update(base_model_name_or_path=base, revision=revision, auto_mapping=None)
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # peft writes a set, in an order that changes from process to process
    _write_config(folder, config)


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / ADAPTER_FILES[0]).read_text(encoding="utf-8"))
    return config


def _write_config(folder: Path, config: dict[str, Any]) -> None:
    text = json.dumps(config, indent=1, sort_keys=True) + "\n"
    (folder / ADAPTER_FILES[0]).write_text(text, encoding="utf-8")

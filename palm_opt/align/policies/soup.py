"""Adapter soups: the weighted sum of trained adapters as an adapter, without training. Cheap candidates to measure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from palm_opt.align.training.train import ADAPTER_FILES
from palm_opt.errors import StoreError

__all__ = ["blend"]


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
    config = json.loads((parts[0][0] / ADAPTER_FILES[0]).read_text(encoding="utf-8"))
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
    (folder / ADAPTER_FILES[0]).write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return {"seconds": 0.0, "training_reward": None, "curve": []}

"""Multi-objective decoding (Shi et al. 2024, arXiv:2406.18853): trained policies mixed token by token, no training.

Parts pi_i with shares s_i >= 0 of sum 1 make the policy whose next token has the distribution

    softmax(sum_i s_i log pi_i) = softmax(sum_i s_i z_i / T),

z_i the logits of part i and T the sampling temperature: what is constant over the vocabulary cancels. So a mixture is a
language model with the logits sum_i s_i z_i, and temperature, top-p and penalties apply to it as to any other.

If pi_i is the KL-regularised optimum for the weight w_i, whole answers under the product of the pi_i^s_i have the
optimum's distribution for sum_i s_i w_i. Normalised at every token, as here, it is an approximation: measure it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

__all__ = ["Mixture", "Part", "attach"]

Part = tuple[Path | None, float]  #: the folder of an adapter, None for the base model, and its share
_BASE = "__base__"  # PEFT's name for rows of a batch that no adapter changes


def attach(model: Any, parts: Sequence[Part]) -> Any:
    """The policy that a base model becomes with its parts: itself, with an adapter, or a mixture.

    Parameters
    ----------
    model : the base model in evaluation mode. A policy other than itself gives it back with `unload()`.
    parts : the mixture; one part, with share 1, for the base model or an adapter by itself.
    """
    folders = [folder for folder, _ in parts if folder is not None]
    if not folders:
        return model
    if len(parts) > 1:
        return Mixture(model, parts)
    from peft import PeftModel

    return PeftModel.from_pretrained(model, folders[0], is_trainable=False).eval()


class Mixture:
    """A mixture as a model, with as much of a PeftModel's interface as is used here.

    The parts share the base model's weights. While it samples, a batch of n prompts becomes one of k n rows (PEFT's
    batches of mixed adapters): one pass a token over all parts, with one cache for all of them.

    Parameters
    ----------
    model : the base model in evaluation mode.
    parts : k parts, at least one of them an adapter; shares >= 0 with sum 1.
    """

    def __init__(self, model: Any, parts: Sequence[Part]) -> None:
        from peft import PeftModel

        self._parts = [(_BASE if folder is None else f"part{i}", share) for i, (folder, share) in enumerate(parts)]
        peft: Any = None
        for (name, _), (folder, _) in zip(self._parts, parts, strict=True):
            if folder is not None and peft is None:
                peft = PeftModel.from_pretrained(model, folder, adapter_name=name, is_trainable=False)
            elif folder is not None:
                peft.load_adapter(folder, adapter_name=name, is_trainable=False)
        assert peft is not None
        self._peft, self._model = peft.eval(), model
        self.device, self.generation_config = model.device, model.generation_config

    def __call__(self, input_ids: Any, **inputs: Any) -> Any:
        """Logits of whole sequences, float32 (n, length, vocabulary) in `.logits`: one part after the other."""
        logits: Any = 0.0
        for name, share in self._parts:
            names = [name] * len(input_ids)
            logits = logits + share * self._peft(input_ids=input_ids, adapter_names=names, **inputs).logits.float()
        return SimpleNamespace(logits=logits)

    def generate(self, input_ids: Any, **options: Any) -> Any:
        """Prompts (n, width) with what is sampled after them, as `generate` of transformers; no beams."""
        import torch

        rows, k = len(input_ids), len(self._parts)
        names = [name for name, _ in self._parts for _ in range(rows)]
        shares = torch.tensor([share for _, share in self._parts], device=self.device).view(k, 1, 1, 1)

        def repeat(_: Any, arguments: Any, inputs: dict[str, Any]) -> Any:
            tensors = {key: x for key, x in inputs.items() if isinstance(x, torch.Tensor) and x.shape[:1] == (rows,)}
            return arguments, {**inputs, **{key: torch.cat([x] * k) for key, x in tensors.items()}}

        def mix(_: Any, __: Any, output: Any) -> Any:
            output.logits = (output.logits.float().unflatten(0, (k, rows)) * shares).sum(0)
            return output

        with (
            self._model.register_forward_pre_hook(repeat, with_kwargs=True),
            self._model.register_forward_hook(mix),
        ):
            return self._peft.generate(input_ids=input_ids, adapter_names=names, **options)

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """Be the base model for a while."""
        parts, self._parts = self._parts, [(_BASE, 1.0)]
        try:
            yield
        finally:
            self._parts = parts

    def unload(self) -> Any:
        """The base model, without adapters."""
        return self._peft.unload()

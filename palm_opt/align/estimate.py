"""What a recipe will take: trainings, completions, tokens, parameters, memory, disk. No torch.

Memory of a training, in bytes, with P parameters of the base model, A of the adapter, b bytes a number (4 for float32,
else 2), L layers of width h and inner width i, B sequences of T tokens in a step of one device:

    weights      P b
    adapter      A (4 + 4 + 8): float32 parameters, gradients and the two moments of Adam
    activations  B T b L (18 h + 4 i), or B T b (L h + 18 h + 4 i) with gradient checkpointing
    scores       4 c min(B T, 4096) min(vocabulary, 32768): TRL's tile of logits, c = 9 on a CPU, 2 on a GPU
    generation   B' T b 2 L (key-value heads x head size), the cache, plus 8 B' (vocabulary) for the logits
    total        weights + adapter + reward models + the larger of (activations + scores) and generation

T is the longest prompt plus max_new_tokens and B' the completions sampled at a time, those of mixtures once a part. The
factors 18 and 9 were fitted to Llama models on a CPU. Libraries (0.7 GB and more), the CUDA context and fragmentation
come on top: an estimate, to tell 8 GB from 80.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from palm_opt.align.measuring.prompts import PromptSet, Row
from palm_opt.align.recipe.declaration import Recipe
from palm_opt.errors import RecipeError

__all__ = ["Estimate", "ModelSize", "embedded_size", "estimate", "model_size"]

_NOT_LINEAR = ("embed", "wte", "wpe", "lm_head", "norm", "ln_", "shared.weight", "score.")


@dataclass(frozen=True)
class ModelSize:
    """Shapes of a model's tensors by name, its configuration, and the folder with its tokenizer if there is one."""

    shapes: Mapping[str, tuple[int, ...]]
    config: Mapping[str, Any]
    folder: Path | None = None

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def matrices_of(self, target: str) -> list[tuple[int, ...]]:
        """Shapes of the matrices that a LoRA target adapts: a module's name, or `all-linear`."""
        matrices = {name: s for name, s in self.shapes.items() if len(s) == 2 and name.endswith(".weight")}
        if target == "all-linear":
            return [s for name, s in matrices.items() if not any(part in name.lower() for part in _NOT_LINEAR)]
        return [s for name, s in matrices.items() if f".{name}".endswith(f".{target}.weight")]

    def number(self, *keys: str) -> int | None:
        """The first of some keys that the configuration has."""
        return next((int(self.config[key]) for key in keys if isinstance(self.config.get(key), int)), None)


def model_size(folder: Path) -> ModelSize:
    """Read the headers of a model's .safetensors files and its configuration; no weights are read.

    Raises
    ------
    RecipeError : they cannot be read.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        for file in sorted(folder.glob("*.safetensors")):
            with file.open("rb") as stream:
                (length,) = struct.unpack("<Q", stream.read(8))
                if length > min(file.stat().st_size, 100_000_000):
                    raise ValueError("its header is too long")
                header = json.loads(stream.read(length))
            shapes.update({name: tuple(x["shape"]) for name, x in header.items() if name != "__metadata__"})
        config = config.get("text_config") or config
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise RecipeError(f"{folder}: cannot be read as a model: {error}") from error
    return ModelSize(shapes, config, folder)


def embedded_size() -> ModelSize:
    """Shapes of the embedded base model, which is made when it is first needed."""
    from palm_opt.align.policies.pretrain import SHAPE, VOCABULARY

    width, inner = SHAPE["hidden_size"], SHAPE["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (VOCABULARY, width), "norm.weight": (width,)}
    for layer in range(SHAPE["num_hidden_layers"]):
        shapes.update({f"layers.{layer}.{x}_proj.weight": (width, width) for x in "qkvo"})
        shapes.update({f"layers.{layer}.{x}_proj.weight": (inner, width) for x in ("gate", "up")})
        shapes[f"layers.{layer}.down_proj.weight"] = (width, inner)
        shapes.update({f"layers.{layer}.{x}_norm.weight": (width,) for x in ("input", "post")})
    return ModelSize(shapes, {**SHAPE, "vocab_size": VOCABULARY})


@dataclass(frozen=True)
class Estimate:
    """What a recipe takes at most. Numbers that are not known yet (the model is not here) are None; sizes in bytes."""

    first_round: int
    trainings: int
    limited: bool
    completions_training: int
    completions_measuring: int
    blends: int
    tokens: int
    base_parameters: int | None
    adapter_parameters: int | None
    memory: dict[str, int] | None
    disk: int | None

    def document(self) -> dict[str, Any]:
        """All numbers, for JSON."""
        return asdict(self)

    def lines(self) -> list[tuple[str, str]]:
        """Label and text, for people."""
        count = f"at most {self.trainings:,}" if self.limited else f"without a limit; counted below: {self.trainings:,}"
        rows = [
            ("trainings", f"{count} ({self.first_round:,} in the first round)"),
            ("completions", f"{self.completions_training:,} to train on, {self.completions_measuring:,} to measure"),
            ("tokens", f"at most {self.tokens:,}"),
        ]
        if self.blends:
            text = f"{self.blends:,}: one a kind and training after the first round, more if they help"
            rows.insert(1, ("soups, mixtures", text))
        if self.base_parameters is not None and self.adapter_parameters is not None:
            rows.append(
                ("parameters", f"{self.base_parameters:,} of the base model, {self.adapter_parameters:,} trained")
            )
        if self.memory is not None:
            parts = ", ".join(f"{k.replace('_', ' ')} {_size(v)}" for k, v in self.memory.items() if v and k != "total")
            rows.append(
                ("memory", f"about {_size(self.memory['total'])} a training process ({parts}), libraries on top")
            )
        if self.disk is not None:
            rows.append(("disk", f"about {_size(self.disk)}"))
        return rows


def estimate(recipe: Recipe, prompts: PromptSet, base: ModelSize | None, gpu: bool = False) -> Estimate:
    """The work of `palm-opt run`. `base` is None while the base model is not there; `gpu`: whether there is one."""
    first = math.comb(recipe.plan.lattice + len(recipe.rewards) - 1, len(recipe.rewards) - 1)
    trainings = max(first, recipe.budget.trainings)
    training = _pool_size(recipe, prompts) if recipe.offline else trainings * _sampled(recipe)
    measured = min(recipe.evaluation.prompts, len(prompts.select))
    blended, parts = trainings - first, len(recipe.rewards)  # a blend has a part a reward, at most
    soups, mixtures = blended * recipe.plan.soups, blended * recipe.plan.decoding
    each = measured * recipe.evaluation.generations
    measuring = (trainings + 1 + soups + mixtures) * each
    mean, longest = _prompt_tokens(prompts.train, base)
    passes = training + measuring + (parts - 1) * mixtures * each  # a token of a mixture takes a pass a part
    tokens = math.ceil(passes * (mean + recipe.generation.max_new_tokens))
    adapter = memory = disk = None
    if base is not None:
        matrices = [m for target in recipe.lora.targets for m in base.matrices_of(target)]
        adapter = recipe.lora.r * sum(map(sum, matrices))
        memory = _memory(recipe, base, adapter, longest, gpu)
        checkpoints = 3 * 12 * adapter if recipe.train.save_every else 0
        adapters = 4 * adapter * (trainings + parts * soups)
        disk = adapters + checkpoints + 200 * (measuring + (training if recipe.offline else 0))
    return Estimate(
        first_round=first,
        trainings=trainings,
        limited=recipe.budget.trainings > 0,
        completions_training=training,
        completions_measuring=measuring,
        blends=soups + mixtures,
        tokens=tokens,
        base_parameters=base.parameters if base else None,
        adapter_parameters=adapter,
        memory=memory,
        disk=disk,
    )


def _pool_size(recipe: Recipe, prompts: PromptSet) -> int:
    return min(recipe.train.pool, len(prompts.train)) * recipe.train.generations


def _sampled(recipe: Recipe) -> int:
    """Completions that one training samples."""
    trl = recipe.train.trl
    steps = recipe.train.steps * trl.get("gradient_accumulation_steps", 1)
    return int(math.ceil(steps / trl.get("num_iterations", 1)) * recipe.train.batch)


def _prompt_tokens(rows: tuple[Row, ...], base: ModelSize | None) -> tuple[float, int]:
    """Mean and largest number of tokens of a sample of prompts; without a tokenizer, four characters count as one."""
    texts = [
        row["prompt"] if isinstance(row["prompt"], str) else "".join(str(m["content"]) for m in row["prompt"])
        for row in rows[:256]
    ]
    counts = [math.ceil(len(text) / 4) for text in texts]
    file = base.folder / "tokenizer.json" if base is not None and base.folder is not None else None
    if file is not None and file.is_file():
        try:
            from tokenizers import Tokenizer

            tokenizer = Tokenizer.from_file(str(file))
            counts = [len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]
        except Exception:  # the library's own exception type is Exception
            pass
    return (sum(counts) / len(counts), max(counts)) if counts else (0.0, 0)


def _memory(recipe: Recipe, base: ModelSize, adapter: int, prompt: int, gpu: bool) -> dict[str, int] | None:
    """Bytes by part, by the formula at the top; None if the configuration does not tell the shape."""
    width, layers = base.number("hidden_size", "n_embd", "d_model"), base.number("num_hidden_layers", "n_layer")
    heads, vocabulary = base.number("num_attention_heads", "n_head"), base.number("vocab_size")
    if width is None or layers is None or heads is None or vocabulary is None:
        return None
    inner = base.number("intermediate_size", "n_inner") or 4 * width
    cached = (base.number("num_key_value_heads") or heads) * (base.number("head_dim") or width // heads)
    number = {"float32": 4, "bfloat16": 2, "float16": 2}.get(recipe.device.precision, 2 if gpu else 4)
    length = prompt + recipe.generation.max_new_tokens
    sequences = recipe.train.batch // recipe.launch.processes * (2 if recipe.offline else 1)
    evaluated = recipe.evaluation.batch * (len(recipe.rewards) if recipe.plan.decoding else 1)
    together = max(evaluated, 0 if recipe.offline else sequences * recipe.train.samples_ahead)
    layer = 18 * width + 4 * inner
    kept = layers * width + layer if _recomputes(recipe, gpu) else layers * layer
    parts = {
        "weights": base.parameters * number,
        "adapter": 16 * adapter,
        "activations": sequences * length * kept * number,
        "scores": 4 * (2 if gpu else 9) * min(sequences * length, 4096) * min(vocabulary, 32768),
        "generation": together * (length * 2 * layers * cached * number + 8 * vocabulary),
        "reward_models": number * sum(_reward_parameters(recipe)),
    }
    total = parts["weights"] + parts["adapter"] + parts["reward_models"]
    return {**parts, "total": total + max(parts["activations"] + parts["scores"], parts["generation"])}


def _recomputes(recipe: Recipe, gpu: bool) -> bool:
    return recipe.device.gradient_checkpointing == "on" or (recipe.device.gradient_checkpointing == "auto" and gpu)


def _reward_parameters(recipe: Recipe) -> list[int]:
    from palm_opt.align.policies.hub import find_model

    found = []
    for reward in recipe.rewards:
        if reward.model:
            try:
                folder, _ = find_model(reward.model, reward.revision, recipe.folder, offline=True)
                found.append(model_size(folder).parameters)
            except RecipeError:
                continue  # not here yet: a warning of its own
    return found


def _size(count: int) -> str:
    """Bytes in words: 1.5 GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count} B"

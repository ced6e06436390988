"""One weight, one adapter: TRL with LoRA on the scalarised objective w.r - beta KL, as recipe and weight say.

Safe under torchrun: every process calls `train_adapter` with the same arguments; the first one writes.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from palm_opt.align.policies.adapters import copy_weights, tidy
from palm_opt.align.recipe.declaration import Recipe
from palm_opt.align.training.checkpoints import newest_checkpoint, seal_checkpoint
from palm_opt.align.training.setup import Setup
from palm_opt.align.training.trainers import CURVE, Job, make_trainer
from palm_opt.errors import RecipeError

__all__ = ["train_adapter"]


def train_adapter(
    weight: Sequence[float],
    setup: Setup,
    folder: Path,
    *,
    name: str = "training",
    start: Path | None = None,
    checkpoints: Path | None = None,
    cache: Path | None = None,
    logs: Path | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Train one adapter and save it in `folder`, which exists.

    Parameters
    ----------
    name : of the adapter, for the logs: unique among those of one `logs`.
    start : folder of an adapter of the same recipe to begin from, for `train.warm_steps` steps. The KL penalty still
        refers to the base model.
    checkpoints : where `train.save_every` puts checkpoints (in a folder named by the training key) and where the newest
        valid one is resumed from; they stay until `discard_checkpoints`. None: no checkpoints.
    cache : folder for what all weights share: the sample pool of dpo-rerank.
    logs : folder for what `train.report_to` writes. None: nothing is reported.
    progress : called with each point of the curve as it is logged.

    Returns
    -------
    dict : seconds; training_reward, the last logged mean of w.r (None for dpo-rerank); curve, a list of at most about
        50 points {step, reward, rewards: {name: mean}, kl, loss}, None where the trainer logs none.
    """
    import torch
    from transformers import PrinterCallback, ProgressCallback, TrainerState, set_seed

    begin, recipe = time.perf_counter(), setup.recipe
    if torch.cuda.device_count() > 1 and os.environ.get("WORLD_SIZE", "1") == "1":
        raise RecipeError(
            f"{torch.cuda.device_count()} GPUs are visible to one training process: set CUDA_VISIBLE_DEVICES to one of "
            "them, or launch.processes to their number"
        )
    set_seed(recipe.seed)
    key = setup.key(weight, start)
    save = checkpoints is not None and recipe.train.save_every > 0
    output = checkpoints / key if save and checkpoints else folder / "trainer"
    steps = recipe.train.steps_from(start)
    report = logs is not None and recipe.train.report_to != "none"
    with _reporting(recipe.train.report_to, logs / name if report and logs else None):
        trainer = make_trainer(Job(setup, weight, output, steps, name, cache, save, report))
        trainer.remove_callback(PrinterCallback)  # it prints to stdout
        trainer.remove_callback(ProgressCallback)
        trainer.add_callback(_callback(key, recipe, progress))
        if start is not None:
            copy_weights(start, trainer.model)
        checkpoint = _resume(output, key, trainer) if save else None
        if checkpoint is not None and checkpoint.name == f"checkpoint-{steps}":
            copy_weights(checkpoint, trainer.model)  # `train` would do a step too many
            trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        else:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.is_world_process_zero():
        trainer.model.save_pretrained(folder, safe_serialization=True)
        tidy(folder, setup.base.name, setup.base.revision)
    trainer.accelerator.wait_for_everyone()
    curve = _curve(trainer.state.log_history, recipe.reward_names)
    logged = [point["reward"] for point in curve if point["reward"] is not None]
    del trainer
    gc.collect()  # the next run needs the memory
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return {
        "seconds": time.perf_counter() - begin,
        "training_reward": logged[-1] if logged else None,
        "curve": _thinned(curve),
    }


def _resume(output: Path, key: str, trainer: Any) -> Path | None:
    """The newest valid checkpoint of a training, the same for every process."""
    from accelerate.utils import broadcast_object_list

    found = [newest_checkpoint(output, key) if trainer.is_world_process_zero() else None]
    broadcast_object_list(found)
    return found[0]


def _callback(key: str, recipe: Recipe, progress: Callable[[dict[str, Any]], None] | None) -> Any:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc, unused-ignore]
        """Seals checkpoints and passes on what is logged."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if args.save_strategy == "steps" and state.global_step % args.save_steps == 0:
                control.should_log = True  # means since the last point are in no checkpoint

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            from accelerate import PartialState

            PartialState().wait_for_everyone()
            if state.is_world_process_zero:
                seal_checkpoint(Path(args.output_dir) / f"checkpoint-{state.global_step}", key)

        def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if progress and state.is_world_process_zero:
                for point in _curve(state.log_history[-1:], recipe.reward_names):
                    progress(point)

    return Watch()


def _curve(history: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """The points of a training curve from TRL's logs, without the times in them."""
    return [
        {
            "step": entry["step"],
            "reward": entry.get("reward"),
            "rewards": {name: entry[f"rewards/{name}/mean"] for name in names if f"rewards/{name}/mean" in entry},
            "kl": entry.get("kl"),
            "loss": entry["loss"],
        }
        for entry in history
        if "loss" in entry
    ]


def _thinned(curve: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every k-th point, counted from the last one, so that few enough are left."""
    return curve[::-1][:: -(-len(curve) // CURVE) or 1][::-1]


@contextmanager
def _reporting(report_to: str, logs: Path | None) -> Iterator[None]:
    """Send the files of a logging library to `logs` while training."""
    variable = {"tensorboard": "TENSORBOARD_LOGGING_DIR", "trackio": "TRACKIO_DIR", "wandb": "WANDB_DIR"}.get(report_to)
    if logs is None or variable is None:
        yield
        return
    before = os.environ.get(variable)
    place = logs.parent if report_to == "trackio" else logs  # one store for all trainings, read when it is imported
    place.mkdir(parents=True, exist_ok=True)
    os.environ[variable] = str(place)
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before
        if report_to == "wandb" and "wandb" in sys.modules:
            sys.modules["wandb"].finish()  # else the next training would go on in this run

"""What the alignment stage costs over a bare TRL script that does the same trainings, in CPU seconds.

    python bench/overhead.py [--pairs 5] [--json FILE]

The embedded task, two weights, the settings of examples/embedded.toml. One process, one thread, libraries imported and
both sides run once before. Then pairs in alternating order: the script (`bare`: load the model, GRPOTrainer, train,
save) and the stage (open a session in a new folder, journal, train, hash, sync, rename). Both must give the same
adapters to the last bit, else this fails. The overhead is the median over pairs of stage / bare - 1.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = [(0.5, 0.5, 0.0), (0.2, 0.6, 0.2)]
SETTINGS = {  # examples/embedded.toml and our defaults, as someone would write them for TRL
    "beta": 0.002,
    "max_steps": 24,
    "per_device_train_batch_size": 32,
    "num_generations": 8,
    "learning_rate": 5e-3,
    "max_completion_length": 48,
    "scale_rewards": "none",
    "loss_type": "dr_grpo",
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "dataloader_pin_memory": False,
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "seed": 0,
    "data_seed": 0,
}


def bare(base: Path, prompts: list[str], out: Path) -> None:
    """The script: nothing of palm_opt but the reward functions."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    from palm_opt.align.embedded import brevity, courtesy, helpfulness

    tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
    for i, weight in enumerate(WEIGHTS):
        trainer = GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(base),
            reward_funcs=[helpfulness, brevity, courtesy],
            args=GRPOConfig(output_dir=str(out / str(i)), reward_weights=list(weight), **SETTINGS),
            train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
            processing_class=tokenizer,
            peft_config=LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
        trainer.train()
        trainer.save_model(str(out / str(i)))


def stage(out: Path) -> tuple[Path, list[str]]:
    """The stage; returns the base model's folder and the training prompts, for the script."""
    from palm_opt.align.session import open_session

    with open_session(ROOT / "examples" / "embedded.toml", out, lambda line: None) as session:
        asks = [(weight, None) for weight in WEIGHTS]
        session.ask(asks)
        session.train(session.candidates(asks))
        return session.setup.base.folder, [row["prompt"] for row in session.setup.prompts.train]


def seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of this process."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def adapters(folder: Path) -> list[bytes]:
    """The tensors of all adapters below a folder."""
    from safetensors.numpy import load_file

    files = sorted(folder.rglob("adapter_model.safetensors"))
    return sorted(b"".join(x.tobytes() for _, x in sorted(load_file(file).items())) for file in files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    import torch
    import transformers
    import trl

    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        base, prompts = stage(root / "warm-stage")
        bare(base, prompts, root / "warm-bare")
        if adapters(root / "warm-stage") != adapters(root / "warm-bare"):
            raise SystemExit("the two did not train the same adapters")
        for pair in range(options.pairs):
            sides = {
                "stage": lambda pair=pair: stage(root / f"stage-{pair}"),
                "bare": lambda pair=pair: bare(base, prompts, root / f"bare-{pair}"),
            }
            order = ["bare", "stage"] if pair % 2 == 0 else ["stage", "bare"]
            took = {name: seconds(sides[name]) for name in order}
            rows.append({name: round(took[name], 3) for name in ("bare", "stage")})
            print(f"pair {pair}: bare {took['bare']:.2f} s, stage {took['stage']:.2f} s", flush=True)
    overhead = [row["stage"] / row["bare"] - 1 for row in rows]
    result = {
        "command": f"python bench/overhead.py --pairs {options.pairs}",
        "trainings": len(WEIGHTS),
        "pairs": rows,
        "overhead_median": round(statistics.median(overhead), 4),
        "overhead_range": [round(min(overhead), 4), round(max(overhead), 4)],
        "same_adapters": True,
        "load_average": [round(x, 1) for x in os.getloadavg()],
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "trl": trl.__version__},
    }
    print(f"overhead: median {result['overhead_median']:+.1%}, range {min(overhead):+.1%} to {max(overhead):+.1%}")
    if options.json:
        from palm_opt.storage import write_json

        write_json(options.json, result)


if __name__ == "__main__":
    main()

"""A finished portfolio directory: the tables and proofs of a real run, with small stand-ins for its adapters."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import palm_opt as palm
from palm_opt.portfolio.manifest import FORMAT, MANIFEST, VERSION, write_manifest
from palm_opt.portfolio.store import Store

TRAINED = Path(__file__).resolve().parents[2] / "examples" / "prompted_policies" / "trained"
TABLES = ("answers.csv", "values.csv", "evaluation.parquet", "certificate.json", "certificate-statistical.json")
REWARDS = ("positivity", "brevity", "relevance")
MEMBERS = {"w-100-0-0": (1, 0, 0), "w-0-100-0": (0, 1, 0), "w-0-0-100": (0, 0, 1)}
SUBJECT = {"recipe": {"seed": 0}, "base model": "0" * 64, "data": "1" * 64}


def make_finished(root: Path) -> Path:
    """Write the directory as a run leaves it, but for the report and what was measured by candidate."""
    root.mkdir()
    for name in TABLES:
        shutil.copyfile(TRAINED / name, root / name)
    with Store.open(root, SUBJECT) as store:
        for name, weight in MEMBERS.items():
            store.train(name, f"key of {name}", dict(zip(REWARDS, map(float, weight), strict=True)), _train)
        with store.ledger() as ledger:
            ledger.open(["a prompt", "another"], "a claim", None)
        files = store.fingerprints([*TABLES, *(f"adapters/{name}" for name in MEMBERS)])
        write_manifest(root / MANIFEST, _manifest(root, files, store.head))
    return root


def _train(folder: Path) -> dict[str, Any]:
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "auto_mapping": null}')
    (folder / "adapter_model.safetensors").write_bytes(bytes(range(64)))
    return {"seconds": 313.0, "curve": [{"step": step, "reward": step / 10} for step in range(3)]}


def _manifest(root: Path, files: dict[str, Any], head: dict[str, Any]) -> dict[str, Any]:
    with (root / "values.csv").open(newline="") as stream:
        values = {row["member"]: {name: float(row[name]) for name in REWARDS} for row in csv.DictReader(stream)}
    proved = palm.verify(root / "certificate.json", root / "answers.csv")
    sampled = palm.verify(root / "certificate-statistical.json", root / "evaluation.parquet")
    details: dict[str, Any] = {**sampled.details, **proved.details}
    return {
        "format": FORMAT,
        "version": VERSION,
        "base_model": {"name": "SmolLM2-135M-Instruct", "revision": None, "sha256": SUBJECT["base model"]},
        "rewards": [{"name": name, "low": 0.0, "high": 1.0} for name in REWARDS],
        "beta": 0.01,
        "generation": {"max_new_tokens": 32},
        "objective": "reward",
        "reference": "oracle",
        "tolerances": {"epsilon": proved.epsilon, "delta": proved.delta},
        "run": {
            "stop": "trainings",
            "target": 0.05,
            "trainings": 5,
            "lower_bound": float(details["answered_lower_bound"]),
            "trainer_error": [float(x) for x in details["oracle_error"]],
            "missed": {},
        },
        "statistical": {
            "epsilon": sampled.epsilon,
            "delta": sampled.delta,
            **{key: details[key] for key in ("alpha", "look")},
            "prompts": details["clusters"],
            "prompts_needed": None,
            "reference": "pool",
        },
        "measured": {"split": "select", "prompts": 48, "generations": 2, "candidates": len(values)},
        "members": [
            {
                "name": name,
                "weight": dict(zip(REWARDS, weight, strict=True)),
                "value": values[name],
                "standard_error": dict.fromkeys(REWARDS, 0.02),
                "kl": 1.5,
                "adapter": f"adapters/{name}",
            }
            for name, weight in MEMBERS.items()
        ],
        "files": files,
        "journal": head,
        "producer": {"name": "palm_opt", "version": palm.__version__},
    }


def change_manifest(root: Path, *keys: Any, to: Any) -> None:
    """Change one place of the manifest and seal it again, as one who means harm would."""
    document = json.loads((root / MANIFEST).read_bytes())
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    write_manifest(root / MANIFEST, document)

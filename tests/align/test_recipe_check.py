"""`recipe check`: everything wrong in one run, what is only a warning, prompts from data sets, the estimate of work."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from palm_opt.align import load_recipe
from palm_opt.align.check import check_recipe
from palm_opt.align.estimate import embedded_size, estimate, model_size
from palm_opt.align.measuring.prompts import load_prompts
from palm_opt.align.policies.base import precision
from palm_opt.align.recipe.declaration import SETTINGS
from palm_opt.errors import ProblemError, RecipeError
from tests.recipes import MINIMAL, write

ROOT = Path(__file__).resolve().parents[2]
TEN_MISTAKES = """
[model]
base = "./missing"
[prompts]
source = "prompts.jsonl"
select = 0.7
certify = 0.7
[train]
trainer = "grpo"
batch = 30
generations = 8
learning_rte = 1e-4
report_to = "tensorbord"
[train.trl]
max_gradient_norm = 1.0
[rewards]
kind = { function = "rewards:no_such_function" }
other = { function = "no_such_module_anywhere:f" }
[device]
vllm = "server"
vllm_server = "http://10.0.0.7:8000"
"""


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "palm_opt", "recipe", "check", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_ten_mistakes_give_ten_messages_in_one_run(tmp_path: Path) -> None:
    (tmp_path / "rewards.py").write_text("def f(completions, **_):\n    return [0.0 for _ in completions]\n")
    write(tmp_path, TEN_MISTAKES)
    done = run("recipe.toml", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    lines = [
        line.removeprefix("palm-opt: error: recipe.toml: ") for line in done.stderr.splitlines() if "error" in line
    ]
    pieces = [
        "train.report_to: expected one of 'none', 'tensorboard', 'trackio', 'wandb', got 'tensorbord'",
        "train.learning_rte: unknown key, did you mean train.learning_rate?",
        "train.trl.max_gradient_norm: not an argument that may be passed on, did you mean max_grad_norm?",
        "train.batch: expected a multiple of train.generations (8), got 30",
        "prompts.select: expected select + certify below 1, so that some prompts are left to train on",
        "prompts.source: no such file: prompts.jsonl (looked beside the recipe)",
        "model.base: no such folder: ./missing (looked beside the recipe)",
        "device.vllm_server: expected localhost or 127.0.0.1, got 10.0.0.7; vllm_remote = true allows it",
        "rewards.kind.function: rewards has no function no_such_function",
        "rewards.other.function: cannot import no_such_module_anywhere: ModuleNotFoundError: No module named "
        "'no_such_module_anywhere'",
    ]
    assert len(pieces) == 10 and lines == pieces
    document = json.loads(run("recipe.toml", "--json", cwd=tmp_path).stdout)
    assert document["ok"] is False and document["errors"] == pieces
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / "recipe.toml")
    assert list(caught.value.faults) == pieces[:8] and "\n" not in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))  # a worker process hands errors over
    assert str(again) == str(caught.value) and again.faults == caught.value.faults


def test_help_lists_every_key(tmp_path: Path) -> None:
    said = " ".join(run("--help", cwd=tmp_path).stdout.split())
    assert all(f" {setting.key} " in said for setting in SETTINGS)
    assert "Rank. (an integer >= 1; 8)" in said and "rewards.NAME.low" in said


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ('[train]\ntrainer = "rloo"\nloss = "grpo"\n', "train.loss: the trainer rloo has no such choice"),
        ('[train]\ntrainer = "rloo"\nscale_rewards = "group"\n', "train.scale_rewards: expected 'none' or 'batch'"),
        ('[train]\ntrainer = "rloo"\n[train.trl]\ndelta = 2.0\n', "train.trl.delta: RLOOConfig has no such argument"),
        ('[train]\ntrainer = "dpo-rerank"\n', "train.beta: expected a number above 0 with the trainer dpo-rerank"),
        (
            '[train]\ntrainer = "dpo-rerank"\nbeta = 0.1\n[device]\nvllm = "colocate"\n',
            "device.vllm: the trainer dpo-rerank generates nothing",
        ),
        ("[train]\nsave_every = 3\n[train.trl]\nnum_iterations = 2\n", "train.save_every: expected a multiple of 2"),
        ('[train.trl]\ngradient_accumulation_steps = "2"\n', "steps: expected int, got '2'"),
        ('[lora]\ntarget = "q_proj,lm_head"\n', "lora.target: TRL does not train an adapter of lm_head"),
        ('[lora]\ntarget = "q_proj,w_proj"\n', "lora.target: the base model has no module 'w_proj' with a matrix"),
        ('[device]\nvllm = "server"\nvllm_server = "10.0.0.1"\n', "device.vllm_server: expected http://HOST:PORT"),
        ('[device]\nvllm = "server"\nvllm_server = "http://0.0.0.0:8000"\n', "got 0.0.0.0"),
        ('[device]\nvllm = "server"\n[launch]\nworkers = 2\n', "launch.workers: expected 1, as the vLLM server"),
        ("[train]\nbatch = 32000\n", "prompts: 960 prompts leave"),
        ('[train]\nreport_to = "wandb"\n', "train.report_to: wandb is not installed: pip install wandb"),
    ],
)
def test_faults_of_settings_together(tmp_path: Path, text: str, piece: str) -> None:
    if "wandb" in text and __import__("importlib").util.find_spec("wandb"):
        pytest.skip("wandb is installed")
    errors = check_recipe(write(tmp_path, MINIMAL + text)).errors
    assert len(errors) == 1 and piece in errors[0], errors


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ('lr_scheduler_type = "linar"', "train.trl: TRL refuses these settings: linar is not a valid SchedulerType"),
        ("steps_per_generation = 3\ngradient_accumulation_steps = 2", ""),
    ],
)
def test_trl_itself_looks_at_its_arguments(tmp_path: Path, text: str, piece: str) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("trl")
    errors = check_recipe(write(tmp_path, f"{MINIMAL}[train.trl]\n{text}\n")).errors
    assert errors == () if not piece else (len(errors) == 1 and piece in errors[0]), errors


def test_what_needs_a_gpu_or_a_download_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    text = MINIMAL.replace('base = "embedded"', 'base = "no-owner/no-model"')
    text += 'judge = { model = "no-owner/no-judge", low = -5, high = 5 }\n'
    found = check_recipe(write(tmp_path, text + '[device]\nprecision = "bfloat16"\nvllm = "colocate"\n'))
    assert found.errors == () and found.recipe is not None and found.recipe.rewards[1].source == "no-owner/no-judge"
    for piece in (
        "device.precision = bfloat16: made for a GPU",
        "device.vllm = colocate: made for a GPU",
        "model.base: no-owner/no-model is not on this machine yet",
        "rewards.judge.model: no-owner/no-judge is not on this machine yet",
    ):
        assert any(piece in warning for warning in found.warnings), piece
    with pytest.raises(RecipeError, match="float16 needs a GPU"):
        precision("float16")
    assert found.estimate is not None and found.estimate.memory is None and found.estimate.trainings == 100


@pytest.mark.parametrize("kind", ["folder", "splits", "jsonl", "parquet"])
def test_prompts_of_a_named_column(tmp_path: Path, kind: str) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"question": f"how many {i}?", "prompt": "not this", "level": i} for i in range(40)]
    data, source = datasets.Dataset.from_list(rows), "data"
    if kind == "folder":
        data.save_to_disk(tmp_path / source)
    elif kind == "splits":
        datasets.DatasetDict({"train": data, "rest": data.select([0])}).save_to_disk(tmp_path / source)
    elif kind == "jsonl":
        source = "data.jsonl"
        (tmp_path / source).write_text("\n".join(map(json.dumps, rows)))
    else:
        source = "data.parquet"
        data.to_parquet(tmp_path / source)
    text = MINIMAL.replace('source = "embedded"', f'source = "{source}"\ncolumn = "question"')
    prompts = load_prompts(load_recipe(write(tmp_path, text)))
    every = [*prompts.train, *prompts.select, *prompts.certify]
    assert sorted(row["level"] for row in every) == list(range(40))
    assert set(every[0]) == {"prompt", "level"} and every[0]["prompt"].startswith("how many")
    wrong = text.replace('"question"', '"nothing"')
    with pytest.raises(ProblemError, match=r"(row 0|line 1): expected an object with a 'nothing'"):
        load_prompts(load_recipe(write(tmp_path, wrong)))
    if kind == "splits":
        errors = check_recipe(write(tmp_path, text.replace("[rewards]", 'split = "dev"\n[rewards]'))).errors
        assert len(errors) == 1 and "no split 'dev'; it has train, rest" in errors[0]


def test_a_folder_that_is_no_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "data").mkdir()
    for source, piece in (("data", "cannot be read as a data set"), ("hf:no-owner/none", "the hub gave no split")):
        errors = check_recipe(write(tmp_path, MINIMAL.replace('source = "embedded"', f'source = "{source}"'))).errors
        assert len(errors) == 1 and piece in errors[0] and "\n" not in errors[0]


def test_estimate_counts_what_is_sampled(tmp_path: Path) -> None:
    found = check_recipe(ROOT / "examples" / "embedded.toml")
    assert found.recipe is not None and found.prompts is not None and found.estimate is not None
    most = found.recipe.budget.trainings
    first = math.comb(found.recipe.plan.lattice + 2, 2)
    assert found.estimate.trainings == most > found.estimate.first_round == first and found.estimate.limited
    assert found.estimate.completions_training == most * 24 * 32
    assert found.estimate.completions_measuring == (most + 1) * 256 * found.recipe.evaluation.generations
    train = dataclasses.replace(found.recipe.train, trainer="dpo-rerank", pool=100)
    pool = estimate(dataclasses.replace(found.recipe, train=train), found.prompts, embedded_size())
    assert pool.completions_training == 100 * 8 and pool.adapter_parameters == found.estimate.adapter_parameters
    for options, kinds, passes in (({"soups": True}, 1, 1), ({"soups": True, "decoding": True}, 2, 1 + 3)):
        plan = dataclasses.replace(found.recipe.plan, **options)
        blends = estimate(dataclasses.replace(found.recipe, plan=plan), found.prompts, embedded_size())
        each = (most - first) * 256 * found.recipe.evaluation.generations
        assert blends.blends == kinds * (most - first)
        assert blends.completions_measuring == found.estimate.completions_measuring + kinds * each
        completions = found.estimate.completions_training + found.estimate.completions_measuring
        assert blends.tokens == pytest.approx(found.estimate.tokens * (1 + passes * each / completions))
        assert f"{kinds * (most - first)}: one a kind and training" in dict(blends.lines())["soups, mixtures"]
    text = run(str(ROOT / "examples" / "embedded.toml"), cwd=tmp_path).stdout
    for piece in ("trainings    at most ", "258,528 of the base model, 29,184 trained", "prompts      train 483"):
        assert piece in text, piece


def test_adapters_of_experts_are_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    header = json.dumps({"model.q_proj.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(16)
    (tmp_path / "base" / "model.safetensors").write_bytes(weights)
    (tmp_path / "base" / "config.json").write_text('{"num_experts": 4}')
    text = MINIMAL.replace('base = "embedded"', 'base = "./base"')
    for more, warned in (("", False), ("[plan]\ndecoding = true\n", True)):
        found = check_recipe(write(tmp_path, text + more))
        assert not found.errors and warned == any("plan.decoding: PEFT" in warning for warning in found.warnings)
    assert not check_recipe(write(tmp_path, text + more + '[lora]\ntarget = "q_proj"\n')).warnings


def test_estimate_matches_the_models_that_peft_makes(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    from palm_opt.align.policies.pretrain import SHAPE, VOCABULARY

    models = [
        LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, tie_word_embeddings=True, **SHAPE)),
        LlamaForCausalLM(LlamaConfig(vocab_size=90, hidden_size=32, num_hidden_layers=2, num_attention_heads=4)),
        GPT2LMHeadModel(GPT2Config(vocab_size=90, n_embd=32, n_layer=2, n_head=4)),
    ]
    for i, model in enumerate(models):
        model.save_pretrained(tmp_path / str(i))
        size = model_size(tmp_path / str(i))
        assert size.parameters == model.num_parameters()
        lora = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
        assert 4 * sum(map(sum, size.matrices_of("all-linear"))) == lora.get_nb_trainable_parameters()[0]
        if i == 0:
            made = embedded_size()
            assert sum(map(sum, made.matrices_of("all-linear"))) == sum(map(sum, size.matrices_of("all-linear")))
            assert made.parameters == size.parameters and made.config["vocab_size"] == size.config["vocab_size"]

"""Recipes: defaults, every fault at once, rewards that never go missing, prompts that stay in their split."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from palm_opt import checker
from palm_opt.align import load_recipe
from palm_opt.align.measuring.evaluate import Policies
from palm_opt.align.measuring.prompts import load_prompts, read_rows
from palm_opt.align.measuring.rewards import RewardFunction, resolve_rewards
from palm_opt.align.recipe.declaration import SETTINGS, TRL_ARGUMENTS, Reward
from palm_opt.align.recipe.listing import markdown, trl_markdown
from palm_opt.align.recipe.reading import read_draft
from palm_opt.align.recipe.settings import REQUIRED
from palm_opt.align.training.setup import measuring_sha256, training_settings, training_sha256
from palm_opt.errors import ProblemError, RecipeError
from palm_opt.tables.samples import Samples
from palm_opt.tables.weights import read_weights
from tests.recipes import MINIMAL, write

ROOT = Path(__file__).resolve().parents[2]


def fault(folder: Path, text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(folder, text))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_example_recipes_load() -> None:
    recipe = load_recipe(ROOT / "examples" / "embedded.toml")
    assert recipe.reward_names == ("helpfulness", "brevity", "courtesy")
    assert len(resolve_rewards(recipe)) == 3


def test_defaults_come_from_the_table(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, MINIMAL))
    for setting in SETTINGS:
        section, _, name = setting.key.rpartition(".")
        value = getattr(getattr(recipe, section) if section else recipe, name)
        if setting.default is not REQUIRED:
            assert value == setting.default and setting.accepts(setting.default), setting.key
        assert type(value) is setting.kind
    assert recipe.ranges == ((0.0, 1.0),)
    assert recipe.train.scale_rewards == "none" and recipe.train.aggregation == "sum_then_normalize"


def test_every_fault_is_listed(tmp_path: Path) -> None:
    message = fault(
        tmp_path,
        """
        seed = -1
        sede = 3
        [model]
        revision = 4
        [prompts]
        source = "embedded"
        select = "half"
        [train]
        steps = 0
        beta = -0.1
        batch = true
        loss = "ppo"
        [train.trl]
        reward_weights = [1.0]
        num_iterations = 1.5
        [rewards]
        a = { function = "no colon", low = 1, high = 0 }
        member = { function = "x:y" }
        b = 3
        [generation]
        temprature = 1.0
        """,
    )
    for piece in (
        "recipe.toml: seed: expected an integer from 0 to 2147483647, got -1",
        "sede: unknown key, did you mean seed?",
        "model.base: expected a non-empty text, it is missing",
        "model.revision: expected a non-empty text, got 4",
        "prompts.select: expected a number from 0 to 1, got 'half'",
        "train.steps: expected an integer >= 1, got 0",
        "train.beta: expected a number >= 0, got -0.1",
        "train.batch: expected an integer >= 1, got true",
        "train.loss: expected one of 'dr_grpo', 'dapo', 'bnpo', 'grpo', got 'ppo'",
        "train.trl.reward_weights: not an argument",
        "train.trl.num_iterations: expected int, got 1.5",
        "rewards.a.function: expected \"module:function\", got 'no colon'",
        "rewards.a: expected finite numbers low < high, got low 1, high 0",
        "rewards.member:",
        "rewards.b: expected a table",
        "generation.temprature: unknown key, did you mean generation.temperature?",
    ):
        assert piece in message, piece


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("[model", "not TOML"),
        (MINIMAL.replace("[rewards]", "[rewardz]"), "rewards: expected at least one line"),
        (MINIMAL + "[train]\nbatch = 10\n", "expected a multiple of train.generations (8), got 10"),
        (MINIMAL.replace('"embedded"', '"embedded"\nselect = 0.5\ncertify = 0.5', 2), "model.select: unknown key"),
        (MINIMAL.replace('source = "embedded"', 'source = "no.jsonl"'), "no such file: no.jsonl"),
        (MINIMAL.replace('source = "embedded"', 'source = "a.txt"'), "expected 'embedded' or a .jsonl"),
        (MINIMAL.replace('base = "embedded"', 'base = "./none"'), "no such folder: ./none"),
        (MINIMAL + "train = 3\n", "short"),
        ('train = 3\nrewards = "x"\n', "train: expected a table"),
        (MINIMAL.replace('source = "embedded"', 'source = "embedded"\nselect = nan'), "got nan"),
    ],
)
def test_single_faults(tmp_path: Path, text: str, piece: str) -> None:
    if "train = 3\n" in text and "short" in piece:
        piece = "rewards.train: expected a table"
    assert piece in fault(tmp_path, text)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="UTF-8"):
        load_recipe(tmp_path / "b.toml")


def test_hash_follows_what_training_depends_on(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def f(completions, **_):\n    return [0.0 for _ in completions]\n")
    text = MINIMAL.replace("palm_opt.align.embedded:brevity", "own:f")
    recipe = load_recipe(write(tmp_path, text))
    same = load_recipe(write(tmp_path, text + "[plan]\ndelta = 0.2\n[evaluation]\nprompts = 9\n"))
    assert training_sha256(same) == training_sha256(recipe)
    assert measuring_sha256(same) != measuring_sha256(recipe)
    for change in ("[train]\nbeta = 0.1\n", "[train.trl]\nmax_grad_norm = 0.5\n", "[lora]\nr = 4\n"):
        assert training_sha256(load_recipe(write(tmp_path, text + change))) != training_sha256(recipe)
    before = training_sha256(recipe)
    (tmp_path / "own.py").write_text("def f(completions, **_):\n    return [1.0 for _ in completions]\n")
    assert training_sha256(recipe) != before


@pytest.mark.parametrize(
    ("file", "training", "measuring"),
    [
        ("embedded.toml", "7d90e8e92e046ee2", "623daa7b2c32790d"),
        ("prompted_policies/train.toml", "d26e92cb8c140f13", "647b78da31eaadda"),
    ],
)
def test_hashes_of_existing_runs_stay(file: str, training: str, measuring: str) -> None:
    """As they were before the keys were declared as fields; the sources of the rewards are hashed beside."""
    recipe = read_draft(ROOT / "examples" / file).recipe
    settings = training_settings(recipe)
    sources = settings.pop("reward_sources")
    assert sources and all(len(digest) == 64 for digest in sources.values())

    def digest(document: object) -> str:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    assert digest(settings)[:16] == training
    assert digest(dataclasses.asdict(recipe.evaluation))[:16] == measuring
    assert training_sha256(recipe) == digest({**settings, "reward_sources": sources})
    assert measuring_sha256(recipe) == digest(
        {"training": training_sha256(recipe), "evaluation": dataclasses.asdict(recipe.evaluation)}
    )


def test_the_finished_run_of_the_examples_verifies() -> None:
    folder = ROOT / "examples" / "prompted_policies" / "trained"
    verified = checker.verify_files(folder / "certificate.json", folder / "answers.csv")
    assert str(verified).startswith("VERIFIED kind=conditional members=3 ")
    ranges = [(0.0, 1.0)] * 3
    names = ["positivity", "brevity", "relevance"]
    samples = Samples.read(folder / "evaluation.parquet", ranges=ranges, rewards=names, scale="ranges")
    checker.check(checker.read_certificate(folder / "certificate-statistical.json"), samples.problem())


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        (MINIMAL + f"[train]\nbeta = 1{'0' * 400}\n", "train.beta: expected a number >= 0, got 1000"),
        (MINIMAL + f"[rewards.b]\nfunction = 'x:y'\nhigh = 1{'0' * 400}\n", "rewards.b.high: expected a finite number"),
        (MINIMAL + "[train.trl]\nweight_decay = nan\n", "train.trl.weight_decay: expected float, got nan"),
        (MINIMAL + '[device]\nvllm = "server"\nvllm_server = "http://[::1"\n', "expected http://HOST:PORT"),
        (MINIMAL + "b = { function = 'x:y', lwo = 1 }\n", "rewards.b.lwo: unknown key, did you mean rewards.b.low?"),
    ],
)
def test_strange_values_are_faults(tmp_path: Path, text: str, piece: str) -> None:
    assert piece in fault(tmp_path, text)


def test_reward_modules_of_two_recipes_do_not_mix(tmp_path: Path) -> None:
    found = []
    for name, value in (("one", 0.25), ("two", 0.75)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "own.py").write_text(f"import near\ndef f(completions, **_):\n    return [{value}] * near.N\n")
        (folder / "near.py").write_text("N = 1\n")
        recipe = load_recipe(write(folder, MINIMAL.replace("palm_opt.align.embedded:brevity", "own:f")))
        found.append(resolve_rewards(recipe)[0](["p"], ["c"]))
    assert found == [[0.25], [0.75]]


@pytest.mark.parametrize(
    ("target", "piece"),
    [("nowhere_at_all:f", "cannot import"), ("json:nope", "has no function nope"), ("own:slow", "coroutine")],
)
def test_reward_that_cannot_be_found(tmp_path: Path, target: str, piece: str) -> None:
    (tmp_path / "own.py").write_text("async def slow(**_):\n    return []\n")
    recipe = load_recipe(write(tmp_path, MINIMAL.replace("palm_opt.align.embedded:brevity", target)))
    with pytest.raises(RecipeError, match=piece):
        resolve_rewards(recipe)


def test_rewards_clip_scale_and_count() -> None:
    reward = RewardFunction(Reward("r", "m:f", -1.0, 3.0), lambda prompts, completions, **_: [-2, 1.0, np.float32(9)])
    assert reward(["a"] * 3, ["b"] * 3, trainer_state=None) == [0.0, 0.5, 1.0]
    assert (reward.clipped, reward.scored, reward.__name__) == (2, 3, "r")
    assert reward.score(["a"] * 3, ["b"] * 3).tolist() == [-1.0, 1.0, 3.0]


@pytest.mark.parametrize(
    ("function", "piece"),
    [
        (lambda **_: [0.1, None], "got None for the prompt 'second'"),
        (lambda **_: [float("nan"), 0.1], "got nan for the prompt 'first'"),
        (lambda **_: [0.1, "x"], "got 'x'"),
        (lambda **_: [0.1], "expected 2 rewards, one a completion, got 1"),
        (lambda **_: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_missing_rewards_are_errors(function: object, piece: str) -> None:
    with pytest.raises(ProblemError, match="reward 'r'") as caught:
        RewardFunction(Reward("r", "m:f", 0.0, 1.0), function)(["first", "second"], ["", ""])  # type: ignore[arg-type]
    assert piece in str(caught.value)


def test_prompts_stay_in_their_split(tmp_path: Path) -> None:
    rows = [{"prompt": f"question {i}", "answer": i} for i in range(400)]
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "p.jsonl").write_text("\n".join(lines) + "\n\n")
    (tmp_path / "q.jsonl").write_text("\n".join(reversed(lines[:300])))
    text = MINIMAL.replace('source = "embedded"', 'source = "p.jsonl"')
    every = load_prompts(load_recipe(write(tmp_path, text)))
    fewer = load_prompts(load_recipe(write(tmp_path, text.replace("p.jsonl", "q.jsonl"))))
    assert [len(s) for s in (every.train, every.select, every.certify)] == pytest.approx([240, 80, 80], abs=35)
    for name in ("train", "select", "certify"):
        have = {row["answer"] for row in getattr(every, name)}
        assert {row["answer"] for row in getattr(fewer, name)} == {i for i in have if i < 300}
    assert every.sha256 != fewer.sha256


def test_prompts_from_parquet_and_chat(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet as parquet

    rows = [{"prompt": [{"role": "user", "content": f"hello {i}"}]} for i in range(50)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "p.parquet")
    recipe = load_recipe(write(tmp_path, MINIMAL.replace('source = "embedded"', 'source = "p.parquet"')))
    assert load_prompts(recipe).train[0]["prompt"][0]["role"] == "user"


def test_lines_with_different_columns_are_brought_to_one_schema(tmp_path: Path) -> None:
    """What a reward sees, and so what is measured, once depended on which row a batch began with."""
    rows = [{"prompt": "a"}, {"prompt": "b", "hint": 1}, {"prompt": "c", "answer": "x"}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = load_recipe(write(tmp_path, MINIMAL.replace('source = "embedded"', 'source = "p.jsonl"')))
    read = read_rows("p.jsonl", "prompt", "train", "default", tmp_path)
    assert read == [{"hint": None, "answer": None, **row} for row in rows]

    class Echo(Policies):
        """Completions without a model."""

        def _generate(self, model: object, batch: list[dict[str, object]], adapted: bool) -> tuple[object, ...]:
            return ["word"] * len(batch), [[1]] * len(batch), np.zeros(len(batch))

    def hints(hint: list[int | None], answer: list[str | None], **_: object) -> list[float]:
        return [0.25 * (h or 0) + 0.5 * (a is not None) for h, a in zip(hint, answer, strict=True)]

    found = []
    for batch in (1, 2, 3):
        evaluation = dataclasses.replace(recipe.evaluation, batch=batch, generations=1)
        policies = Echo(None, None, dataclasses.replace(recipe, evaluation=evaluation))
        measured = policies.measure((), read, [RewardFunction(recipe.rewards[0], hints)])
        found.append(measured["short"].ravel().tolist())
    assert found == [[0.0, 0.25, 0.5]] * 3
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}\n{"prompt": [{"role": "user", "content": "b"}]}\n')
    with pytest.raises(ProblemError, match=r"line 2: expected 'prompt' to be a text as in the rows before, got chat"):
        read_rows("p.jsonl", "prompt", "train", "default", tmp_path)


@pytest.mark.parametrize("line", ['{"no": 1}', "not json", '{"prompt": ""}', "[1]", '{"prompt": [1]}'])
def test_bad_prompts_name_their_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "good"}\n' + line + "\n")
    with pytest.raises(ProblemError, match="line 2"):
        load_prompts(load_recipe(write(tmp_path, MINIMAL.replace('source = "embedded"', 'source = "p.jsonl"'))))


def test_weights(tmp_path: Path) -> None:
    names = ("a", "b")
    assert read_weights([[1, 3], [0.5, 0.5]], names).tolist() == [[0.25, 0.75], [0.5, 0.5]]
    (tmp_path / "w.csv").write_text("b,a,note\n3,1,x\n")
    assert read_weights(tmp_path / "w.csv", names).tolist() == [[0.25, 0.75]]
    plan = dataclasses.make_dataclass("Plan", ["weights"])(np.eye(2))
    assert read_weights(plan, names).tolist() == [[1, 0], [0, 1]]
    (tmp_path / "bad.csv").write_text("a\n1\n")
    for bad in ([[1, 2, 3]], [[-1, 2]], [[0, 0]], [[np.nan, 1]], [], "x", tmp_path / "bad.csv", tmp_path / "none.csv"):
        with pytest.raises(ProblemError):
            read_weights(bad, names)


def test_the_documentation_has_the_tables() -> None:
    text = (ROOT / "docs" / "alignment.md").read_text(encoding="utf-8")
    assert markdown() in text and trl_markdown() in text
    assert all(f"`{name}`" in text for name in TRL_ARGUMENTS)


def test_checking_a_recipe_loads_no_torch() -> None:
    code = (
        "import sys, palm_opt.portfolio.route\n"
        "from palm_opt.align import load_recipe\n"
        "from palm_opt.align.training.setup import training_sha256\n"
        "training_sha256(load_recipe('examples/embedded.toml'))\n"
        "bad = {'torch', 'transformers', 'trl', 'peft', 'datasets', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not bad, bad\n"
        "import palm_opt\n"
        "assert callable(palm_opt.align.train)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

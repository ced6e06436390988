"""plan.json: what is written reads back; what is wrong is refused with its key; which recipes a plan fits."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from palm_opt.align import load_recipe
from palm_opt.align.weights import weights_for
from palm_opt.errors import ProblemError
from palm_opt.planning.planned import Plan, Planned
from palm_opt.result import Certificate, Stop

ROOT = Path(__file__).resolve().parents[2]
REWARDS = ("courtesy", "helpfulness", "brevity")  # not in the recipe's order
MEMBERS = (
    Planned((0.5, 0.25, 0.25), (0.5, 0.4, 0.1), (0.6, 0.5, 0.2), 0.1 / 3, 0.4, -0.01, 0.002),
    Planned((0.0, 1.0, 0.0), (0.1, 0.9, 0.3), (0.1, 0.9, 0.3), 0.0, 0.9, math.nan, math.nan),
)
PLAN = Plan(
    rewards=REWARDS,
    scale="none",
    beta=0.002,
    epsilon=0.0,
    delta=0.02,
    members=MEMBERS,
    regret=0.019,
    worst_weight=(0.1, 0.2, 0.7),
    lower_bound=2,
    calls=5,
    evaluations=9,
    gaps=(math.inf, math.inf, 0.2, 0.1, 0.019),
    strategy="adaptive",
    stop=Stop.PROVED,
    prompts=10,
    responses=40,
    single=1,
    certificate=Certificate({"kind": "conditional", "subject": {"type": "scores"}}),
)


def same(a: Plan, b: Plan) -> bool:
    return repr(a) == repr(b)  # NaN is not equal to itself


@pytest.mark.parametrize(
    "plan",
    [
        PLAN,
        replace(
            PLAN, certificate=None, regret=math.inf, worst_weight=None, scale=((0.0, 1.0), (-3.0, 2.5), (0.0, 9.0))
        ),
    ],
)
def test_what_is_written_reads_back(tmp_path, plan):
    path = plan.write(tmp_path / "plan.json")
    assert same(Plan.read(path), plan)
    assert path.read_bytes() == Plan.read(path).write(tmp_path / "again.json").read_bytes()
    json.loads(path.read_text(), parse_constant=lambda text: pytest.fail(text))


FAULTS = {
    "format": ("x", "format: expected 'palm_opt plan', got 'x'"),
    "version": (2, "version: expected 1, got 2"),
    "rewards": (["a", "a"], "rewards: expected distinct names"),
    "beta": ("0.1", "beta: expected a finite number >= 0, got '0.1'"),
    "epsilon": (True, "epsilon: expected a finite number >= 0"),
    "delta": (10**400, "delta: expected a finite number >= 0"),
    "calls": (-1, "calls: expected an integer >= 0"),
    "scale": ([[0, 1]], 'scale: expected "none" or 3 pairs'),
    "gaps": (["x"], "gaps: expected finite numbers or null"),
    "stop": ("NEVER", "stop: expected 'PROVED'"),
    "members": ([], "members: expected at least one"),
    "table": (None, "table.: expected an object, got None"),
    "certificate": (3, "certificate: expected an object or null"),
    "worst_weight": ({"courtesy": 1}, "worst_weight: expected one number for each of courtesy"),
}


@pytest.mark.parametrize("key", FAULTS)
def test_faults_name_file_and_key(tmp_path, key):
    value, message = FAULTS[key]
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(PLAN.document() | {key: value}))
    with pytest.raises(ProblemError) as caught:
        Plan.read(path)
    assert str(caught.value).startswith(f"{path}: {message}"), caught.value
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    missing = PLAN.document()
    del missing[key]
    path.write_text(json.dumps(missing))
    with pytest.raises(ProblemError, match=f"{key}: missing"):
        Plan.read(path)


def test_faults_inside_members(tmp_path):
    path = tmp_path / "plan.json"
    for change, message in [
        (
            {"weight": {"courtesy": 0.5, "helpfulness": 0.5, "brevity": 0.5}},
            r"members\[1\].weight: expected numbers wi",
        ),
        ({"weight": {"courtesy": 2, "helpfulness": -1, "brevity": 0}}, r"members\[1\].weight.helpfulness: expected"),
        ({"value": {"courtesy": 1, "helpfulness": 1}}, r"members\[1\].value: expected one number for each"),
        ({"kl": -1}, r"members\[1\].kl: expected a finite number >= 0"),
        ({"opt": None}, r"members\[1\].opt: expected a finite number"),
    ]:
        document = PLAN.document()
        document["members"][1] |= change
        path.write_text(json.dumps(document))
        with pytest.raises(ProblemError, match=message):
            Plan.read(path)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"a": NaN}', "[" * 100_000, "\x00\xff"])
def test_not_a_plan(tmp_path, text):
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ProblemError, match=r"plan\.json: "):
        Plan.read(path)
    with pytest.raises(ProblemError, match="no such file"):
        Plan.read(tmp_path / "none.json")


def test_weights_are_in_the_order_of_the_recipe(tmp_path):
    recipe = load_recipe(ROOT / "examples" / "embedded.toml")
    assert recipe.reward_names == ("helpfulness", "brevity", "courtesy")
    expected = [[0.25, 0.25, 0.5], [1, 0, 0]]
    assert weights_for(PLAN, recipe).tolist() == expected
    assert weights_for(PLAN.write(tmp_path / "plan.json"), recipe).tolist() == expected
    assert weights_for(str(tmp_path / "plan.json"), recipe).tolist() == expected
    assert weights_for(np.array(expected), recipe).tolist() == expected


def test_a_plan_for_another_recipe_is_refused(tmp_path):
    recipe = load_recipe(ROOT / "examples" / "embedded.toml")
    path = replace(PLAN, beta=0.1).write(tmp_path / "plan.json")
    with pytest.raises(
        ProblemError, match=r"plan\.json: planned for beta = 0\.1, .*embedded\.toml trains with .* 0\.002"
    ):
        weights_for(path, recipe)
    with pytest.raises(ProblemError, match=r"plan: planned 'brevity' on the scale 0 to 2, .* trains it on 0 to 1"):
        weights_for(replace(PLAN, scale=((0.0, 1.0), (0.0, 1.0), (0.0, 2.0))), recipe)
    with pytest.raises(ProblemError, match="is about the rewards safe, helpfulness, brevity"):
        weights_for(replace(PLAN, rewards=("safe", "helpfulness", "brevity")), recipe)


def test_warnings_say_what_the_promise_is_not_about():
    text = " ".join(PLAN.warnings)
    assert "estimate: OPT is that of 10 prompts with 4 sampled responses" in text
    assert "off by -0.01 to -0.01" in text and "more than delta" not in text and "1 of 10 prompts" in text
    assert "up to 0.002" in text
    worse = replace(PLAN, delta=0.001, epsilon=0.1, members=(replace(MEMBERS[0], opt=-0.5), MEMBERS[1]))
    assert "more than delta = 0.001" in " ".join(worse.warnings) and "OPT is negative" in " ".join(worse.warnings)
    given = Certificate({"subject": {"type": "answers"}})
    assert "takes the evaluated value vectors as given" in replace(PLAN, certificate=given).warnings[-1]
    assert PLAN.kept and PLAN.audited and not replace(PLAN, certificate=None).kept

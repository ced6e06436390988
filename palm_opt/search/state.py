"""The state of a search as JSON text: answers and open questions; bounds and envelope follow from them."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from palm_opt.errors import ProblemError
from palm_opt.search.answers import vector
from palm_opt.search.asking import Asking

__all__ = ["read", "write"]

S = TypeVar("S", bound=Asking)
_FLOAT = re.compile(r"-?0x[01]\.[0-9a-f]{1,13}p[+-][0-9]{1,4}")
_KEYS = frozenset({"format", "version", "n_rewards", "epsilon", "delta", "oracle_error", "strategy", "seed"})
_KEYS |= {"floor", "resolution", "max_calls", "rewards", "taken", "answers", "outstanding"}


def write(search: Asking) -> str:
    """The state of a search."""
    answers = search.answers
    state = {
        "format": "palm_opt search",
        "version": 1,
        "n_rewards": search.d,
        "epsilon": search.epsilon.hex(),
        "delta": search.delta.hex(),
        "oracle_error": None if answers.oracle_error is None else [x.hex() for x in answers.oracle_error],
        "strategy": search.strategy,
        "seed": search.seed,
        "floor": None if answers.floor is None else _hex(answers.floor),
        "resolution": search.resolution,
        "max_calls": search.max_calls,
        "rewards": list(search.rewards),
        "taken": 0 if search.schedule is None else search.schedule.taken,
        "answers": [
            [_hex(weight) if np.isfinite(weight).all() else None, _hex(value)]
            for weight, value in zip(answers.weights, answers.values, strict=True)
        ],
        "outstanding": [_hex(weight) for weight in search.outstanding],
    }
    return json.dumps(state, separators=(",", ":"))


def read(text: str, kind: type[S]) -> S:
    """The search of a state, of the class `kind`."""
    try:
        state = json.loads(text)
    except (TypeError, ValueError, RecursionError) as problem:
        raise ProblemError(f"search state: not JSON: {problem}") from problem
    if not isinstance(state, dict) or set(state) != _KEYS:
        raise ProblemError(f"search state: expected an object with the keys {', '.join(sorted(_KEYS))}")
    if state["format"] != "palm_opt search" or state["version"] != 1:
        raise ProblemError("search state: expected format 'palm_opt search', version 1")
    d = _integer(state, "n_rewards", 1)
    floor = state["floor"]
    error = state["oracle_error"]
    search = kind(
        d,
        epsilon=_number("epsilon", state["epsilon"]),
        delta=_number("delta", state["delta"]),
        oracle_error=None if error is None else tuple(_vector("oracle_error", error, 2).tolist()),
        strategy=state["strategy"] if isinstance(state["strategy"], str) else "",
        seed=_integer(state, "seed", 0),
        floor=None if floor is None else _vector("floor", floor, d),
        resolution=None if state["resolution"] is None else _integer(state, "resolution", 1),
        max_calls=None if state["max_calls"] is None else _integer(state, "max_calls", 0),
        rewards=_list("rewards", state["rewards"]),
    )
    for number, entry in enumerate(_list("answers", state["answers"])):
        if not isinstance(entry, list) or len(entry) != 2:
            _bad(f"answers[{number}]", "[weight or null, value]")
        weight = None if entry[0] is None else _vector(f"answers[{number}]", entry[0], d)
        search.tell(weight, _vector(f"answers[{number}]", entry[1], d), answer=weight is not None)
    for number, weight in enumerate(_list("outstanding", state["outstanding"])):
        search.outstanding.append(_vector(f"outstanding[{number}]", weight, d))
    taken = _integer(state, "taken", 0)
    if taken:
        if len(search.answers.units) < d:
            _bad("taken", "0 before the unit weights are answered")
        search.schedule = search.new_schedule()
        for _ in range(taken):
            if search.schedule.next() is None:
                _bad("taken", "at most the weights of the strategy")
    return search


def _bad(where: str, what: str) -> NoReturn:
    raise ProblemError(f"search state: {where}: expected {what}")


def _list(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        _bad(where, "a list")
    return value


def _integer(state: dict[str, Any], key: str, least: int) -> int:
    value = state[key]
    if type(value) is not int or not least <= value < 2**63:
        _bad(key, f"an integer of at least {least}")
    return int(value)


def _number(where: str, value: Any) -> float:
    if not isinstance(value, str) or not _FLOAT.fullmatch(value):
        _bad(where, "a hex float")
    try:
        return float.fromhex(value)
    except OverflowError:
        _bad(where, "a finite hex float")


def _vector(where: str, value: Any, d: int) -> NDArray[np.float64]:
    return vector(f"search state: {where}", [_number(where, x) for x in _list(where, value)], d)


def _hex(numbers: NDArray[np.float64]) -> list[str]:
    return [x.hex() for x in numbers.tolist()]

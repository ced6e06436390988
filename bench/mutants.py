"""Mutants of certificates against an oracle of their claims: python -m bench.mutants --count 10000

Certificates of random small pools (up to six rewards) and those of tests/certificates are changed in one to three
places. Whatever the checker then accepts must be true by an oracle that knows nothing of certificates: portfolios by
enumeration of all sets, each decided by the vertices of a rational linear program; regret against answers at all
corners of the members; means of samples by rational products. Anything but a verdict is a failure.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import itertools
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from palm_opt import checker

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "certificates"))
make, make_conditional, make_statistical = (
    importlib.import_module(name) for name in ("make", "make_conditional", "make_statistical")
)

Rows = tuple[tuple[Fraction, ...], ...]
NUMBERS = [0.0, 0.1, 0.2, 0.25, 0.3, 0.5, 0.7, 0.75, 0.8, 0.9, 1.0, -0.4]
LEVELS = ["0", "0.1", "0.05", "0.3", "0.25", "1e-1", "0.0999999", "0.5", "0.9999", "1", "-0.1", "nan", "1e-300"]
RATIOS = ["0", "1", "2", "3", "1/2", "3/2", "-1", "1000001/1000000", "infinity", "1/3", "99", "01/2"]


@lru_cache(maxsize=100_000)
def serves(members: Rows, target: tuple[Fraction, ...]) -> bool:
    """Whether some mixture of the members is at least the target in every reward.

    The polytope of such mixtures is not empty iff one of its vertices exists: m - 1 of its m + d inequalities are
    equations there.
    """
    m, d = len(members), len(target)
    bounds = [([Fraction(int(q == p)) for q in range(m)], Fraction(0)) for p in range(m)]
    bounds += [([row[k] for row in members], target[k]) for k in range(d)]
    for tight in itertools.combinations(bounds, m - 1):
        mixture = make_conditional.solve(
            [*(list(row) for row, _ in tight), [Fraction(1)] * m], [*(b for _, b in tight), Fraction(1)]
        )
        if mixture is not None and all(make_conditional.dot(row, mixture) >= b for row, b in bounds):
            return True
    return False


@lru_cache(maxsize=100_000)
def keeps(values: Rows, members: tuple[int, ...], epsilon: Fraction, delta: Fraction) -> bool:
    """Whether the members keep the promise at every preference."""
    chosen = tuple(values[i] for i in members)
    return all(serves(chosen, tuple((1 - epsilon) * x - delta for x in row)) for row in values)


@lru_cache(maxsize=10_000)
def cheapest(
    values: Rows,
    costs: tuple[Fraction, ...],
    epsilon: Fraction,
    delta: Fraction,
    required: frozenset[int],
    forbidden: frozenset[int],
) -> Fraction | None:
    """The least cost of a portfolio, None where there is none."""
    free = [i for i in range(len(values)) if i not in required | forbidden]
    sets = (required.union(extra) for k in range(len(free) + 1) for extra in itertools.combinations(free, k))
    for members in sorted(sets, key=lambda chosen: sum(costs[i] for i in chosen)):
        if members and keeps(values, tuple(sorted(members)), epsilon, delta):
            return sum((costs[i] for i in members), Fraction(0))
    return None


def exact_claim(document: dict[str, Any], pool: Any) -> bool:
    """Whether what a certificate of kind exact claims about its pool is true."""
    index = {name: i for i, name in enumerate(pool.names)}
    epsilon, delta = Fraction(document["epsilon"]), Fraction(document["delta"])
    members, required, forbidden = ([index[x] for x in document[key]] for key in ("members", "required", "forbidden"))
    values = tuple(map(tuple, pool.values()))
    costs = tuple(pool.cost(i) for i in range(len(values)))
    least = cheapest(values, costs, epsilon, delta, frozenset(required), frozenset(forbidden))
    if not members:
        return least is None
    fine = set(required) <= set(members) and not set(forbidden) & set(members)
    if not fine or not keeps(values, tuple(sorted(members)), epsilon, delta):
        return False
    return document["lower_bound"] != "infinity" and least is not None and Fraction(document["lower_bound"]) <= least


def answers_claim(document: dict[str, Any], answers: Any) -> bool:
    """Whether the promise against all policies that the answers allow is true; of `answered` nothing is said."""
    epsilon, delta = Fraction(document["epsilon"]), Fraction(document["delta"])
    eta, gamma = map(float, document["oracle_error"])
    floor = None if document["floor"] is None else [float(x) for x in document["floor"]]
    limits, asked = answers.limits(eta, gamma), {j: w for j, w in enumerate(answers.weights) if w}
    points = [[make_conditional.meant(x) for x in answers.values[i]] for i in document["members"]]
    for _, slack in make_conditional.bases(points):
        if min(slack) >= 0:
            w = slack[: answers.d]
            bound = make_conditional.outer_bound(w, asked, limits, floor)
            height = max(make_conditional.dot(w, point) for point in points)
            if bound is None or (1 - epsilon) * bound[0] - height > delta:
                return False
    return True


def samples_claim(document: dict[str, Any], samples: Any) -> bool:
    """Whether the bounds on means that a certificate of kind statistical claims are shown by its samples."""
    return bool(make_statistical.shown(document, samples, Fraction(document["delta"])))


CLAIMS = {"Pool": exact_claim, "Answers": answers_claim, "Samples": samples_claim}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    return [path, *(found for key, item in inner for found in places(item, (*path, key)))]


def mutant(document: dict[str, Any], random_: random.Random) -> dict[str, Any]:
    """A copy with one to three values changed: numbers nudged, lists cut, repeated, turned or mixed."""
    document = copy.deepcopy(document)
    kept = {"format", "version", "kind", "objective", "producer", "sha256", "subject", "answered"}
    for _ in range(random_.choice([1, 1, 1, 2, 3])):
        path = random_.choice([path for path in places(document) if path and path[0] not in kept])
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        old = place[path[-1]]
        if isinstance(old, list) and old:
            at, other = random_.randrange(len(old)), random_.randrange(len(old))
            swapped = [*old]
            swapped[at], swapped[other] = old[other], old[at]
            new: Any = random_.choice([old[:at] + old[at + 1 :], [*old, old[at]], old[::-1], swapped])
        elif isinstance(old, (dict, list)):
            new = random_.choice([[], {}, None, [old]])
        elif isinstance(old, bool) or old is None:
            new = random_.choice([True, False, None])
        elif isinstance(old, int):
            new = random_.choice([old + 1, old - 1, old + 2, 0, 1, old * 2, old // 2, -old])
        elif path[0] in ("packing", "branching", "lower_bound"):
            new = random_.choice(RATIOS)
        elif path[0] in ("required", "forbidden", "members"):
            new = random_.choice([str(random_.randrange(6)), "a", "b", "c", "d", old])
        elif path[0] == "scale":
            new = random_.choice(["none", "minmax", "0", "1"])
        else:
            near = [repr(float(old) * x) for x in (0.99, 1.01)] if re.fullmatch("-?[0-9.e-]+", old) else []
            new = random_.choice([*LEVELS, *near])
        place[path[-1]] = new
    return document


def pool_case(random_: random.Random) -> tuple[Any, dict[str, Any]]:
    """A random small pool with a correct certificate."""
    while True:
        d, n = random_.randint(1, 6), random_.randint(1, 5)
        rows = [[random_.choice(NUMBERS) for _ in range(d)] for _ in range(n)]
        rewards = [random_.choice(["", "", "-"]) + "abcdef"[k] for k in range(d)]
        costs = random_.choice([None, None, [random_.choice([1.0, 2.0, 0.5, 0.1]) for _ in range(n)]])
        scale = random_.choice(["none", "none", "minmax", [("0.0", "1.0")] * d])
        pool = make.Pool(rows, rewards, costs, scale)
        roles = [random_.choice(["", "", "", "", "in", "out"]) for _ in range(n)]
        required, forbidden = ([i for i in range(n) if roles[i] == role] for role in ("in", "out"))
        levels = random_.choice([0.0, 0.0, 0.1]), random_.choice([0.0, 0.1, 0.2, 0.3, 0.5])
        document = make.build(pool, *levels, required, forbidden, dominate=random_.random() < 0.7, grid=1 + (d < 4))
        if document is not None:
            return pool, json.loads(json.dumps(document))


def subject_of(case: Any) -> Any:
    """The checker's subject of a case."""
    if isinstance(case, make_conditional.Answers):
        return checker.Answers(case.rewards, case.weights, case.values)
    if isinstance(case, make_statistical.Samples):
        prompts = [case.prompts.index(row[0]) for row in case.rows]
        candidates = [case.candidates.index(row[1]) for row in case.rows]
        clusters = None if case.clusters is None else [case.clusters[prompt] for prompt in case.prompts]
        values = [row[2] for row in case.rows]
        return checker.Samples(case.rewards, case.candidates, case.prompts, values, clusters, prompts, candidates)
    return checker.Problem(case.names, case.rewards, case.rows, case.costs, case.scale)


def run(count: int, seed: int, share: float = 0.9) -> Counter[str]:
    """Verdicts on so many mutants, `share` of them of kind exact; AssertionError at the first false one."""
    random_ = random.Random(seed)
    others = [(case, json.loads(json.dumps(document))) for case, document in
              [*make_conditional.correct().values(), *make_statistical.correct().values()]
              if type(case).__name__ in CLAIMS]  # fmt: skip
    verdicts: Counter[str] = Counter()
    while sum(verdicts.values()) < count:
        case, document = pool_case(random_) if random_.random() < share else random_.choice(others)
        subject, kind = subject_of(case), type(case).__name__
        assert checker.check(document, subject)
        for _ in range(20 if kind == "Pool" else 5):
            changed = mutant(document, random_)
            try:
                checker.check(changed, subject)
            except checker.InvalidCertificate:
                verdicts[f"{kind}: not verified"] += 1
            except checker.CertificateParseError:
                verdicts[f"{kind}: not checked"] += 1
            else:
                assert CLAIMS[kind](changed, case), f"verified, and false: {json.dumps(changed)}"
                verdicts[f"{kind}: verified, and true"] += 1
    return verdicts


def main(argv: Sequence[str] | None = None) -> None:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    before = time.process_time()
    verdicts = run(options.count, options.seed)
    line = {
        "command": f"python -m bench.mutants --count {options.count} --seed {options.seed}",
        "false": 0,
        "tracebacks": 0,
    }
    print(json.dumps(line | dict(sorted(verdicts.items())) | {"cpu": round(time.process_time() - before, 1)}))


if __name__ == "__main__":
    main()

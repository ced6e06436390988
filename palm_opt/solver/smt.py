"""A certificate's claim as an SMT-LIB formula, for tools that share nothing with this package.

The formula is ground and in linear real arithmetic (QF_LRA): quantifiers are gone because a preference that is served
badly, or a portfolio that is too cheap, is what the solver looks for. It is unsatisfiable if and only if no weight of
the simplex refutes the promise and, at the certificate's witness weights, no set of candidates below the lower bound
covers. Multipliers, dominators and the packing or tree are not used: the other tool finds its own proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from palm_opt.errors import ProblemError
from palm_opt.tables.decimals import rational
from palm_opt.tables.values import ValueMatrix

__all__ = ["smt2"]


def smt2(document: Mapping[str, Any], values: ValueMatrix) -> str:
    """The negated claim of a certificate of kind exact: `unsat` confirms it, `sat` refutes it with a model.

    Parameters
    ----------
    document : a certificate of version 2. values : what it is about; n up to some hundreds is practical.

    Raises
    ------
    ProblemError : another kind or version, or other values than the certificate speaks of.
    """
    if document["kind"] != "exact" or document["version"] != 2:
        raise ProblemError("smt2: expected a certificate of kind exact, version 2")
    if document["sha256"] != values.sha256:
        raise ProblemError(f"smt2: the certificate is about other values (sha256 {document['sha256'][:8]}...)")
    return "\n".join(_lines(document, values)) + "\n"


def _lines(document: Mapping[str, Any], values: ValueMatrix) -> Iterator[str]:
    rows = [values.exact(i) for i in range(values.n)]
    keep, delta = 1 - Fraction(document["epsilon"]), Fraction(document["delta"])
    proof = document.get("packing") or document.get("branching") or {"weights": []}
    bound = document["lower_bound"]
    yield "; unsat: every weight is served by a member within the tolerances, and no cheaper portfolio exists than"
    yield f"; the bound {bound}; sha256 of the problem {document['sha256']}"
    yield from (f"; x{i}: {name!a}" for i, name in enumerate(values.names))
    yield "(set-logic QF_LRA)"
    yield "(declare-const badly_served Bool)"
    yield "(declare-const too_cheap Bool)"
    yield "(assert (or badly_served too_cheap))"
    if document["members"]:
        yield from _quality(rows, values.indices(document["members"]), keep, delta)
    else:
        yield "(assert (not badly_served))"
    yield from _size(rows, values, document, proof["weights"], keep, delta, None if bound == "infinity" else bound)
    yield "(check-sat)"


def _quality(
    rows: Sequence[Sequence[Fraction]], members: Iterable[int], keep: Fraction, delta: Fraction
) -> Iterator[str]:
    """`badly_served`: at the weight w some candidate is better than every member by more than the tolerances."""
    d = len(rows[0])
    yield from (f"(declare-const w{k} Real)" for k in range(d))
    yield "(declare-const served Real)  ; at least what the best member is worth at w"
    weights = [f"w{k}" for k in range(d)]
    needs = [f"(>= {w} 0)" for w in weights] + [f"(= {_sum(weights)} 1)"]
    needs += [f"(>= served {_dot(rows[p], weights)})" for p in members]
    better = " ".join(f"(> {_dot([keep * x for x in row], weights)} (+ served {_real(delta)}))" for row in rows)
    yield f"(assert (=> badly_served (and {' '.join(needs)} (or {better} false))))"


def _size(
    rows: Sequence[Sequence[Fraction]],
    values: ValueMatrix,
    document: Mapping[str, Any],
    weights: Sequence[Sequence[int]],
    keep: Fraction,
    delta: Fraction,
    bound: str | None,
) -> Iterator[str]:
    """`too_cheap`: an allowed set of candidates below the bound covers each witness weight."""
    yield from (f"(declare-const x{i} Bool)" for i in range(values.n))
    needs = [f"x{values.index(name)}" for name in document["required"]]
    needs += [f"(not x{values.index(name)})" for name in document["forbidden"]]
    if bound is not None:
        costs = [_real(rational(cost)) for cost in values.costs]
        paid = _sum([f"(ite x{i} {cost} 0)" for i, cost in enumerate(costs)])
        needs.append(f"(< {paid} {_real(Fraction(bound))})")
    for j, weight in enumerate(weights):
        total = sum(weight)
        dots = [
            _real(sum((Fraction(w, total) * x for w, x in zip(weight, row, strict=True)), Fraction(0))) for row in rows
        ]
        yield f"(declare-const opt{j} Real)"
        yield f"(assert (and {' '.join(f'(>= opt{j} {dot})' for dot in dots)}))"
        yield f"(assert (or {' '.join(f'(= opt{j} {dot})' for dot in dots)} false))"
        least = f"(- (* {_real(keep)} opt{j}) {_real(delta)})"
        needs.append(f"(or {' '.join(f'(and x{i} (>= {dot} {least}))' for i, dot in enumerate(dots))} false)")
    yield f"(assert (=> too_cheap (and {' '.join(needs)} true)))"


def _dot(row: Sequence[Fraction], weights: Sequence[str]) -> str:
    return _sum([f"(* {_real(x)} {w})" for x, w in zip(row, weights, strict=True)])


def _sum(terms: Sequence[str]) -> str:
    return terms[0] if len(terms) == 1 else f"(+ {' '.join(terms)})"


def _real(number: Fraction) -> str:
    """A rational as SMT-LIB has it: no sign and no exponent inside a literal."""
    size = abs(number)
    text = f"{size.numerator}.0" if size.denominator == 1 else f"(/ {size.numerator}.0 {size.denominator}.0)"
    return f"(- {text})" if number < 0 else text

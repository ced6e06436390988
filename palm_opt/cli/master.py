"""What `export` writes for other tools: the master model, from options or a certificate; the claim of one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from palm_opt.cli import options as opt
from palm_opt.cli.options import given

if TYPE_CHECKING:
    from palm_opt.solver.cover import Pool

__all__ = ["claim_text", "master_text"]


def master_text(file: Path, options: Mapping[str, Any], form: opt.Form | None = None) -> tuple[str, dict[str, Any]]:
    """The MPS text and what `--json` says about it."""
    from palm_opt.solver.master import certificate_weights, master, mps
    from palm_opt.tables import scales
    from palm_opt.tables.weights import read_weights

    source: Path | None = options.get("weights")
    if source is not None and source.suffix.lower() == ".json":
        for name in sorted(set(options) - {"weights"}):
            raise typer.BadParameter(f"--{name}: the problem is the certificate's; leave it out")
        pool, document = _from_certificate(file, source)
        cover = master(pool, exact=certificate_weights(document))
        origin = f"the weights of {source.name}, lower_bound={document['lower_bound']}"
    else:
        pool = _from_options(file, options, form)
        points = None if source is None else read_weights(source, pool.values.rewards, normalise=False)
        cover = master(pool, points, **given(seed=options.get("seed")))
        origin = "starting weights of row generation" if source is None else f"the weights of {source.name}"
    values = pool.values
    names = [values.names[i] for i in pool.columns]
    rows, columns = cover.matrix.shape
    comments = [
        f"palm_opt master cover: epsilon={pool.epsilon!r} delta={pool.delta!r} scale={scales.show(values.scale)}",
        f"values sha256={values.sha256}",
        f"{columns} of {values.n} candidates are worth selecting; {rows} rows are {origin}",
        "the optimum is a lower bound on the cost of every portfolio",
    ]
    facts = {"columns": columns, "rows": rows, "candidates": values.n, "epsilon": pool.epsilon, "delta": pool.delta}
    return mps(cover, names, file.stem, comments), {**facts, "rewards": values.rewards, "weights": source}


def claim_text(file: Path, source: Path) -> tuple[str, dict[str, Any]]:
    """The claim of the certificate `source` about the values of `file` as SMT-LIB, and what `--json` says about it."""
    from palm_opt.solver.smt import smt2

    pool, document = _from_certificate(file, source)
    claim = {"members": document["members"], "lower_bound": document["lower_bound"], "sha256": document["sha256"]}
    return smt2(document, pool.values), claim


def _from_options(file: Path, options: Mapping[str, Any], form: opt.Form | None) -> Pool:
    from palm_opt.solver.cover import Pool

    columns = (options.get("id"), options.get("rewards"), options.get("cost"))
    values = opt.read_values(file, *columns, options.get("scale"), form)
    return Pool(
        values,
        options.get("epsilon", 0.0),
        options.get("delta", 0.02),
        opt.candidates(values, options.get("require"), "--require") or (),
        opt.candidates(values, options.get("forbid"), "--forbid") or (),
    )


def _from_certificate(file: Path, source: Path) -> tuple[Pool, Any]:
    from palm_opt import checker
    from palm_opt.errors import ProblemError
    from palm_opt.solver.cover import Pool
    from palm_opt.tables.directions import meant
    from palm_opt.tables.values import ValueMatrix

    document = checker.read_certificate(source)
    if document["kind"] != "exact":
        raise ProblemError(f"{source}: a certificate of kind {document['kind']} holds no cover problem")
    if document["version"] != 2:
        raise ProblemError(f"{source}: of version {document['version']}, whose numbers are binary; solve again")
    subject, scale = document["subject"], document["scale"]
    scale = [entry if isinstance(entry, str) else (float(entry[0]), float(entry[1])) for entry in scale]
    values = ValueMatrix.read(file, subject["id"], meant(subject["rewards"]), subject["cost"], scale)
    if values.sha256 != document["sha256"]:
        raise ProblemError(f"{source}: made for other values than {file} (sha256 {document['sha256'][:8]}...)")
    tolerances = (float(document["epsilon"]), float(document["delta"]))
    return Pool(values, *tolerances, document["required"], document["forbidden"]), document

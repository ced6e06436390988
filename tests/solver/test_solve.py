"""solve: limits, Ctrl-C, callback, warm start, misuse, infeasibility with its witness; and budget problems."""

import json
import math
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import palm_opt as palm
from palm_opt.preferences.simplex import snap
from palm_opt.solver import run
from palm_opt.solver.backends import load
from palm_opt.solver.cover import Cover, Pool, Witnesses
from palm_opt.solver.relaxation import Relaxation
from palm_opt.solver.run import Run
from palm_opt.solver.tree import Tree
from tests.verify import verify_result


def hard(n=1500, d=5, seed=0):
    rng = np.random.default_rng(seed)
    array = np.abs(rng.normal(size=(n, d)))
    return palm.ValueMatrix(array / np.linalg.norm(array, axis=1, keepdims=True))


def test_time_limit_returns_an_incumbent_and_a_bound():
    values = hard()
    result = palm.solve(values, delta=0.03, settings=palm.Settings(time_limit=4))
    assert result.stop in (palm.Stop.TIME_LIMIT, palm.Stop.PROVED)
    verify_result(result, values)
    assert result.members and 1 <= result.lower_bound <= result.cost


@pytest.mark.parametrize("backend", palm.backends())
def test_no_time_at_all_returns_what_greedy_finds(backend):
    values = hard(60)
    result = palm.solve(values, delta=0.1, time_limit=0, backend=backend)
    verify_result(result, values)
    assert (result.status, result.stop) == (palm.Status.FEASIBLE, palm.Stop.TIME_LIMIT)
    assert 1 < result.lower_bound < result.size <= palm.solve(values, delta=0.1, backend="greedy").size + 1


@pytest.mark.parametrize("d", [1, 2])
def test_no_time_at_all_for_the_sweep(d):
    values = palm.ValueMatrix(np.random.default_rng(0).random((40, d)))
    result = palm.solve(values, delta=0.05, time_limit=0)
    verify_result(result, values)
    assert result.members and 1 <= result.lower_bound <= result.size


def test_where_not_even_greedy_fits_the_answer_is_unknown(monkeypatch):
    monkeypatch.setattr(run, "_GRACE", -1.0)
    result = palm.solve(hard(50), forbid=[0], settings={"time_limit": 0})
    assert (result.status, result.stop, result.members) == (palm.Status.UNKNOWN, palm.Stop.TIME_LIMIT, ())
    assert result.certificate is None and result.cost == np.inf


def test_settings_may_be_given_directly():
    values = hard(60)
    whole = palm.solve(values, delta=0.1, settings=palm.Settings(seed=3, time_limit=50))
    for settings in ({"settings": {"seed": 3}}, {"seed": 3, "time_limit": 50}, {"seed": 3, "settings": {"seed": 1}}):
        assert palm.solve(values, delta=0.1, **settings).certificate == whole.certificate


def test_callback_sees_progress_and_can_stop():
    seen = []

    def stop_at_first_incumbent(progress):
        seen.append(progress)
        return progress.cost < np.inf

    values = hard(300, 4)
    result = palm.solve(values, delta=0.03, callback=stop_at_first_incumbent)
    verify_result(result, values)
    assert result.stop is palm.Stop.INTERRUPTED and result.members
    assert seen[0].rows > 0 and seen[-1].incumbent == result.members


def test_an_exception_in_the_callback_reaches_the_caller():
    def fail(progress):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        palm.solve(hard(50), callback=fail)


def test_ctrl_c_returns_the_incumbent():
    code = (
        "import numpy as np, palm_opt as palm, json\n"
        "a = np.abs(np.random.default_rng(0).normal(size=(1500, 5)))\n"
        "v = palm.ValueMatrix(a / np.linalg.norm(a, axis=1, keepdims=True))\n"
        "def ready(p):\n"
        "    if p.cost < np.inf: print('ready', flush=True)\n"
        "r = palm.solve(v, delta=0.03, callback=ready)\n"
        "palm.verify(r.certificate, v)\n"
        "print(json.dumps([r.stop, r.status, r.size]))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().strip() == "ready"
    process.send_signal(signal.SIGINT)
    stop, status, size = json.loads(process.communicate(timeout=60)[0].splitlines()[-1])
    assert process.returncode == 0
    assert (stop, status) == ("INTERRUPTED", "FEASIBLE") or stop == "PROVED"
    assert size > 0


def test_solve_works_from_another_thread():
    found = []
    worker = threading.Thread(target=lambda: found.append(palm.solve(hard(50, 3), delta=0.1)))
    worker.start()
    worker.join(60)
    assert found[0].members


def test_warm_start_is_used_and_same_seed_gives_the_same_bytes():
    values = hard(60, 3)
    fixed = palm.Settings(deterministic=True, time_limit=60)
    best = palm.solve(values, delta=0.15, settings=fixed)
    again = palm.solve(values, delta=0.15, settings=fixed)
    assert json.dumps(best.certificate) == json.dumps(again.certificate)
    warm = palm.solve(values, delta=0.15, warm_start=best.members, callback=lambda p: p.cost < 60)
    assert warm.members == best.members


def test_infeasible_with_its_witness():
    values = palm.ValueMatrix([[1.0, 0.0], [0.0, 1.0], [0.4, 0.4]], names=["a", "b", "c"])
    result = palm.solve(values, delta=0.1, forbid=["a"])
    verify_result(result, values)
    assert (result.status, result.stop) == (palm.Status.INFEASIBLE, palm.Stop.PROVED)
    w = result.worst_weight
    assert (values.array[1:] @ w).max() < (values.array @ w).max() - 0.1
    everything = palm.solve(values, forbid=[0, 1, 2])
    verify_result(everything, values)
    assert everything.status is palm.Status.INFEASIBLE


def test_relative_tolerance_on_negative_values_can_be_infeasible():
    values = palm.ValueMatrix([[-1.0, -1.0]])
    result = palm.solve(values, epsilon=0.1, delta=0.0)
    verify_result(result, values)
    assert result.status is palm.Status.INFEASIBLE


def test_costs_decide():
    values = palm.ValueMatrix([[1.0, 0.0], [0.0, 1.0], [0.9375, 0.9375]], costs=[1, 1, 10])
    assert palm.solve(values, delta=0.0625).indices == (2,)
    cheap = palm.solve(values, delta=0.5)
    verify_result(cheap, values)
    assert cheap.indices == (0, 1) and cheap.cost == 2
    assert palm.solve(values, delta=0.0625, require=[0]).indices == (0, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 1.0}, "epsilon: expected 0 <= epsilon < 1"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"delta": -0.1}, "delta"),
        ({"require": ["x"]}, "no candidate named 'x'"),
        ({"require": [0], "forbid": [0]}, "both required and forbidden"),
        ({"vary": "delta"}, "vary: .* give max_size too"),
        ({"max_size": 0, "vary": "delta"}, "at least 1"),
        ({"max_size": 1, "vary": "gamma"}, "'epsilon' or 'delta'"),
        ({"settings": "fast"}, "settings: expected a palm_opt.Settings or a mapping, got 'fast'"),
        ({"settings": {"limit": 3}}, "settings: expected some of deterministic, .*, got 'limit'"),
        ({"time_limit": -1}, "time_limit"),
        ({"seed": 0.5}, "seed"),
        ({"callback": "x"}, "callback"),
        ({"epsilon": "0.1"}, "epsilon"),
        ({"delta": 10**400}, "delta"),
        ({"max_size": "2", "vary": "delta"}, "max_size: expected an integer of at least 1, got '2'"),
        ({"max_size": True, "vary": "delta"}, "max_size"),
        ({"max_size": float("nan"), "vary": "epsilon"}, "max_size"),
        ({"require": 0}, "require: expected a sequence of names or row indices, got 0"),
        ({"forbid": None}, "forbid: expected a sequence"),
        ({"warm_start": True}, "warm_start: expected a sequence"),
    ],
)
def test_misuse_raises(options, message):
    with pytest.raises(palm.ProblemError, match=message):
        palm.solve([[1.0, 0.0], [0.0, 1.0]], **options)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("time_limit", [-1, "60", None, float("nan"), 1j]),
        ("node_limit", [-1, 2.5, "9", True]),
        ("seed", [-1, 0.5, None, 2**63, "1"]),
        ("threads", [-1, 1.0, 10**6]),
        ("deterministic", [1, "yes", None]),
    ],
)
def test_settings_of_a_wrong_type_are_named(name, values):
    for value in values:
        with pytest.raises(palm.ProblemError, match=name):
            palm.Settings(**{name: value})


def test_numbers_of_numpy_are_numbers():
    values = [[1.0, 0.0], [0.0, 1.0], [0.6, 0.6]]
    settings = palm.Settings(time_limit=np.float32(60), seed=np.int64(1), threads=np.int32(1))
    result = palm.solve(values, epsilon=np.float32(0.25), delta=np.float32(0.125), settings=settings)
    assert (result.epsilon, result.delta) == (0.25, 0.125) and type(settings.seed) is int
    verify_result(result, palm.ValueMatrix(values))
    assert palm.certify(values, [2], epsilon=np.float32(0.25)).epsilon == 0.25


def test_misuse_of_the_other_functions_is_named():
    values = [[1.0, 0.0], [0.0, 1.0]]
    for call, message in [
        (lambda: palm.frontier(values, max_size="2"), "max_size"),
        (lambda: palm.frontier(values, settings=3), "settings"),
        (lambda: palm.frontier(values, callback=3), "callback"),
        (lambda: palm.baseline(values, size=float("inf")), "size"),
        (lambda: palm.baseline(values, seed=None), "seed"),
        (lambda: palm.baseline(values, "grid", epsilon="x"), "epsilon"),
        (lambda: palm.certify(values, 0), "members"),
        (lambda: palm.certify(values, [0], epsilon=""), "epsilon"),
        (lambda: palm.regret(values, [0], epsilon=None), "epsilon"),
        (lambda: palm.metrics(values, None), "members"),
        (lambda: palm.formulate(values, seed="x"), "seed"),
    ]:
        with pytest.raises(palm.ProblemError, match=message):
            call()
    for library in ([], "gurobi", None):
        with pytest.raises(palm.BackendNotFound, match="formulate"):
            palm.formulate(values, library=library)


def test_a_solved_array_verifies_as_it_is():
    values = [[1.0, 0.0], [0.0, 1.0]]
    assert palm.verify(palm.solve(values).certificate, values).lower_bound == 2
    with pytest.raises(palm.ProblemError, match="values"):
        palm.verify(palm.solve(values).certificate, None)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [5e-324, 1e-300, 1e300])
def test_values_at_the_ends_of_the_floats(size):
    values = palm.ValueMatrix([[size, 0.0], [0.0, size], [0.5 * size, 0.5 * size]])
    result = palm.solve(values, delta=0.0)
    verify_result(result, values)
    assert result.size == 2
    assert palm.metrics(values, [0]).additive_gap == size
    with pytest.raises(palm.ProblemError, match="at most 1e\\+301"):
        palm.ValueMatrix([[1.7e308, -1.7e308]])


def test_every_error_on_purpose_is_a_palm_error():
    for name in ("CertificateParseError", "InvalidCertificate", "ProblemError", "BackendNotFound", "RecipeError"):
        assert issubclass(getattr(palm, name), palm.PalmError)
    assert issubclass(palm.InvalidCertificate, ValueError) and issubclass(palm.CertificateParseError, ValueError)
    with pytest.raises(palm.PalmError):
        palm.verify({}, [[1.0]])


def test_results_print_without_their_certificates():
    result = palm.solve(np.random.default_rng(0).random((500, 3)), max_size=2, vary="delta")
    assert len(repr(result)) < 2500 and "Certificate(kind='exact', members=2, sha256='" in repr(result)


def test_unknown_backend():
    for name in ([], None):
        with pytest.raises(palm.BackendNotFound, match="no backend"):
            palm.solve([[1.0]], backend=name)
    with pytest.raises(palm.BackendNotFound, match="no backend 'gurobi'; palm_opt has"):
        palm.solve([[1.0]], backend="gurobi")


@pytest.mark.parametrize("backend", ["cpsat", "cvxpy"])
def test_backends_on_covers_against_each_other(backend):
    """The master problems themselves: solve() often proves its first heuristic and then asks nobody."""
    from palm_opt.solver.backends import load

    rng = np.random.default_rng(5)
    for _ in range(15):
        matrix = rng.random((40, 25)) < 0.15
        matrix[np.arange(40), rng.integers(0, 25, 40)] = True
        cover = Cover(matrix, rng.integers(1, 4, 25).astype(float), (3,))
        answer = load(backend)(cover, (), Run())
        exact = load("cvxpy" if backend == "cpsat" else "cpsat")(cover, (), Run())
        assert answer.optimal and exact.optimal
        assert cover.cost(answer.columns) == cover.cost(exact.columns)
        assert matrix[:, list(answer.columns)].any(axis=1).all() and 3 in answer.columns
        assert answer.bound <= cover.cost(answer.columns) + 1e-6


def test_branching_proves_more_than_the_packing():
    """The tree proves what the rows allow, and no more: then it finds the cover, as CP-SAT does."""
    values = hard(300, 4, seed=3)
    pool = Pool(values, 0.0, 0.06)
    rows = Witnesses(pool)
    rows.add(snap(np.random.default_rng(0).dirichlet(np.ones(4), 400)))
    relaxation = Relaxation(pool, rows, Run())
    relaxation.begin(())
    packed = relaxation.leaf(relaxation.solve(), math.inf)[0]
    covers = []

    def check(members):
        assert rows.coverage(members).any(axis=1).all()
        covers.append(members)
        return True

    target = packed
    while not covers:  # one unit at a time, until a cover of the rows shows that no more can be proved
        target += 1
        tree = Tree(pool, relaxation, check, lambda: False)
        proof = tree.prove(target)
        if proof is not None:
            assert proof.bound >= target and not covers
    assert pool.cost(covers[0]) < target
    solver = Cover(rows.coverage(pool.columns), pool.values.costs[pool.columns])
    assert load("cpsat")(solver, (), Run()).bound == pytest.approx(len(covers[0]))


def test_budget_problem_and_frontier():
    values = hard(120, 3)
    points = palm.frontier(values, max_size=4)
    tolerances = [point.tolerance for point in points]
    assert tolerances == sorted(tolerances, reverse=True)
    for point in points:
        verify_result(point, values)
        assert point.status is palm.Status.OPTIMAL
        assert palm.certify(values, point.indices).delta <= point.tolerance
        if point.info["lower_certificate"] is not None:
            proved = palm.verify(point.info["lower_certificate"], values)
            assert proved.lower_bound > point.size
            assert proved.delta <= point.tolerance
    single = palm.solve(values, max_size=3)  # delta is what varies, unless told otherwise
    assert single.tolerance == points[2].tolerance
    relative = palm.solve(values, max_size=3, vary="epsilon")
    assert relative.delta == 0 and palm.certify(values, relative.members, delta=0.0).epsilon == relative.tolerance


@pytest.mark.parametrize("vary", ["delta", "epsilon"])
def test_budget_problem_that_no_size_solves(vary):
    """Nothing may be selected, and more members are allowed than there are candidates: it must end."""
    result = palm.solve(palm.ValueMatrix([[1.0, 0.5]]), max_size=2, vary=vary, forbid=[0])
    assert not result.members and result.tolerance is None


def test_a_size_that_no_epsilon_is_enough_for_is_infeasible():
    """Each of three is needed somewhere: two of them serve every preference at no epsilon below 1."""
    values = palm.ValueMatrix([[1.0, -5.0], [-5.0, 1.0], [0.0, 0.0]], names=["p", "q", "r"], rewards=["a", "b"])
    few, more, enough = palm.frontier(values, "epsilon", 3)
    assert enough.status is palm.Status.OPTIMAL and enough.members == ("p", "q", "r") and enough.tolerance == 0
    for size, result in ((1, few), (2, more), (2, palm.solve(values, max_size=2, vary="epsilon"))):
        assert (result.status, result.stop, result.members) == (palm.Status.INFEASIBLE, palm.Stop.PROVED, ())
        assert result.lower_bound == 3 and result.tolerance is None and result.tolerance_lower_bound is None
        assert palm.verify(result.certificate, values).lower_bound == 3
        assert result.worst_weight.sum() == 1 and "inf" not in result.message.split()
        told = "1 member serves" if size == 1 else f"{size} members serve"
        assert result.message == f"no {told} every preference, whatever the epsilon: at least 3 are needed"
    one = palm.solve(values, max_size=2, vary="epsilon", forbid=["r"])
    assert one.status is palm.Status.INFEASIBLE and "no candidate that may be a member serves" in one.message


def test_time_limit_of_the_budget_problem():
    began = time.monotonic()
    result = palm.solve(hard(), max_size=20, vary="delta", settings=palm.Settings(time_limit=3))
    assert time.monotonic() - began < 60
    verify_result(result, hard())
    assert result.members and result.tolerance_lower_bound <= result.tolerance


def test_formulate():
    values = hard(60, 3)
    model = palm.formulate(values, "cpsat", delta=0.05)
    assert len(model.proto.variables) > 0
    problem = palm.formulate(values, "cvxpy", delta=0.05)
    problem.solve(solver="HIGHS")
    assert problem.value <= palm.solve(values, delta=0.05).cost + 1e-6
    with pytest.raises(palm.BackendNotFound, match="knows"):
        palm.formulate(values, "gurobi")


def test_the_tolerance_that_is_found_is_not_given():
    """Nobody reads "two members within 0.1" into an answer that says 0.19."""
    values = palm.ValueMatrix(np.eye(3))
    for asked in ({"delta": 0.1}, {"delta": 0.0, "vary": "delta"}, {"epsilon": 0.3, "vary": "epsilon"}):
        with pytest.raises(palm.ProblemError, match="leave it out"):
            palm.solve(values, max_size=2, **asked)
    with pytest.raises(palm.ProblemError, match="leave it out"):
        palm.frontier(values, "delta", 2, delta=0.1)
    assert palm.solve(values, max_size=2, epsilon=0.1).delta > 0

"""MPS files of the master cover, read back by HiGHS, SCIP and CP-SAT; the command that writes them."""

from pathlib import Path

import highspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ortools.linear_solver.python import model_builder

import palm_opt as palm
from palm_opt.solver.backends.highs import solve_cover
from palm_opt.solver.cover import Cover, Pool
from palm_opt.solver.master import certificate_weights, master, mps
from palm_opt.solver.run import Run
from tests.cli.test_cli import output, refused
from tests.cli.test_cli import palm as command


def optimum_highs(path: Path) -> float | None:
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    assert solver.readModel(str(path)) == highspy.HighsStatus.kOk
    solver.run()
    infeasible = solver.getModelStatus() == highspy.HighsModelStatus.kInfeasible
    return None if infeasible else solver.getObjectiveValue()


def optimum_ortools(path: Path, name: str) -> float | None:
    model = model_builder.Model()
    assert model.import_from_mps_file(str(path))
    solver = model_builder.Solver(name)
    status = solver.solve(model)
    if status == model_builder.SolveStatus.INFEASIBLE:
        return None
    assert status == model_builder.SolveStatus.OPTIMAL
    return solver.objective_value


@st.composite
def covers(draw):
    rows, columns = draw(st.integers(0, 7)), draw(st.integers(1, 7))
    matrix = np.array(draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns)), dtype=bool)
    costs = draw(st.lists(st.sampled_from([0.0, 0.1, 1.0, 2.5, 1e-3]), min_size=columns, max_size=columns))
    fixed = tuple(draw(st.lists(st.integers(0, columns - 1), max_size=2, unique=True)))
    names = draw(st.lists(st.sampled_from(["a b", "a_b", "RHS", "-1", "é", "7", "$x", "*", "'", ""]), max_size=columns))
    names += [f"n{j}" for j in range(columns - len(names))]
    return Cover(matrix.reshape(rows, columns), np.array(costs), tuple(sorted(fixed))), names


@given(covers())
def test_every_reader_finds_the_same_optimum(case):
    import tempfile

    cover, names = case
    expected = solve_cover(cover, (), Run())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cover.mps"
        path.write_text(mps(cover, names, "a title\nof two lines", ["a comment\nROWS"]))
        found = [optimum_highs(path), optimum_ortools(path, "sat"), optimum_ortools(path, "scip")]
    if expected.columns is None:
        assert found == [None] * 3
    else:
        assert found == pytest.approx([cover.cost(expected.columns)] * 3, abs=1e-9)


def test_costs_and_integrality_read_back(tmp_path):
    cover = Cover(np.array([[True, True, False], [False, True, True]]), np.array([0.1, 1 / 3, 1e-17]), (0,))
    path = tmp_path / "cover.mps"
    path.write_text(mps(cover, ["a", "b", "a"]))
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.readModel(str(path))
    lp = solver.getLp()
    assert list(lp.col_cost_) == cover.costs.tolist() and list(lp.col_names_) == ["x_a", "x_b", "x_a_2"]
    assert set(lp.integrality_) == {highspy.HighsVarType.kInteger}
    assert list(lp.col_lower_) == [1.0, 0.0, 0.0] and list(lp.col_upper_) == [1.0] * 3
    assert list(lp.row_names_) == ["w1", "w2"] and list(lp.row_lower_) == [1.0, 1.0]
    assert solver.getObjectiveSense()[1] == highspy.ObjSense.kMinimize


@pytest.mark.parametrize("delta", [0.0, 0.02])
def test_the_weights_of_a_certificate_give_its_bound(tmp_path, delta):
    values = palm.ValueMatrix(np.random.default_rng(5).random((40, 3)), costs=np.arange(1, 41) % 4 / 2)
    result = palm.solve(values, epsilon=0.01, delta=delta, require=(3,), forbid=(5,))
    assert result.status is palm.Status.OPTIMAL
    pool = Pool(values, 0.01, delta, (3,), (5,))
    path = tmp_path / "cover.mps"
    path.write_text(mps(master(pool, certificate_weights(result.certificate)), [str(i) for i in pool.columns]))
    assert optimum_highs(path) == pytest.approx(result.cost, abs=1e-9)


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "values.csv"
    lines = [f"model {i},{a!r},{b!r},{c!r},{1 + i % 3}" for i, (a, b, c) in enumerate(rng.random((60, 3)).tolist())]
    path.write_text("\n".join(["name,safe,helpful,latency,price", *lines]) + "\n")
    return path


COLUMNS = ["--id", "name", "--rewards", "safe,helpful,-latency", "--cost", "price"]


def test_export_command(table, tmp_path):
    cert, file = tmp_path / "c.json", tmp_path / "m.mps"
    options = [*COLUMNS, "--scale", "minmax", "--delta", "0.03", "--require", "model 7", "--forbid", "model 1,model 2"]
    solved = output("solve", table, *options, "--certificate", cert)
    assert solved["status"] == "OPTIMAL"
    said = output("export", table, "--mps", *options, "--out", file)
    assert said["rows"] > 100 and said["columns"] <= 58
    assert optimum_highs(file) <= solved["cost"]
    command("export", table, "--mps", "--weights", cert, "--out", file)
    assert optimum_highs(file) == solved["cost"]
    weights = tmp_path / "w.csv"
    weights.write_text("latency,safe,helpful\n1,0,0\n0.5,0.25,0.25\n")
    text = output("export", table, "--mps", *options, "--weights", weights)["mps"]
    assert " G w2\n" in text and " G w3\n" not in text and "FX BOUND x_model_7 1\n" in text


def test_export_refuses(table, tmp_path):
    cert, weights = tmp_path / "c.json", tmp_path / "w.csv"
    command("solve", table, *COLUMNS, "--delta", "0.1", "--certificate", cert)
    assert "one of --csv, --mps and --smt2" in refused("export", table, *COLUMNS)
    assert "one of --csv, --mps and --smt2" in refused("export", table, *COLUMNS, "--mps", "--csv")
    assert "--epsilon goes with --mps" in refused("export", table, *COLUMNS, "--csv", "--epsilon", "0.1")
    assert "the problem is the certificate's" in refused("export", table, "--mps", "--weights", cert, "--id", "name")
    other = tmp_path / "other.csv"
    other.write_text(table.read_text().replace("model 59,0.", "model 59,1."))
    assert "other values" in refused("export", other, "--mps", "--weights", cert)
    weights.write_text("safe,helpful,latency\n0,0,0\n")
    assert "line 2: weight 0 is [0.0, 0.0, 0.0]" in refused("export", table, *COLUMNS, "--mps", "--weights", weights)
    weights.write_text("safe,helpful\n1,0\n")
    assert "no column 'latency'" in refused("export", table, *COLUMNS, "--mps", "--weights", weights)

"""The benchmark instances: the same numbers as their text, seeds that differ, problems that name themselves."""

import numpy as np
import pytest

import palm_opt as palm
from bench import instances


@pytest.mark.parametrize("name", ["anti-500-3-1003", "sphere-300-4-11", "indep-200-2-19"])
def test_values_are_nine_decimals(name, tmp_path, capsys, monkeypatch):
    values = instances.load(name)
    assert (values.raw >= 0).all() and (values.raw.max(axis=0) == 1).all()
    monkeypatch.setattr("sys.argv", ["instances", name])
    instances.main()
    path = tmp_path / "x.csv"
    path.write_text(capsys.readouterr().out)
    read = palm.ValueMatrix.read(path, id="id")
    assert (read.raw == values.raw).all() and read.rewards == values.rewards
    assert read.n == int(name.split("-")[1]) and read.d == int(name.split("-")[2])


def test_rounding_agrees_with_text_where_the_product_makes_a_tie():
    x = np.array([0.1234567895, 0.2000000005, 0.9999999995, 0.3, 0.0, 1.0, 0.5000000015])
    assert instances._nine_decimals(x).tolist() == [float(f"{v:.9f}") for v in x]


def test_first_rows_of_a_known_instance():
    assert instances.load("anti-100-3-1003").raw[0].tolist() == [0.912323871, 0.546032469, 0.064505057]
    other = instances.load("anti-100-3-2003").raw
    assert (other != instances.load("anti-100-3-1003").raw).any()


def test_problems_are_distinct_and_unknown_names_are_refused():
    for problems in instances.SUITES.values():
        assert len({str(problem) for problem in problems}) == len(problems)
        assert all(instances.PROBLEMS[str(problem)].instance == problem.instance for problem in problems)
    with pytest.raises(ValueError, match="KIND-N-D-SEED"):
        instances.load("anti-10-3")


@pytest.mark.parametrize("name", instances.REAL)
def test_real_sets_load(palm_data, name):
    values = instances.real(name)
    assert values.d == len(instances.REAL[name]) and values.array.max() == 1 and values.array.min() == 0

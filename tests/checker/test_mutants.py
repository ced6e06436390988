"""Some hundreds of the mutants of bench/mutants.py: what is verified is true, and there is nothing but verdicts."""

from __future__ import annotations

from bench import mutants


def test_nothing_false_is_verified() -> None:
    verdicts = mutants.run(300, seed=1, share=0.8)
    assert {verdict.split(": ")[1] for verdict in verdicts} == {"verified, and true", "not verified", "not checked"}

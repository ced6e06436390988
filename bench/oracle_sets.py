"""Sets of value vectors for oracle search: each maps a weight, shape (d,), to a best value vector.

sphere, L1.5, L4 : the part of the unit ball of a p-norm with no negative entry, in closed form.
ellipsoid : a tilted ellipsoid around (1/2, .., 1/2).
pool : 2,000 vectors near the L1.5 sphere, of which 20 / 88 / 192 / 329 / 460 are best somewhere for d = 2..6.
kl : expected rewards of all distributions within a Kullback-Leibler ball around the uniform one, over 400 outcomes with
    correlated and opposed rewards: what KL-regularised training can reach.
table : Gibbs policies of a table of scores (prompts, responses, d), docs/theory.md, L7; signed values.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

Oracle = Callable[[np.ndarray], np.ndarray]


def ball(d: int, p: float) -> Oracle:
    dual = p / (p - 1)

    def best(w: np.ndarray) -> np.ndarray:
        w = np.maximum(w, 0.0)
        return w ** (dual - 1) / (w**dual).sum() ** (1 / p)

    return best


def ellipsoid(d: int, seed: int = 0) -> Oracle:
    axes = np.eye(d) + 0.35 * np.random.default_rng(seed).standard_normal((d, d))
    axes *= 0.45 / np.linalg.norm(axes, axis=1, keepdims=True)

    def best(w: np.ndarray) -> np.ndarray:
        direction = w @ axes
        return 0.5 + axes @ (direction / np.linalg.norm(direction))

    return best


def pool_values(d: int, n: int = 2000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    direction = np.abs(rng.standard_normal((n, d)))
    return direction / (direction**1.5).sum(axis=1, keepdims=True) ** (2 / 3) * rng.uniform(0.8, 1.0, (n, 1))


def pool(d: int, n: int = 2000, seed: int = 0) -> Oracle:
    values = pool_values(d, n, seed)
    return lambda w: values[(values @ w).argmax()].copy()


def kl(d: int, outcomes: int = 400, radius: float = 1.0, seed: int = 0) -> Oracle:
    rng = np.random.default_rng(seed)
    own, common = rng.standard_normal((outcomes, d)), rng.standard_normal((outcomes, 1))
    latent = own + common * np.linspace(1.0, -1.0, d)
    rewards = 1 / (1 + np.exp(-1.5 * latent * np.linspace(0.6, 1.6, d)))

    def tilted(score: np.ndarray, strength: float) -> tuple[float, np.ndarray]:
        mass = np.exp(strength * (score - score.max()))
        mass /= mass.sum()
        return float((mass * np.log(np.maximum(mass * outcomes, 1e-300))).sum()), mass

    def best(w: np.ndarray) -> np.ndarray:
        score, low, high = rewards @ w, 0.0, 1e4
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (low, middle) if tilted(score, middle)[0] > radius else (middle, high)
        return tilted(score, low)[1] @ rewards

    return best


def table(path: Path, beta: float) -> tuple[int, Oracle]:
    """Gibbs policies of min-max scaled scores, with the uniform reference: (d, oracle)."""
    with np.load(path) as arrays:
        scores = arrays["rewards"].astype(np.float64)
    low, high = scores.min(axis=(0, 1)), scores.max(axis=(0, 1))
    scores = (scores - low) / (high - low)

    def best(w: np.ndarray) -> np.ndarray:
        exponent = scores @ w / beta
        top = exponent.max(axis=1, keepdims=True)
        mass = np.exp(exponent - top)
        total = mass.sum(axis=1, keepdims=True)
        rewards = ((mass / total)[..., None] * scores).sum(axis=1).mean(axis=0)
        optimum = beta * float((top + np.log(total / scores.shape[1])).mean())
        return rewards - (w @ rewards - optimum)

    return scores.shape[2], best


def make(name: str, d: int, seed: int = 0) -> Oracle:
    makers: dict[str, Callable[[], Oracle]] = {
        "sphere": lambda: ball(d, 2.0),
        "L1.5": lambda: ball(d, 1.5),
        "L4": lambda: ball(d, 4.0),
        "ellipsoid": lambda: ellipsoid(d, seed),
        "pool": lambda: pool(d, seed=seed),
        "kl": lambda: kl(d, seed=seed),
    }
    return makers[name]()

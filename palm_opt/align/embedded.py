"""The embedded task: questions about animals, and three rewards that truly compete. No torch here.

A good answer is helpful (correct facts), brief (few words) and courteous (polite phrases). Facts and phrases both cost
words, and each further one is worth half as much as the one before, so every weight has another best answer. Brevity
and courtesy count only for an answer that states something: else an empty answer would be the briefest.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Sequence
from typing import Any

__all__ = ["ANIMALS", "animal_of", "answer", "brevity", "courtesy", "helpfulness", "prompts"]

LONGEST = 36  #: words at which brevity reaches 0

_TABLE = """
fox|mice|forests|red fur|run fast|clever
owl|mice|old trees|big eyes|fly at night|quiet
cow|grass|farms|four stomachs|give milk|calm
cat|fish|houses|soft paws|see at night|proud
dog|meat|houses|a good nose|guard the door|loyal
bee|nectar|hives|striped wings|make honey|busy
bat|insects|caves|thin wings|fly at night|shy
ant|leaves|nests|six legs|carry heavy loads|busy
hen|grain|farms|soft feathers|lay eggs|calm
pig|roots|farms|a flat nose|swim well|clever
seal|fish|cold seas|thick fat|dive deep|playful
wolf|meat|forests|grey fur|howl at night|loyal
bear|berries|forests|thick fur|climb trees|strong
lion|meat|grassland|a golden mane|roar loudly|proud
frog|insects|ponds|wet skin|jump far|small
crab|worms|beaches|hard claws|walk sideways|shy
goat|leaves|mountains|curved horns|climb rocks|stubborn
deer|grass|forests|long antlers|jump far|shy
duck|worms|ponds|flat feet|swim well|playful
mole|worms|tunnels|tiny eyes|dig tunnels|small
horse|grass|grassland|long legs|run fast|strong
whale|plankton|deep seas|a huge tail|sing songs|gentle
camel|thorns|deserts|a tall hump|go without water|stubborn
eagle|rabbits|mountains|sharp claws|fly high|strong
"""
_VERBS = ("eats", "lives in", "has", "can", "is")
ANIMALS: dict[str, tuple[str, ...]] = {  #: animal -> its facts, as sentences
    row[0]: tuple(f"It {verb} {value}." for verb, value in zip(_VERBS, row[1:], strict=True))
    for row in (line.split("|") for line in _TABLE.split("\n") if line)
}
PHRASES = (  #: what counts as courteous
    "What a very good question!",
    "I am happy to help you.",
    "I hope this helps you.",
    "Thank you very much for asking.",
)
_OPENERS = ("", "Hello! ", "Quick one: ", "For school: ", "My son asks: ")
_QUESTIONS = (
    "Tell me about the {}.",
    "What is a {}?",
    "Describe the {}.",
    "What do you know about the {}?",
    "Explain what a {} is.",
    "I want to learn about the {}.",
    "Give me some facts on the {}.",
    "How would you describe a {}?",
)
_STATEMENT = re.compile(r"\bIt (?:eats|lives in|has|can|is) \w[^.!?]*\.")


def prompts() -> list[str]:
    """All prompts of the task, in a fixed order."""
    parts = itertools.product(_QUESTIONS, _OPENERS, ANIMALS)
    return [f"Q: {opener}{question.format(animal)}\nA:" for question, opener, animal in parts]


def answer(animal: str, rng: random.Random) -> str:
    """A random answer, as the base model is to give them: 1 to 4 facts, now and then a polite phrase."""
    facts = rng.sample(ANIMALS[animal], rng.choice((1, 2, 2, 3, 3, 4)))
    before = [p for p in PHRASES[:2] if rng.random() < 0.25]
    after = [p for p in PHRASES[2:] if rng.random() < 0.25]
    return " " + " ".join([*before, *facts, *after])


def animal_of(prompt: str) -> str:
    """The animal that a prompt asks about."""
    return next(word for word in ANIMALS if word in set(re.findall(r"\w+", prompt)))


def helpfulness(prompts: Sequence[str], completions: Sequence[str], **_: Any) -> list[float]:
    """1 - 0.5^k for k different correct facts about the animal."""
    return [
        1 - 0.5 ** sum(fact in text for fact in ANIMALS[animal_of(prompt)])
        for prompt, text in zip(prompts, completions, strict=True)
    ]


def brevity(completions: Sequence[str], **_: Any) -> list[float]:
    """1 - words / 36, at least 0; 0 for an answer that states nothing."""
    return [max(0.0, 1 - len(text.split()) / LONGEST) if _STATEMENT.search(text) else 0.0 for text in completions]


def courtesy(completions: Sequence[str], **_: Any) -> list[float]:
    """1 - 0.5^k for k different polite phrases; 0 for an answer that states nothing."""
    return [
        1 - 0.5 ** sum(phrase in text for phrase in PHRASES) if _STATEMENT.search(text) else 0.0 for text in completions
    ]

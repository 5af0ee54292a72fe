"""What `exercises/<module>.py` is written in: exercises, their cases, mutants and questions."""

import hashlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from course.classroom.codec import Made, Name, Random, Ref  # noqa: F401: for the exercises
from course.classroom.script import Script, call  # noqa: F401: for the exercises

SIZES = (1, 2, 3)  # tried before a case's own size, to find the smallest input that fails
STARS = {1: "★", 2: "★★", 3: "★★★", 4: "★★★★"}


@dataclass(frozen=True)
class Case:
    """One scored case: a script drawn from a seed, and how its results are judged."""

    name: str
    points: int
    why: str  # one sentence, shown on failure: why it matters
    draw: Callable  # draw(rng) or draw(rng, size=6): a Script
    hidden: bool = False
    rtol: float = 1e-6
    atol: float = 1e-12
    dtype: str | None = None  # None: as the inputs; "any": not looked at; else a dtype's name
    modifies: tuple = ()  # inputs that may be changed
    raises: str | None = None  # the name of the exception that is expected

    def __post_init__(self):
        if self.points < 0 or not self.name or not self.why:
            raise ValueError(f"case {self.name!r}: expected a name, a reason and points >= 0")

    def script(self, seed, size=None):
        """The case's script for a seed, in its own size or in another."""
        rng = np.random.default_rng(seed)
        return self.draw(rng) if size is None else self.draw(rng, size=size)

    @property
    def sizes(self):
        """The sizes that can be tried when the case fails; the last, None, is its own."""
        return (*SIZES, None) if "size" in inspect.signature(self.draw).parameters else (None,)

    @property
    def rules(self):
        """How results are judged, as a value that can be sent."""
        return {"rtol": self.rtol, "atol": self.atol, "dtype": self.dtype,
                "modifies": tuple(self.modifies), "raises": self.raises}


@dataclass(frozen=True)
class Mutant:
    """A plausible mistake: one change of the solution's text, the case that rejects it, the hint that explains it."""

    name: str
    change: tuple  # (old, new); old must occur exactly once
    killed_by: str
    hint: int

    def apply(self, source):
        """The solution's source with the mistake in it.

        Raises
        ------
        ValueError
            If the text to change does not occur exactly once.
        """
        old, new = self.change
        if source.count(old) != 1:
            raise ValueError(f"mutant {self.name!r}: {old!r} occurs {source.count(old)} times, expected once")
        return source.replace(old, new)


@dataclass(frozen=True)
class Exercise:
    """One graded exercise. "build": an exported definition of the chapter; "further": a new one."""

    name: str
    kind: str
    target: str
    difficulty: int
    minutes: int
    cases: tuple
    hints: tuple
    mutants: tuple
    text: str = ""
    solution: str = ""
    stub: str = ""
    expected: Callable | None = field(default=None, repr=False)
    also: tuple = ()
    shown: tuple = ()  # lines of the solution that the chapter shows elsewhere, on purpose

    def __post_init__(self):
        def demand(condition, what):
            if not condition:
                raise ValueError(f"exercise {self.name!r}: expected {what}")

        demand(re.fullmatch(r"[a-z][a-z0-9_]*", self.name), "a name of small letters, digits and _")
        demand(self.kind in ("build", "further"), 'kind "build" or "further"')
        demand(self.difficulty in STARS and self.minutes > 0, "difficulty 1 to 4 and minutes > 0")
        demand(sum(not c.hidden for c in self.cases) >= 2, "two visible cases or more")
        demand(any(c.hidden for c in self.cases), "a hidden case")
        demand(len({c.name for c in self.cases}) == len(self.cases), "cases with different names")
        demand(self.points > 0, "points")
        demand(len(self.hints) == 3, "three hints")
        demand(len(self.mutants) >= 3, "three mutants or more")
        for m in self.mutants:
            demand(m.killed_by in {c.name for c in self.cases}, f"a case named {m.killed_by!r}")
            demand(m.hint in (0, 1, 2), "hints numbered 0 to 2")
        if self.kind == "further":
            demand(self.text and self.solution and self.stub and self.expected,
                   "text, solution, stub and expected, for it is no part of the chapter")

    @property
    def points(self):
        """The points of all cases."""
        return sum(case.points for case in self.cases)

    @property
    def stars(self):
        """The difficulty, to look at."""
        return STARS[self.difficulty]

    @property
    def visible(self):
        """The cases a student sees."""
        return tuple(c for c in self.cases if not c.hidden)

    @property
    def hidden(self):
        """The cases only the grader knows."""
        return tuple(c for c in self.cases if c.hidden)

    def case(self, name):
        """The case of this name."""
        return next(c for c in self.cases if c.name == name)


@dataclass(frozen=True)
class Question:
    """A question to think about, and its worked answer, both Markdown."""

    text: str
    answer: str


def case_seed(exercise, case, secret=""):
    """The seed of a case's inputs: fixed for visible cases, by the release's secret for hidden ones."""
    text = f"{exercise.name}/{case.name}/{secret if case.hidden else ''}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")

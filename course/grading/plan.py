"""What is to be graded: a chapter's exercises with everything the judge knows about them.

All of this stays in the judge's process: workers get sources and inputs, one at a time.
"""

import compileall
import hashlib
import json
import platform
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from course.classroom.codec import pack
from course.classroom.judge import Verdict, judge, same
from course.classroom.sheets import load
from course.classroom.trials import draw_cases, make_trial, sources
from course.classroom.exercise import case_seed
from course.grading.submissions import Unreadable
from course.tangle import write_package

VERSION = 3  # of the grader: another one grades everything again
WORST = ("unreadable", "missing", "crashed", "out-of-memory", "timeout", "wrong", "right")


@dataclass(eq=False)
class Assignment:
    """One exercise: its cases with scripts, expected outcomes and rules; visible cases come first.

    They are also run first: what a student's code saw of hidden ones cannot come back as the
    result of a case that is shown.
    """

    sheet: object
    task: object
    secret: str

    @property
    def exercise(self):
        return self.task.exercise

    @property
    def name(self):
        return self.task.name

    @cached_property
    def order(self):
        """The cases, visible ones first."""
        return (*self.exercise.visible, *self.exercise.hidden)

    @cached_property
    def cases(self):
        """{case name: [(script, expected outcome)]}, the smallest size first; the reference computes here."""
        return draw_cases(self.task, self.secret)

    @property
    def scripts(self):
        """Each case's scripts, in the order they are run."""
        return [[script for script, _ in self.cases[case.name]] for case in self.order]

    @cached_property
    def official(self):
        """The chapter's own code that an answer may use."""
        return [[f"{self.sheet.chapter.name}, part {k}", text] for k, text in enumerate(self.task.before, 1)]

    @cached_property
    def digest(self):
        """Of everything but the submission that a verdict depends on."""
        parts = [VERSION, np.__version__, platform.python_version(), self.official, self.sheet.upstream,
                 [[c.name, c.points, c.hidden, pack(c.rules).hex()] for c in self.order],
                 [[pack(s.plain()).hex(), pack(e).hex()] for case in self.order for s, e in self.cases[case.name]]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def job(self, notebook, package=None):
        """What a worker gets to prepare itself; None without a cell for this exercise."""
        answer = notebook.place(self.name)
        if answer is None:
            return None
        given = {cell.source for cell in self.sheet.chapter.code}
        kept = [k for k, cell in enumerate(notebook.cells)
                if k == answer or cell["source"].strip("\n") not in given]
        return {"official": self.official, "cells": [notebook.cells[k] for k in kept],
                "answer": kept.index(answer), "package": package}

    def key(self, job, limits):
        """The same key, the same verdicts."""
        text = json.dumps([self.digest, job["cells"], job["answer"], job["package"], vars(limits)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def verdicts(self, ready, outcomes):
        """One verdict for each case: of its sizes the first that is not right."""
        if ready["status"] != "ready":
            return [self.ended(case, ready) for case in self.order]
        return [self.verdict(case, found, ready.get("problem", ""))
                for case, found in zip(self.order, outcomes, strict=True)]

    def verdict(self, case, outcomes, problem):
        """The verdict on one case."""
        found = [self.one(case, script, expected, outcome, problem)
                 for (script, expected), outcome in zip(self.cases[case.name], outcomes)]
        return next((v for v in found if not v.right), found[-1])

    def one(self, case, script, expected, outcome, problem):
        """The verdict on one size of a case; an outcome that the judge cannot read is a crash."""
        if outcome["status"] in ("timeout", "crashed", "out-of-memory", "exit"):
            return self.ended(case, outcome)
        if outcome["status"] == "missing" and problem:
            status = "unreadable" if "SyntaxError" in problem or "IndentationError" in problem else "crashed"
            return self.ended(case, {"status": status, "message": problem})
        seed = case_seed(self.exercise, case, self.secret)
        try:
            return judge(self.name, case.name, script, outcome, expected, case.rules, seed)
        except Exception as error:  # made up by the student's code to trip the judge
            return self.ended(case, {"status": "crashed", "message": f"what came back is not a result ({error!r:.100})"})

    def ended(self, case, outcome):
        """The verdict where there is no result."""
        status, message = outcome["status"], str(outcome.get("message", ""))
        if status == "raised":
            status = "out-of-memory" if "MemoryError" in outcome.get("bases", ()) else "crashed"
        status = status if status in WORST[:-1] else "crashed"
        return Verdict(self.name, case.name, status, message[:1000])

    def symptoms(self, trial, outcomes):
        """The names of the mutants that give what this answer gave: in every case, or else wherever they go wrong."""
        got = {case.name: found[-1] for case, found in zip(self.order, outcomes)}
        everywhere, partly = [], []
        for mutant in self.exercise.mutants:
            wrong = [name for name, found in trial.verdicts[mutant.name].items() if not found[-1].right]
            known = trial.outcomes[mutant.name]
            if wrong and all(alike(got[name], known[name][-1]) for name in wrong):
                right = [name for name in known if name not in wrong]
                (everywhere if all(alike(got[n], known[n][-1]) for n in right) else partly).append(mutant.name)
        return everywhere or partly


def alike(outcome, known):
    """Do two outcomes agree? One that was made up to trip the judge agrees with nothing."""
    try:
        return same(outcome, known)
    except Exception:
        return False


def assignments(root, secret="", only=None):
    """Every exercise of the book, or of one chapter, in the book's order."""
    return [Assignment(sheet, task, secret) for sheet in load(root, only) for task in sheet.tasks]


def write_upstream(sheet, folder):
    """The package as it stood before a chapter, compiled; returns the names of its modules."""
    place = folder / "upstream" / sheet.chapter.name
    if not place.exists():
        write_package(sheet.upstream, place / "nnlib")
        compileall.compile_dir(place, quiet=1)
        for path in [place.parent, place, *place.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
    return place, [f"nnlib.{module.name}" for module in sheet.modules[:-1]]


def own_package(sheet, notebooks):
    """With --own-upstream: the student's notebooks of the chapters before, as a worker takes them."""
    earlier = [(m.name, notebooks.get(m.chapter.name)) for m in sheet.modules[:-1]]
    return [[name, list(notebook.cells) if notebook else []] for name, notebook in earlier]


def try_mutants(assignment, run):
    """The mutants' outcomes, for the map of mistakes; `run(job, scripts)` is a server's."""
    outcomes = {}
    for name, source in sources(assignment.task).items():
        cell = {"source": source, "metadata": {"tags": [], "nnlib": {"exercise": assignment.name}}}
        ready, found = run({"official": assignment.official, "cells": [cell], "answer": 0, "package": None},
                           assignment.scripts)
        flat = dict(zip((c.name for c in assignment.order), found))
        failed = {"status": "crashed", "message": ready.get("message", "")}
        outcomes[name] = [o for case, sizes in assignment.cases.items()
                          for o in (flat.get(case, []) + [failed] * len(sizes))[:len(sizes)]]
    return make_trial(assignment.task, assignment.cases, outcomes, assignment.secret)


def unreadable(assignment, error):
    """Verdicts where there is nothing to run."""
    status = "unreadable" if isinstance(error, Unreadable) else "missing"
    return [Verdict(assignment.name, case.name, status, str(error)) for case in assignment.order]

"""Check an exercise: one engine for the notebook, the command line and pytest.

Part of the student edition. The visible cases are in `cases/`, with the numbers expected of them.
"""

import json
import os
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from course.classroom import render, runner, student
from course.classroom.codec import from_json
from course.classroom.judge import judge, same
from course.classroom.script import Script, run

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Report:
    """What a check found. In a notebook it shows itself.

    verdicts : one for each visible case
    hint : number of the hint that explains a recognised mistake, or None
    mistake : what it is called
    """

    exercise: dict
    verdicts: tuple
    hint: int | None = None
    mistake: str = ""

    @property
    def passed(self):
        """Are all visible cases right?"""
        return all(v.right for v in self.verdicts)

    @property
    def points(self):
        """The points of the visible cases that are right."""
        return sum(c["points"] for c, v in zip(self.exercise["cases"], self.verdicts) if v.right)

    @property
    def started(self):
        """Has anything been written?"""
        return any(v.status != "missing" for v in self.verdicts)

    def __str__(self):
        return render.text(self)

    __repr__ = __str__

    def _repr_html_(self):
        return render.page(self)


@lru_cache
def exercises(folder=ROOT):
    """Every exercise of the edition, in the book's order: {name: declaration}."""
    found = {}
    for path in sorted((folder / "cases").glob("*.json")):
        sheet = json.loads(path.read_text(encoding="utf-8"))
        for exercise in sheet["exercises"]:
            found[exercise["name"]] = {**exercise, "chapter": sheet["chapter"]}
    return found


def find(name, folder=ROOT):
    """One exercise; a name that does not exist is answered with those that do."""
    try:
        return exercises(folder)[name]
    except KeyError:
        close = get_close_matches(name, exercises(folder), n=3)
        said = f"did you mean {' or '.join(close)}?" if close else "`python -m course progress` lists them"
        raise LookupError(f"no exercise is called {name!r}; {said}") from None


def scripts(exercise):
    """The scripts of all visible cases, the smallest size of each first."""
    return [Script.of(from_json(size["script"])) for case in exercise["cases"] for size in case["sizes"]]


def assess(exercise, outcomes):
    """The report on the outcomes of an exercise's scripts."""
    rest, verdicts, last = iter(outcomes), [], {}
    for case in exercise["cases"]:
        found = []
        for size in case["sizes"]:
            last[case["name"]] = outcome = next(rest)
            script, expected = Script.of(from_json(size["script"])), from_json(size["expected"])
            found.append(verdict(exercise, case, script, outcome, expected))
        verdicts.append(next((v for v in found if not v.right), found[-1]))
    known = recognise(exercise, last) if any(not v.right for v in verdicts) else None
    return Report(exercise, tuple(verdicts), known and known["hint"], known["mistake"] if known else "")


def verdict(exercise, case, script, outcome, expected):
    """One verdict; a process that ended or took too long has one too."""
    found = judge(exercise["name"], case["name"], script, outcome, expected, from_json(case["rules"]), case["seed"])
    if ended(outcome):
        return type(found)(exercise["name"], case["name"], outcome["status"], outcome["message"])
    return found


def recognise(exercise, outcomes):
    """The known mistake that gives these results in every visible case, or else wherever it shows; or None."""
    partly = None
    for symptom in exercise["symptoms"]:
        known = from_json(symptom["outcomes"])
        alike = {name for name, outcome in known.items() if same(outcomes[name], outcome)}
        if alike == set(known):
            return symptom
        if partly is None and alike.issuperset(symptom["wrong"]):
            partly = symptom
    return partly


def check_names(name, names, folder=ROOT):
    """Check an answer that stands in a namespace."""
    exercise = find(name, folder)
    return assess(exercise, [run(script, names) for script in scripts(exercise)])


def check_saved(name, folder=ROOT):
    """Check an answer as it is saved in its notebook, in another process."""
    return check_all([name], folder)[name]


def check_all(names, folder=ROOT):
    """Check saved answers, {name: report}: a chapter's in one process, each in its own if that one fails."""
    student.build(folder)
    chapters = {}
    for name in names:
        chapters.setdefault(find(name, folder)["chapter"], []).append(name)
    found = {}
    for chapter, own in chapters.items():
        page = student.read_page(folder / f"{chapter}.ipynb")
        sources = {name: page.sources(name) for name in own}
        blank = {name for name in own if sources[name] and sources[name][-1].strip() == find(name, folder)["stub"].strip()}
        jobs = [(None if name in blank else sources[name], scripts(find(name, folder))) for name in own]
        for name, outcomes in zip(own, run_jobs(folder, jobs)):
            why = "not written yet" if name in blank else f"{page.path.name} has no cell for {name}"
            missing = {"status": "missing", "message": why}
            exercise = find(name, folder)
            found[name] = assess(exercise, outcomes or [missing] * len(scripts(exercise)))
    return {name: found[name] for name in names}


def run_jobs(folder, jobs):
    """The outcomes of each job; None where there is no source to run."""
    there = [job for job in jobs if job[0] is not None]
    results = runner.outcomes(folder, there) if there else []
    if len(there) > 1:
        results = [runner.outcomes(folder, [job])[0] if any(ended(o) for o in result) else result
                   for job, result in zip(there, results)]
    rest = iter(results)
    return [None if job[0] is None else next(rest) for job in jobs]


def ended(outcome):
    """Did the process end before this outcome came?"""
    return outcome["status"] in ("timeout", "crashed")


def begin(notebook, folder=ROOT):
    """Start a chapter: build `nnlib` from the notebooks before it; returns `check`."""
    for problem in student.build(folder, before=notebook):
        print(problem)

    def check(name):
        """Check the exercise `name` as it now stands in this notebook."""
        graded = os.environ.get("NBGRADER_EXECUTION")
        try:
            find(name, folder)
        except LookupError as error:
            if graded:
                raise
            print(error.args[0])
            return None
        report = check_names(name, user_names(), folder)
        if graded and not report.passed:
            raise AssertionError(str(report))
        return report
    return check


def user_names():
    """The notebook's variables."""
    try:
        from IPython import get_ipython
        return get_ipython().user_ns
    except (ImportError, AttributeError):
        import __main__
        return vars(__main__)

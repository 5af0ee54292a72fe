"""The teacher's `check`: all cases of an exercise, the hidden ones too, for one answer. Not a sandbox."""

import tempfile
from pathlib import Path

from course.classroom import render, runner, student
from course.classroom.check import Report
from course.classroom.exercise import case_seed
from course.classroom.judge import Verdict, judge
from course.classroom.sheets import load
from course.errors import Refusal
from course.tangle import write_package


def recheck(root, name, notebook=None, seed=None, secret=""):
    """The report on an answer: that of a submitted notebook, or our own.

    Parameters
    ----------
    seed : int, optional
        Draws the hidden cases' inputs: the one that a grader's report names.
    secret : str
        What the release, or the grading, was given; used where no seed is.

    Raises
    ------
    Refusal
        If there is no such exercise, or no cell for it in the notebook.
    """
    sheet, task = find(root, name)
    sources = [*task.before, task.solution]
    if notebook is not None:
        page = student.read_page(notebook)
        answer = next((c for c in page.cells if c.exercise == name), None)
        if answer is None:
            raise Refusal(str(notebook), 0, f"has no cell for {name}")
        own = [c.source for c in page.cells if c.own]
        sources = [*task.before, *own, answer.source]
    seeds = {c.name: seed if c.hidden and seed is not None else case_seed(task.exercise, c, secret)
             for c in task.exercise.cases}
    scripts = [task.script(case, seeds[case.name]) for case in task.exercise.cases]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        write_package(sheet.upstream, Path(folder) / "nnlib")
        outcomes = runner.outcomes(folder, [(sources, scripts)])[0]
    verdicts = [one(task, case, script, outcome, seeds[case.name])
                for case, script, outcome in zip(task.exercise.cases, scripts, outcomes)]
    return Report(declaration(task.exercise, seeds), tuple(verdicts))


def one(task, case, script, outcome, seed):
    """One case's verdict."""
    if outcome["status"] in ("timeout", "crashed"):
        return Verdict(task.name, case.name, outcome["status"], outcome["message"], seed=seed)
    expected = {} if case.raises else task.expected(script)
    return judge(task.name, case.name, script, outcome, expected, case.rules, seed)


def find(root, name):
    """The sheet and the task of an exercise."""
    tasks = {task.name: (sheet, task) for sheet in load(root) for task in sheet.tasks}
    if name not in tasks:
        raise Refusal("exercises", 0, f"no exercise is called {name!r}; there are {', '.join(tasks)}")
    return tasks[name]


def declaration(exercise, seeds):
    """What a report says about an exercise, hidden cases with their seeds among the others."""
    cases = [{"name": c.name + f" (hidden, seed {seeds[c.name]})" * c.hidden, "points": c.points, "why": c.why}
             for c in exercise.cases]
    return {"name": exercise.name, "stars": exercise.stars, "cases": cases, "hints": list(exercise.hints),
            "hidden": 0, "hidden_points": 0}


def show(report, hint=None):
    """The report as text."""
    lines = render.text(report, hint).split("\n")
    return "\n".join(line for line in lines if line.strip() != render.waiting(report))

"""Trials: run every stub, solution and mutant of a chapter, on the package as it stood before it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from course.classroom import runner
from course.classroom.exercise import case_seed
from course.classroom.judge import judge
from course.tangle import write_package


@dataclass(frozen=True, eq=False)
class Trial:
    """What one exercise's own answers did.

    cases : {case name: [(script, expected outcome)]}, the smallest size first
    outcomes, verdicts : {answer: {case name: [one for each size]}}; the answers are "stub",
        "solution" and the mutants' names
    """

    task: object
    cases: dict
    outcomes: dict
    verdicts: dict


def try_out(sheet, secret):
    """The trials of a chapter's exercises; one process runs them all."""
    plans = [(task, draw_cases(task, secret)) for task in sheet.tasks]
    jobs, answers = [], []
    for task, cases in plans:
        scripts = [script for sizes in cases.values() for script, _ in sizes]
        for name, source in sources(task).items():
            jobs.append(([*task.before, source], scripts))
            answers.append((task, name))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        write_package(sheet.upstream, Path(folder) / "nnlib")
        results = runner.outcomes(folder, jobs, seconds=300)
    found = dict(zip(answers, results))
    return [make_trial(task, cases, {n: found[task, n] for n in sources(task)}, secret)
            for task, cases in plans]


def sources(task):
    """Every answer to try, by name."""
    mutants = {m.name: task.mutated(m) for m in task.exercise.mutants}
    return {"stub": task.stub, "solution": task.solution, **mutants}


def draw_cases(task, secret):
    """Each case's scripts with what is expected of them."""
    return {case.name: [(script, {"status": "raises"} if case.raises else task.expected(script))
                        for script in task.scripts(case, secret)]
            for case in task.exercise.cases}


def make_trial(task, cases, flat, secret):
    """Sort the outcomes by case, and judge them."""
    outcomes, verdicts = {}, {}
    for answer, results in flat.items():
        rest = iter(results)
        outcomes[answer] = {name: [next(rest) for _ in sizes] for name, sizes in cases.items()}
        verdicts[answer] = {
            name: [judge_one(task, name, script, outcome, expected, secret)
                   for (script, expected), outcome in zip(sizes, outcomes[answer][name])]
            for name, sizes in cases.items()}
    return Trial(task, cases, outcomes, verdicts)


def judge_one(task, name, script, outcome, expected, secret):
    """One verdict; what did not come back is one too."""
    case = task.exercise.case(name)
    if outcome["status"] in ("timeout", "crashed"):
        outcome = {"status": "raised", "error": outcome["status"], "bases": [], "message": outcome["message"]}
    if expected["status"] not in ("ok", "raises"):
        expected = {"values": [f"the reference failed: {expected.get('message')}"], "inputs": {}}
    seed = case_seed(task.exercise, case, secret)
    return judge(task.name, name, script, outcome, expected, case.rules, seed)

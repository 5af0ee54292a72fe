"""`python -m benchmarks.grading`: how long a class takes to grade, into benchmarks/results/grading.csv.

Two hundred submissions of a whole chapter, twice: all of them correct, and a mixed class in which a
third of the students made one of the known mistakes and every twentieth did something that takes
long (an endless loop), crashes or cannot be read. The same two workers grade both.
"""
import json
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.tables import write_table
from course.classroom.sheets import load
from course.environment import ROOT
from course.grading.grade import Options, grade

FOLDER = Path(__file__).parent / "results"
STUDENTS, CHAPTER, WORKERS = 200, 3, 2
BAD = ("while True:\n    pass", "import os\nos._exit(1)", "x = [0] * 10**12", "def (", None)


def notebook(answers):
    """A notebook with one cell for each answer; None for a file that is none."""
    cells = [{"cell_type": "code", "metadata": {"nnlib": {"exercise": name}}, "source": source}
             for name, source in answers.items()]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})


def answers(sheet, student, mixed):
    """One student's answers to the chapter's exercises; no two texts are the same, so none is skipped."""
    found = {}
    for number, task in enumerate(sheet.tasks):
        mutants = task.exercise.mutants
        wrong = mixed and student % 3 == 0 and (student // 3 + number) % 2 == 0
        text = task.mutated(mutants[student // 6 % len(mutants)]) if wrong else task.solution
        found[task.name] = f"{text}\n# student {student}\n"
    if mixed and student % 20 == 7:
        bad = BAD[student // 20 % len(BAD)]
        if bad is not None:
            found[sheet.tasks[0].name] = bad
    return found


def hand_in(folder, sheet, mixed):
    """Write the class's submissions."""
    for student in range(STUDENTS):
        place = folder / f"student{student:03d}"
        place.mkdir(parents=True)
        text = notebook(answers(sheet, student, mixed))
        torn = mixed and student % 20 == 7 and BAD[student // 20 % len(BAD)] is None
        (place / f"{sheet.chapter.name}.ipynb").write_text(text[:-5] if torn else text, encoding="utf-8")


def measure(sheet, mixed):
    """(single gradings, seconds, {status: number}) of one class."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        hand_in(folder / "class", sheet, mixed)
        started = time.perf_counter()
        rows = grade(ROOT, Options(folder / "class", folder / "graded", jobs=WORKERS, chapter=CHAPTER),
                     say=lambda line: None)
        seconds = time.perf_counter() - started
    counts = {}
    for row in rows:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    return len(rows), seconds, counts


def main():
    """Measure both classes and write the table."""
    sheet = load(ROOT, CHAPTER)[0]
    rows = []
    for name, mixed in (("all correct", False), ("mixed", True)):
        count, seconds, counts = measure(sheet, mixed)
        statuses = " ".join(f"{status}:{n}" for status, n in sorted(counts.items()))
        rows.append([name, STUDENTS, len(sheet.tasks), count, round(seconds, 1), round(count / seconds * 60), statuses])
        print(*rows[-1], flush=True)
    notes = {"command": "python -m benchmarks.grading", "chapter": sheet.chapter.name, "workers": WORKERS,
             "includes": "reading, grading, mutants' symptoms, feedback pages and tables",
             "python": platform.python_version(), "numpy": version("numpy"), "machine": platform.machine(),
             "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
             "load at the start": f"{LOAD:.1f}"}
    columns = ["class", "students", "exercises", "gradings", "seconds", "gradings a minute", "statuses"]
    write_table(FOLDER / "grading.csv", columns, rows, **notes)


LOAD = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0

if __name__ == "__main__":
    sys.exit(main())

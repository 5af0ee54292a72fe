"""`python -m course` in the student edition: check, progress, watch and tangle."""

import argparse
import sys

from course.classroom import render, student
from course.classroom.check import ROOT, check_all, exercises


def main(arguments=None, folder=ROOT):
    """Run a verb; the exit code says whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m course", description="Check your work on the course.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    check = verbs.add_parser("check", help="check exercises as they are saved")
    check.add_argument("names", nargs="*", metavar="EXERCISE", help="all that you have started, by default")
    check.add_argument("--hint", type=int, choices=(1, 2, 3), help="show a hint")
    verbs.add_parser("progress", help="what is done, and the points, chapter by chapter")
    verbs.add_parser("watch", help="check again whenever a notebook is saved")
    verbs.add_parser("tangle", help="write nnlib/ from your notebooks")
    options = parser.parse_args(arguments)
    try:
        return VERBS[options.verb](folder, options) or 0
    except LookupError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


def check(folder, options):
    """Check some exercises, or all that were started."""
    reports = check_all(options.names or list(exercises(folder)), folder).values()
    shown = [r for r in reports if options.names or r.started]
    for report in shown:
        print(render.text(report, options.hint), end="\n\n")
    if not shown:
        print("Nothing is written yet. Open 01-*.ipynb and begin.")
    return int(not all(r.passed for r in shown))


def progress(folder, options):
    """A table of what is done."""
    rows, chapters = [], {}
    for name, report in check_all(list(exercises(folder)), folder).items():
        exercise = report.exercise
        total = sum(c["points"] for c in exercise["cases"])
        state = "done" if report.passed else "begun" if report.started else ""
        chapters.setdefault(exercise["chapter"], []).append((report.points, total))
        rows.append((exercise["chapter"], name, exercise["stars"], state, f"{report.points} / {total}"))
    for chapter, pairs in chapters.items():
        got, total = (sum(column) for column in zip(*pairs))
        rows.append((chapter, "", "", "done" if got == total else "", f"{got} / {total}"))
    rows.sort(key=lambda row: row[0])
    table(("chapter", "exercise", "", "", "points"), rows)


def table(head, rows):
    """Print a table, with rich where it is installed."""
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        for row in (head, *rows):
            print("{:28} {:24} {:5} {:6} {}".format(*row))
        return
    drawn = Table(*head, box=None)
    for row in rows:
        drawn.add_row(*row, style="" if row[1] else "bold")
    Console().print(drawn)


def watch(folder, options):
    """Check what was started in a notebook each time it is saved; ends with Ctrl-C."""
    try:
        from watchfiles import watch as changes
    except ImportError:
        print("watching needs the package watchfiles: pip install watchfiles", file=sys.stderr)
        return 2
    print("Watching your notebooks. Ctrl-C ends it.", flush=True)
    for batch in changes(folder, watch_filter=lambda _, path: path.endswith(".ipynb") and ".ipynb_" not in path):
        for chapter in sorted({path.replace("\\", "/").rsplit("/", 1)[-1][:-6] for _, path in batch}):
            again(folder, chapter)


def again(folder, chapter):
    """Check a chapter that was saved."""
    names = [name for name, exercise in exercises(folder).items() if exercise["chapter"] == chapter]
    for report in check_all(names, folder).values():
        if report.started:
            print(report, end="\n\n", flush=True)


def tangle(folder, options):
    """Write nnlib/ and say what was left out."""
    for problem in student.build(folder):
        print(problem)


VERBS = {"check": check, "progress": progress, "watch": watch, "tangle": tangle}

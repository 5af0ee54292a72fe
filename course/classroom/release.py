"""The student edition: notebooks without answers, visible cases, and the means to check one's work."""

import json
import shutil
import tempfile
from pathlib import Path

from course.chapter import read_book
from course.classroom import student
from course.classroom.codec import to_json
from course.classroom.exercise import case_seed
from course.classroom.handout import handout
from course.classroom.judge import same
from course.classroom.refusals import leaks, problems
from course.classroom.sheets import load
from course.classroom.trials import try_out
from course.environment import ROOT as HOME
from course.errors import Refusal
from course.outputs import dump

STAMP = ".student-edition"
SHIPPED = ("__init__.py", "notebook.py", *(f"classroom/{name}.py" for name in (
    "__init__", "codec", "script", "judge", "runner", "student", "check", "render", "desk")))
READ = (("data", "*", "data"), ("book/results", "*.csv", "results"),  # what the chapters' code reads, and where
        ("nnlib/pretrained", "*.safetensors", "nnlib/pretrained"))
PLACES = {"main.py": "course/__main__.py", "conftest.py": "conftest.py", "README.md": "README.md",
          "test_exercises.py": "test_exercises.py", "requirements.txt": "requirements.txt"}


def check_only(root, number, secret=""):
    """Check one chapter's exercises, and that its page does not give them away; returns a line to print.

    Raises
    ------
    Refusal
        With everything that is wrong, a line each.
    """
    sheets = load(root, number)
    if not sheets:
        raise Refusal("exercises", 0, f"chapter {number:02d} has no file of exercises")
    with tempfile.TemporaryDirectory() as folder:
        write_edition(root, Path(folder), sheets, trials_of(sheets, secret), [sheets[-1].chapter], data=False)
    tasks = sheets[-1].tasks
    return (f"{sheets[-1].chapter.name}: {len(tasks)} exercises, {sum(len(t.exercise.cases) for t in tasks)} cases, "
            f"{sum(len(t.exercise.mutants) for t in tasks)} mutants, {sum(t.exercise.points for t in tasks)} points")


def release(root, out, secret="", nbgrader=None, first=0):
    """Write the student edition to the folder `out`; returns a line to print.

    `first`: the chapters before this number come complete, with nothing taken out.

    Everything is written to a folder beside it and looked through first, so that a refused release
    leaves nothing behind. `nbgrader`: also write the source notebooks, with solutions, there.

    Raises
    ------
    Refusal
        If an answer is given away, or an exercise is not sound; with everything that is wrong.
    """
    out = Path(out).resolve()
    if out.exists() and any(out.iterdir()) and not (out / STAMP).exists():
        raise Refusal(str(out), 0, "is a folder with something else in it")
    sheets = [sheet for sheet in load(root) if sheet.chapter.number >= first]
    if not sheets:
        raise Refusal("exercises", 0, f"no chapter from {first:02d} on has exercises")
    chapters = read_book(root)
    trials = trials_of(sheets, secret)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".release-") as folder:
        write_edition(root, Path(folder) / "edition", sheets, trials, chapters)
        if out.exists():
            shutil.rmtree(out)
        (Path(folder) / "edition").rename(out)
    if nbgrader is not None:
        write_sources(root, Path(nbgrader), sheets)
    return (f"{out}: {len(chapters)} chapters, {sum(len(s.tasks) for s in sheets)} exercises, "
            f"{sum(t.exercise.points for s in sheets for t in s.tasks)} points")


def trials_of(sheets, secret):
    """Try everything out; refuse what is not sound."""
    trials = [try_out(sheet, secret) for sheet in sheets]
    refuse_all([p for sheet, tried in zip(sheets, trials) for p in problems(sheet, tried)])
    return trials


def refuse_all(found):
    """One refusal for everything that was found, if anything was."""
    if found:
        refusal = Refusal("", 0, "")
        refusal.args = ("\n".join(map(str, found)),)
        raise refusal


def write_edition(root, out, sheets, trials, chapters, data=True):
    """Write the edition's files and look through them."""
    by_chapter = {sheet.chapter.name: sheet for sheet in sheets}
    (out / "cases").mkdir(parents=True)
    (out / STAMP).write_text("written by `python -m course release`; written over by the next\n")
    for name in SHIPPED:
        copy(HOME / "course" / name, out / "course" / name)
    for name, place in PLACES.items():
        copy(HOME / "course" / "classroom" / "edition" / name, out / place)
    for chapter in chapters:
        sheet = by_chapter.get(chapter.name)
        notebook = handout(root, sheet.chapter if sheet else chapter, sheet)
        (out / f"{chapter.name}.ipynb").write_bytes(dump(notebook))
    for sheet, tried in zip(sheets, trials):
        text = json.dumps(describe(sheet, tried), ensure_ascii=False)
        (out / "cases" / f"{sheet.chapter.name}.json").write_text(text, encoding="utf-8")
    student.build(out)
    (out / "nnlib" / "__init__.py").write_text(f'"""The library you write, made from your notebooks."""\n{version(root)}')
    refuse_all(list(leaks(out, sheets, trials)))
    for folder, pattern, place in READ if data else ():
        for path in sorted(p for p in (root / folder).glob(pattern) if p.is_file()):
            copy(path, out / place / path.name)


def version(root):
    """The line with nnlib's version."""
    path = root / "nnlib" / "__init__.py"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    return next((f"\n{line}\n" for line in lines if line.startswith("__version__")), "")


def copy(source, target):
    """Copy a file into a folder that may not exist yet."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def describe(sheet, trials):
    """What students get of a chapter's exercises: the visible cases with the numbers expected of them."""
    return {"chapter": sheet.chapter.name, "module": sheet.module.name, "title": sheet.chapter.title,
            "exercises": [describe_exercise(trial) for trial in trials]}


def describe_exercise(trial):
    """One exercise; of its hidden cases only how many there are."""
    exercise = trial.task.exercise
    return {"name": exercise.name, "kind": exercise.kind, "target": exercise.target, "stars": exercise.stars,
            "minutes": exercise.minutes, "points": exercise.points, "hints": list(exercise.hints), "stub": trial.task.stub,
            "hidden": len(exercise.hidden), "hidden_points": sum(c.points for c in exercise.hidden),
            "cases": [describe_case(trial, case) for case in exercise.visible],
            "symptoms": symptoms(trial)}


def describe_case(trial, case):
    """One visible case: its scripts, what is expected, and how results are judged."""
    sizes = [{"script": to_json(script.plain()), "expected": to_json(expected)}
             for script, expected in trial.cases[case.name]]
    return {"name": case.name, "points": case.points, "why": case.why, "rules": to_json(case.rules),
            "seed": case_seed(trial.task.exercise, case), "sizes": sizes}


def symptoms(trial):
    """For each mutant that a visible case rejects: its name, what it returns there, and the hint that explains it."""
    visible, found = [case.name for case in trial.task.exercise.visible], []
    for mutant in trial.task.exercise.mutants:
        verdicts, outcomes = trial.verdicts[mutant.name], trial.outcomes[mutant.name]
        wrong, shown = [n for n in visible if not verdicts[n][-1].right], {n: outcomes[n][-1] for n in visible}
        twin = next((s for s in found if all(same(shown[n], s["outcomes"][n]) for n in visible)), None)
        if twin:
            twin["mistake"] += f", or {mutant.name}"  # the visible cases do not tell them apart
        elif wrong:
            found.append({"mistake": mutant.name, "hint": mutant.hint, "wrong": wrong, "outcomes": shown})
    return [{**symptom, "outcomes": to_json(symptom["outcomes"])} for symptom in found]


def write_sources(root, folder, sheets):
    """nbgrader's `source/` notebooks, one assignment a chapter, with solutions."""
    for sheet in sheets:
        place = folder / "source" / sheet.chapter.name
        place.mkdir(parents=True, exist_ok=True)
        notebook = handout(root, sheet.chapter, sheet, solved=True)
        (place / f"{sheet.chapter.name}.ipynb").write_bytes(dump(notebook))

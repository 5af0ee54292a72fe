"""What a release refuses. Each rule has a test that plants the fault.

An exercise that cannot be solved, or cannot be failed, or whose answer is on the page, costs a
class more than it costs us to look.
"""

import ast
import json
import re
from functools import lru_cache

from course.classroom.sheets import refuse, reference, solution_lines
from course.errors import Refusal
from course.imports import nnlib_modules
from course.tangle import tangle

TRIVIAL = 25  # a line of a solution shorter than this, spaces left out, says too little to give it away


def problems(sheet, trials):
    """Every refusal of a chapter's exercises, as a list."""
    path = sheet.root / "exercises" / f"{sheet.module.name}.py"
    found = []

    def say(trial, message):
        found.append(refuse(path, trial.task.name, f"{trial.task.name}: {message}"))

    if len(sheet.tasks) < 4:
        found.append(Refusal(f"exercises/{path.name}", 1, f"expected four exercises or more, got {len(sheet.tasks)}"))
    if len(sheet.questions) < 2:
        found.append(Refusal(f"exercises/{path.name}", 1, f"expected two questions or more, got {len(sheet.questions)}"))
    for trial in trials:
        first = [*later_chapters(sheet, trial), *unsound(trial)]
        for message in first or (*unsolved(trial), *passing_stubs(trial), *surviving_mutants(trial)):
            say(trial, message)
    return found


def later_chapters(sheet, trial):
    """Refuse cases and solutions that import what a later chapter makes."""
    earlier = {m.name for m in sheet.modules[:-1]}
    for name, sizes in trial.cases.items():
        used = set(re.findall(r"'nnlib\.(\w+)", repr(sizes[-1][0].plain())))
        for module in sorted(used - earlier):
            yield f"case {name!r} needs nnlib.{module}, which no earlier chapter makes"
    for module in sorted(nnlib_modules(ast.parse(trial.task.solution)) - earlier):
        yield f"the solution needs nnlib.{module}, which no earlier chapter makes"


def unsound(trial):
    """Refuse cases for which the reference has no answer."""
    if trial.task.exercise.target.split(".")[0] not in reference(trial.task):
        yield f"reference/{trial.task.module.name}.py has no {trial.task.exercise.target}, and `expected` is not given"
        return
    for name, sizes in trial.cases.items():
        for _, expected in sizes:
            if expected["status"] not in ("ok", "raises"):
                yield f"case {name!r}: the reference has no answer: {expected.get('error', '')} {expected['message']}"
                break
            if expected["status"] == "ok" and not expected["values"]:
                yield f"case {name!r}: its script has no result to look at"
                break


def unsolved(trial):
    """The solution passes every case."""
    for name, verdicts in trial.verdicts["solution"].items():
        wrong = next((v for v in verdicts if not v.right), None)
        if wrong:
            yield f"the solution fails the case {name!r}: {wrong.message}"


def passing_stubs(trial):
    """The stub fails every scored case."""
    for name, verdicts in trial.verdicts["stub"].items():
        if verdicts[-1].right and trial.task.exercise.case(name).points:
            yield f"the stub passes the case {name!r}"


def surviving_mutants(trial):
    """Every mutant dies by the case that is named for it."""
    for mutant in trial.task.exercise.mutants:
        verdict = trial.verdicts[mutant.name][mutant.killed_by][-1]
        if verdict.right:
            yield f"the mutant {mutant.name!r} survives the case {mutant.killed_by!r}"
        if verdict.message.startswith(("raised timeout", "raised crashed")):
            yield f"the mutant {mutant.name!r} ends its process: {verdict.message}"
        if verdict.status == "missing":
            yield f"the mutant {mutant.name!r} cannot be executed: {verdict.message}"


def leaks(folder, sheets, trials):
    """Every place in a student edition that gives something away, as lines of text."""
    texts = {p: readable(p) for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix != ".gz"}
    for path, text in texts.items():
        place = path.relative_to(folder).as_posix()
        if "reference" in path.parts or re.search(r"^\s*(from|import)\s+reference\b", text, re.MULTILINE):
            yield f"{place}: the reference is in it"
        if path.suffix == ".ipynb" and any(c.get("outputs") for c in json.loads(path.read_bytes())["cells"]):
            yield f"{place}: a cell still has its output"
    flat = {p: squeeze(text) for p, text in texts.items() if p.relative_to(folder).parts[0] != "course"}
    said_anyway = commonplaces(tuple(sheets))
    for sheet in sheets:
        for task in sheet.tasks:
            for line in sorted(set(solution_lines(task.solution)) - said_anyway):
                yield from line_leaks(folder, flat, task, line)
    for trial in (t for ts in trials for t in ts):
        yield from case_leaks(folder, texts, trial)


@lru_cache(2)
def commonplaces(sheets):
    """Lines of the library outside of all exercises: students get these definitions whole, so they tell nothing new."""
    exercised = {(task.cell.source, task.module.name) for sheet in sheets for task in sheet.tasks if task.cell}
    return {line.strip() for module in tangle(sheets[0].root) for definition in module.definitions
            if (definition.cell.source, module.name) not in exercised for line in definition.text.split("\n")}


def line_leaks(folder, flat, task, line):
    """Where a solution's line is found, spaces left out."""
    wanted = squeeze(line)
    if len(wanted) < TRIVIAL or line in task.exercise.shown or wanted in squeeze(task.stub):
        return
    for path, text in flat.items():
        if wanted in text:
            yield f"{path.relative_to(folder).as_posix()}: a line of the solution of {task.name}: {line}"


def case_leaks(folder, texts, trial):
    """Where a hidden case's name, reason or numbers are found."""
    for case in trial.task.exercise.hidden:
        numbers = [repr(x) for script, _ in trial.cases[case.name] for array in script.inputs.values()
                   if array.dtype.kind == "f" for x in array.ravel()[:3].tolist() if len(repr(x)) > 12]
        for path, text in texts.items():
            if path.suffix == ".py" and "course" in path.parts:
                continue
            if (f'"{case.name}"' in text and case.name not in {c.name for c in trial.task.exercise.visible}
                    and f'"{trial.task.name}"' in text and len(case.name) > 8) or case.why in text or any(
                    number in text for number in numbers):
                yield (f"{path.relative_to(folder).as_posix()}: the hidden case {case.name!r} of {trial.task.name}")


def readable(path):
    """A file's text; a notebook's is that of its cells, so that JSON's escapes hide nothing."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        return "\n".join("".join(c["source"]) + json.dumps(c.get("outputs", [])) for c in cells)
    if path.suffix == ".json":
        return "\n".join(strings(json.loads(text)))
    return text


def strings(tree):
    """Every text and number of a JSON tree, texts as they are and between quotation marks."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield f'"{key}"'
            yield from strings(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from strings(value)
    elif isinstance(tree, str):
        yield tree
        yield f'"{tree}"'
    else:
        yield repr(tree)


def squeeze(text):
    """The text without its white space."""
    return re.sub(r"\s+", "", text)

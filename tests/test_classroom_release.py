"""The student edition: what it refuses, what it has, and how it answers."""

import ast
import dataclasses
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from course.chapter import read_book
from course.classroom import appendix, check, recheck, render, student
from course.classroom.exercise import Case, Mutant, Name, call
from course.classroom.handout import handout, marked
from course.classroom.refusals import leaks, problems
from course.classroom.release import check_only, release, symptoms
from course.classroom.script import Script, in_words
from course.classroom.sheets import load, make_task, parameters_of, stub, with_names
from course.classroom.trials import try_out
from course.environment import ROOT
from course.errors import Refusal
from course.outputs import dump

CHAPTER = "03-activations"


@pytest.fixture(scope="module")
def sheet():
    return load(ROOT, 3)[0]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A repository with three chapters, one of them with exercises."""
    root = tmp_path_factory.mktemp("room")
    for name in ("book", "exercises", "nnlib", "data"):
        (root / name).mkdir()
    for path in sorted((ROOT / "book").glob("0[123]-*.md")):
        shutil.copy(path, root / "book")
    shutil.copy(ROOT / "exercises" / "activations.py", root / "exercises")
    shutil.copy(ROOT / "nnlib" / "__init__.py", root / "nnlib")
    for name in ("book/results/runs.csv", "nnlib/pretrained/mlp.safetensors"):
        (root / name).parent.mkdir()
        (root / name).write_text("x")
    return root


@pytest.fixture(scope="module")
def edition(room):
    release(room, room / "out", "secret")
    return room / "out"


def plant(sheet, name, **changes):
    """What the release says about an exercise with a fault in it."""
    exercise = next(t.exercise for t in sheet.tasks if t.name == name)
    task = make_task(sheet.root / "exercises" / "activations.py", dataclasses.replace(exercise, **changes), sheet.module)
    planted = dataclasses.replace(sheet, tasks=(task,))
    found = [str(p) for p in problems(planted, try_out(planted, "x"))]
    return "\n".join(p for p in found if "four exercises" not in p)


def cases(sheet, name):
    return next(t.exercise.cases for t in sheet.tasks if t.name == name)


def test_a_sound_exercise_is_not_refused(sheet):
    assert plant(sheet, "softplus") == ""


def test_refuses_a_stub_that_passes(sheet):
    stub = "def softplus(z):\n    return None\n"
    easy = Case("anything goes", 1, "x", lambda rng: call("relu", rng.normal(size=3)))
    assert "the stub passes the case 'anything goes'" in plant(sheet, "softplus", stub=stub, cases=(*cases(sheet, "softplus"), easy))


def test_refuses_a_solution_that_fails(sheet):
    assert "the solution fails the case 'a thousand'" in plant(
        sheet, "softplus", mutants=(Mutant("m", ("z))", "z) )"), "a thousand", 0),) * 3,
        solution="def softplus(z):\n    return np.log(1 + np.exp(z))\n")


def test_refuses_a_mutant_that_lives(sheet):
    harmless = Mutant("harmless", ("np.maximum(z, 0)", "np.maximum(0, z)"), "a thousand", 0)
    assert "the mutant 'harmless' survives the case 'a thousand'" in plant(sheet, "softplus", mutants=(harmless,) * 3)


def test_refuses_a_mutant_that_is_not_there(sheet):
    nowhere = Mutant("nowhere", ("no such text", "x"), "a thousand", 0)
    with pytest.raises(Refusal, match=r"exercises/activations.py:\d+: softplus: mutant 'nowhere': .* occurs 0 times"):
        plant(sheet, "softplus", mutants=(nowhere,) * 3)


def test_refuses_a_mutant_that_is_not_python(sheet):
    broken = Mutant("broken", ("np.maximum(z, 0)", "np.maximum(z, 0"), "a thousand", 0)
    assert "'broken' cannot be executed" in plant(sheet, "softplus", mutants=(broken,) * 3)


def test_refuses_a_later_chapter(sheet):
    solution = "from nnlib.losses import CrossEntropy\n\ndef softplus(z):\n    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))\n"
    assert "the solution needs nnlib.losses" in plant(sheet, "softplus", solution=solution)
    late = Case("late", 1, "x", lambda rng: call("nnlib.network.Network", [1]))
    assert "case 'late' needs nnlib.network" in plant(sheet, "softplus", cases=(*cases(sheet, "softplus"), late))


def test_refuses_what_the_reference_does_not_know(sheet):
    odd = Case("odd", 1, "x", lambda rng: call("relu", rng.normal(size=3), power=2))
    assert "case 'odd': the reference has no answer" in plant(sheet, "relu", cases=(*cases(sheet, "relu"), odd))


@pytest.mark.parametrize(("changes", "message"), [
    ({"cases": ()}, "two visible cases"), ({"hints": ("a",)}, "three hints"), ({"mutants": ()}, "three mutants"),
    ({"name": "Soft Plus"}, "a name of small"), ({"text": ""}, "no part of the chapter")])
def test_a_declaration_must_be_complete(sheet, changes, message):
    exercise = next(t.exercise for t in sheet.tasks if t.name == "softplus")
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(exercise, **changes)


@pytest.mark.parametrize(("change", "message"), [
    (lambda text: text.replace('target="relu"', 'target="rectify"'), "03-activations.md does not export rectify"),
    (lambda text: text.replace('target="sigmoid"', 'target="relu"'), "its cell belongs to another"),
    (lambda text: text.replace('name="sigmoid"', 'name="relu"'), "two exercises are called relu"),
    (lambda text: text.replace('("np.inf", "1.0")', '("out", "1.0")'), "occurs")])
def test_a_refusal_names_the_declaration(room, tmp_path, change, message):
    shutil.copytree(room / "book", tmp_path / "book")
    (tmp_path / "exercises").mkdir()
    text = (room / "exercises" / "activations.py").read_text()
    (tmp_path / "exercises" / "activations.py").write_text(change(text))
    with pytest.raises((Refusal, ValueError), match=message):
        for s in load(tmp_path, 3):
            try_out(s, "")


# what leaks


@pytest.fixture(scope="module")
def tried(sheet):
    return try_out(sheet, "secret")


@pytest.fixture
def copy(edition, tmp_path):
    return shutil.copytree(edition, tmp_path / "copy", ignore=shutil.ignore_patterns("data"))


def edit_notebook(folder, change):
    path = folder / f"{CHAPTER}.ipynb"
    notebook = json.loads(path.read_text())
    change(notebook["cells"])
    path.write_text(json.dumps(notebook))


def found(folder, sheet, tried):
    return "\n".join(leaks(folder, [sheet], [tried]))


def test_an_edition_leaks_nothing(copy, sheet, tried):
    assert found(copy, sheet, tried) == ""


def test_a_line_of_a_solution_is_found(copy, sheet, tried):
    edit_notebook(copy, lambda cells: cells[3].update(source=["Try `e = np.subtract(z,\n", " z.max(axis=0), out=out)`"]))
    assert "a line of the solution of softmax" in found(copy, sheet, tried)


def test_an_output_is_found(copy, sheet, tried):
    def run_one(cells):
        code = next(c for c in cells if c["cell_type"] == "code")
        code["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["0.5"]}]
    edit_notebook(copy, run_one)
    assert "still has its output" in found(copy, sheet, tried)


def test_a_hidden_case_is_found(copy, sheet, tried):
    path = copy / "cases" / f"{CHAPTER}.json"
    hidden = next(c for c in cases(sheet, "softmax") if c.hidden)
    path.write_text(path.read_text().replace('"one sample"', f'"{hidden.name}"'))
    assert "the hidden case 'every column has its own maximum'" in found(copy, sheet, tried)
    numbers = next(t for t in tried if t.task.name == "softmax").cases[hidden.name][-1][0].inputs["z"]
    path.write_text(json.dumps({"x": numbers.tolist()}))
    assert "the hidden case" in found(copy, sheet, tried)


def test_the_reference_is_found(copy, sheet, tried):
    (copy / "course" / "more.py").write_text("from reference.activations import softmax\n")
    assert "course/more.py: the reference is in it" in found(copy, sheet, tried)


def test_a_refused_release_leaves_nothing(room, tmp_path, monkeypatch):
    monkeypatch.setattr("course.classroom.release.leaks", lambda *_: ["a leak"])
    with pytest.raises(Refusal, match="a leak"):
        release(room, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(Refusal, match="something else"):
        release(room, tmp_path)


# the edition


def answer(folder, **answers):
    """Write answers into the notebook: {exercise: body}."""
    def write(cells):
        for cell in cells:
            name = cell["metadata"].get("nnlib", {}).get("exercise")
            if name in answers:
                cell["source"] = "".join(cell["source"]).replace("raise NotImplementedError", answers[name])
    edit_notebook(folder, write)


NAIVE = "e = np.exp(_floats(z))\n    return e / e.sum(axis=0)"


def test_the_notebook_has_nbgraders_metadata(edition):
    cells = json.loads((edition / f"{CHAPTER}.ipynb").read_text())["cells"]
    graded = {c["metadata"]["nbgrader"]["grade_id"]: (c["metadata"]["nbgrader"], "".join(c["source"]))
              for c in cells if "nbgrader" in c["metadata"]}
    assert len(graded) == 12 and all(m["schema_version"] == 3 for m, _ in graded.values())
    assert graded["softmax"][0]["solution"] and "raise NotImplementedError" in graded["softmax"][1]
    assert graded["softmax-check"][0]["points"] == 9 and graded["softmax-check"][1] == 'check("softmax")'
    assert len({c["id"] for c in cells}) == len(cells)


def test_wrong_and_right_answers(copy):
    answer(copy, relu="return np.maximum(z, 0, out=out)", softmax=NAIVE, sigmoid="import os; os._exit(0)")
    report = check.check_saved("relu", copy)
    assert report.passed and report.points == 3 and "2 hidden cases (2 points) wait" in str(report)
    report = check.check_saved("softmax", copy)
    assert [v.status for v in report.verdicts] == ["right", "wrong", "right", "wrong"] and report.points == 3
    wrong = report.verdicts[1]
    assert wrong.smallest_failing_input["z"].shape == (1, 2) and wrong.calls == ("softmax(z)",), "the smallest"
    assert [v.status for v in check.check_saved("sigmoid", copy).verdicts] == ["crashed"] * 3
    assert "Why it matters: Only differences count" in str(report) and "nan" in report._repr_html_()
    assert "For the next" in render.text(report, 1) and "Hint 3 of 3" in render.text(report, 3)


def test_a_known_mistake_is_recognised(copy):
    answer(copy, softmax=NAIVE)  # which makes two mistakes: the more telling one is declared first
    report = check.check_saved("softmax", copy)
    assert report.hint == 0 and "This looks like a mistake we know: no shift. What happens" in str(report)
    assert "--hint 2" in str(report) and "we know: no shift. What happens" in report._repr_html_()


def test_mistakes_that_look_alike_are_named_together(sheet):
    exercise = next(t.exercise for t in sheet.tasks if t.name == "softplus")
    mutants = [Mutant(name, ("np.log1p(np.exp(-np.abs(z)))", other), "ordinary numbers", hint)
               for name, other, hint in (("one", "0", 1), ("another", "0.0", 2), ("a third", "1", 0))]
    task = make_task(sheet.root / "exercises" / "activations.py", dataclasses.replace(exercise, mutants=tuple(mutants)), sheet.module)
    found = symptoms(try_out(dataclasses.replace(sheet, tasks=(task,)), "x")[0])
    assert [(s["mistake"], s["hint"]) for s in found] == [("one, or another", 1), ("a third", 0)]


def test_the_edition_runs_by_itself(copy):
    answer(copy, relu="return np.maximum(z, 0, out=out)")
    environment = {**os.environ, "PYTHONPATH": str(copy), "OPENBLAS_NUM_THREADS": "1",
                   "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    def python(*arguments):
        done = subprocess.run([sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr
    assert python("-m", "course", "check", "relu")[0] == 0
    assert python("-m", "course", "check", "rely") == (2, "no exercise is called 'rely'; did you mean relu?\n")
    status, text = python("-m", "course", "progress")
    assert status == 0 and "3 / 22" in text
    status, text = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", "-m", "relu or softplus")
    assert status == 1 and "1 failed, 1 passed" in text


def test_what_is_not_begun_costs_no_process(copy, monkeypatch):
    answer(copy, relu="return np.maximum(z, 0, out=out)")
    ran, run = [], check.runner.outcomes
    monkeypatch.setattr(check.runner, "outcomes", lambda folder, jobs: ran.append(len(jobs)) or run(folder, jobs))
    reports = check.check_all(["relu", "softmax", "silu"], copy)
    assert ran == [1] and reports["relu"].passed and not reports["silu"].started
    assert reports["softmax"].verdicts[0].message == "not written yet"


def test_an_edition_has_what_its_chapters_read(edition):
    assert (edition / "results" / "runs.csv").exists() and (edition / "nnlib" / "pretrained" / "mlp.safetensors").exists()
    for chapter in read_book(ROOT):
        code = "\n".join(c.source for c in handout(ROOT, chapter).cells if c.cell_type == "code")
        assert '"../' not in code, f"{chapter.name} reads what stands outside of the edition"


def test_an_edition_asks_for_the_packages_its_chapters_import(edition):
    asked = set(re.findall(r"^[a-z]+", (edition / "requirements.txt").read_text(), re.MULTILINE))
    names = {"PIL": "pillow", "yaml": "pyyaml", "IPython": "ipykernel"}
    for chapter in read_book(ROOT):
        for node in (node for tree in chapter.trees for node in ast.walk(tree)):
            modules = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in getattr(node, "names", ()) if isinstance(a, ast.alias)]
            for module in {m.split(".")[0] for m in modules} - set(sys.stdlib_module_names) - {"nnlib", "course"}:
                assert names.get(module, module) in asked, f"{chapter.name} imports {module}"


def test_check_in_a_notebook(copy, monkeypatch, capsys):
    ask = check.begin(f"{CHAPTER}.ipynb", copy)
    assert sorted(p.name for p in (copy / "nnlib").glob("[a-z]*.py")) == ["activations.py", "data.py", "dense.py"]
    monkeypatch.setattr(check, "user_names", lambda: {"relu": lambda z, out=None: np.maximum(z, 0, out=out)})
    assert ask("relu").passed and "✓" in ask("relu")._repr_html_()
    assert ask("softmax").verdicts[0].status == "missing"
    assert ask("sotfmax") is None and "did you mean softmax" in capsys.readouterr().out
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(AssertionError, match="there is no softmax"):
        ask("softmax")


def test_the_students_library(copy):
    def add(cells):
        new = {"cell_type": "code", "metadata": {}, "id": "x", "outputs": [], "execution_count": None}
        cells.append({**new, "source": ["import math\n\ndef mine(x):\n    return math.sqrt(x)\n"]})
        cells.append({**new, "source": ["print('not a definition')"]})
        cells.append({**new, "source": ["def broken(:"]})
    edit_notebook(copy, add)
    assert student.build(copy) == []
    text = (copy / "nnlib" / "activations.py").read_text()
    assert "def mine(x)" in text and "import math" in text and "print" not in text
    (copy / f"{CHAPTER}.ipynb").write_bytes(b"\xff\xfe not a notebook")
    assert student.build(copy) == [f"{CHAPTER}.ipynb cannot be read"]
    assert check.check_saved("relu", copy).verdicts[0].status == "missing"


def test_a_submission_is_checked_with_hidden_cases(room, copy, sheet, monkeypatch):
    monkeypatch.setattr(recheck, "load", lambda root: [sheet])
    assert recheck.recheck(ROOT, "softmax").passed
    answer(copy, softmax=NAIVE)
    report = recheck.recheck(ROOT, "softmax", copy / f"{CHAPTER}.ipynb", seed=7)
    hidden = next(v for v in report.verdicts if v.case == "every column has its own maximum")
    assert (hidden.status, hidden.seed) == ("wrong", 7)
    with pytest.raises(Refusal, match="no exercise is called 'rely'"):
        recheck.recheck(ROOT, "rely")


def test_one_chapter_can_be_checked_alone():
    assert check_only(ROOT, 3).startswith("03-activations: 6 exercises")


def test_every_mistake_can_still_be_made():
    """A mutant changes a line of the library: whoever changes that line must change the mutant."""
    for sheet in load(ROOT):
        for task in sheet.tasks:
            for mutant in task.exercise.mutants:
                assert task.mutated(mutant) != task.solution, f"{task.name}: {mutant.name}"


def test_inputs_go_by_the_names_of_the_parameters():
    parameters = parameters_of("class Loss:\n    def forward(self, p, y):\n        pass\n\n\nclass Huber(Loss):\n"
                               "    def __init__(self, width):\n        pass\n\n\ndef merge(values, how):\n    pass\n")
    one, two, three = np.ones(1), np.ones(2), np.ones(3)
    script = (Script().given(y=np.ones(4)).make("loss", "Huber", one).call("loss.forward", two, three)
              .call("loss.forward", three, np.zeros(2)).call("merge", [np.zeros(1), np.zeros(2)], "add").call("other", np.zeros(5)))
    named = with_names(script, parameters)
    assert in_words(named) == ["loss = Huber(width)", "loss.forward(p, y2)", "loss.forward(y2, y3)",
                               "merge([values[0], values[1]], 'add')", "other(argument 1 of call 5)"]
    assert named.inputs["p"] is two and named.inputs["y2"] is three and script.inputs["argument 1"] is one


def test_a_parameter_does_not_hide_a_function():
    script = with_names(Script().call("f", np.ones(1), Name("g")), parameters_of("def f(g, h):\n    pass\n"))
    assert in_words(script) == ["f(g2, g)"]


def test_stubs_keep_what_says_what_is_wanted():
    source = 'class A(B):\n    """Doc."""\n    x = 1\n\n    def f(self):\n        """F."""\n        return 1\n\n    def g(self):\n        return 2\n'
    assert stub(source, ["A.f"]) == source.replace("return 1", "raise NotImplementedError")
    assert stub(source, ["A"]).count("raise NotImplementedError") == 2
    assert "def __init__" in stub('class A:\n    """Doc."""\n    x = 1\n', ["A"])


def test_chapters_before_the_first_come_complete(room):
    assert release(room, room / "later", first=3).startswith(f"{room / 'later'}: 3 chapters, 6 exercises")
    with pytest.raises(Refusal, match="no chapter from 04 on"):
        release(room, room / "latest", first=4)


def test_the_appendix(sheet):
    text = appendix.appendix([sheet])
    assert text.count("*Answer.*") == len(sheet.questions) >= 2 and "## Activations" in text
    assert appendix.listing([sheet]).count("\n") == 2 + len(sheet.tasks)


# nbgrader


def test_nbgraders_source_has_the_solutions_between_its_marks(sheet):
    for task in sheet.tasks:
        text = marked(task)
        assert text.count("### BEGIN SOLUTION") == text.count("### END SOLUTION") >= 1
        assert "NotImplementedError" not in text
        compile(text, task.name, "exec")


@pytest.mark.skipif(importlib.util.find_spec("nbgrader") is None, reason="nbgrader is optional")
def test_nbgrader_makes_the_assignment(sheet, tmp_path, monkeypatch):
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    monkeypatch.setenv("PATH", os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"])  # it calls alembic
    place = tmp_path / "source" / CHAPTER
    place.mkdir(parents=True)
    (place / f"{CHAPTER}.ipynb").write_bytes(dump(handout(ROOT, sheet.chapter, sheet, solved=True)))
    config = Config()
    config.CourseDirectory.root, config.CourseDirectory.course_id = str(tmp_path), "x"
    assert NbGraderAPI(config=config).generate_assignment(CHAPTER)["success"]
    text = (tmp_path / "release" / CHAPTER / f"{CHAPTER}.ipynb").read_text()
    assert "BEGIN SOLUTION" not in text and text.count("YOUR CODE HERE") >= len(sheet.tasks)

"""A class graded: what is skipped, resumed, charged once, and written."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from random import Random

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from grading_class import CHAPTER, QUICK, cell, grade_or_skip, hand_in, notebook

from course.classroom import codec
from course.classroom.codec import Made, Opaque, Ref
from course.classroom.exercise import case_seed
from course.classroom.handout import handout
from course.classroom.sheets import load
from course.classroom.trials import make_trial
from course.environment import ROOT
from course.errors import Refusal
from course.grading import autograder, bench, levels, plan, pool, reports
from course.grading.grade import Options, grade
from course.grading.levels import Limits, Protection, Unprotected
from course.grading.submissions import collect


@pytest.fixture(scope="module")
def tasks():
    return {task.name: task for task in load(ROOT, 3)[0].tasks}


@pytest.fixture(scope="module")
def mutant(tasks):
    return next(m for m in tasks["softmax"].exercise.mutants if m.name == "one shift for all")


@pytest.fixture(scope="module")
def graded(tmp_path_factory, tasks, mutant):
    folder = tmp_path_factory.mktemp("class")
    submissions, out = folder / "class", folder / "class-graded"
    softmax = tasks["softmax"]
    hand_in(submissions, "anna", notebook(cell(softmax.solution), cell(tasks["relu"].solution, "relu")))
    hand_in(submissions, "bert", notebook(cell(softmax.mutated(mutant))))
    hand_in(submissions, "=HYPERLINK(1)", notebook(cell(softmax.stub)))
    rows = grade_or_skip(submissions, out)
    return submissions, out, {(r["student"], r["exercise"]): r for r in rows}


def test_points_and_statuses(graded):
    _, _, rows = graded
    assert rows["anna", "softmax"]["points"] == rows["anna", "softmax"]["possible"]
    assert rows["anna", "relu"]["status"] == "right"
    assert rows["bert", "softmax"]["status"] == "wrong"
    assert 0 < rows["bert", "softmax"]["points"] < rows["bert", "softmax"]["possible"]
    assert rows["_HYPERLINK_1_", "softmax"]["status"] == "missing" == rows["bert", "relu"]["status"]


def test_a_known_mistake_is_recognised_and_explained(graded, mutant):
    _, out, rows = graded
    assert rows["bert", "softmax"]["mistakes"] == [mutant.name]
    table = pd.read_csv(out / "mistakes.csv")
    assert table.loc[table.mistake == mutant.name, "students"].tolist() == [1]
    assert f"This looks like a mistake we know: {mutant.name}." in (out / "feedback" / "bert.html").read_text(encoding="utf-8")
    assert (out / "mistakes.png").stat().st_size > 1000


ODD = (None, True, -1, 10**1000, float("nan"), "", "\0\ud800", "SyntaxError", "y" * 50_000, "right", np.zeros((0, 3)),
       np.array(1.0), np.longdouble(1), np.array([1 + 2j]), np.array(["\ud800"]), np.full((3, 3), np.nan), Ref([1]),
       Opaque({"a": 1}), Made([1], 2))


def spoiled(value, random):
    """A value with some of its parts replaced or lost."""
    if random.random() < 0.15:
        return random.choice(ODD)
    if isinstance(value, dict):
        return {k: spoiled(v, random) for k, v in value.items() if random.random() > 0.04}
    return [spoiled(v, random) for v in value] if isinstance(value, list) else value


def said(value, random):
    """A spoiled answer of a worker as the judge gets it."""
    try:
        answer = codec.unpack(codec.pack(spoiled(value, random)))
        if isinstance(answer, dict) and isinstance(answer.get("status"), str):
            return answer
    except codec.ProtocolError:
        pass
    return {"status": "crashed", "message": ""}


@pytest.mark.parametrize("seed", range(5))
def test_whatever_a_worker_says_there_is_a_verdict_and_a_page(tasks, seed):
    random, known = Random(seed), plan.Assignment(load(ROOT, 3)[0], tasks["softmax"], "")
    outcomes = {m.name: [e for sizes in known.cases.values() for _, e in sizes] for m in known.exercise.mutants}
    trial = make_trial(known.task, known.cases, outcomes, "")
    failed = {"status": "raised", "error": "E", "bases": ["E"], "message": "m", "where": "nnlib.x"}
    for _ in range(100):
        ready = said({"status": random.choice(["ready", "ready", "raised", "exit"]), "notes": ["n"], "problem": "p",
                      "bases": ["E"], "message": "m"}, random)
        ready = pool.first_answer(ready)
        found = [[said(random.choice([known.task.expected(script), failed]), random) for script in scripts]
                 for scripts in known.scripts] if ready["status"] == "ready" else []
        verdicts = known.verdicts(ready, found)
        mistakes = known.symptoms(trial, found) if found else []
        row = json.loads(json.dumps(bench.row(known, "s", "f", "k", (verdicts, ready["notes"], mistakes, 0.0))))
        reports.feedback("s", [row], {known.name: known})
        reports.gradescope([row], {known.name: known})


def test_tables(graded):
    _, out, rows = graded
    table = pd.read_csv(out / "grades.csv")
    assert len(table) == len(rows)
    assert set(table.status) == {"right", "wrong", "missing"}
    canvas = pd.read_csv(out / "canvas.csv")
    assert list(canvas.columns[:5]) == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    assert canvas["Student"][0].strip() == "Points Possible"
    assert canvas[CHAPTER][0] == sum(r["possible"] for (student, _), r in rows.items() if student == "anna")


def test_every_case_has_the_seed_that_draws_it_again(graded, tasks, mutant):
    submissions, out, _ = graded
    table = pd.read_csv(out / "cases.csv")
    assert len(table) == sum(len(t.exercise.cases) for t in tasks.values()) * 3
    row = table[(table.student == "bert") & (table.case == mutant.killed_by) & (table.exercise == "softmax")].iloc[0]
    assert row.hidden and row.status == "wrong" and "nan" in row.message
    case = tasks["softmax"].exercise.case(mutant.killed_by)
    assert row.seed == case_seed(tasks["softmax"].exercise, case, "")


def test_feedback_says_once_what_is_true_of_all_cases(graded):
    page = (graded[1] / "feedback" / "_HYPERLINK_1_.html").read_text(encoding="utf-8")
    assert page.count("missing: not written yet") == 1 and "columns sum to one" not in page


def test_a_dead_runs_files_are_removed_and_a_living_ones_are_not(tmp_path):
    for name in ("dead", "living"):
        (tmp_path / f"{bench.PREFIX}{name}").mkdir()
        (tmp_path / f"{bench.PREFIX}{name}" / bench.LOCK).touch()
    (tmp_path / f"{bench.PREFIX}starting").mkdir()
    (tmp_path / "thesis").mkdir()
    with bench.take_lock(tmp_path / f"{bench.PREFIX}living" / bench.LOCK):
        bench.sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{bench.PREFIX}living", f"{bench.PREFIX}starting", "thesis"]


@pytest.mark.parametrize("name", ["03-activations", "03-activations (1)", "03-activations-2", "03-activations(3)",
                                  "ada_12_345_03-activations-1", "ada_03-Activations"])
def test_a_notebook_is_found_whatever_a_browser_made_of_its_name(tmp_path, name):
    place = tmp_path if name.startswith("ada") else tmp_path / "ada"
    place.mkdir(exist_ok=True)
    (place / f"{name}.ipynb").write_bytes(notebook())
    (notebooks,) = collect(tmp_path, {CHAPTER}).values()
    assert list(notebooks) == [CHAPTER]


def test_students_whose_names_look_alike_stay_apart(tmp_path):
    names = ["\u0930\u0935\u093f", "\u0930\u0935\u0940", "ann!", "ann?", "Anna", "anna", "=1", "1", "\u4e2d" * 80 + "a",
             "\u4e2d" * 80 + "b", "Jose\u0301"]
    for name in names:
        hand_in(tmp_path, name, notebook())
    found = collect(tmp_path, {CHAPTER})
    assert len(found) == len(names) == len({name.casefold() for name in found})
    assert {"\u0930\u0935\u093f", "\u0930\u0935\u0940", "Jos\u00e9"} <= set(found)
    assert all(len(name.encode()) <= 120 and not page["03-activations"].problem for name, page in found.items())


def test_one_students_files_are_taken_together(tmp_path):
    hand_in(tmp_path, "Jose\u0301", notebook())
    (tmp_path / f"Jos\u00e9_{CHAPTER}.ipynb").write_bytes(notebook())
    (notebooks,) = collect(tmp_path, {CHAPTER}).values()
    assert "two files" in notebooks[CHAPTER].problem


def test_chapters_that_do_not_exist_are_not_read(tmp_path):
    hand_in(tmp_path, "anna", notebook())
    hand_in(tmp_path, "anna", notebook(), "99-made-up")
    assert list(collect(tmp_path, {CHAPTER})["anna"]) == [CHAPTER]


@pytest.mark.skipif(os.name == "nt", reason="needs rm")
def test_a_folder_deeper_than_a_path_can_say_stops_nobody(tmp_path):
    (tmp_path / "deep").mkdir()
    here = os.open(tmp_path / "deep", os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("ddddd", dir_fd=here)
        inner = os.open("ddddd", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    try:
        assert collect(tmp_path, {CHAPTER}) == {"deep": {}}
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "deep"], check=True)


def test_tables_hold_no_formulas(tmp_path):
    reports.write_table(tmp_path / "t.csv", ["a"], [["=1+1"], ["@x"], [-3]])
    assert (tmp_path / "t.csv").read_text().splitlines() == ["a", "'=1+1", "'@x", "-3"]


def test_results_for_gradescope(graded):
    _, out, rows = graded
    results = json.loads((out / "gradescope" / "bert.json").read_text())
    assert results["score"] == rows["bert", "softmax"]["points"]
    assert sum(t["max_score"] for t in results["tests"]) == sum(r["possible"] for (s, _), r in rows.items() if s == "bert")


def test_pages_are_self_contained(graded):
    _, out, _ = graded
    for path in [out / "index.html", *(out / "feedback").glob("*.html")]:
        page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        outside = [tag.get("src") or tag.get("href") for tag in page.find_all(["img", "script", "link"])]
        assert outside in ([], ["mistakes.png"])


def test_the_overview_says_how_code_was_locked_in(graded):
    _, out, _ = graded
    assert "limits: runaway time" in (out / "index.html").read_text(encoding="utf-8")


def test_what_is_unchanged_is_not_graded_again(graded, tasks):
    submissions, out, _ = graded
    before = (out / "record.jsonl").read_bytes()
    grade_or_skip(submissions, out)
    assert (out / "record.jsonl").read_bytes() == before
    hand_in(submissions, "bert", notebook(cell(tasks["softmax"].solution)))
    rows = grade_or_skip(submissions, out)
    added = (out / "record.jsonl").read_bytes()[len(before):].splitlines()
    assert [json.loads(line)["student"] for line in added] == ["bert"]
    assert next(r for r in rows if (r["student"], r["exercise"]) == ("bert", "softmax"))["status"] == "right"


def test_another_secret_draws_other_hidden_cases_and_grades_again(graded):
    submissions, out, _ = graded
    before = (out / "record.jsonl").read_bytes()
    grade_or_skip(submissions, out, secret="another")
    assert len((out / "record.jsonl").read_bytes()) > len(before)


@pytest.mark.skipif(os.name == "nt", reason="grading needs fork")
def test_a_killed_run_goes_on(tmp_path, tasks):
    submissions, out = tmp_path / "class", tmp_path / "graded"
    slow = "import time\n\ndef softmax(z, out=None):\n    time.sleep(0.02)\n    return z\n"
    for k in range(6):
        hand_in(submissions, f"s{k:02d}", notebook(cell(slow + f"# {k}\n")))
    command = [sys.executable, "-m", "course", "grade", str(submissions), "--out", str(out), "-j", "1", "--no-mistakes",
               "--chapter", "3"]
    environment = {**os.environ, "COURSE_ENV": "current", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        limit = time.monotonic() + 60
        record = out / "record.jsonl"
        while run.poll() is None and time.monotonic() < limit:
            if record.exists() and record.read_bytes().count(b"softmax") >= 1:
                break
            time.sleep(0.02)
        if run.poll():
            pytest.skip(run.stdout.read().decode())
        run.send_signal(signal.SIGKILL)
    first = record.read_bytes()
    assert 0 < first.count(b'"softmax"') < 6
    record.write_bytes(first + b'{"key": "torn')
    rows = grade_or_skip(submissions, out, jobs=1, mistakes=False, limits=Limits(seconds=10.0, cpu=31))
    assert len([r for r in rows if r["exercise"] == "softmax"]) == 6
    lines = [json.loads(line) for line in record.read_bytes().splitlines() if not line.endswith(b"torn")]
    keys = [(line["student"], line["exercise"]) for line in lines]
    assert len(keys) == len(set(keys))


def test_one_mistake_is_charged_once_unless_asked(tmp_path, tasks):
    submissions = tmp_path / "class"
    sheet = load(ROOT, 3)[0]
    book = {m.chapter.name: m.chapter for m in sheet.modules}
    for name in ("01-digits", "02-neurons"):
        page = handout(ROOT, book[name])
        hand_in(submissions, "anna", json.dumps(page).encode().replace(b"class ShapeError", b"class WrongName"), name)
    hand_in(submissions, "anna", notebook(cell(tasks["softmax"].solution)))

    def status(**options):
        rows = grade_or_skip(submissions, tmp_path / "graded", mistakes=False, **options)
        return next(r for r in rows if r["exercise"] == "softmax")["status"]

    assert status() == "right"
    assert status(own_upstream=True) == "crashed"


def test_own_upstream_runs_on_the_students_package(tmp_path, tasks):
    sheet = load(ROOT, 3)[0]
    for chapter in (m.chapter for m in sheet.modules[:-1]):
        hand_in(tmp_path / "class", "anna", json.dumps(handout(ROOT, chapter)).encode(), chapter.name)
    hand_in(tmp_path / "class", "anna", notebook(cell(tasks["softmax"].solution)))
    rows = grade_or_skip(tmp_path / "class", tmp_path / "graded", mistakes=False, own_upstream=True)
    assert next(r for r in rows if r["exercise"] == "softmax")["status"] == "right"


def test_nothing_to_grade(tmp_path):
    (tmp_path / "class").mkdir()
    with pytest.raises(Refusal, match="no submissions"):
        grade(ROOT, Options(tmp_path / "class", tmp_path / "out"))
    (tmp_path / "class" / "anna").mkdir()
    with pytest.raises(Refusal, match="no notebook of a chapter with exercises"):
        grade(ROOT, Options(tmp_path / "class", tmp_path / "out"))


def test_without_a_lock_nothing_is_run_unless_trusted(monkeypatch):
    monkeypatch.setattr(bench.levels, "detect", lambda trial: Protection(("limits",)))
    with pytest.raises(Unprotected, match="--trust"):
        bench.Workshop(QUICK)
    workshop = bench.Workshop(QUICK, trust=True)
    assert any(line.startswith("NOT STOPPED: reading other files") for line in workshop.protection.lines())
    workshop.close()


def test_a_dask_cluster_gives_the_same_verdicts(tmp_path, graded, monkeypatch):
    pytest.importorskip("distributed", reason="needs dask[distributed]")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    submissions, _, _ = graded
    (local, dask) = (grade_or_skip(submissions, tmp_path / engine, engine=engine) for engine in ("local", "dask"))

    def plain(rows):
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]

    assert plain(local) == plain(dask)


def test_copied_answers_are_found(tmp_path, tasks):
    pytest.importorskip("copydetect", reason="needs copydetect")
    for student in ("anna", "bert"):
        hand_in(tmp_path / "class", student, notebook(*(cell(t.solution, t.name) for t in tasks.values())))
    hand_in(tmp_path / "class", "cleo", notebook(cell(tasks["softmax"].stub)))
    grade_or_skip(tmp_path / "class", tmp_path / "out", mistakes=False, similarity=True)
    table = pd.read_csv(tmp_path / "out" / "similarity.csv")
    assert table[["student", "other"]].apply(sorted, axis=1).tolist() == [["anna", "bert"]]


def test_an_unknown_engine_is_refused(tmp_path):
    hand_in(tmp_path / "class", "anna", notebook())
    with pytest.raises((Refusal, Unprotected), match="expected local or dask|fork|locked"):
        grade(ROOT, Options(tmp_path / "class", tmp_path / "out", chapter=3, engine="spark"), say=lambda line: None)


def test_archive_for_gradescope(tmp_path):
    path = tmp_path / "autograder.zip"
    autograder.pack(ROOT, path, 3, "it's secret")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        run = archive.read("run_autograder").decode()
        assert archive.getinfo("run_autograder").external_attr >> 16 == 0o755
    assert {"setup.sh", "course/__main__.py", "reference/activations.py", f"book/{CHAPTER}.md"} <= set(names)
    assert "--chapter 03" in run and """'it'"'"'s secret'""" in run
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Gradescope is Linux")
def test_the_archive_grades_in_an_empty_folder(tmp_path):
    """What Gradescope does, in other places: unpack, put a submission there, call the script."""
    sheet = load(ROOT, 9)[0]  # its exercises import something of nnlib
    autograder.pack(ROOT, tmp_path / "autograder.zip", 9, "it's secret")
    place = tmp_path / "autograder"
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        archive.extractall(place / "source")
    answers = [cell(task.solution, task.name) for task in sheet.tasks[:1]]
    hand_in(place, "submission", notebook(*answers), sheet.chapter.name)
    script = (place / "source" / "run_autograder").read_text()
    for there, here in (("/tmp/", f"{tmp_path}/"), ("/autograder", str(place)),
                        ("/opt/course-python/bin/python", sys.executable)):
        script = script.replace(there, here)
    done = subprocess.run(["sh", "-c", script], cwd="/", env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    results = json.loads((place / "results" / "results.json").read_text())
    assert results.get("tests"), done.stdout
    assert results["score"] == sheet.tasks[0].exercise.points


def test_the_container_recipe_names_files_that_exist():
    recipe = (ROOT / "course" / "grading" / "Containerfile").read_text()
    copied = [line.split()[1] for line in recipe.splitlines() if line.startswith("COPY")]
    assert copied and all((ROOT / name).exists() for name in copied)


def test_every_level_says_what_it_stops():
    assert set(levels.ORDER) == set(levels.STOPS)

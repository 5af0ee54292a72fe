"""The hostile suite: submissions that break, cheat or attack. None earns a point, none stops the batch.

Each file in tests/hostile/ is a student's cell for the exercise `softmax`; its first line says which
status it must get. Submissions that are broken as files are made here.
"""

import io
import json
import os
import re
import shutil
import socket
import sys
import zipfile
from pathlib import Path

import pytest
from grading_class import CHAPTER, cell, grade_or_skip, hand_in, notebook

from course.classroom.sheets import load
from course.environment import ROOT
from course.grading.levels import Limits

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can lock code in")
HOSTILE = Path(__file__).parent / "hostile"
SECRET = "teacher's secret"


@pytest.fixture(scope="module")
def task():
    return next(t for t in load(ROOT, 3)[0].tasks if t.name == "softmax")


def broken_files(answer):
    """{student: (bytes of the notebook, status, does it earn all points?)}"""
    honest = notebook(cell(answer))
    magic = notebook(cell("%matplotlib inline\n!pip install cheat\n" + answer))
    graded = {"cell_type": "code", "metadata": {"nbgrader": {"grade_id": "softmax", "solution": True}}, "source": answer}
    helper = [cell("import math\ndef shifted(z):\n    return z - z.max(axis=0)", ""),
              cell(answer.replace("z - z.max(axis=0)", "shifted(z)"))]
    return {
        "honest": (honest, "right"), "with_magics": (magic, "right"), "nbgrader_mark_only": (notebook(graded), "right"),
        "own_helper": (notebook(*helper), "right"), "lines": (notebook(cell(answer.splitlines(True))), "right"),
        "empty_file": (b"", "unreadable"), "not_json": (b"{'cells': []}", "unreadable"),
        "torn": (honest[:-40], "unreadable"), "a_list": (b"[1, 2]", "unreadable"),
        "old_format": (notebook(cell(answer), nbformat=3), "unreadable"),
        "not_utf8": (honest.replace(b"softmax", b"soft\xff\xfemax"), "unreadable"),
        "not_a_number": (honest.replace(b"null", b"NaN"), "unreadable"),
        "nested": (b'{"cells": ' + b"[" * 10**6 + b"]" * 10**6 + b"}", "unreadable"),
        "name_given_twice": (b'{"cells": [], ' + honest[1:], "unreadable"),
        "fifty_megabytes": (honest + b" " * (50 * 2**20), "unreadable"),
        "duplicate_ids": (notebook(cell(answer), cell(answer)), "unreadable"),
        "source_is_a_number": (notebook(cell(answer), cell(5)), "unreadable"),
        "too_much_code": (notebook(cell(answer), cell("'" + "x" * 600_000 + "'", "")), "unreadable"),
        "null_character": (notebook(cell(answer + "\0")), "unreadable"),
        "number_of_a_million_digits": (notebook(cell(answer)).replace(b"null", b"9" * 10**6), "unreadable"),
        "nested_objects": (b'{"cells":' * 10**5 + b"1" + b"}" * 10**5, "unreadable"),
        "looks_like_the_id": (notebook(cell(answer, "\u017foftmax")), "missing"),
        "mark_lost": (notebook(cell(answer, "")), "missing"), "no_cells": (notebook(), "missing"),
    }


@pytest.fixture(scope="module")
def graded(tmp_path_factory, task):
    """One batch of everything: {student: row}, the folder of results and what happened meanwhile."""
    folder = tmp_path_factory.mktemp("class")
    submissions, out = folder / "submissions", folder / "graded"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        for name, source in hostile_sources(task).items():
            hand_in(submissions, name, notebook(cell(fill(source, submissions, listening))))
        for name, (data, _) in broken_files(task.solution).items():
            hand_in(submissions, name, data)
        special_files(submissions, task)
        os.environ["COURSE_TEST_SECRET"] = "in the environment"
        rows = grade_or_skip(submissions, out, secret=SECRET, limits=Limits(seconds=2, cpu=4, memory=512, disk=8))
        with pytest.raises(BlockingIOError):
            listening.accept()
    found = {r["student"]: r for r in rows if r["exercise"] == "softmax"}
    return found | with_more_time(found, submissions, folder), out, submissions


def with_more_time(found, submissions, folder):
    """The rows, graded again, of those that ran out of time only because the machine had other things to do."""
    slow = [name for name in NAMES if found[name]["status"] == "timeout" and "timeout" not in allowed(name)]
    for name in slow:
        shutil.copytree(submissions / name, folder / "slow" / name)
    more = Limits(seconds=30, cpu=10, memory=512, disk=8)
    rows = grade_or_skip(folder / "slow", folder / "slow-graded", secret=SECRET, limits=more, mistakes=False) if slow else []
    return {r["student"]: r for r in rows if r["exercise"] == "softmax"}


def hostile_sources(task):
    forging = (HOSTILE / "forging.txt").read_text(encoding="utf-8")     # what several forgers begin with
    sources = {path.stem: path.read_text(encoding="utf-8").replace("# @FORGING@\n", forging)
               for path in sorted(HOSTILE.glob("*.py"))}
    return {**sources, "hard_coded": hard_coded(task)}


def hard_coded(task):
    """An answer that knows the visible cases by heart."""
    known = []
    for case in task.exercise.visible:
        for script in task.scripts(case):
            outcome = task.expected(script)
            if outcome["status"] == "ok":
                known.append((script.inputs["z"].tolist(), outcome["values"][0].tolist()))
    return (f"KNOWN = {known!r}\n\ndef softmax(z, out=None):\n"
            "    return np.array({str(a): b for a, b in KNOWN}[str(z.tolist())])\n")


def fill(source, submissions, listening):
    values = {"ROOT": ROOT, "SUBMISSIONS": submissions, "JUDGE": os.getpid(), "PORT": listening.getsockname()[1]}
    return re.sub("@([A-Z]+)@", lambda m: str(values[m[1]]), source)


def special_files(submissions, task):
    """Links to a neighbour, two files, archives, bombs of archives, a flat file, folders and pipes in a file's place."""
    honest = notebook(cell(task.solution))
    (submissions / "a_link").mkdir()
    (submissions / "a_link" / f"{CHAPTER}.ipynb").symlink_to(submissions / "honest" / f"{CHAPTER}.ipynb")
    hand_in(submissions, "two_files", honest)
    hand_in(submissions, "two_files/again", honest)
    (submissions / f"flat_{CHAPTER}.ipynb").write_bytes(honest)
    (submissions / "a_folder" / f"{CHAPTER}.ipynb").mkdir(parents=True)
    (submissions / "nothing").mkdir()
    (submissions / "a_linked_folder").mkdir()
    (submissions / "a_linked_folder" / "mine").symlink_to(submissions / "honest")
    (submissions / "linked_zip.zip").symlink_to(submissions / "zipped.zip")
    os.mkfifo(submissions / "a_pipe.zip")
    (submissions / "piped").mkdir()
    os.mkfifo(submissions / "piped" / f"{CHAPTER}.ipynb")
    hand_in(submissions, "\u4e2d" * 85, honest)
    with zipfile.ZipFile(submissions / "many_chapters.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(400):
            archive.writestr(f"10-a{k}.ipynb", notebook(*[cell("x" * 250, "")] * 1900))
    for name, data in (("zipped", honest), ("zip_bomb", honest + b" " * 10**8)):
        with zipfile.ZipFile(submissions / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"../../{CHAPTER}.ipynb", data)
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr(f"{CHAPTER}.ipynb", honest)
    (submissions / "torn_zip.zip").write_bytes(whole.getvalue()[:-30])


SPECIAL = {"a_linked_folder": "missing", "linked_zip": "unreadable", "a_pipe": "unreadable", "piped": "unreadable",
           "\u4e2d" * 33: "right", "many_chapters": "missing", "a_link": "unreadable",
           "two_files": "unreadable", "flat": "right", "a_folder": "unreadable",
           "nothing": "missing", "zipped": "right", "zip_bomb": "unreadable", "torn_zip": "unreadable"}
NAMES = sorted(path.stem for path in HOSTILE.glob("*.py"))


def test_there_are_enough():
    assert len(NAMES) >= 30


@pytest.mark.parametrize("name", NAMES)
def test_hostile_code(graded, name):
    row = graded[0][name]
    assert row["status"] in allowed(name), row["cases"]
    assert row["points"] == (row["possible"] if allowed(name) == ["right"] else 0), row["cases"]


def allowed(name):
    """The statuses that a hostile file may get, from its first line."""
    return (HOSTILE / f"{name}.py").read_text(encoding="utf-8").split("\n")[0].removeprefix("# status: ").split()


def test_hard_coded_answers_earn_the_visible_points_only(graded, task):
    row = graded[0]["hard_coded"]
    assert row["status"] == "wrong"
    assert not any(case["status"] == "right" for case in row["cases"] if case["hidden"])


@pytest.mark.parametrize("name", sorted(broken_files("")))
def test_broken_files(graded, task, name):
    row, (_, status) = graded[0][name], broken_files(task.solution)[name]
    assert row["status"] == status, row["cases"]
    assert row["points"] == (row["possible"] if status == "right" else 0)


@pytest.mark.parametrize("name", SPECIAL)
def test_special_files(graded, name):
    row = graded[0][name]
    assert row["status"] == SPECIAL[name], row["cases"]
    assert row["points"] == (row["possible"] if row["status"] == "right" else 0)


def test_a_forged_message_is_cut(graded):
    case = graded[0]["forges_a_long_message"]["cases"][0]
    assert case["message"].startswith("raised E: mmm") and len(case["message"]) <= 2000


def test_nothing_was_written_or_left(graded):
    _, _, submissions = graded
    assert not [path for place in (ROOT, submissions, Path("/var/tmp"), Path("/etc"))
                for path in (place.rglob("PWNED") if place == submissions else place.glob("PWNED"))]
    assert not (HOSTILE / "PWNED").exists()
    assert not descendants()


def descendants():
    """Processes that this one started and that still run, workers of other users included."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            if int(stat[1]) == os.getpid() and b"course.grading" in (entry / "cmdline").read_bytes():
                found.append(entry.name)
        except OSError:
            continue
    return found


def test_pages_show_no_hidden_case_and_run_no_script(graded, task):
    _, out, _ = graded
    page = (out / "feedback" / "script_in_message.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in page and "<script" not in page and "<img" not in page
    page = (out / "feedback" / "tells_what_it_saw.html").read_text(encoding="utf-8")
    shown = [int(n) for n in re.findall(r"saw (\d+) inputs", page)]
    visible = sum(len(task.scripts(case)) for case in task.exercise.visible)
    assert shown and max(shown) <= visible
    for path in (out / "gradescope").glob("*.json"):
        for test in json.loads(path.read_text())["tests"]:
            assert not ("(hidden" in test["name"] and test["output"])


def test_nothing_of_the_environment_crosses(graded):
    text = json.dumps(graded[0]["reads_the_environment"])
    assert "in the environment" not in text and "PATH" not in text

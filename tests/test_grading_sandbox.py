"""Each level of isolation by itself: Python and NumPy work in it, and it stops what it is said to stop."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from course.classroom.script import call
from course.grading import levels, pool, system
from course.grading.levels import Limits, Protection
from course.grading.probe import make_trial

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the levels are Linux's")
LIMITS = Limits(seconds=5, cpu=6, memory=1024, disk=8)
ALONE = {"filter": {"network", "processes", "signals"}, "landlock": {"reading", "writing"}, "user": {"signals"},
         "namespaces": {"reading", "writing", "network", "signals"}}


@pytest.fixture
def scratch(tmp_path):
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == Path.home().owner() and folder != Path("/tmp") and "pytest" in str(folder):
            folder.chmod(0o711)
    pool.make_runtime(tmp_path / "runtime")
    return tmp_path


def job(source):
    cell = {"source": source, "metadata": {"tags": [], "nnlib": {"exercise": "f"}}}
    return {"official": [["imports", "import numpy as np"]], "cells": [cell], "answer": 0, "package": None}


def run(protection, scratch, source, *scripts, limits=LIMITS):
    server = pool.Server(protection, limits, scratch)
    try:
        return server.run(job(source), [[script] for script in scripts or [call("f")]])
    finally:
        server.close()


@pytest.mark.parametrize("level", ALONE)
def test_a_level_alone(level, scratch):
    available, missing, program = levels.candidates()
    if level not in available:
        pytest.skip(missing[level])
    try:
        found = make_trial(scratch, LIMITS)(Protection(("limits", level), {}, program))
    except OSError as error:
        pytest.skip(f"does not work here: {error}")
    assert ALONE[level] <= found


def test_detection_finds_what_works_here(scratch):
    protection = levels.detect(make_trial(scratch, LIMITS))
    assert protection.levels[0] == "limits"
    assert set(protection.levels) | set(protection.missing) == set(levels.ORDER)
    if {"landlock", "filter"} <= set(protection.levels):
        assert protection.locked and protection.holds == set(levels.FACTS)


def test_a_level_that_does_not_work_is_dropped_and_named():
    def trial(protection):
        if "namespaces" in protection.levels:
            raise OSError("not permitted")
        return {"reading", "writing"}

    found = levels.detect(trial)
    assert "namespaces" not in found.levels and found.locked
    if "namespaces" in levels.candidates()[0]:
        assert found.missing["namespaces"] == "not permitted"


def test_a_level_that_fails_in_a_worker_stops_the_grader(scratch):
    with pytest.raises(pool.Trouble, match="could not be locked in"):
        run(Protection(("limits", "filter"), {}, b"\0" * 8), scratch, "def f(): return 1")


LEAVES = """
import os, time
def f():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(0)
    return os.getpid()
"""


def test_limits_alone_leave_no_process(scratch):
    server = pool.Server(Protection(("limits",)), LIMITS, scratch)
    try:
        _, done = server.run(job(LEAVES), [[call("f")]])
        assert done[0][0]["status"] == "ok"
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        assert children.read_text() == ""
    finally:
        server.close()
    sleeping = [p for p in Path("/proc").glob("[0-9]*") if server_is_parent(p, server.process.pid)]
    assert not sleeping


def server_is_parent(entry, number):
    try:
        return (entry / "stat").read_text().rsplit(")", 1)[1].split()[2] == str(number)
    except OSError:
        return False


def test_limits_alone_remove_a_deep_folder(scratch):
    deep = "import os\ndef f():\n    for _ in range(300):\n        os.mkdir('d')\n        os.chdir('d')\n"
    _, done = run(Protection(("limits",)), scratch, deep)
    assert done[0][0]["status"] == "ok"
    assert not [path for slot in scratch.glob("slot*") for path in slot.iterdir()]


@pytest.mark.parametrize("source, status, words", [
    ("def f():\n    while True: pass", "timeout", "no result after 1 s"),
    ("def f(): import os; os._exit(7)", "crashed", "exit code 7"),
    ("def f(): import os; os.abort()", "crashed", "signal 6"),
    ("def f(): raise SystemExit(3)", "exit", "SystemExit(3)"),
    ("def f(): return bytearray(2**40)", "raised", "")])
def test_how_a_worker_ended_is_told(scratch, source, status, words):
    limits = Limits(seconds=1, cpu=6, memory=1024, disk=8)
    _, done = run(Protection(("limits",)), scratch, source, limits=limits)
    assert done[0][0]["status"] == status
    assert words in done[0][0]["message"]


def test_a_lost_worker_costs_one_case_not_the_next(scratch):
    source = "import os\ndef f(x):\n    if x == 2: os._exit(0)\n    return x\n"
    _, done = run(Protection(("limits",)), scratch, source, *(call("f", k) for k in range(4)))
    assert [found[-1]["status"] for found in done] == ["ok", "ok", "crashed", "ok"]


def test_too_many_lost_workers_end_an_exercise(scratch):
    _, done = run(Protection(("limits",)), scratch, "import os\ndef f(x): os._exit(0)", *(call("f", k) for k in range(9)))
    assert [found[-1]["status"] for found in done] == ["crashed"] * 9
    assert done[-1][-1]["message"] == "the same again; not run"


def test_a_workers_state_does_not_reach_the_next(scratch):
    server = pool.Server(Protection(("limits",)), LIMITS, scratch)
    try:
        server.run(job("np.f = 1\nopen('left', 'w').close()\ndef f(): return 1"), [[call("f")]])
        _, done = server.run(job("import os\ndef f(): return [hasattr(np, 'f'), os.listdir()]"), [[call("f")]])
    finally:
        server.close()
    assert done[0][0]["values"] == [[False, []]]


def test_a_killed_server_says_so(scratch):
    server = pool.Server(Protection(("limits",)), LIMITS, scratch)
    server.process.kill()
    server.process.wait()
    with pytest.raises((pool.Trouble, OSError)):
        server.run(job("def f(): return 1"), [[call("f")]])
    server.close()


def test_arrays_cross_both_ways(scratch):
    z = np.arange(6.0).reshape(2, 3)
    _, done = run(Protection(("limits",)), scratch, "def f(z): return z.T * 2", call("f", z))
    np.testing.assert_array_equal(done[0][0]["values"][0], z.T * 2)


def test_when_the_judge_dies_nothing_goes_on(scratch):
    server = pool.Server(Protection(("limits",)), LIMITS, scratch)
    number = server.process.pid
    server.control.close()
    limit = time.monotonic() + 5
    while server.process.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    assert server.process.poll() is not None and not Path(f"/proc/{number}/task").exists()
    server.process.stderr.close()


def test_landlock_is_asked_for_its_version():
    assert system.landlock_version() >= 0

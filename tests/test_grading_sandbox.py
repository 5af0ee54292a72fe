"""Each level of isolation by itself: Python and NumPy work in it, and it stops what it is said to stop."""

import subprocess
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
ALONE = {"filter": {"network", "processes", "signals"}, "landlock": {"reading"}, "user": {"signals"},
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


def test_landlock_and_the_filter_together_stop_writing(scratch):
    available, _, program = levels.candidates()
    if not {"landlock", "filter"} <= set(available):
        pytest.skip("not both here")
    found = make_trial(scratch, LIMITS)(Protection(("limits", "filter", "landlock"), {}, program))
    assert found == set(levels.FACTS)


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


TOUCHES = """
import os
def f(path):
    done = []
    for name, arguments in (("chmod", (0,)), ("utime", ((0, 0),)), ("truncate", (0,))):
        try:
            getattr(os, name)(path, *arguments)
            done.append(name)
        except OSError:
            pass
    try:
        os.open(path, os.O_RDONLY | os.O_TRUNC)
        done.append("open")
    except OSError:
        pass
    try:
        os.fchmod(os.open(path, os.O_RDONLY), 0)
        done.append("fchmod")
    except OSError:
        pass
    return done
"""


def test_the_filter_stops_what_landlock_lets_through_to_files(scratch):
    _, _, program = levels.candidates()
    if not program:
        pytest.skip("no libseccomp")
    victim = scratch / "thesis"
    victim.write_text("three years of work")
    _, done = run(Protection(("limits", "filter"), {}, program), scratch, TOUCHES, call("f", str(victim)))
    assert done[0][0]["values"] == [[]]
    assert victim.read_text() == "three years of work" and victim.stat().st_mode & 0o777 and victim.stat().st_mtime


SIGNALS = """
import fcntl, os, time
F_SETSIG = 10
def f(number):
    read, write = os.pipe()
    try:
        fcntl.fcntl(read, fcntl.F_SETOWN, number)
        fcntl.fcntl(read, F_SETSIG, 9)
        fcntl.fcntl(read, fcntl.F_SETFL, fcntl.fcntl(read, fcntl.F_GETFL) | os.O_ASYNC)
    except OSError:
        return "refused"
    os.write(write, b"x")
    time.sleep(0.2)
    return "sent"
"""


def test_the_filter_stops_signals_sent_by_way_of_a_file(scratch):
    _, _, program = levels.candidates()
    if not program:
        pytest.skip("no libseccomp")
    with subprocess.Popen(["sleep", "60"]) as victim:
        _, done = run(Protection(("limits", "filter"), {}, program), scratch, SIGNALS, call("f", victim.pid))
        assert done[0][0]["values"] == ["refused"] and victim.poll() is None
        victim.kill()


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


@pytest.mark.parametrize("source", [
    "def f():\n    for k in range(10**7): open(str(k), 'w').close()\n",
    "def f():\n    for k in range(10**7): open(str(k), 'wb').write(bytes(2**22))\n",
    "import os, time\ndef f():\n    os.mkdir('d' * 200)\n    for _ in range(30):\n        os.chdir('d' * 200)\n"
    "        os.mkdir('d' * 200)\n    time.sleep(4)\n"])
def test_a_folder_without_a_size_of_its_own_is_watched(scratch, source):
    _, done = run(Protection(("limits",)), scratch, source)
    assert done[0][0] == {"status": "crashed", "message": "put too much into its folder"}
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


def test_the_room_hides_nothing_a_worker_may_read(scratch):
    """Python and NumPy may stand below /tmp; the folder of a job must not be put over them."""
    source = "import os\ndef f(path):\n    return [os.path.exists(path), os.path.exists(os.getcwd())]\n"
    server = None
    try:
        below = scratch / "nnlib"
        below.mkdir()
        server = pool.Server(Protection(("limits", "namespaces")), LIMITS, scratch, upstream=[below])
        _, done = server.run(job(source), [[call("f", str(below))]])
    except pool.Trouble as error:
        pytest.skip(f"no namespaces here: {error}")
    finally:
        if server is not None:
            server.close()
    assert done[0][0]["values"] == [[True, True]]


def test_landlock_is_asked_for_its_version():
    assert system.landlock_version() >= 0

"""One grader's bench: the server it has running, and how one submission of one exercise is graded on it."""

import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

from course.classroom.codec import ProtocolError, from_json, pack, to_json
from course.classroom.judge import Verdict
from course.classroom.render import shown
from course.classroom.script import MESSAGE
from course.grading import levels, plan, pool
from course.grading.probe import make_trial
from course.grading.submissions import Unreadable

PREFIX, LOCK = "course-grading-", "running"
LARGE = 400  # numbers of an array that are kept for the feedback


class Bench:
    """A slot: at most one server at a time, for the chapter that is being graded."""

    def __init__(self, protection, limits, scratch, slot=0):
        self.protection, self.limits, self.scratch, self.slot = protection, limits, scratch, slot
        self.chapter, self.server = None, None

    def ready(self, assignment):
        """The server for this exercise's chapter."""
        chapter = assignment.sheet.chapter.name
        if self.server is None or self.chapter != chapter:
            self.close()
            upstream, modules = plan.write_upstream(assignment.sheet, self.scratch)
            self.server = pool.Server(self.protection, self.limits, self.scratch, self.slot, [upstream], modules)
            self.chapter = chapter
        return self.server

    def run(self, assignment, job, scripts):
        """Run a job; a server that was lost (a submission may have got at it) is started again, once."""
        for last in (False, True):
            try:
                return self.ready(assignment).run(job, scripts)
            except pool.Unconfined:
                raise
            except pool.Trouble as trouble:
                self.close()
                if last:
                    return {"status": "crashed", "message": f"the server was lost twice: {trouble}"}, []

    def grade(self, assignment, job, trial=None):
        """(verdicts, notes, names of the mutants recognised, seconds)."""
        started = time.monotonic()
        ready, outcomes = self.run(assignment, job, assignment.scripts)
        verdicts, known = assignment.verdicts(ready, outcomes), []
        if trial is not None and ready["status"] == "ready" and not all(v.right for v in verdicts):
            known = list(assignment.symptoms(trial, outcomes))
        return verdicts, ready.get("notes", []), known, time.monotonic() - started

    def close(self):
        """End the server."""
        if self.server is not None:
            self.server.close()
            self.server = None


def row(assignment, student, file, key, graded):
    """What is written down about one exercise of one student: plain JSON, one line."""
    verdicts, notes, mistakes, seconds = graded
    cases = [describe(case, verdict) for case, verdict in zip(assignment.order, verdicts)]
    status = min((v.status for v in verdicts), key=plan.WORST.index)
    return {"key": key, "student": student, "chapter": assignment.sheet.chapter.name, "exercise": assignment.name,
            "status": status, "points": sum(c["points"] for c in cases if c["status"] == "right"),
            "possible": assignment.exercise.points, "file": file, "seconds": round(seconds, 3),
            "notes": notes, "mistakes": mistakes, "cases": cases}


def describe(case, verdict):
    """One case's line in the record; of right ones no numbers."""
    found = {"name": case.name, "points": case.points, "hidden": case.hidden, "status": verdict.status}
    if not verdict.right:
        found |= {"message": verdict.message[:MESSAGE], "seed": verdict.seed, "largest_error": verdict.largest_error,
                  "index": verdict.index, "got": small(verdict.got), "expected": small(verdict.expected),
                  "input": small(verdict.smallest_failing_input), "calls": list(verdict.calls)}
    return found


def small(value):
    """A value as JSON, or a few words where it is too large for a page."""
    try:
        text = to_json(value)
        if count(text) > LARGE:
            return to_json(f"too large to show: {type(value).__name__}")
        shown(from_json(text))  # as the pages will do
        return text
    except Exception:  # made up by the student's code
        return to_json("cannot be shown")


def count(tree):
    """How many numbers and texts a tree holds, long texts counted by their length."""
    if isinstance(tree, str):
        return 1 + len(tree) // 100
    if isinstance(tree, dict):
        return sum(map(count, tree.values()))
    return sum(map(count, tree)) if isinstance(tree, list | tuple) else 1


def nothing_to_run(assignment, problem):
    """The verdicts where no worker is needed."""
    return plan.unreadable(assignment, problem), [], [], 0.0


def verdict_of(exercise, case):
    """The verdict that a line of the record describes."""
    def value(name):
        return from_json(case[name]) if case.get(name) is not None else None

    index = tuple(case["index"]) if case.get("index") else None
    return Verdict(exercise, case["name"], case["status"], case.get("message", ""), value("got"), value("expected"),
                   case.get("largest_error"), index, value("input"), case.get("seed"), tuple(case.get("calls", ())))


def sweep(folder=None):
    """Remove what runs that were killed left among the temporary files: folders of ours whose lock nobody holds."""
    for scratch in Path(folder or tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            if scratch.is_dir() and scratch.lstat().st_uid == os.geteuid() and (lock := take_lock(scratch / LOCK)):
                shutil.rmtree(scratch, ignore_errors=True)
                lock.close()
        except OSError:
            continue


def take_lock(path, mode="r+b"):
    """The open file, locked for as long as this process lives and has it open; None where another has the lock."""
    try:
        import fcntl
    except ImportError:
        return None
    file = open(path, mode)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


class Workshop:
    """What a run needs before the first submission: files for servers, and the protection of this system."""

    def __init__(self, limits, trust=False, levels_wanted=None):
        sweep()
        self.folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        self.scratch = Path(self.folder.name).resolve()
        self.running = take_lock(self.scratch / "starting", "wb")
        if self.running:
            (self.scratch / "starting").rename(self.scratch / LOCK)
        self.scratch.chmod(0o711)
        pool.make_runtime(self.scratch / "runtime")
        self.limits, self.lock = limits, threading.Lock()
        pool.guard_judge()
        self.protection = levels_wanted or levels.detect(make_trial(self.scratch, limits))
        if not self.protection.locked and not trust:
            self.close()
            raise levels.Unprotected(levels.NEEDS)

    def bench(self, slot=0):
        """A bench of its own for each slot."""
        return Bench(self.protection, self.limits, self.scratch, slot)

    def close(self):
        """Remove the files."""
        self.folder.cleanup()
        if self.running:
            self.running.close()


def job_of(assignment, notebook, notebooks, own_upstream):
    """The job for a worker, or why there is none: (job, problem)."""
    if notebook is None:
        return None, f"no notebook {assignment.sheet.chapter.name}.ipynb was handed in"
    try:
        package = plan.own_package(assignment.sheet, notebooks) if own_upstream else None
        job = assignment.job(notebook, package)
        if package:
            pack(job)
    except Unreadable as error:
        return None, error
    except ProtocolError:
        return None, Unreadable("the notebooks of the chapters before have too much code")
    return job, None if job else f"{notebook.file} has no cell for {assignment.name}"

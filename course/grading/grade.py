"""Grade a class: every exercise of every student, one verdict after the other, never losing one.

`record.jsonl` gets a line for each exercise as soon as it is graded. A run that was killed goes on
where it stopped, and a run that is repeated grades only what changed.
"""

import json
import queue
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from course.errors import Refusal
from course.grading import plan, reports
from course.grading.bench import Workshop, job_of, nothing_to_run, row
from course.grading.levels import Limits
from course.grading.submissions import ANY, collect

RECORD = "record.jsonl"


@dataclass(frozen=True)
class Options:
    """How a class is graded."""

    submissions: Path
    out: Path
    jobs: int = 1
    chapter: int | None = None
    secret: str = ""
    own_upstream: bool = False
    engine: str = "local"
    scheduler: str | None = None
    trust: bool = False
    limits: Limits = field(default_factory=Limits)
    mistakes: bool = True
    similarity: bool = False


@dataclass(frozen=True)
class Item:
    """One exercise of one student, waiting to be graded."""

    assignment: object
    student: str
    file: str
    job: dict | None
    problem: object
    key: str


def grade(root, options, say=print):
    """Grade, and write the reports; returns the rows.

    Raises
    ------
    Refusal
        If there is nothing to grade.
    Unprotected
        If this system cannot lock a student's code in and `trust` is not given.
    """
    assignments = plan.assignments(root, options.secret, options.chapter)
    class_ = collect(options.submissions, {m.chapter.name for a in assignments for m in a.sheet.modules})
    if not class_:
        raise Refusal(str(options.submissions), 0, "no submissions: expected a folder for each student")
    assignments = chosen(assignments, class_, options.chapter)
    workshop = Workshop(options.limits, options.trust)
    try:
        for line in workshop.protection.lines():
            say(f"  {line}")
        options.out.mkdir(parents=True, exist_ok=True)
        items = list(todo(assignments, class_, options))
        record = Record(options.out / RECORD)
        waiting = [item for item in items if not record.has(item)]
        say(f"{len(class_)} student{'s' * (len(class_) != 1)}, {len(assignments)} exercises: {len(waiting)} to grade, "
            f"{len(items) - len(waiting)} unchanged")
        engine(options)(workshop, waiting, options, record, say)
        rows = [record.rows[item.key, item.student] for item in items]
        reports.write_all(options.out, rows, assignments, list(workshop.protection.lines()), options)
        if options.similarity:
            from course.grading.similarity import compare

            say(f"similarity: {compare(options, assignments, class_, reports.write_table)} pairs")
    finally:
        workshop.close()
    return rows


def chosen(assignments, class_, chapter):
    """The exercises of the chapter asked for, or of all chapters that somebody handed in."""
    handed_in = {name for notebooks in class_.values() for name in notebooks}
    found = [a for a in assignments if chapter is not None or a.sheet.chapter.name in handed_in]
    if not found:
        known = sorted({a.sheet.chapter.name for a in assignments})
        raise Refusal("submissions", 0, f"no notebook of a chapter with exercises; expected one of {known}")
    return found


def todo(assignments, class_, options):
    """Everything there is to grade, chapter by chapter, so that a server is used as long as possible."""
    for assignment in assignments:
        for student, notebooks in class_.items():
            notebook = notebooks.get(assignment.sheet.chapter.name, notebooks.get(ANY))
            job, problem = job_of(assignment, notebook, notebooks, options.own_upstream)
            key = assignment.key(job or {"cells": str(problem), "answer": 0, "package": None}, options.limits)
            yield Item(assignment, student, notebook.file if notebook else "", job, problem, key)


class Record:
    """The file of verdicts; a torn last line, of a run that was killed, is left out."""

    def __init__(self, path):
        self.path, self.rows, self.lock = path, {}, threading.Lock()
        for line in path.read_bytes().splitlines() if path.exists() else ():
            try:
                found = json.loads(line)
                self.rows[found["key"], found["student"]] = found
            except (ValueError, KeyError, TypeError):
                continue
        self.file = open(path, "ab", buffering=0)
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            self.file.write(b"\n")

    def has(self, item):
        """Is this very submission graded already?"""
        return (item.key, item.student) in self.rows

    def add(self, found):
        """Write a row down, at once."""
        with self.lock:
            self.file.write(json.dumps(found).encode() + b"\n")
            self.rows[found["key"], found["student"]] = found


def engine(options):
    """The way the work is spread."""
    if options.engine == "local":
        return local
    if options.engine == "dask":
        from course.grading.cluster import spread

        return spread
    raise Refusal("--engine", 0, f"expected local or dask, got {options.engine}")


def local(workshop, items, options, record, say):
    """A thread for each of `jobs` slots; each has a server of its own."""
    waiting, failures = queue.SimpleQueue(), []
    for item in items:
        waiting.put(item)
    trials, progress = Trials(options.mistakes), Progress(len(items), say)

    def work(slot):
        bench = workshop.bench(slot)
        try:
            while not failures:
                item = waiting.get_nowait()
                record.add(grade_item(bench, item, trials))
                progress.step()
        except queue.Empty:
            pass
        except BaseException as error:  # the first failure of the grader itself stops all slots
            failures.append(error)
        finally:
            bench.close()

    threads = [threading.Thread(target=work, args=(slot,)) for slot in range(max(1, options.jobs))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        failures.append(KeyboardInterrupt("stopped; the next run goes on from here"))
        for thread in threads:
            thread.join()
    progress.end()
    if failures:
        raise failures[0]


def grade_item(bench, item, trials):
    """The row of one item."""
    if item.job is None:
        graded = nothing_to_run(item.assignment, item.problem)
    else:
        graded = bench.grade(item.assignment, item.job, trials.of(item.assignment, bench))
    return row(item.assignment, item.student, item.file, item.key, graded)


class Trials:
    """What each exercise's mutants do, found out when it is first needed."""

    def __init__(self, wanted=True):
        self.wanted, self.found, self.lock = wanted, {}, threading.Lock()

    def of(self, assignment, bench):
        """The trial of an exercise, or None where nobody wants the map of mistakes."""
        if not self.wanted:
            return None
        with self.lock:
            if assignment.name not in self.found:
                self.found[assignment.name] = plan.try_mutants(
                    assignment, lambda job, scripts: bench.run(assignment, job, scripts))
            return self.found[assignment.name]


class Progress:
    """One line that counts, on a terminal only."""

    def __init__(self, total, say):
        self.total, self.done, self.lock = total, 0, threading.Lock()
        self.shown = total > 0 and say is print and sys.stderr.isatty()

    def step(self):
        """One more."""
        with self.lock:
            self.done += 1
            if self.shown:
                print(f"\r  {self.done} of {self.total}", end="", file=sys.stderr, flush=True)

    def end(self):
        """Leave the line."""
        if self.shown:
            print(file=sys.stderr)


"""A worker: runs one student's code for one exercise, locked in, and sends back what it computed.

It knows inputs only. What is right is decided by the judge, from values that came over the pipe;
nothing a student's code does in here can change that.
"""

import linecache
import os
import sys
import traceback
from pathlib import Path

import numpy as np  # noqa: F401: loaded before the fork
import numpy.fft
import numpy.linalg
import numpy.ma
import numpy.polynomial
import numpy.random  # noqa: F401

from course.classroom import codec, student
from course.classroom.script import Script, run
from course.grading import sandbox

PRINTED = 4000  # characters of printed text that are kept


def work(plan, folder, descriptor):
    """Lock in, get the job, execute its sources, answer its scripts; never returns in trouble."""
    try:
        sandbox.confine(plan, folder, descriptor)
    except BaseException as error:  # reported, and the judge stops
        send(descriptor, {"status": "unconfined", "message": f"{type(error).__name__}: {error}"})
        return
    send(descriptor, {"status": "confined"})  # before any code of the student's could say it
    job = receive(descriptor)
    sys.stdout = sys.stderr = printed = Printed()
    namespace = {"__name__": "nnlib_exercise"}
    outcome = guarded(lambda: prepare(job, namespace, folder), printed)
    send(descriptor, outcome)
    while outcome["status"] == "ready":
        script = Script.of(receive(descriptor))
        send(descriptor, guarded(lambda: run(script, namespace), printed))


def receive(descriptor):
    """One message from the judge."""
    def exactly(size):
        parts = []
        while size:
            part = os.read(descriptor, min(size, 2**20))
            if not part:
                os._exit(0)
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
    return codec.read_message(exactly)


def send(descriptor, value):
    """One message to the judge."""
    try:
        data = memoryview(codec.pack(value))
    except (MemoryError, codec.ProtocolError) as error:
        name = type(error).__name__
        data = memoryview(codec.pack({"status": "raised", "error": name, "bases": [name],
                                      "message": f"the result: {error}", "step": 0, "printed": ""}))
    while data:
        data = data[os.write(descriptor, data):]


def guarded(action, printed):
    """What the action answers, or how it ended; with what was printed meanwhile."""
    try:
        outcome = action()
    except SystemExit as error:
        outcome = {"status": "exit", "message": f"the code ended the program: SystemExit({error.code!r:.40})"}
    except BaseException as error:  # KeyboardInterrupt too: this is the student's code
        outcome = failure(error)
    return {**outcome, "printed": printed.take()}


def failure(error):
    """An exception as an outcome."""
    words = "".join(traceback.format_exception_only(error)).strip()
    return {"status": "raised", "error": type(error).__name__, "message": words[:2000], "step": 0,
            "bases": [c.__name__ for c in type(error).__mro__][:20]}


class Printed:
    """Standard output: the first characters are kept, the rest is dropped."""

    encoding, errors = "utf-8", "replace"

    def __init__(self):
        self.parts, self.room = [], PRINTED

    def write(self, text):
        """Keep what there is room for."""
        if self.room > 0:
            self.parts.append(str(text)[:self.room])
            self.room -= len(self.parts[-1])
        return len(text)

    def flush(self):
        """Nothing waits."""

    def isatty(self):
        """No one watches."""
        return False

    def take(self):
        """What was printed since last time."""
        text, self.parts, self.room = "".join(self.parts), [], PRINTED
        return text


def prepare(job, namespace, folder):
    """Execute the chapter's own code, then the student's; returns {"status": "ready", "notes": [...]}.

    Of the student's notebook count the imports, the cells of definitions the student added, and the
    exercise's cell. What fails in one does not stop the next: what it would have defined is missing.
    """
    if job.get("package"):
        own_package(job["package"], folder)
    for name, text in job["official"]:
        exec(compiled(name, text), namespace)
    cells, answer = [student.read_code(cell) for cell in job["cells"]], job["answer"]
    notes = [f"left out: {line.strip()}" for line in job["cells"][answer]["source"].split("\n")
             if line.lstrip().startswith(("%", "!"))] if cells else []
    for text in student.Page(None, "", tuple(cells)).imports.values():
        attempt("an import", text, namespace)
    for number, cell in enumerate(cells):
        if cell.own and number != answer:
            notes += attempt(f"your cell {number + 1}", cell.source, namespace)
    problem = attempt("your answer", cells[answer].source, namespace) if cells else []
    return {"status": "ready", "notes": [note[:300] for note in notes[:20]], "problem": "".join(problem)[:1000]}


def attempt(name, text, namespace):
    """Execute a source; how it failed, as a list of no text or one."""
    try:
        exec(compiled(name, text), namespace)
    except MemoryError:
        raise
    except Exception as error:
        words = traceback.format_exception_only(error)[-1].strip()
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith("<")]
        line = error.lineno if isinstance(error, SyntaxError) else frames[-1].lineno if frames else None
        where = frames[-1].filename[1:-1] if frames else name
        return [f"{where}, line {line}: {words}" if line else f"{where}: {words}"]
    return []


def own_package(chapters, folder):
    """With --own-upstream: the student's package, made from the student's notebooks."""
    for name in [n for n in sys.modules if n.split(".")[0] == "nnlib"]:
        del sys.modules[name]
    package = os.path.join(folder, "nnlib")
    os.mkdir(package)
    open(os.path.join(package, "__init__.py"), "w").close()
    for module, cells in chapters:
        page = student.Page(Path(f"{module}.ipynb"), module, tuple(map(student.read_code, cells)))
        with open(os.path.join(package, f"{module}.py"), "w", encoding="utf-8") as file:
            file.write(student.module_text(page))
    sys.path.insert(0, folder)


def compiled(name, text):
    """A source compiled under a name that tracebacks can show lines of."""
    file = f"<{name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    try:
        return compile(text, file, "exec", dont_inherit=True)
    except ValueError as error:  # what older Pythons say of a null character
        raise SyntaxError(str(error)) from None

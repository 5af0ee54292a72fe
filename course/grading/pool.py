"""The judge's end of a worker: start servers, hand out jobs, never wait longer than the limit."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from course.classroom import codec
from course.grading import levels, system

HERE = Path(__file__).resolve().parent
LOADED = ("classroom/codec.py", "classroom/script.py", "classroom/student.py", "grading/system.py",
          "grading/sandbox.py", "grading/rooms.py", "grading/worker.py", "grading/server.py")  # ours, and nothing else of ours
START = ("import sys; sys.path.insert(0, sys.argv[2]); from course.grading.server import main; "
         "main(int(sys.argv[1]))")
LOST = 2  # workers an exercise may use up before the rest of its cases is given up
ANSWERS = 32 * 2**20  # bytes that all answers of one worker may have
START_SECONDS = 60  # for a worker to lock itself in, on a machine that has other things to do
PATIENCE = 3  # how many times the limit of one case all cases together may take
GIVEN_UP = {"status": "timeout", "message": "not run: the cases before took too long"}


class Trouble(OSError):
    """The grader itself does not work here; says nothing about a submission."""


class Unconfined(Trouble):
    """A worker could not be locked in as the header of the run says."""


class Lost(Exception):
    """A worker is gone or silent; `status` says which."""

    def __init__(self, status, message=""):
        super().__init__(message)
        self.status = status


def make_runtime(folder):
    """Copy the files that a server loads into a folder where there is nothing else."""
    for name in LOADED:
        target = folder / "course" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HERE.parent / name, target)
        (target.parent / "__init__.py").touch()
    (folder / "course" / "__init__.py").touch()
    return folder


class Server:
    """A warm server process, for one slot and one upstream package."""

    def __init__(self, protection, limits, scratch, slot=0, upstream=(), preload=()):
        self.limits, self.protection = limits, protection
        place = tempfile.mkdtemp(prefix=f"slot{slot}-", dir=scratch)
        os.chmod(place, 0o711)
        plan = {
            "levels": protection.levels, "filter": protection.filter.hex(), "uid": levels.SLOT_USER + slot,
            "cpu": limits.cpu, "memory": limits.memory, "disk": limits.disk,
            "processes": levels.processes_allowed(protection.levels),
            "readable": levels.readable(upstream, scratch / "runtime"), "place": place,
            "runtime": str(scratch / "runtime"), "packages": levels.packages_folder(),
            "upstream": [str(path) for path in upstream], "preload": list(preload),
        }
        self.control, theirs = socket.socketpair()
        command = [sys.executable, "-I", "-S", "-c", START, str(theirs.fileno()), plan["runtime"]]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env={"OPENBLAS_NUM_THREADS": "1"},
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, cwd="/")
        theirs.close()
        self.control.settimeout(60)
        self.control.sendall(json.dumps(plan).encode() + b"\n")
        answer = self.line()
        if "error" in answer:
            self.close()
            raise Trouble(answer["error"])

    def line(self):
        """One line of JSON from the server."""
        line = b""
        while not line.endswith(b"\n"):
            try:
                part = self.control.recv(4096)
            except OSError as error:
                part = b""
                line = str(error).encode()
            if not part:
                self.process.kill()
                words = (self.process.stderr.read() if self.process.stderr else b"").decode(errors="replace")
                raise Trouble(f"the server is gone: {(line.decode() + ' ' + words.strip()[-500:]).strip()}")
            line += part
        return json.loads(line)

    @contextlib.contextmanager
    def worker(self):
        """Fork a worker; at the end nothing of it is left, and `report` says how it ended."""
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self.control, [b"J"], [theirs.fileno()])
            theirs.close()
            worker = Worker(ours, self.line()["pid"])
            yield worker
            ours.close()
            self.control.sendall(b"E")
            worker.report = self.line()
        finally:
            ours.close()
            theirs.close()

    def close(self):
        """End the server and whatever it runs."""
        self.control.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stderr:
            self.process.stderr.close()

    def run(self, job, cases):
        """Run a job's sources, then each case's scripts.

        Returns
        -------
        dict
            What the sources did: {"status": "ready", ...}, or how they failed.
        list of list of dict
            The outcomes of each case, fewer than its scripts when a worker was lost on the way. A lost
            worker costs its case, not the rest; after `LOST` of them the rest is not run.
        """
        ready, done, lost = None, [], 0
        limit = time.monotonic() + PATIENCE * self.limits.seconds
        while len(done) < len(cases):
            if lost >= LOST or time.monotonic() > limit:
                done += [[GIVEN_UP if lost < LOST else {**done[-1][-1], "message": "the same again; not run"}]
                         for _ in cases[len(done):]]
                break
            with self.worker() as worker:
                answer, loss = self.some(worker, job, cases, done, limit)
            if answer is None:
                return self.explain(loss, worker.report), []
            ready = ready or answer
            if answer["status"] != "ready":
                return answer, []
            if loss is not None:
                lost += 1
                done[-1].append(self.explain(loss, worker.report))
        return ready or {"status": "ready"}, done

    def some(self, worker, job, cases, done, limit):
        """Run cases until they are done or the worker is lost; (its first answer, how it was lost)."""
        ready = None
        worker.locked_in()
        try:
            ready = first_answer(worker.ask(job, self.limits.seconds))
            if ready["status"] == "ready":
                for scripts in cases[len(done):]:
                    if time.monotonic() > limit:
                        break
                    done.append([])
                    for script in scripts:
                        done[-1].append(worker.ask(script.plain(), self.limits.seconds))
                        if "MemoryError" in str(done[-1][-1].get("bases")):
                            break
        except Lost as loss:
            return ready, loss
        return ready, None

    def explain(self, loss, report):
        """A lost worker as an outcome, from what the system says of its end."""
        status, message = loss.status, str(loss)
        if report["filled"]:
            status, message = "crashed", "put too much into its folder"
        elif report["cpu"] >= self.limits.cpu - 0.5:
            status, message = "timeout", f"used up {self.limits.cpu} s of processor time"
        elif status == "crashed" and report["exit"] == -signal.SIGKILL and (
                report["memory"] > 0.7 * self.limits.memory):
            status, message = "out-of-memory", f"used {report['memory']} MB"
        elif status == "crashed" and not message:
            code = report["exit"]
            message = (f"the process was ended by signal {-code}" if code < 0 else
                       f"the process ended itself with exit code {code}")
        return {"status": status, "message": message}


class Worker:
    """One forked worker; everything it says is taken with a time limit and a length limit."""

    def __init__(self, connection, number):
        self.connection, self.number, self.report = connection, number, None
        self.left = ANSWERS

    def locked_in(self):
        """Hear that the worker is locked in; no code of the student's has run yet, so this can be believed."""
        try:
            answer = self.hear(time.monotonic() + START_SECONDS, START_SECONDS)
        except Lost as loss:
            raise Trouble(f"a worker did not start: {loss.status} {loss}") from None
        if answer["status"] != "confined":
            raise Unconfined(f"a worker could not be locked in: {answer.get('message')}")

    def ask(self, value, seconds):
        """Send a message and read the answer."""
        limit = time.monotonic() + seconds
        try:
            self.connection.settimeout(seconds)
            self.connection.sendall(codec.pack(value))
        except TimeoutError:
            raise Lost("timeout", f"no result after {seconds:g} s") from None
        except OSError:
            raise Lost("crashed") from None
        return self.hear(limit, seconds)

    def hear(self, limit, seconds):
        """Read an answer, a dict with a text as its status."""
        try:
            answer = codec.read_message(lambda size: self.exactly(size, limit), self.left)
        except TimeoutError:
            raise Lost("timeout", f"no result after {seconds:g} s") from None
        except codec.ProtocolError as error:
            raise Lost("crashed", f"what came back is not a result: {error}") from None
        except OSError:
            raise Lost("crashed") from None
        if not isinstance(answer, dict) or not isinstance(answer.get("status"), str):
            raise Lost("crashed", "what came back is not a result")
        return answer

    def exactly(self, size, limit):
        """So many bytes, before the limit."""
        self.left -= size
        parts = []
        while size:
            left = limit - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.connection.settimeout(left)
            part = self.connection.recv(min(size, 2**20))
            if not part:
                raise ConnectionResetError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def first_answer(answer):
    """What a worker says of a job's sources, each part of the kind it should be: student's code may have made it up."""
    notes, bases = ([text[:300] for text in found[:20] if isinstance(text, str)] if isinstance(found, list) else []
                    for found in (answer.get("notes"), answer.get("bases")))
    message, problem = (text[:1000] if isinstance(text, str) else ""
                        for text in (answer.get("message"), answer.get("problem")))
    return {"status": answer["status"], "notes": notes, "bases": bases, "message": message, "problem": problem}


def guard_judge():
    """No process of the same user may look into the judge's memory."""
    if system.is_linux:
        system.prctl(system.PR_SET_DUMPABLE, 0)

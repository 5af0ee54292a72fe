"""The warm server: NumPy loaded once, a worker forked for each job. Never runs a student's code itself.

Started by the judge as `python -I -S -c START`; its plan comes as the first line on the control socket.
Then, for each job: a byte "J" with the job's own socket; the answer, one line of JSON; a byte "E";
what became of the worker, one line of JSON.
"""

import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from course.grading import rooms, sandbox, system

GRACE = 0.5  # seconds a worker that closed its socket has for ending by itself
LOOK = 0.1  # seconds between two looks into a folder that has no size of its own


def main(descriptor):
    """Get ready as the plan says, answer with "ready" or the reason, then serve jobs until the judge goes."""
    control = socket.socket(fileno=descriptor)
    plan = json.loads(read_line(control))
    try:
        server = Server(plan)
    except Exception as error:  # whatever it is, the judge must hear of it
        answer(control, {"error": f"{type(error).__name__}: {error}"})
        return
    answer(control, {"ready": True})
    while server.serve(control):
        pass


def read_line(control):
    """One line from the judge; the control socket is read byte by byte, for the next may carry a file."""
    line = b""
    while not line.endswith(b"\n"):
        part = control.recv(1)
        if not part:
            sys.exit()
        line += part
    return line


def answer(control, value):
    """One line of JSON to the judge."""
    control.sendall(json.dumps(value).encode() + b"\n")


class Server:
    """What stays between jobs: the plan, the loaded modules, the room."""

    def __init__(self, plan):
        self.plan, self.processes = plan, None
        if system.is_linux:
            system.prctl(system.PR_SET_CHILD_SUBREAPER, 1)
        if "namespaces" in plan["levels"]:
            self.processes = rooms.enter(plan["readable"], plan["place"])
        sys.path[:] = [p for p in sys.path if p != plan["runtime"]]
        sys.path += [plan["packages"], *plan["upstream"]]
        for name in plan["preload"]:
            try:
                importlib.import_module(name)
            except ImportError:  # a module whose own requirements are not readable here
                sys.modules.pop(name, None)
        from course.grading import worker

        self.worker = worker
        gc.collect()
        gc.freeze()

    def serve(self, control):
        """One job; False when the judge is gone."""
        try:
            byte, files, _, _ = socket.recv_fds(control, 1, 1)
        except OSError:
            return False
        if byte != b"J" or not files:
            return False
        folder = self.make_folder()
        child = self.fork(files[0], folder)
        os.close(files[0])
        answer(control, {"pid": child})
        filled = self.processes is None and self.watch(control, child, folder)
        stop = control.recv(1)
        report = {**self.end(child), "filled": filled}
        self.remove_folder(folder)
        if stop:
            answer(control, report)
        return bool(stop)

    def make_folder(self):
        """The job's temporary folder; inside a room it is always the same name."""
        if self.processes is not None:
            return rooms.FOLDER
        folder = tempfile.mkdtemp(dir=self.plan["place"])
        if "user" in self.plan["levels"]:
            os.chown(folder, self.plan["uid"], self.plan["uid"])
        return folder

    def fork(self, descriptor, folder):
        """Start a worker that answers on `descriptor`."""
        back = rooms.next_processes(self.processes) if self.processes is not None else lambda: None
        child = os.fork()
        if child == 0:
            try:
                self.worker.work(self.plan, folder, descriptor)
            finally:
                os._exit(0)
        back()
        return child

    def watch(self, control, child, folder):
        """Until the judge says something: end a worker that fills the disk; was there one?

        Inside a room the folder has a size of its own, and this is not needed.
        """
        filled = False
        while not select.select([control], [], [], LOOK)[0]:
            if not filled and too_full(folder, self.plan["disk"] * sandbox.MEGABYTE):
                os.kill(child, signal.SIGKILL)
                filled = True
        return filled

    def end(self, child):
        """Let the worker end, or end it; leave nothing of it behind; say what became of it."""
        status, usage = self.reap(child)
        report = {"cpu": usage.ru_utime + usage.ru_stime, "exit": os.waitstatus_to_exitcode(status),
                  "memory": usage.ru_maxrss // (1024 if system.is_linux else 2**20)}
        if self.processes is None:
            self.sweep(child)
        return report

    def reap(self, child):
        """Wait for a worker that is ending, then kill it."""
        limit = time.monotonic() + GRACE
        while time.monotonic() < limit:
            found, status, usage = os.wait4(child, os.WNOHANG)
            if found:
                return status, usage
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        return os.wait4(child, 0)[1:]

    def sweep(self, child):
        """Without a process namespace: kill what the worker may have left behind."""
        try:
            os.killpg(child, signal.SIGKILL)
        except OSError:
            pass
        while orphans := children():
            for orphan in orphans:
                try:
                    os.kill(orphan, signal.SIGKILL)
                    os.waitpid(orphan, 0)
                except OSError:
                    pass

    def remove_folder(self, folder):
        """Take the job's folder away, however deep the student made it."""
        if self.processes is not None:
            return
        try:
            os.rmdir(folder)
        except OSError:
            subprocess.run(["/bin/chmod", "-R", "u+rwx", folder], stderr=subprocess.DEVNULL)
            subprocess.run(["/bin/rm", "-rf", folder], stderr=subprocess.DEVNULL)
            shutil.rmtree(folder, ignore_errors=True)


def too_full(folder, most):
    """Does a folder hold more bytes or entries than a job may have, or what cannot be looked at?"""
    size, entries, waiting = 0, 0, [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as found:
                for entry in found:
                    entries += 1
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if size > most or entries > sandbox.ENTRIES:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):  # gone meanwhile
            continue
        except OSError:
            return True
    return False


def children():
    """The process numbers of this process's children; orphans of workers come to us."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []

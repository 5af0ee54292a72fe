"""A worker that tries, at the start of every run, what no worker may do."""

import tempfile
from pathlib import Path

from course.classroom.script import call
from course.grading.pool import Server, Trouble

WORKS = {"imports", "threads", "folder"}
ATTEMPTS = """
import os, signal, socket, subprocess, threading
def tried(action):
    try:
        action()
    except BaseException:
        return False
    return True
def imports():
    import statistics, numpy.testing, encodings.idna
def threads():
    thread = threading.Thread(target=str); thread.start(); thread.join()
def folder():
    open("probe", "w").write("x"); os.remove("probe")
def reading():
    open(FORBIDDEN).read()
def writing():
    attempts = (lambda: open(FORBIDDEN + ".probe", "x"), lambda: os.chmod(FORBIDDEN, 0o666),
                lambda: os.utime(FORBIDDEN), lambda: os.truncate(FORBIDDEN, 0))
    if not any([tried(attempt) for attempt in attempts]):
        raise OSError
def network():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"", ("127.0.0.1", 9))
def processes():
    subprocess.run(["/bin/true"])
def signals():
    os.kill(NUMBER, 0)
def findings():
    found = [f.__name__ for f in (imports, threads, folder) if tried(f)]
    return found + [f.__name__ for f in (reading, writing, network, processes, signals) if not tried(f)]
"""


def make_trial(scratch, limits):
    """A trial for `levels.detect`: what holds with a protection; OSError when Python does not work in it."""
    def trial(protection):
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            forbidden = Path(folder) / "forbidden"
            forbidden.write_text("the answers")
            for path, mode in ((folder, 0o777), (forbidden, 0o666)):
                Path(path).chmod(mode)
            return attempt(Server(protection, limits, scratch, slot=99), forbidden)
    return trial


def attempt(server, forbidden):
    """Let a worker of this server try everything; what did not succeed holds."""
    constants = f"FORBIDDEN, NUMBER = {str(forbidden)!r}, {server.process.pid}"
    job = {"official": [["probe", constants + ATTEMPTS]], "cells": [], "answer": 0}
    try:
        ready, done = server.run(job, [[call("findings")]])
    finally:
        server.close()
    if ready["status"] != "ready" or done[0][0]["status"] != "ok":
        raise Trouble(str(done[0][0] if done else ready)[:300])
    found = set(done[0][0]["values"][0])
    if not WORKS <= found:
        raise Trouble(f"does not work in it: {', '.join(sorted(WORKS - found))}")
    return found - WORKS

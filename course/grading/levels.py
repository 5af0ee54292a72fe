"""Which protections this system allows: found out by trying them, never assumed.

The judge starts a server with every level, lets a probe worker attack it, and drops what does not
work here. What is left is written into the report, with what it stops.
"""

import os
import sys
import sysconfig
from dataclasses import dataclass, field, replace
from pathlib import Path

from course.grading import system
from course.grading.filter import build_filter

SLOT_USER = 60000  # the first of the numbers that unprivileged users get, one for each slot
LIBRARIES = ("numpy", "numpy.libs", "threadpoolctl.py", "tqdm", "pandas", "pandas.libs", "dateutil", "six.py",
             "tzdata", "pytz")  # what nnlib's modules may import
SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
ORDER = ("limits", "filter", "landlock", "user", "namespaces")
STOPS = {
    "limits": "runaway time, memory, files and output; an empty environment and a folder of its own",
    "filter": "system calls for processes, programs, sockets, signals, tracing, mounting, permissions of files (seccomp)",
    "landlock": "reading files but Python, NumPy and the package so far; writing files outside its folder; TCP",
    "user": "an unprivileged user of its own: no access to the teacher's files and processes",
    "namespaces": "no network, no other process and no other file in sight (a room of its own)",
}
FACTS = {
    "reading": "reading other files, the reference and other students' work among them",
    "writing": "writing to other places than the job's folder, or changing the permissions of what is there",
    "network": "talking to other computers",
    "processes": "starting programs",
    "signals": "ending or disturbing other processes of the same user",
}
NEEDS = """Nothing on this system can lock a student's code in, so it will not be run.
Grading needs Linux (for example a container or virtual machine, see course/grading/Containerfile),
with libseccomp, Landlock, namespaces or a start as root. To run the submissions with limits of time
and memory only, able to read and delete your files, say --trust."""


class Unprotected(Exception):
    """This system has no way to lock a student's code in."""


@dataclass(frozen=True)
class Limits:
    """What one worker may use; seconds of wall clock are for one case."""

    seconds: float = 10.0
    cpu: int = 30
    memory: int = 1536  # megabytes of address space
    disk: int = 16  # megabytes, of a file and (with namespaces) of all


@dataclass(frozen=True)
class Protection:
    """The levels in use, why the others are not, and what a probe found to hold."""

    levels: tuple
    missing: dict = field(default_factory=dict)
    filter: bytes = b""
    holds: frozenset = frozenset()

    @property
    def locked(self):
        """Can a worker neither read nor write what is not its own?"""
        return {"reading", "writing"} <= self.holds

    def lines(self):
        """For the header of a run and for the report."""
        yield from (f"{name}: {STOPS[name]}" for name in self.levels)
        yield from (f"{name}: not in use here ({why})" for name, why in self.missing.items())
        yield from (f"NOT STOPPED: {what}" for fact, what in FACTS.items() if fact not in self.holds)


def readable(upstream, runtime):
    """Everything a worker may read."""
    packages = Path(packages_folder())
    paths = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), *SYSTEM, *mapped()}
    paths |= {str(packages / name) for name in LIBRARIES}
    return sorted(path for path in {*paths, *map(str, upstream), str(runtime)} if os.path.exists(path))


def packages_folder():
    """Where NumPy is installed."""
    import numpy

    return str(Path(numpy.__file__).resolve().parent.parent)


def mapped():
    """The shared libraries outside the usual places that this Python has loaded."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return set()
    files = {line.split(maxsplit=5)[5] for line in lines if len(line.split(maxsplit=5)) == 6}
    wanted = {sys.base_prefix, *SYSTEM}
    return {f for f in files if f.startswith(tuple(wanted)) and ".so" in f and os.path.isfile(f)
            and not f.startswith(SYSTEM)}


def candidates():
    """The levels that may work here, and why the others cannot."""
    missing, program = {}, b""
    if not hasattr(os, "fork"):
        raise Unprotected(f"Grading does not work on {sys.platform}: run it in WSL, a container or a virtual machine.")
    if not system.is_linux:
        return ("limits",), {name: "Linux only" for name in ORDER[1:]}, program
    try:
        program = build_filter()
    except (RuntimeError, OSError) as error:
        missing["filter"] = str(error)
    if not system.landlock_version():
        missing["landlock"] = "the kernel does not offer it"
    if os.geteuid():
        missing["user"] = "needs a start as root"
    return tuple(name for name in ORDER if name not in missing), missing, program


def detect(trial):
    """The protection of this system. `trial(protection)` returns what holds, or raises OSError.

    Levels under which Python and NumPy do not work are dropped, the most demanding first.
    """
    levels, missing, program = candidates()
    while True:
        protection = Protection(levels, missing, program)
        try:
            return replace(protection, holds=frozenset(trial(protection)))
        except OSError as error:
            if levels == ("limits",):
                raise
            levels, missing = drop(protection, str(error)[:200], trial)


def drop(protection, why, trial):
    """Leave out the one level without which the rest works; where there is none, the last."""
    levels = protection.levels
    for name in reversed(levels[1:]):
        fewer = tuple(other for other in levels if other != name)
        try:
            trial(replace(protection, levels=fewer))
        except OSError:
            continue
        return fewer, {**protection.missing, name: why}
    return levels[:-1], {**protection.missing, levels[-1]: why}


def processes_allowed(levels):
    """The limit on processes and threads: it counts all of a user's, so it depends on whose they are."""
    if "user" in levels or not system.is_linux:
        return 64
    mine = 0
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and entry.stat().st_uid == os.geteuid():
                mine += len(os.listdir(entry / "task"))
        except OSError:
            pass
    return mine + 64

"""What a worker gives up before it runs a student's code. Standard library only.

`plan` says which levels this system allows; the judge found out at start. A level of the plan
that cannot be applied ends the worker: code is never run with less protection than the report says.
"""

import os
import sys

from course.grading import system

MEGABYTE = 2**20
ENTRIES = 1000  # files and folders that a job may make
WORDS = {"HOME": "", "TMPDIR": "", "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def confine(plan, folder, keep):
    """Lock this process in: `folder` is all it may write to, `keep` its only open file."""
    levels = plan["levels"]
    os.setsid()
    if "namespaces" in levels:
        system.unshare(system.NEW_MOUNTS)
        own_folder(plan, folder)
    only_descriptor(keep)
    os.chdir(folder)
    os.umask(0o077)
    set_environment(folder)
    set_limits(plan)
    if "user" in levels:
        become(plan["uid"])
    elif "namespaces" in levels:
        system.drop_capabilities()
    if system.is_linux:
        system.prctl(system.PR_SET_DUMPABLE, 0)
        system.prctl(system.PR_SET_PDEATHSIG, 9)
        system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
    if "landlock" in levels:
        system.landlock([*plan["readable"], "/dev/urandom", "/dev/null"], [folder, "/dev/null"])
    if "filter" in levels:
        system.load_filter(bytes.fromhex(plan["filter"]))


def own_folder(plan, folder):
    """A temporary folder in memory, of a fixed size, that vanishes with the process."""
    owner = plan["uid"] if "user" in plan["levels"] else 0
    size = plan["disk"] * MEGABYTE
    system.mount("tmpfs", folder, "tmpfs", system.MS_NOSUID | system.MS_NODEV | system.MS_NOEXEC,
                 f"size={size},nr_inodes={ENTRIES},mode=700,uid={owner},gid={owner}")


def only_descriptor(keep):
    """Close every inherited file but one; standard input is empty, output goes nowhere."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    low = sorted({0, 1, 2, keep})
    for before, after in zip(low, [*low[1:], most_files()]):
        os.closerange(before + 1, after)


def most_files():
    """One more than the highest number an open file can have."""
    import resource

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return most if 0 < most < 2**20 else 2**20


def set_environment(folder):
    """Empty but for what libraries need; nothing of the teacher's."""
    os.environ.clear()
    os.environ.update(WORDS, HOME=folder, TMPDIR=folder)
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile.tempdir = folder


def set_limits(plan):
    """Processor time, memory, size of a file, open files, processes and threads, core dumps."""
    import resource

    wanted = {
        resource.RLIMIT_CPU: plan["cpu"],
        resource.RLIMIT_AS: plan["memory"] * MEGABYTE,
        resource.RLIMIT_FSIZE: plan["disk"] * MEGABYTE,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_NPROC: plan["processes"],
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):
            if system.is_linux:
                raise


def become(user):
    """Go on as a user who owns nothing, for good."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)

"""A file system with nothing in it but what a worker may read (Linux namespaces). Standard library only.

A server enters its room once; the workers it forks are born in it. There is no network, no other
process in sight, and no path to the reference, the submissions or the teacher's files.
"""

import os
from pathlib import Path

from course.grading import system

DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
FOLDER = "/job"  # inside the room; a name that hides nothing a worker may read
MS_RELATIME = 1 << 21  # statvfs has another bit for it
EVERYTHING = (system.NEW_MOUNTS | system.NEW_NETWORK | system.NEW_IPC | system.NEW_UTS | system.NEW_PIDS)


def enter(readable, place):
    """Go into a new room built on the empty folder `place`; returns the file of its process namespace.

    The process that called this only waits for the one that goes on, and ends as it ends.
    """
    user, group = os.geteuid(), os.getegid()
    system.unshare(EVERYTHING | (system.NEW_USER if user else 0))
    if user:
        map_user(user, group)
    child = os.fork()
    if child:
        wait_for(child)
    system.prctl(system.PR_SET_PDEATHSIG, 9)
    processes = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    build(readable, place)
    return processes


def map_user(user, group):
    """Be root inside, and still nobody but oneself outside."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def wait_for(child):
    """Hold nothing open, and end as the child ends."""
    os.closerange(0, 256)
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def build(readable, place):
    """Fill the room and make it the root of the file system."""
    system.mount(None, "/", None, system.MS_REC | system.MS_PRIVATE)
    system.mount("tmpfs", place, "tmpfs", system.MS_NOSUID | system.MS_NODEV, "mode=755,size=1m")
    for path in sorted({*readable, *DEVICES}):
        if os.path.lexists(path):
            show(path, place)
    os.makedirs(place + FOLDER, exist_ok=True)
    os.chdir(place)
    system.call("pivot_root", b".", b".")
    system.unmount(".")
    os.chdir("/")
    system.mount(None, "/", None, system.MS_REMOUNT | system.MS_BIND | system.MS_RDONLY
                 | system.MS_NOSUID | system.MS_NODEV)


def show(path, place):
    """Make `path` visible in the room, read-only, under the same name; links stay links."""
    parts = Path(path).parts
    for k in range(2, len(parts) + 1):
        part = os.path.join(*parts[:k])
        if os.path.islink(part):
            target = os.path.join(os.path.dirname(part), os.readlink(part))
            if not os.path.lexists(place + part):
                os.symlink(os.readlink(part), place + part)
            return show(os.path.normpath(os.path.join(target, *parts[k:])), place)
        if k < len(parts) or os.path.isdir(part):
            os.makedirs(place + part, exist_ok=True)
    if not os.path.isdir(path) and not os.path.lexists(place + path):
        Path(place + path).touch()
    bind(path, place + path)


def bind(path, target):
    """Bind `path` to `target` read-only, with the restrictions the original has."""
    if os.path.ismount(target):
        return
    system.mount(path, target, None, system.MS_BIND)
    if path not in DEVICES:
        found = os.statvfs(path).f_flag
        kept = found & (system.MS_NODEV | system.MS_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME)
        times = MS_RELATIME if found & os.ST_RELATIME else 0
        system.mount(None, target, None, system.MS_REMOUNT | system.MS_BIND | system.MS_RDONLY
                     | system.MS_NOSUID | kept | times)


def next_processes(own):
    """The next child is the first process of a new namespace; call the result after the fork."""
    system.unshare(system.NEW_PIDS)
    return lambda: system.setns(own, system.NEW_PIDS)


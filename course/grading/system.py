"""Linux system calls that Python has no function for. Imported by worker processes: standard library only."""

import ctypes
import errno
import os
import platform

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24
PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 22, 36, 38
SECCOMP_MODE_FILTER = 2

NEW_MOUNTS, NEW_UTS, NEW_IPC = 0x00020000, 0x04000000, 0x08000000
NEW_USER, NEW_PIDS, NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2

# These numbers are the same on every architecture.
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
READ_FILE, READ_DIR, WRITE_FILE = 1 << 2, 1 << 3, 1 << 1
# The rights each version of the kernel's interface added: files, moving, truncating, devices.
RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
TCP, SCOPES = 0b11, 0b11

is_linux = platform.system() == "Linux"
libc = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
if is_linux:
    libc.syscall.restype = ctypes.c_long


def call(name, *arguments):
    """A function of the C library; a negative answer is an OSError that names it."""
    ctypes.set_errno(0)
    result = getattr(libc, name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def prctl(option, value=0, third=0):
    """`prctl`: settings of the calling process."""
    return call("prctl", option, ctypes.c_ulong(value), ctypes.c_ulong(third),
                ctypes.c_ulong(0), ctypes.c_ulong(0))


def unshare(flags):
    """Leave the namespaces named by `flags` for new ones."""
    call("unshare", ctypes.c_int(flags))


def setns(descriptor, kind):
    """Go back into a namespace that an open file stands for."""
    call("setns", ctypes.c_int(descriptor), ctypes.c_int(kind))


def mount(source, target, kind=None, flags=0, options=None):
    """`mount(2)`; text arguments may be None."""
    def encode(text):
        return None if text is None else os.fsencode(text)

    call("mount", encode(source), encode(target), encode(kind), ctypes.c_ulong(flags), encode(options))


def unmount(target):
    """Take a mount out of sight, even when it is in use."""
    call("umount2", os.fsencode(target), ctypes.c_int(MNT_DETACH))


def drop_capabilities():
    """Give up every privilege that a process inside its own user namespace holds."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:
                break
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    call("capset", header, (ctypes.c_uint32 * 6)())


class Program(ctypes.Structure):
    """A filter as the kernel takes it: how many instructions, and where they are."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def load_filter(instructions):
    """Put a seccomp filter on this process for good; needs no-new-privileges."""
    program = Program(len(instructions) // 8, instructions)
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program))


class Ruleset(ctypes.Structure):
    """What a Landlock ruleset handles: files, TCP ports, and reaching out of the sandbox."""

    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class Beneath(ctypes.Structure):
    """One Landlock rule: these rights below this directory."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed", ctypes.c_uint64), ("directory", ctypes.c_int32)]


def landlock_version():
    """The version of the kernel's Landlock interface; 0 when there is none."""
    if not is_linux:
        return 0
    try:
        return call("syscall", LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    except OSError:
        return 0


def landlock(readable, writable):
    """From now on this process reads only below `readable` and writes only below `writable`."""
    version = landlock_version()
    if not version:
        raise OSError(errno.ENOSYS, "this kernel has no Landlock")
    every = sum(bits for since, bits in RIGHTS.items() if since <= version)
    handled = Ruleset(every, TCP if version >= 4 else 0, SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = call("syscall", LANDLOCK_CREATE, ctypes.byref(handled), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for path in readable:
            allow(rules, path, READ_FILE | READ_DIR)
        for path in writable:
            allow(rules, path, every & ~1)
        call("syscall", LANDLOCK_RESTRICT, ctypes.c_int(rules), ctypes.c_uint32(0))
    finally:
        os.close(rules)


def allow(rules, path, rights):
    """Add one rule; a path that is not there needs none, and a plain file only file rights."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):
            rights &= READ_FILE | WRITE_FILE
        rule = Beneath(rights, descriptor)
        call("syscall", LANDLOCK_ADD, ctypes.c_int(rules), ctypes.c_int(1), ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(descriptor)

"""The list of system calls a worker may make, as a program for the kernel (seccomp).

Built once by the judge with libseccomp, loaded by every worker. What is not on the list is refused:
among others everything that starts a process or a program, opens a socket, signals, traces or reads
another process, mounts, or reaches keyrings, bpf, io_uring and performance counters; and what
Landlock lets through to files outside: permissions, times, and truncating (before Linux 6.2).
"""

import errno
import os
import tempfile

MEMORY = "brk mmap munmap mprotect mremap madvise mincore membarrier"
FILES = """read write pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 lseek _llseek
    creat close close_range
    stat lstat fstat newfstatat fstatat64 statx statfs fstatfs access faccessat faccessat2
    readlink readlinkat getdents getdents64 getcwd chdir fchdir rename renameat renameat2
    mkdir mkdirat rmdir link linkat unlink unlinkat symlink symlinkat ftruncate fallocate
    umask fsync fdatasync flock dup dup2 dup3
    pipe pipe2 eventfd2 copy_file_range sendfile getxattr lgetxattr fgetxattr listxattr llistxattr
    flistxattr fadvise64"""
WAITING = """select _newselect pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait
    futex futex_waitv nanosleep clock_nanosleep sched_yield restart_syscall pause wait4 waitid"""
OWN = """getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups getpgid getpgrp
    getsid uname sysinfo getrlimit setrlimit getrusage times time gettimeofday clock_gettime clock_getres
    getrandom getcpu sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max
    sched_get_priority_min rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait
    rt_sigsuspend sigaltstack alarm setitimer getitimer set_robust_list get_robust_list set_tid_address
    arch_prctl rseq exit exit_group"""
# glibc tries these first and does without when the kernel is too old for them.
UNKNOWN = "clone3 openat2"
CLONE_THREAD = 0x10000
# Duplicates, flags and locks; not F_SETOWN and F_SETSIG, which have the kernel send a signal of one's choice.
FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030)
PR_SET_NAME, PR_SET_VMA = 15, 0x53564D41


def build_filter():
    """The filter's instructions.

    Raises
    ------
    RuntimeError
        If pyseccomp or libseccomp is not installed; the message says so in words.
    """
    try:
        import pyseccomp
    except ImportError:
        raise RuntimeError("the package pyseccomp is not installed") from None
    except RuntimeError:
        raise RuntimeError("the system's library libseccomp is not installed "
                           "(Debian and Ubuntu: apt install libseccomp2)") from None
    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    for name in " ".join([MEMORY, FILES, WAITING, OWN]).split():
        add(rules, pyseccomp.ALLOW, name)
    for name in UNKNOWN.split():
        add(rules, pyseccomp.ERRNO(errno.ENOSYS), name)
    add(rules, pyseccomp.ERRNO(errno.ENOTTY), "ioctl")
    for name, place in (("open", 1), ("openat", 2)):  # truncating needs a file opened for writing
        for mask, flags in ((os.O_TRUNC, 0), (os.O_ACCMODE, os.O_WRONLY), (os.O_ACCMODE, os.O_RDWR)):
            add(rules, pyseccomp.ALLOW, name, pyseccomp.Arg(place, pyseccomp.MASKED_EQ, mask, flags))
    for name in ("fcntl", "fcntl64"):
        for command in FCNTL:
            add(rules, pyseccomp.ALLOW, name, pyseccomp.Arg(1, pyseccomp.EQ, command))
    add(rules, pyseccomp.ALLOW, "clone",
        pyseccomp.Arg(0, pyseccomp.MASKED_EQ, CLONE_THREAD, CLONE_THREAD))
    add(rules, pyseccomp.ALLOW, "prlimit64", pyseccomp.Arg(0, pyseccomp.EQ, 0))
    for option in (PR_SET_NAME, PR_SET_VMA):
        add(rules, pyseccomp.ALLOW, "prctl", pyseccomp.Arg(0, pyseccomp.EQ, option))
    return export(rules)


def add(rules, action, name, *arguments):
    """Add a rule; a call that this architecture does not have needs none."""
    try:
        rules.add_rule(action, name, *arguments)
    except (OSError, ValueError):
        if os.uname().machine == "x86_64" and name in ("read", "openat", "clone"):
            raise


def export(rules):
    """The rules as instructions."""
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()

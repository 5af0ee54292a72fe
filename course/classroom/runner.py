"""Run code that is not ours in another process, and judge what comes back. Not a sandbox.

`outcomes` starts `python -m course.classroom.runner` in a folder that has the wanted `nnlib`, with
limits of time and memory where the system knows them. Students check their work with it, and the
release checks its stubs, solutions and mutants. Grading a class takes `course.grading`.
"""

import io
import os
import subprocess
import sys
from pathlib import Path

from course.classroom import codec
from course.classroom.script import Script, raised, run

HOME = Path(__file__).resolve().parent.parent.parent
SECONDS, MEMORY = 20, 4 * 2**30


def outcomes(package, jobs, seconds=SECONDS):
    """Run jobs one after the other, in one process for as long as it lives.

    Parameters
    ----------
    package : path
        The folder that holds `nnlib`.
    jobs : list of (sources, scripts)
        The sources are executed in one namespace, in their order; then each script is run.
    seconds : float
        Limit for all jobs together.

    Returns
    -------
    list of list of dict
        The outcome of each script of each job. What did not end in time has the status
        "timeout", what ended with its process "crashed".
    """
    request = codec.pack([{"sources": list(sources), "scripts": [s.plain() for s in scripts]}
                          for sources, scripts in jobs])
    path = os.pathsep.join(dict.fromkeys([str(package), str(HOME)]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "OPENBLAS_NUM_THREADS": "1",
                   "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "course.classroom.runner", str(seconds)]
    status = "crashed"
    try:
        done = subprocess.run(command, input=request, stdout=subprocess.PIPE, env=environment,
                              stderr=subprocess.PIPE, timeout=seconds, cwd=package)
        data, why = done.stdout, last_line(done.stderr)
    except subprocess.TimeoutExpired as late:
        status, data, why = "timeout", late.stdout or b"", f"not done after {seconds:g} s"
    return fill_up(jobs, received(data), {"status": status, "message": why})


def received(data):
    """The messages that arrived whole, each with the place of its job and script."""
    stream, found = io.BytesIO(data), {}
    while True:
        try:
            job, number, outcome = codec.read_message(codec.reader(stream))
        except (EOFError, ValueError):
            return found
        found[job, number] = outcome


def fill_up(jobs, found, missing):
    """Outcomes in the order of the jobs; `missing` for those that did not arrive."""
    return [[found.get((j, k), missing) for k in range(len(scripts))]
            for j, (_, scripts) in enumerate(jobs)]


def last_line(text):
    """The last line of what a process wrote, in a few words."""
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "the process ended without a word"


def namespace(sources):
    """Execute sources in a new namespace; returns it and what went wrong.

    An error in one does not stop the next: what it would have defined is missing.
    """
    names, problems = {"__name__": "nnlib_exercise", "__builtins__": __builtins__}, []
    for source in sources:
        try:
            exec(compile(source, "<your cell>", "exec"), names)
        except (Exception, SystemExit) as error:
            problems.append(f"{type(error).__name__}: {error}")
    return names, problems


def limit(seconds):
    """Limit this process's time and memory, where the system can."""
    try:
        import resource
    except ImportError:
        return
    for kind, amount in ((resource.RLIMIT_CPU, int(seconds) + 5), (resource.RLIMIT_AS, MEMORY)):
        try:
            resource.setrlimit(kind, (amount, resource.getrlimit(kind)[1]))
        except (ValueError, OSError):
            pass


def main(seconds):
    """Read the jobs from standard input and write the outcomes as they come."""
    answers = os.fdopen(os.dup(1), "wb")
    jobs = codec.read_message(codec.reader(sys.stdin.buffer))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is printed does not get among the answers
    limit(seconds)
    for j, job in enumerate(jobs):
        names, problems = namespace(job["sources"])
        for k, plain in enumerate(job["scripts"]):
            outcome = answer(Script.of(plain), names)
            if outcome["status"] == "missing" and problems:
                outcome["message"] += f" ({problems[-1]})"[:500]
            codec.write_message(answers, (j, k, outcome))


def answer(script, names):
    """One script's outcome; one that is too long to send becomes an error."""
    try:
        outcome = run(script, names)
        if len(codec.pack(outcome)) > codec.LIMIT:
            raise ValueError("the result is too large")
        return outcome
    except (Exception, SystemExit) as error:
        return raised(error, 0)


if __name__ == "__main__":
    main(float(sys.argv[1]))

"""The verbs of `python -m course`."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from course.environment import ROOT
from course.errors import Refusal

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["--help"]}

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Build, check and test the book, and the library it writes.")


@app.command()
def setup():
    """Make the virtual environment `.venv` from requirements.lock (every verb does, when needed)."""
    print(f"ready: {sys.prefix}")


@app.command()
def tangle(
    through: Annotated[int, typer.Option(metavar="NN", help="Only the chapters up to this one.")] = None,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder to put `nnlib/` in.")] = ROOT,
):
    """Write `nnlib/` out of the chapters' `export` cells."""
    from course import tangle as machine

    modules = machine.tangle(ROOT, through)
    changed = machine.write_package(machine.package_files(ROOT, modules), output / "nnlib")
    print(f"tangled {len(modules)} modules; changed: {', '.join(changed) or 'nothing'}")


@app.command()
def weave(
    chapters: Annotated[list[str], typer.Argument(help="Numbers or file names; all by default.")] = None,
    jobs: Annotated[int, typer.Option(help="Chapters to execute at the same time.")] = 2,
    force: Annotated[bool, typer.Option("--force", help="Execute even what the cache has.")] = False,
):
    """Execute the chapters into `book/notebooks/`; only those that an edit can have changed.

    The outputs of `check` cells are made by `reference/`, all others by `nnlib`.
    """
    from course import weave as machine

    started = time.monotonic()
    executed = machine.weave(ROOT, chapters or (), jobs, force)
    print(f"wove {len(executed)} chapters in {time.monotonic() - started:.0f} s"
          if executed else "wove nothing: all chapters are in the cache")


@app.command()
def site():
    """Build the site from the executed chapters."""
    from course import site as machine

    print("building the site …", flush=True)
    try:
        print(f"site: {machine.build(quiet=True) / 'index.html'}")
    except RuntimeError as error:
        sys.exit(str(error))


@app.command()
def build(jobs: Annotated[int, typer.Option(help="Chapters to execute at the same time.")] = 2):
    """Make the book: tangle, weave and site."""
    tangle(None, ROOT)
    weave([], jobs, False)
    site()
    if (ROOT / "submission.csv").exists():
        print(f"Kaggle submission: {ROOT / 'submission.csv'}")


@app.command()
def verify():
    """Check that nnlib/ and the notebooks are what the chapters say (the drift check)."""
    from course import verify as machine

    problems = machine.verify(ROOT)
    if problems:
        sys.exit("\n".join(problems))
    print("verified: nnlib/ and book/notebooks/ are what the chapters say")


@app.command(context_settings=PASS_ON)
def test(context: typer.Context):
    """Run all tests, and every chapter again with nbval.

    What follows goes to pytest: `python -m course test tests/test_dense.py -k bias`.
    """
    paths = [] if names_a_path(context.args) else ["tests", "book/notebooks"]
    pytest = ["pytest", *paths, "--nbval", "--nbval-current-env",
              "-n", str(cores()), "--dist", "loadfile", *context.args]
    run(*pytest, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")


@app.command(context_settings=PASS_ON)
def stages(context: typer.Context):
    """For each chapter: the package as it then stands passes the tests of its modules.

    What follows goes to pytest.
    """
    from course import stages as machine

    failed = machine.stages(ROOT, ["-n", str(cores()), *context.args])
    if failed:
        sys.exit(f"tests fail on the package as it stands after {', '.join(failed)}")


@app.command(context_settings=PASS_ON)
def bench(context: typer.Context):
    """Time nnlib beside its peers (installed first) on the same work. What follows goes to `benchmarks`."""
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-r", "benchmarks/requirements.txt"], cwd=ROOT, check=True)
    run("benchmarks", *context.args)


@app.command(context_settings=PASS_ON)
def results(context: typer.Context):
    """Make the tables of long runs, `book/results/*.csv`. What follows goes to the script."""
    run("benchmarks.results", *context.args)


@app.command(context_settings=PASS_ON)
def lab(context: typer.Context):
    """Open the chapters in JupyterLab (right-click one, Open With, Notebook)."""
    run("jupyterlab", "--notebook-dir", str(ROOT / "book"), *context.args)


@app.command()
def release(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the student edition.")] = None,
    check_only: Annotated[int, typer.Option(metavar="NN", help="Only check one chapter's exercises.")] = None,
    secret: Annotated[str, typer.Option(help="Seeds the hidden cases; keep it until you grade.")] = "",
    first: Annotated[int, typer.Option("--from", metavar="NN", help="Chapters before this one come complete.")] = 0,
    nbgrader: Annotated[Path, typer.Option(metavar="DIR", help="Also write nbgrader's source notebooks, with solutions.")] = None,
):
    """Write the student edition; refuse one that gives answers away or cannot be solved."""
    from course.classroom import release as machine

    if check_only is not None:
        print(machine.check_only(ROOT, check_only, secret))
    elif output is None:
        sys.exit("say where to: python -m course release OUT")
    else:
        print(machine.release(ROOT, output, secret, nbgrader, first))


@app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="EXERCISE")],
    notebook: Annotated[Path, typer.Option(help="A submitted notebook; our own solution by default.")] = None,
    seed: Annotated[int, typer.Option(help="Draws the hidden cases, as a grader's report names it.")] = None,
    secret: Annotated[str, typer.Option(help="The release's, where no seed is given.")] = "",
):
    """Check one exercise on all its cases, the hidden ones too. (Students have their own `check`.)"""
    from course.classroom import recheck as machine

    report = machine.recheck(ROOT, name, notebook, seed, secret)
    print(machine.show(report))
    sys.exit(not report.passed)


@app.command()
def progress(folder: Annotated[Path, typer.Argument(help="A student edition.")]):
    """Show what is done in a student edition."""
    in_edition(folder, "progress")


@app.command()
def watch(folder: Annotated[Path, typer.Argument(help="A student edition.")]):
    """Check a student edition's exercises again whenever a notebook is saved."""
    in_edition(folder, "watch")


@app.command()
def answers():
    """Write the appendices made from the exercises: worked answers, and the list of exercises."""
    from course.classroom import appendix as machine

    print(machine.write(ROOT))


@app.command()
def grade(
    submissions: Annotated[Path, typer.Argument(metavar="SUBMISSIONS", help="A folder for each student, with notebooks.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where results go; SUBMISSIONS-graded by default.")] = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", help="Workers at the same time; as many as cores by default.")] = None,
    chapter: Annotated[int, typer.Option(metavar="NN", help="One chapter; by default those that were handed in.")] = None,
    secret: Annotated[str, typer.Option(help="The release's secret, which seeds the hidden cases.")] = "",
    own_upstream: Annotated[bool, typer.Option("--own-upstream", help="Run on the students' own earlier chapters.")] = False,
    seconds: Annotated[float, typer.Option(help="Limit of one case, by the clock on the wall.")] = 10.0,
    memory: Annotated[int, typer.Option(help="Limit of a worker, in megabytes.")] = 1536,
    engine: Annotated[str, typer.Option(help="local, or dask.")] = "local",
    scheduler: Annotated[str, typer.Option(metavar="ADDRESS", help="Of a running Dask cluster; else a local one.")] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Run the code even where it cannot be locked in.")] = False,
    mistakes: Annotated[bool, typer.Option(help="Look for known mistakes, and draw their map.")] = True,
    similarity: Annotated[bool, typer.Option("--similarity", help="Also compare the answers with each other.")] = False,
    autograder: Annotated[Path, typer.Option(metavar="ZIP", help="Write Gradescope's archive for --chapter instead.")] = None,
):
    """Grade a class. No submission can stop it, or change its verdict."""
    from course.grading import command as machine

    settings = dict(out=out, jobs=jobs or cores(), chapter=chapter, secret=secret, own_upstream=own_upstream,
                    engine=engine, scheduler=scheduler, trust=trust, mistakes=mistakes, similarity=similarity)
    machine.run(ROOT, submissions, autograder, seconds, memory, settings)


@app.command()
def clean():
    """Remove what can be made again and is not committed; `.venv` stays."""
    for name in (".cache", "build", ".pytest_cache", ".hypothesis"):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for name in ("submission.csv", "book/notebooks/submission.csv"):
        (ROOT / name).unlink(missing_ok=True)


def run(module, *arguments, **variables):
    """Run `python -m module` in the repository, and end as it ends."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    sys.exit(subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, env=environment).returncode)


def in_edition(folder, verb):
    """Run a verb of a student edition's own `course`, and end as it ends."""
    if not (folder / "cases").is_dir():
        sys.exit(f"{folder} is no student edition: it has no cases/")
    environment = {**os.environ, "PYTHONPATH": str(folder.resolve())}
    sys.exit(subprocess.run([sys.executable, "-m", "course", verb], cwd=folder, env=environment).returncode)


def names_a_path(arguments):
    """Does one of pytest's arguments say what to test?"""
    return any(not a.startswith("-") and (ROOT / a.split("::")[0]).exists() for a in arguments)


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def main():
    """Run a verb; a refusal is one line and exit code 1."""
    try:
        app(prog_name="python -m course")
    except Refusal as refusal:
        sys.exit(str(refusal))

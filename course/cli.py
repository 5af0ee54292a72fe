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

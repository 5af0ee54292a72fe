"""Weave: execute each chapter, with the reference standing in for nnlib in `check` cells.

A chapter's kernel sees nnlib as the chapters before it wrote it. Executed chapters are kept
in `.cache/weave/`, under a key of everything they depend on.
"""

import ast
import asyncio
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from queue import Empty

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tqdm import tqdm

from course import cache, kernel
from course.checks import plan_checks
from course.environment import ROOT as HOME
from course.errors import Refusal
from course.inline import expressions, substitute
from course.outputs import blank_notebook, clean_outputs, dump
from course.tangle import package_files, read, tangle, write_atomically

TIMEOUT = 600
STANDIN = "__import__('course.standin', fromlist=['_'])"


@dataclass(frozen=True, eq=False)
class Job:
    """One chapter to weave: `plans` has the check cells, `library` nnlib as it stands before."""

    root: Path
    chapter: object
    plans: dict
    library: dict
    key: str

    @property
    def entry(self):
        return cache.entry(self.root, self.key)


def weave(root, wanted=(), jobs=2, force=False):
    """Execute the chapters that are not in the cache; returns the names of those executed."""
    numbers = {chapter_number(want) for want in wanted}
    modules = tangle(root, max(numbers, default=None))
    work = [make_job(root, modules, k) for k, module in enumerate(modules)
            if not wanted or module.chapter.number in numbers]
    stale = [job for job in work if force or not job.entry.is_dir()]
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:  # what zmq wants
        runner.run(execute_all(stale, jobs))
    for job in work:
        if job not in stale:
            deliver(job)
    if not wanted:
        remove_strays(root, modules)
    return [job.chapter.name for job in stale]


def make_job(root, modules, k):
    """What it takes to weave the chapter of `modules[k]`; refuses check cells that check nothing."""
    module = modules[k]
    return Job(root, module.chapter, plan_checks(root, module.chapter, module),
               package_files(root, modules[:k]), cache.key(root, module, modules))


def chapter_number(wanted):
    """The number of a chapter asked for as `3`, `03`, `03-activations` or a path to it."""
    digits = re.match(r"\d+", Path(wanted).name)
    if not digits:
        raise Refusal("book", 0, f"expected a chapter's number or file name, got {wanted!r}")
    return int(digits[0])


async def execute_all(stale, jobs):
    """Run up to `jobs` kernels at a time; after a refusal those running finish, no other starts."""
    gate, refusals = asyncio.Semaphore(jobs), []

    async def one(job):
        async with gate:
            if refusals:
                return
            started = time.monotonic()
            try:
                await execute(job, bar)
            except Refusal as refusal:
                refusals.append(refusal)
                return
            deliver(job)
            bar.write(f"  {job.chapter.name:24} {time.monotonic() - started:5.1f} s")

    cells = sum(len(job.chapter.code) for job in stale)
    with tqdm(total=cells, unit=" cells", disable=None if stale else True) as bar:
        await asyncio.gather(*map(one, stale))
    if refusals:
        raise refusals[0]


async def execute(job, bar):
    """Execute one chapter in a fresh kernel and put it into the cache."""
    folder = job.root / "book" / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    for name in job.chapter.writes:
        (folder / name).unlink(missing_ok=True)
    notebook = blank_notebook(job.chapter)
    client = NotebookClient(notebook, timeout=TIMEOUT, kernel_manager_class=kernel.ThisPython,
                            record_timing=False, coalesce_streams=True, shutdown_kernel="immediate",
                            iopub_timeout=30, raise_on_iopub_timeout=True,
                            extra_arguments=["--IPKernelApp.log_level=ERROR"])
    with tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True) as scratch:
        library = cache.library(job.root, job.library)
        environment = kernel.environment(scratch, library, job.root, HOME)
        async with client.async_setup_kernel(env=environment, cwd=str(folder)):
            await listen(client)
            for index, cell in enumerate(job.chapter.cells):
                if cell.kind == "markdown":
                    await fill_in(client, job.chapter, cell, notebook.cells[index])
                elif cell.kind == "code":
                    await run_cell(client, job.chapter, cell, index, job.plans.get(cell))
                    bar.update()
    cache.store(job.root, job.key, {"notebook.ipynb": dump(notebook), **written(job.chapter, folder)})


def written(chapter, folder):
    """The files the chapter says it writes, as {name: bytes}."""
    for name in chapter.writes:
        if not (folder / name).exists():
            raise Refusal(chapter.place, 1, f"its front matter says it writes {name}, it did not")
    return {name: (folder / name).read_bytes() for name in chapter.writes}


async def listen(client):
    """Wait until the kernel's output reaches us; the first cell's could be lost before."""
    for _ in range(60):
        request = client.kc.kernel_info()
        try:
            while (await client.kc.get_iopub_msg(timeout=0.5))["parent_header"].get("msg_id") != request:
                pass
            return
        except Empty:
            pass


async def run_cell(client, chapter, cell, index, plan):
    """Execute one code cell; a check cell runs with the reference's names swapped in."""
    if plan:
        await swap(client, chapter, cell, plan)
    try:
        await client.async_execute_cell(client.nb.cells[index], index)
    except CellExecutionError as error:
        message = f"{error.ename}: {error.evalue}".split("\n")[0]
        raise chapter.refuse(cell, None, message) from None
    except (TimeoutError, RuntimeError) as error:  # too slow, or the kernel died
        raise chapter.refuse(cell, None, str(error).split("\n")[0]) from None
    if plan:
        await ask(client, f"{STANDIN}.leave(get_ipython().user_ns)")
    clean_outputs(chapter, cell, client.nb.cells[index])


async def swap(client, chapter, cell, plan):
    """Let the reference stand in; refuse when nnlib would still be behind what is shown."""
    try:
        problem = await ask(client, f"{STANDIN}.enter(get_ipython().user_ns, *{plan!r})")
    except ValueError as error:
        raise chapter.refuse(cell, None, f"the reference cannot stand in: {error}") from None
    if ast.literal_eval(problem):
        raise chapter.refuse(cell, None, ast.literal_eval(problem))


async def fill_in(client, chapter, cell, target):
    """Put the values of inline expressions into a Markdown cell."""
    values = []
    for expression, line in expressions(cell.source):
        code = f"__import__('course.notebook', fromlist=['_']).Inline({expression})"
        try:
            values.append(await ask(client, code))
        except ValueError as error:
            raise chapter.refuse(cell, line, f"{{eval}}`{expression}`: {error}") from None
    target.source = substitute(cell.source, values)


async def ask(client, expression):
    """The repr of an expression in the kernel; leaves no trace in it."""
    reply = await client.kc.execute("", silent=True, user_expressions={"it": expression}, reply=True)
    answer = reply["content"]["user_expressions"]["it"]
    if answer["status"] == "error":
        raise ValueError(f"{answer['ename']}: {answer['evalue']}")
    return answer["data"]["text/plain"]


def deliver(job):
    """Copy an executed chapter, and what it wrote, from the cache to where readers look."""
    places = {"notebook.ipynb": job.root / "book" / "notebooks" / f"{job.chapter.name}.ipynb"}
    places |= {name: job.root / name for name in job.chapter.writes}
    for name, place in places.items():
        data = (job.entry / name).read_bytes()
        if read(place) != data:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(place, data)


def remove_strays(root, modules):
    """Notebooks whose chapter is gone go too."""
    names = {module.chapter.name for module in modules}
    for path in (root / "book" / "notebooks").glob("*.ipynb"):
        if path.stem not in names:
            path.unlink()

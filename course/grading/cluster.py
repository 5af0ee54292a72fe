"""`--engine dask`: the same work on a Dask cluster, where one machine is not enough.

Every machine of the cluster has this repository (the same container image, say) and locks the
students' code in by itself. Only submissions and verdicts travel.
"""

import threading
from functools import lru_cache

from course.errors import Refusal
from course.grading.bench import Workshop, nothing_to_run, row
from course.grading.submissions import Unreadable

CHUNK = 20  # submissions of one exercise that are sent together
benches = {}  # of this process: {thread: (workshop, bench, trials)}


def spread(workshop, items, options, record, say):
    """Send the items out in chunks, and write down the rows as they come back."""
    try:
        from dask.distributed import Client, LocalCluster, as_completed
    except ImportError:
        raise Refusal("--engine dask", 0, "needs the package distributed: pip install distributed") from None
    if not items:
        return
    cluster = None if options.scheduler else LocalCluster(n_workers=options.jobs, threads_per_worker=1,
                                                          dashboard_address=None)
    with Client(options.scheduler or cluster) as client:
        say(f"dask: {client.scheduler.address}")
        futures = {client.submit(grade_chunk, order(options), *chunk, pure=False, retries=2)
                   for chunk in chunks(items)}
        for future, rows in as_completed(futures, with_results=True):
            for found in rows:
                record.add(found)
            future.release()
        client.run(pack_up)
    if cluster:
        cluster.close()


def order(options):
    """What a machine must know to draw the same cases and keep the same limits."""
    return {"chapter": options.chapter, "secret": options.secret, "trust": options.trust,
            "limits": options.limits, "mistakes": options.mistakes}


def chunks(items):
    """(exercise, [plain descriptions]) with at most `CHUNK` of them."""
    by_exercise = {}
    for item in items:
        unreadable = isinstance(item.problem, Unreadable)
        plain = (item.student, item.file, item.job, str(item.problem or ""), unreadable, item.key)
        by_exercise.setdefault(item.assignment.name, []).append(plain)
    for name, found in by_exercise.items():
        for start in range(0, len(found), CHUNK):
            yield name, found[start:start + CHUNK]


def grade_chunk(wanted, name, descriptions):
    """On a machine of the cluster: the rows of a chunk."""
    bench, trials = bench_of(wanted)
    assignment = all_assignments(wanted["chapter"], wanted["secret"])[name]
    rows = []
    for student, file, job, problem, unreadable, key in descriptions:
        if job is None:
            graded = nothing_to_run(assignment, Unreadable(problem) if unreadable else problem)
        else:
            graded = bench.grade(assignment, job, trials.of(assignment, bench))
        rows.append(row(assignment, student, file, key, graded))
    return rows


@lru_cache(1)
def all_assignments(chapter, secret):
    """The exercises, read from this machine's copy of the repository."""
    from course.environment import ROOT
    from course.grading.plan import assignments

    return {a.name: a for a in assignments(ROOT, secret, chapter)}


def bench_of(wanted):
    """This thread's bench and trials; its user number differs from those of other threads here."""
    from course.grading.grade import Trials

    thread = threading.get_native_id()
    if thread not in benches:
        workshop = Workshop(wanted["limits"], wanted["trust"])
        benches[thread] = workshop, workshop.bench(100 + thread % 4000), Trials(wanted["mistakes"])
    return benches[thread][1:]


def pack_up():
    """On a machine of the cluster, at the end: no server and no file is left."""
    while benches:
        _, (workshop, bench, _) = benches.popitem()
        bench.close()
        workshop.close()

"""What `python -m course grade` does with its options."""

import sys
import time
from collections import Counter
from pathlib import Path

from course.errors import Refusal
from course.grading.autograder import pack
from course.grading.grade import Options, grade
from course.grading.levels import Limits, Unprotected
from course.grading.pool import Trouble


def run(root, submissions, autograder, seconds, memory, settings):
    """Grade a folder, or write Gradescope's archive; problems are one message and exit code 1."""
    if autograder is not None:
        if settings["chapter"] is None:
            raise Refusal("--autograder", 0, "say for which chapter: --chapter NN")
        count = pack(root, autograder, settings["chapter"], settings["secret"])
        print(f"{autograder}: {count} files, the answers among them; upload it to Gradescope, show it to nobody")
        return
    if submissions is None or not submissions.is_dir():
        raise Refusal(str(submissions or "grade"), 0, "expected a folder with a folder for each student in it")
    out = settings.pop("out") or submissions.resolve().with_name(f"{submissions.resolve().name}-graded")
    if Path(out).resolve().is_relative_to(submissions.resolve()):
        raise Refusal(str(out), 0, "results must not stand among the submissions")
    options = Options(submissions, Path(out), limits=Limits(seconds=seconds, cpu=int(3 * seconds) + 1, memory=memory),
                      **settings)
    started = time.monotonic()
    try:
        rows = grade(root, options)
    except (Unprotected, Trouble) as reason:
        sys.exit(str(reason))
    except KeyboardInterrupt:
        sys.exit("stopped; the next run goes on from here")
    counts = ", ".join(f"{n} {status}" for status, n in Counter(r["status"] for r in rows).most_common())
    print(f"{counts} in {time.monotonic() - started:.0f} s: {Path(out) / 'index.html'}")

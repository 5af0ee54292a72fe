"""The appendix with worked answers to the questions, and the list of exercises for instructors."""

from course.classroom.sheets import load
from course.tangle import read, write_atomically

PLACE = "book/appendix-answers.md"
HEAD = """(appendix-answers)=
# Answers to the questions to think about

<!-- Made from exercises/ by `python -m course answers`; change it there. -->

The students' edition of this book does not have these pages.
"""


def write(root):
    """Write the appendix if it changed; returns a line to print."""
    text = appendix(load(root)).encode()
    if read(root / PLACE) == text:
        return f"{PLACE} is up to date"
    write_atomically(root / PLACE, text)
    return f"wrote {PLACE}"


def drift(root):
    """Lines of text about what differs between the committed appendix and the declarations."""
    if (root / "exercises").is_dir() and read(root / PLACE) != appendix(load(root)).encode():
        yield f"{PLACE}:1: differs from exercises/; run `python -m course answers`"


def appendix(sheets):
    """The appendix's Markdown."""
    parts = [HEAD]
    for sheet in sheets:
        if sheet.questions:
            parts.append(f"## {sheet.chapter.title}\n")
            parts += [f"**{k}.** {q.text.strip()}\n\n*Answer.* {q.answer.strip()}\n"
                      for k, q in enumerate(sheet.questions, 1)]
    return "\n".join(parts)


def listing(sheets):
    """The instructor's table of all graded exercises, in Markdown."""
    rows = ["| chapter | exercise | kind | difficulty | minutes | points | cases (hidden) | mutants |",
            "|---|---|---|---|---|---|---|---|"]
    for sheet in sheets:
        for task in sheet.tasks:
            e = task.exercise
            rows.append(f"| {sheet.chapter.title} | `{e.name}` | {e.kind} | {e.stars} | {e.minutes} | {e.points} | "
                        f"{len(e.cases)} ({len(e.hidden)}) | {len(e.mutants)} |")
    return "\n".join(rows) + "\n"

"""The appendix with worked answers to the questions, and the list of exercises for instructors."""

from course.classroom.sheets import load
from course.tangle import read, write_atomically

ANSWERS, EXERCISES = "book/appendix-answers.md", "book/appendix-exercises.md"
HEAD = """---
myst:
  html_meta:
    description: Worked answers to the questions that no program can mark, chapter by chapter.
---

(appendix-answers)=
# Answers to the questions to think about

<!-- Made from exercises/ by `python -m course answers`; change it there. -->

The students' edition of this book does not have these pages.
"""
LISTING = """---
myst:
  html_meta:
    description: Every graded exercise of the book, with its kind, difficulty, time, points and cases.
---

(appendix-exercises)=
# The graded exercises

<!-- Made from exercises/ by `python -m course answers`; change it there. -->

*Build* exercises are the chapter's own definitions with their bodies taken out; *further* ones are new. Stars are for difficulty, from one to four. A mutant is a known wrong answer that a case rejects.

"""


def pages(root):
    """The generated appendices: place to bytes."""
    sheets = load(root)
    return {ANSWERS: appendix(sheets).encode(), EXERCISES: (LISTING + listing(sheets)).encode()}


def write(root):
    """Write the appendices that changed; returns a line to print."""
    made = pages(root)
    changed = [place for place, text in made.items() if read(root / place) != text]
    for place in changed:
        write_atomically(root / place, made[place])
    return f"wrote {', '.join(changed)}" if changed else "the appendices are up to date"


def drift(root):
    """Lines of text about what differs between the committed appendices and the declarations."""
    if (root / "exercises").is_dir():
        for place, text in pages(root).items():
            if read(root / place) != text:
                yield f"{place}:1: differs from exercises/; run `python -m course answers`"


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

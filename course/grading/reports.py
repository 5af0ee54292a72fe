"""What comes out of grading: tables, a page for each student, files for Gradescope and Canvas, a map of mistakes.

Everything a student wrote is untrusted text here: the templates escape it, and tables get no formulas.
"""

import csv
import io
import json
from itertools import groupby
from pathlib import Path

import markupsafe

from course.classroom import render
from course.classroom.exercise import case_seed
from course.grading.bench import verdict_of
from course.tangle import write_atomically

TEMPLATES = Path(__file__).parent / "templates"
PAPER = "#fcfbf8"  # of the pages, in light
ODD = ("unreadable", "crashed", "out-of-memory", "timeout")


def write_all(out, rows, assignments, protection, options):
    """Write every report into the folder `out`."""
    known = {a.name: a for a in assignments}
    students = {name: list(group) for name, group in groupby(
        sorted(rows, key=lambda r: r["student"]), key=lambda r: r["student"])}
    order = list(known)
    for found in students.values():
        found.sort(key=lambda r: order.index(r["exercise"]))
    write_table(out / "grades.csv", ["student", "chapter", "exercise", "status", "points", "possible", "file", "seconds"],
                [[r["student"], r["chapter"], r["exercise"], r["status"], r["points"], r["possible"], r["file"],
                  r["seconds"]] for found in students.values() for r in found])
    write_table(out / "cases.csv", ["student", "exercise", "case", "hidden", "status", "points", "possible", "seed", "message"],
                list(each_case(students, known)))
    write_table(out / "canvas.csv", *canvas(students, assignments))
    for student, found in students.items():
        write(out / "feedback" / f"{student}.html", feedback(student, found, known))
        write(out / "gradescope" / f"{student}.json", json.dumps(gradescope(found, known), indent=1))
    mistakes = map_of_mistakes(rows, assignments) if options.mistakes else []
    write_table(out / "mistakes.csv", ["exercise", "mistake", "students", "hint"],
                [[m["exercise"], m["mistake"], m["students"], m["hint"]] for m in mistakes])
    picture = draw(out / "mistakes.png", [m for m in mistakes if m["students"]])
    page = template("index.html").render(
        lines=[line_of(*item) for item in students.items()], picture=picture, protection=protection,
        mistakes=[m for m in mistakes if m["students"]], others=[m for m in mistakes if not m["students"]])
    write(out / "index.html", page)


def write(path, text):
    """Write a text file; a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode("utf-8", "replace"))


def write_table(path, columns, rows):
    """A CSV for pandas, and for spreadsheets, which must not take a text for a formula."""
    def safe(value):
        return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *([safe(v) for v in row] for row in rows)])
    write(path, text.getvalue())


def template(name):
    """A page's template; whatever is put into it is escaped."""
    import jinja2

    pages = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True)
    pages.filters["hint"] = lambda words: markupsafe.Markup(render.marked_up(words))
    return pages.get_template(name)


def part(name, case, exercise):
    """One case on a student's page: fully where it is visible; else its name and status, with no word of its inputs."""
    shown = {"name": case["name"], "points": case["points"], "why": exercise.case(case["name"]).why}
    if case["hidden"]:
        shown["name"] += f" (hidden: {case['status']})"
    return markupsafe.Markup(render.case_html(shown, verdict_of(name, case), detail=not case["hidden"]))


def feedback(student, rows, known):
    """A student's page: visible cases fully, hidden ones by name."""
    shown = []
    for row in rows:
        exercise, alike = known[row["exercise"]].exercise, the_same(row)
        parts = [] if alike else [part(row["exercise"], case, exercise) for case in row["cases"]]
        shown.append({**row, "parts": parts, "alike": alike, "advice": advice(row, exercise)})
    chapters = [{"title": known[found[0]["exercise"]].sheet.chapter.title, "rows": found,
                 "points": total(found, "points"), "possible": total(found, "possible")}
                for found in (list(group) for _, group in groupby(shown, key=lambda r: r["chapter"]))]
    return template("feedback.html").render(student=student, chapters=chapters, points=total(rows, "points"),
                                            possible=total(rows, "possible"))


def the_same(row):
    """What is to be said once because it is true of all cases: nothing was written, or nothing could be read."""
    said = {(case["status"], case.get("message", "")) for case in row["cases"]}
    status, message = next(iter(said))
    return f"{status}: {message}" if len(said) == 1 and status in ("missing", "unreadable") else ""


def each_case(students, known):
    """The rows of `cases.csv`: every case of every student, with the seed that draws its inputs again."""
    for student, found in students.items():
        for row in found:
            assignment = known[row["exercise"]]
            for case in row["cases"]:
                declared = assignment.exercise.case(case["name"])
                yield [student, row["exercise"], case["name"], case["hidden"], case["status"],
                       case["points"] if case["status"] == "right" else 0, case["points"],
                       case_seed(assignment.exercise, declared, assignment.secret), case.get("message", "")]


def advice(row, exercise):
    """The first mistake that was recognised and the hint that explains it, or nothing."""
    known = next((m for m in exercise.mutants if m.name in row["mistakes"]), None)
    return (render.known(known.name), exercise.hints[known.hint]) if known else ()


def total(rows, name):
    """The sum of a column."""
    return sum(row[name] for row in rows)


def line_of(student, rows):
    """A student's line in the teacher's overview."""
    odd = [f"{status}: {', '.join(names)}" for status in ODD
           if (names := [r["exercise"] for r in rows if r["status"] == status])]
    return {"student": student, "page": f"{student}.html", "points": total(rows, "points"),
            "possible": total(rows, "possible"), "right": sum(r["status"] == "right" for r in rows),
            "count": len(rows), "odd": "; ".join(odd)}


def gradescope(rows, known):
    """What Gradescope reads as `results.json`."""
    tests = []
    for row in rows:
        for case in row["cases"]:
            right = case["status"] == "right"
            declared = known[row["exercise"]].exercise.case(case["name"])
            shown = {"name": case["name"], "points": case["points"], "why": declared.why}
            lines = render.explain(shown, verdict_of(row["exercise"], case)) if not (right or case["hidden"]) else []
            hidden = f" (hidden, {case['status']})" if case["hidden"] else ""
            tests.append({"name": f"{row['exercise']}: {case['name']}{hidden}", "output": "\n".join(lines),
                          "output_format": "text", "name_format": "text", "visibility": "visible",
                          "score": case["points"] if right else 0, "max_score": case["points"],
                          "status": "passed" if right else "failed"})
    return {"score": total(rows, "points"), "output_format": "text", "visibility": "visible",
            "stdout_visibility": "hidden", "tests": tests}


def canvas(students, assignments):
    """Columns and rows as Canvas imports them: a column a chapter; folders' names are the login names."""
    chapters = list(dict.fromkeys(a.sheet.chapter.name for a in assignments))
    columns = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *chapters]
    possible = [sum(a.exercise.points for a in assignments if a.sheet.chapter.name == c) for c in chapters]
    rows = [["    Points Possible", "", "", "", "", *possible]]
    for student, found in students.items():
        scores = [sum(r["points"] for r in found if r["chapter"] == c) for c in chapters]
        rows.append([student, "", "", student, "", *scores])
    return columns, rows


def map_of_mistakes(rows, assignments):
    """How many students show each known mistake, the most frequent first."""
    found = []
    for assignment in assignments:
        for mutant in assignment.exercise.mutants:
            count = sum(mutant.name in r["mistakes"] for r in rows if r["exercise"] == assignment.name)
            found.append({"exercise": assignment.name, "mistake": mutant.name, "students": count,
                          "hint": assignment.exercise.hints[mutant.hint]})
    return sorted(found, key=lambda m: -m["students"])


def draw(path, mistakes, most=25):
    """The map of mistakes as a picture; False where there is nothing to draw, or no matplotlib."""
    path.unlink(missing_ok=True)
    if not mistakes:
        return False
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    shown = mistakes[:most][::-1]
    figure = Figure(figsize=(8, 0.9 + 0.32 * len(shown)), layout="constrained", facecolor=PAPER)
    axes = figure.subplots()
    axes.set_facecolor(PAPER)
    bars = axes.barh([f"{m['exercise']}: {m['mistake']}" for m in shown], [m["students"] for m in shown], color="#0072b2")
    axes.bar_label(bars, padding=3)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    axes.set_title("Students whose answer shows a known mistake", loc="left")
    figure.savefig(path, dpi=150)
    return True

"""Feedback to read: what was expected and why, got and expected side by side, and where to go on.

Part of the student edition.
"""

import html
import re

import numpy as np

from course.classroom.codec import Opaque

ROWS, WIDTH = 12, 60
MONO = "var(--mono,var(--jp-code-font-family,monospace))"  # ours, Jupyter's, or any: columns must line up
MARKS = {"right": "✓", "missing": "·"}


def text(report, hint=None):
    """A report as plain text; `hint`: the number, from 1, of a hint to show."""
    exercise = report.exercise
    lines = [f"{exercise['name']} {exercise['stars']}   {score(report)}"]
    for case, verdict in zip(exercise["cases"], report.verdicts):
        lines.append(f"  {MARKS.get(verdict.status, '✗')} {case['name']} ({points(case['points'])})")
        if not verdict.right:
            lines += ["      " + line for line in explain(case, verdict)]
    return "\n".join([*lines, f"  {waiting(report)}", *advice(report, hint)])


def explain(case, verdict):
    """A verdict that is not right, in lines."""
    lines = prose(case, verdict)
    if verdict.status == "missing":
        return lines
    if verdict.calls:
        lines += ["What was run:", *("  " + line for line in verdict.calls)]
    for name, value in (verdict.smallest_failing_input or {}).items():
        lines += labelled(f"The smallest input that fails, {name}:", value)
    if has_numbers(verdict):
        lines += beside("got", shown(verdict.got), "expected", expected(verdict))
    return lines


def prose(case, verdict):
    """What a verdict that is not right says in words: what is wrong, why it matters, by how much."""
    lines = [f"{verdict.status}: {verdict.message}" if verdict.status != "wrong" else verdict.message]
    if verdict.status != "missing":
        lines.append(f"Why it matters: {case['why']}")
    if verdict.largest_error is not None:
        lines.append(f"Largest error: {verdict.largest_error:.3g}{at(verdict.index)}")
    return lines


def has_numbers(verdict):
    """Is there something to put side by side?"""
    return verdict.expected is not None or verdict.got is not None


def expected(verdict):
    """What was expected; an error by its name."""
    value = verdict.expected
    return value if isinstance(value, str) and value.startswith("raises ") else shown(value)


def at(index):
    """Where an error is."""
    return f" at index {index[0] if len(index) == 1 else index}" if index else ""


def labelled(label, value):
    """A value under its label."""
    return [label, *("  " + line for line in shown(value).split("\n"))]


def shown(value):
    """A value as a few lines of text."""
    if isinstance(value, Opaque):
        return f"<a {value.type}>"
    if isinstance(value, np.ndarray):
        single = value.ndim > 2 and value.shape[-1] == 1  # a batch of one: its images are drawn as images
        body = np.array2string(value[..., 0] if single else value, precision=6, suppress_small=False,
                               max_line_width=WIDTH, threshold=60, edgeitems=3)
        body = re.sub(r"\n\s*\n", "\n\n", body)
        body += f"\n{value.dtype}, shape {value.shape}" + ", drawn without the last axis" * single
    elif isinstance(value, np.generic):
        body = f"{value.item()!r}" + f"  ({value.dtype})" * (value.dtype.kind == "f" and value.dtype != float)
    elif isinstance(value, list) or isinstance(value, tuple) and any(isinstance(v, np.ndarray | np.generic | list) for v in value):
        body = "\n".join(map(shown, value))
    else:
        body = repr(value)
    lines = body.split("\n")
    return "\n".join(lines if len(lines) <= 2 * ROWS else [*lines[:ROWS], "…", *lines[-ROWS:]])


def beside(left, one, right, other):
    """Two texts next to each other, or below each other where they are wide."""
    a, b = [left, *one.split("\n")], [right, *other.split("\n")]
    width = max(map(len, a))
    if width + max(map(len, b)) > 2 * WIDTH:
        return [*a, *b]
    height = max(len(a), len(b))
    return [f"{x:{width}}   {y}".rstrip() for x, y in zip(a + [""] * (height - len(a)), b + [""] * (height - len(b)))]


def waiting(report):
    """How many hidden cases there are."""
    count = report.exercise["hidden"]
    cases = f"{count} hidden case{'s' * (count != 1)}"
    return f"{cases} ({points(report.exercise['hidden_points'])}) wait{'s' * (count == 1)} for the grader."


def score(report):
    """The points of the visible cases."""
    return f"{report.points} of {points(sum(c['points'] for c in report.exercise['cases']))} from visible cases"


def points(number):
    """A number of points, in words."""
    return f"{number} point{'s' * (number != 1)}"


def advice(report, hint=None):
    """The hint that explains a mistake we know, or how to get the next one."""
    name, hints = report.exercise["name"], report.exercise["hints"]
    if report.passed:
        return []
    if hint is None and report.hint is not None:
        said, number = [f"  {known(report.mistake)} {hints[report.hint]}"], report.hint + 1
    elif hint is None:
        return [f"  For a hint: python -m course check {name} --hint 1"]
    else:
        said, number = [f"  Hint {hint} of {len(hints)}: {hints[hint - 1]}"], hint
    return said + [f"  For the next: python -m course check {name} --hint {number + 1}"] * (number < len(hints))


def known(mistake):
    """A known mistake by its name."""
    return f"This looks like a mistake we know: {mistake}."


def marked_up(words):
    """A hint as HTML: `code` and *emphasis*, everything else escaped."""
    parts = re.split(r"`([^`]+)`", escape(words))
    return "".join(f"<code>{part}</code>" if k % 2 else re.sub(r"\*([^*\s][^*]*)\*", r"<em>\1</em>", part)
                   for k, part in enumerate(parts))


def page(report):
    """A report as HTML for a notebook: colours that read on light and dark, nothing loaded from anywhere."""
    exercise, out = report.exercise, []
    out.append(f"<strong>{escape(exercise['name'])}</strong> {exercise['stars']} &ensp; {score(report)}")
    for case, verdict in zip(exercise["cases"], report.verdicts):
        out.append(case_html(case, verdict))
    out.append(f"<div style='margin-top:.5em;opacity:.75'>{escape(waiting(report))}</div>")
    if not report.passed:
        out.append(hints_html(report))
    return f"<div style='border-left:4px solid {colour(report.passed)};padding:.3em 1em'>{''.join(out)}</div>"


def case_html(case, verdict, detail=True):
    """One case and its verdict; without `detail`, its name and status only."""
    mark = MARKS.get(verdict.status, "✗")
    head = (f"<span style='color:{colour(verdict.right)}'>{mark}</span> {escape(case['name'])} "
            f"<span style='opacity:.6'>({points(case['points'])})</span>")
    body = []
    if not verdict.right and detail:
        body = [f"<div>{marked_up(line)}</div>" for line in prose(case, verdict)]
        body += numbers_html(verdict) if verdict.status != "missing" else []
    return f"<div style='margin-top:.5em'>{head}<div style='margin-left:1.4em'>{''.join(body)}</div></div>"


def numbers_html(verdict):
    """What was run, on which input, and what came out beside what was expected, in boxes that a narrow page stacks."""
    boxes = [("what was run", "\n".join(verdict.calls))] if verdict.calls else []
    boxes += [(f"the smallest input that fails, {name}", shown(value))
              for name, value in (verdict.smallest_failing_input or {}).items()]
    yield row_html(boxes)
    if has_numbers(verdict):
        yield row_html([("got", shown(verdict.got)), ("expected", expected(verdict))])


def row_html(boxes):
    """Labelled texts next to each other, or below each other where there is no room."""
    inner = "".join(f"<div style='min-width:0'><span style='opacity:.75'>{escape(label)}</span>"
                    f"<pre style='margin:0;overflow-x:auto;font-family:{MONO}'>{escape(words)}</pre></div>" for label, words in boxes)
    return f"<div style='display:flex;flex-wrap:wrap;gap:.3em 2.5em;margin:.4em 0'>{inner}</div>" if inner else ""


def hints_html(report):
    """The hints, folded into each other; the one that explains a mistake we know stands open."""
    hints, nested = [marked_up(h) for h in report.exercise["hints"]], ""
    for number in range(len(hints), 0, -1):
        nested = (f"<details style='margin:.3em 0'><summary>Hint {number} of {len(hints)}</summary>"
                  f"<div style='margin-left:1.4em'>{hints[number - 1]}{nested}</div></details>")
    told = "" if report.hint is None else f"<div>{escape(known(report.mistake))} {hints[report.hint]}</div>"
    return f"<div style='margin-top:.5em'>{told}{nested}</div>"


def colour(right):
    """Green or red, readable on white and on black."""
    return "#1a9c6b" if right else "#d55e00"


def escape(words):
    """Text for HTML."""
    return html.escape(str(words))

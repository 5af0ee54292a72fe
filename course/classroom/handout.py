"""A chapter's notebook for students, and the same for nbgrader with its solutions marked."""

import ast

import nbformat

from course.classroom.plain import BIBLIOGRAPHY, labels
from course.classroom.render import points
from course.inline import matches, pattern
from course.outputs import blank_notebook

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
MOVED = {'"../results': '"results', '"../../nnlib/pretrained': '"nnlib/pretrained'}  # an edition has its notebooks on top
SCHEMA = {"schema_version": 3, "task": False}
START = "from course.classroom.check import begin\n\ncheck = begin({!r})"


def handout(root, chapter, sheet=None, solved=False):
    """The notebook of a chapter: bodies taken out, checks put in, no outputs.

    With `solved`, solutions stand between nbgrader's marks instead.
    """
    notebook = blank_notebook(chapter)
    fill_numbers(root, notebook, chapter)
    find_files(notebook)
    tasks = {task.cell: task for task in sheet.tasks if task.cell is not None} if sheet else {}
    cells = []
    for cell, made in zip(chapter.cells, notebook.cells):
        task = tasks.get(cell)
        if task:
            cells += exercise_cells(task, made, solved)
        else:
            if cell.kind == "code":
                made.metadata["nnlib"] = {"given": True}
            cells.append(made)
    first = next((k for k, c in enumerate(cells) if c.cell_type == "code"), len(cells))
    cells.insert(first, code("start", START.format(f"{chapter.name}.ipynb"), {"nnlib": {"given": True}}))
    if sheet:
        cells += last_section(sheet, solved)
    notebook.cells = list(for_jupyter(cells, labels(root)))
    return notebook


def for_jupyter(cells, book):
    """The cells as Jupyter can show them: plain Markdown, captions below figures, folded cells folded."""
    sources = book.bibliography([c.source for c in cells if c.cell_type == "markdown"])
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = book.notebook(cell.source).replace(BIBLIOGRAPHY, sources).strip("\n")
        if cell.cell_type == "markdown" and not cell.source:
            continue
        if "hide-input" in cell.metadata.get("tags", []):
            cell.metadata["jupyter"] = {"source_hidden": True}
        yield cell
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if "caption" in figure:
            number = book.numbers.get(figure.get("name"), "")
            yield markdown(f"caption-{cell.id}", f"**Figure {number}.** {book.notebook(figure['caption']).strip()}")


def fill_numbers(root, notebook, chapter):
    """Take the text with its inline numbers from the executed chapter, cell by cell, where it says the same."""
    path = root / "book" / "notebooks" / f"{chapter.name}.ipynb"
    woven = nbformat.read(path, as_version=4).cells if path.exists() else []
    done = [cell.source for cell in woven if cell.cell_type == "markdown"]
    for made in notebook.cells:
        if made.cell_type == "markdown" and matches(made.source):
            filled = pattern(made.source)
            made.source = next((text for text in done if filled.fullmatch(text)), made.source)


def find_files(notebook):
    """Let the code read the book's tables and trained networks from where they are in an edition."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for there, here in MOVED.items():
                cell.source = cell.source.replace(there, here)


def exercise_cells(task, made, solved):
    """What stands in for an exercise's cell: a line about it, the cell to write in, its check."""
    exercise = task.exercise
    made.source = marked(task) if solved else task.stub
    made.metadata["nnlib"] = {"exercise": task.name}
    made.metadata["nbgrader"] = {**SCHEMA, "grade": False, "solution": True, "locked": False,
                                 "grade_id": task.name, "cell_type": "code"}
    about = (f"**Exercise `{task.name}`** {exercise.stars}, about {exercise.minutes} minutes, "
             f"{points(exercise.points)}. Write `{exercise.target}`.")
    test = {"nnlib": {"check": task.name},
            "nbgrader": {**SCHEMA, "grade": True, "solution": False, "locked": True, "cell_type": "code",
                         "points": exercise.points, "grade_id": f"{task.name}-check"}}
    return [markdown(f"about-{task.name}", about), made, code(f"check-{task.name}", f'check("{task.name}")', test)]


def last_section(sheet, solved):
    """The list of the chapter's graded exercises, and the further ones."""
    rows = "\n".join(f"| `{t.name}` | {t.exercise.stars} | {t.exercise.minutes} | {t.exercise.points} | "
                     f"{'above' if t.cell is not None else 'below'} |" for t in sheet.tasks)
    cells = [markdown("graded-exercises", "## Graded exercises\n\n| exercise | difficulty | minutes | points | "
                      f"where |\n|---|---|---|---|---|\n{rows}")]
    for task in (t for t in sheet.tasks if t.cell is None):
        cells.append(markdown(f"text-{task.name}", f"### {task.exercise.target}\n\n{task.exercise.text.strip()}"))
        cells += exercise_cells(task, code(f"exercise-{task.name}", task.stub, {}), solved)
    for k, question in enumerate(sheet.questions, 1):
        title = "### To think about\n\n" if k == 1 else ""
        cells.append(markdown(f"question-{k}", f"{title}{k}. {question.text}"))
    return cells


def marked(task):
    """The student's cell with the solution in it, between nbgrader's marks, wherever the stub has nothing."""
    lines, solution = task.stub.split("\n"), task.solution.split("\n")
    stubs, solved = places(task.stub), places(task.solution)
    for name, node in sorted(stubs.items(), key=lambda item: -item[1].lineno):
        if not isinstance(node.body[-1], ast.Raise) or isinstance(node, ast.ClassDef):
            continue
        owner = name if name in solved else name.split(".")[0]  # a class that had no method to take out
        start = node.body[-1].lineno - 1 if owner == name else node.lineno - 1
        answer = solved[owner]
        body = solution[after_docstring(answer):answer.end_lineno]
        indent = " " * (len(lines[start]) - len(lines[start].lstrip()))
        lines[start:node.end_lineno] = [indent + BEGIN, *body, indent + END]
    extra = [ast.get_source_segment(task.solution, n) for n in ast.parse(task.solution).body
             if getattr(n, "name", None) not in stubs and task.exercise.kind == "further"]
    return "\n".join([BEGIN, *extra, END, "", *lines] if extra else lines)


def places(source):
    """The functions, classes and methods of a source, by name: {"Dense.forward": node}."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
            if isinstance(node, ast.ClassDef):
                found |= {f"{node.name}.{n.name}": n for n in node.body if isinstance(n, ast.FunctionDef)}
    return found


def after_docstring(node):
    """The line, counted from 0, on which a definition's body begins, its docstring left out."""
    if ast.get_docstring(node) is not None:
        return node.body[0].end_lineno
    return node.body[0].lineno - 1


def markdown(name, source):
    """A Markdown cell with an id made from its name."""
    return nbformat.v4.new_markdown_cell(source, id=identifier(name))


def code(name, source, metadata):
    """A code cell with an id made from its name."""
    return nbformat.v4.new_code_cell(source, id=identifier(name), metadata=metadata)


def identifier(name):
    """A cell's id: at most 64 letters."""
    return name.replace("_", "-")[:64]

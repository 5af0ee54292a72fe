"""Sheets: a chapter's exercises, put together with the chapter they belong to.

`load(root)` reads `exercises/<module>.py` for every chapter that has one, and finds where in the
chapter each exercise stands: its cell, the source of its solution, the stub students get, and the
code that stands before it.
"""

import ast
import importlib.util
import re
import textwrap
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count

from course.chapter import parse_file
from course.classroom.codec import Name, Ref
from course.classroom.exercise import Exercise, case_seed
from course.classroom.plain import labels
from course.classroom.script import Script, run
from course.errors import Refusal
from course.tangle import package_files, tangle


@dataclass(frozen=True, eq=False)
class Sheet:
    """The exercises of one chapter; `modules` are tangle's, this chapter's the last of them."""

    root: object
    modules: tuple
    tasks: tuple
    questions: tuple

    @property
    def module(self):
        return self.modules[-1]

    @property
    def chapter(self):
        return self.module.chapter

    @property
    def upstream(self):
        """The files of nnlib as it stood before this chapter: {name: text}."""
        return package_files(self.root, list(self.modules[:-1]))


@dataclass(frozen=True, eq=False)
class Task:
    """One exercise in its chapter.

    cell : the chapter's cell it stands in, None for a further one
    solution, stub : what stands in the student's cell, solved and not
    """

    exercise: Exercise
    module: object
    cell: object
    solution: str
    stub: str

    @property
    def name(self):
        return self.exercise.name

    @cached_property
    def before(self):
        """The chapter's own code that an answer may use: a list of sources, imports first."""
        imports = [ast.unparse(node) for node in ast.parse(self.module.text).body
                   if isinstance(node, ast.Import | ast.ImportFrom)]
        cells = []
        for definition in self.module.definitions:
            if definition.cell is self.cell:
                break
            cells.append(definition.text)
        return ["\n".join(imports), *cells]

    def mutated(self, mutant):
        """The source of the student's cell with a mistake in it; a Refusal where it cannot be put in."""
        try:
            return mutant.apply(self.solution)
        except ValueError as error:
            root = self.module.chapter.path.parents[1]
            raise refuse(root / "exercises" / f"{self.module.name}.py", self.name, f"{self.name}: {error}") from None

    def expected(self, script):
        """The outcome that is right: the script run on the reference."""
        return run(script, reference(self), package="reference")

    def scripts(self, case, secret=""):
        """The case's scripts, the smallest first and its own last, each with its seed."""
        seed = case_seed(self.exercise, case, secret)
        return [self.script(case, seed, size) for size in case.sizes]

    def script(self, case, seed, size=None):
        """A case's script, its inputs called what the functions they are given to call them."""
        return with_names(case.script(seed, size), self.parameters)

    @cached_property
    def parameters(self):
        """The parameters of every function, method and class that a script may call: {"Dense.forward": ["x"]}."""
        return parameters_of(self.module.text, self.solution)


def parameters_of(*sources):
    """The names of the positional parameters of functions, methods and classes, `self` left out."""
    found = {}
    for node in (node for source in sources for node in ast.parse(source).body):
        if isinstance(node, ast.FunctionDef):
            found[node.name] = [a.arg for a in node.args.args]
        elif isinstance(node, ast.ClassDef):
            for base in (b.id for b in node.bases if isinstance(b, ast.Name)):
                found |= {node.name + key[len(base):]: names for key, names in found.items() if key.split(".")[0] == base}
            methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
            found |= {f"{node.name}.{n.name}".removesuffix(".__init__"): [a.arg for a in n.args.args[1:]] for n in methods}
    return found


def with_names(script, parameters):
    """The script with its inputs `argument 2 of call 3` called by the parameter's name, with a number where that is taken."""
    classes = {step.name: step.path for step in script.steps if step.do == "make"}
    mentioned = [list(references([Name(step.path), *step.args, *step.kwargs.values()])) for step in script.steps]
    taken = {path.split(".")[0] for paths in mentioned for path in paths} | set(script.inputs) | {s.name for s in script.steps}
    bases, names = {}, {}
    for step, paths in zip(script.steps, mentioned):
        owner, dot, rest = step.path.partition(".")
        known = parameters.get(f"{classes.get(owner, owner)}{dot}{rest}", ())
        for name in paths:
            parts = re.fullmatch(r"(argument (\d+)|\w+(?= of call))( of call \d+)?(\[.*)?", name)
            if not parts or name not in script.inputs or (parts[2] and int(parts[2]) > len(known)):
                continue
            base = parts[1] + (parts[3] or "")
            if base not in bases:
                wanted = known[int(parts[2]) - 1] if parts[2] else parts[1]
                bases[base] = next(w for k in count(1) if (w := f"{wanted}{k}" if k > 1 else wanted) not in taken)
                taken.add(bases[base])
            names[name] = bases[base] + (parts[4] or "")
    steps = [replace(s, args=renamed(s.args, names), kwargs=renamed(s.kwargs, names)) for s in script.steps]
    return Script({names.get(name, name): value for name, value in script.inputs.items()}, steps)


def references(value):
    """The paths of all that a value refers to: inputs, results, and names of the namespace."""
    if isinstance(value, Ref | Name):
        yield value.name if isinstance(value, Ref) else value.path
    elif isinstance(value, list | tuple | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from references(part)


def renamed(value, names):
    """A value whose references go by other names."""
    if isinstance(value, Ref):
        return Ref(names.get(value.name, value.name))
    if isinstance(value, list | tuple):
        return type(value)(renamed(part, names) for part in value)
    if isinstance(value, dict):
        return {key: renamed(part, names) for key, part in value.items()}
    return value


def reference(task):
    """The names that expected outcomes are computed with."""
    try:
        module = importlib.import_module(f"reference.{task.module.name}")
    except ModuleNotFoundError:
        module = None
    names = dict(vars(module)) if module else {}
    if task.exercise.expected is not None:
        names[task.exercise.target.split(".")[0]] = task.exercise.expected  # of a method: its class
    return names


def load(root, only=None):
    """The sheets of all chapters that have exercises, in the book's order; or of chapter `only`.

    Raises
    ------
    Refusal
        If a declaration does not fit its chapter.
    """
    modules = tangle(root, only)
    owned = {f"{m.name}.py" for m in modules} | {"__init__.py"}
    for path in sorted((root / "exercises").glob("*.py")):
        if path.name not in owned and only is None:
            raise Refusal(f"exercises/{path.name}", 1, "no chapter owns a module of this name")
    sheets, names = [], {}
    for k, module in enumerate(modules):
        path = root / "exercises" / f"{module.name}.py"
        if path.exists() and only in (None, module.chapter.number):
            sheets.append(make_sheet(root, path, tuple(modules[:k + 1])))
            for task in sheets[-1].tasks:
                if names.setdefault(task.name, path) is not path:
                    raise refuse(path, task.name, f"exercise {task.name} is also in {names[task.name].name}")
    return sheets


def make_sheet(root, path, modules):
    """Read one file of declarations and find its exercises' places."""
    declared = read_declarations(root, path)
    tasks, book = [], labels(root)
    for exercise in getattr(declared, "EXERCISES", ()):
        try:
            hints = tuple(map(book.words, exercise.hints))
            tasks.append(make_task(path, replace(exercise, hints=hints), modules[-1]))
        except SyntaxError as error:
            raise refuse(path, exercise.name, f"{exercise.name}: not Python: {error}") from None
    names = [task.name for task in tasks]
    cells = [task.cell for task in tasks if task.cell is not None]
    for task in tasks:
        if names.count(task.name) > 1:
            raise refuse(path, task.name, f"two exercises are called {task.name}")
        if cells.count(task.cell) > 1:
            raise refuse(path, task.name, f"{task.name}: its cell belongs to another exercise too")
    return Sheet(root, modules, tuple(tasks), tuple(getattr(declared, "QUESTIONS", ())))


def read_declarations(root, path):
    """The module of declarations, loaded from its file; what it does not accept is a refusal."""
    parse_file(path, root)
    spec = importlib.util.spec_from_file_location(f"exercises_{path.stem}", path)
    declared = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(declared)
    except (TypeError, ValueError) as error:
        raise refuse(path, "", str(error)) from None
    return declared


def make_task(path, exercise, module):
    """Find an exercise's cell and make its solution and its stub."""
    if exercise.kind == "further":
        return Task(exercise, module, None, exercise.solution.strip(), stub(exercise.stub.strip(), None))
    wanted = [exercise.target, *exercise.also]
    found = {d.name: d for d in module.definitions}
    for name in wanted:
        if name.split(".")[0] not in found:
            raise refuse(path, exercise.name, f"{exercise.name}: {module.chapter.place} does not export {name}")
    cell = found[exercise.target.split(".")[0]].cell
    if any(found[name.split(".")[0]].cell is not cell for name in wanted):
        raise refuse(path, exercise.name, f"{exercise.name}: {', '.join(wanted)} stand in different cells")
    return Task(exercise, module, cell, cell.source, exercise.stub.strip() or stub(cell.source, wanted))


def refuse(path, name, message):
    """A refusal that points at where an exercise is declared."""
    lines = path.read_text(encoding="utf-8").splitlines()
    line = next((k for k, text in enumerate(lines, 1) if name and f'"{name}"' in text), 1)
    return Refusal(f"exercises/{path.name}", line, message)


def stub(source, wanted):
    """The source with the bodies of the wanted functions, classes and methods (`Dense.forward`) taken out.

    What stays is the signature, the docstring and `raise NotImplementedError`. None: all of them.
    """
    lines, cuts = source.split("\n"), []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            whole = wanted is None or node.name in wanted
            cuts += class_cuts(node, wanted, whole) if isinstance(node, ast.ClassDef) else [node] * whole
    for node in sorted(cuts, key=lambda n: -n.lineno):
        documented = ast.get_docstring(node) is not None
        first = node.body[1] if documented and len(node.body) > 1 else None if documented else node.body[0]
        indent = " " * (node.col_offset + 4)
        start = (node.body[0].end_lineno if documented else first_line(first) - 1)
        refusal = [f"{indent}raise NotImplementedError"]
        if isinstance(node, ast.ClassDef):  # it must still be possible to import the module
            refusal = ["", f"{indent}def __init__(self, *args, **kwargs):", f"{indent}    raise NotImplementedError"]
        lines[start:node.end_lineno] = refusal
    return "\n".join(lines)


def class_cuts(node, wanted, whole):
    """The methods of a class to take out; the class's own attributes stay."""
    methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
    cuts = [m for m in methods if whole or f"{node.name}.{m.name}" in (wanted or ())]
    if whole and not methods:
        cuts.append(node)
    return cuts


def first_line(node):
    """Where a statement begins, decorators included."""
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])


def solution_lines(source):
    """The lines of a source that say how it is done: no docstrings, comments, signatures or imports."""
    tree, skip = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            skip.update(range(first_line(node), node.body[0].lineno))
            if ast.get_docstring(node) is not None:
                skip.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            skip.update(range(node.lineno, node.end_lineno + 1))
    lines = textwrap.dedent(source).split("\n")
    return [line.strip() for k, line in enumerate(lines, 1)
            if k not in skip and line.strip() and not line.strip().startswith("#")]

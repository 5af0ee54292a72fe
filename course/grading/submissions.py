"""Find and read what students handed in. Only JSON is parsed here; their code stays text.

Accepted: SUBMISSIONS/<student>/**/NN-slug.ipynb, SUBMISSIONS/<student>_NN-slug.ipynb and
SUBMISSIONS/<student>.zip with notebooks in it.
"""

import json
import re
import stat
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

SIZE = 8 * 2**20  # bytes of a notebook
CELLS = 2000
ANY = "*"  # in the place of a chapter: what stands for every chapter that is not there
NOTEBOOK = re.compile(r"(?:(?P<student>.+)_)?(?P<chapter>\d\d-[a-z0-9-]+?)(?:-\d+| ?\(\d+\)|-copy\d*)?\.ipynb",
                      re.IGNORECASE)  # the end is what browsers and Canvas add to the second file of a name
UNSAFE = re.compile(r"[^\w .@+-]")


class Unreadable(ValueError):
    """A notebook, or an exercise in it, that cannot be read; the message says why."""


@dataclass(frozen=True)
class Notebook:
    """One chapter of one student.

    cells : what the code cells say: {"source": text, "metadata": {"tags": [...], "nnlib": {...}}}
    problem : why the file cannot be read, or ""
    """

    student: str
    chapter: str
    file: str
    cells: tuple = field(default=(), repr=False)
    problem: str = ""

    def place(self, exercise):
        """The number of the exercise's cell; None where there is none.

        Raises
        ------
        Unreadable
            If the file cannot be read, or two cells claim to be this exercise.
        """
        if self.problem:
            raise Unreadable(self.problem)
        places = [k for k, cell in enumerate(self.cells) if cell["metadata"]["nnlib"].get("exercise") == exercise]
        if len(places) > 1:
            raise Unreadable(f"{len(places)} cells are marked as exercise {exercise}; expected one")
        return places[0] if places else None


def collect(folder):
    """All students' notebooks: {student: {chapter: Notebook}}, names sorted; students without any too."""
    found = {}
    for entry in sorted(Path(folder).iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            add(found, entry.name, files_below(entry))
        elif entry.suffix.lower() == ".zip":
            add(found, entry.stem, files_in_zip(entry))
        elif (match := NOTEBOOK.fullmatch(entry.name)) and match["student"]:
            add(found, match["student"], [(entry.name, match["chapter"].lower(), lambda e=entry: read_bytes(e))])
    return found


def add(found, student, files):
    """Read a student's files; two of one chapter are refused, not chosen between."""
    student = UNSAFE.sub("_", student).lstrip("=+-@. ")[:100] or "unnamed"
    chapters = found.setdefault(student, {})
    for name, chapter, load in files:
        if chapter in chapters:
            both = f"{chapters[chapter].file} and {name}"
            chapters[chapter] = Notebook(student, chapter, name, problem=f"two files for one chapter: {both}")
        else:
            chapters[chapter] = read(student, chapter, name, load)


def files_below(folder):
    """(name, chapter, loader) of the notebooks in a student's folder; links are not followed."""
    for path in sorted(folder.rglob("*.ipynb")):
        match = NOTEBOOK.fullmatch(path.name)
        if match and ".ipynb_checkpoints" not in path.parts:
            yield path.relative_to(folder).as_posix(), match["chapter"].lower(), lambda p=path: read_bytes(p)


def read_bytes(path):
    """A file's bytes; only of a plain file, and not more than allowed."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable("not a plain file (a link is not followed)")
    check_size(found.st_size)
    with open(path, "rb") as file:
        return file.read(SIZE + 1)


def files_in_zip(path):
    """(name, chapter, loader) of the notebooks in an archive; nothing is unpacked to disk."""
    def damaged():
        raise Unreadable("the archive cannot be opened")

    try:
        archive = zipfile.ZipFile(path)
        members = archive.infolist()[:10_000]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        yield path.name, ANY, damaged
        return
    for member in members:
        match = NOTEBOOK.fullmatch(Path(member.filename).name)
        if match and not {"__MACOSX", ".ipynb_checkpoints"} & set(Path(member.filename).parts):
            yield member.filename[-200:], match["chapter"].lower(), lambda m=member: read_member(archive, m)


def read_member(archive, member):
    """One file of an archive, whatever size it claims to have."""
    check_size(member.file_size)
    try:
        with archive.open(member) as file:
            return file.read(SIZE + 1)
    except Exception as error:  # zlib, lzma and zipfile raise many kinds
        raise Unreadable(f"the archive is damaged: {type(error).__name__}") from None


def check_size(size):
    """Refuse what is larger than any notebook of the course."""
    if size > SIZE:
        raise Unreadable(f"the file has {size / 2**20:.1f} MB; at most {SIZE // 2**20} MB are read")


def read(student, chapter, name, load):
    """A notebook; one that cannot be read says why."""
    try:
        return Notebook(student, chapter, name, tuple(cells_of(parse(load()))))
    except (Unreadable, OSError) as error:
        return Notebook(student, chapter, name, problem=str(error)[:300])


def parse(data):
    """The JSON of a notebook, as strictly as its format is meant."""
    check_size(len(data))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"not UTF-8: byte {error.start}") from None
    try:
        return json.loads(text, parse_constant=refuse_constant, object_pairs_hook=unique)
    except RecursionError:
        raise Unreadable("not a notebook: nested too deeply") from None
    except ValueError as error:
        raise Unreadable(f"not JSON: {str(error)[:150]}") from None


def refuse_constant(word):
    """JSON has no NaN or Infinity."""
    raise ValueError(f"{word} is not JSON")


def unique(pairs):
    """A dict; a name given twice is refused, for two readers would see different notebooks."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is given twice in one object")
    return found


def cells_of(notebook):
    """The code cells, reduced to what grading looks at."""
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or notebook.get("nbformat") != 4:
        raise Unreadable("not a notebook of format 4: expected nbformat 4 and a list of cells")
    if len(cells) > CELLS:
        raise Unreadable(f"{len(cells)} cells; at most {CELLS} are read")
    for number, cell in enumerate(cells, 1):
        if not isinstance(cell, dict):
            raise Unreadable(f"cell {number} is not an object")
        if cell.get("cell_type") == "code":
            yield {"source": source_of(cell.get("source"), number), "metadata": marks(cell.get("metadata"))}


def source_of(source, number):
    """A cell's text: a text or a list of texts."""
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise Unreadable(f"cell {number}: its source is neither text nor a list of lines")
    return source.encode("utf-8", "replace").decode()  # half a surrogate pair is no text


def marks(metadata):
    """What a cell is: the course's own mark, or nbgrader's where ours was lost."""
    metadata = metadata if isinstance(metadata, dict) else {}
    tags = metadata.get("tags")
    found = {"tags": ["export"] if isinstance(tags, list) and "export" in tags else [], "nnlib": {}}
    ours, theirs = metadata.get("nnlib"), metadata.get("nbgrader")
    if isinstance(ours, dict) and ours:
        exercise = ours.get("exercise")
        found["nnlib"] = {"exercise": exercise} if isinstance(exercise, str) else {"given": True}
    elif isinstance(theirs, dict) and isinstance(theirs.get("grade_id"), str):
        found["nnlib"] = {"exercise": theirs["grade_id"]} if theirs.get("solution") else {"given": True}
    return found

"""Find and read what students handed in. Only JSON is parsed here; their code stays text.

Accepted: SUBMISSIONS/<student>/**/NN-slug.ipynb, SUBMISSIONS/<student>_NN-slug.ipynb and
SUBMISSIONS/<student>.zip with notebooks in it.
"""

import hashlib
import json
import os
import re
import stat
import unicodedata
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

SIZE = 8 * 2**20  # bytes of a notebook
ARCHIVE = 100 * 2**20  # bytes of an archive
CELLS = 2000
CODE = 500_000  # characters in all code cells of a notebook
DEPTH = 20  # folders within folders
NAME = 100  # bytes of a student's name
ANY = "*"  # in the place of a chapter: what stands for every chapter that is not there
NOTEBOOK = re.compile(r"(?:(?P<student>.+)_)?(?P<chapter>\d\d-[a-z0-9-]+?)(?:-\d+| ?\(\d+\)|-copy\d*)?\.ipynb",
                      re.IGNORECASE)  # the end is what browsers and Canvas add to the second file of a name


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


def collect(folder, wanted):
    """All students' notebooks of the chapters `wanted`: {student: {chapter: Notebook}}; students without any too.

    Other files are not read: nobody knows how many there are.
    """
    handed_in = {}
    for entry in sorted(Path(folder).iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            student, files = entry.name, files_below(entry)
        elif entry.suffix.lower() == ".zip":
            student, files = entry.stem, files_in_zip(entry)
        elif (match := NOTEBOOK.fullmatch(entry.name)) and match["student"]:
            student, files = match["student"], [(entry.name, chapter_of(match), lambda e=entry: read_bytes(e))]
        else:
            continue
        handed_in.setdefault(unicodedata.normalize("NFC", student), []).append(files)
    found, taken = {}, set()
    for student, groups in handed_in.items():
        name = safe_name(student, taken)
        taken.add(name.casefold())
        found[name] = read_all(name, (file for files in groups for file in files), wanted)
    return found


def safe_name(student, taken):
    """A student's name as files and tables can have it; two students never get the same."""
    kept = "".join(c if c in " .@+-_" or unicodedata.category(c)[0] in "LMN" else "_" for c in student)
    kept = kept.lstrip("=+-@. ").encode()[:NAME].decode(errors="ignore") or "unnamed"
    if kept.casefold() in taken:
        kept += "-" + hashlib.sha256(student.encode(errors="surrogateescape")).hexdigest()[:8]
    return kept


def read_all(student, files, wanted):
    """Read a student's files; two of one chapter are refused, not chosen between."""
    chapters = {}
    for name, chapter, load in files:
        if chapter in chapters:
            both = f"{chapters[chapter].file} and {name}"
            chapters[chapter] = Notebook(student, chapter, name, problem=f"two files for one chapter: {both}"[:300])
        elif chapter in wanted or chapter == ANY:
            chapters[chapter] = read(student, chapter, name, load)
    return chapters


def chapter_of(match):
    """The chapter that a file's name says."""
    return match["chapter"].lower()


def refusal(why):
    """A loader of what cannot be read."""
    def load():
        raise Unreadable(why)
    return load


def files_below(folder, inside="", depth=DEPTH):
    """(name, chapter, loader) of the notebooks in a student's folder; links are not followed."""
    try:
        entries = sorted(os.scandir(folder / inside), key=lambda entry: entry.name)
    except OSError as error:
        yield inside or folder.name, ANY, refusal(f"a folder cannot be read: {error.strerror}")
        return
    for entry in entries:
        if match := NOTEBOOK.fullmatch(entry.name):
            yield inside + entry.name, chapter_of(match), lambda p=Path(entry.path): read_bytes(p)
        elif depth and entry.is_dir(follow_symlinks=False) and entry.name != ".ipynb_checkpoints":
            yield from files_below(folder, f"{inside}{entry.name}/", depth - 1)


def read_bytes(path):
    """A file's bytes; only of a plain file, and not more than allowed."""
    check_plain(path)
    with open(path, "rb") as file:
        return file.read(SIZE + 1)


def files_in_zip(path):
    """(name, chapter, loader) of the notebooks in an archive; nothing is unpacked to disk."""
    try:
        check_plain(path, ARCHIVE)
        archive = zipfile.ZipFile(path)
        members = archive.infolist()[:10_000]
    except Unreadable as error:
        yield path.name, ANY, refusal(str(error))
        return
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        yield path.name, ANY, refusal("the archive cannot be opened")
        return
    for member in members:
        match = NOTEBOOK.fullmatch(Path(member.filename).name)
        if match and not {"__MACOSX", ".ipynb_checkpoints"} & set(Path(member.filename).parts):
            yield member.filename[-200:], chapter_of(match), lambda m=member: read_member(archive, m)


def read_member(archive, member):
    """One file of an archive, whatever size it claims to have."""
    check_size(member.file_size)
    try:
        with archive.open(member) as file:
            return file.read(SIZE + 1)
    except Exception as error:  # zlib, lzma and zipfile raise many kinds
        raise Unreadable(f"the archive is damaged: {type(error).__name__}") from None


def check_plain(path, most=SIZE):
    """Refuse links, folders and pipes, and what is too large."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable("not a plain file (a link is not followed)")
    check_size(found.st_size, most)


def check_size(size, most=SIZE):
    """Refuse what is larger than any notebook of the course."""
    if size > most:
        raise Unreadable(f"the file has {size / 2**20:.1f} MB; at most {most // 2**20} MB are read")


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
    size = 0
    for number, cell in enumerate(cells, 1):
        if not isinstance(cell, dict):
            raise Unreadable(f"cell {number} is not an object")
        if cell.get("cell_type") == "code":
            source = source_of(cell.get("source"), number)
            size += len(source)
            if size > CODE:
                raise Unreadable(f"more than {CODE:,} characters of code")
            yield {"source": source, "metadata": marks(cell.get("metadata"))}


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

"""MyST turned into the plain Markdown that Jupyter shows: students read the chapters there, without the site.

References become links, citations names and years, notes in the margin quotations; figures and equations
get the numbers they have on the site. Hints, which terminals show too, get words in the place of links.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from course.chapter import fenced, is_directive

ROLE = re.compile(r"(?<!`)\{(ref|numref|eq|cite|cite:t|eval)\}`([^`]+)`")
TARGET = re.compile(r"^\(([\w-]+)\)=\n+#+ +(.*)", re.MULTILINE)
LONE_TARGET = re.compile(r"^\([\w-]+\)=\n", re.MULTILINE)
EQUATION = re.compile(r"\$\$ *\(([\w-]+)\)")
FIGURE = re.compile(r"^\s+name: (fig-[\w-]+)", re.MULTILINE)
DIRECTIVE = re.compile(r"^(`{3,})\{(margin|bibliography)\}[^\n]*\n(.*?)^\1$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Labels:
    """What the book's labels stand for.

    pages : {label: (notebook it is in, or "", title)}
    numbers : {label of an equation or figure: "3.2"}
    sources : {key of a source: pybtex's entry}
    """

    pages: dict
    numbers: dict
    sources: dict

    def notebook(self, text):
        """A Markdown cell's text for Jupyter."""
        text = LONE_TARGET.sub("", text)
        text = DIRECTIVE.sub(self.directive, text)
        text = EQUATION.sub(lambda m: rf"\tag{{{self.numbers.get(m[1], '?')}}}" + "\n$$", text)
        return self.roles(text, lambda name, title, file: f"[{title}]({file})" if file else title)

    def words(self, text):
        """A hint's text: nothing in it but words, *emphasis* and `code`."""
        return self.roles(text, lambda name, title, file: title if name else f"the chapter *{title}*")

    def roles(self, text, page):
        """The text with its roles replaced; what stands in code is left alone."""
        lines = text.split("\n")
        shown = [fence is None or is_directive(fence) for _, fence in fenced(text)]
        return "\n".join(ROLE.sub(lambda m: self.role(m[1], m[2], page), line) if open_ else line
                         for line, open_ in zip(lines, shown))

    def role(self, kind, content, page):
        """What one role says."""
        if kind == "ref":
            named = re.fullmatch(r"(.*?)\s*<([\w-]+)>", content)
            file, title = self.pages.get(named[2] if named else content, ("", content.removeprefix("ch-").replace("-", " ")))
            return page(bool(named), named[1] if named else title, file)
        if kind == "eq":
            return f"({self.numbers.get(content, '?')})"
        if kind == "numref":
            return f"Figure {self.numbers.get(content, '?')}"
        if kind == "eval":  # the chapter as it is now was not executed, so nobody knows the number
            return "…"
        found = [self.cited(key.strip(), kind == "cite:t") for key in content.split(",")]
        return ", ".join(found) if kind == "cite:t" else f"[{'; '.join(found)}]"

    def cited(self, key, in_text):
        """A source as the text names it."""
        entry = self.sources.get(key)
        if entry is None:
            return key
        year = entry.fields.get("year", "n.d.")
        return f"{authors(entry, key)} [{year}]" if in_text else f"{authors(entry, key)}, {year}"

    def directive(self, match):
        """A note in the margin becomes a quotation; the place of the sources is kept for later."""
        if match[2] == "bibliography":
            return BIBLIOGRAPHY
        return "\n".join(f"> {line}".rstrip() for line in match[3].rstrip("\n").split("\n"))

    def bibliography(self, texts):
        """The list of all sources that some texts cite."""
        keys = {key.strip() for text in texts for kind, content in ROLE.findall(text)
                if kind.startswith("cite") for key in content.split(",")}
        entries = [self.sources[key] for key in keys if key in self.sources]
        if not entries:
            return ""
        from pybtex.style.formatting.plain import Style

        found = sorted(entry.text.render_as("text") for entry in Style().format_entries(entries))
        return "\n".join(f"- {line}" for line in found)


BIBLIOGRAPHY = "<!-- sources -->"


def authors(entry, key):
    """The last names of a source's authors, in short."""
    people = entry.persons.get("author") or entry.persons.get("editor") or []
    names = ["".join(str(part) for part in person.rich_last_names[-1:]) for person in people]
    if len(names) > 2:
        return f"{names[0]} et al."
    return " and ".join(names) or entry.fields.get("organization") or key


def labels(root):
    """The labels of the book as it now stands."""
    files = [*sorted((root / "book").glob("*.md")), root / "book" / "references.bib"]
    return read_labels(tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in files if path.exists()))


@lru_cache(4)
def read_labels(files):
    """Read the pages for what they label; the second and third part of `files` only tell that nothing changed."""
    pages, numbers, sources, place = {}, {}, {}, 0
    for path, _, _ in files:
        if path.suffix == ".bib":
            sources = read_sources(path)
            continue
        text, chapter = path.read_text(encoding="utf-8"), bool(re.match(r"\d\d-", path.name))
        place += chapter
        for label, title in TARGET.findall(text):
            pages[label] = f"{path.stem}.ipynb" if chapter else "", title.strip()
        for pattern in (EQUATION, FIGURE):
            numbers |= {label: f"{place}.{k}" for k, label in enumerate(pattern.findall(text), 1)}
    return Labels(pages, numbers, sources)


def read_sources(path):
    """The entries of the list of sources; none where the package that reads it is missing."""
    try:
        from pybtex.database import parse_file
    except ImportError:
        return {}
    return dict(parse_file(str(path)).entries)

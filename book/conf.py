"""Sphinx settings of the book's site; `python -m course site` builds it.

Pages: index and preface (Markdown, here) and every executed chapter in
notebooks/. The chapters' sources beside them are not pages. Nothing on a page
comes from elsewhere: MathJax, fonts and icons are files of installed packages.
"""

import re
import sys
from pathlib import Path

from docutils import nodes

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from course.site import by_part, chapters  # noqa: E402

project = "Neural networks, cell by cell"
author = "the authors of Neural networks, cell by cell"
copyright = "text CC BY 4.0, code MIT"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
]
include_patterns = ["index.md", "preface.md", "draw.md", "appendix-*.md", "notebooks/*.ipynb"]
templates_path = ["_templates"]

# text
myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
copybutton_selector = "div:not(.output) > div.highlight > pre"  # what one may run, not what came out
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

mathjax3_config = {"chtml": {"scale": 0.95}}  # MathJax's letters run a little larger than the text's

# numbers: Figure 3.2, equation (3.1), Chapter 3
numfig = True
numfig_secnum_depth = 1
numfig_format = {"figure": "Figure %s", "table": "Table %s", "code-block": "Listing %s", "section": "Chapter %s"}
math_numfig = True
math_eqref_format = "({number})"
html_secnumber_suffix = "\u2002"

# sources: every chapter lists its own, so one work may be listed more than once;
# a citation always points into its own chapter's list
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"
suppress_warnings = ["bibtex.duplicate_citation", "bibtex.duplicate_label"]

# pages
html_theme = "sphinx_book_theme"
html_title = project
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_js_files = ["book.js"]
html_show_sphinx = False
html_use_index = False
html_context = {"default_mode": "auto"}  # light or dark as the reader's system says, until the switch is used
html_sidebars = {"**": ["navbar-logo.html", "search-button-field.html", "book-nav.html"]}
html_theme_options = {
    "logo": {"text": project},
    "use_download_button": False,  # every chapter has a named one under its title
    "use_fullscreen_button": False,
    "navbar_persistent": [],
    "secondary_sidebar_items": [],  # the right margin belongs to notes; sections are listed on the left
    "footer_content_items": ["book-footer.html"],
    "pygments_light_style": "github-light-colorblind",
    "pygments_dark_style": "github-dark-colorblind",
}

CHAPTERS = chapters(HERE)
APPENDICES = [(path.stem, next(line[2:] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# ")))
              for path in sorted(HERE.glob("appendix-*.md"))]
# an inline formula and the punctuation at it, which a browser would let fall onto the next line
MATH = r'<span class="math notranslate nohighlight">[^<]*</span>'
FORMULA = re.compile(rf"[(“‘]?{MATH}[.,;:!?)’”]+|[(“‘]{MATH}")


def toctree():
    """Preface, all chapters in one numbered list, so that numbers run through the parts, and the appendices."""
    front = [name for name in ("preface", "draw") if (HERE / f"{name}.md").exists()]
    lists = [(front, ""), ([c.docname for c in CHAPTERS], ":numbered: 1\n"), ([a for a, _ in APPENDICES], "")]
    return "\n".join("```{toctree}\n:hidden:\n" + option + "\n" + "\n".join(names) + "\n```\n"
                     for names, option in lists if names)


def book_map():
    """The parts and chapters that exist, a line about each, in Markdown."""
    return "\n".join(
        f"\n{{.map-part}}\n[{roman}]{{.map-numeral}} {name}\n\n{{.map}}\n"
        + "\n".join(f"- [{c.number}]{{.map-number}} [{c.title}]({c.docname}.ipynb)\n\n  {c.description}\n" for c in own)
        for (roman, name, _), own in by_part(CHAPTERS))


def fill_cover(app, docname, source):
    """Put the picture, the map and the table of contents where index.md asks for them."""
    if docname == "index":
        picture = (HERE / "_static" / "cover.svg").read_text(encoding="utf-8").replace("\n", "")
        cover = f'<div class="cover">{picture}</div>'
        for mark, text in (("cover", cover), ("map", book_map()), ("toctree", toctree())):
            source[0] = source[0].replace(f"<!-- {mark} -->", text)


def name_folds(app, doctree):
    """Say what a folded cell hides: a figure's code, or what the chapter imports."""
    for cell in doctree.findall(nodes.container):
        if cell.get("prompt_show") == nb_code_prompt_show:
            figure = any(cell.findall(nodes.image))
            imports = re.search(r"^(import|from) ", cell.astext(), re.MULTILINE)
            what = "the code of this figure" if figure else "the imports" if imports else "the code"
            cell["prompt_show"], cell["prompt_hide"] = f"Show {what}", f"Hide {what}"


def size_figures(app, doctree):
    """Give every figure its size on paper: seven inches, 144 pixels each, fill the column of text."""
    for image in doctree.findall(nodes.image):
        file = Path(app.srcdir, image["uri"].lstrip("/"))
        if file.suffix == ".png" and "width" not in image and file.exists():
            with file.open("rb") as f:
                image["width"] = f"{int.from_bytes(f.read(20)[16:]) / 1.5:.0f}px"


def dress_page(app, pagename, templatename, context, doctree):
    """Give templates the map, and a chapter its line under the title, its <meta> and its module's name."""
    context["book_parts"], context["appendices"] = by_part(CHAPTERS), APPENDICES
    context["body"] = FORMULA.sub(r'<span class="together">\g<0></span>', context.get("body", ""))
    chapter = next((c for c in CHAPTERS if c.docname == pagename), None)
    if chapter:
        file = context["pathto"](f"_sources/{context['sourcename']}", 1)
        line = app.builder.templates.render("chapter-line.html", {"chapter": chapter, "file": file})
        context["body"] = context["body"].replace("</h1>", "</h1>" + line, 1)
        context["metatags"] += f'<meta name="description" content="{chapter.plain}">'
        if chapter.module:
            context["metatags"] += f'<style>:root{{--module:"nnlib/{chapter.module}.py"}}</style>'


def setup(app):
    app.connect("env-get-outdated", lambda *_: ["index"])  # it depends on every chapter
    app.connect("source-read", fill_cover)
    app.connect("doctree-read", name_folds)
    app.connect("doctree-read", size_figures)
    app.connect("html-page-context", dress_page)

"""The site: what a made-up book of three chapters turns into, and every page of the real one.

These tests read files. What only a browser can tell is in test_site_browser.py.
"""

import json
import re
import shutil
import time
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup

from course import cover
from course.site import ROOT, build, chapters, memory, up_to_date

# Sphinx's extensions use things that Sphinx will drop
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
BOOK = ROOT / "book"
# 240 pixels wide
PNG = "iVBORw0KGgoAAAANSUhEUgAAAPAAAAABCAAAAADF8HzyAAAADElEQVR42mNgGGEAAADxAAGiJ9tTAAAAAElFTkSuQmCC"


PYTHON = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
          "language_info": {"name": "python", "pygments_lexer": "ipython3"}}


# ---- a made-up book --------------------------------------------------------


def code(source, *tags, text=None, png=None, **metadata):
    """An executed cell."""
    outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)] if text else []
    if png:
        outputs.append(nbformat.v4.new_output("display_data", {"image/png": png, "text/plain": "<Figure>"}))
    metadata["tags"] = list(tags)
    return nbformat.v4.new_code_cell(source, metadata=metadata, outputs=outputs, execution_count=1)


def notebook(name, title, module):
    """A chapter with one of everything that chapters have; labels carry its name."""
    text = nbformat.v4.new_markdown_cell
    figure = {"figure": {"name": f"fig-{name}", "caption": "Look at *this*."}, "image": {"alt": f"alt of {name}"}}
    return nbformat.v4.new_notebook(metadata={"nnlib": module, **PYTHON}, cells=[
        text(f"(ch-{name})=\n# {title}\n\nThe first sentence of {name}, with $x$ < 1. A second one.\n\n"
             f"See {{ref}}`ch-alpha`, {{numref}}`fig-alpha` and {{eq}}`eq-alpha` {{cite}}`lecun1998`."),
        code("import numpy as np", "hide-input"),
        text(f"## A section\n\n$$\nz = W x + b\n$$ (eq-{name})\n\n```{{margin}}\nA note in the margin.\n```\n"),
        code("def f():\n    return 1", "export"),
        code("f()", "check", text="1\n"),
        code("plot();", "hide-input", png=PNG, mystnb=figure),
        text("## Sources\n\n```{bibliography}\n:filter: docname in docnames\n```"),
    ])


def made_up_book(folder, names=("01-alpha", "02-beta", "10-gamma")):
    """The real book's settings around made-up chapters."""
    shutil.copytree(BOOK, folder, ignore=shutil.ignore_patterns("notebooks", "results", "[0-9]*.md", "appendix-*.md", "__pycache__"))
    (folder / "notebooks").mkdir()
    for name in names:
        slug = name.partition("-")[2]
        nbformat.write(notebook(slug, slug.title(), slug), folder / "notebooks" / f"{name}.ipynb")
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The made-up book's site: {page: soup}, and its folder under None."""
    folder = tmp_path_factory.mktemp("small")
    output = build(quiet=True, source=made_up_book(folder / "book"), output=folder / "site")
    return {None: output, **{p.stem: soup(p) for p in html_files(output)}}


def html_files(output):
    """Every page of a site."""
    return sorted(p for p in output.rglob("*.html") if "_static" not in p.parts)


@cache
def soup(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def texts(page, selector):
    return [" ".join(e.get_text().split()) for e in page.select(selector)]


def test_chapters_come_in_the_order_of_their_files_under_their_parts(small):
    for page in ("index", "02-beta"):
        assert texts(small[page], ".book-nav .toctree-l1 > a") == ["Preface", "Draw a digit", "1Alpha", "2Beta", "3Gamma"]
        assert texts(small[page], ".book-nav .caption") == ["IA network that learns", "IISeeing"]


def test_numbers_run_through_the_parts(small):
    gamma = small["10-gamma"]
    assert texts(gamma, "h1 .section-number") == ["3"]
    assert texts(gamma, ".caption-number") == ["Figure 3.1"]
    assert [t.rstrip("#") for t in texts(gamma, ".eqno")] == ["(3.1)"]


def test_references_reach_into_other_chapters(small):
    links = {" ".join(a.get_text().split()): a["href"] for a in small["10-gamma"].select("article p a.internal")}
    assert links["Alpha"] == "01-alpha.html#ch-alpha"
    assert links["Figure 1.1"] == "01-alpha.html#fig-alpha"
    assert links["(1.1)"] == "01-alpha.html#equation-eq-alpha"


def test_every_chapter_lists_its_own_sources(small):
    for page in ("01-alpha", "02-beta", "10-gamma"):
        (cited,) = small[page].select(".bibtex-citation a")
        assert cited["href"].startswith("#") and small[page].select_one(cited["href"] + ".citation")


def test_cells_say_what_they_are_for(small):
    page = small["02-beta"]
    assert page.select(".cell.tag_export > .cell_input") and page.select(".cell.tag_check > .cell_output")
    assert '--module:"nnlib/beta.py"' in page.head.decode()
    assert texts(page, "summary .collapsed") == ["Show the imports", "Show the code of this figure"]


def test_a_figure_keeps_its_text_and_gets_its_size(small):
    image = small["02-beta"].select_one("figure img")
    assert image["alt"] == "alt of beta" and "width: 160px" in image["style"]


def test_the_executed_notebook_can_be_downloaded(small):
    link = small["02-beta"].select_one(".chapter-line a.download")
    file = small[None] / "notebooks" / link["href"]
    assert link.has_attr("download") and file.name == "02-beta.ipynb"
    assert json.loads(file.read_text(encoding="utf-8"))["metadata"]["nnlib"] == "beta"


def test_neighbours_are_named(small):
    page = small["02-beta"]
    assert texts(page, ".left-prev .prev-next-title") == ["1 Alpha"]
    assert texts(page, ".right-next .prev-next-title") == ["3 Gamma"]


def test_the_map_says_a_line_about_each_chapter(small):
    rows = texts(small["index"], ".map li")
    assert len(rows) == 3 and rows[1].startswith("2 Beta The first sentence of beta,")
    assert "A second one" not in " ".join(rows)


def test_a_description_comes_before_the_first_sentence(tmp_path):
    book = made_up_book(tmp_path / "book", ["01-alpha"])
    path = book / "notebooks" / "01-alpha.ipynb"
    whole = nbformat.read(path, 4)
    whole.metadata["description"] = "Said `so`."
    nbformat.write(whole, path)
    (chapter,) = chapters(book)
    assert (chapter.description, chapter.plain, chapter.module) == ("Said `so`.", "Said so.", "alpha")


def test_a_notebook_without_a_title_is_named(tmp_path):
    (tmp_path / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "notebooks" / "04-untitled.ipynb")
    with pytest.raises(ValueError, match="04-untitled.ipynb: the notebook has no title"):
        chapters(tmp_path)


def test_a_warning_fails_the_build_twice(tmp_path, capfd):
    book = made_up_book(tmp_path / "book", ["01-alpha"])
    path = book / "notebooks" / "01-alpha.ipynb"
    text = path.read_text(encoding="utf-8").replace("{ref}`ch-alpha`", "{ref}`nowhere`")
    path.write_text(text, encoding="utf-8")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the site was not built"):
            build(quiet=True, source=book, output=tmp_path / "site")
        assert "nowhere" in capfd.readouterr().err
        assert not up_to_date(book, tmp_path / "site")


def test_a_removed_chapter_leaves_the_site(tmp_path):
    book = made_up_book(tmp_path / "book", ["01-alpha", "02-beta"])
    output = build(quiet=True, source=book, output=tmp_path / "site")
    assert up_to_date(book, output)
    (book / "notebooks" / "02-beta.ipynb").unlink()
    build(quiet=True, source=book, output=output)
    assert not (output / "notebooks" / "02-beta.html").exists()
    assert "Beta" not in (output / "index.html").read_text(encoding="utf-8")


# ---- the cover -------------------------------------------------------------


def test_the_cover_keeps_its_caption_s_promises():
    """Its caption says: 700 lines of 234,752, and the last digit is misread."""
    groups = re.findall(r'<g class="sample.*', cover.TARGET.read_text(encoding="utf-8"))
    assert len(groups) == 11
    for group in groups:
        assert sum(d.count("c") for d in re.findall(r' d="(M[^"]*)"', group)) == 700
    assert [re.search(r'data-label="([^"]*)"', g)[1] for g in groups[:10]] == [f"a {k}" for k in range(10)]
    assert re.search(r'data-label="a \d, read as a \d"', groups[10])
    assert sum(m * n for m, n in zip(cover.SIZES, cover.SIZES[1:])) == 234_752


# ---- the real book ---------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The real book's site: as it stands if nothing changed since, else built afresh, once for all workers."""
    if up_to_date():
        return ROOT / "build" / "site"
    output = ROOT / "build" / "site-for-tests"  # on the drive of the sources, which Windows asks for
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if shared.name.startswith("popen-") else shared
    try:
        (shared / "site-begun").mkdir()
    except FileExistsError:  # another worker builds, or has built
        end = time.monotonic() + 300
        while not (shared / "site-ended").exists() and time.monotonic() < end:
            time.sleep(0.2)
        assert (shared / "site-ended").read_text() == "well", "the site could not be built"
        return output
    shutil.rmtree(memory(output), ignore_errors=True)
    outcome = "badly"
    try:
        build(quiet=True, output=output)
        outcome = "well"
    finally:
        (shared / "site-ended").write_text(outcome)
    return output


@pytest.fixture(scope="module")
def pages(site):
    """{path: soup} of every page."""
    return {path: soup(path) for path in html_files(site)}


def addresses(page):
    """(tag, attribute, address) of everything a page refers to."""
    for tag in page.find_all(True):
        for attribute in ("src", "href", "data", "poster", "srcset", "action", "xlink:href"):
            if tag.has_attr(attribute):
                yield tag.name, attribute, tag[attribute]


def test_every_chapter_is_a_page(pages, site):
    names = {path.relative_to(site).with_suffix("").as_posix() for path in pages}
    assert names == {"index", "preface", "draw", "search", *(c.docname for c in chapters(BOOK)),
                     *(p.stem for p in BOOK.glob("appendix-*.md"))}
    files = sorted(BOOK.glob("notebooks/*.ipynb"))
    assert [c.docname for c in chapters(BOOK)] == [f"notebooks/{p.stem}" for p in files]


def test_nothing_on_a_page_comes_from_elsewhere(pages):
    outside = [(path.name, address) for path, page in pages.items()
               for tag, attribute, address in addresses(page)
               if re.match(r"(\w+:)?//", address) and (tag, attribute) != ("a", "href")]
    assert outside == []


def test_no_style_or_script_names_an_address_to_load(pages, site):
    files = [*site.glob("_static/*.css"), *site.glob("_static/styles/*.css"), *site.glob("_static/book.js")]
    loads = re.compile(r"""(?:url\(|@import|import\(|fetch\()\s*["']?((?:https?:)?//[^"')]+)""")
    outside = [(f.name, m) for f in files for m in loads.findall(f.read_text(encoding="utf-8"))]
    inline = [(path.name, m) for path, page in pages.items()
              for s in page.find_all(["script", "style"]) for m in loads.findall(s.get_text())]
    assert outside == [] and inline == []


def test_every_link_arrives(pages, site):
    """Files exist, and so do the places in them."""
    places = {path.resolve(): {tag["id"] for tag in page.find_all(id=True)} for path, page in pages.items()}
    broken = []
    for path, page in pages.items():
        for address in {address for _, _, address in addresses(page)}:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or address == "#":
                continue
            target = (path.parent / unquote(parts.path) if parts.path else path).resolve()
            if not target.is_file() or not target.is_relative_to(site.resolve()):
                broken.append((path.name, address))
            elif parts.fragment and target in places and unquote(parts.fragment) not in places[target]:
                broken.append((path.name, address))
    assert broken == []


def test_pages_say_what_they_are(pages):
    for path, page in pages.items():
        assert page.html["lang"] == "en" and page.title.get_text().strip(), path
        if path.stem != "search":
            (description,) = page.select('meta[name="description"]')
            assert len(description["content"]) > 20, path
            assert len(page.select("article h1")) == 1, path


def test_pictures_are_described(pages):
    mute = [(path.name, image.get("src")) for path, page in pages.items()
            for image in page.select("article img") if not image.get("alt")]
    assert mute == []


def test_nothing_unfinished_shows(pages):
    """No role, directive or inline value that stayed text."""
    raw = re.compile(r"\{(?:eval|ref|numref|eq|cite|glue|doc|margin)[:\w]*\}|<!-- \w+ -->")
    left = [(path.name, found) for path, page in pages.items()
            for p in page.select("article :is(p, li, td, figcaption)") if not p.find(["pre", "code"])
            for found in raw.findall(p.get_text())]
    assert left == []


def test_downloads_are_the_notebooks(pages, site):
    for chapter in chapters(BOOK):
        page = site / f"{chapter.docname}.html"
        link = soup(page).select_one(".chapter-line a.download")
        assert (page.parent / link["href"]).read_bytes() == (BOOK / f"{chapter.docname}.ipynb").read_bytes()


# ---- colours ---------------------------------------------------------------


def luminance(colour):
    """Relative luminance as WCAG 2 defines it."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_text_stands_out_from_its_ground():
    """WCAG AA asks for 4.5 to 1; code colours come from the theme's accessible styles."""
    css = (BOOK / "_static" / "book.css").read_text(encoding="utf-8")
    for theme in ("light", "dark"):
        block = re.search(rf'html\[data-theme="{theme}"\] {{(.*?)}}', css, re.S)[1]
        colours = dict(re.findall(r"--(\w+): (#\w{6})", block))
        for text in ("ink", "soft", "accent", "warm"):
            for ground in ("paper", "sunk"):
                low, high = sorted((luminance(colours[text]), luminance(colours[ground])))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (theme, text, ground)

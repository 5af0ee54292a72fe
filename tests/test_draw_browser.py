"""The page "Draw a digit" in a real browser: digits drawn with a mouse, a finger and from the keyboard are read.

Needs a Chromium, as test_site_browser.py does, and the runtime that the site's build takes from npm.
What needs neither stands in test_draw.py.
"""

import json
import re
import shutil
import statistics
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from course import draw
from course.site import ROOT, build
from course.strokes import strokes
from nnlib.cli import prepare_digit
from nnlib.data import load_mnist
from test_draw import assert_same_preparation, packed, pictures
from test_site import luminance, made_up_book
from test_site_browser import CHROME, DESK, PHONE, TOO_WIDE, Browser

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning"),
    pytest.mark.skipif(CHROME is None, reason="no Chromium or Chrome, and $CHROME names none"),
]
SHEET = 280
PAGE = "document.getElementById('draw')"
ZOOM = SHEET / 28  # strokes are in pixels of MNIST


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A made-up book around the real page."""
    folder = tmp_path_factory.mktemp("draw")
    return build(quiet=True, source=made_up_book(folder / "book", ["01-alpha"]), output=folder / "site")


@pytest.fixture(scope="module")
def browser():
    tab = Browser()
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def opened(browser, site):
    _, problem = draw.fetch_runtime(ROOT / "book" / "draw")
    if problem:
        pytest.skip(problem)
    return Page(browser, site)


@pytest.fixture
def page(opened):
    """The page, ready to answer, its sheet empty; opened as a file, as a reader does, at a desk in the light.

    A test may open it again in other ways.
    """
    if opened.how == (DESK, False, False):
        opened.press("clear")
    else:
        opened.open()
    return opened


class Page:
    """What a reader does on the page."""

    def __init__(self, browser, site, state="ready"):
        self.browser, self.site, self.state = browser, site, state
        self.open()

    def open(self, size=DESK, dark=False, still=False):
        self.how = (size, dark, still)
        self.browser.open((self.site / "draw.html").as_uri(), size, dark)
        motion = {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.browser.call("Emulation.setEmulatedMedia", features=[motion, scheme])
        self.browser.until(f"{PAGE}.dataset.state === '{self.state}'", 60)
        self.js(f"{PAGE}.scrollIntoView()")
        self.box = self.js(f"(({{left, top, width}}) => [left, top, width])({PAGE}.querySelector('canvas').getBoundingClientRect())")

    def js(self, expression):
        return self.browser.js(expression)

    def send(self, commands):
        """Many commands of the protocol; waits for the last."""
        tab = self.browser
        for method, params in commands:
            tab.count += 1
            tab.socket.send(json.dumps({"id": tab.count, "method": method, "params": params}))
        while tab.receive().get("id") != tab.count:
            pass

    def screen(self, point):
        """A point of the sheet in pixels of the window."""
        left, top, width = self.box
        return {"x": left + point[0] / SHEET * width, "y": top + point[1] / SHEET * width}

    def mouse(self, lines):
        """Draw lines with the mouse: press, move, release."""
        for line in lines:
            at = [self.screen(point) for point in line]
            moves = [{"type": "mouseMoved", **p, "button": "left", "buttons": 1} for p in at]
            press = {"type": "mousePressed", **at[0], "button": "left", "buttons": 1, "clickCount": 1}
            release = {"type": "mouseReleased", **at[-1], "button": "left", "clickCount": 1}
            self.send([("Input.dispatchMouseEvent", e) for e in (press, *moves[1:], release)])

    def finger(self, lines):
        """Draw lines with a finger."""
        for line in lines:
            at = [self.screen(point) for point in line]
            events = [{"type": "touchStart" if k == 0 else "touchMove", "touchPoints": [p]} for k, p in enumerate(at)]
            self.send([("Input.dispatchTouchEvent", e) for e in (*events, {"type": "touchEnd", "touchPoints": []})])

    def answer(self):
        """The digits that the networks read, once they have seen all there is."""
        return self.js(f"Promise.resolve({PAGE}.settled()).then(() => {PAGE}.answer.digits)")

    def took(self):
        """Milliseconds of the last answer."""
        return self.js(f"{PAGE}.answer.took")

    def press(self, part):
        self.js(f"{PAGE}.querySelector('[data-part={part}]').click()")

    def show(self, digit):
        """Press a button under Show me one."""
        self.js(f"{PAGE}.querySelectorAll('[data-part=samples] button')[{digit}].click()")

    def text(self, part):
        return self.js(f"{PAGE}.querySelector('[data-part=\"{part}\"]').textContent")


def lines_of(image):
    """A test digit's strokes on the sheet."""
    return [[(x * ZOOM, y * ZOOM) for x, y in stroke] for stroke in strokes(image)]


def test_a_hundred_digits_drawn_with_the_mouse_are_read(page):
    """The first hundred of the test set: 95 by the CNN, 90 by the MLP, each answer within 50 ms."""
    _, (images, labels) = load_mnist(ROOT / "data")
    read, took = [], []
    for image in images[:100]:
        page.press("clear")
        page.mouse(lines_of(image))
        read.append(page.answer())
        took.append(page.took())
    mlp, cnn = (np.array(read) == labels[:100, None]).sum(axis=0)
    assert cnn >= 95 and mlp >= 90, (mlp, cnn)
    assert statistics.median(took) < 50
    assert list(page.browser.trouble(page.site)) == []


def test_a_finger_draws_on_a_phone(page):
    page.open(PHONE)
    _, (images, labels) = load_mnist(ROOT / "data")
    read = []
    for image in images[:6]:
        page.press("clear")
        page.finger(lines_of(image))
        read.append(page.answer()[1])
    assert page.js("scrollY") == page.js(f"({PAGE}.scrollIntoView(), scrollY)"), "drawing must not scroll the page"
    assert (np.array(read) == labels[:6]).sum() >= 5


def test_what_is_prepared_and_answered_is_what_python_prepares_and_answers(page):
    from nnlib.checkpoint import load

    nets = [load(draw.PRETRAINED / f"{stem}.safetensors").network for stem in ("mlp", "cnn")]
    for image in load_mnist(ROOT / "data")[1][0][20:23]:
        page.press("clear")
        page.mouse(lines_of(image)[:4])
        page.answer()
        found = page.js(f"(({{drawing, image, logits}}) => ({{gray: [...drawing.pixels], image: [...image], logits}}))({PAGE}.answer)")
        ours = np.array(found["image"], np.float32).reshape(28, 28)
        np.testing.assert_allclose(ours, prepare_digit(np.reshape(found["gray"], (SHEET, SHEET))), rtol=0, atol=1.2e-7)
        for net, logits in zip(nets, found["logits"]):
            np.testing.assert_allclose(logits, net.predict(ours[None])[0], rtol=1e-4, atol=1e-3)


def test_this_browser_prepares_every_kind_of_picture_as_python_does(page):
    for image in pictures():
        text = json.dumps(packed(image))
        ours = page.js(f"((p) => [...Prepare.digit({{...p, pixels: Float64Array.from(p.pixels)}})])({text})")
        assert_same_preparation(image, np.array(ours, np.float32).reshape(28, 28))


def test_all_of_it_is_reached_and_used_from_the_keyboard(page):
    """Tab visits every control; a digit is shown, undone, brought to nothing; the answer is said aloud."""
    page.open(still=True)
    page.js("document.querySelector('h1').scrollIntoView()")
    page.show(1)
    page.answer()  # now undo and clear can be pressed
    page.js(f"{PAGE}.querySelector('button').focus()")
    names = []
    for _ in range(14):
        names.append(page.js("document.activeElement.getAttribute('aria-label') || document.activeElement.dataset.part"))
        assert page.js("document.activeElement.matches(':focus-visible')") or not names[1:]
        page.browser.key("Tab", 9)
    assert names == ["undo", "clear", "Width of the pen", *(f"Show me a {k}" for k in range(10)), "prepare"]
    page.js(f"{PAGE}.querySelectorAll('[data-part=samples] button')[7].focus()")
    page.browser.key("Enter", 13)
    assert page.answer() == [7, 7]
    assert page.text("sentence").startswith("Both read a 7.")
    assert page.js(f"{PAGE}.querySelector('[data-part=sentence]').getAttribute('aria-live')") == "polite"
    assert re.fullmatch(r"Your drawing: \d strokes?", page.js(f"{PAGE}.querySelector('canvas').getAttribute('aria-label')"))
    page.js(f"{PAGE}.querySelector('[data-part=clear]').focus()")
    page.browser.key("Enter", 13)
    assert page.answer() == [-1, -1] and page.text("sentence").startswith("Draw a digit")
    page.press("undo")
    assert page.answer() == [7, 7]


def test_every_sample_is_drawn_and_most_are_read(page):
    page.open(still=True)
    right = 0
    for digit in range(10):
        for _ in range(draw.EACH):
            page.show(digit)
            right += page.answer()[1] == digit
    assert right >= 0.93 * 10 * draw.EACH


def test_a_shown_digit_is_drawn_as_by_a_pen_unless_motion_is_not_wanted(page):
    """What they read is said when the digit is there, not before."""
    page.show(3)
    assert "3" not in page.text("sentence")
    page.browser.until(f"{PAGE}.querySelector('[data-part=sentence]').textContent.includes('3')")
    page.open(still=True)
    page.show(3)
    page.answer()
    assert "3" in page.text("sentence")


def test_a_pen_down_takes_over_from_a_replay(page):
    page.show(8)
    page.mouse([[(10, 10), (20, 20)]])
    page.answer()
    assert page.js(f"{PAGE}.querySelector('canvas').getAttribute('aria-label')").startswith("Your drawing")
    page.press("undo")
    assert page.answer()[1] == 8


def test_a_stroke_ends_where_it_is_undone(page):
    """A second finger on Undo, or Ctrl+Z with the mouse button down: what comes after belongs to no stroke."""
    page.mouse([[(140, 40), (140, 240)]])
    before = page.answer()
    at = [page.screen(point) for point in ((60, 60), (90, 90), (200, 90))]
    down = {"button": "left", "buttons": 1}
    page.send([("Input.dispatchMouseEvent", {"type": kind, **p, **down}) for kind, p in zip(("mousePressed", "mouseMoved"), at)])
    page.press("undo")
    assert page.answer() == before
    image = page.js(f"[...{PAGE}.answer.image]")
    page.send([("Input.dispatchMouseEvent", {"type": kind, **at[2], **down}) for kind in ("mouseMoved", "mouseReleased")])
    page.answer()
    assert page.js(f"[...{PAGE}.answer.image]") == image
    page.press("undo")
    assert page.answer() == [-1, -1]
    assert list(page.browser.trouble(page.site)) == []


def test_all_strokes_have_the_width_of_the_pen(page):
    """Also those that come back."""
    ink = f"{PAGE}.answer.drawing.pixels.filter(v => v < 128).length"

    def pen(width):
        page.js(f"((p, w) => {{ p.value = w; p.dispatchEvent(new Event('input')); }})({PAGE}.querySelector('[data-part=pen]'), {width})")

    page.mouse([[(140, 80), (140, 200)]])
    page.answer()
    thin = page.js(ink)
    pen(40)
    page.answer()
    thick = page.js(ink)
    page.mouse([[(60, 80), (60, 200)]])
    page.press("undo")
    page.answer()
    assert page.js(ink) == thick > 1.9 * thin
    pen(20)
    page.answer()
    assert page.js(ink) == thin


def test_without_preparation_a_small_digit_is_seen_as_it_is(page):
    page.mouse([[(30, 30), (30, 70)]])
    page.answer()
    ink = f"{PAGE}.answer.image.filter(v => v > 0).length"
    large = page.js(ink)
    page.press("prepare")
    page.answer()
    small = page.js(ink)
    page.press("prepare")
    assert small < large / 2


def test_the_networks_see_the_same_on_every_screen(page):
    page.open(PHONE, still=True)
    page.show(2)
    page.answer()
    image, canvas = f"[...{PAGE}.answer.image]", f"{PAGE}.querySelector('canvas')"
    coarse = page.js(image)
    page.browser.call("Emulation.setDeviceMetricsOverride", width=PHONE[0], height=PHONE[1], deviceScaleFactor=3, mobile=True)
    page.press("prepare")
    page.press("prepare")
    page.answer()
    assert page.js(f"devicePixelRatio === 3 && {canvas}.width === Math.round({canvas}.clientWidth * 3)")
    assert page.js(image) == coarse


def test_a_drawing_outside_the_sheet_is_no_error(page):
    page.mouse([[(100, 100)]])
    assert page.answer() != [-1, -1], "a dot is ink"
    page.press("clear")
    page.js(f"(b => ['pointerdown', 'pointermove', 'pointerup'].forEach((t, k) => {{ b.setPointerCapture = () => 0; "
            f"b.dispatchEvent(new PointerEvent(t, {{pointerId: 7, button: 0, clientX: -500 - k, clientY: -500}})) }}))({PAGE}.querySelector('canvas'))")
    assert page.answer() == [-1, -1]
    assert list(page.browser.trouble(page.site)) == []


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_and_can_be_read(page, dark):
    """Nothing wider than the phone, controls large enough, text at 4.5 to 1 as WCAG AA asks, light and dark."""
    page.open(PHONE, dark, still=True)
    page.show(5)
    page.answer()
    assert page.js(TOO_WIDE) == [] and page.js("document.documentElement.scrollWidth") <= PHONE[0]
    assert len(page.js(f"[...new Set([...{PAGE}.querySelectorAll('.draw-name')].map(n => n.offsetTop))]")) == 1, "a percentage is broken in two"
    assert page.js(f"[...{PAGE}.querySelectorAll('button')].filter(b => b.offsetWidth < 24 || b.offsetHeight < 24).length") == 0
    colours = page.js(f"""[...{PAGE}.querySelectorAll('*')].filter(e => e.checkVisibility() && !e.disabled
        && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e => {{
            let ground = e;
            while (ground && getComputedStyle(ground).backgroundColor === 'rgba(0, 0, 0, 0)') ground = ground.parentElement;
            return [e.className || e.dataset.part || e.tagName, getComputedStyle(e).color, getComputedStyle(ground).backgroundColor]; }})""")
    assert len(colours) > 30
    for name, *pair in colours:
        low, high = sorted(luminance("#" + "".join(f"{int(c):02x}" for c in re.findall(r"\d+", colour)[:3])) for colour in pair)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (name, pair)


def test_it_turns_dark_with_the_page(page):
    corner = f"(() => {{ const c = {PAGE}.querySelector('[data-part=seen]'); return [...c.getContext('2d').getImageData(0, 0, 1, 1).data.slice(0, 3)]; }})()"
    page.answer()
    light = page.js(corner)
    page.js("document.documentElement.dataset.theme = 'dark'")
    page.answer()
    dark = page.js(corner)
    page.js("document.documentElement.dataset.theme = 'light'")
    assert min(light) > 200 and max(dark) < 60


def test_it_works_from_a_server_too(page):
    """Over http, without the headers that threads in WebAssembly would need, and without another address."""
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=page.site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/"
        page.browser.open(address + "draw.html")
        page.browser.until(f"{PAGE}.dataset.state === 'ready'", 60)
        asked = [e["params"]["request"]["url"] for e in page.browser.events if e["method"] == "Network.requestWillBeSent"]
        assert any("runtime-" in url for url in asked)
        assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    finally:
        server.shutdown()
        server.server_close()
        page.open()


def test_without_the_runtime_one_can_draw_and_is_told_what_to_do(browser, site, tmp_path, monkeypatch):
    copy = shutil.copytree(site, tmp_path / "site")
    monkeypatch.setattr(draw, "fetch_runtime", lambda folder: (None, "Node is not installed where this site was built."))
    draw.furnish(ROOT / "book", copy)
    page = Page(browser, copy, "missing")
    missing = page.js(f"{PAGE}.querySelector('.draw-missing').innerText")
    assert missing.startswith("Node is not installed") and "python -m course site" in missing
    page.mouse([[(50, 50), (100, 200)]])
    page.answer()
    assert page.js(f"Math.max(...{PAGE}.answer.image)") == 1
    assert list(browser.trouble(copy)) == []

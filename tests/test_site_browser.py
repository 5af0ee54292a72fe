"""Open every page of the site in a real browser: what it asks for, what it says, how it fits.

Collected only where a Chromium or Chrome is installed (or named by $CHROME).
The browser is spoken to over its DevTools protocol: that reports each request
and each console message, and needs no driver of a matching version.
"""

import atexit
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
import websocket

from course.site import build
from test_site import html_files, made_up_book, site  # noqa: F401, a fixture

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
         "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
         r"C:\Program Files\Google\Chrome\Application\chrome.exe")
CHROME = os.environ.get("CHROME") or next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = ("--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --no-default-browser-check "
         "--disable-background-networking --disable-component-update --disable-sync --disable-extensions "
         "--disable-dev-shm-usage --hide-scrollbars --remote-debugging-port=0").split()
PHONE, DESK = (390, 844), (1440, 900)


class Browser:
    """One tab of a headless Chromium with a profile of its own, thrown away at the end."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="site-test-")
        self.process = subprocess.Popen([CHROME, *FLAGS, f"--user-data-dir={self.profile}", "about:blank"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        atexit.register(self.process.kill)  # whatever happens below
        port = self.wait(lambda: Path(self.profile, "DevToolsActivePort").read_text().split()[0])
        tabs = self.wait(lambda: json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list")))
        tab = next(t for t in tabs if t["type"] == "page")
        self.socket = websocket.create_connection(tab["webSocketDebuggerUrl"], suppress_origin=True, timeout=30)
        self.count, self.events = 0, []
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def wait(self, ready, seconds=30):
        """Ask until there is an answer; a browser takes a moment to start."""
        end = time.monotonic() + seconds
        while True:
            try:
                return ready()
            except (OSError, IndexError, ValueError):
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def receive(self):
        message = json.loads(self.socket.recv())
        if "method" in message:
            self.events.append(message)
        return message

    def call(self, method, **params):
        """One command of the protocol; its result. Events that come meanwhile are kept."""
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": params}))
        while (message := self.receive()).get("id") != self.count:
            pass
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']['message']}")
        return message["result"]

    def js(self, expression):
        """Value of a JavaScript expression, promises awaited."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def open(self, url, size=DESK, dark=False):
        """Load a page at a size, in a colour scheme, and wait until its mathematics is set."""
        self.call("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1,
                  mobile=size == PHONE)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=str(url))
        while not any(e["method"] == "Page.loadEventFired" for e in self.events):
            self.receive()
        self.js("window.MathJax?.startup?.promise.then(() => document.fonts.ready).then(() => 0)")

    def key(self, name, code):
        """Press a key where the focus is."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code,
                      **({"text": "\r"} if name == "Enter" and kind == "keyDown" else {}))

    def until(self, expression, seconds=10):
        """Wait for a JavaScript expression to become true."""
        end = time.monotonic() + seconds
        while not self.js(expression):
            assert time.monotonic() < end, f"never came true: {expression}"
            time.sleep(0.05)

    def trouble(self, site):
        """What the page loaded last asked for outside the site, could not have, or complained about."""
        inside = site.resolve().as_uri() + "/"
        for event in self.events:
            kind, what = event["method"], event["params"]
            if kind == "Network.requestWillBeSent":
                url = what["request"]["url"]
                if not url.startswith((inside, "data:", "blob:")):
                    yield f"asks for {url}"
            elif kind == "Network.loadingFailed" and not what.get("canceled"):
                yield f"cannot load: {what['errorText']}"
            elif kind == "Runtime.exceptionThrown":
                details = what["exceptionDetails"]
                yield details.get("exception", {}).get("description") or details["text"]
            elif kind == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
                yield " ".join(str(a.get("value")) for a in what["args"])
            elif kind == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
                yield what["entry"]["text"]

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait(timeout=20)
        shutil.rmtree(self.profile, ignore_errors=True)


UNSET = """[...document.querySelectorAll('.math')].filter(
    m => !m.querySelector('mjx-container') || m.querySelector('mjx-merror')).map(m => m.textContent.slice(0, 60))"""
CUT_OFF = """[...document.querySelectorAll('mjx-container')].filter(m => m.checkVisibility() && m.querySelector('mjx-math')).filter(m => {
    const room = m.hasAttribute('display') ? m : m.closest('p, li, dd, td, th, figcaption') || m;
    return m.querySelector('mjx-math').getBoundingClientRect().width > room.getBoundingClientRect().width + 1; })
    .concat([...document.querySelectorAll('.traceback pre')].filter(e => e.scrollWidth > e.clientWidth))
    .map(e => e.textContent.slice(0, 60))"""
TOO_WIDE = """[...document.querySelectorAll('article *')].filter(e => {
    if (e.getBoundingClientRect().right <= 391 || e.closest('mjx-assistive-mml, svg')) return false;
    for (let p = e.parentElement; p; p = p.parentElement)
        if (/auto|scroll|hidden/.test(getComputedStyle(p).overflowX)) return false;
    return true; }).map(e => e.tagName + '.' + e.className).slice(0, 5)"""


@pytest.fixture(scope="module")
def browser():
    tab = Browser()
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def small_site(tmp_path_factory):
    """A made-up book: what these tests click on does not depend on the chapters there are."""
    folder = tmp_path_factory.mktemp("browser")
    return build(quiet=True, source=made_up_book(folder / "book"), output=folder / "site")


class TestInABrowser:
    __test__ = CHROME is not None

    def test_no_page_asks_elsewhere_or_complains_and_mathematics_is_set(self, browser, site):
        found = {}
        for page in html_files(site):
            browser.open(page.resolve().as_uri())
            found[page.name] = [*browser.trouble(site), *browser.js(UNSET), *browser.js(CUT_OFF)]
        assert {k: v for k, v in found.items() if v} == {}

    def test_every_page_fits_a_phone_in_the_dark(self, browser, site):
        found = {}
        for page in html_files(site):
            browser.open(page.resolve().as_uri(), PHONE, dark=True)
            in_text = CUT_OFF.replace("mjx-container'", "mjx-container:not([display])'")  # displayed ones may scroll
            found[page.name] = [*browser.js(TOO_WIDE), *browser.js(in_text), *browser.trouble(site)]
            width = browser.js("document.documentElement.scrollWidth")
            if width > PHONE[0]:
                found[page.name].append(f"the page is {width} pixels wide")
        assert {k: v for k, v in found.items() if v} == {}

    def test_notes_stand_in_the_margin_or_on_a_phone_in_the_text(self, browser, small_site):
        page = (small_site / "notebooks" / "01-alpha.html").as_uri()
        sides = """['aside.margin', 'article section p'].map(s => document.querySelector(s).getBoundingClientRect())
                   .map(r => [r.left, r.right])"""
        browser.open(page)
        (left, right), (_, text) = browser.js(sides)
        assert text < left < right < DESK[0]
        browser.open(page, PHONE)
        (left, right), (_, text) = browser.js(sides)
        assert left < 40 and right <= text + 1

    def test_it_is_dark_when_the_system_is(self, browser, small_site):
        for dark, name in ((False, "light"), (True, "dark")):
            browser.open((small_site / "index.html").as_uri(), dark=dark)
            assert browser.js("document.documentElement.dataset.theme") == name

    def test_the_switch_works_from_the_keyboard_and_is_remembered(self, browser, small_site):
        page = (small_site / "index.html").as_uri()
        browser.open(page)
        button = "document.querySelector('.bd-header-article .theme-switch-button')"
        assert browser.js(f"{button}.offsetWidth > 0 && {button}.tabIndex >= 0 && {button}.getAttribute('aria-label')")
        browser.js(f"{button}.focus()")
        browser.key("Enter", 13)
        browser.js("document.querySelector('.theme-change-button[data-mode=dark]').focus()")
        browser.key("Enter", 13)
        assert browser.js("document.documentElement.dataset.theme") == "dark"
        browser.open(page)
        assert browser.js("document.documentElement.dataset.theme") == "dark"
        browser.js("localStorage.clear()")

    def test_search_finds_a_word(self, browser, small_site):
        browser.open((small_site / "search.html").as_uri() + "?q=gamma")
        browser.until("document.querySelectorAll('#search-results li').length > 0")
        assert "Gamma" in browser.js("document.querySelector('#search-results').innerText")
        assert list(browser.trouble(small_site)) == []

    def test_code_is_copied_without_its_output(self, browser, small_site):
        browser.open((small_site / "notebooks" / "02-beta.html").as_uri())
        copies = browser.js("""[...document.querySelectorAll('button.copybtn')]
                               .map(b => b.closest('.highlight').innerText.trim())""")
        assert copies and "def f():\n    return 1" in copies and "1" not in copies

    def test_the_cover_shows_the_digit_one_picks(self, browser, small_site):
        browser.open((small_site / "index.html").as_uri())
        browser.js("document.querySelectorAll('.cover-picks button')[7].click()")
        assert browser.js("[...document.querySelectorAll('.cover-art .shown')].map(s => s.dataset.digit)") == ["7"]

    def test_the_drawer_opens_on_a_phone(self, browser, small_site):
        browser.open((small_site / "notebooks" / "02-beta.html").as_uri(), PHONE)
        shown = "document.querySelector('.book-nav').checkVisibility({visibilityProperty: true})"
        assert not browser.js(shown)
        browser.js("document.querySelector('.bd-header-article .primary-toggle').click()")
        browser.until(shown)

    def test_the_window_slides_and_fills_its_columns(self, browser, site):
        """Chapter 10's moving picture: nine steps fill a column and show its sum; playing goes on by itself."""
        browser.open((site / "notebooks" / "10-convolution.html").as_uri())
        shown = "[...document.querySelectorAll('#conv-window [data-n^={}]')].filter(e => e.style.visibility == 'visible').length"
        button = "document.querySelector('#conv-window [data-do={}]')"
        say = "document.querySelector('#conv-window [data-do=say]')"
        assert browser.js(shown.format("c")) == browser.js(shown.format("z")) == 0
        for _ in range(9):
            browser.js(button.format("step") + ".click()")
        assert (browser.js(shown.format("c")), browser.js(shown.format("z"))) == (9, 1)
        assert "the column is full" in browser.js(say + ".textContent")
        browser.js(button.format("play") + ".click()")
        browser.until(shown.format("c") + " >= 11")
        assert browser.js(say + ".getAttribute('aria-live')") == "off"
        browser.js(button.format("play") + ".click()")
        assert browser.js(say + ".getAttribute('aria-live')") == "polite"

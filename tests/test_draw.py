"""What the page "Draw a digit" is furnished with, and its preparation of drawings beside Python's.

What a reader does on the page is in test_draw_browser.py.
"""

import base64
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from course import draw
from course.site import ROOT, build
from course.strokes import strokes
from nnlib.cli import prepare_digit
from nnlib.data import load_mnist
from test_site import made_up_book

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
BOOK = ROOT / "book"
NODE = shutil.which("node")


# ---- prepare.js beside nnlib.cli -------------------------------------------


def pictures():
    """Pictures of many kinds and sizes, all with some ink."""
    rng = np.random.default_rng(5)
    digits = load_mnist(ROOT / "data")[1][0]
    found = [*digits[:20], *(255.0 - digits[20:30]), *(d / 255 for d in digits[30:40])]
    for shape in ((28, 28), (280, 280), (61, 47), (20, 20), (3, 200), (200, 3), (1, 9), (9, 1), (2, 2)):
        found.append(np.pad(rng.uniform(0, 255, shape), 1))
    for k, digit in enumerate(digits[40:52], 2):  # as from a camera: larger, on uneven paper, somewhere on the sheet
        large = np.kron(digit, np.ones((k, k // 2 + 1)))
        sheet = np.pad(large, ((k, 3 * k), (5 * k, k)))
        paper = 200 + np.linspace(0, 20, sheet.shape[1]) + rng.normal(0, 2, sheet.shape)
        found.append(np.clip(paper - 0.7 * sheet, 0, 255))
    return found


def symmetric_pictures():
    """The same from both sides, so that the centre of mass may lie exactly between two pixels."""
    for rows, columns in ((1, 1), (33, 7), (30, 30), (7, 33)):
        yield np.pad(np.ones((rows, columns)), ((3, 9), (21, 2)))
        yield np.pad(np.ones((rows, columns)) - 0.7 * np.outer(np.hanning(rows), np.hanning(columns)), 4)


def packed(image):
    image = np.asarray(image, float)
    return {"height": image.shape[0], "width": image.shape[1], "pixels": image.ravel().tolist()}


def unpacked(text):
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(28, 28)


def assert_same_preparation(image, ours):
    """To the last digit but one of float32: both calculate in doubles, and add up in different orders."""
    np.testing.assert_allclose(ours, prepare_digit(image), rtol=0, atol=1.2e-7)


def in_node(images):
    """What prepare.js makes of them, run by node."""
    program = ("const Prepare = require(process.argv[1]); const all = JSON.parse(require('fs').readFileSync(0)); "
               "const base64 = (numbers) => Buffer.from(numbers.buffer).toString('base64'); "
               "console.log(JSON.stringify(all.map((p) => base64(Prepare.digit({...p, pixels: Float64Array.from(p.pixels)})))))")
    run = subprocess.run([NODE, "-e", program, str(BOOK / "_static" / "prepare.js")], check=True, capture_output=True,
                         text=True, input=json.dumps([packed(image) for image in images]))
    return [unpacked(text) for text in json.loads(run.stdout)]


@pytest.mark.skipif(NODE is None, reason="node is not installed; the browser compares as well, where there is one")
def test_javascript_prepares_as_python_does():
    images = pictures()
    for image, ours in zip(images, in_node(images), strict=True):
        assert_same_preparation(image, ours)


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_a_centre_between_two_pixels_may_be_rounded_either_way():
    """The last bit of a sum decides: the same picture, at most a pixel further."""
    images = list(symmetric_pictures())
    for image, ours in zip(images, in_node(images), strict=True):
        theirs = prepare_digit(image)
        moved = (np.roll(theirs, (dy, dx), (0, 1)) for dy in (0, 1, -1) for dx in (0, 1, -1))
        assert min(np.abs(ours - m).max() for m in moved) < 1.2e-7


@pytest.mark.skipif(NODE is None, reason="node is not installed")
@pytest.mark.parametrize("image", [np.full((5, 7), 3.0), np.array([[0.0, np.nan], [1, 1]])])
def test_javascript_refuses_what_python_refuses(image):
    with pytest.raises(ValueError) as refused:
        prepare_digit(image)
    text = json.dumps(packed(image)).replace("NaN", "0 / 0")
    program = (f"const {{height, width, pixels}} = {text}; const Prepare = require(process.argv[1]); "
               "try { Prepare.digit({height, width, pixels: Float64Array.from(pixels)}) } catch (e) { console.log(e.message) }")
    run = subprocess.run([NODE, "-e", program, str(BOOK / "_static" / "prepare.js")], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == str(refused.value)


# ---- strokes ---------------------------------------------------------------


def test_a_bar_is_one_stroke_down_its_middle():
    image = np.zeros((28, 28))
    image[4:24, 12:15] = 255
    (stroke,) = strokes(image)
    xs, ys = np.array(stroke).T
    assert np.allclose(xs, 13.5, atol=0.3) and ys.max() - ys.min() > 16


def test_a_ring_is_one_closed_stroke():
    y, x = np.mgrid[:28, :28] + 0.5
    (stroke,) = strokes(np.abs(np.hypot(x - 14, y - 14) - 8) < 1.5)
    assert np.hypot(*np.subtract(stroke[0], stroke[-1])) < 1
    assert np.allclose(np.hypot(*(np.array(stroke) - 14).T), 8, atol=0.6)


def test_a_cross_is_drawn_straight_on():
    image = np.zeros((28, 28))
    image[4:24, 13:15] = image[13:15, 4:24] = 1
    lengths = [np.hypot(*np.diff(s, axis=0).T).sum() for s in strokes(image)]
    assert len(lengths) <= 3 and max(lengths) > 16


def test_a_dot_and_an_empty_picture():
    image = np.zeros((28, 28))
    assert strokes(image) == []
    image[10:12, 10:12] = 1
    assert len(strokes(image)) == 1


def test_strokes_stay_in_the_ink_and_reach_all_of_it():
    for image in load_mnist(ROOT / "data")[1][0][:30]:
        points = np.concatenate([np.array(s) for s in strokes(image)])
        assert all(image[int(y), int(x)] > 60 for x, y in points)
        dense = np.concatenate([np.linspace(a, b, 20) for s in strokes(image) for a, b in zip(np.array(s), np.array(s)[1:])])
        for y, x in np.argwhere(image > 200):
            assert np.hypot(*(dense - (x + 0.5, y + 0.5)).T).min() < 4


def test_there_are_samples_of_each_digit():
    assert [len(digits) for digits in draw.samples()] == [draw.EACH] * 10
    assert all(0 <= c <= 28 for digits in draw.samples() for d in digits for stroke in d for point in stroke for c in point)


# ---- what is put beside the page, and what is said when it cannot be -------


def data(site):
    text = (site / "_static" / "draw" / "data.js").read_text(encoding="utf-8")
    return json.loads(re.fullmatch(r"window\.DRAW = (.*);\n", text, re.S)[1])


def test_the_lock_names_no_host_and_all_its_packages_hashes():
    text = (BOOK / "draw" / "package-lock.json").read_text(encoding="utf-8")
    packages = json.loads(text)["packages"]
    wanted = json.loads((BOOK / "draw" / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert "resolved" not in text and "http" not in text
    assert packages[""]["dependencies"] == wanted
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all(p["integrity"].startswith("sha512-") for name, p in packages.items() if name)


def test_the_site_is_built_without_node_and_says_so(tmp_path, monkeypatch, capsys):
    book = made_up_book(tmp_path / "book", ["01-alpha"])
    lock = book / "draw" / "package-lock.json"
    lock.write_text(lock.read_text(encoding="utf-8") + "\n", encoding="utf-8")  # nothing fetched earlier is for this one
    monkeypatch.setattr(draw.shutil, "which", lambda name: None)
    site = build(quiet=True, source=book, output=tmp_path / "site")
    assert data(site)["runtime"] is None
    assert data(site)["missing"] == ["Node is not installed where this site was built."]
    assert "will not answer: Node is not installed" in capsys.readouterr().out
    assert [p.name for p in (site / "_static" / "draw").iterdir()] == ["data.js"]


def test_a_failing_npm_is_a_sentence(tmp_path, monkeypatch):
    shutil.copytree(BOOK / "draw", tmp_path / "draw")
    (tmp_path / "draw" / "package-lock.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(draw.shutil, "which", lambda name: str(tmp_path / "npm-that-is-not-there"))
    assert draw.fetch_runtime(tmp_path / "draw") == (None, "npm could not fetch onnxruntime-web where this site was built.")


def test_missing_weights_are_named(tmp_path):
    found, lost = draw.networks(tmp_path)
    assert found == [] and lost == ["The MLP's weights, mlp.safetensors, are not there.",
                                    "The CNN's weights, cnn.safetensors, are not there."]


def test_the_networks_of_the_page_are_those_of_the_package():
    """Their ONNX files give the logits that nnlib gives, and the first layer after its ReLU."""
    import onnx

    from nnlib.checkpoint import load
    from nnlib.onnx import run_onnx

    images = load_mnist(ROOT / "data")[1][0][:5] / np.float32(255)
    found, lost = draw.networks(draw.PRETRAINED)
    assert lost == [] and [network["name"] for network in found] == ["MLP", "CNN"]
    for stem, network in zip(("mlp", "cnn"), found):
        own = load(draw.PRETRAINED / f"{stem}.safetensors").network
        values = run_onnx(onnx.load_from_string(base64.b64decode(network["model"])), images.reshape(-1, *network["input"]))
        np.testing.assert_allclose(values["logits"], own.predict(images), rtol=1e-4, atol=1e-4)
        first = values[network["first"]]
        assert list(first.shape[1:]) == network["shape"] and first.min() == 0 and first.max() > 0


def test_no_page_is_furnished_that_is_not_there(tmp_path):
    assert draw.furnish(tmp_path, tmp_path / "site") == [] and not (tmp_path / "site").exists()

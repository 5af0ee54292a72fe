"""nnlib.cli: preparation against the reference and MNIST itself; every command, every refusal, one real process."""

import importlib
import json
import os
import re
import stat
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

import reference.cli as reference
from nnlib import cli
from nnlib.checkpoint import Checkpoints, describe, load, save
from nnlib.data import DigitRecognizer, MissingFile, load_mnist, scale_pixels
from nnlib.dense import Dense
from nnlib.kaggle import validate_submission
from nnlib.network import Network
from nnlib.onnx import run_onnx
from nnlib.skips import Skip
from nnlib.training import evaluate

ROOT = Path(__file__).parents[1]
MNIST = load_mnist(ROOT / "data")
TEST, LABELS = MNIST[1]
SHIPPED = ROOT / "nnlib" / "pretrained"


@pytest.fixture(autouse=True)
def house(monkeypatch, tmp_path):
    """Each test in a folder of its own, with the digits read once and the networks of this checkout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NNLIB_PRETRAINED", str(SHIPPED))
    monkeypatch.setenv("NNLIB_DATA", str(ROOT / "data"))
    monkeypatch.setattr(cli, "load_mnist", lambda folder=None: MNIST if folder is None else load_mnist(folder))


def run(*line):
    """Run a command; whatever it raises but an exit is a bug."""
    result = CliRunner(env={"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}).invoke(cli.APP, list(map(str, line)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def done(*line):
    """Run a command that must succeed; what it printed."""
    result = run(*line)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*line):
    """Run a command that must refuse its input; its one line."""
    result = run(*line)
    assert result.exit_code == 1, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("nnlib: "), result.stderr
    return lines[0]


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    """A checkpoint of a network that is fast, and bad."""
    path = tmp_path_factory.mktemp("linear") / "linear.safetensors"
    save(path, Network(Dense(10)).build((28, 28), 3), notes={"by": "a test"})
    return path


# --- preparation --------------------------------------------------------------------------------------------


@given(st.integers(1, 30), st.integers(1, 60))
def test_overlaps_agree_with_the_reference_and_are_fair(new, old):
    R = cli.overlap_matrix(new, old)
    assert np.array_equal(R, reference.overlap_matrix(new, old))
    np.testing.assert_allclose(R.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(R.sum(axis=0), new / old, rtol=1e-12)
    x = np.random.default_rng(old).normal(size=old)
    np.testing.assert_allclose(R @ x, np.repeat(x, new).reshape(new, old).mean(axis=1), rtol=1e-9, atol=1e-12)


def test_overlaps_by_hand():
    assert cli.overlap_matrix(2, 5).tolist() == [[0.4, 0.4, 0.2, 0, 0], [0, 0, 0.2, 0.4, 0.4]]
    assert cli.overlap_matrix(3, 2).tolist() == [[1, 0], [0.5, 0.5], [0, 1]]
    assert np.array_equal(cli.overlap_matrix(7, 7), np.eye(7))


def random_picture(height, width, seed):
    """A block of ink on noisy paper, some units of gray."""
    rng = np.random.default_rng(seed)
    picture = rng.choice([0.0, 3.0, 100.0]) * rng.random((height, width)) + rng.normal() * 50
    top, left = rng.integers(0, height), rng.integers(0, width)
    picture[top:top + rng.integers(1, height + 1), left:left + rng.integers(1, width + 1)] += rng.choice([-200, 200])
    return picture


pictures = st.builds(random_picture, st.integers(1, 26), st.integers(1, 26), st.integers(0, 2**32 - 1))


@settings(deadline=None, max_examples=60)
@given(pictures)
def test_preparation_agrees_with_the_reference(picture):
    try:
        ink = reference.find_ink(picture)
    except ValueError:
        with pytest.raises(ValueError, match="no ink"):
            cli.find_ink(picture)
        return
    np.testing.assert_allclose(cli.find_ink(picture), ink, rtol=1e-9, atol=1e-12)
    assume(np.abs(ink - 0.1).min() > 1e-9)      # else rounding may decide whether a pixel is in the box
    box = reference.crop_to_ink(ink)
    assert np.array_equal(cli.crop_to_ink(ink), box)
    small = reference.fit_into(box)
    np.testing.assert_allclose(cli.fit_into(box), small, rtol=1e-9, atol=1e-12)
    center = np.array(reference.center_of_mass(small))
    np.testing.assert_allclose(cli.center_of_mass(small), center, rtol=1e-9)
    assume(np.abs((center + 0.5) % 1 - 0.5).min() > 1e-9 and np.abs(center % 1 - 0.5).min() > 1e-9)     # nor about the place
    found = cli.prepare_digit(picture)
    assert found.dtype == np.float32 and found.shape == (28, 28) and found.max() == 1 and found.min() == 0
    np.testing.assert_allclose(found, reference.prepare_digit(picture), rtol=1e-6, atol=1e-7)   # float32 against float64


def test_mnist_agrees_with_the_reference():
    for image in TEST[:5]:
        np.testing.assert_allclose(cli.prepare_digit(image), reference.prepare_digit(image), rtol=1e-6, atol=1e-7)


def enlarged(image, zoom=10, top=30, left=95, inverted=True):
    """A digit as a larger picture with margins, dark on light."""
    big = np.pad(np.kron(image, np.ones((zoom, zoom), image.dtype)), ((top, 40), (left, 7)))
    return 255 - big if inverted else big


def test_an_enlarged_digit_comes_back_and_is_recognised():
    prepared = np.stack([cli.prepare_digit(enlarged(image)) for image in TEST[:200]])
    again = np.stack([cli.prepare_digit(image) for image in TEST[:200]])
    np.testing.assert_allclose(prepared, again, atol=2e-7)      # size, place and sign make no difference
    assert np.abs(prepared - scale_pixels(TEST[:200])).mean() < 0.002
    assert np.mean(np.abs(prepared - scale_pixels(TEST[:200])).max(axis=(1, 2)) < 1 / 255) > 0.7
    for name in ("mlp", "cnn"):
        network, _ = cli.load_reader(name)
        assert evaluate(network, prepared, LABELS[:200])["accuracy"] >= 0.97


@pytest.mark.parametrize("change", [
    lambda g: g / 255, lambda g: g.astype(np.float32), lambda g: g * 37.0 - 4000, lambda g: g.astype(np.int64), lambda g: -g.astype(float),
    lambda g: 255 - g, lambda g: np.asfortranarray(g), lambda g: np.repeat(g, 2, axis=1)[:, ::2], lambda g: g.tolist(),
], ids=["0..1", "float32", "any unit", "int64", "negative", "inverted", "by columns", "strided", "lists"])
def test_unit_sign_type_and_memory_make_no_difference(change):
    gray = enlarged(TEST[7], zoom=3)
    kept = gray.copy()
    gray.flags.writeable = False
    np.testing.assert_allclose(cli.prepare_digit(change(gray)), cli.prepare_digit(gray), atol=2e-7)
    assert np.array_equal(gray, kept)


def test_a_bitmap_of_true_and_false_is_a_picture():
    assert np.array_equal(cli.prepare_digit(TEST[3] > 99), cli.prepare_digit(255 * (TEST[3] > 99)))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 9999))
def test_the_center_is_within_half_a_pixel_of_14(k):
    prepared = cli.prepare_digit(TEST[k]).astype(float)
    rows, columns = np.flatnonzero(prepared.any(axis=1)), np.flatnonzero(prepared.any(axis=0))
    for center, places in zip(cli.center_of_mass(prepared), (rows, columns)):
        assert abs(center - 14) <= 0.5 + 1e-6 or places[0] == 0 or places[-1] == 27
    assert max(np.ptp(rows), np.ptp(columns)) <= 19


def test_what_would_stick_out_is_moved_back_inside():
    ramp = np.zeros((60, 60))
    ramp[20:40, 20] = 110
    ramp[39, 20:40] = 1000
    prepared = cli.prepare_digit(ramp)      # heavy at its foot: centred, its head would be above the field
    assert cli.center_of_mass(prepared)[0] > 17 and prepared[0].any() and not prepared[20:].any()
    assert np.flatnonzero(cli.prepare_digit(ramp[::-1]).any(axis=1))[-1] == 27
    line = np.zeros((40, 700))
    line[20, 30:670] = 1.0
    assert np.flatnonzero(cli.prepare_digit(line).any(axis=1)).size == 1


def test_grain_and_uneven_light():
    rng, photos = np.random.default_rng(0), []
    for image in TEST[:40]:
        ink = enlarged(image, inverted=False) / 255
        light = np.linspace(0.6, 0.9, ink.shape[1]) + rng.normal(0, 0.01, ink.shape)
        photos.append(light * (1 - 0.8 * ink))
        assert cli.crop_to_ink(photos[-1].max() - photos[-1]).shape[0] == ink.shape[0]     # darker than the lightest: nearly all
    prepared = np.stack([cli.prepare_digit(photo) for photo in photos])
    for name in ("mlp", "cnn"):
        assert evaluate(cli.load_reader(name)[0], prepared, LABELS[:40])["accuracy"] >= 0.95


@pytest.mark.parametrize("gray, message", [
    (np.zeros((9, 9)), "no ink"), (np.full((28, 28), 255, np.uint8), "no ink"), ([[7]], "no ink"),
    (np.full((5, 5), np.nan), "NaN"), ([[0.0, np.inf]], "infinity"), (np.zeros((0, 5)), r"shaped \(0, 5\)"),
    (np.zeros((28, 28, 3)), r"shaped \(28, 28, 3\)"), (np.zeros(784), r"\(784,\)"), ([["a"]], "expected a picture"),
    (np.zeros((4, 4), complex), "complex128"), (None, "expected a picture"),
])
def test_what_is_no_picture_of_a_digit_is_refused(gray, message):
    with pytest.raises(ValueError, match=message):
        cli.prepare_digit(gray)


# --- files --------------------------------------------------------------------------------------------------


def write(array, name, **options):
    Image.fromarray(array).save(name, **options)
    return name


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "A.JPEG"])
def test_formats(name):
    write(enlarged(TEST[4]), name)
    found = json.loads(done("predict", name, "--json"))
    assert found[0]["digit"] == 4 and found[0]["file"] == name
    assert abs(sum(found[0]["probabilities"]) - 1) < 1e-2 and len(found[0]["probabilities"]) == 10


def test_kinds_of_pictures():
    gray = enlarged(TEST[0])
    expected = cli.prepare_digit(gray)
    write(np.stack([gray] * 3, axis=2), "colour.png")
    write(np.stack([gray * 0] * 3 + [255 - gray], axis=2), "transparent.png")
    write(gray.astype(np.uint16) * 257, "sixteen.png")
    Image.fromarray(gray).convert("P").save("palette.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    write(np.rot90(gray), "turned.png", exif=turned)
    write(np.stack([gray * 0 + 255] * 3 + [255 - gray], axis=2), "chalk.png")                # white strokes on nothing
    card = np.stack([gray] * 3 + [gray * 0 + 255], axis=2)
    card[:3, :3, 3] = card[-3:, -3:, 3] = 0                                                  # a sheet with round corners
    write(card, "card.png")
    for name in ("chalk", "card", "colour", "transparent", "sixteen", "palette", "turned"):
        assert np.abs(cli.read_digit(f"{name}.png") - expected).max() < 0.02, name
    Image.fromarray(gray).convert("1").save("bits.png")
    assert np.abs(cli.read_digit("bits.png") - expected).mean() < 0.03


def test_large_pictures_are_averaged_down():
    write(enlarged(TEST[0], zoom=60), "large.png")
    assert max(cli.read_gray("large.png").shape) < 400
    assert np.abs(cli.read_digit("large.png") - cli.prepare_digit(TEST[0])).max() < 0.2


def test_784_bytes_are_taken_as_they_are():
    Path("raw").write_bytes(TEST[0].tobytes())
    assert np.array_equal(cli.read_digit("raw"), scale_pixels(TEST[0]))
    Path("raw").write_bytes(TEST[0].tobytes()[:-1])
    assert "raw: expected a whole PNG, JPEG or BMP, or 784 bytes, got 783 bytes of something else" in run("predict", "raw").stderr
    picture = write(TEST[0], "p.png")
    data = Path(picture).read_bytes()
    Path("p.png").write_bytes(data + bytes(784 - len(data)))        # a picture of 784 bytes is a picture
    assert np.array_equal(cli.read_digit("p.png"), cli.prepare_digit(TEST[0]))


def test_as_is():
    write(TEST[0], "mine.png")
    assert np.array_equal(cli.read_digit("mine.png", as_is=True), scale_pixels(TEST[0]))
    assert json.loads(done("predict", "mine.png", "--as-is", "--json"))[0]["digit"] == 7
    write(TEST[0][1:], "short.png")
    assert "short.png: expected 28 x 28 pixels" in run("predict", "short.png", "--as-is").stderr
    write(enlarged(TEST[0], zoom=60)[:900], "large.png")
    assert "to be taken as they are, got 900 rows of 1782, uint8" in run("predict", "large.png", "--as-is").stderr
    write(TEST[0].astype(np.uint16), "deep.png")
    assert "uint16" in run("predict", "deep.png", "--as-is").stderr


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp"])
def test_damaged_pictures_never_raise(name, linear):
    rng, data = np.random.default_rng(0), Path(write(enlarged(TEST[2], zoom=2), name)).read_bytes()
    names = []
    for k in range(40):
        broken = bytearray(data[:rng.integers(0, len(data))] if k % 2 else data)
        for place in rng.integers(0, max(1, min(len(broken), 200)), k // 2) if broken else ():
            broken[place] = rng.integers(256)
        names.append(f"{k}-{name}")
        Path(names[-1]).write_bytes(broken)
    result = run("predict", *names, "--json", "--model", linear)
    lines = result.stderr.splitlines()
    assert len(json.loads(result.stdout)) + len(lines) == 40
    assert all(line.startswith("nnlib: ") for line in lines)


def test_an_absurdly_large_picture_is_refused_in_one_line():
    for side in (12_000, 20_000):       # Pillow warns about the first and refuses the second
        Image.new("1", (side, side), 1).save("bomb.png")
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            result = run("predict", "bomb.png", "--model", "mlp")
        assert result.exit_code == 1 and not found and len(result.stderr.splitlines()) == 1 and result.stderr.startswith("nnlib: bomb.png: ")


def test_one_bad_file_among_good_ones():
    write(enlarged(TEST[0]), "a.png"), write(np.zeros((30, 30), np.uint8), "blank.png"), write(enlarged(TEST[1]), "c.png")
    result = run("predict", "a.png", "blank.png", "gone.png", ".", "c.png")
    assert result.exit_code == 1
    rows = result.stdout.splitlines()
    assert [(row.split()[0], row.split()[-1]) for row in rows[1:]] == [("7", "a.png"), ("2", "c.png")]
    errors = result.stderr.splitlines()
    assert errors[0] == "nnlib: blank.png: no ink: nothing in the picture stands out from its border"
    assert errors[1] == "nnlib: gone.png: No such file or directory" and errors[2].startswith("nnlib: .: ")


def test_the_picture_in_letters():
    write(enlarged(TEST[0]), "a.png")
    lines = done("predict", "a.png", "--picture").splitlines()
    drawn = lines[2:]
    assert len(drawn) == 28 and "██" in drawn[8] and not drawn[0]
    result = run("predict", "a.png", "--picture", "--json")
    assert json.loads(result.stdout)[0]["digit"] == 7 and "██" in result.stderr
    assert cli.in_characters([[-1, -0.5, 0, 0.4, 1]]) == "##++  ░░██"


# --- networks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, count", [("linear", 7850), ("mlp", 235_146), ("small", 52_138), ("cnn", 72_666)])
def test_presets(name, count):
    assert cli.new_network(name).parameter_count == count


def test_the_presets_are_what_is_shipped():
    for name in ("mlp", "cnn"):
        assert cli.new_network(name).architecture() == cli.load_reader(name)[0].architecture()


def described(text, name="net.yaml"):
    Path(name).write_text(text)
    return cli.new_network(name, seed=4)


def test_a_description_is_the_network_it_describes():
    found = described("layers:\n- Dense: {units: 20, init: glorot_uniform}\n- Tanh\n- Dropout: 0.1\n- Dense: 10\ndtype: float64\n")
    assert [type(layer).__name__ for layer in found.given] == ["Dense", "Tanh", "Dropout", "Dense"]
    assert found.given[0].init.__name__ == "glorot_uniform" and found.dtype == np.float64 and found.input_shape == (28, 28)
    text = '{"layers": [{"Reshape": [1, 28, 28]}, {"Convolution": {"filters": 3, "kernel": 5, "stride": [2, 2]}}, "ReLU", {"Dense": 10}]}'
    both = described(text, "net.json"), described(text)
    assert both[0].architecture() == both[1].architecture() and np.array_equal(both[0].parameters, both[1].parameters)
    assert not np.array_equal(both[0].parameters, cli.new_network("net.json", seed=5).parameters)


def test_layers_within_layers():
    found = described("layers:\n- Dense: 12\n- Skip: {layers: [{Dense: 9}, ReLU], how: add, projection: {Dense: 9}}\n- Dense: 10\n")
    assert isinstance(found.given[1], Skip) and found.given[1].projection is not None
    found = described("layers:\n- Skips: {layers: [{Dense: 9}, ReLU], arrows: [[0, 2, {Dense: 9}]]}\n- Dense: 10\n")
    assert found.parameter_count == 2 * 9 * 785 + 100


def laughs(first):
    """A list of lists of lists … that is short in YAML and has more than 9 ** 9 numbers."""
    return f"{first}[&a [1, 1, 1, 1, 1, 1, 1, 1, 1], " + "".join(f"&{y} [{', '.join([f'*{x}'] * 9)}], " for x, y in zip("abcdefghi", "bcdefghij")) + "*j]"


@pytest.mark.parametrize("text, message", [
    ("layers: [Relu]", "layer 1: the file asks for 'Relu'"),
    ("layers: [ReLU, {Dense: {unit: 3}}]", "layer 2: Dense: expected settings from units, bias, init, got 'unit'"),
    ("layers: [{ReLU: 3}]", r"layer 1: ReLU: expected settings from \(none\), got '3'"),
    ("layers: [{Dense: ten}]", "layer 1: Dense: expected whole units >= 1, got 'ten'"),
    ("layers: [Dense]", "layer 1: .*missing 1 required"),
    ("layers: [{SGD: 0.1}]", "layer 0 should be a layer"),
    ("layers: [he_normal]", "layer 1"),
    ("layers: [[Dense, 3]]", "layer 1: expected a layer such as ReLU or Dense: 10"),
    ("layers: [{Dense: 3, ReLU: {}}]", "layer 1: expected a layer such as"),
    ("layers: [{3: 4}]", "layer 1: the file asks for 3"),
    ("layers: [{Dense: {units: 10, init: os.system}}]", "os.system"),
    ("layers: []", "at least one layer"),
    ("layers: [{Dense: 9}]", r"to 10 outputs, got one from \(28, 28\) to \(9,\)"),
    ("layers: [{Dense: 10}, Softmax]", "leave it out"),
    ("layers: [{Convolution: {filters: 2, kernel: 40}}, {Dense: 10}]", "net.yaml: "),
    ("layers: [{Dense: 10}]\ndtype: float16", "float32 or float64"),
    ("layers: [{Dense: 10}]\ndtype: horse", "horse"),
    ("layers: {Dense: 10}", "expected layers, a list"), ("- Dense: 10", "expected layers, a list"),
    ("layer: [ReLU]", "expected layers, a list"), ("", "expected layers, a list"), ("layers: [ReLU]\nsize: 3", "expected layers, a list"),
    ("layers: [{Dense: 10},\n", "line 2: .*'<stream end>'"), ("\0", "net.yaml: "), ("layers: [&x {Skip: {layers: [*x]}}]", "layer 1: nested too deep"),
    ("layers: [Skip]", "layer 1: Skip: expected at least one layer"),
    ("layers: [{Skip: {layers: ReLU}}]", "layer 1: Skip: expected a list of layers, got 'ReLU'"), ("layers: [{Dense: 10}]\ndtype: null", "None"),
    (laughs("layer: "), "expected layers, a list"), (laughs("layers: [ReLU, ") + "]", "layer 2: expected a layer such as"),
    ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
])
def test_descriptions_that_are_refused(text, message):
    with pytest.raises(ValueError, match=message) as found:
        described(text)
    assert re.match(r"net.yaml(, line \d)?: ", str(found.value))
    assert refused("train", "--model", "net.yaml") == f"nnlib: {cli.one_line(found.value)}"
    assert not list(Path().glob("*.safetensors"))


def test_json_descriptions_are_read_strictly():
    with pytest.raises(ValueError, match="net.json: .*twice"):
        described('{"layers": ["ReLU"], "layers": []}', "net.json")


def test_names_of_networks(monkeypatch, tmp_path, linear):
    assert cli.model_path(str(linear)) == linear
    assert cli.model_path("mlp") == SHIPPED / "mlp.safetensors"
    assert "expected the file of a checkpoint, or one of cnn, mlp, got 'mpl'" in refused("evaluate", "mpl")
    monkeypatch.setenv("NNLIB_PRETRAINED", str(tmp_path))
    assert "one of (none), got 'mlp'" in refused("show", "mlp")
    beside = Path(importlib.import_module("nnlib").__file__).parent / "pretrained"
    monkeypatch.delenv("NNLIB_PRETRAINED")
    assert cli.model_path("cnn") == beside / "cnn.safetensors" if beside.is_dir() else refused("show", "cnn")


def test_checkpoints_that_are_refused(linear):
    Path("torn.safetensors").write_bytes(linear.read_bytes()[:-5])
    assert "torn.safetensors" in refused("evaluate", "torn.safetensors")
    Path("text.txt").write_text("hello")
    assert "expected a name ending in .json or .safetensors" in refused("show", "text.txt")
    save("other.json", Network(Dense(3)).build(5))
    for line in (["evaluate", "other.json"], ["predict", "a.png", "--model", "other.json"], ["submit", "other.json"]):
        assert "other.json: expected a network from 28 x 28 pixels to 10 outputs, got one from (5,) to (3,)" in refused(*line)


def test_the_shipped_networks():
    files = {path.stem: path for path in SHIPPED.glob("*")}
    assert set(files) == {"mlp", "cnn"} and sum(path.stat().st_size for path in files.values()) < 1.4e6
    for path in files.values():
        notes = describe(path)["notes"]
        assert {"trained_on", "test_accuracy", "command", "seed", "epochs", "preprocessing"} <= set(notes)
        assert notes["preprocessing"] == cli.PREPARATION


def test_floors_of_the_shipped_networks():
    """What the chapter's figures rest on."""
    for name, floor in (("mlp", 0.98), ("cnn", 0.98)):
        network, notes = cli.load_reader(name)
        n = 10_000 if name == "mlp" else 2_000
        accuracy = evaluate(network, scale_pixels(TEST[:n]), LABELS[:n])["accuracy"]
        assert accuracy > floor
        assert name == "cnn" or round(accuracy, 4) == pytest.approx(notes["test_accuracy"], abs=3e-4)


def test_preparation_decides():
    """The chapter's figure: unprepared digits are lost, prepared ones are not."""
    images, labels = scale_pixels(TEST[:300]), LABELS[:300]
    moved = np.pad(images, ((0, 0), (4, 0), (4, 0)))[:, :28, :28]
    R = cli.overlap_matrix(28, 56)
    small = (R @ np.pad(images, ((0, 0), (14, 14), (14, 14))) @ R.T).astype(np.float32)
    for name in ("mlp", "cnn"):
        network, _ = cli.load_reader(name)
        for pictures, worst in ((moved, 1.0 if name == "cnn" else 0.5), (small, 0.85)):
            prepared = np.stack([cli.prepare_digit(picture) for picture in pictures])
            assert evaluate(network, prepared, labels)["accuracy"] > 0.93
            assert evaluate(network, pictures, labels)["accuracy"] < worst


# --- evaluate, show, export, submit -------------------------------------------------------------------------


def test_evaluate(linear):
    text = done("evaluate", "mlp", "--first", 1000)
    found = json.loads(done("evaluate", "mlp", "--first", 1000, "--json"))
    assert found["digits"] == 1000 and found["accuracy"] > 0.96
    assert f"{100 * found['accuracy']:.2f} % of 1,000 digits are right, {round(1000 * (1 - found['accuracy']))} wrong" in text
    rows = done("evaluate", linear, "--first", 500, "--confusion").splitlines()[-10:]
    table = np.array([list(map(int, row.split())) for row in rows])
    assert table.sum() == 500 and np.array_equal(table.sum(axis=1), np.bincount(LABELS[:500], minlength=10))


def pretend_kaggle(monkeypatch, folder):
    """A data folder with Kaggle's two files, as far as anyone can see."""
    digits = DigitRecognizer(MNIST[0][0][:600], MNIST[0][1][:600], TEST[:50], None, "Kaggle")
    (folder / "train.csv").write_text("not read here")
    monkeypatch.setattr(cli, "read_digit_recognizer", lambda train, test: digits)
    return folder


def test_kaggles_folder(monkeypatch, tmp_path, linear):
    folder = pretend_kaggle(monkeypatch, tmp_path)
    assert "Kaggle keeps the labels" in refused("evaluate", linear, "--data", folder)
    assert "550 digits of Kaggle" not in done("train", "--data", folder, "--epochs", 1, "--held-back", 50)
    assert load("model.safetensors").notes["trained_on"] == "550 digits of Kaggle"


def test_half_of_kaggles_files(tmp_path, linear):
    (tmp_path / "test.csv").write_text("")
    assert "train.csv: no such file, but test.csv is there" in refused("submit", linear, "--data", tmp_path)


def test_data_that_is_not_there(tmp_path, linear):
    assert "no such file" in refused("evaluate", linear, "--data", tmp_path) and "--data FOLDER names" in refused("submit", linear, "--data", tmp_path)
    assert "no such file" in refused("train", "--data", tmp_path / "nowhere")


def test_show(linear):
    text = done("show", linear)
    assert ["Dense", "(10,)", "7,850"] in map(str.split, text.splitlines()) and "by: a test" in text and describe(linear)["sha256"][:16] in text
    assert "Convolution" in done("show", "cnn")


def test_any_network_can_be_shown_and_exported():
    save("other.json", Network(Dense(3)).build(5), notes={"preprocessing": "centimetres", "trained_on": 150})
    text = done("show", "other.json")
    assert ["Dense", "(3,)", "18"] in map(str.split, text.splitlines()) and "trained_on: 150" in text
    done("export", "other.json", "o.onnx")
    assert run_onnx("o.onnx", np.zeros((2, 5)))["logits"].shape == (2, 3)
    assert told("o.onnx") == {"preprocessing": "centimetres"}
    save("silent.json", Network(Dense(3)).build(5))
    done("export", "silent.json", "s.onnx")
    assert told("s.onnx") == {"preprocessing": "not stated"}


def told(path):
    """The metadata of an ONNX file."""
    import onnx
    return {p.key: p.value for p in onnx.load(path).metadata_props}


def test_filters(linear):
    done("show", "cnn", "--filters", "c.png")
    picture, (network, _) = np.asarray(Image.open("c.png")), cli.load_reader("cnn")
    assert picture.shape == (15 * 16, 15 * 16, 3)
    W = network.layers[network.first].W[5, 0]
    corner = picture[4 * 16:7 * 16, 4 * 16:7 * 16][8::16, 8::16].astype(int)
    signed = (corner[..., 0] - corner[..., 2]) / 255
    np.testing.assert_allclose(signed, W / np.abs(W).max(), atol=1 / 255)
    drawn = done("show", linear, "--filters", "-").split("\n\n")[-1]
    assert len(drawn.splitlines()) == 28 and set(drawn) <= set(cli.LETTERS + "\n")
    described("layers: [ReLU, {Dense: 10}]")
    save("plain.json", cli.new_network("net.yaml"))
    done("show", "plain.json", "--filters", "d.png")
    assert Image.open("d.png").size == (4 * 29 - 1, 3 * 29 - 1)
    described("layers: [{MaxPool: 2}, {Dense: 10}]")
    save("pooled.json", cli.new_network("net.yaml"))
    assert "expected a first layer with filters" in refused("show", "pooled.json", "--filters", "-")


def test_what_cannot_be_written_is_refused_before_any_work(monkeypatch, linear):
    assert "x.jpg: expected a name ending in .png" in refused("show", linear, "--filters", "x.jpg")
    assert run("show", linear, "--filters", "no/x.png").stdout == ""
    monkeypatch.setattr(cli, "load", lambda name: pytest.fail("it has begun"))
    for line in (["show", "mlp", "--filters", "no/x.png"], ["export", "mlp", "no/x.onnx"], ["submit", "mlp", "--output", "no/s.csv"], ["submit", "mlp", "--output", "."]):
        assert "expected a file in a folder that exists" in refused(*line)


def test_a_filter_of_zeros_is_drawn():
    assert np.array_equal(cli.contact_sheet(np.zeros((3, 2, 2)), 2), np.zeros((5, 5)))


def test_export(linear):
    assert "m.onnx: " in done("export", "mlp", "m.onnx", "--also", "relu1")
    x = scale_pixels(TEST[:7])
    found, (network, _) = run_onnx("m.onnx", x), cli.load_reader("mlp")
    np.testing.assert_allclose(found["logits"], network.predict(x), rtol=1e-4, atol=1e-5)     # another order of sums
    assert found["relu1"].shape == (7, 256)
    assert told("m.onnx") == {"preprocessing": cli.PREPARATION}
    assert "expected a name ending in .onnx" in refused("export", linear, "m.pt")
    assert refused("export", linear, "m2.onnx", "--also", "relu7") and not Path("m2.onnx").exists()
    assert refused("export", linear, "no/where.onnx")


def test_submit(linear):
    text = done("submit", linear, "--output", "s.csv")
    validate_submission("s.csv")
    assert "28,000 answers" in text and "worthless" in text and "to hand it in" not in text
    assert "nothing to hand in" in refused("submit", linear, "--output", "t.csv", "--upload")
    assert not Path("t.csv").exists()
    assert "too good to be true" not in text


def client(folder, code, text):
    """A program called kaggle that notes its arguments."""
    folder.mkdir()
    script = folder / "kaggle"
    script.write_text(f"#!{sys.executable}\nimport sys, json\njson.dump(sys.argv[1:], open('asked.json', 'w'))\nprint({text!r})\nsys.exit({code})\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(folder)


@pytest.mark.skipif(os.name == "nt", reason="the client is pretended by a script with a first line that Windows does not read")
def test_uploading_is_left_to_the_official_client(monkeypatch, tmp_path, linear):
    folder = pretend_kaggle(monkeypatch, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert "to hand it in: kaggle competitions submit -c digit-recognizer -f submission.csv -m nnlib" in done("submit", linear, "--data", folder)
    assert "pip install kaggle" in refused("submit", linear, "--data", folder, "--output", "never.csv", "--upload")
    assert not Path("never.csv").exists()
    monkeypatch.setenv("PATH", client(tmp_path / "good", 0, "Successfully submitted"))
    text = done("submit", linear, "--data", folder, "--upload", "--message", "two words", "--output", "s.csv")
    assert "Successfully submitted" in text and validate_submission("s.csv", 50) is None
    assert json.loads(Path("asked.json").read_text()) == ["competitions", "submit", "-c", "digit-recognizer", "-f", "s.csv", "-m", "two words"]
    monkeypatch.setenv("PATH", client(tmp_path / "bad", 1, "401\nUnauthorized"))
    assert "Kaggle's client refused submission.csv: 401 Unauthorized" in refused("submit", linear, "--data", folder, "--upload")


def test_a_network_that_knows_the_answers_is_told_so(monkeypatch, tmp_path):
    assert "too good to be true" in done("submit", "mlp", "--data", pretend_kaggle(monkeypatch, tmp_path))


# --- train --------------------------------------------------------------------------------------------------

QUICK = ("--model", "linear", "--first", 700, "--held-back", 100)


def test_train_learns_and_says_so():
    result = run("train", *QUICK, "--epochs", 3, "--csv", "losses.csv", "--output", "a.json")
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert len(lines) == 3 and lines[2].startswith("epoch   3 of 3   loss ") and "% right" in lines[2]
    rows = [line.split(",") for line in Path("losses.csv").read_text().splitlines()]
    assert rows[0][:5] == ["epoch", "learning_rate", "loss", "val_loss", "val_accuracy"] and len(rows) == 4
    assert float(rows[3][4]) > 0.75 and "a.json: 7,850 parameters" in result.stdout
    assert evaluate(load("a.json").network, scale_pixels(TEST[:1000]), LABELS[:1000])["accuracy"] > 0.7
    assert load("a.json").notes == {"model": "linear", "preprocessing": cli.PREPARATION, "epochs": 3, "seed": 0,
                                    "trained_on": "600 digits of MNIST", "augmented": False}


@pytest.mark.parametrize("options", [
    *[f"--optimizer {name}" for name in cli.OPTIMIZERS], "--augment", "--threads 2", "--no-cosine --learning-rate 0.01",
    "--weight-decay 0.001", "--held-back 0", "--batch-size 7 --seed 3",
])
def test_train_options(options):
    done("train", *QUICK, "--epochs", 1, *options.split())
    x = scale_pixels(MNIST[0][0][:600])
    assert evaluate(load("model.safetensors").network, x, MNIST[0][1][:600])["accuracy"] > 0.3


def test_seed_and_augmentation_change_what_is_learned():
    found = []
    for options in ([], [], ["--augment"], ["--seed", 1], ["--batch-size", 32]):
        done("train", *QUICK, "--epochs", 1, *options)
        found.append(load("model.safetensors").network.parameters.tobytes())
    assert found[0] == found[1] and len(set(found)) == 4


def test_options_reach_the_optimizer():
    network = cli.new_network("linear")
    rule = cli.choose_optimizer("adamw", None, True, 0.1, network, 100)
    assert type(rule).__name__ == "AdamW" and rule.learning_rate.steps == 100 and rule.learning_rate.warmup == 5
    assert rule.weight_decay[:7840].tolist() == [np.float32(0.1)] * 7840 and not rule.weight_decay[7840:].any()
    rule = cli.choose_optimizer("nesterov", 0.3, False, None, network, 100)
    assert rule.learning_rate == 0.3 and rule.momentum == 0.9 and rule.nesterov and rule.weight_decay == 0


@pytest.mark.parametrize("options", [["--optimizer", "adam"], ["--augment", "--optimizer", "nesterov"]], ids=["adam", "augmented"])
def test_a_resumed_run_ends_in_the_same_file(options):
    described("layers: [{Dense: 20}, ReLU, {Dropout: 0.3}, {Dense: 10}]")
    line = ("train", "--model", "net.yaml", "--first", 700, "--held-back", 100, "--epochs", 4, "--seed", 2, *options)
    done(*line, "--output", "whole.safetensors", "--csv", "whole.csv")
    done(*line, "--output", "half.safetensors", "--checkpoints", "run")
    for epoch in (3, 4):        # as if it had been killed after the second epoch
        Path(f"run/epoch-{epoch:06d}.safetensors").unlink()
    result = run(*line, "--output", "resumed.safetensors", "--checkpoints", "run", "--resume", "--csv", "resumed.csv")
    assert result.exit_code == 0 and result.stderr.splitlines()[0] == "going on after epoch 2" and len(result.stderr.splitlines()) == 3
    assert Path("resumed.safetensors").read_bytes() == Path("whole.safetensors").read_bytes() == Path("half.safetensors").read_bytes()
    tables = [[row.split(",")[:5] for row in Path(name).read_text().splitlines()] for name in ("whole.csv", "resumed.csv")]
    assert tables[0] == tables[1] and len(tables[0]) == 5


def test_stride_of_checkpoints():
    done("train", *QUICK, "--epochs", 5, "--checkpoints", "run", "--every", 2)
    assert [path.stem for path in Checkpoints("run").paths()] == ["epoch-000002", "epoch-000004", "epoch-000005"]
    assert load("run/epoch-000004.safetensors").notes["model"] == "linear"
    assert "a run of 4 epochs so far, by SGD" in done("show", "run/epoch-000004.safetensors")
    assert "run: has checkpoints already; --resume goes on" in refused("train", *QUICK, "--epochs", 5, "--checkpoints", "run")
    assert "belongs to another" in refused("train", *QUICK, "--epochs", 6, "--checkpoints", "run", "--resume")
    assert "nothing to go on from, beginning" in run("train", *QUICK, "--epochs", 1, "--checkpoints", "empty", "--resume").stderr


@pytest.mark.parametrize("line, message", [
    (["--model", "mpl"], "expected a model from linear, mlp, small, cnn, or the file of a description, got 'mpl'"),
    (["--output", "model.pt"], "model.pt: expected a name ending in .safetensors or .json"),
    (["--output", "no/where.json"], "no/where.json: expected a file in a folder that exists"),
    (["--csv", "no/where.csv"], "no/where.csv: expected a file in a folder that exists"),
    (["--csv", "."], "expected a file in a folder that exists"),
    (["--first", 50, "--held-back", 50], "expected to hold back fewer than all 50 digits, got 50"),
    (["--csv", "model.safetensors"], "model.safetensors: expected another file than the network's"),
    (["--weight-decay", "inf"], "inf"),
], ids=str)
def test_what_train_refuses(line, message):
    assert message in refused("train", "--epochs", 1, *line) and not list(Path().iterdir())


def test_a_run_that_diverges_leaves_nothing_behind():
    save("model.safetensors", Network(Dense(10)).build(784))
    before = Path("model.safetensors").read_bytes()
    described("layers: [{Dense: 20}, {Dense: 20}, {Dense: 10}]")
    line = refused("train", "--model", "net.yaml", "--first", 700, "--held-back", 100, "--optimizer", "sgd", "--learning-rate", 1e9, "--no-cosine")
    assert "learning rate" in line and Path("model.safetensors").read_bytes() == before


# --- being a command ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [
    ["dance"], ["predict"], ["train", "--epochs", 0], ["train", "--epochs", "many"], ["train", "--optimizer", "magic"], ["train", "--resume"],
    ["train", "--learning-rate", -1], ["train", "--learning-rate", 0], ["train", "--learning-rate", "nan"], ["train", "--learning-rate", "inf"], ["evaluate", "--first", 0], ["predict", "a.png", "--colour"], ["export", "mlp"], [],
], ids=str)
def test_a_line_that_is_not_understood_ends_with_2(line):
    result = run(*line)
    assert result.exit_code == 2 and "Traceback" not in result.output


@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "show", "export", "submit"])
def test_help(command):
    text = done(command, "--help")
    assert f"{command} [OPTIONS]" in text and command in done("--help")
    assert "--model" in text or "MODEL" in text.upper()


def test_help_is_readable_in_80_columns(monkeypatch):
    text = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}).invoke(cli.APP, ["train", "--help"]).stdout
    assert max(map(len, text.splitlines())) <= 80 and len(text.splitlines()) < 60
    assert not [name for name in cli.OPTIMIZERS if name not in re.findall(r"\w+", text)]


def test_version():
    assert done("--version") == f"nnlib {importlib.import_module('nnlib').__version__}\n"


@pytest.mark.parametrize("error, line", [
    (ValueError("two\n lines"), "two lines"), (ValueError(), "ValueError"), (OSError(13, "Permission denied", "x"), "x: Permission denied"),
    (OSError(28, "No space left on device"), "No space left on device"), (OSError("odd"), "odd"), (MemoryError(), "MemoryError"),
    (ModuleNotFoundError("No module named 'onnx'", name="onnx"), "this needs the package onnx, which is not installed"),
    (MissingFile("a: no such file"), "a: no such file; --data FOLDER names another place, with MNIST's four files or Kaggle's two"),
], ids=str)
def test_one_line(error, line):
    assert cli.one_line(error) == line


def test_a_package_that_is_missing(monkeypatch, linear):
    monkeypatch.setitem(sys.modules, "nnlib.onnx", None)
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert "nnlib.onnx" in refused("export", linear, "x.onnx")
    Path("net.yaml").write_text("layers: [ReLU]")
    assert "this needs the package yaml, which is not installed" in refused("train", "--model", "net.yaml")


def test_a_run_that_is_stopped_says_so_and_goes_on(monkeypatch):
    line = ("train", *QUICK, "--epochs", 3, "--checkpoints", "run")
    keep = Checkpoints.save

    def stop(self, run):
        keep(self, run)
        if len(run.rows) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", stop)
    result = run(*line)
    assert result.exit_code == 130 and result.stderr.splitlines()[-1] == "nnlib: stopped" and not Path("model.safetensors").exists()
    monkeypatch.setattr(Checkpoints, "save", keep)
    assert run(*line, "--resume").stderr.startswith("going on after epoch 2\n")


def test_our_own_mistakes_are_not_hidden(monkeypatch):
    monkeypatch.setattr(cli, "load_reader", lambda name: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("evaluate")


def test_the_entry_point_in_a_process_of_its_own():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    module, _, name = scripts["nnlib"].partition(":")
    write(enlarged(TEST[0]), "seven.png")
    line = [sys.executable, "-c", f"from {module} import {name}; {name}()", "predict", "seven.png", "gone.png", "--json", "--model", "mlp"]
    path = os.pathsep.join([str(Path(cli.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    found = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, timeout=60)
    assert found.returncode == 1 and json.loads(found.stdout)[0]["digit"] == 7
    assert found.stderr.strip() == "nnlib: gone.png: No such file or directory"

"""nnlib.data: every loader on good and on bad files, the splits, and the frame."""

import ctypes
import gzip
import hashlib
import http.server
import json
import math
import mmap
import os
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnlib import data
from reference import data as reference

settings.register_profile("data", deadline=None)
settings.load_profile("data")
PIXELS = [f"pixel{i}" for i in range(784)]
CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def refuses(*words, error=data.DataError):
    """Expect an error whose text has all of these words."""
    pattern = "".join(f"(?=.*{word})" for word in words)
    return pytest.raises(error, match=f"(?s){pattern}")


# --- IDX files ---------------------------------------------------------------------


def idx_bytes(array):
    head = bytes([0, 0, CODES[array.dtype.str[1:]], array.ndim])
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


arrays = st.sampled_from(sorted(CODES)).flatmap(
    lambda code: hnp.arrays(code, hnp.array_shapes(max_dims=4, min_side=0, max_side=4)))


@given(arrays, st.booleans())
def test_idx_round_trip(tmp_path_factory, array, compress):
    path = tmp_path_factory.mktemp("idx") / "any-name"
    raw = idx_bytes(array)
    path.write_bytes(gzip.compress(raw) if compress else raw)
    read = data.read_idx(path)
    assert read.dtype == array.dtype and read.dtype.isnative and not read.flags.writeable
    np.testing.assert_array_equal(read, array)
    np.testing.assert_array_equal(reference.read_idx(path), array)


@given(st.binary(max_size=40))
def test_idx_any_bytes_are_an_array_or_an_error(raw):
    for bytes_ in (raw, b"\0\0\x08" + raw):
        try:
            assert isinstance(data.parse_idx(bytes_), np.ndarray)
        except ValueError:
            pass


GOOD = idx_bytes(np.arange(6, dtype="i2").reshape(2, 3))


@pytest.mark.parametrize("raw, words", [
    (b"", ["no bytes"]),
    (GOOD[:3], ["expected an IDX file", "00 00 0b"]),
    (b"\x89PNG" + GOOD, ["expected an IDX file", "89 50 4e 47"]),
    (b"\0\0\x0a\x01" + GOOD[4:], ["expected an IDX file", "0a"]),
    (b"\0\0\x08\0", ["1 to 32 dimensions"]),
    (GOOD[:10], ["header of 12 bytes", "got 10"]),
    (GOOD[:-1], [r"\(2, 3\)", "int16", "24 bytes in all, got 23"]),
    (GOOD + b"\0", ["24 bytes in all, got 25"]),
    (b"\0\0\x08\x02" + b"\xff" * 8, ["got 12"]),
], ids=["empty", "tiny", "other magic", "unknown type", "no dimensions", "cut header", "cut", "trailing",
        "enormous"])
def test_idx_refusals(tmp_path, raw, words):
    path = tmp_path / "bad-idx"
    path.write_bytes(raw)
    with refuses("bad-idx", *words):
        data.read_idx(path)


def test_gzip_refusals(tmp_path):
    whole = gzip.compress(GOOD)
    for name, raw in {"cut": whole[:-9], "crc": whole[:-8] + bytes(4) + whole[-4:], "noise":
                      whole[:12] + b"\xff\xff" + whole[14:], "head": whole[:2]}.items():
        (tmp_path / name).write_bytes(raw)
        with refuses(name, "gzip data cut off or damaged"):
            data.read_idx(tmp_path / name)


def test_missing_file_is_a_missing_file(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"")
    with refuses("did you mean train-images-idx3-ubyte.gz", error=FileNotFoundError):
        data.read_idx(tmp_path / "train-images-idx3-ubyte")
    with refuses("data/README.md"):
        data.read_idx(tmp_path / "no-folder" / "x")
    with refuses("expected a file, got a folder"):
        data.read_idx(tmp_path)


# --- MNIST -------------------------------------------------------------------------


@pytest.fixture(scope="session")
def mnist():
    return data.load_mnist()


def test_mnist(mnist):
    (images, labels), (test_images, test_labels) = mnist
    assert images.shape == (60_000, 28, 28) and test_images.shape == (10_000, 28, 28)
    for array in (images, labels, test_images, test_labels):
        assert array.dtype == np.uint8 and not array.flags.writeable
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert labels[:5].tolist() == [5, 0, 4, 1, 9]


def test_no_two_images_are_identical(mnist):
    (images, _), (test_images, _) = mnist
    assert len({image.tobytes() for array in (images, test_images) for image in array}) == 70_000


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    """A folder with four tiny files and their digests in place of the published ones."""
    folder, digests = tmp_path / "data", {}
    folder.mkdir()
    for name in data.MNIST_MD5:
        array = np.zeros((70, 28, 28) if "images" in name else 70, np.uint8)
        array[:] = np.arange(70).reshape(-1, *[1] * (array.ndim - 1)) % 10
        raw = idx_bytes(array)
        (folder / f"{name}.gz").write_bytes(gzip.compress(raw))
        digests[name] = hashlib.md5(raw).hexdigest()
    monkeypatch.setattr(data, "MNIST_MD5", digests)
    return folder


def test_mnist_gzip_or_plain(small_mnist):
    name = "t10k-labels-idx1-ubyte"
    raw = gzip.decompress((small_mnist / f"{name}.gz").read_bytes())
    (small_mnist / f"{name}.gz").unlink()
    (small_mnist / name).write_bytes(raw)
    assert data.load_mnist(str(small_mnist))[1][1].tolist() == [i % 10 for i in range(70)]


def test_mnist_refuses_other_content(small_mnist):
    path = small_mnist / "train-labels-idx1-ubyte.gz"
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[-1] ^= 1
    path.write_bytes(gzip.compress(raw))
    expected = data.MNIST_MD5["train-labels-idx1-ubyte"]
    with refuses("train-labels-idx1-ubyte.gz", f"expected .*{expected}, got", hashlib.md5(raw).hexdigest()):
        data.load_mnist(small_mnist)
    path.unlink()
    with refuses("train-labels-idx1-ubyte.gz: no such file", error=FileNotFoundError):
        data.load_mnist(small_mnist)


def test_data_folder(small_mnist, monkeypatch, tmp_path):
    deep = tmp_path / "book" / "notebooks"
    deep.mkdir(parents=True)
    (deep / "data").mkdir()  # a folder of that name without MNIST in it is passed over
    monkeypatch.delenv("NNLIB_DATA", raising=False)
    monkeypatch.chdir(deep)
    assert data.data_folder().samefile(small_mnist)
    monkeypatch.setenv("NNLIB_DATA", str(deep))
    assert data.data_folder() == deep
    monkeypatch.setenv("NNLIB_DATA", str(deep / "nowhere"))
    with refuses("NNLIB_DATA", "nowhere", "expected an existing folder", error=FileNotFoundError):
        data.data_folder()


def test_no_data_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("NNLIB_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with refuses("no folder data/", "NNLIB_DATA", error=FileNotFoundError):
        data.data_folder()


# --- Fashion-MNIST -----------------------------------------------------------------


@pytest.fixture
def small_fashion(tmp_path, monkeypatch):
    """A folder that stands for the address the files come from, and their digests; nothing elsewhere."""
    source, digests = tmp_path / "source", {}
    source.mkdir()
    for name in data.FASHION_MD5:
        raw = idx_bytes(np.full((7, 28, 28) if "images" in name else 7, len(name), np.uint8))
        (source / f"{name}.gz").write_bytes(gzip.compress(raw))
        digests[name] = hashlib.md5(raw).hexdigest()
    monkeypatch.setattr(data, "FASHION_MD5", digests)
    monkeypatch.setattr(data, "FASHION_URL", source.as_uri())
    monkeypatch.setattr(data, "DEBIAN_FASHION", str(tmp_path / "debian"))
    monkeypatch.setenv("NNLIB_DATA", str(tmp_path))
    return source


def test_fashion_is_not_downloaded_unasked(small_fashion, tmp_path):
    with refuses("fashion-mnist: expected Fashion-MNIST's four files", r"download=True", "dataset-fashion-mnist",
                 error=FileNotFoundError):
        data.load_fashion_mnist()
    assert not (tmp_path / "fashion-mnist").exists()


def test_fashion_is_downloaded_once(small_fashion, tmp_path, monkeypatch):
    (images, labels), (test_images, test_labels) = data.load_fashion_mnist(download=True)
    assert images.shape == test_images.shape == (7, 28, 28) and labels.shape == test_labels.shape == (7,)
    names = sorted(path.name for path in (tmp_path / "fashion-mnist").iterdir())
    assert names == sorted(f"{name}.gz" for name in data.FASHION_MD5)
    monkeypatch.setattr(data, "FASHION_URL", "file:///nowhere")
    assert data.load_fashion_mnist(download=True)[0][0].shape == (7, 28, 28)
    assert data.load_fashion_mnist(tmp_path / "fashion-mnist")[0][0].shape == (7, 28, 28)
    (tmp_path / "fashion-mnist" / names[0]).unlink()
    with refuses("download failed"):
        data.load_fashion_mnist(download=True)


def test_fashion_where_debian_puts_it_and_plain(small_fashion, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "DEBIAN_FASHION", str(small_fashion))
    assert data.load_fashion_mnist()[1][1].shape == (7,)
    with refuses("expected Fashion-MNIST's four files", error=FileNotFoundError):
        data.load_fashion_mnist(tmp_path / "elsewhere")
    for path in small_fashion.iterdir():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert data.load_fashion_mnist(small_fashion)[1][1].shape == (7,)


@pytest.mark.parametrize("damage", ["other", "cut", "missing"])
def test_fashion_a_bad_download_leaves_nothing(small_fashion, tmp_path, damage):
    path = small_fashion / "t10k-images-idx3-ubyte.gz"
    raw = path.read_bytes()
    path.write_bytes(gzip.compress(b"other")) if damage == "other" else path.write_bytes(raw[:-9])
    if damage == "missing":
        path.unlink()
    with refuses({"other": "expected content with MD5", "cut": "cut off", "missing": "t10k-images.*download failed"}[damage],
                 error=data.DataError):
        data.load_fashion_mnist(download=True)
    assert not any((tmp_path / "fashion-mnist").glob("*t10k-images*"))


def test_fashion_over_http(small_fashion, tmp_path, monkeypatch):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(small_fashion))

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(data, "FASHION_URL", f"http://127.0.0.1:{server.server_port}")
        assert data.load_fashion_mnist(download=True)[0][0].shape == (7, 28, 28)
        (small_fashion / "t10k-labels-idx1-ubyte.gz").unlink()
        (tmp_path / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
        with refuses("t10k-labels.*download failed.*404"):
            data.load_fashion_mnist(download=True)
        server.shutdown()


def test_fashion_sample(monkeypatch):
    (images, labels), (test_images, test_labels) = data.load_fashion_sample()
    assert images.shape == (600, 28, 28) and test_images.shape == (300, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert np.bincount(labels).tolist() == [60] * 10 and np.bincount(test_labels).tolist() == [30] * 10
    assert labels[:5].tolist() == [9, 0, 0, 3, 0] and len(data.FASHION_CLASSES) == 10
    path = data.data_folder() / "fashion-mnist-sample.npz"
    assert path.stat().st_size < 400_000
    digest = hashlib.md5(images.tobytes() + test_images.tobytes() + labels.tobytes() + test_labels.tobytes()).hexdigest()
    assert digest == "f87b1ffbf994dca3e64d366e95d97a06"


if Path(data.DEBIAN_FASHION).is_dir():

    def test_fashion_as_published():
        (images, labels), (test_images, test_labels) = data.load_fashion_mnist(data.DEBIAN_FASHION)
        assert images.shape == (60_000, 28, 28) and test_images.shape == (10_000, 28, 28)
        assert np.bincount(labels).tolist() == [6000] * 10 and np.bincount(test_labels).tolist() == [1000] * 10
        (sample, _), (test_sample, _) = data.load_fashion_sample()
        whole = {image.tobytes() for image in images}
        assert all(image.tobytes() in whole for image in sample)
        assert {image.tobytes() for image in test_sample} <= {image.tobytes() for image in test_images}


# --- Checks and scaling ------------------------------------------------------------


def test_check_images_accepts():
    for images in (np.zeros((1, 28, 28), np.uint8), np.zeros((3, 784)), np.zeros((2, 784), int).tolist(),
                   np.zeros((4, 28, 56))[:, :, ::2]):
        np.testing.assert_array_equal(data.check_images(images), images)


def nan_at(shape, where, value=np.nan):
    array = np.zeros(shape, np.float32)
    array[where] = value
    return array


@pytest.mark.parametrize("images, text", [
    (np.zeros((100, 27, 28)), r"expected images shaped \(n, 28, 28\) or \(n, 784\), got \(100, 27, 28\)"),
    (np.zeros((28, 28)), r"got \(28, 28\)"),
    (np.zeros((784,)), r"got \(784,\)"),
    (np.zeros((5, 783)), r"got \(5, 783\)"),
    (np.zeros((5, 28, 28, 1)), r"got \(5, 28, 28, 1\)"),
    (5, r"got \(\)"),
    (np.zeros((0, 28, 28)), "at least one image"),
    (np.full((1, 784), "7"), "expected pixels that are numbers"),
    (np.zeros((1, 784), complex), "expected pixels that are numbers"),
    (np.zeros((1, 784), object), "expected pixels that are numbers"),
    (nan_at((3, 28, 28), (2, 5, 7)), r"got nan at index \(2, 5, 7\)"),
    (nan_at((3, 784), (1, 9), -np.inf), r"got -inf at index \(1, 9\)"),
])
def test_check_images_refuses(images, text):
    with refuses(text):
        data.check_images(images)


@pytest.mark.parametrize("labels, text", [
    ([1, 2], r"shaped \(3,\), got \(2,\)"),
    ([[1, 2, 3]], r"got \(1, 3\)"),
    ([1.0, 2.0, 3.0], "integers, got type float64"),
    ([True, False, True], "got type bool"),
    ([1, 10, 11], "from 0 to 9, got 10 at index 1"),
    ([1, 2, -1], "got -1 at index 2"),
])
def test_check_labels_refuses(labels, text):
    with refuses(text):
        data.check_labels(labels, 3)


def test_check_labels_accepts():
    assert data.check_labels([0, 9], 2).tolist() == [0, 9]
    assert data.check_labels(np.array([25], np.uint8), 1, classes=26).tolist() == [25]


@given(hnp.arrays(st.sampled_from(["u1", "i8", ">i2", "f2", "f4", "f8"]), hnp.array_shapes(max_dims=3, max_side=4),
                  elements=st.integers(0, 255)))
def test_scale_pixels(images):
    before = images.copy()
    for dtype, tolerance in ((np.float64, 1e-15), (np.float32, 1e-7), (np.float16, 1e-3)):
        scaled = data.scale_pixels(images[..., ::-1], dtype)
        assert scaled.dtype == dtype and scaled.shape == images.shape
        np.testing.assert_allclose(scaled, reference.scale_pixels(images[..., ::-1]), rtol=tolerance)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("images", [[0, 256], [-1], [0.5], [np.nan], [np.inf], np.array([1, 300], "i2")])
def test_scale_pixels_refuses(images):
    with refuses("whole numbers from 0 to 255", "scaled already"):
        data.scale_pixels(images)
    with pytest.raises(ValueError):
        reference.scale_pixels(images)


def test_scale_pixels_refuses_to_scale_twice(mnist):
    with refuses("at index", "scaled already"):
        data.scale_pixels(data.scale_pixels(mnist[0][0][:2]))
    with refuses("numbers"):
        data.scale_pixels(["1"])


# --- Kaggle's CSV ------------------------------------------------------------------


def csv_text(images, labels=None, end="\n"):
    rows = images.reshape(len(images), 784).tolist()
    columns = PIXELS
    if labels is not None:
        rows, columns = [[y, *row] for y, row in zip(labels, rows)], ["label", *PIXELS]
    return end.join([",".join(columns), *(",".join(map(str, row)) for row in rows), ""])


@pytest.fixture(scope="session")
def some(mnist):
    return mnist[0][0][:7], mnist[0][1][:7]


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("change", [
    lambda text: text,
    lambda text: text.replace("\n", "\r\n"),
    lambda text: text.rstrip("\n"),
    lambda text: "\ufeff" + text,
    lambda text: text.replace("pixel0,", '"pixel0",', 1).replace(",0,", ',"0",', 5).replace(",0,", ", 0,", 7),
], ids=["LF", "CRLF", "no last line end", "byte order mark", "quotes and blanks"])
def test_kaggle_csv(tmp_path, some, labelled, change):
    path = tmp_path / "file.csv"
    path.write_bytes(change(csv_text(some[0], some[1] if labelled else None)).encode())
    for module in (data, reference):
        images, labels = module.read_kaggle_csv(path)
        np.testing.assert_array_equal(images, some[0])
        np.testing.assert_array_equal(labels, some[1] if labelled else None)
    images, labels = data.read_kaggle_csv(path)
    assert images.dtype == np.uint8 and images.flags.c_contiguous and images.flags.writeable
    assert labels is None or labels.dtype == np.uint8


def test_kaggle_csv_columns_in_any_order(tmp_path, some):
    rows = [line.split(",") for line in csv_text(*some).splitlines()]
    order = np.random.default_rng(0).permutation(785)
    (tmp_path / "mixed.csv").write_text("\n".join(",".join(row[k] for k in order) for row in rows))
    images, labels = data.read_kaggle_csv(tmp_path / "mixed.csv")
    np.testing.assert_array_equal(images, some[0])
    np.testing.assert_array_equal(labels, some[1])


def edit(line, column, value):
    """A change of one cell: lines count from 1, the header; columns by name."""
    def change(text):
        rows = [row.split(",") for row in text.split("\n")]
        rows[line - 1][["label", *PIXELS].index(column)] = value
        return "\n".join(",".join(row) for row in rows)
    return change


def drop(column):
    def change(text):
        k = ["label", *PIXELS].index(column)
        return "\n".join(",".join(row.split(",")[:k] + row.split(",")[k + 1 :]) if row else ""
                         for row in text.split("\n"))
    return change


CELL = "a whole number from 0 to 255, got"
BAD_CSV = {
    "missing column": (drop("pixel7"), ["got 784 columns", "missing: pixel7,"]),
    "extra column": (edit(1, "pixel7", "pixel7,id"), ["got 786 columns", "not expected: id"]),
    "renamed column": (edit(1, "label", "Label"), ["not expected: Label"]),
    "column twice": (edit(1, "pixel7", "pixel8"), ["expected column 'pixel8' once, got it 2 times"]),
    "word": (edit(3, "pixel7", "dark"), ["line 3, column 'pixel7'", f"{CELL} 'dark'"]),
    "fraction": (edit(8, "pixel783", "1.5"), ["line 8, column 'pixel783'", f"{CELL} '1.5'"]),
    "too large": (edit(2, "pixel0", "256"), ["line 2, column 'pixel0'", f"{CELL} '256'"]),
    "far too large": (edit(2, "pixel0", "9" * 5000), ["line 2, column 'pixel0'"]),
    "negative": (edit(2, "pixel0", "-1"), ["line 2, column 'pixel0'", f"{CELL} '-1'"]),
    "empty cell": (edit(5, "pixel99", ""), ["line 5, column 'pixel99'", f"{CELL} nothing"]),
    "NaN": (edit(5, "pixel99", "nan"), ["line 5, column 'pixel99'", f"{CELL} 'nan'"]),
    "other digits": (edit(5, "pixel99", "\u0663"), ["line 5, column 'pixel99'"]),
    "comment": (edit(5, "pixel99", "#3"), ["line 5, column 'pixel99'"]),
    "open quote": (edit(5, "pixel99", '"3'), ["line"]),
    "label out of range": (edit(6, "label", "10"), ["line 6, column 'label'", "0 to 9, got 10"]),
    "no label": (edit(6, "label", ""), ["line 6, column 'label'", "nothing"]),
    "short row": (edit(4, "pixel783", "0")
                  and (lambda t: "\n".join(row.rsplit(",", 1)[0] if i == 3 else row
                                           for i, row in enumerate(t.split("\n")))),
                  ["line 4: expected 785 values, got 784"]),
    "cut in a row": (lambda t: t[:-1000], ["line 8: expected 785 values, got"]),
    "long row": (edit(4, "pixel783", "0,0"), ["line 4: expected 785 values, got 786"]),
    "long first row": (edit(2, "pixel783", "0,0"), ["line 2: expected 785 values, got 786"]),
    "every row long": (lambda t: t.split("\n")[0] + "\n" + t.split("\n", 1)[1].replace("\n", ",0\n"),
                       ["line 2: expected 785 values, got 786"]),
    "blank line": (lambda t: t.replace("\n", "\n\n", 3), ["line 2: expected 785 values, got 1"]),
    "blank at the end": (lambda t: t + "\n", ["line 9: expected 785 values, got 1"]),
    "header only": (lambda t: t.split("\n")[0], ["expected rows after the header, got none"]),
    "no header": (lambda t: t.split("\n", 1)[1], ["column '0' once"]),
    "empty": (lambda t: "", ["got an empty line or file"]),
    "another table": (lambda t: "name,age\nx,1\n", ["got 2 columns", "not expected: name, age"]),
}


@pytest.mark.parametrize("name", BAD_CSV)
def test_kaggle_csv_refuses(tmp_path, some, name):
    change, words = BAD_CSV[name]
    path = tmp_path / "train.csv"
    path.write_text(change(csv_text(*some)), encoding="utf-8")
    with refuses("train.csv", *words):
        data.read_kaggle_csv(path)


def test_kaggle_csv_refuses_archives_and_absence(tmp_path, some):
    with zipfile.ZipFile(tmp_path / "train.csv", "w") as archive:
        archive.writestr("train.csv", csv_text(*some))
    with refuses("train.csv", "expected text, got binary data"):
        data.read_kaggle_csv(tmp_path / "train.csv")
    with refuses("did you mean train.csv", error=FileNotFoundError):
        data.read_kaggle_csv(tmp_path / "trian.csv")


@given(st.integers(2, 21), st.integers(0, 3), st.sampled_from(["x", "", "-3", "256", "2.5", "1e2", "0x1", "inf"]),
       st.integers(1, 25))
def test_bad_cell_is_named_wherever_blocks_end(line, column, text, rows):
    table = [["1", "2", "3", "4"] for _ in range(20)]
    table[line - 2][column] = text
    file = iter(",".join(row) + "\n" for row in table)
    with refuses(f"line {line}, column '{'abcd'[column]}'"):
        list(data.read_blocks(file, list("abcd"), np.uint8, rows=rows))


@given(st.integers(2, 21), st.sampled_from(["1,2", "1,2,3,4", "", "1,2,"]), st.integers(1, 25),
       st.sampled_from([np.uint8, np.float64]))
def test_bad_row_is_named_wherever_blocks_end(line, text, rows, dtype):
    lines = ["1,2,3\n"] * 20
    lines[line - 2] = text + "\n"
    with refuses(f"line {line}"):
        list(data.read_blocks(iter(lines), list("abc"), dtype, rows=rows))


# --- Digit Recognizer --------------------------------------------------------------


def test_stand_in(mnist):
    found = data.load_digit_recognizer(seed=0)
    assert found.source == ("Kaggle" if (data.data_folder() / "digit-recognizer").exists() else "stand-in")
    assert found.train_images.shape == (42_000, 28, 28) and found.train_labels.shape == (42_000,)
    assert found.test_images.shape == (28_000, 28, 28)
    if found.source == "stand-in":
        (a, _), (b, _) = mnist
        everything = np.sort(np.concatenate([a, b]).sum(axis=(1, 2)))
        drawn = np.concatenate([found.train_images, found.test_images]).sum(axis=(1, 2))
        np.testing.assert_array_equal(np.sort(drawn), everything)


def test_stand_in_is_seeded_and_keeps_pairs(small_mnist, monkeypatch):
    # 140 tiny images, each filled with its label: 42,000 is more than there are, all go to training
    first, again, other = (data.load_digit_recognizer(small_mnist, seed) for seed in (0, 0, 1))
    assert first.train_images[:, 0, 0].tolist() == first.train_labels.tolist()
    assert first.train_labels.tolist() == again.train_labels.tolist() != other.train_labels.tolist()


@pytest.fixture(scope="module")
def kaggle_files(tmp_path_factory):
    """Files of Kaggle's size, every row the same."""
    folder = tmp_path_factory.mktemp("kaggle")
    (folder / "digit-recognizer").mkdir()
    row = ",".join(str(i % 256) for i in range(784)) + "\n"
    header = ",".join(PIXELS) + "\n"
    (folder / "digit-recognizer" / "train.csv").write_text("label," + header + 42_000 * f"3,{row}")
    (folder / "digit-recognizer" / "test.csv").write_text(header + 28_000 * row)
    return folder


def test_kaggle_files(kaggle_files):
    found = data.load_digit_recognizer(kaggle_files)
    assert found.source == "Kaggle" and found.test_labels is None
    assert found.train_images.shape == (42_000, 28, 28) and found.test_images.shape == (28_000, 28, 28)
    assert (found.train_labels == 3).all()
    assert (found.test_images == np.arange(784).astype(np.uint8).reshape(28, 28)).all()


@pytest.mark.parametrize("remove", ["train.csv", "test.csv"])
def test_one_of_two_kaggle_files(small_mnist, some, remove):
    folder = small_mnist / "digit-recognizer"
    folder.mkdir()
    for name in ("train.csv", "test.csv"):
        if name != remove:
            (folder / name).write_text(csv_text(*some))
    with refuses(f"{remove}: no such file", "come together", error=FileNotFoundError):
        data.load_digit_recognizer(small_mnist)


@pytest.mark.parametrize("train, test, words", [
    (True, False, ["train.csv: expected 42,000 rows, got 7"]),
    (False, False, ["train.csv: expected a column label, got none"]),
])
def test_malformed_kaggle_files(small_mnist, some, train, test, words):
    folder = small_mnist / "digit-recognizer"
    folder.mkdir()
    (folder / "train.csv").write_text(csv_text(some[0], some[1] if train else None))
    (folder / "test.csv").write_text(csv_text(some[0], some[1] if test else None))
    with refuses(*words):
        data.load_digit_recognizer(small_mnist)


# --- .npy and .npz -----------------------------------------------------------------


def test_arrays(tmp_path, some):
    np.save(tmp_path / "a.npy", some[0])
    images, labels = data.read_arrays(tmp_path / "a.npy")
    np.testing.assert_array_equal(images, some[0])
    assert labels is None
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", images=some[0].reshape(-1, 784), labels=some[1])
        images, labels = data.read_arrays(str(tmp_path / "a.npz"))
        assert images.shape == (7, 784)
        np.testing.assert_array_equal(labels, some[1])
    np.savez(tmp_path / "a.npz", images=some[0])
    assert data.read_arrays(tmp_path / "a.npz")[1] is None


class Trap:
    """Unpickling this would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_arrays_unpickle_nothing(tmp_path):
    trap = np.array([Trap(tmp_path / "sprung")], dtype=object)
    np.save(tmp_path / "a.npy", trap)
    np.savez(tmp_path / "a.npz", images=trap)
    for name in ("a.npy", "a.npz"):
        with refuses(name):
            data.read_arrays(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_arrays_refusals(tmp_path, some):
    images, labels = some
    bad = nan_at((7, 784), (6, 0))
    for arrays_, words in [({"x": images, "y": labels}, ["expected arrays images", "got x, y"]),
                           ({"images": images, "labels": labels, "weights": labels}, ["weights"]),
                           ({"labels": labels}, ["got labels"]),
                           ({"images": images[:, 1:], "labels": labels}, [r"got \(7, 27, 28\)"]),
                           ({"images": images, "labels": labels[:6]}, [r"shaped \(7,\), got \(6,\)"]),
                           ({"images": images, "labels": labels + 5}, ["from 0 to 9"]),
                           ({"images": bad}, [r"got nan at index \(6, 0\)"])]:
        np.savez(tmp_path / "bad.npz", **arrays_)
        with refuses("bad.npz", *words):
            data.read_arrays(tmp_path / "bad.npz")
    with refuses("did you mean bad.npz", error=FileNotFoundError):
        data.read_arrays(tmp_path / "bat.npz")


def test_arrays_cut_or_damaged(tmp_path, some):
    np.save(tmp_path / "a.npy", some[0])
    np.savez_compressed(tmp_path / "a.npz", images=some[0], labels=some[1])
    rng = np.random.default_rng(0)
    for name in ("a.npy", "a.npz"):
        whole = (tmp_path / name).read_bytes()
        for size in [0, 1, 5, 50, 100, len(whole) // 2, len(whole) - 1]:
            (tmp_path / f"cut-{name}").write_bytes(whole[:size])
            with refuses(f"cut-{name}"):
                data.read_arrays(tmp_path / f"cut-{name}")
        for _ in range(40):  # one damaged byte is found, or the array still is one of images
            raw = bytearray(whole)
            raw[rng.integers(len(raw))] ^= 1 << rng.integers(8)
            (tmp_path / f"hit-{name}").write_bytes(raw)
            try:
                assert data.read_arrays(tmp_path / f"hit-{name}")[0].size % 784 == 0
            except data.DataError as error:
                assert f"hit-{name}" in str(error)


# --- Half precision and the frame --------------------------------------------------


@given(hnp.arrays("f8", hnp.array_shapes(min_dims=2, max_dims=2, max_side=5),
                  elements=st.floats(-70_000, 70_000) | st.integers(-4100, 4100).map(float)
                  | st.floats(-1e-4, 1e-4)))
def test_to_half_agrees_with_the_reference(values):
    try:
        expected = reference.to_half(values)
    except ValueError:
        with refuses("half precision would turn"):
            data.to_half(values)
    else:
        np.testing.assert_array_equal(data.to_half(values), expected)


@pytest.mark.parametrize("value, words", [
    (2049, ["turn 2049 into 2048"]), (-4098.0, ["turn -4098 into -4096|turn -4098 into -4100"]),
    (70000.5, ["turn 70000.5 into inf"]), (65520, ["into inf"]), (1e-9, ["into 0"]), (np.inf, ["into inf"]),
    (np.nan, ["into nan"]),
])
def test_to_half_refuses(value, words):
    with refuses("row 1, column 'b'", *words):
        data.to_half([[1, 2, 3], [4, value, 6]], ["a", "b", "c"])
    with refuses("row 1, column 1"):
        data.to_half([[1, 2, 3], [4, value, 6]])


def test_to_half_keeps_whole_numbers_to_2048():
    whole = np.arange(-2048, 2049)[None]
    np.testing.assert_array_equal(data.to_half(whole), whole)


@pytest.fixture
def table(tmp_path):
    """A CSV with fractions, whole numbers and negative ones, and its rows."""
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.integers(0, 10, 23), rng.normal(size=23).round(3), -rng.integers(0, 2048, 23)])
    lines = ["digit,mass,depth", *(f"{int(a)},{b},{int(c)}" for a, b, c in values)]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "table.csv", values.astype(np.float16)


@pytest.mark.parametrize("chunk_rows", [1, 5, 23, 4096])
def test_frame(tmp_path, table, chunk_rows):
    csv, values = table
    frame = data.csv_to_frame(csv, tmp_path / "frame", chunk_rows)
    assert frame.columns == ["digit", "mass", "depth"] and frame.shape == (23, 3) and len(frame) == 23
    reopened = data.Frame(str(tmp_path / "frame"))
    rows = np.array([5, 0, 22, 5])
    mask = np.arange(23) % 3 == 0
    for f in (frame, reopened):
        np.testing.assert_array_equal(f[:], values)
        for key in (slice(3, 9), slice(None, None, -2), 4, -1, rows, rows.tolist(), mask, slice(5, 5)):
            np.testing.assert_array_equal(f[key], values[key])
            np.testing.assert_array_equal(f[key, "mass"], values[key][..., 1])
            np.testing.assert_array_equal(f[key, ["depth", "digit"]], values[key][..., [2, 0]])
    assert frame[:].dtype == np.float16 and frame[2:4].flags.writeable
    np.testing.assert_array_equal(np.load(tmp_path / "frame" / "values.npy"), values)  # any NumPy reads it
    assert sorted(p.name for p in tmp_path.iterdir()) == ["frame", "table.csv"]


def test_frame_of_many_rows_keeps_its_header(tmp_path):
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "columns.json").write_text('["a"]')
    data.write_halves(tmp_path / "f" / "values.npy", (np.full((100_000, 1), k, np.float16) for k in range(12)))
    frame = data.Frame(tmp_path / "f")
    assert frame.shape == (1_200_000, 1) and frame[[0, 1_199_999], "a"].tolist() == [0, 11]


def test_frame_indices_out_of_range(tmp_path, table):
    frame = data.csv_to_frame(table[0], tmp_path / "frame")
    for key in (23, [0, 23], (23, "mass"), ([0, 23], ["mass"])):
        with pytest.raises(IndexError):
            frame[key]
    with refuses("expected a column of the frame", "'mass', got 'mas'"):
        frame[:, "mas"]
    with refuses("got 'colour'"):
        frame[:, ["mass", "colour"]]


@pytest.mark.parametrize("line, text, words", [
    (4, "1,x,2", ["line 4, column 'mass'", "a finite number, got 'x'"]),
    (4, "1,,2", ["line 4, column 'mass'", "got nothing"]),
    (4, "1,nan,2", ["line 4, column 'mass'", "got 'nan'"]),
    (4, "1,1e400,2", ["line 4, column 'mass'"]),
    (7, "1,2,2049", ["line 7, column 'depth'", "turn 2049 into 2048"]),
    (7, "99999,2,3", ["line 7, column 'digit'", "into inf"]),
    (24, "1,1e-12,3", ["line 24, column 'mass'", "into 0"]),
    (5, "1,2", ["line 5: expected 3 values, got 2"]),
    (1, "digit,mass,mass", ["column 'mass' once, got it 2 times"]),
])
@pytest.mark.parametrize("chunk_rows", [2, 4096])
def test_frame_refusals_leave_nothing_behind(tmp_path, table, line, text, words, chunk_rows):
    lines = table[0].read_text().splitlines()
    lines[line - 1] = text
    table[0].write_text("\n".join(lines))
    with refuses("table.csv", *words):
        data.csv_to_frame(table[0], tmp_path / "frame", chunk_rows)
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_frame_is_never_overwritten(tmp_path, table):
    (tmp_path / "frame").mkdir()
    with refuses("frame: exists already"):
        data.csv_to_frame(table[0], tmp_path / "frame")
    with refuses("no such file", error=FileNotFoundError):
        data.csv_to_frame(tmp_path / "other.csv", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_damaged_frames(tmp_path, table):
    frame = tmp_path / "frame"
    with refuses("no frame there", error=FileNotFoundError):
        data.Frame(frame)
    data.csv_to_frame(table[0], frame)
    values, names = (frame / "values.npy").read_bytes(), (frame / "columns.json").read_text()
    for raw in (values[:-2], values[:100], b"", b"x" * 200):
        (frame / "values.npy").write_bytes(raw)
        with refuses("frame: damaged frame"):
            data.Frame(frame)
    for array in (np.zeros((23, 3)), np.zeros((23, 2), np.float16), np.zeros(23, np.float16)):
        np.save(frame / "values.npy", array)
        with refuses("expected float16 in 3 columns"):
            data.Frame(frame)
    (frame / "values.npy").write_bytes(values)
    (frame / "columns.json").write_text(names[:-3])
    with refuses("damaged frame"):
        data.Frame(frame)


def pages_in_cache(path):
    """Which pages of a file are in the system's cache, as booleans."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as pages:
        start = np.frombuffer(pages, np.uint8)
        found = (ctypes.c_ubyte * math.ceil(len(pages) / mmap.PAGESIZE))()
        failed = ctypes.CDLL(None).mincore(ctypes.c_void_p(start.ctypes.data), ctypes.c_size_t(len(pages)), found)
        del start
        assert not failed
        return np.frombuffer(found, np.uint8) & 1 == 1


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel which pages it has read")
def test_minibatches_read_only_their_pages(tmp_path):
    path = tmp_path / "values.npy"
    (tmp_path / "columns.json").write_text(json.dumps([f"c{i}" for i in range(785)]))
    data.write_halves(path, (np.full((2000, 785), k, np.float16) for k in range(10)))
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if pages_in_cache(path).any():
        pytest.skip("this file system keeps its files in memory")
    frame = data.Frame(tmp_path)
    before = pages_in_cache(path)  # reading the header may bring some in
    assert before.sum() < 100
    needed = before.copy()
    for rows in list(data.minibatches(len(frame), 64, np.random.default_rng(0)))[:3]:
        assert (frame[rows] == (rows // 2000)[:, None]).all()
        start = 128 + rows * 1570
        needed[np.concatenate([start, start + 1569]) // mmap.PAGESIZE] = True
    now = pages_in_cache(path)
    assert not (needed & ~now).any()
    assert (now & ~needed).sum() == 0, f"{(now & ~needed).sum()} pages too many of {len(now)}"
    assert now.mean() < 0.1


# --- Random order, batches and splits ----------------------------------------------


@given(st.integers(0, 300), st.integers(0, 2**70))
def test_shuffle_is_numpys_and_the_references(n, seed):
    order = data.shuffle(n, seed)
    assert sorted(order.tolist()) == list(range(n))
    assert order.tolist() == reference.shuffle(n, seed).tolist()


def test_shuffle_is_fair():
    # each of 24 orders 400 times on average, sd 20: five of those is a fair limit
    orders, counts = np.unique([data.shuffle(4, seed) for seed in range(9600)], axis=0, return_counts=True)
    assert len(orders) == 24 and abs(counts - 400).max() < 100


@given(st.integers(1, 60), st.integers(1, 70), st.booleans(), st.none() | st.integers(0, 9))
def test_minibatches(n, size, drop_last, seed):
    def rng():
        return None if seed is None else np.random.default_rng(seed)

    batches = [b.tolist() for b in data.minibatches(n, size, rng(), drop_last)]
    assert batches == [b.tolist() for b in reference.minibatches(n, size, rng(), drop_last)]
    together = sum(batches, [])
    assert len(set(together)) == len(together) == (n - n % size if drop_last else n)
    assert all(len(b) == size for b in batches[:-1])
    if seed is None:
        assert together == list(range(len(together)))


def test_minibatches_draw_a_new_order_each_epoch():
    rng = np.random.default_rng(0)
    first, second = (np.concatenate(list(data.minibatches(50, 7, rng))) for _ in range(2))
    assert first.tolist() != second.tolist() and sorted(first) == sorted(second)


@pytest.mark.parametrize("n, size", [(0, 4), (4, 0), (-1, 4)])
def test_minibatches_refuse(n, size):
    with refuses(f"n={n} and size={size}"):
        data.minibatches(n, size)


shares = st.lists(st.integers(1, 20), min_size=1, max_size=4).flatmap(
    lambda parts: st.integers(sum(parts), 2 * sum(parts)).map(lambda total: [p / total for p in parts]))


@given(st.integers(1, 2000), shares)
def test_part_sizes(n, fractions):
    expected = reference.part_sizes(n, fractions)
    if 0 in expected:
        with refuses(f"part {expected.index(0)} is empty"):
            data.part_sizes(n, fractions)
        return
    sizes = data.part_sizes(n, fractions)
    assert sizes == expected
    assert sum(sizes) == round(math.fsum(n * f for f in fractions)) <= n
    assert all(abs(size - n * f) < 1 + 1e-9 for size, f in zip(sizes, fractions))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.data())
def test_stratified_counts(class_counts, draw):
    n = sum(class_counts)
    sizes, left = [], n
    for _ in range(draw.draw(st.integers(1, 5))):
        sizes.append(draw.draw(st.integers(0, left)))
        left -= sizes[-1]
    if n == 0:
        return
    table = data.stratified_counts(class_counts, sizes)
    assert table == reference.stratified_counts(class_counts, sizes)
    assert [sum(row) for row in table] == class_counts
    assert [sum(column) for column in zip(*table)] == [*sizes, left]
    for row, count in zip(table, class_counts):
        for entry, size in zip(row, [*sizes, left]):
            assert entry >= 0 and abs(entry * n - count * size) <= n


@given(st.lists(st.sampled_from("abcde"), min_size=6, max_size=120), st.integers(0, 99), st.booleans(),
       st.sampled_from([(0.5, 0.25, 0.25), (0.6, 0.3), (2, 3), (0.5,), (1.0,), (3, 2, 1)]))
def test_split(labels, seed, stratified, fractions):
    n, stratify = len(labels), labels if stratified else None
    parts = data.split(n, fractions, seed, stratify)
    assert [p.tolist() for p in parts] == [p.tolist() for p in reference.split(n, fractions, seed, stratify)]
    assert [len(p) for p in parts] == data.part_sizes(n, fractions)
    together = np.concatenate(parts)
    assert len(set(together.tolist())) == len(together) and (0 <= together).all() and (together < n).all()
    if stratified:
        for part in parts:
            for c in set(labels):
                share = labels.count(c) * len(part) / n
                assert abs([labels[i] for i in part].count(c) - share) <= 1 + 1e-9


def test_split_of_mnist_labels(mnist):
    labels = mnist[0][1]
    train, validation, test = data.split(60_000, (0.8, 0.1, 0.1), seed=1, stratify=labels)
    assert [len(train), len(validation), len(test)] == [48_000, 6_000, 6_000]
    for part in (train, validation, test):
        share = np.bincount(labels) * len(part) / 60_000
        assert (abs(np.bincount(labels[part]) - share) <= 1).all()
        assert (np.diff(labels[part].astype(int)) < 0).mean() > 0.3  # the classes are mixed


@pytest.mark.parametrize("fractions", [(0.8, 0.3), (), (0.5, 0), (0.5, -0.1), (0.5, np.nan), (60, 50), (1, 0.5)])
def test_split_refuses_fractions(fractions):
    with refuses("positive fractions that add up to at most 1", "n=100"):
        data.split(100, fractions, seed=0)


def test_split_refuses_the_rest():
    with refuses("part 1 is empty"):
        data.split(3, (0.9, 0.1), seed=0)
    with refuses(r"labels shaped \(5,\) to stratify by, got \(4,\)"):
        data.split(5, (0.5, 0.5), seed=0, stratify=[1, 2, 3, 4])

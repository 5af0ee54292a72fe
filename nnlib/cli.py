# Generated from book/21-command-line.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""A command line."""

import importlib.resources
import inspect
import json
import math
import os
import reprlib
import shlex
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress
from typer.core import TyperGroup

from nnlib.activations import Softmax, softmax
from nnlib.augmentation import Augmentation
from nnlib.checkpoint import (
    Checkpoints,
    describe,
    from_data,
    known,
    load,
    save,
    strict_json,
)
from nnlib.data import (
    DataError,
    MissingFile,
    load_digit_recognizer,
    load_mnist,
    read_digit_recognizer,
    scale_pixels,
    split,
)
from nnlib.dense import ShapeError
from nnlib.kaggle import confusion_matrix, validate_submission, write_submission
from nnlib.network import Network
from nnlib.optimizers import Adam, AdamW, Cosine, RMSprop, SGD
from nnlib.regularization import decay_weights
from nnlib.training import evaluate, fit, write_atomically

__all__ = [
    "find_ink",
    "crop_to_ink",
    "overlap_matrix",
    "fit_into",
    "center_of_mass",
    "prepare_digit",
    "PREPARATION",
    "REFUSED",
    "one_line",
    "Commands",
    "APP",
    "show_version",
    "common_options",
    "main",
    "put_on_paper",
    "read_gray",
    "SIGNATURES",
    "read_digit",
    "argument_data",
    "layer_data",
    "layers_from",
    "read_description",
    "filter_block",
    "PRESETS",
    "check_reader",
    "new_network",
    "model_path",
    "load_reader",
    "probabilities",
    "option",
    "MODEL",
    "JSON",
    "answer_row",
    "predict_command",
    "LETTERS",
    "in_characters",
    "DATA",
    "FIRST",
    "KAGGLE",
    "has_kaggle",
    "load_digits",
    "evaluate_command",
    "check_file",
    "first_filters",
    "contact_sheet",
    "red_and_blue",
    "write_filters",
    "show_command",
    "OPTIMIZERS",
    "choose_optimizer",
    "hold_back",
    "Reporter",
    "check_places",
    "positive",
    "DESCRIBED",
    "OUTPUT",
    "RULE",
    "RATE",
    "DECAY",
    "EPOCHS",
    "HELD_BACK",
    "THREADS",
    "SEED",
    "EVERY",
    "RESUME",
    "train_command",
    "export_command",
    "submission_line",
    "check_upload",
    "hand_in",
    "competition_digits",
    "submit_command",
]


# book/21-command-line.md, "Where is the ink?"
def find_ink(gray):
    """How much ink each pixel has, whether it is dark on light or light on dark.

    The paper's level is the median of the border. What differs from it by no more
    than twice as much as a border pixel typically does (the median of their
    differences) is paper too.

    Parameters
    ----------
    gray : array_like, shape (height, width)
        Gray values in any unit, light ones large.

    Returns
    -------
    ndarray of float64, shape (height, width)
        From 0, paper, to 1, the most ink.

    Raises
    ------
    ValueError
        If it is not a picture, not finite, or has no ink.
    """
    gray = np.asarray(gray)
    if gray.ndim != 2 or gray.size == 0 or gray.dtype.kind not in "buif":
        raise ShapeError("expected a picture of gray values shaped (height, width), "
                         f"got {gray.dtype} shaped {gray.shape}")
    gray = gray.astype(np.float64)
    if not np.isfinite(gray).all():
        raise ValueError("expected finite gray values, got NaN or infinity")
    edge = np.ones(gray.shape, bool)
    edge[1:-1, 1:-1] = False
    border = gray[edge]
    paper = np.median(border)
    unevenness = np.median(np.abs(border - paper))
    dark_ink = paper > (gray.min() + gray.max()) / 2
    distance = paper - gray if dark_ink else gray - paper
    ink = np.maximum(distance - 2 * unevenness, 0)
    if ink.max() == 0:
        raise ValueError("no ink: nothing in the picture stands out from its border")
    return ink / ink.max()


# book/21-command-line.md, "Cut it out"
def crop_to_ink(ink, threshold=0.1):
    """Cut out the smallest box with every pixel above a share of the maximum."""
    there = ink > threshold * ink.max()
    rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


# book/21-command-line.md, "Every new pixel an average"
def overlap_matrix(new, old):
    """The matrix that averages a row of `old` pixels into `new` ones over their areas.

    Both rows are laid over the same ruler, new * old long: a new pixel covers `old`
    units of it, an old pixel `new`.

    Returns
    -------
    ndarray of float64, shape (new, old)
        Which share of a new pixel lies over an old one; every row adds up to 1.
    """
    left, lower = old * np.arange(new)[:, None], new * np.arange(old)
    overlap = np.minimum(left + old, lower + new) - np.maximum(left, lower)
    return np.maximum(overlap, 0) / old


# book/21-command-line.md, "Every new pixel an average"
def fit_into(ink, side=20):
    """Scale a picture, keeping its proportions, until its longer side is `side`.

    The shorter side is rounded (halves up) to whole pixels, at least one.
    """
    height, width = (max(1, int(side * n / max(ink.shape) + 0.5)) for n in ink.shape)
    rows = overlap_matrix(height, ink.shape[0])
    columns = overlap_matrix(width, ink.shape[1])
    return rows @ ink @ columns.T


# book/21-command-line.md, "Where is the middle?"
def center_of_mass(ink):
    """Mean row and column of the ink, each pixel weighted by how much it has."""
    total = ink.sum()
    row = ink.sum(axis=1) @ np.arange(ink.shape[0]) / total
    column = ink.sum(axis=0) @ np.arange(ink.shape[1]) / total
    return row, column


# book/21-command-line.md, "Where is the middle?"
def prepare_digit(gray, size=28, side=20):
    """A picture of a digit as MNIST would have it.

    Its ink is cropped, scaled until the longer side is `side`, and put into a square
    with its centre of mass as near as whole pixels allow to row and column size / 2,
    where MNIST has it; moved back inside if it would stick out.

    Parameters
    ----------
    gray : array_like, shape (height, width)
        Gray values in any unit, light ones large; dark ink on light or light on dark.
    size, side : int

    Returns
    -------
    ndarray of float32, shape (size, size)
        From 0, paper, to 1, the most ink.

    Raises
    ------
    ValueError
        If it is not a picture, not finite, or has no ink.
    """
    small = fit_into(crop_to_ink(find_ink(gray)), side)
    small = small / small.max()
    canvas = np.zeros((size, size), np.float32)
    places = [int(np.clip(np.floor(size / 2 - center + 0.5), 0, size - length))
              for center, length in zip(center_of_mass(small), small.shape)]
    top, left = places
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas

# book/21-command-line.md, "Where is the middle?"
PREPARATION = ("gray values; the ink found, dark or light, 0 for paper and 1 for the "
               "most ink; cropped; averaged over areas until the longer side is 20; "
               "in 28 x 28 pixels, its centre of mass next to row and column 14")

# book/21-command-line.md, "A tool that can say no"
REFUSED = (ValueError, OSError, FloatingPointError, MemoryError, ModuleNotFoundError)


# book/21-command-line.md, "A tool that can say no"
def one_line(error):
    """What a person should read of an error, on one line."""
    if isinstance(error, OSError) and error.strerror:
        about = f"{error.filename}: " if error.filename else ""
        return f"{about}{error.strerror}"
    if isinstance(error, ModuleNotFoundError):
        return f"this needs the package {error.name}, which is not installed"
    if isinstance(error, MissingFile):
        return (f"{error}; --data FOLDER names another place, with MNIST's four files "
                "or Kaggle's two")
    return " ".join(str(error).split()) or type(error).__name__


# book/21-command-line.md, "A tool that can say no"
class Commands(TyperGroup):
    """Commands that answer a refused input with a line on standard error and code 1."""

    def invoke(self, ctx):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                return super().invoke(ctx)
        except BrokenPipeError:     # the reader, such as head, has had enough
            raise
        except KeyboardInterrupt:
            typer.echo("nnlib: stopped", err=True)
            raise typer.Exit(130) from None
        except REFUSED as error:
            typer.echo(f"nnlib: {one_line(error)}", err=True)
            raise typer.Exit(1) from None

# book/21-command-line.md, "A tool that can say no"
APP = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


# book/21-command-line.md, "A tool that can say no"
def show_version(wanted):
    """Print the library's version and end, if asked to."""
    if wanted:
        print(f"nnlib {importlib.import_module('nnlib').__version__}")
        raise typer.Exit()


# book/21-command-line.md, "A tool that can say no"
@APP.callback()
def common_options(
    version: Annotated[bool, typer.Option(
        "--version", callback=show_version, is_eager=True,
        help="Print the library's version.")] = False,
):
    """Train networks on handwritten digits, test them, and let them read pictures."""


# book/21-command-line.md, "A tool that can say no"
def main():
    """What the command nnlib runs."""
    APP(prog_name="nnlib")


# book/21-command-line.md, "Files come in"
def put_on_paper(picture):
    """A Pillow image turned upright, with white behind what is transparent; or black,
    if nothing could be seen on white."""
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(picture)
    if not picture.has_transparency_data:
        return picture
    picture = picture.convert("RGBA")
    papers = (Image.new("RGBA", picture.size, paper) for paper in ("white", "black"))
    white, black = (Image.alpha_composite(paper, picture) for paper in papers)
    return black if white.convert("L").getextrema() == (255, 255) else white


# book/21-command-line.md, "Files come in"
def read_gray(path, whole=False):
    """The gray values in a PNG, JPEG or BMP file, light ones large.

    Parameters
    ----------
    path : str or Path
    whole : bool
        Every pixel; else a picture of eight bits is averaged down to less than 400
        either way.

    Returns
    -------
    ndarray, shape (height, width)

    Raises
    ------
    DataError
        If it is not such a file, or damaged, or absurdly large.
    OSError
        If there is no such file.
    """
    from PIL import Image, UnidentifiedImageError

    expected = f"{path}: expected a whole PNG, JPEG or BMP, or 784 bytes"
    damaged = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
    with open(path, "rb") as file:
        try:
            picture = put_on_paper(Image.open(file, formats=["PNG", "JPEG", "BMP"]))
            if picture.mode[0] in "IF":     # more than eight bits
                return np.asarray(picture)
            gray = picture.convert("L")
            factor = 1 if whole else max(1, max(gray.size) // 200)
            return np.asarray(gray.reduce(factor))
        except UnidentifiedImageError:
            came = f"{os.stat(path).st_size:,} bytes of something else"
            raise DataError(f"{expected}, got {came}") from None
        except damaged as error:
            raise DataError(f"{expected}, got: {error}") from None

# book/21-command-line.md, "Files come in"
SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM")


# book/21-command-line.md, "Files come in"
def read_digit(path, as_is=False):
    """One digit from a file, ready for a network.

    Parameters
    ----------
    path : str or Path
        A picture; or 784 bytes, row after row, 0 for paper, taken as they are.
    as_is : bool
        The picture is 28 x 28 and 0 is paper: do not prepare it.

    Returns
    -------
    ndarray of float32, shape (28, 28)

    Raises
    ------
    DataError, OSError
        If it cannot be read; if there is no ink, or another size `as_is`.
    """
    if os.stat(path).st_size == 784:
        raw = Path(path).read_bytes()
        if not raw.startswith(SIGNATURES):
            return scale_pixels(np.frombuffer(raw, np.uint8).reshape(28, 28))
    gray = read_gray(path, whole=as_is)
    if not as_is:
        try:
            return prepare_digit(gray)
        except ValueError as error:
            raise DataError(f"{path}: {error}") from None
    if gray.shape != (28, 28) or gray.dtype != np.uint8:
        height, width = gray.shape
        raise DataError(f"{path}: expected 28 x 28 pixels of 8 bits, to be taken as "
                        f"they are, got {height} rows of {width}, {gray.dtype}")
    return scale_pixels(gray)


# book/21-command-line.md, "A network described"
def argument_data(name, value):
    """A layer's setting as `from_data` takes it."""
    if isinstance(value, list):
        return [argument_data(name, part) for part in value]
    if name == "init" and isinstance(value, str):
        return {"function": value}
    return layer_data(value) if isinstance(value, dict) else value


# book/21-command-line.md, "A network described"
def layer_data(entry):
    """A layer as `from_data` takes it, from what a person may write.

    Parameters
    ----------
    entry : str or dict
        "ReLU", {"Dense": 10} or {"Dense": {"units": 10, "bias": False}}. Layers within
        a layer are a list, under the name it has in the constructor: "layers".

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If there is no such layer, or it has no such setting.
    """
    entry = {entry: {}} if isinstance(entry, str) else entry
    if not isinstance(entry, dict) or len(entry) != 1:
        raise ValueError("expected a layer such as ReLU or Dense: 10, "
                         f"got {reprlib.repr(entry)}")
    [(name, value)] = entry.items()
    parameters, settings = inspect.signature(known(name)).parameters, {}
    if not isinstance(value, dict):
        value = {next(iter(parameters), str(value)): value}
    for key, part in value.items():
        if key not in parameters:
            raise ValueError(f"{name}: expected settings from "
                             f"{', '.join(parameters) or '(none)'}, got {key!r}")
        many = parameters[key].kind == inspect.Parameter.VAR_POSITIONAL
        if many and not isinstance(part, list):
            raise ValueError(f"{name}: expected a list of layers, got {part!r}")
        read = argument_data(key, part) if not many else list(map(layer_data, part))
        settings[key] = read
    return {name: settings}


# book/21-command-line.md, "A network described"
def layers_from(entries):
    """Layers from a list of what `layer_data` takes; an error says which it was."""
    layers = []
    for number, entry in enumerate(entries, 1):
        try:
            layers.append(from_data(layer_data(entry), {}))
        except RecursionError:      # in YAML a list can hold itself
            raise ValueError(f"layer {number}: nested too deep") from None
        except (TypeError, ValueError) as error:
            raise ValueError(f"layer {number}: {error}") from error
    return layers


# book/21-command-line.md, "A network described"
def read_description(path):
    """The table in a YAML or JSON file: layers, a list, and maybe dtype.

    Raises
    ------
    ValueError
        If it cannot be read, or is something else.
    """
    import yaml

    text, is_json = Path(path).read_bytes(), Path(path).suffix == ".json"
    try:
        found = strict_json(text) if is_json else yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1
        raise ValueError(f"{path}, line {line}: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from None
    layers = found.get("layers") if isinstance(found, dict) else None
    if not isinstance(layers, list) or not found.keys() <= {"layers", "dtype"}:
        raise ValueError(f"{path}: expected layers, a list, and maybe dtype, "
                         f"got {reprlib.repr(found)}")
    return found


# book/21-command-line.md, "A network described"
def filter_block(filters, padding):
    """A convolution, batch normalization, ReLU, as a description has them."""
    settings = {"filters": filters, "kernel": 3, "padding": padding, "bias": False}
    return [{"Convolution": settings}, "BatchNorm", "ReLU"]

# book/21-command-line.md, "A network described"
PRESETS = {
    "linear": [{"Dense": 10}],
    "mlp": [{"Dense": 256}, "ReLU", {"Dense": 128}, "ReLU", {"Dense": 10}],
    "small": [
        {"Convolution": {"filters": 8, "kernel": 3, "padding": 1}}, "ReLU",
        {"MaxPool": 2},
        {"Convolution": {"filters": 16, "kernel": 3, "padding": 1}}, "ReLU",
        {"MaxPool": 2}, {"Dense": 64}, "ReLU", {"Dense": 10}],
    "cnn": [
        *filter_block(16, 0), *filter_block(16, 0), {"MaxPool": 2},
        *filter_block(32, 1), *filter_block(32, 1), {"MaxPool": 2},
        *filter_block(64, 1), *filter_block(64, 1), "GlobalAveragePool",
        {"Dropout": 0.2}, {"Dense": 10}],
}


# book/21-command-line.md, "A network described"
def check_reader(network):
    """Refuse a built network that does not turn 784 pixels into ten logits."""
    shapes = network.shapes
    if math.prod(shapes[0]) != 784 or shapes[-1] != (10,):
        raise ShapeError("expected a network from 28 x 28 pixels to 10 outputs, "
                         f"got one from {shapes[0]} to {shapes[-1]}")
    if isinstance(network.layers[-1], Softmax):
        raise ValueError("expected logits at the end, got Softmax: leave it out, the "
                         "loss has one inside")


# book/21-command-line.md, "A network described"
def new_network(model, seed=0):
    """A network with starting weights.

    Parameters
    ----------
    model : str
        A name in PRESETS, or the path of a description, see `read_description`.
    seed : int

    Raises
    ------
    ValueError
        With the number of the layer, if it is one's fault.
    """
    if model not in PRESETS and not Path(model).is_file():
        raise ValueError(f"expected a model from {', '.join(PRESETS)}, or the file of "
                         f"a description, got {model!r}")
    found = {"layers": PRESETS[model]} if model in PRESETS else read_description(model)
    try:
        network = Network(*layers_from(found["layers"]),
                          dtype=str(found.get("dtype", "float32")))
        network.build((28, 28), seed)
        check_reader(network)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{model}: {error}") from error
    return network


# book/21-command-line.md, "Which network?"
def model_path(name):
    """The file of a trained network: a path, or mlp or cnn for those in the package.

    The environment variable NNLIB_PRETRAINED names another folder for these.
    """
    beside = importlib.resources.files("nnlib") / "pretrained"
    folder = Path(os.environ.get("NNLIB_PRETRAINED") or str(beside))
    if Path(name).is_file():
        return Path(name)
    if (folder / f"{name}.safetensors").is_file():
        return folder / f"{name}.safetensors"
    shipped = ", ".join(sorted(path.stem for path in folder.glob("*.safetensors")))
    raise ValueError(f"expected the file of a checkpoint, or one of "
                     f"{shipped or '(none)'}, got {str(name)!r}")


# book/21-command-line.md, "Which network?"
def load_reader(name):
    """A trained network, and the notes in its file; refused unless it reads digits."""
    path = model_path(name)
    saved = load(path)
    try:
        check_reader(saved.network)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return saved.network, saved.notes


# book/21-command-line.md, "Which network?"
def probabilities(network, images):
    """What a network makes of images (n, 28, 28): rows of ten that add up to 1."""
    images = np.reshape(images, (len(images), *network.input_shape))
    return softmax(network.predict(images).T).T


# book/21-command-line.md, "Ask it"
def option(text, *names, **settings):
    """An option that says so much about itself; its name, unless given, is the word."""
    return typer.Option(*names, help=text, **settings)

# book/21-command-line.md, "Ask it"
MODEL = Annotated[str, option("A checkpoint, or mlp or cnn.", "--model", "-m")]
JSON = Annotated[bool, option("Answer in JSON.", "--json")]


# book/21-command-line.md, "Ask it"
def answer_row(path, p):
    """A line for people: the file, the digit, and ten probabilities in per cent."""
    shares = "".join(f"{100 * x:6.1f}" for x in p)
    return f"{int(p.argmax()):5}  {shares}  {path}"


# book/21-command-line.md, "Ask it"
@APP.command("predict")
def predict_command(
    files: Annotated[list[Path], typer.Argument(help="PNG, JPEG, BMP, or 784 bytes.")],
    model: MODEL = "cnn",
    as_is: Annotated[bool, option("Take 28 x 28 pixels, 0 for paper, unchanged.",
                                  "--as-is")] = False,
    picture: Annotated[bool, option("Draw what it sees.", "--picture")] = False,
    as_json: JSON = False,
):
    """Read the digit in each picture.

    A file that is refused gets a line on standard error, and the exit code is 1.
    """
    network, _ = load_reader(model)
    answers, refused = [], False
    if not as_json:
        typer.echo("digit  " + "".join(f"{k:6}" for k in range(10)) + "  (per cent)")
    for path in files:
        try:
            image = read_digit(path, as_is)
        except REFUSED as error:
            typer.echo(f"nnlib: {one_line(error)}", err=True)
            refused = True
            continue
        p = probabilities(network, image[None])[0]
        answers.append({"file": str(path), "digit": int(p.argmax()),
                        "probabilities": [round(float(x), 4) for x in p]})
        if not as_json:
            typer.echo(answer_row(path, p))
        if picture:
            typer.echo(in_characters(image), err=as_json)
    if as_json:
        typer.echo(json.dumps(answers))
    if refused:
        raise typer.Exit(1)

# book/21-command-line.md, "Ask it"
LETTERS = "#+- ░▒█"


# book/21-command-line.md, "Ask it"
def in_characters(sheet):
    """Numbers from -1 to 1 as text: blocks where positive, signs where negative."""
    levels = np.rint(3 * np.asarray(sheet)).astype(int) + 3
    return "\n".join("".join(2 * LETTERS[k] for k in row).rstrip() for row in levels)

# book/21-command-line.md, "Test it, look at it"
DATA = Annotated[Path, option(
    "With MNIST's four files, or Kaggle's train.csv and test.csv. "
    "Without it, MNIST's in data/ or where NNLIB_DATA says.", metavar="FOLDER")]
FIRST = Annotated[int, option("Only the first N digits.", metavar="N", min=1)]
KAGGLE = ("train.csv", "test.csv")


# book/21-command-line.md, "Test it, look at it"
def has_kaggle(folder):
    """Whether a data folder is one with Kaggle's files, or with one of them."""
    return folder is not None and any((Path(folder) / name).exists() for name in KAGGLE)


# book/21-command-line.md, "Test it, look at it"
def load_digits(folder=None):
    """Pairs of images and labels, to learn from and to be tested on.

    The second pair's labels are None if the folder has Kaggle's files.
    """
    if has_kaggle(folder):
        digits = read_digit_recognizer(*(Path(folder) / name for name in KAGGLE))
        return digits[0:2], digits[2:4]
    return load_mnist(folder)


# book/21-command-line.md, "Test it, look at it"
@APP.command("evaluate")
def evaluate_command(
    model: Annotated[str, typer.Argument(help="A checkpoint, or mlp or cnn.")] = "cnn",
    data: DATA = None,
    first: FIRST = None,
    confusion: Annotated[bool, option("Who is taken for whom.", "--confusion")] = False,
    as_json: JSON = False,
):
    """Test a network on the test digits. Nothing is trained."""
    network, _ = load_reader(model)
    images, labels = load_digits(data)[1]
    if labels is None:
        raise DataError(f"{data}: Kaggle keeps the labels of its test digits; expected "
                        "a folder with MNIST's four files")
    images, labels = scale_pixels(images[:first]), labels[:first]
    images = images.reshape(-1, *network.input_shape)
    found = {"digits": len(labels), **evaluate(network, images, labels)}
    if as_json:
        print(json.dumps(found))
        return
    wrong = round(found["digits"] * (1 - found["accuracy"]))
    print(f"{model}: {100 * found['accuracy']:.2f} % of {found['digits']:,} digits are "
          f"right, {wrong:,} wrong; loss {found['loss']:.4f}")
    if confusion:
        answers = network.predict(images).argmax(axis=1)
        table = confusion_matrix(labels, answers)
        print("rows: what it is; columns: what was said")
        print("\n".join("".join(f"{n:6}" for n in row) for row in table))


# book/21-command-line.md, "Test it, look at it"
def check_file(path, *endings):
    """Refuse, before any work is done, what could not be written at its end."""
    if endings and path.suffix not in endings:
        raise ValueError(f"{path}: expected a name ending in {' or '.join(endings)}")
    if not path.parent.is_dir() or path.is_dir():
        raise ValueError(f"{path}: expected a file in a folder that exists")


# book/21-command-line.md, "Test it, look at it"
def first_filters(network):
    """The first layer's weights as pictures (n, height, width), of channel 0."""
    layer = network.layers[network.first]
    W = layer.W if "W" in layer.parameter_shapes else np.empty(0)
    if W.ndim == 4:
        return W[:, 0]
    if W.ndim == 2 and W.shape[1] == 784:
        return W.reshape(-1, 28, 28)
    raise ShapeError("expected a first layer with filters or with a weight for each "
                     f"pixel, got {type(layer).__name__}")


# book/21-command-line.md, "Test it, look at it"
def contact_sheet(pictures, columns):
    """Pictures in rows, each divided by its largest magnitude; gaps of one zero."""
    n, height, width = pictures.shape
    rows = -(-n // columns)
    sheet = np.zeros((rows * (height + 1) - 1, columns * (width + 1) - 1))
    for k, picture in enumerate(pictures):
        top, left = k // columns * (height + 1), k % columns * (width + 1)
        largest = np.abs(picture).max() or 1.0
        sheet[top : top + height, left : left + width] = picture / largest
    return sheet


# book/21-command-line.md, "Test it, look at it"
def red_and_blue(sheet):
    """Numbers from -1 to 1 as colours, bytes (height, width, 3): blue, white, red."""
    faded = 255 * (1 - np.abs(sheet))
    red, blue = np.where(sheet >= 0, 255, faded), np.where(sheet <= 0, 255, faded)
    return np.rint(np.stack([red, faded, blue], axis=2)).astype(np.uint8)


# book/21-command-line.md, "Test it, look at it"
def write_filters(path, network):
    """Draw the first layer's filters into a PNG file."""
    from PIL import Image

    filters = first_filters(network)
    sheet = contact_sheet(filters, math.ceil(math.sqrt(len(filters))))
    zoom = max(1, 48 // filters.shape[1])
    colours = red_and_blue(np.kron(sheet, np.ones((zoom, zoom))))
    picture = Image.fromarray(colours)
    write_atomically(path, lambda file: picture.save(file, "PNG"))


# book/21-command-line.md, "Test it, look at it"
@APP.command("show")
def show_command(
    model: Annotated[str, typer.Argument(help="A checkpoint, or mlp or cnn.")] = "cnn",
    filters: Annotated[str, option("Draw the first layer's weights into this file; - "
                                   "for this terminal.", metavar="PNG")] = None,
):
    """Say what a checkpoint holds: layers, notes, filters."""
    if filters not in (None, "-"):
        check_file(Path(filters), ".png")
    path = model_path(model)
    network, facts = load(path).network, describe(path)
    pictures = first_filters(network) if filters else None
    print(network)
    print(f"\n{facts['bytes']:,} bytes, content {facts['sha256'][:16]}")
    if facts["optimizer"]:
        print(f"a run of {facts['epochs']} epochs so far, by {facts['optimizer']}")
    for name, note in facts["notes"].items():
        print(f"{name}: {note}")
    if filters == "-":
        columns = min(len(pictures), max(1, 40 // (pictures.shape[2] + 1)))
        print("\n" + in_characters(contact_sheet(pictures[:columns], columns)))
    elif filters:
        write_filters(filters, network)
        print(f"{filters}: {len(pictures)} filters")

# book/21-command-line.md, "Train one"
OPTIMIZERS = {
    "sgd": (SGD, 0.1, {}), "momentum": (SGD, 0.05, {"momentum": 0.9}),
    "nesterov": (SGD, 0.05, {"momentum": 0.9, "nesterov": True}),
    "rmsprop": (RMSprop, 0.001, {}), "adam": (Adam, 0.001, {}),
    "adamw": (AdamW, 0.001, {}),
}


# book/21-command-line.md, "Train one"
def choose_optimizer(name, rate, cosine, decay, network, steps):
    """An optimizer from words and numbers.

    Parameters
    ----------
    name : str
        A name in OPTIMIZERS.
    rate : float or None
        The learning rate; None means the one that stands there.
    cosine : bool
        Warm up over a twentieth of the steps, then down along half a cosine.
    decay : float or None
        Weight decay, on weights only; None means the optimizer's own.
    network : Network, built
    steps : int
        How many it will take in all.
    """
    kind, usual, settings = OPTIMIZERS[name]
    rate = usual if rate is None else rate
    if cosine:
        rate = Cosine(rate, steps, warmup=steps // 20)
    if decay is not None:
        settings = {**settings, "weight_decay": decay_weights(network, decay)}
    return kind(rate, **settings)


# book/21-command-line.md, "Train one"
def hold_back(images, labels, count, seed):
    """Two pairs of images and labels, to learn from and to watch by (or None)."""
    images = scale_pixels(images)
    if not count:
        return (images, labels), None
    if count >= len(labels):
        raise DataError(f"expected to hold back fewer than all {len(labels):,} digits, "
                        f"got {count:,}")
    learn, watch = split(len(labels), [len(labels) - count, count], seed, labels)
    return (images[learn], labels[learn]), (images[watch], labels[watch])


# book/21-command-line.md, "Train one"
class Reporter:
    """What `fit` takes for a checkpoint folder: says how it goes, and saves at times.

    Parameters
    ----------
    epochs : int
    keeper : Checkpoints, optional
        Where to save, after every `every` epochs and the last.
    every : int
    """

    def __init__(self, epochs, keeper=None, every=1):
        self.epochs, self.keeper, self.every = epochs, keeper, every
        self.console = Console(stderr=True)
        self.bar = Progress(console=self.console, transient=True,
                            disable=not self.console.is_interactive)
        self.task = self.bar.add_task("training", total=epochs)

    def say(self, text):
        """A line above the bar."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def restore(self, run):
        """Go on where the latest checkpoint left off."""
        self.keeper.restore(run)
        self.bar.update(self.task, completed=len(run.rows))
        self.say(f"going on after epoch {len(run.rows)}" if run.rows else
                 f"{self.keeper.folder}: nothing to go on from, beginning")

    def save(self, run):
        """After an epoch."""
        epoch, row = len(run.rows), run.rows[-1]
        line = f"epoch {epoch:3} of {self.epochs}   loss {row['loss']:.4f}"
        if "val_loss" in row:
            line += (f"   held back: loss {row['val_loss']:.4f}, "
                     f"{100 * row['val_accuracy']:.2f} % right")
        self.say(line)
        self.bar.update(self.task, completed=epoch)
        if self.keeper and (epoch % self.every == 0 or epoch == self.epochs):
            self.keeper.save(run)


# book/21-command-line.md, "Train one"
def check_places(output, csv, checkpoints, resume):
    """Refuse, before any work is done, places that `train` could not write to."""
    check_file(output, ".safetensors", ".json")
    if csv:
        check_file(csv)
        if csv.resolve() == output.resolve():
            raise ValueError(f"{csv}: expected another file than the network's")
    if resume and not checkpoints:
        raise typer.BadParameter("--resume needs --checkpoints FOLDER")
    if checkpoints and not resume and any(checkpoints.glob("epoch-*")):
        raise ValueError(f"{checkpoints}: has checkpoints already; --resume goes on "
                         "from them, another folder begins anew")


# book/21-command-line.md, "Train one"
def positive(value):
    """An option's number, unless it is not above 0 or not finite."""
    if value is not None and not 0 < value < math.inf:
        raise typer.BadParameter(f"expected a number above 0, got {value:g}")
    return value

# book/21-command-line.md, "Train one"
DESCRIBED = Annotated[str, option(
    "linear, mlp, small, cnn, or a YAML or JSON file that describes one.",
    "--model", "-m")]
OUTPUT = Annotated[Path, option("Where the network goes: .safetensors or .json.")]
RULE = Annotated[Literal[tuple(OPTIMIZERS)], option(
    f"The rule for its steps: {', '.join(OPTIMIZERS)}.", metavar="NAME")]
RATE = Annotated[float, option(
    "The highest, with --cosine. If not given, what is usual for the optimizer.",
    metavar="R", callback=positive)]
DECAY = Annotated[float, option(
    "Weight decay, on weights only. If not given, the optimizer's own.",
    metavar="R", min=0)]
EPOCHS = Annotated[int, option(
    "Passes over the digits; with --resume, those before it included.",
    metavar="N", min=1)]
HELD_BACK = Annotated[int, option("Digits only to watch by.", metavar="N", min=0)]
THREADS = Annotated[int, option("Workers on each minibatch.", metavar="N", min=1)]
SEED = Annotated[int, option("For weights, order and warps.", metavar="N", min=0)]
EVERY = Annotated[int, option("Epochs between checkpoints.", metavar="N", min=1)]
RESUME = Annotated[bool, option(
    "Go on from the latest checkpoint; all other options as they were.", "--resume")]


# book/21-command-line.md, "Train one"
@APP.command("train")
def train_command(
    model: DESCRIBED = "mlp",
    output: OUTPUT = Path("model.safetensors"),
    epochs: EPOCHS = 5,
    batch_size: Annotated[int, option("Digits for a step.", metavar="N", min=1)] = 64,
    optimizer: RULE = "nesterov",
    learning_rate: RATE = None,
    cosine: Annotated[bool, option("Warm up, then down along a cosine.")] = True,
    weight_decay: DECAY = None,
    augment: Annotated[bool, option("Warp the digits a little.", "--augment")] = False,
    held_back: HELD_BACK = 5000,
    data: DATA = None,
    first: FIRST = None,
    threads: THREADS = 1,
    seed: SEED = 0,
    checkpoints: Annotated[Path, option("Folder for checkpoints.")] = None,
    every: EVERY = 1,
    resume: RESUME = False,
    csv: Annotated[Path, option("Where to keep each epoch's losses.")] = None,
):
    """Train a network on digits, and save it."""
    check_places(output, csv, checkpoints, resume)
    network, (images, labels) = new_network(model, seed), load_digits(data)[0]
    learn, watch = hold_back(images[:first], labels[:first], held_back, seed)
    steps = epochs * math.ceil(len(learn[1]) / batch_size)
    rule = choose_optimizer(optimizer, learning_rate, cosine, weight_decay, network,
                            steps)
    source = "Kaggle" if has_kaggle(data) else "MNIST"
    notes = {"model": model, "preprocessing": PREPARATION, "epochs": epochs,
             "seed": seed, "trained_on": f"{len(learn[1]):,} digits of {source}",
             "augmented": augment}
    keeper = Checkpoints(checkpoints, notes=notes) if checkpoints else None
    reporter = Reporter(epochs, keeper, every)
    with reporter.bar:
        fit(network, *learn, optimizer=rule, epochs=epochs, batch_size=batch_size,
            validation=watch, augment=Augmentation() if augment else None,
            seed=seed, threads=threads, checkpoint=reporter, resume=resume, csv=csv,
            progress=False)
    save(output, network, notes=notes)
    print(f"{output}: {network.parameter_count:,} parameters; nnlib evaluate {output}")


# book/21-command-line.md, "Out of the house"
@APP.command("export")
def export_command(
    model: Annotated[str, typer.Argument(help="A checkpoint, or mlp or cnn.")],
    output: Annotated[Path, typer.Argument(help="The .onnx file.")],
    outputs: Annotated[list[str], option(
        "Let this layer's output come out too: relu1 is the first ReLU.",
        "--also", metavar="LAYER")] = (),
):
    """Write a network as an ONNX file, for other programs."""
    from nnlib.onnx import export_onnx

    check_file(output, ".onnx")
    saved, key = load(model_path(model)), "preprocessing"
    told = {key: str(saved.notes[key])} if key in saved.notes else {}
    export_onnx(saved.network, output, metadata=told, outputs=tuple(outputs))
    print(f"{output}: {output.stat().st_size:,} bytes")


# book/21-command-line.md, "Out of the house"
def submission_line(path, message):
    """The words that hand a file in, by Kaggle's official client."""
    return ["kaggle", "competitions", "submit", "-c", "digit-recognizer",
            "-f", str(path), "-m", message]


# book/21-command-line.md, "Out of the house"
def check_upload(real):
    """Refuse, before any work is done, to hand in what could not be handed in.

    Parameters
    ----------
    real : bool
        Whether the digits are Kaggle's own.
    """
    if not real:
        raise ValueError("nothing to hand in: Kaggle's files are not there, the "
                         "answers would be for a stand-in; --data FOLDER says where "
                         "they are")
    if not shutil.which("kaggle"):
        raise ValueError("uploading needs Kaggle's client: pip install kaggle, and its "
                         "documentation says how to sign in; or leave out --upload, "
                         "and upload the file at "
                         "kaggle.com/competitions/digit-recognizer")


# book/21-command-line.md, "Out of the house"
def hand_in(path, message):
    """Upload a submission with Kaggle's own client; what that says is passed on.

    Raises
    ------
    ValueError
        If the client refuses.
    """
    line = submission_line(path, message)
    done = subprocess.run(line, capture_output=True, text=True)
    said = (done.stdout + done.stderr).strip() or "nothing"
    if done.returncode:
        raise ValueError(f"Kaggle's client refused {path}: {said}")
    print(said)


# book/21-command-line.md, "Out of the house"
def competition_digits(folder=None):
    """Kaggle's test images, and whether they are its own and not the stand-in's."""
    if has_kaggle(folder):
        return load_digits(folder)[1][0], True
    digits = load_digit_recognizer(folder)
    return digits.test_images, digits.source == "Kaggle"


# book/21-command-line.md, "Out of the house"
@APP.command("submit")
def submit_command(
    model: Annotated[str, typer.Argument(help="A checkpoint, or mlp or cnn.")] = "cnn",
    output: Annotated[Path, option("Where the answers go.")] = Path("submission.csv"),
    data: DATA = None,
    upload: Annotated[bool, option("Hand it in, by Kaggle's own client.",
                                   "--upload")] = False,
    message: Annotated[str, option("What Kaggle shall note beside it.")] = "nnlib",
):
    """Answer Kaggle's test digits; write, check and maybe hand in the file."""
    check_file(output)
    network, notes = load_reader(model)
    images, real = competition_digits(data)
    if upload:
        check_upload(real)
    x = scale_pixels(images).reshape(-1, *network.input_shape)
    write_submission(output, network.predict(x).argmax(axis=1))
    validate_submission(output, len(x))
    print(f"{output}: {len(x):,} answers, in Kaggle's format")
    if not real:
        print("they are for the stand-in's digits: worthless at Kaggle")
    if "MNIST" in str(notes.get("trained_on")):
        print("trained on MNIST, which has Kaggle's test digits in it: too good to be "
              "true")
    if upload:
        hand_in(output, message)
    elif real:
        print("to hand it in: " + shlex.join(submission_line(output, message)))

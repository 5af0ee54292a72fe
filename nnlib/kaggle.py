# Generated from book/09-first-submission.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""A first submission."""

from pathlib import Path

import numpy as np

from nnlib.data import DataError, check_labels
from nnlib.training import write_atomically

__all__ = [
    "confusion_matrix",
    "SUBMISSION_HEADER",
    "write_submission",
    "SubmissionError",
    "submission_lines",
    "in_words",
    "id_fault",
    "submission_fault",
    "validate_submission",
]


# book/09-first-submission.md, "Who is taken for whom"
def confusion_matrix(labels, predictions, classes=10):
    """Count how often each class is taken for each.

    Parameters
    ----------
    labels, predictions : array-like of integers from 0 to classes - 1, shape (n,)
    classes : int

    Returns
    -------
    ndarray of int64, shape (classes, classes)
        Rows are what the samples are, columns what was predicted.

    Raises
    ------
    DataError
        With the shape, type or first bad value that came, and whose it is.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) == 0:
        raise DataError(f"labels: expected at least one, shaped (n,), "
                        f"got shape {labels.shape}")
    numbers = 0
    named = (("labels", labels, classes), ("predictions", predictions, 1))
    for name, values, step in named:
        try:
            checked = check_labels(values, len(labels), classes)
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
        numbers += step * checked.astype(np.int64)
    return np.bincount(numbers, minlength=classes**2).reshape(classes, classes)

# book/09-first-submission.md, "A file in exactly this format"
SUBMISSION_HEADER = "ImageId,Label"


# book/09-first-submission.md, "A file in exactly this format"
def write_submission(path, predictions):
    """Write answers in the format of Kaggle's Digit Recognizer.

    Ids count from 1, lines end in LF. The file is replaced as a whole or not at all.

    Parameters
    ----------
    path : str or Path
    predictions : array-like of integers from 0 to 9, shape (n,)
        In the order of the images.

    Raises
    ------
    DataError
        With the shape, type or first bad value that came; nothing is written then.
    """
    predictions = np.asarray(predictions)
    if predictions.ndim != 1 or len(predictions) == 0:
        raise DataError(f"expected a digit for each image, shaped (n,), "
                        f"got shape {predictions.shape}; "
                        "a network's outputs become digits by argmax(axis=1)")
    check_labels(predictions, len(predictions))
    numbered = enumerate(predictions.tolist(), 1)
    rows = [f"{number},{label}\n" for number, label in numbered]
    text = "".join([SUBMISSION_HEADER, "\n", *rows])
    write_atomically(path, lambda file: file.write(text.encode("ascii")))


# book/09-first-submission.md, "A file in exactly this format"
class SubmissionError(DataError):
    """Not in Kaggle's format; says in which line, what was expected and what came."""


# book/09-first-submission.md, "A file in exactly this format"
def submission_lines(path):
    """The lines of a text file, without their endings, LF or CRLF.

    Raises
    ------
    SubmissionError
        If there is no such file, nothing in it, or a byte-order mark at its beginning.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise SubmissionError(f"{path}: expected a file, got none to read "
                              f"({error.strerror})") from None
    if not raw:
        raise SubmissionError(f"{path}: expected {SUBMISSION_HEADER!r} in line 1, "
                              "got an empty file")
    if raw.startswith(b"\xef\xbb\xbf"):
        raise SubmissionError(f"{path}, line 1: expected {SUBMISSION_HEADER!r} at the "
                              "very beginning, got a byte-order mark before it")
    lines = raw.decode("ascii", "backslashreplace").replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


# book/09-first-submission.md, "A file in exactly this format"
def in_words(text):
    """A piece of a file for a message: quoted, cut if long, or the word nothing."""
    return repr(text if len(text) <= 40 else text[:37] + "...") if text else "nothing"


# book/09-first-submission.md, "A file in exactly this format"
def id_fault(came, number, lines):
    """What a wrong id means, to end an error message; "" if it is no plain number.

    Parameters
    ----------
    came : str
        Stands where id `number` should; the lines before are right.
    number : int
    lines : list of str
        The file's, the header first.
    """
    if came == "0":
        return ": ids begin at 1"
    if not came.isdecimal() or len(came) > 9 or came[0] == "0":
        return ""
    if int(came) < number:
        return f": it is there twice, first in line {int(came) + 1}"
    for k in range(number + 1, len(lines)):
        if lines[k].startswith(f"{number},"):
            return f": out of order, id {number} follows in line {k + 1}"
    return f": id {number} is missing"


# book/09-first-submission.md, "A file in exactly this format"
def submission_fault(lines, rows):
    """The first fault of a submission, with its line number; "" if there is none.

    Parameters
    ----------
    lines : list of str
        At least one, without their endings.
    rows : int
        How many there should be after the header.

    Returns
    -------
    str
        Begins with the number of the line, counted from 1, as in
        "line 3: expected ...".
        A line that should be there and is not has a number, too.
    """
    if lines[0] != SUBMISSION_HEADER:
        return f"line 1: expected {SUBMISSION_HEADER!r}, got {in_words(lines[0])}"
    for number, line in enumerate(lines[1:], 1):
        where, (came, *rest) = f"line {number + 1}: expected ", line.split(",")
        if number > rows:
            return (f"{where}the end of the file after {rows:,} rows, "
                    f"got {in_words(line)}")
        if len(rest) != 1:
            return f"{where}'{number},' and a digit, got {in_words(line)}"
        if came != str(number):
            return (f"{where}ImageId {number}, got {in_words(came)}"
                    f"{id_fault(came, number, lines)}")
        if len(rest[0]) != 1 or rest[0] not in "0123456789":
            return (f"{where}a Label from 0 to 9 for ImageId {number}, "
                    f"got {in_words(rest[0])}")
    if len(lines) <= rows:
        return (f"line {len(lines) + 1}: expected ImageId {len(lines)}, "
                f"got the end of the file: {len(lines) - 1:,} rows of {rows:,}")
    return ""


# book/09-first-submission.md, "A file in exactly this format"
def validate_submission(path, rows=28_000):
    """Return if a file is a submission as Kaggle wants it, raise if not.

    Lines may end in LF or CRLF; the last may have no ending.

    Parameters
    ----------
    path : str or Path
    rows : int
        How many images there are to answer for.

    Raises
    ------
    SubmissionError
        With the line of the first fault, what was expected there and what came.
    """
    fault = submission_fault(submission_lines(path), rows)
    if fault:
        raise SubmissionError(f"{path}, {fault}")

"""Confusions counted and submissions read, one sample and one character at a time: see book/09-first-submission.md."""

import numpy as np


def confusion_matrix(labels, predictions, classes=10):
    """A table of counts: one row for each label, one column for each prediction."""
    table = [[0] * classes for _ in range(classes)]
    for label, prediction in zip(np.asarray(labels).tolist(), np.asarray(predictions).tolist(), strict=True):
        if label not in range(classes) or prediction not in range(classes):
            raise ValueError(f"a class outside 0 to {classes - 1}: {label}, {prediction}")
        table[label][prediction] += 1
    return np.array(table)


def write_submission(path, predictions):
    """A header, then a line for each image."""
    with open(path, "w", newline="") as file:
        file.write("ImageId,Label\n")
        number = 0
        for prediction in np.asarray(predictions).tolist():
            number += 1
            if prediction not in range(10):
                raise ValueError(f"no digit: {prediction}")
            file.write(str(number) + "," + str(prediction) + "\n")


def validate_submission(path, rows=28_000):
    """Read the file character by character; ValueError with the number of the first line that differs."""
    with open(path, "rb") as file:
        raw = file.read()
    place = 0
    for number in range(rows + 1):
        wanted = "ImageId,Label" if number == 0 else f"{number},"
        for character in wanted:
            if place == len(raw) or raw[place] != ord(character):
                raise ValueError(f"line {number + 1}")
            place += 1
        if number > 0:
            if place == len(raw) or not ord("0") <= raw[place] <= ord("9"):
                raise ValueError(f"line {number + 1}")
            place += 1
        if raw[place : place + 2] == b"\r\n":
            place += 2
        elif raw[place : place + 1] == b"\n":
            place += 1
        elif place < len(raw):
            raise ValueError(f"line {number + 1}")
    if place < len(raw):
        raise ValueError(f"line {rows + 2}")

"""Classes of students, for the tests of the grader."""

import json

import pytest

from course.environment import ROOT
from course.grading.grade import Options, grade
from course.grading.levels import Limits, Unprotected

CHAPTER = "03-activations"
QUICK = Limits(seconds=5, cpu=6, memory=1024, disk=8)


def cell(source, exercise="softmax"):
    """A code cell, marked as an exercise's, or a student's own."""
    return {"cell_type": "code", "metadata": {"nnlib": {"exercise": exercise}} if exercise else {}, "outputs": [],
            "source": source, "execution_count": None, "id": "a"}


def notebook(*cells, **more):
    """A notebook's bytes."""
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells, **more}).encode()


def hand_in(submissions, student, data, chapter=CHAPTER):
    """Put a student's notebook in its place."""
    folder = submissions / student
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{chapter}.ipynb").write_bytes(data)


def grade_or_skip(submissions, out, **options):
    """The rows of a class; the test is skipped where nothing can lock code in."""
    settings = {"jobs": 2, "chapter": 3, "limits": QUICK, **options}
    try:
        return grade(ROOT, Options(submissions, out, **settings), say=lambda line: None)
    except Unprotected as reason:
        pytest.skip(str(reason))

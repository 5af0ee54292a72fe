"""Inline numbers: {eval}`expression` in a chapter's Markdown."""

import re

from course.chapter import fenced, is_directive

INLINE = re.compile(r"(?<!`)\{eval\}`([^`]+)`")


def expressions(text):
    """Each inline expression with its line within the text, counted from 1."""
    for match in matches(text):
        yield " ".join(match[1].split()), text.count("\n", 0, match.start()) + 1


def matches(text):
    """The inline expressions outside code fences, as matches in `text`."""
    shown = [fence is None or is_directive(fence) for _, fence in fenced(text)]
    return [m for m in INLINE.finditer(text) if shown[text.count("\n", 0, m.start())]]


def substitute(text, values):
    """The text with each inline expression replaced by its value."""
    return "".join(interleave(pieces(text), values))


def pattern(text):
    """A pattern that matches the text whatever the values of its expressions were."""
    fixed = [re.escape(piece) for piece in pieces(text)]
    return re.compile("".join(interleave(fixed, ["(.+?)"] * (len(fixed) - 1))), re.DOTALL)


def pieces(text):
    """The fixed text before, between and after the expressions."""
    found = matches(text)
    starts = [0, *(m.end() for m in found)]
    ends = [*(m.start() for m in found), len(text)]
    return [text[a:b] for a, b in zip(starts, ends)]


def interleave(fixed, values):
    """fixed[0], values[0], fixed[1], … fixed[-1]"""
    for piece, value in zip(fixed, [*values, ""], strict=True):
        yield piece
        yield value

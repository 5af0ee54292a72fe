"""The one way this machinery says no."""


class Refusal(Exception):
    """Something in the book breaks a rule.

    Its text is one line, `place:line: what is wrong`, so that an editor can jump there.
    """

    def __init__(self, place, line, message):
        where = f"{place}:{line}" if line else f"{place}"
        super().__init__(f"{where}: {message}")

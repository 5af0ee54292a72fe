"""Inline numbers: where they are found and how a text with values still matches its source."""

import pytest

from course.inline import expressions, pattern, substitute

TEXT = """The loss is {eval}`f"{loss:.2f}"`; with `{eval}` one writes `x`.

```{margin}
At most {eval}`max(
losses)` of it.
```

```python
{eval}`shown`
```

````{note}
```
{eval}`shown too`
```
And {eval}`this`.
````
"""


def test_found_in_text_and_directives_not_in_code():
    assert list(expressions(TEXT)) == [('f"{loss:.2f}"', 1), ("max( losses)", 4), ("this", 16)]


def test_values_are_put_in():
    text = substitute(TEXT, ["0.10", "0.30", "all"])
    assert text.startswith("The loss is 0.10; with `{eval}` one") and "At most 0.30 of it." in text
    assert "And all." in text and "{eval}`shown`" in text and "{eval}`shown too`" in text


def test_the_words_around_values_must_stay():
    text = substitute(TEXT, ["0.10", "0.30", "all"])
    assert pattern(TEXT).fullmatch(text)
    assert pattern(TEXT).fullmatch(text.replace("0.10", "-1.5e+10"))
    assert not pattern(TEXT).fullmatch(text.replace("The loss", "A loss"))
    assert not pattern(TEXT).fullmatch(text.replace("0.10", ""))


def test_as_many_values_as_expressions():
    with pytest.raises(ValueError):
        substitute("no expression", ["1"])

"""The visible cases, as pytest sees them. Nothing here is different from `python -m course check`."""

import pytest

from course.classroom.check import check_saved, exercises


@pytest.mark.parametrize("name", [pytest.param(n, marks=getattr(pytest.mark, n)) for n in exercises()])
def test(name):
    """All visible cases of an exercise are right."""
    report = check_saved(name)
    if not report.passed:
        pytest.fail(str(report), pytrace=False)

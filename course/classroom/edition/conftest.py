"""Every exercise is a marker: `pytest -m softmax`."""

from course.classroom.check import exercises


def pytest_configure(config):
    """Declare the markers."""
    for name in exercises():
        config.addinivalue_line("markers", f"{name}: the exercise {name}")

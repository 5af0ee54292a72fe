"""A pytest plugin: nbval runs the chapters the way the weave does. Loaded by pyproject.toml."""

import os
import tempfile

from nbval.kernel import RunningKernel

from course.kernel import FIXED


def pytest_configure(config):
    """Give nbval's kernels the weave's environment."""
    if config.option.nbval:
        scratch = tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True)
        config.add_cleanup(scratch.cleanup)
        os.environ.update(FIXED, IPYTHONDIR=scratch.name)
        RunningKernel.execute_cell_input = execute_cell_input


def execute_cell_input(self, cell_input, allow_stdin=None):
    """What nbval does, but with history: without it IPython overlooks the `;` that ends a plot."""
    return self.kc.execute(cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)


def pytest_itemcollected(item):
    """Compare results, not warnings: what lands on stderr has file names in it."""
    skipped = getattr(item.parent, "skip_compare", None)
    if skipped is not None and "stderr" not in skipped:
        item.parent.skip_compare = (*skipped, "stderr")

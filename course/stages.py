"""After every chapter, the package as it then stands works.

A stage's earlier modules are, byte for byte, those that the stage before was tested with, and
a module imports only earlier ones. So each stage runs the tests of its new module, and the
tests of all modules are run once, each on a package that has nothing later in it.
"""

import ast
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from course.chapter import parse_file
from course.environment import ROOT as HOME
from course.errors import Refusal
from course.tangle import package_files, tangle, write_package


def stages(root, options=()):
    """Run each stage; returns the names of the chapters whose stage failed."""
    modules = [module for module in tangle(root) if module.name]
    for k, module in enumerate(modules):
        check_tests(root, module, modules[k + 1:])
        check_unchanged(root, modules, k)
    failed = []
    for k, module in enumerate(modules):
        print(f"== {module.chapter.name}", flush=True)
        if run_stage(root, modules[:k + 1], options):
            failed.append(module.chapter.name)
    return failed


def tests_of(root, module):
    """The test file of a module."""
    path = root / "tests" / f"test_{module.name}.py"
    if not path.exists():
        raise Refusal(f"tests/{path.name}", 1, f"missing: nnlib.{module.name} has no tests")
    return path


def check_tests(root, module, later):
    """Refuse tests of a module that import a module of a later chapter."""
    path, names = tests_of(root, module), {m.name for m in later}
    for node in ast.walk(parse_file(path, root)):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or "", *(f"{node.module}.{a.name}" for a in node.names)]
        for name in modules:
            if name.startswith("nnlib.") and name.removeprefix("nnlib.") in names:
                raise Refusal(f"tests/{path.name}", node.lineno,
                              f"tests of {module.name} import {name}, which a later chapter makes")


def check_unchanged(root, modules, k):
    """Refuse if tangling through a chapter gives an earlier module another text."""
    number = modules[k].chapter.number
    through = [module for module in tangle(root, number) if module.name]
    for again, module in zip(through, modules[:k + 1], strict=True):
        if again.text != module.text:
            raise Refusal(module.chapter.place, 1, f"its module differs with --through {number:02d}")


def run_stage(root, modules, options):
    """Run the newest module's tests on a folder that has this stage's package and no other."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        folder = Path(folder).resolve()
        write_package(package_files(root, modules), folder / "nnlib")
        path = os.pathsep.join(map(str, dict.fromkeys([folder, root, HOME])))
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1",
                       "COURSE_STAGE": str(folder), "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "pytest", str(tests_of(root, modules[-1])), "-q",
                   "-p", "course.stage_plugin", "-p", "no:cacheprovider", *options]
        return subprocess.run(command, cwd=root, env=environment).returncode

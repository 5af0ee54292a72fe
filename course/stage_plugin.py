"""A pytest plugin (`-p course.stage_plugin`): pin nnlib to one stage's folder, in every worker.

Importing nnlib first decides where its modules come from, whatever pytest or a test puts on
the path later.
"""

import importlib
import os
import pkgutil
from pathlib import Path

import nnlib

STAGE = Path(os.environ["COURSE_STAGE"], "nnlib")

if Path(nnlib.__file__).parent != STAGE:
    raise ImportError(f"expected nnlib from {STAGE}, got {nnlib.__file__}")
for module in pkgutil.iter_modules(nnlib.__path__):
    importlib.import_module(f"nnlib.{module.name}")

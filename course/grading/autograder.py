"""A ready archive for Gradescope: everything needed to grade, and the two scripts it calls.

The archive holds the answers. Gradescope builds an image from it (setup.sh, which needs a package
registry) and starts run_autograder for each submission, without a network of ours.
"""

import shlex
import zipfile
from importlib.metadata import version
from pathlib import Path

PARTS = ("course/**/*.py", "course/**/*.html", "reference/**/*.py", "nnlib/*.py", "exercises/*.py", "book/[0-9][0-9]-*.md",
         "pyproject.toml")
PACKAGES = ("numpy", "jupytext", "nbformat", "pyyaml", "typer", "jinja2", "threadpoolctl", "tqdm", "pandas",
            "matplotlib", "pyseccomp", "onnx", "onnxruntime", "rich", "pillow")
SETUP = """#!/bin/sh
# Needs: Ubuntu 22.04 or newer, a package registry for apt and pip. Runs once, when the image is built.
set -e
apt-get update
apt-get install -y --no-install-recommends software-properties-common libseccomp2
apt-get install -y --no-install-recommends python3.12 python3.12-venv || {{
    add-apt-repository -y ppa:deadsnakes/ppa
    apt-get install -y --no-install-recommends python3.12 python3.12-venv
}}
python3.12 -m venv /opt/course-python
/opt/course-python/bin/pip install {packages}
# Workers run as users of their own, who may read Python and NumPy and nothing of the course.
chmod -R go-rwx /autograder/source
"""
RUN = """#!/bin/sh
# Gradescope calls this for every submission, as root.
set -u
rm -rf /tmp/class /tmp/graded
mkdir -p /tmp/class/student /autograder/results
cp -r /autograder/submission/. /tmp/class/student/
chmod -R go-rwx /tmp/class
cd /autograder/source
COURSE_ENV=current /opt/course-python/bin/python -m course grade /tmp/class --out /tmp/graded -j 1 \\
    --chapter {chapter} --trust --no-mistakes --secret {secret} > /tmp/grading.log 2>&1
if [ -f /tmp/graded/gradescope/student.json ]; then
    cp /tmp/graded/gradescope/student.json /autograder/results/results.json
else
    echo '{{"score": 0, "output": "The grader itself failed. Please tell your teacher.", "visibility": "visible"}}' \\
        > /autograder/results/results.json
    cat /tmp/grading.log
fi
"""


def pack(root, path, chapter, secret):
    """Write the archive for one chapter; returns the number of files in it."""
    scripts = {"setup.sh": SETUP.format(packages=" ".join(f"{name}=={version(name)}" for name in installed())),
               "run_autograder": RUN.format(chapter=f"{chapter:02d}", secret=shlex.quote(secret))}
    files = sorted({p for part in PARTS for p in root.glob(part) if "__pycache__" not in p.parts})
    temporary = Path(f"{path}.part")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in scripts.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, text)
        for file in files:
            archive.write(file, file.relative_to(root).as_posix())
    temporary.replace(path)
    return len(files) + len(scripts)


def installed():
    """The packages of the list that this environment has, for their versions."""
    from importlib.metadata import PackageNotFoundError

    for name in PACKAGES:
        try:
            version(name)
            yield name
        except PackageNotFoundError:
            continue

"""The virtual environment: made from requirements.lock, redone only when that changes.

Standard library only: this runs on a bare Python.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "course-stamp"


def enter():
    """Make sure `.venv` is ready and that it is what runs us."""
    if os.environ.get("COURSE_ENV") == "current":
        return
    set_up()
    if Path(sys.prefix).resolve() == VENV.resolve():
        return
    command = [str(PYTHON), "-m", "course", *sys.argv[1:]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if os.name == "nt":
        sys.exit(subprocess.run(command, env=environment).returncode)
    os.execve(command[0], command, environment)


def set_up():
    """Create or refresh `.venv`, if requirements.lock or pyproject.toml changed since."""
    wanted = digest()
    if STAMP.exists() and STAMP.read_text() == wanted and PYTHON.exists():
        return
    print("Setting up .venv (once; again only when requirements.lock changes)", flush=True)
    if not PYTHON.exists():
        step("creating a virtual environment", create)
    pip("installing the packages of requirements.lock", "-r", "requirements.lock")
    pip("installing nnlib from this folder", "--no-deps", "-e", ".")
    STAMP.write_text(wanted)


def digest():
    """What the environment is made from."""
    made_from = [ROOT / "requirements.lock", ROOT / "pyproject.toml"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in made_from)).hexdigest()


def create():
    """An empty virtual environment; returns an error's text, or "" when all went well."""
    try:
        venv.create(VENV, with_pip=True)
    except (subprocess.CalledProcessError, OSError) as error:
        return f"{error}\nOn Debian and Ubuntu, `apt install python3-venv` first."
    return ""


def pip(what, *arguments):
    """Run pip quietly, saying what it is doing and for how long; its errors are shown."""
    command = [str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments]

    def run():
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
            started = time.monotonic()
            while process.poll() is None:
                time.sleep(0.2)
                if sys.stdout.isatty():
                    print(f"\r  {what} … {time.monotonic() - started:4.0f} s", end="", flush=True)
            log.seek(0)
            return log.read().decode(errors="replace") if process.returncode else ""

    step(what, run)


def step(what, action):
    """Do one step and say how long it took; stop with its error when it fails."""
    print(f"  {what} …", end="", flush=True)
    started = time.monotonic()
    error = action()
    again = f"\r  {what} …" if sys.stdout.isatty() else ""
    print(f"{again} {time.monotonic() - started:4.0f} s", flush=True)
    if error:
        sys.exit(f"{error.strip()}\nSetting up .venv failed while {what}.")

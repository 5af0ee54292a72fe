"""The command line, and the environment it makes on a bare Python."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_book import copy_to, edit
from typer.testing import CliRunner

from course import cli, environment

ROOT = Path(__file__).resolve().parent.parent
VERBS = ["setup", "tangle", "weave", "site", "build", "verify", "test", "stages", "bench", "results", "lab", "clean",
         "release", "check", "progress", "watch", "answers", "grade"]


@pytest.fixture
def book(tmp_path, monkeypatch):
    root = copy_to(tmp_path)
    monkeypatch.setattr(cli, "ROOT", root)
    return root


def invoke(*arguments):
    return CliRunner().invoke(cli.app, arguments)


def fail(capsys, *arguments, monkeypatch):
    """Run `main` with these arguments and return what it ends with."""
    monkeypatch.setattr(sys, "argv", ["course", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb):
    result = invoke(verb, "--help")
    assert result.exit_code == 0 and "Usage" in result.output


def test_there_are_no_other_verbs():
    assert sorted(command.callback.__name__ for command in cli.app.registered_commands) == sorted(VERBS)


def test_tangle_through_into_another_folder(book, tmp_path):
    result = invoke("tangle", "--through", "2", "--output", str(tmp_path / "out"))
    assert result.output == "tangled 2 modules; changed: __init__.py, scaling.py, shifting.py\n"
    assert sorted(path.name for path in (tmp_path / "out" / "nnlib").iterdir()) == [
        "__init__.py", "scaling.py", "shifting.py"]


def test_a_refusal_is_one_line_and_an_exit_code(book, capsys, monkeypatch):
    edit(book, "02", "# Shifting", "Shifting")
    message = fail(capsys, "tangle", monkeypatch=monkeypatch)
    assert message == "book/02-shifting.md:1: expected a title, as in `# Activations`; found none"


def test_verify_lists_every_problem(book, capsys, monkeypatch):
    assert fail(capsys, "verify", monkeypatch=monkeypatch).count("\n") == 6


@pytest.mark.parametrize("arguments, given", [
    ([], True), (["-k", "dense"], True), (["tests/test_course_cli.py::test_x", "-x"], False)])
def test_pytest_gets_the_whole_book_unless_told_what_to_test(arguments, given, monkeypatch):
    ran = []
    monkeypatch.setattr(cli, "run", lambda *command, **_: ran.append(command))
    invoke("test", *arguments)
    assert ("book/notebooks" in ran[0]) == given and ran[0][len(ran[0]) - len(arguments):] == tuple(arguments)


def test_clean_removes_what_can_be_made_again(book):
    (book / ".cache" / "weave").mkdir(parents=True)
    (book / "submission.csv").write_text("")
    invoke("clean")
    assert not (book / ".cache").exists() and not (book / "submission.csv").exists()
    assert (book / "book" / "01-scaling.md").exists()


def test_bare_python_reaches_the_environment_without_other_packages():
    """-S leaves site-packages out, -I everything personal."""
    code = "import sys; sys.path.insert(0, '.'); from course import environment; print(environment.digest())"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == environment.digest(), done.stderr


def test_current_environment_sets_nothing_up(monkeypatch):
    monkeypatch.setenv("COURSE_ENV", "current")
    monkeypatch.setattr(environment, "set_up", lambda: pytest.fail("set up"))
    environment.enter()


def test_setup_runs_once_and_again_when_the_lock_changes(tmp_path, monkeypatch, capsys):
    steps = []
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(environment, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(environment, "pip", lambda what, *arguments: steps.append(arguments))
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_text("one")
    environment.set_up()
    environment.set_up()
    assert steps == [("-r", "requirements.lock"), ("--no-deps", "-e", ".")]
    (tmp_path / "requirements.lock").write_text("two")
    environment.set_up()
    assert len(steps) == 4 and "Setting up .venv" in capsys.readouterr().out


def test_a_failing_pip_is_shown_and_leaves_no_stamp(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(environment, "PYTHON", Path(sys.executable))
    (tmp_path / "requirements.lock").write_text("-r nowhere.txt\n")
    (tmp_path / "pyproject.toml").write_text("")
    with pytest.raises(SystemExit, match="nowhere.txt(.|\n)*failed while installing the packages"):
        environment.set_up()
    assert not (tmp_path / "stamp").exists()


@pytest.mark.skipif(os.name == "nt", reason="make is not part of Windows")
def test_make_calls_the_verbs():
    plain = {name: value for name, value in os.environ.items() if "MAKE" not in name and name not in ("MFLAGS", "PYTHON")}
    for target, verb in {"book": "build", "test": "test", "clean": "clean", "bench": "bench"}.items():
        done = subprocess.run(["make", "-n", target], cwd=ROOT, env=plain, capture_output=True, text=True)
        assert done.stdout.strip() == f"python3 -m course {verb}"

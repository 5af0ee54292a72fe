"""Which answers look copied: an optional report, made by the library copydetect (winnowing, as Moss does).

Runs in a process of its own with a time limit: it reads students' code, as text.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from course.errors import Refusal

LENGTH = 100_000  # characters of one student's answers to a chapter that are looked at
SECONDS = 600


def compare(options, assignments, class_, write_table):
    """Write `similarity.csv`: pairs of students, the most alike first.

    Raises
    ------
    Refusal
        If copydetect is not installed, or fails.
    """
    try:
        import copydetect  # noqa: F401
    except ImportError:
        raise Refusal("--similarity", 0, "needs the package copydetect: pip install copydetect") from None
    rows = []
    for chapter in dict.fromkeys(a.sheet.chapter.name for a in assignments):
        mine = [a for a in assignments if a.sheet.chapter.name == chapter]
        rows += [[chapter, *pair] for pair in pairs(mine, texts(chapter, mine, class_))]
    write_table(options.out / "similarity.csv", ["chapter", "student", "other", "share", "share of other", "tokens"],
                sorted(rows, key=lambda r: -max(r[3], r[4])))
    return len(rows)


def texts(chapter, assignments, class_):
    """{student: the text of all answers to a chapter}."""
    names = {a.name for a in assignments}
    for student, notebooks in class_.items():
        cells = notebooks[chapter].cells if chapter in notebooks else ()
        text = "\n\n".join(c["source"] for c in cells if c["metadata"]["nnlib"].get("exercise") in names)
        if text.strip():
            yield student, text[:LENGTH]


def pairs(assignments, found):
    """Compare the texts of a chapter; what the handed-out cells contain does not count."""
    students = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "given").mkdir()
        (folder / "answers").mkdir()
        (folder / "given" / "stubs.py").write_text("\n\n".join(a.task.stub for a in assignments), "utf-8")
        for number, (student, text) in enumerate(found):
            students.append(student)
            (folder / "answers" / f"{number}.py").write_text(text, "utf-8")
        try:
            done = subprocess.run([sys.executable, "-m", "course.grading.similarity", str(folder)], timeout=SECONDS,
                                  stdout=subprocess.PIPE, check=True, cwd=Path(__file__).resolve().parents[2])
        except subprocess.SubprocessError as error:
            raise Refusal("--similarity", 0, f"the comparison failed; the grades are written ({error!r:.100})") from None
    for one, other, share, share_of_other, tokens in json.loads(done.stdout.splitlines()[-1]):
        yield students[one], students[other], share, share_of_other, tokens


def main(folder):
    """In a process of its own: print the pairs as JSON."""
    import copydetect

    detector = copydetect.CopyDetector(
        test_dirs=[f"{folder}/answers"], boilerplate_dirs=[f"{folder}/given"], extensions=["py"],
        display_t=0.5, noise_t=15, guarantee_t=25, silent=True, autoopen=False)
    detector.run()
    found = [(int(Path(str(one)).stem), int(Path(str(other)).stem), round(float(share), 3), round(float(of_other), 3),
              int(tokens)) for share, of_other, one, other, _, _, tokens in detector.get_copied_code_list()]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])

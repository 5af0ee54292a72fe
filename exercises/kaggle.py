"""The exercises of the chapter on a first submission: who is taken for whom, files in a form, and how sure is sure."""

import math
import re

import numpy as np

from course.classroom.exercise import Case, Exercise, Mutant, Question, Script, call
from nnlib.data import DataError

HEADER = "ImageId,Label"


# What is drawn.

def judged(*lines, rows=3):
    """The number of the line in which the first fault is, as "line 3", or nothing."""
    return (Script().call("submission_fault", list(lines), rows, name="fault", keep=False)
            .call("fault.split", ":", 1, name="parts", keep=False).call("parts.__getitem__", 0))


def right_file(rng, rows):
    """The lines of a submission without a fault."""
    return [HEADER, *(f"{k},{label}" for k, label in enumerate(rng.integers(0, 10, rows).tolist(), 1))]


def damaged(rng, rows, place, line):
    """A right file, with one line replaced."""
    lines = right_file(rng, rows)
    lines[place] = line
    return judged(*lines, rows=rows)


def probabilities(rng, n, classes=4):
    """Rows of positive numbers that sum to one, some of them sure."""
    p = rng.dirichlet(np.full(classes, 0.3), n) + 1e-3
    return p / p.sum(axis=1, keepdims=True)


def too_sure(rng, n, classes=4, scale=6.0, wrong=0.25):
    """Logits that are larger than their errors allow, and labels; a share of them is wrong for certain."""
    labels = rng.integers(0, classes, n)
    logits = rng.uniform(-1, 1, (n, classes))
    logits[np.arange(n), (labels + (np.arange(n) < wrong * n)) % classes] += 2.5
    return scale * logits, labels


# References of those that `reference` has not: plain Python.

def submission_fault(lines, rows):
    """Each line against the pattern it should match."""
    wanted = [re.escape(HEADER), *(f"{k},[0-9]" for k in range(1, rows + 1))]
    for number, (line, pattern) in enumerate(zip(lines, wanted), 1):
        if not re.fullmatch(pattern, line):
            return f"line {number}: no match"
    return "" if len(lines) == len(wanted) else f"line {min(len(lines), len(wanted)) + 1}: the end"


def recall_and_precision(confusion):
    """Row sums and column sums, one after the other."""
    table, classes = confusion.tolist(), range(len(confusion))
    found = [share(table[k][k], sum(table[k])) for k in classes]
    kept = [share(table[k][k], sum(row[k] for row in table)) for k in classes]
    return np.array(found), np.array(kept)


def share(part, whole):
    """The quotient, nan where there is nothing."""
    return part / whole if whole else math.nan


def answer_or_ask(p, wrong, ask):
    """What each would cost, for each row."""
    answers = []
    for row in p.tolist():
        best = row.index(max(row))
        answers.append(best if (1 - row[best]) * wrong < ask else -1)
    return np.array(answers)


def best_temperature(logits, labels, low=0.05, high=20.0):
    """The slope's change of sign, by golden sections of 1 / T."""
    rows, labels, ratio = logits.tolist(), labels.tolist(), (math.sqrt(5) - 1) / 2

    def slope(b):
        total = []
        for row, label in zip(rows, labels):
            top = max(b * z for z in row)
            weights = [math.exp(b * z - top) for z in row]
            total.append(math.fsum(w * z for w, z in zip(weights, row)) / math.fsum(weights) - row[label])
        return math.fsum(total)

    left, right = 1 / high, 1 / low
    for _ in range(200):
        middle = left + (right - left) * (1 - ratio)
        left, right = (left, middle) if slope(middle) > 0 else (middle, right)
    return 1 / left


def read_answers(lines, rows):
    """One pattern for every line that is not blank."""
    filled = [re.sub(r"\s", "", line) for line in lines if line.strip()]
    if not filled or filled[0] != HEADER:
        raise DataError("no header")
    found = [re.fullmatch(r"([0-9]+)(\.0*)?,([0-9])(\.0*)?", line).group(1, 3) for line in filled[1:]]
    answers = dict(found)
    return np.array([int(answers[str(k)]) for k in range(1, rows + 1)])


CONFUSION_MATRIX = Exercise(
    name="confusion_matrix", kind="build", target="confusion_matrix", difficulty=2, minutes=20,
    cases=(
        Case("six samples, three classes", 1, "Rows are what the digits are, columns what was said.",
             lambda rng: call("confusion_matrix", np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 0, 2]), classes=3)),
        Case("classes that do not occur", 1, "A table without the rows of rare classes cannot be compared with another one.",
             lambda rng, size=6: call("confusion_matrix", rng.integers(0, 3, size), rng.integers(0, 3, size), classes=4)),
        Case("one prediction too few", 1, "Answers that have slipped by one line are counted as confusions.",
             lambda rng: call("confusion_matrix", np.array([1, 2, 3]), np.array([1, 2])), raises="DataError"),
        Case("a prediction that is no class", 1, "Cell (0, 12) of ten classes has the number of cell (1, 2).", hidden=True,
             draw=lambda rng: call("confusion_matrix", np.array([0, 1]), np.array([12, 1])), raises="DataError"),
        Case("labels as small as they come in files", 2, "In eight bits 19 times 20 is 124.", hidden=True,
             draw=lambda rng, size=30: call("confusion_matrix", rng.integers(10, 20, size).astype(np.uint8),
                                            rng.integers(10, 20, size).astype(np.uint8), classes=20)),
        Case("nobody", 1, "A table of nothing looks like a perfect one: no confusions.", hidden=True,
             draw=lambda rng: call("confusion_matrix", np.array([], int), np.array([], int)), raises="DataError"),
        Case("many digits", 1, "The ten classes it is for.", hidden=True,
             draw=lambda rng: call("confusion_matrix", rng.integers(0, 10, 500), rng.integers(0, 10, 500))),
    ),
    hints=(
        "Give each cell of the table a number. Which number does a sample's cell have?",
        "`check_labels` looks at the classes and returns an array. Cell (i, j) is number classes · i + j, in 64 bits; "
        "`np.bincount` with `minlength` counts them, `reshape` lays them out.",
        "Section *Who is taken for whom* of {ref}`ch-first-submission`, {eq}`eq-kaggle-confusion`.",
    ),
    mutants=(
        Mutant("rows and columns exchanged", ('("labels", labels, classes), ("predictions", predictions, 1)',
                                              '("labels", labels, 1), ("predictions", predictions, classes)'), "six samples, three classes", 0),
        Mutant("ten classes, always", ("np.bincount(numbers, minlength=classes**2).reshape(classes, classes)",
                                       "np.bincount(numbers, minlength=100).reshape(10, 10)"), "six samples, three classes", 1),
        Mutant("no more cells than occur", ("return np.bincount(numbers, minlength=classes**2).reshape(classes, classes)",
                                            "counts = np.bincount(numbers)\n    return counts.reshape(-1, max(1, "
                                            "round(len(counts) ** 0.5)))"),
               "classes that do not occur", 1),
        Mutant("eight bits", ("checked.astype(np.int64)", "checked"), "labels as small as they come in files", 1),
        Mutant("classes are not checked", ("check_labels(values, len(labels), classes)", "check_labels(values, len(labels), 100)"),
               "a prediction that is no class", 1),
        Mutant("any number of predictions", ("check_labels(values, len(labels), classes)", "check_labels(np.resize(values, len(labels)), len(labels), classes)"),
               "one prediction too few", 1),
    ),
)

SUBMISSION_FAULT = Exercise(
    name="submission_fault", kind="build", target="submission_fault", difficulty=3, minutes=40, expected=submission_fault,
    cases=(
        Case("nothing wrong", 1, "A validator that complains about a right file is switched off.", lambda rng: judged(*right_file(rng, 3))),
        Case("another header", 1, "The names of the columns are part of the form.", lambda rng: judged("id,label", "1,3", "2,7", "3,8")),
        Case("ids from zero", 1, "Every answer would belong to the picture before.", lambda rng: judged(HEADER, "0,3", "1,7", "2,8")),
        Case("a label that is a float", 1, "Some libraries write 3.0 for a 3, and 27,999 lines may be right before it.",
             lambda rng: judged(HEADER, "1,3", "2,7.0", "3,8")),
        Case("the end comes early", 1, "The line that is not there has a number, too.", lambda rng: judged(HEADER, "1,3", "2,7")),
        Case("a line too many", 1, "Perhaps two files were glued together.", hidden=True, draw=lambda rng: judged(*right_file(rng, 6), rows=5)),
        Case("the same id twice", 1, "One of the two answers is about something else.", hidden=True,
             draw=lambda rng: damaged(rng, 40, 27, "26,5")),
        Case("an empty label", 1, "The empty text is in every other one, says Python.", hidden=True, draw=lambda rng: damaged(rng, 9, 4, "4,")),
        Case("two digits", 1, "There is no class 12, though 1 and 2 are classes.", hidden=True, draw=lambda rng: damaged(rng, 9, 8, "8,12")),
        Case("another alphabet's digit", 1, "Python's isdigit knows the digits of all alphabets; Kaggle does not.", hidden=True,
             draw=lambda rng: damaged(rng, 9, 3, "3,٣")),
        Case("an id with a zero in front", 1, "As a number it is right, as a text it is not what was asked for.", hidden=True,
             draw=lambda rng: damaged(rng, 9, 2, "02,5")),
        Case("a blank line, or a third column", 1, "Neither is an id and a digit.", hidden=True,
             draw=lambda rng: damaged(rng, 12, int(rng.integers(1, 13)), ("", "1,2,3", " ")[rng.integers(3)])),
        Case("nothing but a header", 1, "A program that stopped early leaves this.", hidden=True, draw=lambda rng: judged(HEADER, rows=28_000)),
    ),
    hints=(
        "What must line k look like? It is known beforehand, except for one character.",
        "Go through the lines with `enumerate` and return at the first that differs: too many rows, not two fields, not this "
        "id, not one of ten characters. After the loop, too few rows. Python counts the lines from 0, people from 1.",
        "Section *A file in exactly this format* of {ref}`ch-first-submission`; `in_words` and `id_fault` help with the message.",
    ),
    mutants=(
        Mutant("lines counted from zero", ('f"line {number + 1}: expected ", line.split(",")', 'f"line {number}: expected ", line.split(",")'),
               "a label that is a float", 1),
        Mutant("too few pass", ("    if len(lines) <= rows:", "    if False:"), "the end comes early", 1),
        Mutant("too many pass", ("        if number > rows:", "        if False:"), "a line too many", 1),
        Mutant("ids as numbers", ("if came != str(number):", "if not came.isdecimal() or int(came) != number:"), "an id with a zero in front", 0),
        Mutant("any digits", ('if len(rest[0]) != 1 or rest[0] not in "0123456789":', "if not rest[0].isdigit():"), "two digits", 0),
        Mutant("a piece of the ten digits", ('if len(rest[0]) != 1 or rest[0] not in "0123456789":', 'if rest[0] not in "0123456789":'),
               "an empty label", 0),
        Mutant("digits of any alphabet", ('rest[0] not in "0123456789"', "not rest[0].isdigit()"), "another alphabet's digit", 0),
        Mutant("any header", ("    if lines[0] != SUBMISSION_HEADER:", '    if "," not in lines[0]:'), "another header", 2),
        Mutant("the last line there is", ('f"line {len(lines) + 1}: expected', 'f"line {len(lines)}: expected'), "the end comes early", 1),
    ),
)

RECALL_AND_PRECISION = Exercise(
    name="recall_and_precision", kind="further", target="recall_and_precision", difficulty=1, minutes=15, expected=recall_and_precision,
    text="""*Read it off.* Of the nines, how many were found? That share is the *recall* of the class. Of those that
were said to be nines, how many are? That is its *precision*. Both stand in the confusion matrix. Which digit has the
lowest of each, and what do people do when one of the two matters more?""",
    stub='''def recall_and_precision(confusion):
    """The share of each class that was found, and the share of what was said to be it
    that is.

    Parameters
    ----------
    confusion : ndarray of int, shape (classes, classes)
        Rows are what the samples are, columns what was predicted. Left alone.

    Returns
    -------
    tuple of ndarray, each of float64, shape (classes,)
        Recall and precision. nan for a class that does not occur, or was never said.
    """
''',
    solution='''def recall_and_precision(confusion):
    """The share of each class that was found, and the share of what was said to be it that is."""
    right = np.diag(confusion).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return right / confusion.sum(axis=1), right / confusion.sum(axis=0)
''',
    cases=(
        Case("three classes", 1, "An average over classes hides the one that is never found.",
             lambda rng: call("recall_and_precision", np.array([[1, 1, 0], [0, 2, 0], [1, 0, 1]]))),
        Case("a class that is never said", 1, "Zero would be a verdict; there is nothing to judge.",
             lambda rng: call("recall_and_precision", np.array([[3, 0, 1], [2, 0, 0], [0, 0, 4]]))),
        Case("ten classes", 1, "The table of this chapter has this size.", hidden=True,
             draw=lambda rng, size=10: call("recall_and_precision", rng.integers(1, 50, (size, size)))),
        Case("a class that does not occur", 1, "A small sample may have no eights.", hidden=True,
             draw=lambda rng: call("recall_and_precision", np.array([[5, 1, 2], [0, 0, 0], [1, 1, 0]]))),
    ),
    hints=(
        "Both have the same numerator. Where does it stand? And what are the two wholes?",
        "The diagonal over the sums of the rows, and over those of the columns. 0 / 0 is nan in floating point, and that is "
        "what is wanted.",
        "Section *Who is taken for whom* of {ref}`ch-first-submission`.",
    ),
    mutants=(
        Mutant("exchanged", ("return right / confusion.sum(axis=1), right / confusion.sum(axis=0)",
                             "return right / confusion.sum(axis=0), right / confusion.sum(axis=1)"), "three classes", 1),
        Mutant("shares of all samples", ("right / confusion.sum(axis=1), right", "right / confusion.sum(), right"), "three classes", 0),
        Mutant("zero for what was not said", ("right / confusion.sum(axis=0)", "right / np.maximum(confusion.sum(axis=0), 1)"),
               "a class that is never said", 1),
        Mutant("the errors", ("right = np.diag(confusion).astype(np.float64)", "right = confusion.sum(axis=1) - np.diag(confusion).astype(np.float64)"),
               "three classes", 0),
    ),
)

ANSWER_OR_ASK = Exercise(
    name="answer_or_ask", kind="further", target="answer_or_ask", difficulty=1, minutes=15, expected=answer_or_ask,
    text="""*Chow's rule*, as a function: answer where that is cheaper on average, and ask a person about the rest.
Apply it to the validation digits before and after you have cooled the network, add up what each costs, and compare
with always answering and with always asking.""",
    stub='''def answer_or_ask(p, wrong, ask):
    """The classes to answer, or -1 where it is cheaper to ask.

    Parameters
    ----------
    p : ndarray, shape (n, classes)
        Probabilities, samples first; taken at their word.
    wrong, ask : float
        What a wrong answer costs, and what a question costs; both positive. A right
        answer costs nothing.

    Returns
    -------
    ndarray of int, shape (n,)
        Where both cost the same, ask.
    """
''',
    solution='''def answer_or_ask(p, wrong, ask):
    """The classes to answer, or -1 where it is cheaper to ask."""
    expensive = (1 - p.max(axis=1)) * wrong >= ask
    return np.where(expensive, -1, p.argmax(axis=1))
''',
    cases=(
        Case("a question costs a quarter of an error", 1, "A person can read the few that are doubtful.",
             lambda rng, size=5: call("answer_or_ask", probabilities(rng, size), 4.0, 1.0)),
        Case("just as dear", 1, "At the border the rule has to say something, and the person will be right.",
             lambda rng: call("answer_or_ask", np.array([[0.75, 0.25], [0.5, 0.5], [0.875, 0.125]]), 4.0, 1.0)),
        Case("questions dearer than errors", 1, "Then even a guess is better.", hidden=True,
             draw=lambda rng, size=8: call("answer_or_ask", probabilities(rng, size), 2.0, 3.0)),
        Case("twenty to one", 1, "The post office of this chapter.", hidden=True,
             draw=lambda rng, size=40: call("answer_or_ask", probabilities(rng, size, 10), 20.0, 1.0)),
    ),
    hints=(
        "What does an answer cost on average, if its probability is taken at its word?",
        "(1 - q) times the cost of an error, with q the row's largest probability, against the cost of a question.",
        "Section *I would rather not say* of {ref}`ch-first-submission`, {eq}`eq-kaggle-reject`.",
    ),
    mutants=(
        Mutant("the probability of being right", ("(1 - p.max(axis=1)) * wrong", "p.max(axis=1) * wrong"), "a question costs a quarter of an error", 0),
        Mutant("answers at the border", (">= ask", "> ask"), "just as dear", 1),
        Mutant("the threshold upside down", ("(1 - p.max(axis=1)) * wrong >= ask", "p.max(axis=1) <= ask / wrong"), "a question costs a quarter of an error", 2),
        Mutant("one verdict for all", ("p.max(axis=1)) * wrong", "p.max()) * wrong"), "just as dear", 1),
    ),
)

BEST_TEMPERATURE = Exercise(
    name="best_temperature", kind="further", target="best_temperature", difficulty=3, minutes=60, expected=best_temperature,
    text="""The chapter tried temperatures in steps of 0.05. Find the best one properly. With $b = 1/T$ the mean loss
of $\\operatorname{softmax}(b z)$ is a convex function of $b$: it has one minimum, and its slope changes sign there
once. Derive the slope with respect to $b$ for one digit (it is a difference of a mean logit and a logit), and halve
an interval until you have it. Then try it on the average of three networks.""",
    stub='''def best_temperature(logits, labels, low=0.05, high=20.0):
    """The temperature with the lowest mean loss of softmax(logits / T).

    Parameters
    ----------
    logits : ndarray, shape (n, classes)
        Samples first, of any size. Left alone.
    labels : ndarray of int, shape (n,)
    low, high : float
        Where to look. If the loss is lowest at an end, that end is the answer.

    Returns
    -------
    float
        Right to at least four digits.
    """
''',
    solution='''def best_temperature(logits, labels, low=0.05, high=20.0):
    """The temperature with the lowest mean loss of softmax(logits / T)."""
    z, own = logits.astype(np.float64), logits[np.arange(len(labels)), labels]
    left, right = 1 / high, 1 / low
    for _ in range(60):
        b = (left + right) / 2
        p = np.exp(b * (z - z.max(axis=1, keepdims=True)))
        expected = (p * z).sum(axis=1) / p.sum(axis=1)
        if np.mean(expected - own) > 0:
            right = b
        else:
            left = b
    return 2 / (left + right)
''',
    # Four digits are asked for, so 2e-4; the data has more than one error, so the minimum is not flat.
    cases=(
        Case("too sure of itself", 2, "One number mends most of it.", rtol=2e-4, draw=lambda rng: call("best_temperature", *too_sure(rng, 12))),
        Case("not sure enough", 2, "A network that stopped early may be too modest: T is below one.", rtol=2e-4,
             draw=lambda rng: call("best_temperature", *too_sure(rng, 12, scale=0.2))),
        Case("never wrong", 1, "Then there is no limit to how sure it may be, but the one you set.", rtol=2e-4,
             draw=lambda rng: call("best_temperature", np.array([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]]), np.array([0, 1]), low=0.25)),
        Case("always wrong", 1, "The best it can do is to say nothing.", hidden=True, rtol=2e-4,
             draw=lambda rng: call("best_temperature", np.array([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]]), np.array([2, 0]), high=50.0)),
        Case("logits in the hundreds", 2, "The exponential of a thousand is no number.", hidden=True, rtol=2e-4,
             draw=lambda rng: call("best_temperature", *too_sure(rng, 60, scale=200.0), high=1e4)),
        Case("many digits, many classes", 1, "A temperature is chosen on thousands of digits.", hidden=True, rtol=2e-4,
             draw=lambda rng: call("best_temperature", *too_sure(rng, 500, classes=10, scale=3.0, wrong=0.1))),
    ),
    hints=(
        "With respect to b, what is the derivative of ln Σ exp(b z)? And of b times the label's logit?",
        "The slope is the mean over digits of (Σ p z) - z of the label. Where it is positive b is too large. Sixty halvings of "
        "an interval are more digits than a double has. Take each row's largest logit away before you exponentiate.",
        "Section *What should ninety per cent mean?* of {ref}`ch-first-submission`, {eq}`eq-kaggle-temperature`; *Only "
        "differences count* of {ref}`ch-activations`.",
    ),
    mutants=(
        Mutant("b in place of T", ("return 2 / (left + right)", "return (left + right) / 2"), "too sure of itself", 0),
        Mutant("the wrong half", ("if np.mean(expected - own) > 0:", "if np.mean(expected - own) < 0:"), "too sure of itself", 1),
        Mutant("too few halvings", ("range(60)", "range(8)"), "too sure of itself", 1),
        Mutant("probabilities that do not depend on b", ("np.exp(b * (z -", "np.exp((z -"), "too sure of itself", 1),
        Mutant("overflows", ("np.exp(b * (z - z.max(axis=1, keepdims=True)))", "np.exp(b * z)"), "logits in the hundreds", 1),
        Mutant("the largest logit in place of the label's", ("logits[np.arange(len(labels)), labels]", "logits.max(axis=1)"), "too sure of itself", 1),
    ),
)

READ_ANSWERS = Exercise(
    name="read_answers", kind="further", target="read_answers", difficulty=2, minutes=40, expected=read_answers,
    text="""*Forgiving or strict?* `validate_submission` refuses whatever is not in the form. A reader that *repairs*
is harder: it may mend only what cannot be meant in another way. Write one for the lines of a file that went through
somebody's spreadsheet. Before you do, list what could turn a wrong answer into a wrong answer that nobody notices.""",
    stub='''def read_answers(lines, rows):
    """The answers in a submission's lines, in the order of the pictures.

    Mended: rows in any order; lines that are blank; spaces around a line, an id or a
    label; numbers written with a point and zeros, as in 3.0 or 3.00.

    Parameters
    ----------
    lines : list of str
        Without their endings, SUBMISSION_HEADER first (blank lines may stand before
        it).
    rows : int
        How many pictures there are: ids from 1 to `rows`.

    Returns
    -------
    ndarray of int, shape (rows,)

    Raises
    ------
    DataError
        For another header, a line that has not two fields, an id or a label that is not
        a whole number written as above, a label above 9, an id above `rows` or 0, an id
        that is missing, an id that is there twice (even with the same label).
    """
''',
    solution='''def read_answers(lines, rows):
    """The answers in a submission's lines, in the order of the pictures."""
    table = [[field.strip() for field in line.split(",")] for line in lines if line.strip()]
    if not table or ",".join(table[0]) != SUBMISSION_HEADER:
        raise DataError(f"expected {SUBMISSION_HEADER!r} first")
    answers = {}
    for fields in table[1:]:
        pieces = [field.partition(".") for field in fields]
        if len(pieces) != 2 or any(not p[0].isdecimal() or p[2].strip("0") for p in pieces):
            raise DataError(f"expected an id and a digit, got {fields}")
        number, label = (int(p[0]) for p in pieces)
        if number in answers or not 1 <= number <= rows or label > 9:
            raise DataError(f"expected another id, or a digit, got {fields}")
        answers[number] = label
    if len(answers) < rows:
        raise DataError(f"expected {rows} answers, got {len(answers)}")
    return np.array([answers[number] for number in range(1, rows + 1)])
''',
    cases=(
        Case("in another order", 1, "Somebody sorted the file by label, to have a look.",
             lambda rng: call("read_answers", [HEADER, "3,0", "1,4", "2,7"], 3)),
        Case("through a spreadsheet", 2, "Spaces, points and blank lines cannot be meant in another way.",
             lambda rng: call("read_answers", ["", HEADER, " 1, 3.0", "", "2.0 ,7 ", "3,8.00", ""], 3)),
        Case("one of them twice", 1, "Which of the two was meant, and which picture has lost its answer?",
             lambda rng: call("read_answers", [HEADER, "1,3", "2,7", "2,7", "3,8"], 3), raises="DataError"),
        Case("more than tens", 1, "As texts, 10 comes before 9.", hidden=True,
             draw=lambda rng: call("read_answers", [HEADER, *rng.permutation([f"{k},{k % 10}" for k in range(1, 124)]).tolist()], 123)),
        Case("a missing id", 1, "A zero in its place would be an answer that nobody gave.", hidden=True,
             draw=lambda rng: call("read_answers", [HEADER, "1,3", "3,8"], 3), raises="DataError"),
        Case("three and a half", 1, "Rounded, it would be a digit.", hidden=True,
             draw=lambda rng: call("read_answers", [HEADER, "1,3", "2,3.5", "3,8"], 3), raises="DataError"),
        Case("minus one", 1, "NumPy takes index -1 for the last place, without a word.", hidden=True,
             draw=lambda rng: call("read_answers", [HEADER, "1,3", "2,-1", "3,8"], 3), raises="DataError"),
        Case("ids from zero on", 1, "Mended by adding one it might be right; it might also be a file for other pictures.", hidden=True,
             draw=lambda rng: call("read_answers", [HEADER, "0,3", "1,7", "2,8"], 3), raises="DataError"),
        Case("columns the other way round", 1, "Where an id and a label are both digits, only the header tells them apart.", hidden=True,
             draw=lambda rng: call("read_answers", ["Label,ImageId", "3,1", "1,2", "2,3"], 3), raises="DataError"),
        Case("a label of two digits", 1, "Two lines may have run together.", hidden=True,
             draw=lambda rng: call("read_answers", [HEADER, "1,3", "2,78", "3,8"], 3), raises="DataError"),
    ),
    hints=(
        "Which faults leave no doubt about what was meant? Only those may be mended.",
        "Strip and split the lines that are not blank. Put the answers into a dictionary by id, refusing an id that is there "
        "already or out of range; at the end as many must be there as there are rows.",
        "Section *A file in exactly this format* and exercise *Forgiving or strict?* of {ref}`ch-first-submission`.",
    ),
    mutants=(
        Mutant("in the order of the lines", ("[answers[number] for number in range(1, rows + 1)]", "list(answers.values())"), "in another order", 1),
        Mutant("the last one counts", ("if number in answers or not", "if not"), "one of them twice", 0),
        Mutant("what is missing is a zero", ("    if len(answers) < rows:", "    answers = {k: answers.get(k, 0) for k in range(1, rows + 1)}\n    if False:"),
               "a missing id", 0),
        Mutant("rounds", ('p[2].strip("0")', "False"), "three and a half", 0),
        Mutant("no spaces", ("[field.strip() for field in line.split", "[field for field in line.split"), "through a spreadsheet", 1),
        Mutant("sorted as texts", ("[answers[number] for number in range(1, rows + 1)]", "[answers[k] for k in sorted(answers, key=str)]"),
               "more than tens", 1),
        Mutant("any first line", ('",".join(table[0]) != SUBMISSION_HEADER', "len(table[0]) != 2"), "columns the other way round", 2),
    ),
)

EXERCISES = [CONFUSION_MATRIX, SUBMISSION_FAULT, RECALL_AND_PRECISION, ANSWER_OR_ASK, BEST_TEMPERATURE, READ_ANSWERS]

QUESTIONS = [
    Question(
        "You hand in ten networks that differ in their seeds, read the ten scores on the public part of the leaderboard (7,000 "
        "digits, say), and keep the best. By about how much is its score better than the networks are, and what happens on the "
        "other 21,000 digits?",
        "If the networks differ on a share $d$ of the digits, the luck of a seed on $n$ digits has a standard deviation of "
        "$\\sqrt{d/2n}$. With $d = 0.02$, a plausible number for networks that read 98 %, and $n = 7{,}000$ that is 0.12 "
        "points. The largest of ten draws from a normal distribution lies on average about 1.5 standard deviations above the "
        "mean: the best of ten looks about 0.18 points better than the recipe is, thirteen digits. On the other 21,000 digits "
        "its luck is drawn again, so what one should expect there is the recipe's own score; nothing of the gain remains, "
        "except for what little the seeds truly differ by. That is how people fall on the day when the hidden part is opened. "
        "The average of all ten networks would have been worth more, and needs no choice."),
    Question(
        "A network is perfectly calibrated on the validation digits. Does that make it a good network? Name one that is "
        "perfectly calibrated and useless; and say what a temperature can and cannot mend.",
        "No. A program that gives every class the share with which it occurs, whatever the picture, says \"a one, with 11 %\" "
        "each time, and is right 11 % of the time: perfectly calibrated and no use. Calibration compares what was promised "
        "with what came true, group by group; it says nothing about whether the groups are told apart. For that one wants "
        "probabilities far from the average, *sharp* ones, and the cross-entropy punishes the lack of either. A temperature "
        "changes how sure all answers are by one rule. It cannot change which class is largest, nor the order in which the "
        "logits of a digit stand, so accuracy stays. It cannot help where some classes are too sure and others too modest, and "
        "it does not know about pictures of another kind: divided by 1.5, a wild certainty about an inverted digit stays one."),
    Question(
        "Network B makes 30 errors fewer than network A on the same 6,000 digits. Is that evidence? Give an example in which "
        "it is strong, and one in which it is not; what would the error rates alone say?",
        "It depends on the digits that only one of them reads. Say A has 120 errors and B 90, on 5 digits only A is right and "
        "on 35 only B. Then 40 coins fell 35 to 5: $30/\\sqrt{40} = 4.7$ deviations, strong evidence. Say they have 500 and "
        "470 errors and differ on 900 digits, 435 to 465: $30/\\sqrt{900} = 1$, and coins do that one time in three. So two "
        "networks that make nearly the same mistakes can be compared finely, and two of different kinds cannot. The error "
        "rates alone, treated as if they came from different digits, have standard errors of 11 and 9 errors in the first "
        "case, together 14, so that the difference would be 2.1 of these, barely worth mentioning; in the second case they say "
        "1.0 as well, since independent mistakes leave nothing to be gained. The comparison digit by digit is free: keep the "
        "answers, not only the score."),
]

"""The judge: an outcome, the expected one, and a verdict that says what is wrong.

It looks at values, dtype, shape, and whether inputs were changed. An outcome may have been made up
by the code that is judged, so nothing in it is trusted to have the form it should have.
"""

from dataclasses import dataclass

import numpy as np

from course.classroom.codec import Opaque
from course.classroom.script import in_words

STATUSES = ("right", "wrong", "timeout", "crashed", "out-of-memory", "unreadable", "missing")
NUMBERS = (bool, int, float, np.generic, np.ndarray)
SINGLE = {"rtol": 2e-5, "atol": 2e-6}  # the least that single precision is given, atol per largest value


@dataclass(frozen=True)
class Verdict:
    """What is said about one case of one submission."""

    exercise: str
    case: str
    status: str
    message: str = ""
    got: object = None
    expected: object = None
    largest_error: float | None = None
    index: tuple | None = None
    smallest_failing_input: dict | None = None
    seed: int | None = None
    calls: tuple = ()  # what was run, in words

    @property
    def right(self):
        """Does the case earn its points?"""
        return self.status == "right"


class Wrong(Exception):
    """A difference that counts, with what is known about it."""

    def __init__(self, message, **details):
        super().__init__(message)
        self.details = details


def judge(exercise, case, script, outcome, expected, rules, seed=None):
    """The verdict on one outcome.

    Parameters
    ----------
    exercise, case : str
        Their names.
    script : Script
        What was run, with the inputs as they were handed over.
    outcome, expected : dict
        What `script.run` returned for the code that is judged, and for the reference.
    rules : dict
        `Case.rules`.
    """
    def verdict(status, message="", **details):
        if status != "right":
            details |= {"smallest_failing_input": script.inputs, "calls": tuple(in_words(script))}
        return Verdict(exercise, case, status, message, seed=seed, **details)

    if not well_formed(outcome):
        return verdict("crashed", "what came back is not a result")
    if outcome["status"] == "missing":
        return verdict("missing", outcome["message"])
    if outcome["status"] == "raised":
        return verdict(*judge_raised(outcome, rules["raises"]))
    if rules["raises"]:
        return verdict("wrong", f"expected {rules['raises']} to be raised; nothing was",
                       got=tidy(outcome["values"]), expected=f"raises {rules['raises']}")
    dtype = float_dtype(script, rules)
    try:
        compare(outcome["values"], expected["values"], rules, dtype)
    except Wrong as wrong:
        shown = {"got": tidy(outcome["values"]), "expected": tidy(wanted(expected["values"], dtype)), **wrong.details}
        return verdict("wrong", str(wrong), **shown)
    changed = changed_input(script.inputs, outcome["inputs"], rules["modifies"])
    if changed:
        return verdict("wrong", f"the result is right, but {changed} was changed on the way",
                       got=outcome["inputs"].get(changed), expected=script.inputs[changed])
    return verdict("right")


def well_formed(outcome):
    """Does an outcome have the form that `script.run` gives it?"""
    if not isinstance(outcome, dict):
        return False
    if outcome.get("status") == "ok":
        return isinstance(outcome.get("values"), list) and isinstance(outcome.get("inputs"), dict)
    if outcome.get("status") == "raised":
        names = outcome.get("bases")
        return (isinstance(outcome.get("error"), str) and isinstance(outcome.get("message"), str)
                and isinstance(names, list) and all(isinstance(name, str) for name in names))
    return outcome.get("status") == "missing" and isinstance(outcome.get("message"), str)


def judge_raised(outcome, wanted):
    """Status and message where something was raised."""
    bases = [outcome["error"], *outcome["bases"]]
    if "NotImplementedError" in bases and wanted != "NotImplementedError":  # which is a RuntimeError too
        where = str(outcome.get("where") or "")[:200]  # a part of the library that the answer calls
        return "missing", f"{where}, which this calls, is not written yet" if where else "not written yet"
    if wanted and wanted in bases:
        return "right", ""
    what = f"raised {outcome['error']}: {outcome['message']}".strip().rstrip(":")
    if "MemoryError" in bases:
        return "out-of-memory", what
    return "wrong", f"{what}; expected {wanted} to be raised" if wanted else what


def wanted(value, dtype):
    """What is expected, as it is wanted: the reference computes in double precision, whatever it is given."""
    if isinstance(value, list | tuple):
        return type(value)(wanted(part, dtype) for part in value)
    if isinstance(value, dict):
        return {key: wanted(part, dtype) for key, part in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim and dtype and np.dtype(dtype).kind == "f":
        return value.astype(dtype)
    return value


def tidy(values):
    """The only value of a list of one; else the list."""
    return values[0] if len(values) == 1 else values


def float_dtype(script, rules):
    """The dtype that floating results must have: a name, or None where it does not matter."""
    if rules["dtype"] is not None:
        return None if rules["dtype"] == "any" else rules["dtype"]
    dtypes = [v.dtype for v in script.inputs.values() if v.dtype.kind in "fc"]
    return np.result_type(*dtypes).name if dtypes else None


def changed_input(before, after, allowed):
    """The name of an input that was changed without being allowed to, or ""."""
    for name, array in before.items():
        now = after.get(name)
        if name in allowed:
            continue
        if type(now) is not np.ndarray or now.dtype != array.dtype or now.shape != array.shape or (
                now.tobytes() != array.tobytes()):
            return name
    return ""


def compare(got, want, rules, dtype, where=""):
    """Raise `Wrong` at the first difference that counts; walks lists, tuples and dicts."""
    if isinstance(want, list | tuple):
        if not isinstance(got, list | tuple) or len(got) != len(want):
            raise Wrong(f"{where or 'the results'}: expected {len(want)} values, got {describe(got)}")
        for k, (g, w) in enumerate(zip(got, want)):
            part = where if len(want) == 1 else f"{where}[{k}]" if where else f"result {k + 1}"
            compare(g, w, rules, dtype, part)
    elif isinstance(want, dict):
        if not isinstance(got, dict) or set(got) != set(want):
            raise Wrong(f"{where or 'the result'}: expected a dict with {sorted(map(str, want))}, "
                        f"got {describe(got)}")
        for key, value in want.items():
            compare(got[key], value, rules, dtype, f"{where}[{key!r}]")
    elif isinstance(want, bool | np.bool_ | str) or want is None:
        if not isinstance(got, bool | np.bool_ | str | None) or got != want:
            raise Wrong(f"{where or 'the result'}: expected {want!r}, got {describe(got)}")
    elif isinstance(want, NUMBERS):
        compare_numbers(got, want, rules, dtype, f"{where}: " if where else "")
    elif isinstance(want, Opaque) and not isinstance(got, Opaque):
        raise Wrong(f"{where or 'the result'}: expected a {want.type}, got {describe(got)}")


def compare_numbers(got, want, rules, dtype, where):
    """Raise `Wrong` unless a number or an array is what is expected."""
    shape = np.shape(want)
    if not isinstance(got, NUMBERS) or (shape and not isinstance(got, np.ndarray)):
        kind = f"an array shaped {shape}" if shape else "a number"
        raise Wrong(f"{where}expected {kind}, got {describe(got)}")
    g, w = np.asarray(got), np.asarray(want)
    if g.shape != shape:
        raise Wrong(f"{where}expected shape {shape}, got {g.shape}")
    compare_dtypes(g, w, rules, dtype, where)
    if w.dtype.kind == "U":
        if not np.array_equal(g, w):
            raise Wrong(f"{where}the texts differ")
        return
    compare_values(g, w, rules, where)


def compare_dtypes(g, w, rules, dtype, where):
    """Floats where floats are expected, whole numbers where whole numbers are; arrays of the right width."""
    if rules["dtype"] == "any" and g.dtype.kind in ("biuf" if w.dtype.kind in "biuf" else w.dtype.kind):
        return
    families = {"f": "f", "i": "iu", "u": "iu", "b": "b", "c": "c", "U": "U"}
    if g.ndim == 0 and w.dtype.kind == "f" and g.dtype.kind in "iuf":
        return
    expected = dtype if w.dtype.kind in "fc" and dtype else w.dtype.name
    if g.dtype.kind not in families[w.dtype.kind]:
        raise Wrong(f"{where}expected dtype {expected}, got {g.dtype}")
    if g.ndim and w.dtype.kind == "f" and dtype and g.dtype.name != dtype:
        raise Wrong(f"{where}expected dtype {dtype}, got {g.dtype}")


def compare_values(g, w, rules, where):
    """Raise `Wrong`, with the largest error and its index, unless all numbers are close."""
    rtol, atol = rules["rtol"], rules["atol"]
    finite = np.isfinite(w)
    if g.dtype in (np.float16, np.float32):
        largest = np.abs(w[finite]).max(initial=0.0)
        rtol, atol = max(rtol, SINGLE["rtol"]), max(atol, SINGLE["atol"] * float(largest))
    kind = complex if w.dtype.kind == "c" else float
    g, w = g.astype(kind), w.astype(kind)
    with np.errstate(all="ignore"):
        error = np.where((g == w) | (np.isnan(g) & np.isnan(w)), 0, np.abs(g - w))
        error = np.where(np.isnan(error), np.inf, error)
        bad = ~(error <= atol + rtol * np.where(finite, np.abs(w), 0))
    if bad.any():
        flat = int(np.argmax(np.where(bad, error, -1)))
        index = tuple(int(k) for k in np.unravel_index(flat, g.shape))
        at = f" at index {index if len(index) != 1 else index[0]}" if index else ""
        raise Wrong(f"{where}expected {w[index]:.7g}{at}, got {g[index]:.7g}",
                    largest_error=float(error[index]), index=index)


def describe(value):
    """A value in a few words."""
    if isinstance(value, np.ndarray):
        return f"an array shaped {value.shape}"
    if isinstance(value, list | tuple):
        return f"{len(value)} values" if len(value) != 1 else describe(value[0])
    if isinstance(value, Opaque):
        return f"a {value.type[:60]}"
    return repr(value)[:80]


def same(one, other):
    """Do two outcomes show the same symptom? Used to recognise a known mistake."""
    if one.get("status") != other.get("status"):
        return False
    if one["status"] != "ok":
        return one.get("error") == other.get("error")
    rules = {"rtol": 1e-6, "atol": 1e-9, "dtype": "any"}
    try:
        compare(one["values"], other["values"], rules, None)
    except Wrong:
        return False
    if dtypes(one["values"]) != dtypes(other["values"]):
        return False
    return not changed_input({k: v for k, v in other["inputs"].items() if isinstance(v, np.ndarray)},
                             one["inputs"], ())


def dtypes(values):
    """The dtypes of all arrays among some values, in their order."""
    if isinstance(values, list | tuple | dict):
        parts = values.values() if isinstance(values, dict) else values
        return [name for part in parts for name in dtypes(part)]
    return [values.dtype.name] if isinstance(values, np.ndarray) else []

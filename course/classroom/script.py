"""Scripts: what a case does, as plain steps that can be sent to whoever runs them.

Functions, classes and things with a state are tested by one mechanism:

    call("softmax", z)
    Script().given(w=w, g=g).make("opt", "SGD", 0.1).call("opt.step", Ref("w"), Ref("g"), times=3).get("w")

A path such as `opt.step` begins with an input, an earlier result, or a name of the namespace the
script is run in; `nnlib.dense.Dense` is imported. This file imports NumPy and `codec` only:
workers and students have it too.
"""

import copy
import importlib
from dataclasses import dataclass, field

import numpy as np

from course.classroom.codec import Made, Name, Opaque, ProtocolError, Random, Ref, encode

MESSAGE = 2000  # characters of an error's message that are kept
WRITTEN = {"__getitem__": "{0}[{1}]", "__setitem__": "{0}[{1}] = {2}", "__setattr__": "{0}.{name} = {2}",
           "__next__": "next({0})", "__repr__": "repr({0})", "__len__": "len({0})", "__neg__": "-{0}",
           "__add__": "{0} + {1}", "__sub__": "{0} - {1}", "__mul__": "{0} * {1}",
           "__radd__": "{1} + {0}", "__rsub__": "{1} - {0}", "__rmul__": "{1} * {0}"}


@dataclass(frozen=True)
class Step:
    """One step. `do`: "make" (a result to use later), "call" (its result counts) or "get" (a value counts)."""

    do: str
    path: str
    args: tuple = ()
    kwargs: dict = field(default_factory=dict)
    name: str = ""
    times: int = 1
    keep: bool = True


@dataclass
class Script:
    """Named inputs and steps; every method returns the script, so that calls can be chained."""

    inputs: dict = field(default_factory=dict)
    steps: list = field(default_factory=list)

    def given(self, **inputs):
        """Name inputs, for `Ref("w")`; they are handed over as copies."""
        self.inputs.update(inputs)
        return self

    def make(self, name, path, *args, **kwargs):
        """Call `path` and keep what it returns under `name`; it does not count as a result."""
        return self._add(Step("make", path, args, kwargs, name))

    def call(self, path, *args, times=1, name="", keep=True, **kwargs):
        """Call `path`, `times` times; what the last call returns counts, unless `keep` is False."""
        return self._add(Step("call", path, args, kwargs, name, times, keep))

    def get(self, path):
        """The value at `path` counts as a result: an attribute, or an input after it was changed."""
        return self._add(Step("get", path))

    def _add(self, step):
        """Append a step; arrays among its arguments become inputs, so that changes to them are seen."""
        calls = sum(s.do != "get" for s in self.steps) + 1
        where = f" of call {calls}" if calls > 1 else ""
        args = tuple(self._hoist(a, f"argument {k}{where}") for k, a in enumerate(step.args, 1))
        kwargs = {k: self._hoist(a, f"{k}{where}") for k, a in step.kwargs.items()}
        self.steps.append(Step(step.do, step.path, args, kwargs, step.name, step.times, step.keep))
        return self

    def _hoist(self, value, name):
        """Put the arrays of an argument among the inputs, and references in their places."""
        if isinstance(value, np.ndarray):
            known = next((k for k, v in self.inputs.items() if v is value), name)
            self.inputs[known] = value
            return Ref(known)
        if isinstance(value, list | tuple):
            return type(value)(self._hoist(v, f"{name}[{k}]") for k, v in enumerate(value))
        if isinstance(value, dict):
            return {k: self._hoist(v, f"{name}[{k!r}]") for k, v in value.items()}
        return value

    def plain(self):
        """The script as a value that can be sent."""
        return {"inputs": self.inputs, "steps": [vars(step) for step in self.steps]}

    @classmethod
    def of(cls, plain):
        """The script that `plain` describes."""
        return cls(dict(plain["inputs"]), [Step(**step) for step in plain["steps"]])


def call(path, *args, **kwargs):
    """The common script: one call."""
    return Script().call(path, *args, **kwargs)


def run(script, namespace, package="nnlib"):
    """Run a script; returns an outcome, a dict that can be sent.

    Returns
    -------
    dict
        {"status": "ok", "values": [...], "inputs": {name: array afterwards}}, or
        {"status": "raised", "error": class name, "bases": names of its bases, "message": text,
        "step": number}, or {"status": "missing", "message": what is not there}.
    """
    inputs = copy.deepcopy(script.inputs)
    scope, values = dict(inputs), []
    for number, step in enumerate(script.steps):
        try:
            with np.errstate(all="ignore"):
                value = perform(step, scope, namespace, package)
        except Missing as error:
            return {"status": "missing", "message": str(error)[:MESSAGE], "step": number}
        except Exception as error:
            return raised(error, number)
        if step.name:
            scope[step.name] = value
        if step.do != "make" and step.keep:
            values.append(sendable(value))
    return {"status": "ok", "values": values, "inputs": {k: sendable(v) for k, v in inputs.items()}}


class Missing(Exception):
    """The namespace does not have what a script needs."""


def perform(step, scope, namespace, package):
    """One step's value."""
    thing = find(step.path, scope, namespace, package)
    if step.do == "get":
        return thing
    value = None
    for _ in range(step.times):
        args = [fill(a, scope, namespace, package) for a in step.args]
        kwargs = {k: fill(a, scope, namespace, package) for k, a in step.kwargs.items()}
        if package == "reference" and kwargs.get("out") is not None:  # it has no `out`: fill it here
            out = kwargs.pop("out")
            out[...] = thing(*args, **kwargs)
            value = out
        else:
            value = thing(*args, **kwargs)
    return value


def find(path, scope, namespace, package):
    """What a path stands for."""
    if path in scope:
        return scope[path]
    first, *rest = path.split(".")
    if first == "nnlib":
        module, *rest = rest
        thing = importlib.import_module(f"{package}.{module}")
    elif first in scope:
        thing = scope[first]
    elif first in namespace:
        thing = namespace[first]
    else:
        raise Missing(f"there is no {first}")
    for attribute in rest:
        thing = getattr(thing, attribute)
    return thing


def fill(value, scope, namespace, package):
    """An argument with what its references stand for."""
    def again(part):
        return fill(part, scope, namespace, package)

    if isinstance(value, Ref | Name):
        path = value.name if isinstance(value, Ref) else value.path
        return find(path, scope, namespace, package)
    if isinstance(value, Random):
        return np.random.default_rng(value.seed)
    if isinstance(value, Made):
        kwargs = {k: again(v) for k, v in value.kwargs.items()}
        return find(value.path, scope, namespace, package)(*map(again, value.args), **kwargs)
    if isinstance(value, list | tuple):
        return type(value)(map(again, value))
    if isinstance(value, dict):
        return {k: again(v) for k, v in value.items()}
    return value


def sendable(value):
    """A copy of a result as it stands now; the name of its type where it is no value."""
    try:
        encode(value, lambda array: 0)
    except (ProtocolError, RecursionError):
        return Opaque(type(value).__name__)
    return copy.deepcopy(value)


def raised(error, number):
    """The outcome of a script in which something was raised."""
    try:
        message = str(error)[:MESSAGE]
    except Exception:
        message = ""
    return {"status": "raised", "error": type(error).__name__, "message": message, "step": number,
            "bases": [c.__name__ for c in type(error).__mro__][:20], "where": origin(error)}


def origin(error):
    """Which definition of nnlib raised an error, "nnlib.dense.dense_dW"; "" where it was raised elsewhere."""
    trace, frame = error.__traceback__, None
    while trace:
        trace, frame = trace.tb_next, trace.tb_frame
    module = str(frame.f_globals.get("__name__", "")) if frame else ""
    return f"{module}.{frame.f_code.co_qualname}"[:200] if module.startswith("nnlib.") else ""


def in_words(script):
    """What a script runs, as lines that look like Python; arrays go by their names among the inputs."""
    lines = []
    for step in script.steps:
        line = last_name(step.path) if step.do == "get" else written_call(step)
        name = f"{step.name} = " if step.name else ""
        lines.append(f"{name}{line}" + f"   # {step.times} times" * (step.times > 1))
    return lines


def written_call(step):
    """A call as one would write it."""
    arguments = [*map(word, step.args), *(f"{k}={word(v)}" for k, v in step.kwargs.items())]
    owner, _, method = last_name(step.path).rpartition(".")
    if method in WRITTEN:
        name = step.args[0] if method == "__setattr__" else ""
        return WRITTEN[method].format(owner, *arguments, name=name)
    return f"{last_name(step.path)}({', '.join(arguments)})"


def word(value):
    """An argument as one would write it."""
    if isinstance(value, Ref | Name):
        return last_name(value.name if isinstance(value, Ref) else value.path)
    if isinstance(value, Random):
        return f"np.random.default_rng({value.seed})"
    if isinstance(value, Made):
        return f"{last_name(value.path)}({', '.join([*map(word, value.args), *(f'{k}={word(v)}' for k, v in value.kwargs.items())])})"
    if isinstance(value, list | tuple):
        inner = ", ".join(map(word, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' * (len(value) == 1)})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {word(v)}" for k, v in value.items()) + "}"
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def last_name(path):
    """A path as it is used: what is imported goes by its last part."""
    return path.split(".", 2)[-1] if path.startswith("nnlib.") else path

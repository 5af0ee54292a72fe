"""In the kernel: let `reference` stand in for `nnlib` while a `check` cell runs.

The weave calls `enter` before a check cell and `leave` after it. In between, every name that
comes from nnlib and that the reference also has is the reference's. This file is imported
into the chapters' kernels, so it imports nothing heavy.
"""

import functools
import importlib
import types

_saved = {}


def enter(namespace, exports, uses, targets):
    """Swap the names in; returns what is wrong, as text, or "" when the swap is sound.

    Parameters
    ----------
    namespace : dict
        The notebook's variables.
    exports : dict
        {name in the notebook: (reference module, name there)}.
    uses, targets : list of str
        The names the cell reads, and those its loops assign.
    """
    ours = {name: namespace[name] for name in exports if name in namespace}
    for name in uses:
        if name not in ours and name in namespace and holds(namespace[name], list(ours.values())):
            return f"{name} holds something made by nnlib; build it in the check cell from plain arrays"
    _saved.update({name: namespace.get(name, _saved) for name in [*ours, *targets]})
    for name in ours:
        module, attribute = exports[name]
        namespace[name] = getattr(importlib.import_module(f"reference.{module}"), attribute)
    return ""


def leave(namespace):
    """Put everything back as it was."""
    for name, value in _saved.items():
        if value is _saved:
            namespace.pop(name, None)
        else:
            namespace[name] = value
    _saved.clear()


def holds(value, ours, depth=4):
    """Is `value` one of `ours`, an instance of one, or a container or function holding one?"""
    kind = type(value)
    made = f"{getattr(value, '__module__', '') or kind.__module__}."
    if made.startswith("nnlib.") or any(value is o or kind is o for o in ours):
        return True
    if not depth:
        return False
    return any(holds(inner, ours, depth - 1) for inner in contents(value))


def contents(value):
    """What the common containers hold; a function holds its defaults."""
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, types.MethodType):
        return [value.__self__]
    if isinstance(value, types.FunctionType):
        return value.__defaults__ or ()
    return ()

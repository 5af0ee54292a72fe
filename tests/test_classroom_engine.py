"""Values over a pipe, scripts, and the judge."""

import io
import json
import types

import numpy as np
import pytest
from numpy.lib import format as npy

from course.classroom import codec, render
from course.classroom.codec import Made, Name, Opaque, ProtocolError, Random, Ref
from course.classroom.exercise import Case
from course.classroom.judge import judge, same
from course.classroom.script import Script, call, in_words, run



def nest(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


RULES = Case("a", 1, "b", lambda rng: None).rules
VALUES = [None, True, 3, 2.5, float("nan"), float("-inf"), "text", (1, [2, "x"], {"k": (3,)}), np.float32(1.5),
          np.arange(6.0).reshape(2, 3).T, np.zeros((0, 3), np.int8), np.array(["a", "bc"]), np.array(2.0),
          Ref("w"), Name("relu"), Random(7), Made("nnlib.dense.Dense", 3, bias=False), Opaque("Dense"), nest(100)]


@pytest.mark.parametrize("value", VALUES, ids=lambda v: type(v).__name__)
def test_values_come_back_as_they_were(value):
    for back in (codec.unpack(codec.pack([value]))[0], codec.from_json(json.loads(json.dumps(codec.to_json([value]))))[0]):
        assert type(back) is type(value)
        if isinstance(value, np.ndarray | np.generic):
            assert back.dtype == value.dtype and np.array_equal(back, value) and back.shape == value.shape
        else:
            assert back == value or value != value


@pytest.mark.parametrize("value", [np.array([None]), object(), {1, 2}, b"bytes", np.array("2020", "M8[D]"), run, nest(300), 10**5000,
                                   ["x" * 2**20] * 5], ids=lambda v: type(v).__name__)
def test_what_is_no_value_is_not_sent(value):
    with pytest.raises(ProtocolError):
        codec.pack(value)


def frames(*parts):
    return b"".join(len(p).to_bytes(8, "little") + p for p in parts)


def npy_header(shape, descr="<f8", body=b""):
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, {"shape": shape, "fortran_order": False, "descr": descr})
    return stream.getvalue() + body


def npy_text(header):
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


ONE = b'{"arrays": 1, "value": ["array", 0]}'


@pytest.mark.parametrize("data", [
    (2**62).to_bytes(8, "little") + b"x",
    frames(b"not json"), frames(b"[]"), frames(b'{"arrays": -1, "value": 1}'), frames(b'{"arrays": true, "value": 1}'),
    frames(b'{"arrays": 0, "value": ["array", 0]}'), frames(b'{"arrays": 0, "value": ["eval", ["1"]]}'),
    frames(b'{"arrays": 0, "value": {"a": 1}}'), frames(b'{"arrays": 0, "value": ' + b"[" * 100_000),
    frames(b'{"arrays": 0, "value": ["dict", [[["list", []], 1]]]}'),
    frames(ONE, npy_header((10**12,))), frames(ONE, npy_header((-1,), body=b"12345678")), frames(ONE, b"\x93NUMPY"),
    frames(ONE, npy_header((1,), "<U1", b"\xff\xff\xff\x7f")), frames(ONE, npy_header((1,), ">U1", b"\x7f\xff\xff\xff")),
    frames(b'{"arrays": 0, "value": ' + b'["list", [' * 300 + b"]]" * 300 + b"}"),
    frames(ONE, npy_header((1,), "|O", b"12345678")), frames(ONE, npy_header((10**9,), "<U0")),
    frames(ONE, npy_text(b"(((")), frames(ONE, npy_text(b"-" * 9000 + b"1")),
    frames(ONE, npy_text(b"{'descr': ',', 'fortran_order': False, 'shape': (0,)}")),
    frames(b'{"arrays": 0, "value": 1}') + b"more",
], ids=range(22))
def test_a_forged_message_is_refused(data):
    with pytest.raises((ProtocolError, EOFError)):
        codec.unpack(data)


def test_no_more_is_read_than_the_limit():
    with pytest.raises(ProtocolError, match="at most"):
        codec.unpack(codec.pack(np.zeros(1000)), limit=5000)


def test_a_script_of_a_thing_with_a_state():
    class Sum:
        def __init__(self, start):
            self.total = start

        def add(self, x, w):
            self.total += x
            w += x

    script = Script().given(w=np.zeros(2)).make("s", "Sum", 1).call("s.add", 2, Ref("w"), times=3, keep=False)
    outcome = run(Script.of(codec.unpack(codec.pack(script.get("s.total").get("w").plain()))), {"Sum": Sum})
    assert outcome["values"][0] == 7 and outcome["values"][1].tolist() == [6, 6]
    assert script.inputs["w"].tolist() == [0, 0], "the script's own input is left alone"


def test_what_goes_wrong_in_a_script_is_an_outcome():
    assert run(call("gone"), {})["status"] == "missing"
    outcome = run(call("int", "x"), {"int": int})
    assert (outcome["status"], outcome["error"]) == ("raised", "ValueError") and "Exception" in outcome["bases"]
    assert run(call("f"), {"f": lambda: run})["values"] == [Opaque("function")]


X = np.array([[1.0, -2.0], [3.0, 4.0]])


def verdict(answer, right, x=X, **rules):
    script = call("f", x.copy())
    return judge("e", "c", script, run(script, {"f": answer}), run(script, {"f": right}), RULES | rules, 5)


def change(x):
    x[0] = 0
    return np.full((2, 2), 1.0)


@pytest.mark.parametrize(("answer", "message"), [
    (lambda x: x + [[0, 0], [1e-3, 0]], "expected 3 at index (1, 0), got 3.001"),
    (lambda x: np.where(x == 4, np.nan, x), "got nan"),
    (lambda x: x.astype(np.float32), "expected dtype float64, got float32"),
    (lambda x: x.astype(int), "expected dtype float64, got int64"),
    (lambda x: x.ravel(), "expected shape (2, 2), got (4,)"),
    (lambda x: x.tolist(), "expected an array shaped (2, 2)"),
    (lambda x: None, "got None"), (lambda x: (x, x), "got 2 values"), (lambda x: run, "got a function"),
    (lambda x: 1 / 0, "raised ZeroDivisionError"),
])
def test_a_wrong_result_is_told(answer, message):
    found = verdict(answer, lambda x: x + 0)
    assert found.status == "wrong" and message in found.message
    assert found.seed == 5 and found.smallest_failing_input["argument 1"].tolist() == X.tolist()


def test_what_is_expected_is_shown_as_it_is_wanted():
    found = verdict(lambda x: x + 1, lambda x: (x + 0).astype(float), x=X.astype(np.float32))
    assert found.expected.dtype == np.float32 and found.got.dtype == np.float32
    assert "float64" not in render.explain({"why": "w"}, found)[-1]


def test_a_report_says_what_was_run():
    script = (Script().given(w=X).make("layer", "nnlib.dense.Dense", 3, bias=False)
              .call("layer.forward", Ref("w"), Name("relu"), rng=Random(7), times=2).get("layer.W"))
    assert in_words(script) == ["layer = Dense(3, bias=False)",
                                "layer.forward(w, relu, rng=np.random.default_rng(7))   # 2 times", "layer.W"]
    assert in_words(call("f", X, (1, [2.5]), Made("nnlib.dense.Dense", 3))) == ["f(argument 1, (1, [2.5]), Dense(3))"]
    assert verdict(lambda x: x + 1, lambda x: x + 0).calls == ("f(argument 1)",)
    assert verdict(lambda x: x + 0, lambda x: x + 0).calls == ()
    script = (Script().given(x=X).make("a", "Dual", 2.0).call("a.__rsub__", 1.0, name="b").call("b.__neg__")
              .call("b.__setattr__", "part", Ref("x")).call("b.__getitem__", 1).call("b.__repr__"))
    assert in_words(script) == ["a = Dual(2.0)", "b = 1.0 - a", "-b", "b.part = x", "b[1]", "repr(b)"]


def test_a_part_of_the_library_that_is_not_written_is_named():
    module = types.ModuleType("nnlib.dense")
    exec("def dense_dW(x):\n    raise NotImplementedError", module.__dict__)
    found = verdict(lambda x: module.dense_dW(x), abs)
    assert (found.status, found.message) == ("missing", "nnlib.dense.dense_dW, which this calls, is not written yet")


def test_hints_on_a_page():
    assert render.marked_up("*A*: `a < b * c` and 2 * 3 * 4 <b>") == (
        "<em>A</em>: <code>a &lt; b * c</code> and 2 * 3 * 4 &lt;b&gt;")


def test_largest_error_and_its_place():
    found = verdict(lambda x: x + [[0.5, 0], [0, 2]], lambda x: x + 0)
    assert (found.largest_error, found.index) == (2.0, (1, 1))


def test_inputs_are_looked_at():
    found = verdict(change, lambda x: np.full((2, 2), 1.0))
    assert "argument 1 was changed" in found.message
    assert verdict(change, lambda x: np.full((2, 2), 1.0), modifies=("argument 1",)).right


def test_other_verdicts():
    def fail(error):
        def f(x):
            raise error
        return f
    assert verdict(fail(NotImplementedError()), abs).status == "missing"
    assert verdict(fail(MemoryError()), abs).status == "out-of-memory"
    assert verdict(fail(FileNotFoundError()), abs, raises="OSError").right
    assert "nothing was" in verdict(abs, abs, raises="OSError").message
    assert verdict(lambda x: x + 1e-5, lambda x: x + 0, x=X.astype(np.float32)).right, "single precision"
    assert not verdict(lambda x: x + 1e-3, lambda x: x + 0, x=X.astype(np.float32)).right
    assert verdict(lambda x: 2, lambda x: 2.0).right and not verdict(lambda x: 2.0, lambda x: np.int64(2)).right


@pytest.mark.parametrize("forged", [None, [], {}, {"status": "right"}, {"status": "ok"}, {"status": "ok", "values": 3, "inputs": {}},
                                    {"status": "raised", "error": 1}, {"status": "ok", "values": [], "inputs": {}}])
def test_a_forged_outcome_earns_nothing(forged):
    script = call("f", X)
    assert judge("e", "c", script, forged, run(script, {"f": abs}), RULES).status in ("crashed", "wrong")


def test_the_same_symptom():
    script = call("f", X)
    one, other = run(script, {"f": np.negative}), run(script, {"f": lambda x: x * -1})
    assert same(one, other) and not same(one, run(script, {"f": np.abs}))
    assert not same(one, run(script, {"f": lambda x: -x.astype(np.float32)})), "a wider result is another mistake"

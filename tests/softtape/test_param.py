"""Param: acts as its value, finds its name and its stored value, and refuses what cannot work."""

import copy
import importlib.util
import json
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest

from softtape import Param, ParamError, ParamWarning, StoreError, TraceError
from softtape.param import assign, declared, peek, starting_value
from softtape.tape import Tape, Traced

number = Param(2.5)
matrix = Param(np.arange(6.0).reshape(2, 3), bounds=(-10, 10))
single = Param(np.array([1, 2], np.float32))
layers = [Param(1.0), {"bias": Param([0.5, 1.5])}]


class Model:
    rate = Param(0.1)


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Write a module, optionally its store, and import it; several times if asked."""
    # a module written anew within a second would not be seen beside its bytecode
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(source, stored=None, name="program"):
        file = tmp_path / f"{name}.py"
        file.write_text("import numpy as np\nfrom softtape import Param\n" + source)
        if stored is not None:
            params = {
                k: {"start": None, "value": v} if not isinstance(v, dict) else v
                for k, v in stored.items()
            }
            document = {"format": "pytest-soft", "version": 1, "params": params}
            file.with_suffix(".soft.json").write_text(json.dumps(document))
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


# ---- acts as its value


@pytest.mark.parametrize(
    "expression",
    [
        "p + 1", "1 + p", "p - 1", "1 - p", "p * 3", "3 * p", "p / 2", "2 / p", "p // 2", "7 // p",
        "p % 2", "7 % p", "p ** 2", "2 ** p", "divmod(p, 2)", "divmod(7, p)", "-p", "+p", "abs(p)",
        "p < 3", "p <= 2.5", "p > 3", "p >= 2.5", "p == 2.5", "p != 2.5", "bool(p)", "float(p)",
        "int(p)", "complex(p)", "round(p)", "round(p, 1)", "math.floor(p)", "math.ceil(p)",
        "math.trunc(p)", "math.sin(p)", "np.sin(p)", "np.add(p, p)", "np.stack([p, 1.0])[0]",
        "np.float64(2) * p", "f'{p:.3f}'", "str(p)", "p.hex()", "np.maximum(p, 9)",
        "np.asarray(p)[()]", "np.full(2, p)[0]", "sum([p, p])", "p.is_integer()", "np.shape(p)",
    ],
)  # fmt: skip
def test_number_acts_as_its_value(expression):
    context = {"math": math, "np": np}
    expected = eval(expression, context, {"p": 2.5})
    got = eval(expression, context, {"p": number})
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    "expression",
    [
        "m @ np.ones(3)", "np.ones(2) @ m", "m + 1", "1 - m", "m[1]", "m[0, 2]", "m[:, 1]",
        "len(m)",
        "list(m)[1]", "m.T", "m.sum()", "m.reshape(3, 2)", "np.sum(m, axis=0)", "m.shape", "m.ndim",
        "m.size", "m.dtype", "np.asarray(m)", "np.array(m, dtype=np.float32)", "m == 2", "3.0 in m",
        "np.concatenate([m, m])", "np.ones((2, 3)) * m", "np.einsum('ij->j', m)", "m > 2",
    ],
)  # fmt: skip
def test_array_acts_as_its_value(expression):
    expected = eval(expression, {"np": np}, {"m": np.arange(6.0).reshape(2, 3)})
    np.testing.assert_array_equal(eval(expression, {"np": np}, {"m": matrix}), expected)


def test_value_is_a_plain_float_or_a_read_only_array():
    assert type(number.value) is float
    assert not matrix.value.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        matrix.value[0] = 1.0


def test_own_copy_of_the_declared_array():
    given = np.ones(2)
    p = Param(given, name="own_copy")
    given[0] = 5.0
    np.testing.assert_array_equal(p.value, [1.0, 1.0])


def test_integers_become_floats_and_float32_stays():
    assert type(Param(1, name="whole").value) is float
    assert Param([1, 2], name="wholes").value.dtype == np.float64
    assert single.value.dtype == np.float32
    assert (single * 2.0).dtype == np.float32


def test_hash_and_dict_keys_are_by_identity():
    twin = Param(2.5, name="twin")
    assert {number: "a", twin: "b"}[number] == "a"
    assert hash(number) != hash(twin)


def test_copies_are_the_same_blank():
    assert copy.copy(number) is number
    assert copy.deepcopy({"p": [number]})["p"][0] is number


def test_pickle_keeps_value_name_and_bounds():
    back = pickle.loads(pickle.dumps(matrix))
    assert back is not matrix
    np.testing.assert_array_equal(back.value, matrix.value)
    assert (back.name, back.bounds, back.shape) == ("matrix", (-10.0, 10.0), (2, 3))


def test_repr_shows_value_and_name():
    assert repr(Param(1.5, name="shown")) == "Param(1.5, name='shown')"
    assert "..." in repr(Param(..., name="hidden", shape=(2,)))


def test_probing_for_private_names_gives_no_value():
    with pytest.raises(AttributeError):
        _ = number._repr_html_
    with pytest.raises(AttributeError, match="nonsense"):
        _ = number.nonsense


def test_assigning_into_a_param_is_refused():
    with pytest.raises(ParamError, match="cannot be assigned into"):
        matrix[0] = 1.0


# ---- declaration


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, [1.0, np.nan], 1j, "1", None, True, [[1], [2, 3]]]
)
def test_values_that_are_no_finite_real_numbers_are_refused(value):
    with pytest.raises((ParamError, ValueError)):
        Param(value, name="bad_value")


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ((2, 1), "lower must be below upper"),
        ((1, 1), "lower must be below upper"),
        ((0, 1), "outside bounds"),
        ((0, np.nan), "lower must be below upper"),
        (5, "bounds must be"),
        (("a", "b"), "bounds must be"),
        ((np.zeros(3), 9), "bounds must be"),
    ],
)
def test_bad_bounds_name_the_place(bounds, message):
    with pytest.raises(ParamError, match=message) as caught:
        Param(2.5, name="bad_bounds", bounds=bounds)
    assert "test_param.py:" in str(caught.value)


def test_bounds_may_be_open_on_one_side():
    assert Param(1.0, name="open", bounds=(0, None)).bounds == (0.0, math.inf)


def test_shape_must_agree_with_the_value():
    assert Param(np.ones(3), name="agrees", shape=3).shape == (3,)
    with pytest.raises(ParamError, match=r"shape=\(2,\) but the value has shape \(3,\)"):
        Param(np.ones(3), name="disagrees", shape=2)


# ---- name


def test_names_come_from_globals_classes_and_containers():
    assert number.name == "number"
    assert Model.rate.name == "Model.rate"
    assert layers[0].name == "layers[0]"
    assert layers[1]["bias"].name == "layers[1]['bias']"


def test_without_a_name_the_first_use_says_so():
    p = [Param(1.0)][0]
    with pytest.raises(ParamError, match=r"test_param.py:\d+: this Param has no name") as caught:
        _ = p + 1
    assert "name=" in str(caught.value)


def test_two_params_with_one_name_are_an_error(load):
    module = load("a = Param(1.0, name='w')\nb = Param(2.0, name='w')\n")
    with pytest.raises(ParamError, match=r"program.py:\d: the name 'w' is already that of"):
        _ = module.a + module.b


def test_a_name_given_twice_by_a_global_is_an_error(load):
    module = load("w = Param(1.0)\nb = Param(2.0, name='w')\n")
    with pytest.raises(ParamError, match="already"):
        _ = module.w + module.b


def test_a_reloaded_module_declares_its_params_anew(load):
    first = load("w = Param(1.0)\n")
    assert first.w + 0 == 1.0
    second = load("w = Param(3.0)\n")
    assert (first.w + 0, second.w + 0) == (1.0, 3.0)


def test_declared_params_are_known_while_they_live():
    p = Param(1.0, name="short_lived")
    assert p in [q for q in declared() if q is p]
    before = len(declared())
    del p
    assert len(declared()) == before - 1


# ---- the store


def test_the_stored_value_is_found_beside_the_module(load):
    module = load("w = Param(1.0)\n", {"w": {"start": 1.0, "value": 1.25}})
    assert module.w * 2 == 2.5


def test_a_stored_array_keeps_the_declared_dtype(load):
    module = load("w = Param(np.zeros(2, np.float32))\n", {"w": [0.1, 0.2]})
    with pytest.warns(ParamWarning):
        assert module.w.value.dtype == np.float32


@pytest.mark.parametrize(
    ("declaration", "value", "message"),
    [
        ("Param(1.0)", [1.0], r"has shape \(1,\), not \(\)"),
        ("Param([1.0, 2.0])", 1.0, r"has shape \(\), not \(2,\)"),
        ("Param(1.0, bounds=(0, 2))", 3.0, "is outside the bounds"),
        ("Param(1.0)", "three", "number"),
        ("Param(1.0)", math.nan, "NaN"),
    ],
)
def test_a_stored_value_that_does_not_fit_names_file_and_param(load, declaration, value, message):
    module = load(f"w = {declaration}\n", {"w": value})
    with pytest.raises(StoreError, match=message) as caught:
        _ = module.w + 1
    assert "program.soft.json" in str(caught.value)
    assert "w" in str(caught.value)


def test_a_changed_start_keeps_the_fitted_value_and_says_so_once(load):
    module = load("w = Param(2.0)\n", {"w": {"start": 1.0, "value": 1.25}})
    with pytest.warns(ParamWarning, match="declared value of w changed") as caught:
        assert module.w + 0 == 1.25
    assert len(caught) == 1
    assert module.w + 0 == 1.25  # no second warning: the suite runs with warnings as errors


def test_a_blank_never_filled_in_says_what_to_run(load):
    module = load("w = Param(...)\n")
    with pytest.raises(
        ParamError,
        match=r"program.py:3: the blank w was never filled in: run "
        "pytest --soft-fit",
    ):
        _ = module.w * 2


def test_a_blank_that_was_filled_in_acts_as_its_value(load):
    assert load("w = Param(...)\n", {"w": 4.0}).w / 2 == 2.0


def test_in_production_without_pytest(tmp_path):
    (tmp_path / "sine.py").write_text(
        "import numpy as np\nfrom softtape import Param\nomega = Param(1.0)\n"
        "def f(x):\n    return np.sin(omega * x)\n"
    )
    (tmp_path / "sine.soft.json").write_text(
        '{"format": "pytest-soft", "version": 1, "params": {"omega": {"start": 1, "value": 1.5}}}'
    )
    code = "import sys; sys.modules['pytest'] = None; import sine; print(sine.f(1.0))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == math.sin(1.5)


# ---- for those who fit


def test_starts_of_blanks():
    middle = Param(..., name="middle", bounds=(2, 6))
    assert starting_value(middle, 0) == 4.0
    drawn = Param(..., name="drawn", shape=(100, 2))
    one, again, other = (starting_value(drawn, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert 0.05 < np.std(one) < 0.2  # variance 1/100
    nothing = Param(..., name="nothing")
    with pytest.raises(ParamError, match="nothing to start from"):
        starting_value(nothing, 0)


def test_a_blank_with_bounds_and_shape_starts_inside():
    blank = Param(..., name="box", bounds=(0, None), shape=(50,))
    assert np.all(starting_value(blank, 3) >= 0)


def test_assign_changes_this_process_only():
    p = Param(1.0, name="assigned")
    assign(p, np.float64(2.0))
    assert type(peek(p)) is float
    assert p * 2 == 4.0


def test_under_a_tape_a_param_is_an_input_and_a_frozen_one_a_constant():
    fixed = Param(3.0, name="fixed", frozen=True)
    with Tape() as tape:
        traced = number * fixed
        graph = tape.graph([traced])
    assert isinstance(traced, Traced)
    assert list(graph.inputs) == [number.key]
    assert number * fixed == 7.5


def test_under_a_tape_a_param_cannot_be_pickled():
    with Tape(), pytest.raises(TraceError, match="pickling"):
        pickle.dumps(number)


def test_shape_questions_do_not_read_the_value(load):
    module = load("w = Param(..., shape=(3, 2))\n")
    assert (module.w.shape, module.w.ndim, module.w.size, len(module.w)) == ((3, 2), 2, 6, 3)
    assert module.w.dtype == np.float64
    with pytest.raises(TypeError, match="len"):
        len(number)

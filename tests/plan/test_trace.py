"""--trace: the model as a run recorded it."""
import json
import sqlite3

import make_trace
import pytest
from test_config import CONFIGS


@pytest.fixture
def trace(tmp_path):
    """A trace of a known run, whose tables a test may change: trace(sql, rows)."""
    def make(*changes):
        path = tmp_path / "a.db"
        make_trace.gpt().write(path)
        db = sqlite3.connect(path)
        db.execute("DELETE FROM tensor")
        for sql, rows in changes:
            db.executemany(sql, rows)
        db.commit()
        db.close()
        return path
    return make


TENSOR = ("INSERT INTO tensor (kind, name, device, address, bytes, shape, dtype, trainable) "
          "VALUES (?, ?, 'cuda:0', ?, ?, ?, ?, 1)")
RUN = "UPDATE run SET model_class = ?, optimizer_class = ?, model_config = ?"


def tensors(*shapes, dtype="float32", kind="parameter", width=4, start=4096):
    rows, address = [], start
    for i, shape in enumerate(shapes):
        size = width
        for n in shape:
            size *= n
        rows.append((kind, f"layer.{i}.weight", address, size, str(list(shape)), dtype))
        address += size
    return rows


def test_parameters_are_counted_from_the_tensors(trace, answer):
    path = trace((TENSOR, tensors((101, 13), (13,), (7, 5, 3))))
    a = answer("--trace", path)
    assert a["parameters"] == 101 * 13 + 13 + 105
    assert a["parameter_bytes"] == 4 * a["parameters"]
    assert not a["activations_known"]


def test_tied_weights_are_counted_once(trace, answer):
    rows = tensors((50, 8), (9,))
    rows.append(("parameter", "lm_head.weight", rows[0][2], *rows[0][3:]))
    assert answer("--trace", trace((TENSOR, rows)))["parameters"] == 409


def test_dtypes_and_optimizer_are_the_runs_own(trace, answer):
    path = trace(
        (TENSOR, tensors((64, 64), dtype="bfloat16", width=2)),
        (TENSOR, tensors((64, 64), dtype="float32", kind="optimizer", start=1 << 20)),
        (RUN, [("GPT", "AdamW", None)]))
    a = answer("--trace", path)
    assert (a["parameter_bytes"], a["gradient_bytes"], a["optimizer_bytes"]) == (
        8192, 8192, 8 * 4096)
    assert a["model"].startswith("GPT")


def test_options_go_before_what_the_trace_says(trace, answer):
    path = trace((TENSOR, tensors((64, 64))), (RUN, [("GPT", "AdamW", None)]))
    a = answer("--trace", path, "--optimizer", "sgd", "--precision", "bf16")
    assert (a["parameter_bytes"], a["optimizer_bytes"]) == (8192, 0)


def test_momentum_is_seen_by_its_buffers(trace, answer):
    path = trace((TENSOR, tensors((10, 10))),
                 (TENSOR, tensors((10, 10), kind="optimizer", start=1 << 20)),
                 (RUN, [("Net", "SGD", None)]))
    assert answer("--trace", path)["optimizer_bytes"] == 400


def test_the_shape_comes_from_the_model_config(trace, answer):
    path = trace((TENSOR, tensors((768, 768))),
                 (RUN, [("GPT2LMHeadModel", "AdamW", json.dumps(CONFIGS["gpt2"]))]))
    a = answer("--trace", path, "--seq", "128", "--batch", "2")
    b = answer("--model", "gpt2", "--seq", "128", "--batch", "2", "--no-dropout")  # none ran
    assert a["activation_bytes"] == b["activation_bytes"] > 0


@pytest.mark.parametrize("config", ["{", "7", '{"model_type": "mamba"}', None])
def test_a_config_that_is_not_understood_costs_the_activations_alone(trace, answer, config):
    path = trace((TENSOR, tensors((8, 8))), (RUN, [("Net", "Adam", config)]))
    a = answer("--trace", path)
    assert not a["activations_known"] and a["optimizer_bytes"] == 512
    assert any(note.startswith("the shape of the model is not known: ") for note in a["notes"])


def test_a_trace_without_parameters_says_so(trace, plan):
    done = plan("--trace", trace())
    assert done.returncode == 2 and "names no parameters" in done.stderr


@pytest.mark.parametrize("row, part", [
    (("parameter", "w", 1, 8, "[2]", "complex64"), "'complex64'"),
    (("parameter", "w", 1, 8, "[2]", None), "a dtype that plan doesn't know"),
    (("parameter", "w", 1, 2**62, "[2]", "float32"), "too large"),
    (("parameter", "w", 1, 512, "[2]", "uint8"), "quantised"),
])
def test_strange_tensors(trace, plan, row, part):
    done = plan("--trace", trace((TENSOR, [row])))
    assert done.returncode == 2 and part in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1


def test_strange_shapes_are_taken_by_their_bytes(trace, answer):
    rows = [("parameter", "w", i + 1, 48, shape, "float32")
            for i, shape in enumerate(["", None, "[", "[5, 5]", "[-1, 3]", "[99999999999999999999, 1]"])]
    assert answer("--trace", trace((TENSOR, rows)))["parameters"] == 6 * 12


def test_a_trace_has_its_own_peak_until_something_is_changed(trace, answer):
    path = trace((TENSOR, tensors((64, 64))), (RUN, [("GPT", "AdamW", None)]))
    with sqlite3.connect(path) as db:
        peak, phase = db.execute("SELECT allocated_bytes, phase FROM v_peak "
                                 "ORDER BY allocated_bytes DESC").fetchone()
    a = answer("--trace", path)
    assert (a["peak_allocated_bytes"], a["peak_phase"]) == (peak, phase) and peak > 0
    assert a["peak"]["basis"] == "measured"
    assert a["traced"] | {"walk_peak_bytes": None, "changed": False} == a["traced"]


def test_another_batch_is_the_traced_step_with_larger_data(trace, answer):
    """Blocks of activations and of what came in are as many times larger; weights are not."""
    path = trace((TENSOR, tensors((64, 64))), (RUN, [("GPT", "AdamW", None)]))
    a = answer("--trace", path)
    batch = a["traced"]["batch"]
    peaks = [answer("--trace", path, "--batch", batch * n) for n in (1, 2, 3, 4)]
    assert {one["peak"]["basis"] for one in peaks} == {"scaled"}
    bytes_ = [one["peak_allocated_bytes"] for one in peaks]
    assert bytes_[0] == a["peak_allocated_bytes"]
    steps = [b - a for a, b in zip(bytes_, bytes_[1:])]
    assert 0 < steps[0] <= steps[1] <= steps[2]  # the largest of straight lines
    assert steps[2] < a["peak_allocated_bytes"]  # and the weights stay as they are
    for fit in a["fits"]:
        largest = fit["max_batch"]
        beyond = answer("--trace", path, "--batch", max(largest, batch) * 2, "--gpu", fit["gpu"])
        assert beyond["fits"][0]["fits"] is False


def test_another_training_of_a_shapeless_model_has_no_peak(trace, answer):
    path = trace((TENSOR, tensors((64, 64))), (RUN, [("GPT", "AdamW", None)]))
    assert answer("--trace", path, "--optimizer", "sgd")["peak_allocated_bytes"] is None

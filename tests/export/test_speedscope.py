"""--format speedscope: a document of speedscope's own schema, whose weights are the peak."""
import collections
import json
import sqlite3

import make_trace
import pytest
import where
from conftest import reader


@pytest.fixture
def document(tidemark):
    def export(file, *words):
        return json.loads(tidemark("export", "--format", "speedscope", file, "-o", "-", *words).stdout)
    return export


def check(document):
    schema = where.need("readers") / "speedscope.json"
    reader("jsonschema").validate(document, json.loads(schema.read_text()))
    frames = len(document["shared"]["frames"])
    for profile in document["profiles"]:
        assert len(profile["samples"]) == len(profile["weights"])
        assert sum(profile["weights"]) == profile["endValue"]
        assert all(0 <= f < frames for sample in profile["samples"] for f in sample)


@pytest.mark.parametrize("options", [{}, {"steps": 5, "devices": 2}, {"before": 12345}], ids=str)
def test_it_is_valid_and_adds_up_to_the_peak(trace, document, peaks, options):
    file = trace(make_trace.gpt(**options))
    made = document(file)
    check(made)
    assert [p["endValue"] for p in made["profiles"]] == [
        bytes_ for _, bytes_ in sorted(peaks(file).items()) for _ in range(2)]


def test_a_real_training_by_its_users_lines(trained, document, peaks):
    file, _, most, _ = trained()
    made = document(file)
    check(made)
    assert made["profiles"][0]["endValue"] == most
    frames = made["shared"]["frames"]
    by_bucket = collections.Counter()
    for sample, weight in zip(made["profiles"][1]["samples"], made["profiles"][1]["weights"]):
        by_bucket[frames[sample[0]]["name"]] += weight
    with sqlite3.connect(file) as db:
        assert by_bucket == dict(db.execute(
            "SELECT bucket, sum(bytes) FROM v_peak_live GROUP BY 1"))
    assert any(f.get("file", "").endswith("train.py") and f["name"] == "main" for f in frames)


def test_a_step_of_its_own(trace, document, peaks):
    file = trace(make_trace.gpt())
    made = document(file, "--step", 2)
    check(made)
    assert {"cuda:0": made["profiles"][0]["endValue"]} == peaks(file, "--step", 2)

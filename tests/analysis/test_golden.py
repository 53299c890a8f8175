"""Every command says of ten stored traces what it said before, byte for byte: golden.py."""
import pathlib

import pytest
from conftest import COMMAND
from golden import MOST, TRACES, WITHOUT, compare, differences


@pytest.mark.parametrize("name", [*TRACES, WITHOUT])
def test_what_is_said_of_stored_traces_stays_as_it_is(name):
    shown = compare(pathlib.Path(COMMAND).resolve(), name)
    assert not shown, "\n".join(["answers differ", *shown[:MOST], (
        "if that is meant: tests/analysis/golden.py COMMAND --update")])


def test_a_difference_names_its_question_and_its_line():
    stored = "$ tidemark peak\n= 0\n1 GiB\n2 GiB\n$ tidemark oom\n= 0\nnone\n"
    said = stored.replace("2 GiB", "3 GiB")
    assert differences(stored, stored) == []
    shown = differences(stored, said)
    assert shown[:2] == ["--- stored: tidemark peak", "+++ now: tidemark peak"]
    assert {"-2 GiB", "+3 GiB"} < set(shown) and not [l for l in shown if "oom" in l]
    assert "-= 0" in differences(stored, stored.replace("= 0", "= 1", 1))

"""Every worked example of the notes comes out of the command, exactly."""
import io
import pathlib

import examples
import pytest

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "formula.md"
CASES = [pytest.param(*q, id=f"{e['number']}-{i}")
         for e in examples.EXAMPLES for i, q in enumerate(e["questions"])]


@pytest.mark.parametrize("options, key, value", CASES)
def test_example(options, key, value):
    assert examples.look(examples.ask(options), key) == value


def test_all_examples_are_there():
    assert [e["number"] for e in examples.EXAMPLES] == list(range(1, 33))


def test_the_documentation_shows_what_the_command_says():
    out = io.StringIO()
    examples.markdown(out)
    text = DOCS.read_text()
    shown = text.split("<!-- examples -->\n")[1].split("<!-- end of examples -->")[0]
    assert shown.strip() == out.getvalue().strip(), \
        "run tests/plan/examples.py --markdown and put it between the marks of docs/formula.md"

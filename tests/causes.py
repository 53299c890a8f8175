"""causes.py - what must be true of every answer of `tidemark reconcile --json`."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUCKETS = ("parameter buffer gradient optimizer activation input temporary workspace "
           "communication cache context").split()

# No cause may be worded so that it could hold anything.
VAGUE = re.compile(r"\bother\b(?! processes| dtype)|misc|unknown|various|unaccounted|"
                   r"remainder|memory taken")


def documented():
    """{kind: what it says}, the closed list that docs/formula.md has."""
    text = (ROOT / "docs" / "formula.md").read_text()
    table = text.split("| kind | what it says |")[1].split("\n\n")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", table, re.M))


KINDS = documented()


def check_sums(device):
    """The causes of each row are its difference, each of a kind that the document lists; the
    buckets are what is allocated."""
    rows = {row["bucket"]: row for row in device["rows"]}
    assert list(rows) == BUCKETS
    left = 0
    for row in device["rows"]:
        causes = sum(cause["bytes"] for cause in row["causes"])
        left += abs(row["measured_bytes"] - row["predicted_bytes"] - causes)
        left += sum(abs(cause["bytes"]) for cause in row["causes"] if not cause["explained"])
        assert all(cause["bytes"] and cause["cause"] for cause in row["causes"])
        assert {cause["kind"] for cause in row["causes"]} <= set(KINDS)
        texts = [cause["cause"] for cause in row["causes"]]
        assert len(set(texts)) == len(texts)
        assert not any(VAGUE.search(text) for text in texts), texts
    inside = sum(rows[b]["measured_bytes"] for b in BUCKETS[:9])
    assert left + abs(device["allocated_bytes"] - inside) == device["unexplained_bytes"]

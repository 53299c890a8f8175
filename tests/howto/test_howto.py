"""Each command that docs/howto tells a reader to type, typed.

A block of shell says above itself whether it is run here:

    <!-- run -->                  it ends with status 0
    <!-- run: status 1 -->        it ends with this status, which is the answer that it shows
    <!-- not run: the reason -->  it needs what no test has

What it needs (traces, programs) is what conftest.py puts into its folder."""
import re
import subprocess

import pytest

from exits import but_for_torchs_race
from where import COMMAND, ROOT

PAGES = sorted((ROOT / "docs" / "howto").glob("*.md"))
BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$",
                   re.M | re.S)
MARK = re.compile(r"run(: status (?P<status>\d+))?|not run: (?P<why>.{10,})")


def blocks(pages):
    """(page, line, mark, text) of each block of shell."""
    for page in pages:
        written = page.read_text()
        for found in BLOCK.finditer(written):
            if found["kind"] in ("sh", "bash", "shell", "console"):
                line = written.count("\n", 0, found.start("text"))
                yield page, line, found["mark"], found["text"]


ALL = list(blocks(PAGES))
README = list(blocks([ROOT / "README.md"]))  # which has no marks: GitHub and PyPI show it first


def commands(text):
    """(COMMAND, the rest of its line) of each `tidemark COMMAND ...`."""
    return re.findall(r"(?<![\w/-])tidemark (\w+)([^\n|;#]*)", text.replace("\\\n", " "))


def name(block):
    page, line, _, _ = block
    return f"{page.stem}:{line}"


def test_pages_are_there():
    assert len(PAGES) >= 9 and len(ALL) >= 2 * len(PAGES)


@pytest.mark.parametrize("block", ALL, ids=name)
def test_it_says_whether_it_is_run(block):
    _, _, mark, _ = block
    assert mark and MARK.fullmatch(mark), "above it stands neither 'run' nor 'not run: WHY'"


@pytest.mark.parametrize("block", ALL + README, ids=name)
def test_its_commands_and_options_exist(block):
    """Also of what is not run: each `tidemark COMMAND --option` is one that help knows."""
    for command, rest in commands(block[3]):
        told = subprocess.run([COMMAND, "help", command], capture_output=True, text=True)
        assert told.returncode == 0, f"there is no 'tidemark {command}'"
        own = rest.split(" -- ")[0]
        for option in re.findall(r"(?<=\s)--[a-z][\w-]*", own):
            assert re.search(rf"{option}\b", told.stdout), f"'{command}' has no {option}"


@pytest.mark.parametrize("block", [b for b in ALL if (b[2] or "").startswith("run")], ids=name)
def test_it_works_as_written(block, shell):
    _, _, mark, text = block
    ranks = re.search(r"torchrun .*ranks\.py", text)
    done = shell(text) if not ranks else but_for_torchs_race(
        lambda: shell(f"rm -rf traces; {text}"), lambda: shell(ranks[0]))
    assert done.returncode == int(MARK.fullmatch(mark)["status"] or 0), done.stdout + done.stderr


def test_links_lead_somewhere():
    docs = ROOT / "docs"
    pages = [*PAGES, ROOT / "README.md", docs / "glossary.md", docs / "compared.md"]
    for page in pages:
        for link in re.findall(r"\]\(((?!https?:)[^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"

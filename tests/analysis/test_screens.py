"""What the screens look like: width, colours, characters, pipes."""
import json
import os
import pty
import re
import subprocess

import pytest
from conftest import COMMAND

SCREENS = [["report"], ["peak"], ["timeline"], ["timeline", "--steps"],
           ["peak", "--by", "stack"], ["peak", "--top", "100"]]
EACH = pytest.mark.parametrize("words", SCREENS, ids=" ".join)
ESCAPE = re.compile(r"\033\[[0-9;]*m")


def on_terminal(words, cwd, **env):
    """What a terminal would get."""
    ours, theirs = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
    clean.update({"TERM": "xterm", "LC_ALL": "C.UTF-8"}, **env)
    child = subprocess.Popen([COMMAND, *words], stdout=theirs, stderr=theirs, cwd=cwd,
                             env=clean)
    os.close(theirs)
    text = b""
    try:
        while part := os.read(ours, 65536):
            text += part
    except OSError:  # the other end is closed: that is how a terminal ends
        pass
    assert child.wait() == 0
    return text.decode()


@EACH
@pytest.mark.parametrize("columns", [60, 80, 100, 300])
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_no_line_is_wider_than_the_screen(tidemark, trace, words, columns, locale):
    trace("devices")
    done = tidemark(*words, "a.db", check=True, env={"COLUMNS": str(columns),
                                                     "LC_ALL": locale})
    assert max(map(len, done.stdout.splitlines())) <= max(columns, 80)
    assert not re.search(r"[ \t]$", done.stdout, re.M)
    assert "\033" not in done.stdout


@EACH
def test_without_utf8_everything_is_ascii(tidemark, trace, words):
    trace()
    tidemark(*words, "a.db", check=True).stdout.encode("ascii")


@EACH
def test_colours_only_add_to_the_text(tidemark, trace, words):
    trace()
    plain = tidemark(*words, "a.db").stdout
    coloured = tidemark(*words, "a.db", "--color=always").stdout
    assert ESCAPE.search(coloured) and ESCAPE.sub("", coloured) == plain
    assert tidemark(*words, "a.db", "--color", "never").stdout == plain


@EACH
def test_a_terminal_gets_colours_unless_told_otherwise(trace, tmp_path, words):
    trace()
    assert ESCAPE.search(on_terminal([*words, "a.db"], tmp_path))
    assert not ESCAPE.search(on_terminal([*words, "a.db"], tmp_path, NO_COLOR="1"))
    assert not ESCAPE.search(on_terminal([*words, "a.db"], tmp_path, TERM="dumb"))


def test_json_never_has_colours(tidemark, trace):
    trace()
    json.loads(tidemark("peak", "a.db", "--json", "--color=always", check=True).stdout)


@EACH
def test_each_screen_ends_with_the_next_command(tidemark, trace, words):
    trace()
    done = tidemark(*words, "a.db", check=True)
    assert re.search(r"^  next     tidemark \w+", done.stdout, re.M)
    assert "next " not in tidemark(*words, "-q", "a.db").stdout


@pytest.mark.parametrize("words", [["peak"], ["timeline", "--csv"], ["report", "--json"]],
                         ids=" ".join)
def test_a_reader_that_leaves_early_is_no_error(trace, tmp_path, words):
    trace("leak")
    child = subprocess.Popen(
        ["bash", "-c", 'set -o pipefail; "$@" | true; echo ${PIPESTATUS[0]}', "-", COMMAND,
         *words, "a.db"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True)
    out, err = child.communicate(timeout=60)
    assert err == ""
    assert out.strip() in ("0", "141")


def test_a_full_disk_is_said(trace, tmp_path):
    trace()
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        done = subprocess.run([COMMAND, "peak", "a.db"], cwd=tmp_path, stdout=full,
                              stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert "cannot write the answer: No space left" in done.stderr


def test_a_file_alone_is_its_report(tidemark, trace):
    trace()
    assert tidemark("a.db", check=True).stdout == tidemark("report", "a.db").stdout


def test_the_newest_trace_is_read_and_named(tidemark, trace):
    _, old = trace(name="tidemark-node07-1.db")
    _, new = trace(name="tidemark-node07-2.db")
    os.utime(old, (1, 1))
    done = tidemark("report", check=True)
    assert done.stderr == "tidemark: reading 'tidemark-node07-2.db'\n"
    assert tidemark("report", "-q").stderr == ""
    os.utime(old, None)
    os.utime(new, (1, 1))
    assert "'tidemark-node07-1.db'" in tidemark("report").stderr


def test_help_and_version(tidemark):
    assert tidemark("--version").stdout.startswith("tidemark 0.")
    for words in (["help"], ["--help"], ["help", "peak"], ["peak", "--help"],
                  ["completion", "zsh"]):
        done = tidemark(*words, check=True)
        assert done.stdout and not done.stderr
        if "completion" not in words:
            assert max(map(len, done.stdout.splitlines())) <= 80
    assert tidemark().returncode == 2


def test_the_completion_is_good_bash(tidemark, tmp_path):
    script = tidemark("completion", "bash", check=True).stdout
    ask = script + ('\nCOMP_WORDS=(tidemark peak --st); COMP_CWORD=2; _tidemark; '
                    'echo "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout.split(), done.stderr) == (["--step"], "")


def test_the_manual_is_good_roff(tidemark):
    page = tidemark("help", "--man", check=True).stdout
    try:
        done = subprocess.run(["man", "--warnings", "-l", "-"], input=page, text=True,
                              capture_output=True, env={**os.environ, "MANWIDTH": "80"})
    except FileNotFoundError:
        pytest.skip("man is not installed")
    assert done.returncode == 0 and done.stderr == ""
    assert "--device" in done.stdout.replace("‐", "-")

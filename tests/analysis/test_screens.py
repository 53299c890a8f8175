"""What the screens look like: width, colours, characters, pipes."""
import json
import os
import pty
import re
import subprocess

import make_trace
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


def complete(tidemark, folder, *words):
    """What bash would offer for the last of these words."""
    ask = tidemark("completion", "bash", check=True).stdout + (
        '\ntidemark() { "$COMMAND" "$@"; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '_tidemark; printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", ask, "-", *words], capture_output=True, text=True,
                          cwd=folder, env={**os.environ, "COMMAND": str(COMMAND)})
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("words, offered", [
    (["run", "--stacks", ""], ["none", "python", "native", "all"]),
    (["run", "--stacks", "=", "n"], ["none", "native"]),
    (["plan", "-O", "ada"], ["adam", "adamw", "adam8bit", "adafactor"]),
    (["plan", "--lora-dtype", "b"], ["bf16"]),
    (["peak", "--by", "module,st"], ["module,stack"]),
    (["buckets", "--by", "s"], ["stack", "scope"]),
    (["buckets", "--at", ""], ["peak", "oom"]),
    (["peak", "--top", ""], []),
    (["help", "ti"], ["timeline"]),
    (["help", "env"], ["environment"]),
    (["completion", ""], ["bash", "zsh"]),
    (["run", "-o", "x.db", "--", "cat", "b"], ["b.txt"]),
    (["peak", "b"], ["b.txt"])], ids=" ".join)
def test_bash_completes_values_and_the_programs_own_words(tidemark, tmp_path, words, offered):
    (tmp_path / "b.txt").touch()
    assert complete(tidemark, tmp_path, "tidemark", *words) == offered


def test_bash_completes_a_program_behind_two_dashes(tidemark, tmp_path):
    assert "printf" in complete(tidemark, tmp_path, "tidemark", "run", "--", "printf")


def test_the_values_that_are_completed_are_those_the_command_takes(tidemark):
    script = tidemark("completion", "bash").stdout
    plan = script[script.index("\tplan)"):]
    plan = plan[:plan.index("\n\t\tesac")]
    found = 0
    for option, values in re.findall(r"--([a-z-]+)\) values='([^'@]*)'", plan):
        for value in values.split():
            error = tidemark("plan", "--model", "gpt2", f"--{option}", value).stderr
            assert f"'--{option}' can't" not in error and "is one of" not in error, error
            found += 1
        if option in ("optimizer", "precision", "task", "checkpoint"):
            error = tidemark("plan", "--model", "gpt2", f"--{option}", "zzzzzzzz").stderr
            known = error[error.index(" one of ") + 8:error.index(", not ")]
            assert known.split(", ") == values.split()
    assert found > 40


def test_the_zsh_completion_hides_no_word_of_zsh(tidemark):
    script = tidemark("completion", "zsh", check=True).stdout
    assert "local command" not in script and "--stacks=" in script
    assert "(none python native all)" in script and "_normal" in script
    try:
        done = subprocess.run(["zsh", "-n"], input=script, text=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("zsh is not installed")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_name_is_cut_where_it_repeats_and_never_at_its_layer(tidemark, trace):
    trace("gpt")
    for columns in (60, 80, 120):
        shown = tidemark("peak", "a.db", check=True, env={"COLUMNS": str(columns),
                                                          "LC_ALL": "C.UTF-8"}).stdout
        names = re.findall(r"× +(\S+)", shown)
        layers = [name for name in names if "mlp" in name or "attn" in name]
        assert layers and all("h.*" in name or "…*" in name for name in layers), names
    wide = tidemark("peak", "a.db", "--wide", env={"COLUMNS": "60"}).stdout
    assert ".." not in wide and "transformer.h.*.mlp.weight exp_avg*" in wide


def test_full_shows_every_row(tidemark, trace):
    trace("devices")
    for words in (["peak"], ["buckets", "--by", "parameter"], ["fragmentation"]):
        full = tidemark(*words, "a.db", "--full", check=True).stdout
        assert " more" not in full and "--top N" not in full
        assert len(full.splitlines()) >= len(tidemark(*words, "a.db", "--top", "1").stdout
                                             .splitlines())
    assert "choose one" in tidemark("peak", "a.db", "--full", "--top", "3").stderr


def test_a_chart_has_its_legend_and_units(tidemark, trace):
    trace()
    for words in (["report"], ["timeline"], ["timeline", "--steps"]):
        shown = tidemark(*words, "a.db", check=True).stdout
        assert re.search(r"# allocated.*- reserved", shown), shown
        assert re.search(r"(?m)^ +(0 s +\S+ \S+|step 0 +step 7)$", shown), shown


def test_the_report_begins_with_what_matters_most(tidemark, trace, answer):
    _, path = trace("leak")
    said = tidemark("report", path, check=True).stdout
    first = said.splitlines()[0]
    assert first.startswith("GROWS") and "more is kept with every step" in said
    assert said.index("tidemark leaks") < said.index("cuda:0 ")
    found = answer("report", path)["findings"]
    assert found[0]["finding"] == "leak" and found[0]["command"] == "leaks"
    assert found[0]["bytes"] == answer("report", path)["growth_bytes_per_step"]
    order = ["leak", "growth_in_step", "growing_steps", "fragmentation", "reconcile"]
    places = [order.index(f["finding"]) for f in found]
    assert places == sorted(places)


def test_steps_that_peak_higher_and_higher_are_named(tidemark, tmp_path, answer):
    """Nothing is kept: the batches are larger each time."""
    recording = make_trace.Recording()
    for step in range(9):
        recording.begin()
        block = recording.alloc((step + 1) << 20, "forward", "activation", module="h.0",
                                op="aten::mm", shape="[3]")
        recording.free(block, "backward")
    recording.write(tmp_path / "a.db", fold=False)
    said = tidemark("report", "a.db", check=True).stdout
    assert said.startswith("STEPS GROW") and "timeline --steps" in said
    [found] = [f for f in answer("report", "a.db")["findings"]
               if f["finding"] == "growing_steps"]
    assert found["step"] == 8 and found["bytes"] > 0


def test_the_manual_is_good_roff(tidemark):
    page = tidemark("help", "--man", check=True).stdout
    try:
        done = subprocess.run(["man", "--warnings", "-l", "-"], input=page, text=True,
                              capture_output=True, env={**os.environ, "MANWIDTH": "80"})
    except FileNotFoundError:
        pytest.skip("man is not installed")
    assert done.returncode == 0 and done.stderr == ""
    assert "--device" in done.stdout.replace("‐", "-")

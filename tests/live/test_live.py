"""`tidemark live` shows what is so, gives the terminal back, and leaves the run alone."""
import json
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import unicodedata
import urllib.error
import urllib.request

import pytest
from conftest import COMMAND, PYTHON, live, live_environment, need, wait_for


def look(loop, *words):
    done = live("--json", "--count", "1", *words, cwd=loop.folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# ---- what it shows -----------------------------------------------------------------------


def test_the_numbers_are_those_of_pytorch_and_of_the_trace_afterwards(start):
    loop = start()
    now = loop.said("now.json")
    # Steps that have ended are committed within a tenth of a second.
    seen = wait_for(lambda: (s := look(loop, "loop.db"))["step"] >= 18 and s, 20)
    (device,) = seen["devices"]
    assert seen["state"] == "running" and seen["pid"] == loop.pid
    assert seen["incomplete"] is None and seen["lost_events"] == 0
    assert device["allocated_bytes"] == now["allocated"]
    assert device["reserved_bytes"] == now["reserved"]
    assert device["peak_allocated_bytes"] == now["peak"]
    assert device["total_bytes"] - device["outside_bytes"] - device["allocated_bytes"] == \
        device["headroom_bytes"]
    assert loop.stop() == 7
    with sqlite3.connect(loop.folder / "loop.db") as trace:
        # The last step that had ended by then, and what its buckets held.
        assert seen["step"] <= 20
        began = dict(trace.execute(
            "SELECT 'x', start_allocated FROM step_device WHERE step = ?", (seen["step"],)))
        most = dict(trace.execute(
            "SELECT bucket, max(bytes) FROM v_step_bucket WHERE step = ? GROUP BY bucket",
            (seen["step"],)))
    assert sum(b["began_bytes"] for b in device["buckets"]) == began["x"]
    assert {b["bucket"]: b["most_bytes"] for b in device["buckets"] if b["most_bytes"]} == most
    assert most["parameter"] >= 4 * 2 * 256 * 1024


def test_a_look_goes_on_from_the_last_one_and_follows_the_run(held):
    """Two looks of one command: the second knows what came between them."""
    watching = subprocess.Popen(
        [COMMAND, "live", "--json", "--interval", "0.2", "loop.db"], cwd=held.folder, text=True,
        stdout=subprocess.PIPE, env=live_environment())
    try:
        first = json.loads(watching.stdout.readline())
        (held.folder / "go").touch()
        until = time.monotonic() + 20
        while time.monotonic() < until:
            later = json.loads(watching.stdout.readline())
            if later["step"] > first["step"] + 5:
                break
        assert later["step"] > first["step"] + 5
        assert later["now_ns"] > first["now_ns"]
        assert later["devices"][0]["at_ns"] > first["devices"][0]["at_ns"]
        assert later["steps_per_second"] > 0
    finally:
        (held.folder / "go").unlink(missing_ok=True)
        watching.terminate()
        watching.wait()
        watching.stdout.close()


def test_a_leak_has_its_forecast(start):
    loop = start("leak")
    loop.said("now.json")
    seen = wait_for(lambda: (s := look(loop))["devices"][0]["leak"] and s)
    assert seen["devices"][0]["leak"]["bytes_per_step"] == 1 << 20
    assert seen["devices"][0]["leak"]["full_in_step"] > 20000
    lines = live("--count", "1", cwd=loop.folder).stdout
    assert "leak 1.00 MiB a step (full in step" in lines


def test_the_run_is_found_by_folder_by_process_and_by_who_started_it(held):
    for words in ([], [str(held.pid)], [str(held.process.pid)]):
        assert look(held, *words)["pid"] == held.pid, words


@pytest.mark.parametrize("color", [True, False])
def test_the_screen_fits_eighty_columns_and_colours_are_a_choice(held, terminal, color):
    screen = terminal(["loop.db"], cwd=held.folder, **({} if color else {"NO_COLOR": "1"}))
    text = screen.wait_for("optimizer")
    lines = text.split("\n")
    assert len(lines) <= 24
    assert max(sum(not unicodedata.combining(c) for c in line) for line in lines) <= 80, text
    for word in ("allocated", "reserved", "headroom", "leak", "parameter", "phase", "step"):
        assert word in text
    screen.type("q")
    assert screen.end() == 0 and screen.given_back
    assert (b"\033[3" in screen.raw) == color


def test_it_redraws_and_follows_the_size_of_the_terminal(held, terminal):
    screen = terminal(["loop.db"], cwd=held.folder, rows=10)
    lines = screen.wait_for("cuda:0").split("\n")
    assert len(lines) <= 10 and "q quits" in lines[-1]
    frames = screen.raw.count(b"\033[H")
    wait_for(lambda: screen.read() or screen.raw.count(b"\033[H") >= frames + 2, 20)
    screen.resize(40, 60)
    text = screen.wait_for("q quits")
    assert max(map(len, text.split("\n"))) <= 60, text
    screen.type("q")
    assert screen.end() == 0 and screen.given_back


@pytest.mark.parametrize("how, status", [
    ("\x03", 0), ("Q", 0), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)])
def test_every_way_out_gives_the_terminal_back(held, terminal, how, status):
    screen = terminal(["loop.db"], cwd=held.folder)
    screen.wait_for("allocated")
    screen.type(how) if isinstance(how, str) else screen.process.send_signal(how)
    assert screen.end() == status
    assert screen.given_back


def test_stopped_and_continued_it_draws_again(held, terminal):
    screen = terminal(["loop.db"], cwd=held.folder)
    screen.wait_for("allocated")
    screen.process.send_signal(signal.SIGTSTP)
    wait_for(lambda: screen.read() or b"\033[?1049l" in screen.raw, 20)
    screen.process.send_signal(signal.SIGCONT)
    wait_for(lambda: screen.read() or screen.raw.count(b"\033[?1049h") == 2, 20)
    screen.type("q")
    assert screen.end() == 0 and screen.given_back


def test_a_terminal_without_a_cursor_has_lines(held, terminal):
    screen = terminal(["loop.db", "--count", "2", "--interval", "0.1"], cwd=held.folder,
                      TERM="dumb")
    assert screen.end() == 0
    assert b"\033[" not in screen.raw and screen.raw.count(b"allocated") == 2


# ---- how it ends -------------------------------------------------------------------------


def test_the_end_of_the_run_ends_the_screen_with_its_last_state(start, terminal):
    loop = start()
    loop.said("now.json")
    screen = terminal(["loop.db"], cwd=loop.folder)
    screen.wait_for("allocated")
    assert loop.stop() == 7
    assert screen.end() == 0 and screen.given_back
    last = screen.raw.split(b"\033[?1049l")[-1].decode()
    assert "the run of 'loop.db' has ended with status 7 after 20 complete steps" in last
    assert "tidemark report loop.db" in last
    done = live("loop.db", cwd=loop.folder)  # and afterwards in one sentence
    assert done.returncode == 1 and done.stdout.startswith("the run of 'loop.db' has ended")
    done = live(cwd=loop.folder)
    assert done.returncode == 3 and "no trace in this folder is being written" in done.stderr


def test_a_killed_run_is_called_killed_and_is_left_for_the_reader_that_finishes_it(
        start, terminal):
    loop = start()
    loop.said("now.json")
    screen = terminal(["loop.db"], cwd=loop.folder)
    screen.wait_for("allocated")
    os.kill(loop.pid, signal.SIGKILL)
    assert screen.end() == 1 and screen.given_back
    assert b"the run of 'loop.db' was killed" in screen.raw
    loop.process.wait(60)


def test_without_the_library_the_trace_alone_is_shown_and_a_killed_run_is_noticed(start):
    loop = start()
    loop.said("now.json")
    blind = {"TIDEMARK_LIBRARY": "/nowhere/libtidemark.so"}
    done = wait_for(lambda: (d := live("--json", "-c", "1", "loop.db", cwd=loop.folder, env=blind)
                             ).returncode == 0 and json.loads(d.stdout))
    assert done["state"] == "perhaps running" and "which is not there" in done["incomplete"]
    os.kill(loop.pid, signal.SIGKILL)
    loop.process.wait(60)
    done = live("loop.db", cwd=loop.folder, env=blind)
    assert done.returncode == 1 and "was killed" in done.stdout


@pytest.mark.parametrize("words, status, sentence", [
    (["stranger.db"], 3, "is not a tidemark trace"),
    (["other.db"], 3, "is a database, but not a tidemark trace"),
    (["missing.db"], 3, "cannot read 'missing.db'"),
    (["."], 3, "is not a file but a folder"),
    (["999999999"], 3, "there is no process 999999999"),
    (["--interval", "0"], 2, "'--interval' takes seconds"),
    (["--interval", "nan"], 2, "'--interval' takes seconds"),
    (["--count", "0"], 2, "'--count' takes a number from 1 on"),
    (["--prometheus", "70000"], 2, "takes a port"),
    (["--listen", "::1"], 2, "add '--prometheus PORT'"),
    (["a.db", "b.db"], 2, "one trace at a time"),
])
def test_bad_input_has_one_sentence(tmp_path, words, status, sentence):
    (tmp_path / "stranger.db").write_text("nobody's trace, but longer than a head\n" * 9)
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE t (a)")
    done = live(*words, cwd=tmp_path)
    assert done.returncode == status and sentence in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1 and not done.stdout


def test_a_process_that_is_not_traced_has_one_sentence(tmp_path):
    sleeping = subprocess.Popen(["sleep", "60"])
    done = live(sleeping.pid, cwd=tmp_path)
    sleeping.kill()
    sleeping.wait()
    assert done.returncode == 3 and done.stderr.count("\n") == 1
    assert f"process {sleeping.pid} writes no trace that is here" in done.stderr


# ---- Prometheus --------------------------------------------------------------------------


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_prometheus_reads_the_same_numbers(held, port):
    has_it = {"PYTHONPATH": str(need("prometheus"))}
    sys.path.insert(0, has_it["PYTHONPATH"])
    from prometheus_client import parser
    serving = subprocess.Popen(
        [COMMAND, "live", "loop.db", "--json", "--interval", "0.3", "--python", PYTHON,
         "--prometheus", str(port)],
        cwd=held.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=live_environment(**has_it))
    try:
        (device,) = json.loads(serving.stdout.readline())["devices"]

        def scrape():
            text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
            return "tidemark_allocated_bytes{" in text and text
        families = {f.name: f for f in parser.text_string_to_metric_families(wait_for(scrape))}
        busy = live("loop.db", "--python", PYTHON, "--prometheus", port, cwd=held.folder,
                    env=has_it)
    finally:
        serving.terminate()
        serving.communicate()
    assert busy.returncode == 2 and "Address already in use" in busy.stderr
    assert all(name.startswith("tidemark_") for name in families)
    for name in ("allocated_bytes", "reserved_bytes", "headroom_bytes"):
        (sample,) = families[f"tidemark_{name}"].samples
        assert sample.value == device[name] and sample.labels["device"] == "cuda:0"
    buckets = {s.labels["bucket"]: s.value for s in families["tidemark_bucket_bytes"].samples}
    assert buckets == {b["bucket"]: b["began_bytes"] for b in device["buckets"]}
    assert [s.value for s in families["tidemark_up"].samples] == [1]
    assert families["tidemark_steps"].type == "counter"
    with pytest.raises(urllib.error.URLError):  # the server goes with the command
        wait_for(lambda: not urllib.request.urlopen(f"http://127.0.0.1:{port}/"), 5)


def test_a_collector_gets_the_same_numbers(held):
    has_it = {"PYTHONPATH": str(need("telemetry")), "OTEL_METRIC_EXPORT_INTERVAL": "300"}
    got = held.folder / "got.jsonl"
    collector = subprocess.Popen(
        [PYTHON, pathlib.Path(__file__).parent / "collector.py", got], text=True,
        stdout=subprocess.PIPE, env=live_environment(**has_it))
    try:
        address = f"http://127.0.0.1:{int(collector.stdout.readline())}"
        done = live("loop.db", "--json", "--count", "4", "--interval", "0.3", "--python", PYTHON,
                    "--opentelemetry", address, cwd=held.folder, env=has_it)
        assert done.returncode == 0 and done.stderr == f"tidemark: sending metrics to {address}\n"
        (device,) = json.loads(done.stdout.splitlines()[0])["devices"]

        def newest():
            whole = [line for line in got.read_text().splitlines(True) if line.endswith("\n")] \
                if got.exists() else []
            return whole and json.loads(whole[-1])
        (resource,) = wait_for(newest)["resourceMetrics"]
    finally:
        collector.terminate()
        collector.wait()
    attributes = {a["key"]: a["value"] for a in resource["resource"]["attributes"]}
    assert attributes["service.name"] == {"stringValue": "tidemark"}
    metrics = {m["name"]: m for m in resource["scopeMetrics"][0]["metrics"]}
    assert all(name.startswith("tidemark.") for name in metrics)
    for name in ("allocated_bytes", "reserved_bytes", "headroom_bytes"):
        assert metrics[f"tidemark.{name}"]["unit"] == "By"
        (point,) = metrics[f"tidemark.{name}"]["gauge"]["dataPoints"]
        assert int(point["asInt"]) == device[name]
        assert point["attributes"] == [{"key": "device", "value": {"stringValue": "cuda:0"}}]
    assert metrics["tidemark.steps"]["sum"]["isMonotonic"]
    done = live("loop.db", "--python", PYTHON, "--opentelemetry", address, cwd=held.folder,
                env=has_it)
    assert done.returncode == 2 and f"cannot send to {address}: Connection refused" in done.stderr
    done = live("loop.db", "--python", PYTHON, "--opentelemetry", "collector", cwd=held.folder,
                env=has_it)
    assert done.returncode == 2 and "'collector' is no address of HTTP" in done.stderr


def test_a_python_without_the_library_is_a_sentence(held, port):
    # -S, -I: a Python that sees no package.
    bare = held.folder / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec {PYTHON} -I -S "$@"\n')
    bare.chmod(0o755)
    done = live("loop.db", "--prometheus", port, "--python", bare, cwd=held.folder)
    assert done.returncode == 2 and "has no prometheus_client; install it with" in done.stderr
    done = live("loop.db", "--opentelemetry", "http://127.0.0.1:9", "--python", bare,
                cwd=held.folder)
    assert done.returncode == 2 and "has no opentelemetry; install it with" in done.stderr
    done = live("loop.db", "--prometheus", port, "--python", "/no/python", cwd=held.folder)
    assert done.returncode == 2 and "cannot start '/no/python'" in done.stderr


# ---- the run is left alone ---------------------------------------------------------------


def contents(folder):
    with sqlite3.connect(folder / "loop.db") as trace:
        return [trace.execute(sql).fetchall() for sql in (
            "SELECT id, complete, events, micro_steps FROM step",
            "SELECT step, device, start_allocated, end_allocated, peak_allocated, peak_reserved, "
            "peak FROM step_device",
            "SELECT name, count FROM lost WHERE count > 0",
            "SELECT ended, exit_status FROM run")]


def test_the_program_its_numbers_and_its_trace_are_the_same_with_and_without(start):
    runs = []
    for watched in (False, True):
        loop = start(folder=f"watched-{watched}", most=300)
        loop.said("now.json")
        watchers = [subprocess.Popen(
            [COMMAND, "live", "--json", "--interval", "0.05", "loop.db"], cwd=loop.folder,
            stdout=subprocess.PIPE, text=True, env=live_environment()) for _ in range(2 * watched)]
        end, code = loop.said("end.json"), loop.process.wait(60)
        for watcher in watchers:
            lines = watcher.communicate(timeout=60)[0].splitlines()
            assert watcher.returncode == 0 and len(lines) > 3
            assert json.loads(lines[-1])["state"] == "exit"
        left = sorted(p.name for p in loop.folder.glob("loop.db*"))
        runs.append((end, code, left, contents(loop.folder)))
    assert runs[0] == runs[1]
    assert runs[0][1] == 7 and runs[0][2] == ["loop.db"]


def test_a_look_changes_no_file_and_holds_no_lock(held):
    """Beside a run that waits: the bytes of trace, log and ring stay what they were, and
    between two looks the command has none of them open."""
    time.sleep(0.5)  # what was committed last is in the files

    def files():
        # The writer itself notes the time in the ring's first page now and then.
        return {p.name: p.read_bytes()[4096 * p.name.endswith("-ring"):]
                for p in held.folder.glob("loop.db*") if not p.name.endswith("-shm")}
    before = files()
    assert look(held, "loop.db")["state"] == "running"
    assert files() == before
    watching = subprocess.Popen(
        [COMMAND, "live", "--json", "--interval", "5", "loop.db"], cwd=held.folder, text=True,
        stdout=subprocess.PIPE, env=live_environment())
    try:
        assert watching.stdout.readline()
        time.sleep(0.3)
        assert b"loop.db" not in b"".join(
            os.fsencode(os.readlink(f)) for f in
            pathlib.Path(f"/proc/{watching.pid}/fd").iterdir())
    finally:
        watching.terminate()
        watching.communicate()

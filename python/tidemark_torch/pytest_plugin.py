"""A pytest plugin: the marker limit_device_memory("2 GiB").

A test with this marker is run in a process of its own, on a simulated card that has so much
memory: `tidemark simulate --memory "2 GiB" -- python -m pytest THE TEST`. It needs a CUDA build
of PyTorch and no GPU; where it takes more memory, PyTorch says so and the test fails. gpu= names
the card, default: a100-80gb.

    @pytest.mark.limit_device_memory("2 GiB")
    def test_a_step_fits(): ...
"""

import json
import os
import subprocess
import sys
import tempfile

import pytest

MARKER = "limit_device_memory"
REPORTS = "TIDEMARK_PYTEST_REPORTS"  # in the child: where it writes its reports


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        MARKER + '(size, gpu="a100-80gb"): run the test on a simulated card with this much '
        'memory, as "2 GiB"; where it needs more, it fails')
    if os.environ.get(REPORTS):
        config.pluginmanager.register(_Child(config, os.environ[REPORTS]))


class _Child:
    """Keeps the reports of the one test that this process runs."""

    def __init__(self, config, path):
        self.config, self.path = config, path

    def pytest_runtest_logreport(self, report):
        kept = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(kept) + "\n")


def _limit(size, gpu="a100-80gb"):
    return str(size), str(gpu)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    marker = item.get_closest_marker(MARKER)
    if not marker or os.environ.get(REPORTS):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _in_a_child(item, *_limit(*marker.args, **marker.kwargs)):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _in_a_child(item, size, gpu):
    """The reports of the test, run on the simulated card."""
    from . import _runs

    config = item.config
    with tempfile.TemporaryDirectory(prefix="tidemark-") as folder:
        reports, verdict = os.path.join(folder, "reports"), os.path.join(folder, "verdict.json")
        test = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:terminal",
                "--rootdir", str(config.rootpath), item.nodeid]
        if config.inipath:
            test[5:5] = ["-c", str(config.inipath)]
        done = subprocess.run(
            _runs.words(test, os.path.join(folder, "%p.db"), gpu=gpu, memory=size, json=verdict),
            cwd=str(config.rootpath), env={**os.environ, REPORTS: reports},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")
        kept = list(_reports(config, reports))
        said = _verdict(verdict)
    if not any(report.when == "teardown" for report in kept):
        why = "the test has not come to its end on a simulated {} with {} (exit status {}):\n{}"
        kept.append(pytest.TestReport(
            item.nodeid, item.location, {}, "failed",
            why.format(gpu, size, said.get("exit_status", done.returncode), done.stdout.strip()),
            "call"))
    for report in kept:
        if report.when == "call" and said.get("peak_device_bytes") is not None:
            report.sections.append(("device memory", "peak {:,} of {:,} bytes".format(
                said["peak_device_bytes"], said["device_total_bytes"])))
    return kept


def _reports(config, path):
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file:
        for line in file:
            report = config.hook.pytest_report_from_serializable(
                config=config, data=json.loads(line))
            if isinstance(report.longrepr, list):  # JSON has no tuples
                report.longrepr = tuple(report.longrepr)
            yield report


def _verdict(path):
    """What `tidemark simulate --json` says of the card; nothing where nothing ran."""
    try:
        with open(path, encoding="utf-8") as file:
            [gpu] = json.load(file)["gpus"]
        return gpu
    except (OSError, ValueError, KeyError):
        return {}

"""The page of `tidemark html` in a browser: it says what the commands say, and asks for nothing."""
import re

import pytest
from conftest import answer, tidemark

SCENARIOS = ["gpt", "leak", "evals", "devices", "long"]


def peak_of(trace):
    devices = answer("peak", trace)["devices"]
    return max(devices, key=lambda device: device["allocated_bytes"])


@pytest.mark.parametrize("fold", [True, False], ids=["folded", "raw"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_chart_has_the_peak_of_the_command(opened, recorded, scenario, fold):
    if scenario == "long" and not fold:
        pytest.skip("1200 raw steps are no other case than nine")
    trace = recorded(scenario, fold=fold)
    shown = opened(trace)
    drawn = shown.tab.evaluate("""() => tidemark.traces[0].parts.map(({ device, chart }) => ({
        name: device.name, all: chart.peak.all, step: device.steps.id[chart.peak.index],
        phase: device.phaseAt(chart.peak.index, chart.peak.ordinal),
        levels: Object.fromEntries([...device.buckets, "not known"].map((name, i) =>
            [name, chart.peak.levels[i]])) }))""")
    devices = answer("peak", trace)["devices"]
    assert [d["name"] for d in drawn] == [d["device"] for d in devices]
    for picture, device in zip(drawn, devices):
        assert picture["all"] == device["allocated_bytes"]
        assert picture["step"] == device["step"]
        levels = {name: bytes for name, bytes in picture["levels"].items() if bytes}
        assert levels == {row["bucket"]: row["bytes"] for row in device["by_bucket"] if row["bytes"]}
    highest = peak_of(trace)
    assert shown.tab.locator("h1").get_attribute("data-peak") == str(highest["allocated_bytes"])
    assert f"in {highest['phase']} of step {highest['step']}" in shown.tab.title()


def test_every_step_is_as_high_as_timeline_says(opened, recorded):
    trace = recorded("leak")
    shown = opened(trace)
    drawn = shown.tab.evaluate("""() => {
        const { device } = tidemark.traces[0].parts[0];
        return Array.from(device.steps.id, (id, k) => [id, device.peakOf(k).all]);
    }""")
    steps = answer("timeline", trace, "--steps")["devices"][0]["steps"]
    assert drawn == [[step["step"], step["peak_allocated_bytes"]] for step in steps]


def test_hovering_tells_what_was_held(opened, recorded):
    shown = opened(recorded("leak"))
    canvas = shown.tab.locator("canvas.chart")
    box = canvas.bounding_box()
    canvas.hover(position={"x": box["width"] / 2, "y": box["height"] / 2})
    tip = shown.tab.locator(".tip")
    assert re.search(r"[\d.]+ MiB allocated · step \d+ · \w+", tip.inner_text())
    assert "optimizer" in tip.inner_text()


def test_the_peak_survives_thinning(opened, tmp_path):
    """A step of its own in the middle is a little higher than a thousand others."""
    import make_trace
    trace = tmp_path / "big.db"
    make_trace.big(trace, allocations=100_000, per_step=1000)
    shown = opened(trace)
    drawn = shown.tab.evaluate("() => { const { peak } = tidemark.traces[0].parts[0].chart; return peak.all; }")
    assert drawn == peak_of(trace)["allocated_bytes"]


def test_the_page_is_written_whole_or_not_at_all(recorded, tmp_path):
    done = tidemark("html", recorded("gpt"), "-o", tmp_path / "none" / "a.html", status=2)
    assert "cannot write" in done.stderr
    tidemark("html", recorded("gpt"), "--device", "cuda:7", "-o", tmp_path / "a.html", status=2)
    tidemark("html", recorded("gpt"), tmp_path / "no.db", "-o", tmp_path / "a.html", status=3)
    assert list(tmp_path.iterdir()) == []
    tidemark("html", recorded("gpt"), cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["gpt.html"]

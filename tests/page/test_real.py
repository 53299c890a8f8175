"""Pages of real trainings on the simulated device: two ranks that leak until memory runs out."""
import subprocess

import pytest
from conftest import COMMAND, answer, where

PROGRAM = where.ROOT / "tests" / "oom" / "programs" / "loss_history.py"


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    where.need("venv")
    torch = where.need("torch-2.11.0")
    if not where.LIBRARY.exists():
        pytest.skip("the library is not built")
    folder, traces = tmp_path_factory.mktemp("ranks"), []
    for rank in (0, 1):
        traces.append(folder / f"rank{rank}.db")
        subprocess.run([COMMAND, "simulate", "--gpu", "rtx4090", "--memory", "3GiB", "--rank", str(rank),
                        "--world", "2", "-o", traces[-1], "--", where.PYTHON, PROGRAM],
                       env=where.clean_environment(PYTHONPATH=torch, TIDEMARK_LIBRARY=where.LIBRARY),
                       capture_output=True, timeout=300, cwd=folder)
    return traces


def test_ranks_stand_side_by_side(opened, ranks):
    shown = opened(*ranks)
    for i, trace in enumerate(ranks):
        row = shown.tab.locator("#ranks tbody tr").nth(i).inner_text()
        assert f"{i} of 2" in row and "yes" in row
        shown.tab.locator("#ranks tbody tr").nth(i).get_by_role("button").click()
        peak = answer("peak", trace)["devices"][0]["allocated_bytes"]
        assert shown.tab.locator("h1").get_attribute("data-peak") == str(peak)
        assert shown.tab.locator("h1").inner_text().startswith("Out of memory")


def test_levers_have_the_marks_of_oom(opened, ranks):
    shown = opened(ranks[0])
    event = answer("oom", ranks[0])["events"][-1]
    levers = shown.tab.locator("[data-lever]")
    said = levers.evaluate_all("all => all.map((one) => [one.dataset.lever, one.querySelector('.mark').textContent])")
    signs = {"fits": "✓", "short": "✗", "unknown": "?"}
    assert said == [[lever["id"], signs[lever["mark"]]] for lever in event["levers"]]
    assert event["why"] in shown.tab.locator("section[id^=oom]").inner_text()


def test_what_was_alive_when_it_ran_out(opened, ranks):
    shown = opened(ranks[0])
    drawn = shown.tab.evaluate("""() => {
        const { chart, device } = tidemark.traces[0].parts[0];
        chart.toRefusal();
        return Object.fromEntries(device.buckets.map((name, i) => [name, chart.pin.levels[i]]).filter(([, n]) => n));
    }""")
    event = answer("oom", ranks[0])["events"][-1]
    assert sum(drawn.values()) == event["allocated_bytes"]
    assert drawn == {row["bucket"]: row["bytes"] for row in event["by_bucket"] if row["bytes"]}


def test_what_was_alive_at_the_peak(opened, ranks):
    shown = opened(ranks[0])
    sums = shown.tab.evaluate("""() => {
        const { alive } = tidemark.traces[0].parts[0], sums = {};
        for (const block of alive.blocks) {
            const key = `${alive.device.sites[block.site]?.[1] ?? null} ${block.bucket}`;
            sums[key] = (sums[key] ?? 0) + block.bytes;
        }
        return sums;
    }""")
    expected = {}
    for row in answer("peak", ranks[0])["devices"][0]["live"]:
        key = f"{row['module'] or 'null'} {row['bucket']}"
        expected[key] = expected.get(key, 0) + row["bytes"]
    assert sums == expected


def test_the_leak_is_named(opened, ranks):
    shown = opened(ranks[0])
    leaks = answer("leaks", ranks[0])["devices"][0]
    assert leaks["growing"]
    assert "Each step leaves" in shown.tab.locator("section[id^=leaks] .verdict").inner_text()

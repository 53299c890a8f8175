"""What stands under the chart: what was alive, out of memory, formula, segments, leaks, ranks."""
import json
import re
import sqlite3

import pytest
from conftest import answer, tidemark

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def size(bytes):
    """A size as the command and the page say it."""
    for unit in ("KiB", "MiB", "GiB"):
        bytes /= 1024
        if bytes < 1023.995:
            return f"{bytes:.2f} {unit}"


def alive(shown, way):
    """What the page draws of the instant that is chosen, by what it is called, in bytes."""
    return shown.tab.evaluate("""way => {
        const { alive } = tidemark.traces[0].parts[0];
        const sums = {};
        for (const block of alive.blocks) {
            const site = alive.device.sites[block.site];
            const key = way === "bucket" ? block.bucket : site?.[way === "module" ? 1 : 2] ?? "";
            sums[key] = (sums[key] ?? 0) + block.bytes;
        }
        return sums;
    }""", way)


@pytest.mark.parametrize("way", ["bucket", "module", "op"])
@pytest.mark.parametrize("scenario", ["gpt", "leak", "evals"])
def test_what_was_alive_at_the_peak_is_the_commands(opened, recorded, scenario, way):
    trace = recorded(scenario)
    shown = opened(trace)
    device = answer("peak", trace)["devices"][0]
    expected = {}
    for row in device["live"]:
        expected[row[way] or ""] = expected.get(row[way] or "", 0) + row["bytes"]
    assert alive(shown, way) == expected


def test_any_instant_holds_what_buckets_says(opened, recorded):
    trace = recorded("leak")
    shown = opened(trace)
    for step in (2, 5, 9):
        at = answer("buckets", trace, "--at", f"step:{step}")["devices"][0]
        shown.tab.evaluate("""step => {
            const { device, chart } = tidemark.traces[0].parts[0];
            chart.choose(device.peakOf(device.indexOf.get(step)));
        }""", step)
        expected = {row["bucket"]: row["bytes"] for row in at["buckets"] if row["bytes"]}
        assert alive(shown, "bucket") == expected, step


def test_treemap_and_icicle_show_all_bytes(opened, recorded):
    shown = opened(recorded("gpt"))
    section = shown.tab.locator("section[id^=alive]")
    for way in ("module", "stack", "operator", "parameter"):
        section.get_by_role("button", name=way, exact=True).click()
        for form in ("treemap", "icicle"):
            section.get_by_role("button", name=form, exact=True).click()
            cells = section.locator(".cell.leaf").count()
            assert cells > 0, (way, form)
    section.get_by_role("button", name="module", exact=True).click()
    section.locator("button.cell").first.click()
    assert section.locator(".crumbs button").count() > 1
    section.locator(".crumbs button").first.click()
    assert section.locator(".crumbs button").count() == 0


def test_keys(opened, recorded):
    shown = opened(recorded("leak"))
    tab = shown.tab
    state = "() => { const { chart } = tidemark.traces[0].parts[0]; return [chart.transform.k, chart.pin?.index, chart.device.axis]; }"
    tab.keyboard.press("p")
    tab.wait_for_timeout(100)
    assert tab.evaluate(state)[0] > 2
    tab.keyboard.press("ArrowRight")
    assert tab.locator(".tip").is_visible()
    before = tab.locator(".tip").inner_text()
    for _ in range(5):
        tab.keyboard.press("Shift+ArrowRight")
    assert tab.locator(".tip").inner_text() != before
    tab.keyboard.press("Enter")
    assert "at this instant" in tab.locator("section[id^=alive] h2").inner_text()
    tab.keyboard.press("0")
    assert tab.evaluate(state)[0] == 1
    tab.keyboard.press("e")
    assert tab.evaluate(state)[2] == "time"
    tab.keyboard.press("t")
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    tab.keyboard.press("?")
    assert tab.get_by_role("dialog").is_visible()
    assert "d3-zoom" in tab.locator("dialog pre").text_content()
    tab.keyboard.press("Escape")
    assert not tab.get_by_role("dialog").is_visible()


def test_every_control_and_picture_has_a_name(opened, recorded):
    shown = opened(recorded("devices"))
    nameless = shown.tab.evaluate("""() => [...document.querySelectorAll(
        "button, canvas, svg, [role=img], section, dialog")].filter((one) =>
        !(one.getAttribute("aria-label") || one.getAttribute("aria-labelledby") || one.textContent.trim()))
        .map((one) => one.outerHTML.slice(0, 100))""")
    assert nameless == []


def test_a_narrow_screen_shows_each_cell_of_each_table(opened, recorded):
    """A row is as many lines as it needs: the user's own line is the last cell."""
    shown = opened(recorded("leak"), width=400)
    wide = shown.tab.evaluate("""() => [...document.querySelectorAll('.scroll')].map((box) =>
        [box.scrollWidth - box.clientWidth, box.querySelectorAll('td').length])""")
    assert len(wide) > 1 and all(over <= 0 and cells for over, cells in wide), wide
    cell = shown.tab.locator("section[id^=leaks] td").last
    assert cell.is_visible() and cell.get_attribute("data-head") == "line"


def test_of_several_files_the_highest_is_shown_first(opened, recorded):
    peaks = [answer("peak", recorded(name))["devices"][0]["allocated_bytes"] for name in ("gpt", "leak")]
    order = ("gpt", "leak") if peaks[0] < peaks[1] else ("leak", "gpt")
    assert peaks[0] != peaks[1]
    shown = opened(*map(recorded, order))
    assert shown.tab.locator("h1").get_attribute("data-peak") == str(max(peaks))
    assert shown.tab.locator("#ranks [aria-current]").get_attribute("data-file") == "1"


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_screen(opened, recorded, width):
    shown = opened(recorded("gpt"), width=width)
    assert shown.tab.evaluate("document.documentElement.scrollWidth") <= width


def test_the_formulas_bars_add_up(opened, recorded):
    trace = recorded("gpt")
    shown = opened(trace)
    device = answer("reconcile", trace)["devices"][0]
    lines = shown.tab.locator(".waterfall .whole .number").all_inner_texts()
    rows = [row for row in device["rows"] if row["bucket"] not in ("cache", "context")]
    assert lines == [size(sum(row[key] for row in rows))
                     for key in ("predicted_bytes", "measured_bytes")]
    assert sum(row["measured_bytes"] for row in rows) == device["allocated_bytes"]


def test_leaks_are_the_commands(opened, recorded):
    trace = recorded("leak")
    shown = opened(trace)
    leaks = answer("leaks", trace)["devices"][0]
    verdict = shown.tab.locator("section[id^=leaks] .verdict").inner_text()
    assert verdict.startswith(f"Each step leaves {size(leaks['bytes_per_step'])} more behind")
    assert shown.tab.locator("section[id^=leaks] tbody tr").count() == len(leaks["growing"])


def test_several_files_stand_side_by_side(opened, recorded):
    traces = [recorded("gpt"), recorded("leak"), recorded("evals")]
    shown = opened(*traces)
    rows = shown.tab.locator("#ranks tbody tr")
    for i, trace in enumerate(traces):
        peak = answer("peak", trace)["devices"][0]["allocated_bytes"]
        assert size(peak) in rows.nth(i).inner_text()
    rows.nth(1).get_by_role("button").click()
    peak = answer("peak", traces[1])["devices"][0]["allocated_bytes"]
    assert shown.tab.locator("h1").get_attribute("data-peak") == str(peak)


EVIL = '</script><img src=x onerror=alert(1)><!--"\'\\ \u2028 \x1b[31m {{x}} ${x}'


def test_a_hostile_trace_is_text(opened, recorded, tmp_path):
    trace = tmp_path / "evil.db"
    trace.write_bytes(recorded("leak", fold=False).read_bytes())
    with sqlite3.connect(trace) as db:
        db.execute("UPDATE frame SET function = ?, file = ?", (EVIL, EVIL))
        db.execute("UPDATE module SET name = ? || id, class = ?", (EVIL, EVIL))
        db.execute("UPDATE op SET name = ? || id", (EVIL,))
        db.execute("UPDATE shape SET dims = ? || id", (EVIL,))
        db.execute("UPDATE tensor SET name = ? || id", (EVIL,))
        db.execute("UPDATE run SET command = ?, host = ?, script = ?", (EVIL, EVIL, EVIL))
        db.execute("UPDATE device SET product = ?", (EVIL,))
        db.execute("UPDATE run SET model_class = '__proto__', optimizer_class = 'constructor'")
        db.execute("UPDATE module SET name = '__proto__.constructor' WHERE id = 1")
    shown = opened(trace)
    page = shown.tab
    text = shown.file.read_text()
    assert text.count("</script>") == 3 and "<img" not in text
    assert page.locator("img").count() == 0
    assert "<img src=x onerror=alert(1)>" in page.locator(".facts").inner_text()
    for way in ("stack", "operator", "parameter"):
        page.get_by_role("button", name=way, exact=True).click()
    assert page.locator("img").count() == 0


def test_a_trace_without_device_memory(opened, tmp_path):
    import make_trace
    trace = tmp_path / "empty.db"
    empty = make_trace.Recording()
    empty.begin()
    empty.write(trace)
    shown = opened(trace)
    assert shown.tab.locator("h1").inner_text() == "No device memory was allocated through PyTorch"


DAMAGE = {
    "steps without rows": "DELETE FROM allocation WHERE born_step > 4",
    "lives that end before they begin": "UPDATE allocation SET died_step = 0, died = 0 WHERE id % 3 = 0",
    "sizes that are not": "UPDATE allocation SET bytes = -bytes * 1000000000000 WHERE id % 7 = 0",
    "buckets that there are not": "UPDATE allocation SET bucket = 900 + id WHERE id % 5 = 0",
    "a ring of stacks": "UPDATE stack SET parent = id",
    "times that run backwards": "UPDATE step SET start_ns = -start_ns, end_ns = start_ns - end_ns",
    "patterns that there are not": "UPDATE step SET same_as = 7777777 WHERE id = 3",
    "thinned": "UPDATE step SET thinned = 1 WHERE id > 5",
    "phases that there are not": "UPDATE span SET phase = 99; UPDATE site SET phase = -4",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_trace_still_gives_a_page(opened, recorded, tmp_path, what):
    trace = tmp_path / "damaged.db"
    trace.write_bytes(recorded("leak", fold=False).read_bytes())
    with sqlite3.connect(trace) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.executescript(DAMAGE[what])
    shown = opened(trace)
    assert shown.tab.locator("h1").count() == 1


def test_no_trace_at_all(tmp_path):
    nothing = tmp_path / "no.db"
    nothing.write_bytes(b"not a trace" * 100)
    done = tidemark("html", nothing, "-o", tmp_path / "a.html", status=3)
    assert "tidemark:" in done.stderr
    assert not (tmp_path / "a.html").exists()


def test_json_says_where_the_page_is(recorded, tmp_path):
    page = tmp_path / "a.html"
    told = json.loads(tidemark("html", "--json", recorded("gpt"), "-o", page).stdout)
    assert told["page"] == str(page) and told["bytes"] == page.stat().st_size
    assert re.search(r"<title>", page.read_text())

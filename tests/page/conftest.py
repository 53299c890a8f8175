"""What the tests of the page share: a headless Chromium, and pages of traces of known content."""
import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import make_trace  # noqa: E402
import where  # noqa: E402
from where import COMMAND  # noqa: E402

Opened = collections.namedtuple("Opened", "tab file trace said requests")


def tidemark(*words, cwd=None, status=0):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TIDEMARK_")}
    done = subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=True,
                          timeout=300, env={**clean, "LC_ALL": "C"}, cwd=cwd)
    assert done.returncode == status, done.stderr
    return done


def answer(command, trace, *words):
    """The JSON answer of a command that must succeed."""
    return json.loads(tidemark(command, "--json", trace, *words).stdout)


def start_browser():
    """(playwright, browser), or skips with what is missing."""
    program = shutil.which("chromium")
    if not program:
        pytest.skip("no chromium on PATH")
    sys.path.insert(0, str(where.need("page")))
    from playwright.sync_api import sync_playwright
    playwright = sync_playwright().start()
    return playwright, playwright.chromium.launch(
        executable_path=program, args=["--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                                       "--font-render-hinting=none", "--force-color-profile=srgb"])


@pytest.fixture(scope="session")
def browser():
    playwright, started = start_browser()
    yield started
    started.close()
    playwright.stop()


@pytest.fixture(scope="session", autouse=True)
def page_is_built():
    done = subprocess.run([COMMAND, "html", "/nonexistent.db"], capture_output=True, text=True)
    if "built without the page" in done.stderr:
        pytest.skip(f"no page in this build: {done.stderr.strip()}")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """recorded("leak", fold=False) -> the file of a trace; made once."""
    made = {}

    def make(scenario, **options):
        key = scenario, *sorted(options.items())
        if key not in made:
            path = tmp_path_factory.mktemp("traces") / f"{scenario}.db"
            make_trace.SCENARIOS[scenario]().write(path, **options)
            made[key] = path
        return made[key]
    return make


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """written(trace, ...) -> the page of these traces; made once."""
    made = {}

    def write(*traces):
        if traces not in made:
            made[traces] = tmp_path_factory.mktemp("pages") / "page.html"
            tidemark("html", *traces, "-o", made[traces])
        return made[traces]
    return write


@pytest.fixture
def opened(browser, written):
    """opened(trace, ..., width=1280, theme="light") -> a tab that shows the page of traces. At the
    end of the test nothing was said on the console, and nothing was asked of any network."""
    tabs = []

    def open_page(*traces, width=1280, height=900, theme="light"):
        file = written(*traces)
        context = browser.new_context(viewport={"width": width, "height": height},
                                      color_scheme=theme, offline=True, reduced_motion="reduce")
        tab = context.new_page()
        shown = Opened(tab, file, traces, [], [])
        tab.on("console", lambda message: shown.said.append(message.text))
        tab.on("pageerror", lambda error: shown.said.append(str(error)))
        tab.on("request", lambda request: shown.requests.append(request.url))
        tab.goto(file.as_uri())
        tab.wait_for_function("window.tidemark !== undefined")
        tabs.append(shown)
        return shown
    yield open_page
    for shown in tabs:
        assert shown.said == []
        assert [url for url in shown.requests if not url.startswith(("file:", "data:", "blob:"))] == []
        shown.tab.context.close()

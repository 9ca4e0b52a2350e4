"""The pages in a real browser: Debian's Chromium by its own driver; skipped where they are not installed."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from test_report import TABLE, built, golden_frame, write_cell, write_failure

from nern import config as configuration
from nern import files
from nern.matrix import all_cells
from nern.report.cells import collect
from nern.report.cells import page as cells_page
from nern.report.documents.document import Column, Document, Grid, Text
from nern.report.documents.html import html
from nern.report.frontier import table as frontier

webdriver = pytest.importorskip("selenium.webdriver")
ActionChains, Keys = webdriver.ActionChains, webdriver.Keys
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium or chromedriver is not installed")
ROOT = Path(__file__).parents[2]
WIDTHS, SCHEMES = (360, 768, 1280), ("light", "dark")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("profile")
    for option in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", f"user-data-dir={profile}"):
        options.add_argument(f"--{option}")
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield started
    started.quit()


def points():
    """Those of the published frontier."""
    return pd.read_csv(ROOT / "tables/published/2026-11-25-frontier/frontier_cifar10_exact.csv")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of the paper's 232 cells, 5 of them done and 2 failed, a table, and the published frontier."""
    folder = tmp_path_factory.mktemp("pages")
    cells = all_cells(configuration.read([ROOT / "config.yaml"]))
    for number, cell in enumerate(cells[20:25]):
        write_cell(folder, cell, accuracy=(91.5, 9.25, 100.0, 90.0, 91.5)[number])
    for cell in cells[40:42]:
        write_failure(folder, cell)
    frame = collect.collect(cells, folder)
    table = built(golden_frame(tmp_path_factory.mktemp("golden")), TABLE, "cifar10")
    overlaid = configuration.read([ROOT / "config.yaml", ROOT / "workflow/config/frontier.yaml"])
    compared = frontier.document(overlaid, "frontier_cifar10_exact", points())
    for name, document in {"cells": cells_page.document(frame), "table": table, "frontier": compared}.items():
        files.write_text(folder / f"{name}.html", html(document))
    return folder


def opened(browser, page, *, width=1280, scheme="light"):
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(page.as_uri())
    return browser


def column(browser, name):
    """What the first table shows in a column, from above."""
    return browser.execute_script(
        "const table = document.querySelector('table');"
        "const names = [...table.tHead.rows[table.tHead.rows.length - 1].cells].map(head => head.textContent);"
        "return [...table.tBodies[0].rows].map(row => row.cells[names.indexOf(arguments[0])].textContent)",
        name,
    )


def click(browser, name):
    browser.find_element("xpath", f"(//th[text()='{name}'])[1]").click()


def choose(browser, name, value):
    browser.find_element("css selector", f"select[name={name}] option[value='{value}']").click()


def shown(browser):
    """The cells that a reader sees: those of rows that are neither hidden nor folded away."""
    return browser.execute_script(
        "const rows = [...document.querySelectorAll('tbody tr')].filter(row => row.checkVisibility());"
        "return rows.map(row => row.cells[0].textContent)"
    )


def test_what_is_done_comes_first_and_the_missing_is_folded(browser, pages):
    opened(browser, pages / "cells.html")
    assert browser.find_element("tag name", "p").text == "5 of 232 cells are done, 2 failed, 225 missing."
    assert column(browser, "Status") == ["done"] * 5
    assert len(shown(browser)) == 7
    browser.find_elements("tag name", "summary")[-1].click()
    assert len(shown(browser)) == 232


def test_a_click_on_a_name_sorts_and_another_turns_it_around(browser, pages):
    opened(browser, pages / "cells.html")
    for wanted in (["9.25", "90.00", "91.50", "91.50", "100.00"], ["100.00", "91.50", "91.50", "90.00", "9.25"]):
        click(browser, "Accuracy (%)")
        assert column(browser, "Accuracy (%)") == wanted
    click(browser, "Cell")
    assert column(browser, "Cell") == sorted(column(browser, "Cell"))


def test_numbers_with_a_note_are_sorted_by_the_number_and_dashes_come_last(browser, pages):
    opened(browser, pages / "table.html")
    click(browser, "difference")
    assert column(browser, "difference") == ["−0.30", "+0.65a"]
    click(browser, "difference")
    assert column(browser, "difference") == ["+0.65a", "−0.30"]


def test_what_is_told_to_be_smaller_is_sorted_by_the_number_that_it_is_smaller_than(browser, tmp_path):
    values = ["0.125", "< 0.001 (drawn)", "—", "0.004", "−0.500"]
    grid = Grid("T", [Column("p")], [[Text(value)] for value in values], [])
    files.write_text(tmp_path / "p.html", html(Document("p", "T", [grid])))
    opened(browser, tmp_path / "p.html")
    sorted_up = ["−0.500", "< 0.001 (drawn)", "0.004", "0.125"]
    for wanted in (sorted_up, sorted_up[::-1]):
        click(browser, "p")
        assert column(browser, "p") == [*wanted, "—"]


def test_the_filters_leave_what_has_all_that_is_chosen(browser, pages):
    opened(browser, pages / "cells.html")
    choose(browser, "status", "failed")
    assert len(shown(browser)) == 2
    choose(browser, "status", "missing")
    assert len(shown(browser)) == 225
    choose(browser, "task", "imagenet")
    found = shown(browser)
    assert len(found) == 40 and all(name.startswith("imagenet/") for name in found)
    assert browser.find_element("css selector", "form output").text == "40 of 232 shown"
    choose(browser, "network", "resnet56")
    assert shown(browser) == []
    for name in ("status", "task", "network"):
        choose(browser, name, "")
    assert browser.find_element("css selector", "form output").text == "232 of 232 shown"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", ["cells", "table", "frontier"])
def test_a_table_too_wide_for_the_window_scrolls_by_itself(browser, pages, page, width):
    opened(browser, pages / f"{page}.html", width=width)
    browser.execute_script("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    wide = "return [...document.querySelectorAll('.wide')].some(part => part.scrollWidth > part.clientWidth)"
    assert browser.execute_script(wide) or width == 1280


@pytest.mark.parametrize("page", ["cells", "table", "frontier"])
def test_light_and_dark_can_be_read(browser, pages, page):
    seen = []
    for scheme in SCHEMES:
        opened(browser, pages / f"{page}.html", scheme=scheme)
        ink, paper = browser.execute_script(
            "const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]"
        )
        brightness = [sum(int(part) for part in color.strip("rgb()").split(",")) / 3 for color in (ink, paper)]
        assert abs(brightness[0] - brightness[1]) > 180
        seen.append(brightness[1])
    assert seen[0] > 200 > 60 > seen[1]


def told(browser):
    return browser.find_element("css selector", "figcaption output").text


def test_a_point_of_a_frontier_says_what_it_is_where_the_mouse_is(browser, pages):
    opened(browser, pages / "frontier.html")
    # the one of the most divergence that has no other within reach, so that nothing lies above it
    point = points().set_index("codec").loc["kernels-16-distilled"]
    marks = browser.find_elements("css selector", ".says")
    (mark,) = [each for each in marks[len(marks) // 2 :] if "kernels-16-distilled" in title(browser, each)]
    ActionChains(browser).move_to_element(mark).perform()
    assert told(browser) == (
        f"resnet20, weights, kernels-16-distilled: {point['bytes'] / 1024:.1f} KiB, "
        f"accuracy {point['accuracy']:.2f} %, divergence {point['divergence']:.4f}"
    )
    assert told(browser) == title(browser, mark)


def test_the_arrow_keys_go_from_point_to_point_behind_one_stop(browser, pages):
    opened(browser, pages / "frontier.html")
    titles = [title(browser, each) for each in browser.find_elements("css selector", ".says")]
    for key, wanted in ((Keys.TAB, titles[0]), (Keys.ARROW_RIGHT, titles[1]), (Keys.ARROW_LEFT, titles[0])):
        ActionChains(browser).send_keys(key).perform()
        assert told(browser) == wanted
    ActionChains(browser).send_keys(Keys.TAB).perform()
    assert browser.switch_to.active_element.tag_name == "th"


def title(browser, mark):
    return browser.execute_script("return arguments[0].querySelector('title').textContent", mark)


def test_the_page_needs_nothing_else_and_says_nothing_to_the_console(browser, pages):
    opened(browser, pages / "cells.html")
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []

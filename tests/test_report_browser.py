"""The report in the machine's own chromium: opened from disk, used by mouse and by keyboard, in light and dark, on paper."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from made_up_hard import make as make_hard
from made_up_study import make

import reports
from bench import record

pytest.importorskip("playwright.sync_api", reason="no playwright here: it is one of the development packages")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium"),
    pytest.mark.filterwarnings("default::ResourceWarning"),
]
LEADERBOARD = "#leaderboard table"
# WCAG 2.2: the contrast of text with the background that lies under it, whatever it is set in.
CONTRASTS = """() => {
  const light = text => {
    const rgb = text.match(/[\\d.]+/g).slice(0, 3).map(n => n / 255);
    const [r, g, b] = rgb.map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const under = node => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (!/, 0\\)$|transparent/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = {};
  for (const node of document.querySelectorAll("body, p, a, li, th, td, h1, h2, h3, figcaption, code, label, input, .small")) {
    const [one, two] = [light(getComputedStyle(node).color), light(under(node))].sort((a, b) => b - a);
    const kind = node.tagName.toLowerCase() + (node.className ? "." + node.className : "");
    found[kind] = Math.min(found[kind] ?? 99, (one + 0.05) / (two + 0.05));
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A page with every kind of section: of the made-up study, in which one study's pictures are shown as another's."""
    root = tmp_path_factory.mktemp("runs")
    return reports.write(make(root, seeds=3)), reports.write(make_hard(root), sections=["hardest"])


@pytest.fixture
def opened(browser, study):
    """Opens the page; whatever it says on the console, every error and every request is collected."""
    contexts = []

    def open_page(path=study[0], **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.said, page.requests = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


def column(page, number):
    """What stands in a column of the leaderboard's ranked rows, from the top."""
    cells = page.locator(f"{LEADERBOARD} tbody:first-of-type tr:visible td:nth-child({number})")
    return [text.split("\n")[0] for text in cells.all_inner_texts()]


def figures(texts):
    return [float(text.split(" ")[0]) for text in texts]


@pytest.mark.parametrize("place", [0, 1])
def test_it_opens_from_disk_without_a_word_and_asks_for_nothing(opened, study, place):
    page = opened(study[place])
    outside = [url for url in page.requests if not url.startswith("data:")]
    assert page.said == [] and outside == [study[place].as_uri()]
    assert page.locator("h1").count() == 1 and page.locator("section").count() >= 1
    broken = page.evaluate("[...document.images].filter(one => !one.complete || !one.naturalWidth).length")
    assert broken == 0 and bool(page.locator("img").count()) == bool(place)


def test_headings_sort_by_mouse(opened):
    page = opened()
    heading = page.locator(f"{LEADERBOARD} th", has_text="LFW accuracy")
    first = figures(column(page, 4))
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert figures(column(page, 4)) == sorted(first, reverse=True)
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert figures(column(page, 4)) == sorted(first)
    page.locator(f"{LEADERBOARD} th", has_text="Loss").get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "none" and column(page, 2) == sorted(column(page, 2))


def test_missing_cells_stay_last_either_way(opened):
    page = opened()
    rank = page.locator(f"{LEADERBOARD} th").first.get_by_role("button")
    for _ in range(2):
        rank.click()
        ranked = column(page, 1)
    assert ranked == sorted(ranked, key=lambda text: [int(part) for part in re.split("\N{EN DASH}", text)])
    heading = page.locator("#figures table >> nth=0 >> th", has_text="accuracy").get_by_role("button")
    page.evaluate("""() => document.querySelector("#figures tbody tr td:nth-child(2)").removeAttribute("data-sort")""")
    for _ in range(2):
        heading.click()
        cells = page.locator("#figures table >> nth=0 >> tbody:first-of-type td:nth-child(2)")
        known = [cell.get_attribute("data-sort") is not None for cell in cells.all()]
        assert known == [True] * (len(known) - 1) + [False]


def test_it_is_sorted_and_filtered_by_keyboard_alone(opened):
    page = opened()
    page.keyboard.press("Tab")
    while page.evaluate("document.activeElement.tagName") != "INPUT":
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('section').id") == "leaderboard"
    assert page.evaluate("document.activeElement.labels[0].textContent.trim()") == "Rows with"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "the focus is seen"
    page.keyboard.type("CNN4 lmcl")
    assert column(page, 2) == ["lmcl"] and page.locator("#leaderboard output").inner_text() == "2 of 9 rows"
    for _ in range(20):
        page.keyboard.press("Backspace")
    assert len(column(page, 2)) == 3 and page.locator("#leaderboard output").inner_text() == ""
    for _ in range(2):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Loss"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert column(page, 2) == ["center", "lmcl", "softmax"]
    page.keyboard.press("Space")
    assert column(page, 2) == ["softmax", "lmcl", "center"]


def test_filtering_is_by_mouse_too_and_nothing_is_left_where_no_row_has_the_words(opened):
    page = opened()
    field = page.get_by_label("Rows with").first
    field.click()
    field.fill("softmax again")
    assert page.locator(f"{LEADERBOARD} tbody tr:visible").count() == 1
    field.fill("nothing of the kind")
    assert page.locator("#leaderboard output").inner_text() == "0 of 9 rows"
    assert page.locator(f"{LEADERBOARD} tfoot tr:visible").count() == 3, "what holds for the columns stays"


def test_the_leaderboard_fits_on_paper(opened):
    page = opened(viewport={"width": 688, "height": 1000})  # A4 less its margins, in CSS pixels
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 688


def test_without_its_script_the_page_is_whole(opened):
    page = opened(java_script_enabled=False)
    assert page.locator(f"{LEADERBOARD} tbody tr:visible").count() == 9
    assert page.locator("th button, input").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", [0, 1])
def test_text_stands_out(opened, study, scheme, place):
    page = opened(study[place], color_scheme=scheme)
    found = page.evaluate(CONTRASTS)
    assert {"body", "td.short", "p.note", "a"} <= set(found) and {kind: c for kind, c in found.items() if c < 4.5} == {}
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 22)"
    assert dark == (scheme == "dark")


def test_lines_of_figures_change_with_the_page(opened):
    strokes = [
        opened(color_scheme=scheme).evaluate(
            """() => getComputedStyle([...document.querySelectorAll("#rates svg path")]
               .find(one => one.getAttribute("style")?.includes("--colour-0"))).stroke"""
        )
        for scheme in ("light", "dark")
    ]
    assert strokes == ["rgb(0, 114, 178)", "rgb(88, 176, 255)"]


def test_a_telephone_scrolls_tables_and_not_the_page(opened, study):
    for path in study:
        page = opened(path, viewport={"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    widths = opened(viewport={"width": 390, "height": 800}).evaluate(
        """() => { const one = document.querySelector("#leaderboard .scroll"); return [one.scrollWidth, one.clientWidth] }"""
    )
    assert widths[0] > widths[1], "the leaderboard is wider, and scrolls by itself"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_prints_on_white_with_every_row_and_no_fields(opened, scheme):
    page = opened(color_scheme=scheme)
    page.get_by_label("Rows with").first.fill("softmax")
    paper = page.pdf(format="A4")
    pages = len(re.findall(rb"/Type\s*/Page\b", paper))
    assert paper.startswith(b"%PDF") and 5 <= pages <= 40
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("input:visible, nav:visible").count() == 0
    assert page.locator(f"{LEADERBOARD} tbody tr:visible").count() == 9, "a filter hides nothing on paper"
    assert page.evaluate("getComputedStyle(document.querySelector('figure:not(.table)')).breakInside") == "avoid"


@pytest.mark.long
def test_five_hundred_trials_make_a_small_page_that_opens(opened, tmp_path):
    folder = make(tmp_path, seeds=2)
    trials = [one for one in reports.read(folder).of("search")]
    draw = np.random.default_rng(0)
    for number in range(500 - len(reports.read(folder))):
        like = trials[number % len(trials)]
        changes = {"number": 100 + number, "learning_rate": float(10 ** draw.uniform(-2, -0.5))}
        where = record.start(replace(like.trial, **changes), folder)
        for name in ("events.jsonl", "record.json"):
            shutil.copy(like.folder / name, where / name)
    path = reports.write(folder)
    assert len(reports.read(folder)) == 500 and path.stat().st_size < 8_000_000
    page = opened(path)
    assert page.said == [] and page.locator("#parallel svg").count() == 3
    assert page.locator("#failures tbody tr").count() > 12


def test_a_long_table_scrolls_under_its_headings(opened, tmp_path):
    from reports import _markup as html

    rows = [[html.Item(f"row {n}", f"row {n}"), html.Item(str(n), n)] for n in range(500)]
    table = html.table([html.Column("Name", "short"), html.Column("Number")], [rows], sortable=True)
    page_of = html.environment().get_template("report.html.j2").render
    section = {"name": "long", "title": "Long", "html": table}
    path = tmp_path / "long.html"
    path.write_text(page_of(title="t", lead="", sections=[section], refresh=None, dark=[]))
    page = opened(path, viewport={"width": 900, "height": 600})
    box = page.locator(".scroll").bounding_box()
    assert box["height"] <= 0.8 * 600 + 1
    page.locator(".scroll").focus()
    page.keyboard.press("End")
    page.get_by_text("row 499", exact=True).wait_for()
    assert page.locator("th").first.bounding_box()["y"] == pytest.approx(
        page.locator(".scroll").bounding_box()["y"], abs=1
    )
    page.get_by_label("Rows with").fill("row 49")
    assert page.locator("output").inner_text() == f"{sum('49' in str(n) for n in range(500))} of 500 rows"

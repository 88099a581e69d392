"""The report's page in a real browser: widths, colour schemes, contrast, and no network.

Needs Chromium.  Where there is none the tests are skipped, except in continuous integration
(CI is set), which must have one.
"""

import os

import pytest
from chromium import Chromium, find_chromium
from comparisons import LONG_NAMES, SYNTHETIC_NAMES, make_comparison
from pagetree import PICTURES

from svmcifar.compare.report.page import write_page

WIDTHS = {"desktop": 1280, "phone": 390, "small phone": 360}
SCHEMES = ("light", "dark")
PAGES = {
    "plain": {"names": SYNTHETIC_NAMES, "synthetic": True},
    "many": {"names": LONG_NAMES, "n_cnns": 4, "ensemble": True, "svm_labels": "fine"},
    "SVMs alone": {"names": LONG_NAMES, "n_cnns": 0, "n_svms": 3, "svm_labels": "fine"},
}
OPEN_DETAILS = "document.querySelectorAll('details').forEach(d => { d.open = true; })"

# Each visible text's contrast with the nearest background behind it, by WCAG 2.
MEASURE_TEXT = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = colour => {
    const [r, g, b] = rgba(colour).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (rgba(colour)[3] > 0) return colour;
    }
    return 'white';
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    const text = texts.currentNode.data.trim();
    const element = texts.currentNode.parentElement;
    if (!text || element.closest('.unseen, desc, title') || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const colour = element.closest('svg') ? style.fill : style.color;
    found.push([contrast(colour, background(element)), text]);
  }
  const marks = [...document.querySelectorAll('.fill, .curve, .whisker')].map(element => {
    const style = getComputedStyle(element);
    const colours = [style.fill, style.stroke].filter(colour => colour !== 'none');
    const ratios = colours.map(colour => contrast(colour, background(element)));
    return [Math.max(...ratios), element.outerHTML];
  });
  return {texts: found, marks};
})()"""

# What sticks out of the window, but for the content of boxes that scroll by themselves.
FIND_OVERFLOW = """(() => {
  const width = document.documentElement.clientWidth;
  const scrolls = e => ['auto', 'scroll', 'hidden'].includes(getComputedStyle(e).overflowX);
  return [...document.body.querySelectorAll('*')].filter(element => {
    const box = element.getBoundingClientRect();
    if (!element.checkVisibility() || element.matches('.skip, .unseen')) return false;
    for (let e = element.parentElement; e !== document.body; e = e.parentElement) {
      if (scrolls(e)) return false;
    }
    return box.width > 0 && (box.right > width + 1 || box.left < -1);
  }).map(e => e.outerHTML.slice(0, 80));
})()"""


# Text of charts that lies outside of the window.
FIND_CUT_TEXT = """[...document.querySelectorAll('svg text')].filter(text => {
  const box = text.getBoundingClientRect();
  return box.width > 0 && (box.left < 0 || box.right > document.documentElement.clientWidth + 1);
}).map(text => text.textContent)"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    path = find_chromium()
    if path is None:
        reason = "no Chromium on the PATH (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(f"continuous integration must have a browser: {reason}")
        pytest.skip(reason)
    with Chromium(path, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module", params=PAGES)
def page(request, tmp_path_factory):
    comparison = make_comparison(**PAGES[request.param])
    return write_page(comparison, PICTURES, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_page_fits_and_asks_for_nothing(browser, page, width, scheme):
    browser.open(page, width, scheme=scheme)
    assert browser.requests() == [page.resolve().as_uri()]
    assert browser.complaints() == []
    browser.evaluate(OPEN_DETAILS)
    box = "document.scrollingElement"
    assert browser.evaluate(f"{box}.clientWidth") == width
    assert browser.evaluate(f"{box}.scrollWidth") <= width
    assert browser.evaluate(FIND_OVERFLOW) == []
    broken = "[...document.images].filter(i => !i.complete || i.naturalWidth !== 32).length"
    assert browser.evaluate(broken) == 0
    assert browser.evaluate("document.images.length") > 50


@pytest.mark.parametrize("scheme", SCHEMES)
def test_all_that_is_seen_has_enough_contrast(browser, page, scheme):
    browser.open(page, scheme=scheme)
    browser.evaluate(OPEN_DETAILS)
    found = browser.evaluate(MEASURE_TEXT)
    assert len(found["texts"]) > 1000
    assert len(found["marks"]) > 50
    assert [text for text in found["texts"] if not text[0] >= 4.5] == []
    assert [mark for mark in found["marks"] if not mark[0] >= 3] == []


def test_schemes_differ_and_print_is_light(browser, page):
    paper = "getComputedStyle(document.body).backgroundColor"
    seen = {}
    for media, scheme in (("screen", "light"), ("screen", "dark"), ("print", "dark")):
        browser.open(page, scheme=scheme, media=media)
        seen[media, scheme] = browser.evaluate(paper)
    assert seen["screen", "light"] == seen["print", "dark"] != seen["screen", "dark"]
    assert browser.evaluate("document.querySelector('nav').checkVisibility()") is False


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_nothing_has_to_be_scrolled_sideways(browser, page, width):
    browser.open(page, width)
    browser.evaluate(OPEN_DETAILS)
    seen = "[...document.querySelectorAll('.scroll')].filter(b => b.checkVisibility())"
    assert browser.evaluate(f"{seen}.length") >= 8
    wide = f"{seen}.filter(b => b.scrollWidth > b.clientWidth + 1).map(b => b.innerText)"
    assert browser.evaluate(wide) == []
    assert browser.evaluate(FIND_CUT_TEXT) == []


def test_on_paper_all_is_open_and_nothing_is_cut(browser, page):
    browser.open(page, 688, media="print")  # A4 without its margins
    folded = (
        "[...document.querySelectorAll('details > :not(summary)')]"
        ".filter(e => !e.checkVisibility()).length"
    )
    assert browser.evaluate("document.querySelectorAll('details').length") >= 4
    assert browser.evaluate(folded) == 0
    wide = (
        "[...document.querySelectorAll('.scroll')].filter(b => b.scrollWidth > b.clientWidth + 1)"
    )
    assert browser.evaluate(f"{wide}.map(b => b.innerText.slice(0, 60))") == []
    assert browser.evaluate("document.querySelector('.matrix').checkVisibility()") is True
    assert browser.evaluate(FIND_CUT_TEXT) == []


def test_confusion_matrices_are_side_by_side_where_there_is_room(browser, page):
    lefts = (
        "[...document.querySelectorAll('.matrix-box')].slice(0, 2)"
        ".map(b => b.getBoundingClientRect().left)"
    )
    browser.open(page, WIDTHS["desktop"])
    first, second = browser.evaluate(lefts)
    assert second > first + 400
    whole = (
        "[...document.querySelectorAll('.matrix-box .scroll')]"
        ".every(b => b.scrollWidth <= b.clientWidth)"
    )
    assert browser.evaluate(whole) is True
    browser.open(page, WIDTHS["phone"])  # too wide for it: pictures stand for them
    assert browser.evaluate("document.querySelector('.matrix-box').checkVisibility()") is False
    assert browser.evaluate("document.querySelector('figure.narrow').checkVisibility()") is True


def test_keyboard_reaches_the_skip_link_first(browser, page):
    browser.open(page)
    for kind in ("keyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9
        )
    assert browser.evaluate("document.activeElement.className") == "skip"
    assert browser.evaluate("document.activeElement.getBoundingClientRect().left") >= 0

import base64
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from accelsim.errors import InputError
from accelsim.report.figures import draw_comparison
from accelsim.report.page import Section, write_page

VOID = {"meta", "img"}


class Checker(HTMLParser):
    """Collects elements and text, and checks that every element is closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.words = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.seen if name == tag]

    @property
    def text(self):
        return "\n".join(self.words)


def parse(path):
    checker = Checker()
    checker.feed(path.read_text(encoding="utf-8"))
    checker.close()
    assert checker.open == []
    return checker


def test_a_page_holds_everything(systems, tmp_path, result):
    png = draw_comparison(systems(3), tmp_path / "c.png")
    svg = draw_comparison(systems(3), tmp_path / "c.svg")
    path = write_page(
        tmp_path / "index.html",
        "LeNet-300-100",
        "What it shows.",
        [
            Section("Systems", "One.\n\nTwo.", [("All", systems(3))], [("P", png), ("S", svg)]),
            Section("Only words", "Text."),
        ],
        provenance=result.provenance,
    )
    page = parse(path)
    images = page.all("img")
    assert [image["alt"] for image in images] == ["P", "S"]
    assert base64.b64decode(images[0]["src"].split(",")[1]) == png.read_bytes()
    assert images[1]["src"].startswith("data:image/svg+xml;base64,")
    assert {"One.", "Two.", "What it shows.", "Only words"} <= set(page.words)
    assert "latency (µs)" in page.words
    assert "machine.pes" in page.words
    assert not any("src" in attrs for name, attrs in page.seen if name != "img")
    assert not page.all("link")
    assert not page.all("script")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.png", "c.svg", "index.html"]


def test_everything_is_escaped(systems, tmp_path):
    evil = "<script>alert('x')</script> & \"quoted\""
    png = draw_comparison(systems(1), tmp_path / "c.png")
    table = pd.DataFrame({evil: [evil]})
    path = write_page(
        tmp_path / "p.html",
        evil,
        evil,
        [Section(evil, evil, [(evil, table)], [(evil, png)])],
        provenance={evil: {evil: evil}},
    )
    page = parse(path)
    assert not page.all("script")
    assert page.all("img")[0]["alt"] == evil
    assert page.text.count("alert('x')") >= 9
    assert "<script" not in path.read_text()


def test_values_in_tables(tmp_path):
    frame = pd.DataFrame(
        {
            "cycles": [1234567, 2],
            "energy_pj": [1234.5678, np.nan],
            "memory": ["sram", None],
            "grown": [True, False],
            "small": [1.5e-9, 0.0],
            "mixed": [1.25, "text"],
        }
    )
    page = parse(write_page(tmp_path / "p.html", "t", "", [Section("h", "", [("c", frame)])]))
    expected = {"1,234,567", "1,235", "—", "sram", "True", "1.500e-09", "0", "1.250", "text"}
    assert expected <= set(page.words)
    right = [attrs.get("class") for attrs in page.all("th")]
    assert right == ["number", "number", None, None, "number", None]


def test_an_empty_page(tmp_path):
    page = parse(write_page(str(tmp_path / "p.html"), "t", "", []))
    assert not page.all("footer")
    page = parse(
        write_page(tmp_path / "p.html", "t", "", [Section("h", "", [("c", pd.DataFrame())])])
    )
    assert len(page.all("table")) == 1


def test_pictures_that_cannot_be_embedded(tmp_path):
    for name in ("none.png", "a.pdf"):
        section = Section("h", figures=[("c", tmp_path / name)])
        with pytest.raises(InputError, match=name):
            write_page(tmp_path / "p.html", "t", "", [section])
    assert list(tmp_path.iterdir()) == []

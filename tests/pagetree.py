"""A page as a tree of elements, to ask it what it says."""

from html.parser import HTMLParser

import numpy as np

from svmcifar.compare.report.page import render_page

VOID = {"br", "img", "input", "link", "meta", "hr"}
PICTURES = np.random.default_rng(0).integers(0, 256, (500, 32, 32, 3), dtype=np.uint8)


class Element:
    def __init__(self, tag, attributes, parent):
        self.tag, self.attributes, self.parent = tag, dict(attributes), parent
        self.children = []

    def __getitem__(self, name):
        return self.attributes.get(name)

    @property
    def classes(self):
        return (self["class"] or "").split()

    def walk(self):
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, tag, **attributes):
        return [
            e for e in self.walk() if e.tag == tag and attributes.items() <= e.attributes.items()
        ]

    def with_class(self, name):
        return [e for e in self.walk() if name in e.classes]

    @property
    def text(self):
        parts = [c.text if isinstance(c, Element) else c for c in self.children]
        return " ".join("".join(parts).replace("\xa0", " ").split())


class Tree(HTMLParser):
    """A strict reader: every element must be closed in its turn."""

    def __init__(self, page):
        super().__init__()
        self.root = self.current = Element("document", {}, None)
        self.feed(page)
        self.close()
        assert self.current is self.root

    def handle_starttag(self, tag, attributes):
        assert len(attributes) == len(dict(attributes)), f"{tag} has an attribute twice"
        element = Element(tag, attributes, self.current)
        self.current.children.append(element)
        if tag not in VOID:
            self.current = element

    def handle_startendtag(self, tag, attributes):
        self.current.children.append(Element(tag, attributes, self.current))

    def handle_endtag(self, tag):
        assert tag == self.current.tag, f"</{tag}> closes <{self.current.tag}>"
        self.current = self.current.parent

    def handle_data(self, data):
        self.current.children.append(data)


def read(comparison, pictures=PICTURES):
    return Tree(render_page(comparison, pictures)).root


def section(root, section_id):
    (found,) = root.all("section", id=section_id)
    return found


def table_of(root, caption):
    """Rows of the table whose caption starts so: name, cells."""
    (table,) = [t for t in root.all("table") if t.all("caption")[0].text.startswith(caption)]
    rows = {}
    for row in table.all("tbody")[0].all("tr"):
        rows[row.all("th")[0].text] = row.all("td")
    return rows

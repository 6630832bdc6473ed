"""Whether HTML closes what it opens, for the tests of reports."""

from html.parser import HTMLParser

VOID = {"meta", "img", "link", "br", "circle", "line", "path", "use", "rect", "hr"}


class Balance(HTMLParser):
    """Refuses a tag that is closed out of order or never."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def assert_well_formed(html: str) -> None:
    parser = Balance()
    parser.feed(html)
    parser.close()
    assert parser.open == []

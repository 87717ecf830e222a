"""A page of scripts/bench as a browser's parser sees it."""
import html.parser

VOID = {"meta", "line", "rect", "circle", "polyline", "br", "link"}


class Page(html.parser.HTMLParser):
    """Whether every element that is opened is closed, in order, and nothing comes from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.open, self.wrong, self.seen = [], [], set()
        self.feed(text)
        self.wrong += self.open

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        self.wrong += [f"{tag} {name}={value}" for name, value in attributes if name in ("src", "href", "xlink:href")]
        if tag not in VOID or not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"/{tag}")

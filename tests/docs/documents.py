"""The project's documents as the tests read them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = tuple(
    sorted(
        path
        for path in ROOT.rglob("*.md")
        if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    )
)
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def name(path: Path) -> str:
    """`path` as a test's id."""
    return str(path.relative_to(ROOT))


def fenced(text: str, language: str | None = None) -> Sequence[str]:
    """Contents of the fenced blocks, of one language or of all."""
    return [body for kind, body in _FENCED.findall(text) if language in (None, kind)]


def prose(text: str) -> str:
    """`text` without its fenced blocks."""
    return _FENCED.sub("", text)


def spans(text: str) -> Sequence[str]:
    """Inline code outside fenced blocks."""
    return _SPAN.findall(prose(text))


def anchors(text: str) -> set[str]:
    """Names that GitHub gives the headings."""
    headings = (heading.lower().replace("`", "") for heading in _HEADING.findall(prose(text)))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def marked(label: str) -> str:
    """What protocol.md has between `<!-- label -->` and `<!-- end -->`."""
    (found,) = re.findall(rf"<!-- {label} -->(.*?)<!-- end -->", PROTOCOL, re.DOTALL)
    return str(found).strip()


def cells(table: str) -> Iterator[tuple[str, ...]]:
    """Rows of a Markdown table without its head, cell by cell."""
    for line in table.splitlines()[2:]:
        yield tuple(cell.strip() for cell in line.strip().strip("|").split(" | "))

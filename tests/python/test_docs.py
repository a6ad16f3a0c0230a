"""The documents name files and functions that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    *(
        str(path.relative_to(CHECKOUT))
        for folder in ("docs", "deploy")
        for path in sorted((CHECKOUT / folder).rglob("*.md"))
    ),
]
SOURCE = "\n".join(
    path.read_text()
    for folder in ("src", "include")
    for path in sorted((CHECKOUT / folder).rglob("*"))
    if path.suffix in {".h", ".cpp"}
)
# A name that stands for many, or that the reader is to make.
PLACEHOLDER = re.compile(r"NAME|\*|\{|…|<")


def quoted(document: str) -> list[str]:
    """Texts in backticks outside code blocks."""
    return re.findall(r"`([^`\n]+)`", (CHECKOUT / document).read_text())


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_files_exist(document: str) -> None:
    roots = r"(?:src|include|tests|scripts|bench|docs|deploy|configs|models|examples|cmake)"
    for text in quoted(document):
        if re.fullmatch(roots + r"/[\w./-]+", text) and not PLACEHOLDER.search(text):
            assert (CHECKOUT / text).exists(), f"{document} names {text}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_functions_exist(document: str) -> None:
    for text in quoted(document):
        match = re.fullmatch(r"(?:\w+::)+(\w+)(?:\(\))?", text)
        if match:
            assert re.search(rf"\b{match[1]}\b", SOURCE), f"{document} names {text}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_linked_files_exist(document: str) -> None:
    text = (CHECKOUT / document).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((CHECKOUT / document).parent / target).exists(), f"{document} links to {target}"

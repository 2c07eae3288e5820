"""Reads YAML, JSON and XML that strangers wrote into plain values: bounded in size and depth, without aliases, entities or tags: nothing grows, nothing runs.

Pure. What does not fit the bounds, or is not well formed, raises `DocumentError` with a clause that can be shown; it never quotes the document.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar
from xml.parsers.expat import ExpatError
from xml.sax import SAXException
from xml.sax.handler import ContentHandler, feature_external_ges
from xml.sax.xmlreader import AttributesImpl, InputSource

import defusedxml
import yaml
from defusedxml.sax import make_parser

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 60


class DocumentError(Exception):
    """The document cannot be read; the text is a clause without a subject, such as "is no YAML"."""


# The parser in C is thirty times as fast; PyYAML can be built without it.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]  # one of two classes, chosen when this is imported
    """Safe, and with scalars as the author wrote them: a version like 2024-01-01 or 1_0 is no date and no number."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag in {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"}]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_yaml(text: str) -> list[Any]:
    """Every document of a YAML text as mappings, lists, strings, booleans and None; numbers and dates stay text."""
    return [document for _, document in read_yaml_with_lines(text)]


def read_yaml_with_lines(text: str) -> list[tuple[int, Any]]:
    """The same, each document with the line on which it begins, counted from 1."""
    _bounded(text)
    try:
        depth, lines, opened = 0, [], False
        for event in yaml.parse(text, Loader=_Loader):
            if opened:
                lines.append((event.start_mark.line if event.start_mark is not None else 0) + 1)
            opened = isinstance(event, yaml.DocumentStartEvent)
            if isinstance(event, yaml.AliasEvent):  # ten lines of them make a thousand million values
                raise DocumentError("uses YAML aliases, which are not followed")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise DocumentError("is nested too deeply")
        return list(zip(lines, yaml.load_all(text, Loader=_Loader), strict=True))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise DocumentError(f"is no YAML{f' (line {mark.line + 1})' if mark is not None else ''}") from None
    # What the constructor raises for strange keys and scalars.
    except (RecursionError, ValueError, TypeError, AttributeError):
        raise DocumentError("is no YAML that is understood") from None


def read_json(text: str) -> Any:
    """The value of a JSON text."""
    _bounded(text)
    try:
        return json.loads(text)
    except ValueError:
        raise DocumentError("is no JSON") from None
    except RecursionError:
        raise DocumentError("is nested too deeply") from None


@dataclass(slots=True)
class Element:
    """One XML element: its name without prefix, its attributes, its own text, the elements in it, and the line on which it begins."""

    name: str
    attributes: dict[str, str]
    line: int = 0
    text: str = ""
    inside: list["Element"] = field(default_factory=list)

    def walk(self) -> Iterator["Element"]:
        """This element and all in it, outer ones first."""
        waiting = [self]
        while waiting:
            one = waiting.pop()
            yield one
            waiting += reversed(one.inside)


class _Builder(ContentHandler):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[Element] = []
        self.top: Element | None = None
        self._where: Any = None

    def setDocumentLocator(self, locator: Any) -> None:  # noqa: N802  the name that SAX calls
        self._where = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802  the name that SAX calls
        if len(self.open) >= MAX_DEPTH:
            raise DocumentError("is nested too deeply")
        line = self._where.getLineNumber() if self._where is not None else 0
        element = Element(name.rpartition(":")[2], {str(key).rpartition(":")[2]: str(value) for key, value in attrs.items()}, int(line or 0))
        if self.open:
            self.open[-1].inside.append(element)
        else:
            self.top = element
        self.open.append(element)

    def endElement(self, name: str) -> None:  # noqa: ARG002, N802  the name that SAX calls
        self.open.pop()

    def characters(self, content: str) -> None:
        if self.open:
            self.open[-1].text += content


def read_xml(text: str) -> Element:
    """The outermost element of an XML text. A document type with entities, or a reference to another document, is refused."""
    _bounded(text)
    builder = _Builder()
    parser = make_parser()
    parser.forbid_dtd = True
    parser.setFeature(feature_external_ges, False)
    parser.setContentHandler(builder)
    source = InputSource()
    source.setByteStream(_Bytes(text.encode()))
    source.setEncoding("utf-8")
    try:
        parser.parse(source)
    except (SAXException, ExpatError, defusedxml.DefusedXmlException) as error:
        what = "declares a document type or entities, which are not followed" if isinstance(error, defusedxml.DefusedXmlException) else "is no XML"
        raise DocumentError(what) from None
    if builder.top is None:
        raise DocumentError("is no XML")
    return builder.top


class _Bytes:
    """The text as the stream that SAX reads from."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def read(self, size: int = -1) -> bytes:
        end = len(self._content) if size < 0 else self._at + size
        part, self._at = self._content[self._at : end], min(end, len(self._content))
        return part

    def close(self) -> None:
        """Nothing is open."""


def _bounded(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise DocumentError(f"is too large to be read ({len(text)} characters)")

"""Writes docs/rules: one page a rule, from the docstring of the rule and the answers it gives to the examples in its test.

`python -m tests.rule_pages` writes them anew; a test says when they are not what would be written. Nothing on these pages is written by hand.
"""

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from service.domain.derived import listed
from service.domain.model import Way
from service.domain.rule import Rule
from service.domain.rules import RULES
from service.domain.verdict import Finding
from tests.unit.service.domain import made

FOLDER = Path(__file__).parents[1] / "docs" / "rules"
SECTIONS: Mapping[str, str] = {
    "Problem": "The problem",
    "Read": "What is read",
    "Decides": "How it decides",
    "Fix": "What to do",
    "Declare": "What you can declare",
    "Elsewhere": "Outside Kubernetes",
}
"""The sections of a rule's docstring, in order, and their headings. All of them are there in each rule."""

BY_HAND = "This page is made from the rule's source by `make rule-pages`."


def pages() -> Mapping[str, str]:
    """File name to text, of every page."""
    return {"README.md": index(), **{f"{rule.name}.md": page(rule) for rule in RULES}}


def page(rule: Rule) -> str:
    """One rule's page in Markdown."""
    intro, sections = read(inspect.getdoc(importlib.import_module(f"service.domain.rules.{rule.name}")) or "")
    missing = SECTIONS.keys() - sections.keys()
    if missing:
        raise ValueError(f"The docstring of {rule.name} has no paragraph that begins with {', '.join(sorted(missing))}.")
    told = "\n\n".join(f"## {heading}\n{sections[name]}" for name, heading in SECTIONS.items())
    return f"# {rule.question}\n`{rule.name}` · {asked(rule)}\n\n{intro}\n\n{told}\n\n## Examples\n{examples(rule)}\n\n---\n{BY_HAND}\n"


def index() -> str:
    """The page that lists them in reading order."""
    rows = "\n".join(f"| [`{rule.name}`]({rule.name}.md) | {rule.question} |" for rule in RULES)
    return (
        "# The rules\n"
        "Every rule asks one question and answers *pass*, *warn*, *unknown* or *block*, with one sentence, its evidence, and what would change it.\n"
        "In the order in which a person reads them:\n\n"
        f"| rule | question |\n|--|--|\n{rows}\n\n---\n{BY_HAND}\n"
    )


def read(docstring: str) -> tuple[str, Mapping[str, str]]:
    """The text before the first section, and the sections by name. Lines of a paragraph are joined."""
    intro: list[str] = []
    sections: dict[str, str] = {}
    last = ""
    for paragraph in docstring.split("\n\n"):
        text = " ".join(paragraph.split())
        name, colon, rest = text.partition(": ")
        if colon and name in SECTIONS:
            sections[name], last = rest, name
        elif last:
            sections[last] += f"\n\n{text}"
        else:
            intro.append(text)
    return re.sub(r"\(docs/decisions/([\w-]+\.md)\)", r"([decision](../decisions/\1))", "\n\n".join(intro)), sections


def asked(rule: Rule) -> str:
    """When the rule is asked, and what its unknown does."""
    where = " and ".join(f"going {one}" for one in sorted(rule.directions))
    only = " with an incident" if rule.needs_incident else ""
    who = ", and only where no person decides" if rule.for_automatic else ""
    gate = "its *unknown* stops automation" if rule.gate else "its *unknown* counts as a warning"
    ways = f" by {listed(way.value.replace('_', ' ') for way in sorted(rule.ways))} alone" if rule.ways is not None else ""
    return f"asked about {where}{ways}{only}{who} · {gate}"


def examples(rule: Rule) -> str:
    """A table: the situation, the answer, the sentence a person reads, and what would change it."""
    rows = "\n".join(_row(when, rule.ask(world.gathered_case(rule))) for when, world in given(rule).items())
    return f"| when | answer | it says | what changes it |\n|--|--|--|--|\n{rows}"


def given(rule: Rule) -> made.Examples:
    """The situations that the rule's test file shows."""
    examples: made.Examples = importlib.import_module(f"tests.unit.service.domain.rules.test_{rule.name}").EXAMPLES
    return examples


def _row(when: str, finding: Finding) -> str:
    says = "<br>".join((finding.says, *(f"*{one.source}, {one.answer.word}*: {one.says}" for one in finding.lines)))
    cells = (when, f"**{finding.answer.word}**", says, " ".join(_changes(finding)) or "nothing to change")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _changes(finding: Finding) -> Iterator[str]:
    yield from (f"The plan: {step}" for step in finding.adds)
    if finding.clears:
        yield finding.clears
    if finding.instead not in {None, Way.NONE}:
        yield f"Instead: {finding.instead}."


def differing() -> Iterator[str]:
    """The names of pages that are not what would be written, that are missing, or that belong to no rule."""
    wanted = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    yield from sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def write() -> None:
    """Make the folder what it should be; pages of rules that are gone go as well."""
    FOLDER.mkdir(exist_ok=True)
    wanted = pages()
    for path in FOLDER.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()

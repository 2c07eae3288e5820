"""Reads Python source as a tree, for migrations written in Python: names as imported, literal values, places. Nothing of it is executed or imported."""

import ast
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Mapping
from threading import Lock
from typing import Any, Final

from service.domain.schema.readers.reader import MAX_CODE_CHARACTERS


class UnreadableError(Exception):
    """The source is no Python that can be read; the text is a clause."""


class Unknown:
    """A value that does not stand in the text."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        raise TypeError("an unknown value is neither true nor false")


UNKNOWN: Final = Unknown()
_MAX_SHOWN = 640
_PARSING = Lock()


def parse(text: str) -> ast.Module:
    """The tree of a module; UnreadableError when it cannot be had."""
    if len(text) > MAX_CODE_CHARACTERS:
        raise UnreadableError(f"is too large to be read ({len(text)} characters)")
    try:
        # The parser warns of invalid escapes, on stderr and with the text. The filter is the process's, so that two threads must not change it at once.
        with _PARSING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        raise UnreadableError(f"is no Python that can be read{line}") from None


class Module:
    """A parsed module: what its names mean, and its literal constants."""

    def __init__(self, text: str) -> None:
        self.tree = parse(text)
        self._lines = text.split("\n")
        self._imports = dict(_imports(self.tree))
        self._constants = constants(self.tree.body, self.tree)
        self.calls = calls(self.tree.body, self.tree)
        self.functions = {node.name: node for node in self.tree.body if isinstance(node, ast.FunctionDef)}

    def shown(self, node: ast.AST) -> str:
        """The piece of text that a node stands for, cut where it is long."""
        line, end = getattr(node, "lineno", 1), getattr(node, "end_lineno", None) or 1
        lines = self._lines[line - 1 : min(end, line + 30)]
        return "\n".join(lines)[:_MAX_SHOWN].strip()

    def dotted(self, node: ast.AST) -> str:
        """The full name of a name or attribute, by the imports: `sa.Column` is `sqlalchemy.Column`. Empty for anything else."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self._imports.get(node.id, node.id), *reversed(parts)])

    def constant(self, name: str, default: Any = UNKNOWN) -> Any:
        """A literal that the module assigns to a name exactly once."""
        return self._constants.get(name, default)

    def value(self, node: ast.AST | None, local: Mapping[str, Any] | None = None) -> Any:
        """The value of an expression if it stands in the text, else UNKNOWN."""
        match node:
            case ast.Constant(value=str() | int() | float() | bool() | None as value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return -number
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                values = [self.value(part, local) for part in parts]
                return UNKNOWN if any(value is UNKNOWN for value in values) else values
            case ast.Dict(keys=keys, values=parts):
                pairs = [(self.value(key, local), self.value(part, local)) for key, part in zip(keys, parts, strict=True)]
                if any(value is UNKNOWN for pair in pairs for value in pair) or any(isinstance(key, list | dict) for key, _ in pairs):
                    return UNKNOWN
                return dict(pairs)
            case ast.JoinedStr(values=parts) if all(isinstance(part, ast.Constant) for part in parts):
                return "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                first, second = self.value(left, local), self.value(right, local)
                return first + second if isinstance(first, str) and isinstance(second, str) else UNKNOWN
            case ast.Name(id=name):
                return (local or {}).get(name, self._constants.get(name, UNKNOWN))
            case ast.Call(func=function, args=[argument], keywords=[]) if self.dotted(function) in {"textwrap.dedent", "inspect.cleandoc"}:
                text = self.value(argument, local)
                return textwrap.dedent(text) if isinstance(text, str) else UNKNOWN
            case ast.Call(func=ast.Attribute(value=inner, attr="strip"), args=[], keywords=[]):
                text = self.value(inner, local)
                return text.strip() if isinstance(text, str) else UNKNOWN
            case _:
                return UNKNOWN


def arguments(call: ast.Call) -> tuple[list[ast.expr], dict[str, ast.expr]] | None:
    """The positional and named arguments, None where `*` or `**` makes them unknown."""
    if any(isinstance(one, ast.Starred) for one in call.args) or any(one.arg is None for one in call.keywords):
        return None
    return list(call.args), {one.arg: one.value for one in call.keywords if one.arg is not None}


def constants(body: Iterable[ast.stmt], scope: ast.AST) -> dict[str, Any]:
    """Names that a body assigns a literal to, and that nothing else in the scope assigns."""
    stored, found = _stored(scope), dict[str, Any]()
    for name, expression in assigned(body):
        if stored.get(name) == 1:
            value = _literal(expression)
            if value is not UNKNOWN:
                found[name] = value
    return found


def calls(body: Iterable[ast.stmt], scope: ast.AST) -> dict[str, ast.Call]:
    """Names that a body assigns the result of a call to, and that nothing else in the scope assigns."""
    stored = _stored(scope)
    return {name: expression for name, expression in assigned(body) if isinstance(expression, ast.Call) and stored.get(name) == 1}


def _stored(scope: ast.AST) -> dict[str, int]:
    """How often each name is given a value in a scope; 2 where another scope may do so."""
    stored: dict[str, int] = {}
    for node in ast.walk(scope):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            stored[node.id] = stored.get(node.id, 0) + 1
        elif isinstance(node, ast.arg):
            stored[node.arg] = stored.get(node.arg, 0) + 1
        elif isinstance(node, ast.Global | ast.Nonlocal):
            stored.update(dict.fromkeys(node.names, 2))
    return stored


def assigned(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """(name, expression) of the plain assignments of a body."""
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=expression) | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as expression):
                yield name, expression
            case _:
                pass


def _literal(node: ast.expr) -> Any:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return UNKNOWN
    return list(value) if isinstance(value, tuple | set | frozenset) else value


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Local name -> full name, for imports anywhere in the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0], alias.name.partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                yield alias.asname or alias.name, f"{module}.{alias.name}" if not module.endswith(".") else f"{module}{alias.name}"

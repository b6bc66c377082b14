"""Functions of lib stay small enough to be read at once."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIB = ROOT / "lib"
LINES, PARAMETERS = 50, 5
USE_CASES = {path.stem for path in (ROOT / "actions").glob("*.py")}
"""Functions that take the parameters of an action."""
EXCEPTIONS = {"datastore.set_value"}
"""Functions that may take more: this one is declared as StackStorm declares it."""


def functions():
    """Every function of lib, by module and name."""
    for path in sorted(LIB.rglob("*.py")):
        module = ".".join(path.relative_to(LIB).with_suffix("").parts[1:])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield "%s.%s" % (module, node.name), node


FUNCTIONS = list(functions())


def length(node):
    """Lines from the `def` to the end, docstring included and decorators not."""
    return node.end_lineno - node.lineno + 1


def parameters(node):
    """Names of all parameters but self and cls; `*args` and `**kwargs` are none."""
    given = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
    return [one.arg for one in given if one.arg not in ("self", "cls")]


def test_there_is_something_to_check():
    assert len(FUNCTIONS) > 500
    node, = ast.parse("def f(self, a, /, b, *c, d=1, **e):\n    pass\n").body
    assert (length(node), parameters(node)) == (2, ["a", "b", "d"])


def test_no_function_is_longer_than_fifty_lines():
    assert ["%s has %d lines" % (name, length(node)) for name, node in FUNCTIONS
            if length(node) > LINES] == []


def test_no_function_takes_more_than_five_parameters_but_use_cases():
    assert ["%s(%s)" % (name, ", ".join(parameters(node))) for name, node in FUNCTIONS
            if len(parameters(node)) > PARAMETERS and name not in EXCEPTIONS and
            name.rpartition(".")[2] not in USE_CASES] == []


def test_every_exception_is_still_needed():
    wide = {name for name, node in FUNCTIONS if len(parameters(node)) > PARAMETERS}
    assert EXCEPTIONS <= wide

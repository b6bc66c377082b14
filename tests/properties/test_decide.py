"""The decision over its whole state space, and proof that the walk notices every clause that goes
missing.
"""

from __future__ import annotations

import ast
import random
import types
from pathlib import Path
from typing import Any

import decide_walk
import pytest

from pagerduty_stackflow import decide, fields

FEW = 30


@pytest.fixture(scope="module")
def starts():
    return decide_walk.mixed(decide_walk.starts())


@pytest.fixture(autouse=True)
def plant_fields(monkeypatch):
    """The shipped table has no field that both sides hold as a plain value."""
    monkeypatch.setattr(fields, "VALUES", decide_walk.FIELDS)
    monkeypatch.setattr(decide, "VALUES", decide_walk.FIELDS)
    for field in decide_walk.FIELDS:
        monkeypatch.setitem(fields.BY_NAME, field.name, field)


def test_every_start_ends_where_people_left_it_in_two_rounds(starts, record_property):
    count = decide_walk.walk(decide, starts)
    record_property("situations of the decision walked", count)
    assert count == len(set(starts)) > 50000


class Breaking(ast.NodeTransformer):
    """Breaks one clause of a tree, that of a number; counts them.

    A clause is a yes-or-no, which is fixed to one of both; or what a decision is given by name, a
    part of a sum, or one of several things, which is left out.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self.count = 0
        self.words = ""

    def _break(self, node: ast.AST, words: str) -> bool:
        self.count += 1
        if self.count - 1 != self._number:
            return False
        self.words = "line %d: %s %s" % (node.lineno, ast.unparse(node), words)
        return True

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = [self.visit(one) for one in node.body]
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        return node

    def _fixed(self, node: ast.expr) -> ast.expr:
        for value in (True, False):
            if self._break(node, "is always %s" % value):
                return ast.copy_location(ast.Constant(value), node)
        return self.visit(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        node.test = self._fixed(node.test)
        node.body = [self.visit(one) for one in node.body]
        node.orelse = [self.visit(one) for one in node.orelse]
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        node.test = self._fixed(node.test)
        node.body, node.orelse = self.visit(node.body), self.visit(node.orelse)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        node.values = [self._fixed(one) for one in node.values]
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        is_yes_or_no = isinstance(node.value, (ast.Compare, ast.UnaryOp)) or (
            isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "differs")
        node.value = self._fixed(node.value) if is_yes_or_no else self.visit(node.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if getattr(node.func, "id", getattr(node.func, "attr", "")) in ("Decision", "_replace"):
            node.keywords = [one for one in node.keywords
                             if not self._break(node, "without %s" % one.arg)]
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, (ast.Add, ast.BitOr)):
            for one in (node.left, node.right):
                if self._break(node, "is %s alone" % ast.unparse(one)):
                    return one
        return node

    def visit_Tuple(self, node: Any) -> ast.AST:
        self.generic_visit(node)
        if isinstance(getattr(node, "ctx", ast.Load()), ast.Load) and len(node.elts) > 1:
            node.elts = [one for one in node.elts
                         if not self._break(node, "without %s" % ast.unparse(one))]
        return node

    visit_Set = visit_Tuple

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return node


def mutants():
    """Copies of the decision with one clause broken, and what was broken."""
    source = Path(decide.__file__).read_text()
    breaking, number = Breaking(-1), 0
    breaking.visit(ast.parse(source))
    for number in range(breaking.count):
        one = Breaking(number)
        tree = one.visit(ast.parse(source))
        yield one.words, tree


def is_noticed(tree, starts):
    """Whether the walk fails; what tells comes first from then on, as it often tells again."""
    module = types.ModuleType("pagerduty_stackflow.mutant")
    module.__package__ = "pagerduty_stackflow"
    exec(compile(ast.fix_missing_locations(tree), "mutant", "exec"), vars(module))
    for number, start in enumerate(starts):
        try:
            decide_walk.check(module, start)
        except Exception:
            starts.insert(0, starts.pop(number))
            return True
    return False


def unnoticed(chosen, starts):
    """The clauses whose break the walk does not notice; all that it notices in seconds."""
    starts = list(starts)
    return [words for words, tree in chosen if not is_noticed(tree, starts)]


def test_breaking_a_clause_of_the_decision_makes_the_walk_fail(starts):
    """Some clauses, other ones in each run."""
    assert unnoticed(random.sample(list(mutants()), FEW), starts) == []


@pytest.mark.soak
def test_breaking_any_one_clause_of_the_decision_makes_the_walk_fail(starts, record_property):
    every = list(mutants())
    assert unnoticed(every, starts) == []
    record_property("clauses of the decision broken one at a time, all noticed", len(every))

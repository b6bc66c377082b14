"""The decision over its whole state space, and proof that the walk notices every clause that goes
missing.
"""

from __future__ import annotations

import ast
import random
import types
from pathlib import Path

import decide_walk
import pytest

from pagerduty_stackflow import decide


@pytest.fixture(scope="module")
def starts():
    found = list(decide_walk.starts())
    random.Random(1).shuffle(found)  # one that tells comes early then, whatever was broken
    return found


def test_every_start_ends_where_people_left_it_in_two_rounds(starts, record_property):
    count = decide_walk.walk(decide, starts)
    record_property("situations of the decision walked", count)
    assert count == len(set(starts)) > 50000


def conditions(tree):
    """Every yes-or-no in the decision: tests of if, parts of and/or, and conditional expressions. The
    shipped table has no fields that `_values` would carry.
    """
    for function in tree.body:
        if getattr(function, "name", "") != "_values":
            for node in ast.walk(function):
                if isinstance(node, (ast.If, ast.IfExp)):
                    yield node, "test", None
                elif isinstance(node, ast.BoolOp):
                    for number in range(len(node.values)):
                        yield node, "values", number


def mutants():
    """Copies of the decision with one condition fixed to yes or no."""
    source = Path(decide.__file__).read_text()
    total = len(list(conditions(ast.parse(source))))
    for number in range(total):
        for value in (True, False):
            tree = ast.parse(source)
            node, field, index = list(conditions(tree))[number]
            fixed = ast.copy_location(ast.Constant(value), node)
            if index is None:
                node.test = fixed
            else:
                node.values[index] = fixed
            yield "line %d, part %s, is always %s" % (node.lineno, index, value), tree


def is_noticed(tree, starts):
    module = types.ModuleType("pagerduty_stackflow.mutant")
    module.__package__ = "pagerduty_stackflow"
    exec(compile(ast.fix_missing_locations(tree), "mutant", "exec"), vars(module))
    try:
        decide_walk.walk(module, starts)
    except Exception:
        return True
    return False


@pytest.mark.soak
def test_breaking_any_one_clause_of_the_decision_makes_the_walk_fail(starts):
    unnoticed = [words for words, tree in mutants() if not is_noticed(tree, starts)]
    assert unnoticed == []

"""The merge over its whole state space, and proof that the walk notices every clause that goes
missing.
"""

from __future__ import annotations

import ast
import random
import types
from pathlib import Path

import merge_walk

from pagerduty_stackflow import merge

STARTS = 4 * 4 * 9 * 3 * 5 * 3 * 2 * 3 * 2 * 2 * 2


def test_every_start_reaches_agreement_in_two_rounds_and_writes_what_the_contract_says(
        record_property):
    count = merge_walk.walk(merge, merge_walk.situations(merge))
    record_property("situations of the merge walked", count)
    assert count == STARTS == 311040


def conditions(tree):
    """Every yes-or-no in the merge: tests of if, parts of and/or, and conditional expressions."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.If, ast.IfExp)):
            yield node, "test", None
        elif isinstance(node, ast.BoolOp):
            for number in range(len(node.values)):
                yield node, "values", number


def mutants():
    """Copies of the merge with one condition fixed to yes or no."""
    source = Path(merge.__file__).read_text()
    total = len(list(conditions(ast.parse(source))))
    for number in range(total):
        for value in (True, False):
            tree = ast.parse(source)
            node, field, index = list(conditions(tree))[number]
            fixed = ast.copy_location(ast.Constant(value), node)
            if index is None:
                words = ast.unparse(node.test) if hasattr(ast, "unparse") else ast.dump(node.test)
                node.test = fixed
            else:
                one = node.values[index]
                words = ast.unparse(one) if hasattr(ast, "unparse") else ast.dump(one)
                node.values[index] = fixed
            yield "line %d: %s is always %s" % (node.lineno, words, value), tree


def is_noticed(tree, starts):
    module = types.ModuleType("mutant")
    exec(compile(ast.fix_missing_locations(tree), "mutant", "exec"), vars(module))
    try:
        merge_walk.walk(module, starts)
    except AssertionError:
        return True
    return False


def test_breaking_any_one_clause_of_the_merge_makes_the_walk_fail():
    starts = list(merge_walk.situations(merge))
    random.Random(1).shuffle(starts)  # one that tells comes early then, whatever was broken
    unnoticed = [words for words, tree in mutants() if not is_noticed(tree, starts)]
    assert unnoticed == []

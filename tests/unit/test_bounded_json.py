"""JSON of any depth: decoded up to a limit, refused above it, and not found out by recursion."""

import json
import re

import pytest
from hypothesis import given, strategies

from pagerduty_stackflow.bounded_json import NESTING_LIMIT, loads

VALUES = strategies.recursive(
    strategies.none() | strategies.integers() | strategies.text('[]{}"\\,: x\u2603\ud83d'),
    lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text('[{"'), inner))


@given(VALUES, strategies.booleans())
def test_a_value_comes_back_as_it_was(value, plain):
    text = json.dumps(value, ensure_ascii=plain)
    assert loads(text) == value
    if plain:
        assert loads(text.encode()) == value


@pytest.mark.parametrize("opened, closed", [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_levels_up_to_the_limit_are_decoded_and_far_more_are_not(opened, closed):
    deep = NESTING_LIMIT // len(closed)
    assert loads(opened * deep + "7" + closed * deep)
    for levels in (3 * NESTING_LIMIT, 100000):
        for text in (opened * levels, opened * levels + "7" + closed * levels,
                     opened * levels + "}]" * levels):
            with pytest.raises(ValueError):
                loads(text, decode=lambda _: pytest.fail("decoded"))


@pytest.mark.parametrize("held", ["[" * 5000, "{" * 5000, "]" * 5000, "}[" * 5000, '"[' * 5000,
                                  "\\" + "[" * 5000, "\n[" * 5000])
def test_brackets_in_texts_are_no_levels(held):
    assert loads(json.dumps({"title": held, held: ["after"]})) == {"title": held, held: ["after"]}


@pytest.mark.parametrize("text", [b"\xff", b"", b"[", b'"[', b'"\\', b"]" * 5000, b'{"a": 1]'])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        loads(text)


PIECES = strategies.tuples(
    strategies.sampled_from(["[", "]", "{", "}", "[]", '{"a":', "[[]", '"[",', '"}"', "[{"]),
    strategies.integers(1, 700)).map(lambda piece: piece[0] * piece[1])


@given(strategies.lists(PIECES, max_size=8).map("".join))
def test_what_reaches_the_decoder_is_never_deeper_than_three_times_the_limit(text):
    """Python 3.8 aborts where a collection's callback is what first reaches its limit, 1,000."""
    seen = []
    try:
        loads(text, decode=seen.append)
    except ValueError:
        return
    depth = deepest = 0
    for bracket in re.sub(r"[^][{}]", "", re.sub('"[^"]*"', "", seen[0])):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
        if depth < 0:
            break
    assert deepest <= 3 * NESTING_LIMIT

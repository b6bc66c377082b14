"""JSON of any depth: decoded up to a limit, refused above it, and not found out by recursion."""

import json
import re
import tracemalloc

import pytest
from hypothesis import given, settings, strategies

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


TEXTS = strategies.text('[]{}"\\,: n')


@settings(max_examples=20)
@given(TEXTS)
@pytest.mark.parametrize("opened, closed", [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_levels_up_to_the_limit_are_decoded_and_no_more(opened, closed, text):
    deep, held = NESTING_LIMIT // len(closed), json.dumps(text)
    assert loads(opened * deep + held + closed * deep)
    assert loads("[" + ",".join(3 * [opened * (deep - 1) + held + closed * (deep - 1)]) + "]")
    for levels in (deep + 1, 100000):
        for deeper in (opened * levels, opened * levels + held + closed * levels,
                       opened * levels + "}]" * levels):
            with pytest.raises(ValueError):
                loads(deeper, decode=lambda _: pytest.fail("decoded"))


@pytest.mark.parametrize("held", ['\\"[', "\\\\[", '[","', "[]"])
def test_what_it_takes_to_look_is_a_small_multiple_of_the_text(held):
    text = b'["' + held.encode() * 100000 + b'"]'
    tracemalloc.start()
    try:
        loads(text, decode=lambda _: None)
        assert tracemalloc.get_traced_memory()[1] < 30 * len(text)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("held", ["[" * 5000, "{" * 5000, "]" * 5000, "}[" * 5000, '"[' * 5000,
                                  "\\" + "[" * 5000, "\n[" * 5000])
def test_brackets_in_texts_are_no_levels(held):
    assert loads(json.dumps({"title": held, held: ["after"]})) == {"title": held, held: ["after"]}


@pytest.mark.parametrize("level", ['["]",', '{"}":', '["\\"]",', '["\\\\","]",'])
def test_brackets_in_texts_close_no_levels(level):
    with pytest.raises(ValueError, match="nested too deeply"):
        loads(level * (NESTING_LIMIT + 1), decode=lambda _: pytest.fail("decoded"))


@pytest.mark.parametrize("text", [b"\xff", b"", b"[", b'"[', b'"\\', b"]" * 5000, b'{"a": 1]'])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        loads(text)


PIECES = strategies.tuples(
    strategies.sampled_from(["[", "]", "{", "}", "[]", '{"a":', "[[]", '"[",', '"}"', "[{",
                             '["]",', '{"}":', '"]]",']),
    strategies.integers(1, 700)).map(lambda piece: piece[0] * piece[1])


@given(strategies.lists(PIECES, max_size=8).map("".join))
def test_what_reaches_the_decoder_is_never_deeper_than_the_limit(text):
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
    assert deepest <= NESTING_LIMIT

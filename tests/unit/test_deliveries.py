"""JSON of any depth and with numbers of any size is decoded, or is a ValueError."""

import json

import pytest
from hypothesis import given, strategies

from pagerduty_stackflow.deliveries import BadDelivery, load_object, loads

VALUES = strategies.recursive(
    strategies.none() | strategies.integers() | strategies.text('[]{}"\\,: x\u2603\ud83d'),
    lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text('[{"'), inner))
DEPTHS = (400, 990, 1000, 1010, 5000, 200000)
LEVELS = [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")]


@given(VALUES, strategies.booleans())
def test_a_value_comes_back_as_it_was(value, plain):
    text = json.dumps(value, ensure_ascii=plain)
    assert loads(text) == value
    if plain:
        assert loads(text.encode()) == value


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("opened, closed", LEVELS)
def test_deep_json_is_decoded_or_a_value_error(opened, closed, depth):
    for text in (opened * depth + "1" + closed * depth, opened * depth):
        try:
            assert isinstance(loads(text), (list, dict))
        except ValueError:
            assert depth > 400 or closed not in text


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("opened, closed", LEVELS)
def test_a_deep_delivery_is_bounded_or_bad(opened, closed, depth):
    body = '{"deep": %s1%s}' % (opened * depth, closed * depth)
    try:
        assert json.dumps(load_object(body.encode())).count("{") < 50
    except BadDelivery:
        assert depth > 400


@pytest.mark.parametrize("text", ["9" * 100000, "-" + "9" * 5000, "1e999", "0." + "0" * 100000,
                                  "1e" + "9" * 5000])
def test_a_number_of_any_size_is_decoded_or_a_value_error(text):
    try:
        assert isinstance(loads(text), (int, float))
    except ValueError:
        assert text.strip("-").isdigit()
    assert load_object(b'{"n": %s}' % text.encode())["n"] in (None, 0.0)


@pytest.mark.parametrize("text", [b"\xff", b"", b"[", b'"[', b'"\\', b"]" * 5000, b'{"a": 1]'])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        loads(text)

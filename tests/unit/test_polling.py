"""What keeps a polling sensor going: patience after failures, and the cursor."""

import json
import logging
from datetime import datetime, timedelta, timezone

import pytest
from config_samples import BASE, changed
from transport_site import FakeClock

from pagerduty_stackflow.errors import ApiError
from pagerduty_stackflow.polling import AHEAD, OVERLAP, Cursor, Item, Poller, Polling

NOW = datetime(2026, 1, 5, 10, 0, tzinfo=timezone.utc)


def at(seconds):
    return NOW + timedelta(seconds=seconds)


class Failing(Poller):
    """A poller whose polls fail as long as there is a reason."""

    sensor = "Failing"
    polls = []
    reason = None

    def look(self):
        raise NotImplementedError

    def events_of(self, record_id):
        raise NotImplementedError

    def poll(self):
        self.polls.append(self.pack.clock.monotonic())
        if self.reason:
            raise self.reason


@pytest.mark.parametrize("reason", [ApiError("StackFlow has trouble", "wait", True),
                                    ZeroDivisionError()])
def test_failures_in_a_row_make_the_pauses_longer_and_a_success_ends_them(
        monkeypatch, caplog, reason):
    monkeypatch.setattr(Failing, "polls", [])
    monkeypatch.setattr(Failing, "reason", reason)
    clock = FakeClock()
    polling = Polling(None, BASE, Failing, logging.getLogger("failing"), clock)
    for _ in range(2400):
        polling.poll()
        clock.sleep(1)
    assert Failing.polls == [0, 30, 90, 210, 450, 930, 1530, 2130]
    assert len(caplog.records) == 8
    assert ("StackFlow has trouble" in caplog.text) == isinstance(reason, ApiError)
    Failing.reason = None
    del Failing.polls[:]
    for _ in range(400):
        polling.poll()
        clock.sleep(1)
    assert Failing.polls[-10:] == list(range(2790, 2800))


def test_the_cursor_goes_on_at_the_newest_stamp_and_knows_the_time_before():
    cursor = Cursor(at(0))
    cursor.advance([Item("a", at(10), "x", {}), Item("b", at(100), "y", {}),
                    Item("c", None, "z", {})], at(100) + AHEAD)
    assert (cursor.at, cursor.since) == (at(100), at(100) - OVERLAP)
    assert cursor.seen == {"b": (at(100), "y"), "c": (at(100), "z")}
    cursor.advance([Item("d", at(50), "x", {})], at(100) + AHEAD)
    assert cursor.at == at(100)
    assert set(cursor.seen) == {"b", "c", "d"}


def test_a_stamp_that_is_too_far_ahead_is_remembered_and_moves_nothing():
    cursor = Cursor(at(0))
    ahead = at(0) + AHEAD
    cursor.advance([Item("a", ahead, "x", {}),
                    Item("b", ahead + timedelta(seconds=1), "y", {})], ahead)
    assert cursor.at == ahead
    assert set(cursor.seen) == {"a", "b"}


def test_a_cursor_is_read_as_it_was_stored():
    cursor = Cursor(at(0), again={"INC0001001": "2026-01-05T10:00:00Z"})
    cursor.advance([Item("a", at(10), "x", {})], at(100))
    assert Cursor.from_text(cursor.to_text(), at(-1)) == cursor


def test_a_cursor_that_an_earlier_version_stored_with_an_sla_clock_is_read():
    cursor = Cursor(at(0), again={"INC0001001": "2026-01-05T10:00:00Z"})
    stored = dict(json.loads(cursor.to_text()), sla={"INC0001002": {"told": {}}})
    assert Cursor.from_text(json.dumps(stored), at(-1)) == cursor


def test_what_the_config_warns_of_is_in_the_log(caplog):
    config = changed(("escalation.max_levels", 2), ("sla.targets", {}))
    Polling(None, config, Failing, logging.getLogger("failing"), FakeClock())
    assert [(one.levelname, one.getMessage().split(": is")[0]) for one in caplog.records] == [
        ("WARNING", "sla.targets"), ("WARNING", "escalation.max_levels")]


@pytest.mark.parametrize("text", [None, "", "{", "[]", "5", '"x"', '{"at": null}',
                                  pytest.param("[" * 100000, id="deep"),
                                  '{"seen": [], "again": 5, "sla": "x"}',
                                  '{"seen": {"a": 5, "b": [1, 2, 3], "c": [null, "x"]}}'])
def test_what_is_no_cursor_begins_where_it_is_told_to(text):
    assert Cursor.from_text(text, at(5)) == Cursor(at(5))

"""What the pack remembers: whole, only as long as needed, and never guessed from silence."""

import json

import pytest
from hypothesis import given, strategies as st

from dev.simulators.base import VirtualClock
from pagerduty_stackflow.datastore import EXPIRY, PAGE, PREFIX, Datastore
from pagerduty_stackflow.errors import DatastoreError
from pagerduty_stackflow.fields import PAGERDUTY, STACKFLOW
from pagerduty_stackflow.links import WAITING_EXPIRY, Expected, Link, Links, decode
from world import MemoryStore

OPENED = Link("INC1", pagerduty_id="Q0ABCDEF", dedup_key="stackflow:acme:INC1",
              key_fingerprint="f" * 16, here={"state": "new"},
              there={"state": "acknowledged", "place": "P1"})
CLOSED = OPENED._replace(here={"state": "resolved"}, there={"state": "resolved"})
AT = "2026-01-05T10:00:00.000000Z"


class Site:
    def __init__(self):
        self.clock = VirtualClock()
        self.store = MemoryStore(self.clock)
        self.links = Links(Datastore(self.store))

    def put(self, name, value):
        self.store.set_value(PREFIX + name, value)


@pytest.fixture
def site():
    return Site()


def links_of():
    """Links with anything in their fields."""
    parts = {name: st.none() | st.text(min_size=1) for name in Link._fields}
    values = st.dictionaries(st.text(), st.text())
    parts["here"] = parts["there"] = values
    parts["expects"] = st.none() | st.builds(Expected, st.text(), values, st.text())
    parts["number"] = st.just("INC1")
    parts["last_resort"], parts["waiting"] = st.none(), st.just(False)  # they have their own keys
    return st.builds(Link, **parts)


@given(links_of())
def test_a_link_is_read_as_it_was_written(link):
    site = Site()
    site.links.write(link)
    assert site.links.read("INC1") == link
    assert site.links.read("INC2") is None


def test_neighbours_with_the_same_beginning_are_not_mistaken(site):
    for number in ("INC10", "INC1", "INC11"):
        site.links.write(OPENED._replace(number=number))
    site.links.wait("INC10")
    assert site.links.read("INC1") == OPENED
    assert site.links.read("INC10").number == "INC10" and site.links.read("INC10").waiting
    assert site.links.read("INC") is None
    site.links.join("Q0ABCDEF1", "INC7")
    assert site.links.numbers("Q0ABCDEF") == []


@pytest.mark.parametrize("reverse", [False, True])
def test_many_neighbours_hide_nothing(site, monkeypatch, reverse):
    for at in range(PAGE * 2 + 50):
        site.links.write(OPENED._replace(number="INC1%04d" % at))
        site.links.join("Q0ABCDEF%04d" % at, "INC9")
    site.links.write(OPENED)
    site.links.wait("INC1")
    site.links.join("Q0ABCDEF", "INC1")
    plain = site.store.list_values

    def other_order(local=True, prefix=None, limit=None, offset=0):
        assert limit <= PAGE
        rows, at = [], 0
        while True:
            found = plain(local, prefix, PAGE, at)
            rows, at = rows + found, at + PAGE
            if len(found) < PAGE:
                return rows[::-1][offset:offset + limit]

    if reverse:
        monkeypatch.setattr(site.store, "list_values", other_order)
    assert site.links.read("INC1") == OPENED._replace(waiting=True)
    assert site.links.numbers("Q0ABCDEF") == ["INC1"]


def test_one_look_is_one_call_of_the_datastore(site):
    site.links.write(OPENED)
    before = site.store.calls
    site.links.read("INC1")
    assert site.store.calls == before + 1


@pytest.mark.parametrize("junk", [
    "", "x", "null", "[]", "7", "\"x\"", "{", "[" * 100000, "{\"number\": 7}",
    "{\"stackflow\": \"sleeping\"}", "{\"pagerduty\": \"merged\"}", "{\"stackflow\": []}",
    "{\"pagerduty_id\": 7}", "{\"moved\": \"yes\"}", "{\"moved\": 1}", "{\"seen\": {}}",
    "{\"dedup_key\": true}", "{}", "{\"version\": 1, \"pagerduty_id\": 7}",
    "{\"version\": 1, \"here\": [1]}", "{\"version\": 1, \"here\": {\"state\": 7}}",
    "{\"version\": 1, \"there\": \"x\"}", "{\"version\": 1, \"expects\": 7}",
    "{\"version\": 1, \"expects\": {\"side\": \"pagerduty\"}}"])
def test_a_value_that_somebody_spoilt_counts_as_lost(site, junk):
    site.put("link.INC1", junk)
    assert site.links.read("INC1") is None


@pytest.mark.parametrize("stored", [
    "{\"version\": 1}", "{\"version\": 1, \"future\": 1}", "{\"version\": 1, \"number\": \"INC7\"}",
    "{\"version\": 1, \"pagerduty_id\": null, \"here\": null, \"expects\": null}"])
def test_fields_that_are_absent_null_or_unknown_do_not_spoil_a_link(site, stored):
    site.put("link.INC1", stored)
    assert site.links.read("INC1") == Link("INC1")


PLACES = {"place": "Platform", "acknowledgement": "", "at": AT}


@pytest.mark.parametrize("stored, link", [
    ({"stackflow": "open", "pagerduty": "acknowledged", "group": "Platform", "service_id": "P1",
      "stackflow_at": AT, "dedup_key": "k", "key_fingerprint": "f", "sent_at": AT},
     Link("INC1", dedup_key="k", key_fingerprint="f", here=dict(PLACES, state="new"),
          there={"state": "triggered", "place": "P1"},
          expects=Expected(PAGERDUTY, {"state": "acknowledged"}, AT))),
    ({"stackflow": "acknowledged", "pagerduty": "open", "assignee": "jane@example.com",
      "pagerduty_id": "Q0", "rest_only": True, "key_fingerprint": "f"},
     Link("INC1", "Q0", here={"state": "new", "acknowledgement": "jane@example.com"},
          there={"state": "triggered"})),
    ({"stackflow": "resolved", "pagerduty": "resolved", "dedup_key": "k", "sent_at": AT},
     Link("INC1", dedup_key="k", here={"state": "resolved", "acknowledgement": ""},
          there={"state": "triggered"}, expects=Expected(PAGERDUTY, {"state": "resolved"}, AT))),
    ({"stackflow": "open", "pagerduty": "open", "moving": "P2", "moved": True, "sent_at": AT},
     Link("INC1", here={"state": "new", "acknowledgement": ""}, there={"state": "triggered"},
          expects=Expected(PAGERDUTY, {"place": "P2"}, AT))),
    ({"stackflow": "open", "pagerduty": "resolved", "writing": "resolved", "rest_only": True},
     Link("INC1", here={"state": "new", "acknowledgement": ""}, there={"state": "resolved"},
          expects=Expected(STACKFLOW, {"state": "resolved"}, ""))),
    ({"stackflow": "resolved", "pagerduty": "resolved", "pagerduty_id": "Q0", "rest_only": True,
      "replaced_by": "INC2"},
     Link("INC1", "Q0", here={"state": "resolved", "acknowledgement": ""},
          there={"state": "resolved"}, successor="INC2")),
    ({"stackflow": "open", "pagerduty": "open", "pagerduty_id": "Q0", "shared": True},
     Link("INC1", "Q0", here={"state": "new", "acknowledgement": ""},
          there={"state": "triggered"}, target="Q0"))])
def test_a_link_of_the_first_version_counts_as_seen(site, stored, link):
    site.put("link.INC1", json.dumps(stored))
    assert site.links.read("INC1") == link


def test_spoilt_numbers_of_an_incident_are_passed_over(site):
    site.put("pagerduty.Q0ABCDEF", "INC1/../x")
    site.put("pagerduty.Q0ABCDEF.INC3", "INC3")
    site.put("pagerduty.Q0ABCDEF.x", "")
    assert site.links.numbers("Q0ABCDEF") == ["INC3"]


def test_an_incidents_own_number_comes_before_those_that_merges_brought(site):
    site.links.join("Q0ABCDEF", "INC1", True)
    site.links.join("Q0ABCDEF", "INC2", True)
    assert site.links.numbers("Q0ABCDEF") == ["INC1", "INC2"]
    assert site.links.index("Q0ABCDEF")[:2] == (None, ["INC1", "INC2"])
    site.links.join("Q0ABCDEF", "INC3")
    site.links.join("Q0ABCDEF", "INC3", True)
    assert site.links.numbers("Q0ABCDEF") == ["INC3", "INC1", "INC2"]
    assert site.links.index("Q0ABCDEF").own == "INC3"


def test_what_is_known_of_a_pair_expires_90_days_after_both_sides_closed(site):
    site.links.join("Q0ABCDEF", "INC1")
    site.links.write(OPENED)
    site.clock.advance(10 * EXPIRY)
    assert site.links.read("INC1") == OPENED and site.links.numbers("Q0ABCDEF") == ["INC1"]
    site.links.write(CLOSED)
    site.clock.advance(EXPIRY - 1)
    assert site.links.read("INC1") == CLOSED and site.links.numbers("Q0ABCDEF") == ["INC1"]
    site.clock.advance(2)
    assert site.links.read("INC1") is None and site.links.numbers("Q0ABCDEF") == []


@pytest.mark.parametrize("target", [None, "Q0ABCDEF", "Q0TARGET"])
def test_the_entry_that_leads_to_a_closed_pair_expires_with_it(site, target):
    link = CLOSED._replace(target=target)
    site.links.write(link)
    assert site.links.numbers(link.incident_id) == ["INC1"]
    assert site.links.index(link.incident_id).own == (None if target == "Q0TARGET" else "INC1")
    site.clock.advance(EXPIRY + 1)
    assert site.links.numbers(link.incident_id) == []


@pytest.mark.parametrize("here, there, side, state, closed", [
    ("resolved", "triggered", PAGERDUTY, "resolved", True),
    ("new", "resolved", PAGERDUTY, "resolved", False),
    ("resolved", "resolved", PAGERDUTY, "triggered", False),
    ("resolved", "resolved", STACKFLOW, "in_progress", False)])
def test_a_pair_is_closed_by_what_both_sides_show_once_the_expected_write_is_seen(
        here, there, side, state, closed):
    link = Link("INC1", here={"state": here}, there={"state": there},
                expects=Expected(side, {"state": state}, AT))
    assert link.closed is closed


def test_a_write_that_failed_leaves_the_link_as_it_was(site):
    site.links.write(OPENED._replace(expects=Expected(PAGERDUTY, {"state": "resolved"}, AT)))
    site.links.restore("INC1", OPENED)
    assert site.links.read("INC1") == OPENED
    site.links.restore("INC1", None)
    assert site.links.read("INC1") is None


def test_a_pair_that_is_opened_again_does_not_expire(site):
    site.links.write(CLOSED)
    site.links.write(OPENED)
    site.clock.advance(10 * EXPIRY)
    assert site.links.read("INC1") == OPENED


def test_a_change_waits_for_its_pair_for_a_while(site):
    site.links.wait("INC1")
    assert site.links.read("INC1") is None
    site.links.write(OPENED)
    assert site.links.read("INC1").waiting
    site.links.stop_waiting("INC1")
    site.links.stop_waiting("INC1")
    assert not site.links.read("INC1").waiting
    site.links.wait("INC1")
    site.clock.advance(WAITING_EXPIRY + 1)
    assert not site.links.read("INC1").waiting


def test_all_links_and_all_numbers_are_listed_whatever_else_is_stored(site):
    many = [OPENED._replace(number="INC%d" % at) for at in range(250)]
    for link in many:
        site.links.write(link)
        site.links.join("Q0ABC%d" % int(link.number[3:]), link.number)
    site.links.join("Q0ABC7", "INC9", True)
    site.links.wait("INC7")
    for name, value in (("link.INC8", "{"), ("link.INC7.note.x", "1"), ("pagerduty.Q0.note.x", "1"),
                        ("link.", "{}"), ("linked", "{}")):
        site.put(name, value)
    rows = list(site.links.every())
    found = {number: decode(number, text) for number, what, text in rows if not what}
    assert found.pop("INC8") is None and len(found) == 249
    assert all(found[link.number] == link for link in many if link.number != "INC8")
    assert {row for row in rows if row[1]} == {("INC7", "waiting", "1"), ("INC7", "note.x", "1")}
    numbers = list(site.links.every_number())
    assert len(numbers) == 251 and ("Q0ABC7", "INC9") in numbers and ("Q0ABC7", "INC7") in numbers


CALLS = [("read", "INC1"), ("write", OPENED), ("write", CLOSED), ("wait", "INC1"),
         ("stop_waiting", "INC1"), ("numbers", "Q0ABCDEF"), ("join", "Q0ABCDEF", "INC1"),
         ("index", "Q0ABCDEF"), ("restore", "INC1", OPENED),
         ("restore", "INC1", None), ("read_with_notes", "INC1"),
         ("remember_last_resort", "INC1", "f" * 16),
         ("forget_last_resort", "INC1"), ("every",), ("every_number",),
         ("announce", "Q0ABCDEF")]


@pytest.mark.parametrize("name, given", [(call[0], call[1:]) for call in CALLS])
def test_a_datastore_that_does_not_answer_is_an_error_in_every_method(site, name, given):
    site.store.unreachable = True
    with pytest.raises(DatastoreError) as caught:
        list(getattr(site.links, name)(*given) or ())
    assert caught.value.retryable and "st2api" in caught.value.hint


def test_every_method_is_tried_without_a_datastore():
    public = {name for name in vars(Links) if not name.startswith("_")}
    assert public == {call[0] for call in CALLS}


def test_every_name_can_be_a_key_of_the_datastore(site):
    site.links.write(CLOSED)
    site.links.wait("INC1")
    site.links.join("Q0ABCDEF", "INC1", True)
    site.links.remember_last_resort("INC1", "f" * 16)
    assert len(site.store.values) == 5
    for name in site.store.values:
        assert name.startswith(PREFIX) and not set(name) - set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-")


def test_the_alert_of_last_resort_is_remembered_whoever_writes_the_link(site):
    site.links.remember_last_resort("INC1", "e" * 16)
    assert site.links.read("INC1") is None
    site.links.write(OPENED)
    read = site.links.read("INC1")
    assert read == OPENED._replace(last_resort="e" * 16)
    site.links.write(OPENED._replace(unseen="up"))  # by a run that does not know of it
    assert site.links.read("INC1").last_resort == "e" * 16
    site.links.forget_last_resort("INC1")
    site.links.forget_last_resort("INC1")
    site.links.write(read)
    assert site.links.read("INC1") == OPENED
    assert "last_resort" not in site.store.values[PREFIX + "link.INC1"][0]

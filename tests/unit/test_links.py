"""What the pack remembers: whole, only as long as needed, and never guessed from silence."""


import pytest
from hypothesis import given, strategies as st

from dev.simulators.base import VirtualClock
from pagerduty_stackflow.errors import DatastoreError
from pagerduty_stackflow.incidents import note_digest
from pagerduty_stackflow.links import (EXPIRY, FLAG_EXPIRY, PAGE, PREFIX, STATES, WAITING_EXPIRY,
                                       WRITTEN_EXPIRY, Link, Links, Unwritten, decode)
from pagerduty_stackflow.merge import ACKNOWLEDGED, OPEN, RESOLVED
from world import MemoryStore

OPENED = Link("INC1", pagerduty_id="Q0ABCDEF", dedup_key="stackflow:acme:INC1", service_id="P1",
              key_fingerprint="f" * 16, stackflow=OPEN, pagerduty=ACKNOWLEDGED)
POLICY = "P1 Response: Größe {{ 1 }}"
CLOSED = OPENED._replace(stackflow=RESOLVED, pagerduty=RESOLVED)


class Site:
    def __init__(self):
        self.clock = VirtualClock()
        self.store = MemoryStore(self.clock)
        self.links = Links(self.store)

    def put(self, name, value):
        self.store.set_value(PREFIX + name, value)


@pytest.fixture
def site():
    return Site()


def links_of():
    """Links with anything in their fields."""
    parts = {}
    for name in Link._fields:
        if isinstance(Link._field_defaults.get(name), bool):
            parts[name] = st.booleans()
        elif name in ("stackflow", "pagerduty"):
            parts[name] = st.sampled_from(STATES)
        else:
            parts[name] = st.none() | st.text(min_size=1)
    parts["number"] = st.just("INC1")
    parts["last_resort"] = st.none()  # it has a key of its own
    return st.builds(Link, **parts)


@given(links_of())
def test_a_link_is_read_as_it_was_written(link):
    site = Site()
    site.links.write(link)
    assert site.links.read("INC1") == (link, False)
    assert site.links.read("INC2") == (None, False)


def test_neighbours_with_the_same_beginning_are_not_mistaken(site):
    for number in ("INC10", "INC1", "INC11"):
        site.links.write(OPENED._replace(number=number))
    site.links.wait("INC10")
    assert site.links.read("INC1") == (OPENED, False)
    assert site.links.read("INC10")[0].number == "INC10" and site.links.read("INC10")[1]
    assert site.links.read("INC") == (None, False)
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
    assert site.links.read("INC1") == (OPENED, True)
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
    "{\"dedup_key\": true}"])
def test_a_value_that_somebody_spoilt_counts_as_lost(site, junk):
    site.put("link.INC1", junk)
    assert site.links.read("INC1") == (None, False)


@pytest.mark.parametrize("stored", [
    "{}", "{\"future\": 1}", "{\"number\": \"INC7\"}", "{\"pagerduty_id\": null, \"moved\": null}"])
def test_fields_that_are_absent_null_or_unknown_do_not_spoil_a_link(site, stored):
    site.put("link.INC1", stored)
    assert site.links.read("INC1")[0] == Link("INC1")


def test_spoilt_numbers_of_an_incident_are_passed_over(site):
    site.put("pagerduty.Q0ABCDEF", "INC1/../x")
    site.put("pagerduty.Q0ABCDEF.INC3", "INC3")
    site.put("pagerduty.Q0ABCDEF.x", "")
    assert site.links.numbers("Q0ABCDEF") == ["INC3"]


def test_an_incidents_own_number_comes_before_those_that_merges_brought(site):
    site.links.merge_into("Q0ABCDEF", "INC1")
    site.links.merge_into("Q0ABCDEF", "INC2")
    assert site.links.numbers("Q0ABCDEF") == ["INC1", "INC2"]
    site.links.join("Q0ABCDEF", "INC3")
    site.links.merge_into("Q0ABCDEF", "INC3")
    assert site.links.numbers("Q0ABCDEF") == ["INC3", "INC1", "INC2"]


def test_what_is_known_of_a_pair_expires_90_days_after_both_sides_closed(site):
    site.links.join("Q0ABCDEF", "INC1")
    site.links.write(OPENED)
    site.clock.advance(10 * EXPIRY)
    assert site.links.read("INC1")[0] == OPENED and site.links.numbers("Q0ABCDEF") == ["INC1"]
    site.links.write(CLOSED)
    site.clock.advance(EXPIRY - 1)
    assert site.links.read("INC1")[0] == CLOSED and site.links.numbers("Q0ABCDEF") == ["INC1"]
    site.clock.advance(2)
    assert site.links.read("INC1")[0] is None and site.links.numbers("Q0ABCDEF") == []


def test_a_pair_that_is_opened_again_does_not_expire(site):
    site.links.write(CLOSED)
    site.links.write(OPENED)
    site.clock.advance(10 * EXPIRY)
    assert site.links.read("INC1")[0] == OPENED


def test_a_change_waits_for_its_pair_for_a_while(site):
    site.links.wait("INC1")
    assert site.links.read("INC1") == (None, True)
    site.links.stop_waiting("INC1")
    site.links.stop_waiting("INC1")
    assert site.links.read("INC1") == (None, False)
    site.links.wait("INC1")
    site.clock.advance(WAITING_EXPIRY + 1)
    assert site.links.read("INC1") == (None, False)


def test_the_first_run_is_remembered(site):
    assert site.links.start() is None
    first = site.links.ensure_start(site.clock)
    site.clock.advance(3600)
    assert site.links.ensure_start(site.clock) == first == site.links.start()
    assert first == "2026-01-05T10:00:00.000000Z"


@pytest.mark.parametrize("incident", ["INC1", "Q0ABCDEF"])
def test_what_the_pack_wrote_on_an_incident_is_known_for_a_week(site, incident):
    def written():
        return (site.links.read_with_notes(incident)[2] if incident == "INC1" else
                site.links.numbers_with_notes(incident)[1])

    site.links.write(CLOSED)
    site.links.join("Q0ABCDEF", "INC1")
    pair = site.links.read("INC1"), site.links.numbers("Q0ABCDEF")
    site.links.write_note(incident, "Taken\n by Jane ", site.clock.now())
    site.links.write_note(incident + "0", "another", site.clock.now())
    assert written() == {note_digest("Taken by Jane"): "2026-01-05T10:00:00.000000Z"}
    assert (site.links.read("INC1"), site.links.numbers("Q0ABCDEF")) == pair
    site.clock.advance(WRITTEN_EXPIRY + 1)
    assert written() == {}


def test_the_flags_of_a_note_are_those_of_runs_that_still_may_copy_it(site):
    site.links.raise_flag("x", "2")
    site.clock.advance(1)
    site.links.raise_flag("x", "1")
    assert site.links.note("x") == (False, ["1", "2"])
    site.clock.advance(FLAG_EXPIRY - 0.5)
    assert site.links.note("x") == (False, ["1"])
    site.links.lower_flag("x", "1")
    site.links.finish_note("x")
    assert site.links.note("x") == (True, [])


def test_all_links_and_all_numbers_are_listed_whatever_else_is_stored(site):
    many = [OPENED._replace(number="INC%d" % at) for at in range(250)]
    for link in many:
        site.links.write(link)
        site.links.join("Q0ABC%d" % int(link.number[3:]), link.number)
    site.links.merge_into("Q0ABC7", "INC9")
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


def test_progress_is_kept_and_anything_else_counts_as_none(site):
    assert site.links.progress() == {}
    site.links.keep_progress({"place": [1, "x"]})
    assert site.links.progress() == {"place": [1, "x"]}
    for value in ("", "{", "[]", "7", "null", "[" * 100000):
        site.put("reconcile", value)
        assert site.links.progress() == {}


def test_a_store_for_a_dry_run_is_read_and_never_written(site):
    site.links.write(OPENED)
    before = dict(site.store.values)
    dry = Links(Unwritten(site.store))
    dry.write(CLOSED)
    dry.join("Q0ABCDEF", "INC1")
    dry.wait("INC1")
    dry.stop_waiting("INC1")
    dry.ensure_start(site.clock)
    assert site.store.values == before
    assert dry.read(OPENED.number)[0] == OPENED


def calls():
    clock = VirtualClock()
    return [("read", "INC1"), ("write", OPENED), ("write", CLOSED), ("wait", "INC1"),
            ("stop_waiting", "INC1"), ("numbers", "Q0ABCDEF"), ("join", "Q0ABCDEF", "INC1"),
            ("merge_into", "Q0ABCDEF", "INC1"), ("start",), ("ensure_start", clock),
            ("last_ping",), ("webhook_secret_keys",), ("polled_by",), ("read_with_notes", "INC1"),
            ("numbers_with_notes", "Q0ABCDEF"), ("write_note", "INC1", "words", clock.now()),
            ("note", "x"), ("finish_note", "x"), ("raise_flag", "x", "run"),
            ("lower_flag", "x", "run"), ("remember_last_resort", "INC1", "f" * 16),
            ("forget_last_resort", "INC1"), ("escalation", "INC1", POLICY), ("escalations",),
            ("write_escalation", "INC1", POLICY, "{}"),
            ("recover", "INC1", POLICY, "2026-01-05T10:00:00Z"), ("every",), ("every_number",),
            ("progress",), ("keep_progress", {}), ("cursor", "Sensor"),
            ("move_cursor", "Sensor", "{}")]


@pytest.mark.parametrize("name, given", [(call[0], call[1:]) for call in calls()])
def test_a_datastore_that_does_not_answer_is_an_error_in_every_method(site, name, given):
    site.store.unreachable = True
    with pytest.raises(DatastoreError) as caught:
        list(getattr(site.links, name)(*given) or ())
    assert caught.value.retryable and "st2api" in caught.value.hint


def test_every_method_is_tried_without_a_datastore():
    public = {name for name in vars(Links) if not name.startswith("_")}
    assert public == {call[0] for call in calls()}


def test_every_name_can_be_a_key_of_the_datastore(site):
    site.links.write(CLOSED)
    site.links.wait("INC1")
    site.links.merge_into("Q0ABCDEF", "INC1")
    site.links.ensure_start(site.clock)
    site.links.write_note("INC1", "<words> {{ }}", site.clock.now())
    site.links.raise_flag(note_digest("x"), "0123abcd")
    site.links.remember_last_resort("INC1", "f" * 16)
    site.links.write_escalation("INC1", POLICY, "{}")
    site.links.recover("INC1", POLICY, "2026-01-05T10:00:00Z")
    assert len(site.store.values) == 10
    for name in site.store.values:
        assert name.startswith(PREFIX) and not set(name) - set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-")


def test_the_alert_of_last_resort_is_remembered_whoever_writes_the_link(site):
    site.links.remember_last_resort("INC1", "e" * 16)
    assert site.links.read("INC1") == (None, False)
    site.links.write(OPENED)
    read, _ = site.links.read("INC1")
    assert read == OPENED._replace(last_resort="e" * 16)
    site.links.write(OPENED._replace(seen=True))  # by a run that does not know of it
    assert site.links.read("INC1")[0].last_resort == "e" * 16
    site.links.forget_last_resort("INC1")
    site.links.forget_last_resort("INC1")
    site.links.write(read)
    assert site.links.read("INC1") == (OPENED, False)
    assert "last_resort" not in site.store.values[PREFIX + "link.INC1"][0]


def test_escalations_are_kept_apart_by_number_and_policy(site):
    for number, policy in (("INC1", POLICY), ("INC1", "P2"), ("INC12", POLICY)):
        site.links.write_escalation(number, policy, number + policy)
    site.links.recover("INC1", "P2", "2026-01-05T10:00:00Z")
    assert site.links.escalation("INC1", POLICY) == ("INC1" + POLICY, None)
    assert site.links.escalation("INC1", "P2") == ("INC1P2", "2026-01-05T10:00:00Z")
    assert site.links.escalation("INC12", "P2") == (None, None)
    assert sorted(site.links.escalations()) == sorted(["INC1" + POLICY, "INC1P2", "INC12" + POLICY])
    site.clock.advance(EXPIRY + 1)
    assert site.links.escalations() == []


def test_all_escalations_are_found_however_many_there_are(site, monkeypatch):
    monkeypatch.setattr("pagerduty_stackflow.links.NEIGHBOURS", PAGE)
    for at in range(PAGE * 2 + 50):
        site.links.write_escalation("INC%d" % at, "P", "%d" % at)
    assert len(site.links.escalations()) == PAGE * 2 + 50


@pytest.mark.parametrize("times, kept", [
    (["10:00:00Z", "10:05:00Z"], "10:05:00Z"), (["10:05:00Z", "10:00:00Z"], "10:05:00Z"),
    (["10:05:00Z", "11:05:00+01:00"], "10:05:00Z"), (["10:05:00Z", "None"], "10:05:00Z")])
def test_the_latest_recovery_is_kept_in_whatever_order_they_come(site, times, kept):
    for time in times:
        site.links.recover("INC1", POLICY, "2026-01-05T" + time)
    assert site.links.escalation("INC1", POLICY) == (None, "2026-01-05T" + kept)

"""Which service pages a group, and what is said where none does."""

import pytest

from config_samples import changed
from pagerduty_stackflow.errors import RoutingError
from pagerduty_stackflow.routing import (
    entry_of_service, find_route, priority_for, route_for_opening, severity, unmapped_group)
from pagerduty_stackflow.settings import load

ENTRIES = [("P1", "Platform Engineering", "api"), ("P2", "Platform Engineering", "network"),
           ("P3", "Platform Engineering", None), ("P4", "Database Reliability", "database"),
           ("P5", "Database Reliability", "cache"), ("P6", "Stra\u00dfe", None)]


def settings(entries=ENTRIES, **more):
    mapping = [{"pagerduty_service_id": service, "pagerduty_service_name": "Service " + service,
                "stackflow_assignment_group": group, "stackflow_category": category,
                "integration_key": "key of " + service} for service, group, category in entries]
    return load(changed(("service_mapping", mapping), *more.items()))


def service_of(group, category, **more):
    route = find_route(settings(**more), group, category)
    return route and route.mapping.service_id


@pytest.mark.parametrize("group, category, service", [
    ("Platform Engineering", "api", "P1"), ("Platform Engineering", "network", "P2"),
    ("Database Reliability", "cache", "P5"),
    # the group alone: an entry without category, else the first
    ("Platform Engineering", "storage", "P3"), ("Platform Engineering", None, "P3"),
    ("Platform Engineering", "", "P3"), ("Database Reliability", "storage", "P4"),
    ("Database Reliability", None, "P4"),
    # case and space
    (" platform ENGINEERING ", "API ", "P1"), ("STRASSE", None, "P6"),
    # none
    ("Platform", "api", None), ("", None, None), (None, "api", None), ("  ", "database", None)])
def test_the_exact_pair_then_the_group_alone(group, category, service):
    assert service_of(group, category) == service


def test_the_reason_says_what_decided():
    reasons = [find_route(settings(), "Platform Engineering", category).reason
               for category in ("api", "storage")]
    assert reasons == ["group 'Platform Engineering' and category 'api'",
                       "group 'Platform Engineering' alone"]


def test_the_default_opens_for_groups_without_an_entry():
    chosen = settings(default_pagerduty_service_id="P4")
    route = route_for_opening(chosen, "Nobody", "api")
    assert route.mapping.service_id == "P4"
    assert "default" in route.reason and "Nobody" in route.reason
    assert route_for_opening(chosen, "Platform Engineering", "api").mapping.service_id == "P1"
    assert find_route(chosen, "Nobody", "api") is None


@pytest.mark.parametrize("group, nearest", [
    ("Platfrom Enginering", "nearest: 'Platform Engineering'"),
    ("DATABASE", "nearest: 'Database Reliability'"), ("Strase", "Stra\u00dfe"),
    ("Nobody At All", "'Database Reliability', 'Platform Engineering', 'Stra\u00dfe'")])
def test_where_nobody_would_be_paged_the_nearest_groups_are_named(group, nearest):
    with pytest.raises(RoutingError) as caught:
        route_for_opening(settings(), group, "api")
    assert repr(group) in caught.value.message and nearest in caught.value.message
    assert "default_pagerduty_service_id" in caught.value.hint and "key of" not in str(caught.value)


@pytest.mark.parametrize("group", [None, "", " "])
def test_an_incident_without_a_group_is_told_so_in_place_of_an_empty_name(group):
    with pytest.raises(RoutingError) as caught:
        route_for_opening(settings(), group, "api")
    assert caught.value.message == "there is no assignment group, so nobody would be paged"
    assert "default_pagerduty_service_id" in caught.value.hint


def test_three_names_at_most():
    entries = [("P%d" % at, "Group %d" % at, None) for at in range(9)]
    assert unmapped_group(settings(entries), "Group").message.count("'Group ") == 3


def test_the_entry_of_a_service_is_its_first():
    chosen = settings(ENTRIES + [("P1", "Other", None)])
    assert entry_of_service(chosen, "P1").assignment_group == "Platform Engineering"
    assert entry_of_service(chosen, "P0") is None and entry_of_service(chosen, None) is None


def test_severity_is_by_the_table_and_too_loud_rather_than_silent():
    chosen = settings()
    for priority, expected in (("P1", "critical"), ("P2", "error"), ("P3", "warning"),
                               ("P4", "info"), ("P5", "critical"), ("", "critical"),
                               (None, "critical")):
        assert severity(chosen, priority) == expected
    assert severity(settings(severity_mapping={"P2": "info"}), "P2") == "info"


@pytest.mark.parametrize("name, urgency, priority", [
    ("P1", "low", "P1"), (" p3 ", "high", "P3"), ("Sev-1", "high", "P2"), (None, "low", "P4"),
    (None, None, "P2"), ("", "unheard", "P2")])
def test_priority_of_what_is_born_in_pagerduty(name, urgency, priority):
    assert priority_for(settings(), name, urgency) == priority

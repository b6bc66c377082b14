"""300 changes by people on 100 incidents within 10 seconds: four runners, and two webhook listeners
that both receive every delivery.
"""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest

from dev.site import CASEY, DATABASE, PLATFORM, LocalSite, free_port, wait_for

SECONDS = 10
"""Within which people make 300 changes."""
PATIENCE = 1800
EXECUTIONS = 1.1
"""For each change by a person, at most."""
DONE = ("resolved", "cancelled")


class TwoListeners(LocalSite):
    """A local site whose second listener has webhook subscriptions of its own."""

    def __init__(self):
        super().__init__()
        self.second_port = free_port()
        url = "http://127.0.0.1:%d/webhooks/" % self.second_port
        secret = self.pagerduty.subscribe(url + "pagerduty")[1]
        self.platform_config["pagerduty"]["webhook_secrets"].append(secret)
        self.stackflow.subscribe(url + "stackflow", secret=self.keys["stackflow_webhook_secret"])
        self.stackflow.switches.writes_per_minute = 600  # as for a service account
        self.stackflow.switches.searches_per_minute = 1200

    def __enter__(self):
        super().__enter__()
        self.platform.start_another("WebhookSensor", webhook_listener={"port": self.second_port})
        return self

    def claimants(self):
        """The listeners that claim events. A P4 makes one that starts no execution."""
        self.stackflow.create_incident("The printer is slow", "P4")
        self.quiet()
        return {key.rpartition(".")[2]
                for key in self.platform.datastore.list("pagerduty_stackflow.claim.")}

    def quiet(self):
        self.settle(self.idle, PATIENCE)

    def open_here(self):
        return self.stackflow.create_incident("Disk full", "P1", group=PLATFORM, category="api")

    def open_there(self):
        return self.pagerduty.create_incident(self.api, "Node is gone", self.casey)

    def executions(self):
        """Those that rules started."""
        return [one for one in self.platform.executions() if one.rule]


def in_stackflow(site, number, _):
    yield lambda: site.stackflow.assign(number, CASEY)
    yield lambda: site.stackflow.set_state(number, "resolved")
    yield lambda: site.stackflow.reopen(number)


def in_pagerduty(site, _, incident_id):
    yield lambda: site.pagerduty.acknowledge(incident_id, site.casey)
    yield lambda: site.pagerduty.resolve(incident_id, site.casey)
    yield lambda: site.pagerduty.reopen(incident_id, site.casey)


def handed_over(site, number, _):
    yield lambda: site.stackflow.assign(number, group=DATABASE)
    yield lambda: site.stackflow.assign(number, CASEY)
    yield lambda: site.stackflow.set_state(number, "resolved")


def on_both_sides(site, number, incident_id):
    yield lambda: site.pagerduty.acknowledge(incident_id, site.casey)
    yield lambda: site.stackflow.assign(number, group=DATABASE)
    yield lambda: site.pagerduty.resolve(incident_id, site.casey)


def opened_in_stackflow(site):
    opened = []
    yield lambda: opened.append(site.open_here())
    yield lambda: site.stackflow.assign(opened[0], CASEY)
    yield lambda: site.stackflow.set_state(opened[0], "resolved")


def opened_in_pagerduty(site):
    opened = []
    yield lambda: opened.append(site.open_there())
    yield lambda: site.pagerduty.acknowledge(opened[0], site.casey)
    yield lambda: site.pagerduty.resolve(opened[0], site.casey)


OF_A_PAIR = (in_stackflow, in_pagerduty, handed_over, on_both_sides)
OF_NO_PAIR = (opened_in_stackflow, opened_in_pagerduty)
STORIES = len(OF_A_PAIR) + len(OF_NO_PAIR)


def open_pairs(site, count):
    """Half of them come from StackFlow, half from PagerDuty: numbers and PagerDuty ids."""
    numbers = [site.open_here() for _ in range(count // 2)]
    ids = [site.open_there() for _ in range(count - count // 2)]
    site.quiet()
    pairs = [(number, site.paged(number).id) for number in numbers]
    return pairs + [(record["number"], one) for one in ids for record in site.records_of(one)]


@pytest.mark.parametrize("incidents", [12, pytest.param(100, marks=pytest.mark.soak)])
def test_a_change_starts_one_execution_where_both_listeners_receive_it(incidents):
    with TwoListeners() as site:
        wait_for(lambda: len(site.claimants()) == 2, 60, lambda: "the listeners to meet")
        alone = incidents * len(OF_NO_PAIR) // STORIES
        pairs = open_pairs(site, incidents - alone)
        assert len(pairs) == incidents - alone
        earlier = len(site.executions())
        told = {story: [] for story in OF_A_PAIR}
        for at, pair in enumerate(pairs):
            told[OF_A_PAIR[at % len(OF_A_PAIR)]].append(pair)
        stories = [story(site, *pair) for story, some in told.items() for pair in some]
        stories += [OF_NO_PAIR[at % len(OF_NO_PAIR)](site) for at in range(alone)]
        for acts in zip(*stories):
            site.next_second()  # people do not change an incident twice within a second
            for act in acts:
                act()
                time.sleep(SECONDS / 400)
        site.quiet()
        started = site.executions()[earlier:]
        assert incidents < len(started) <= 3 * incidents * EXECUTIONS
        assert Counter(one.status for one in site.platform.executions()) == {
            "succeeded": len(site.platform.executions())}
        assert_no_event_was_lost(site)
        assert_both_sides_agree(site)
        assert_nobody_was_paged_twice(site, [one for _, one in told[in_pagerduty]])
        assert_nothing_came_back(site, told)


def assert_no_event_was_lost(site):
    """Each event was dispatched, whatever id it has for which listener."""
    sent = [one for simulator in (site.pagerduty, site.stackflow) for one in simulator.deliveries]
    assert {one.state for one in sent} == {"delivered"}
    bodies = [json.loads(one.body.decode()) for one in sent]
    for body in bodies:
        if isinstance(body["event"], dict):
            del body["event"]["id"]
    filled_in = ("event_id", "sync", "stackflow_id", "pagerduty_incident_id")
    taken = [{name: value for name, value in one.payload.items() if name not in filled_in}
             for one in site.platform.trigger_instances() if "sync" in one.payload]
    assert len(distinct(bodies)) == len(distinct(taken)) > 0


def distinct(documents):
    return {json.dumps(one, sort_keys=True) for one in documents}


def incidents_of(site, record):
    """Those that were opened for a record, and the one that it was created for."""
    found = [site.paged(record["number"], count) for count in range(3)]
    return [one for one in found if one] + [
        one for one in site.pagerduty.incidents() if one.id in (record["description"] or "")]


def assert_both_sides_agree(site):
    """An open record has one open incident, with its team; no other incident is open."""
    services = {PLATFORM: site.api, DATABASE: site.database}
    rest = [one.id for one in site.pagerduty.incidents() if one.status != "resolved"]
    for record in site.stackflow.incidents():
        wanted = [] if record["state"] in DONE or record["priority"] == "P4" else [
            services[record["assignment_group"]]]
        found = [one for one in incidents_of(site, record) if one.status != "resolved"]
        assert [one.service_id for one in found] == wanted, (record, found)
        rest = [one for one in rest if one not in {one.id for one in found}]
    assert rest == []


def assert_nobody_was_paged_twice(site, reopened):
    """For one incident; a reopening in PagerDuty pages once more."""
    pages = Counter((user, page.incident_id) for user, rows in site.pagerduty.notifications.items()
                    for page in rows)
    assert pages and all(count <= 1 + (incident_id in reopened)
                         for (_, incident_id), count in pages.items()), pages


def assert_nothing_came_back(site, told):
    """The pack wrote no state to the side on which people had changed it."""
    for number, _ in told[in_stackflow] + told[handed_over]:
        assert site.stackflow.state_writes(number) == []
    for _, incident_id in told[in_pagerduty]:
        assert [one for one in site.pagerduty.writes if one.path.endswith(incident_id)] == []

"""The action list_incidents."""

from __future__ import annotations

from action_site import GROUP, HTML, REST_KEY, TOKEN, ActionTestCase
from list_incidents import ListIncidentsAction
from many_services import LONGEST_ADDRESS, longest_address, mapped_services

ROW = {"stackflow_id", "pagerduty_incident_id", "title", "state", "status", "priority",
       "assignment_group", "assigned_to", "service_name", "created_at", "stackflow_url",
       "pagerduty_url"}


class ListIncidentsTestCase(ActionTestCase):
    action_cls = ListIncidentsAction

    def rows(self, more=False, **parameters):
        status, result = self.run_action(**parameters)
        self.assertIs(status, True, result)
        self.assertEqual((set(result), result["more"]), ({"incidents", "more"}, more))
        for row in result["incidents"]:
            self.assertEqual(set(row), ROW)
        self.assertEqual(self.writes(), [])
        return result["incidents"]

    def ids(self, **parameters):
        return [(row["stackflow_id"], row["pagerduty_incident_id"])
                for row in self.rows(**parameters)]

    def test_each_side_stands_beside_the_other(self):
        number = self.paged()
        incident_id = self.incident(number).id
        self.stackflow.assign(number, person="jane@example.com")
        self.pagerduty.acknowledge(incident_id, self.person)
        row, = self.rows()
        self.assertEqual((row["stackflow_id"], row["pagerduty_incident_id"]), (number, incident_id))
        self.assertEqual((row["title"], row["state"], row["status"], row["priority"]),
                         ("Database timeout", "new", "acknowledged", "P1"))
        self.assertEqual((row["assignment_group"], row["service_name"], row["assigned_to"]),
                         (GROUP, "Production API", "jane@example.com"))
        self.assertEqual(row["pagerduty_url"],
                         "https://acme.pagerduty.com/incidents/" + incident_id)
        self.assertEqual(row["stackflow_url"], "%s/incidents/%s" % (
            self.config["stackflow"]["instance_url"], number))
        self.assertTrue(row["created_at"].endswith("Z"))

    def test_a_record_that_pagerduty_gave_birth_to_is_found_also_without_its_link(self):
        incident_id = self.born_in_pagerduty()
        number = self.created_for(incident_id)
        self.assertEqual(self.ids(), [(number, incident_id)])
        self.action_service.delete_value("pagerduty_stackflow.pagerduty." + incident_id,
                                         local=False)
        self.assertEqual(self.ids(), [(number, incident_id)])

    def test_a_record_that_did_not_change_for_long_is_read_by_its_number(self):
        number = self.paged()
        for _ in range(200):
            self.record("P4")
        self.assertEqual(self.ids(), [(number, self.incident(number).id)])

    def test_what_has_no_other_side_stands_alone(self):
        incident_id, number = self.born_in_pagerduty(), self.record("P2")
        self.assertEqual(self.ids(), [(None, incident_id), (number, None)])
        self.assertEqual([row["title"] for row in self.rows()], ["Disk full", "Database timeout"])

    def test_what_concerns_nobody_in_pagerduty_is_not_listed(self):
        self.record("P3")
        self.stackflow.set_state(self.record("P1"), "resolved")
        self.record("P1", group="Facilities")
        self.born_in_pagerduty(service=self.unmapped)
        self.assertEqual(self.ids(), [])

    def test_the_status_is_pagerdutys(self):
        triggered, taken, resolved = [self.paged() for _ in range(3)]
        self.pagerduty.acknowledge(self.incident(taken).id, self.person)
        self.pagerduty.resolve(self.incident(resolved).id, self.person)
        unpaged = self.record("P1")
        expected = {None: [taken, triggered, unpaged, resolved], "triggered": [triggered],
                    "open": [taken, triggered, unpaged, resolved], "acknowledged": [taken],
                    "resolved": [resolved]}
        for status, numbers in expected.items():
            found = [row["stackflow_id"] for row in self.rows(status=status)]
            self.assertEqual(sorted(found), sorted(numbers), status)
        self.assertEqual(self.rows(status="resolved")[0]["status"], "resolved")

    def test_a_group_is_one_of_several_also_where_they_share_a_service(self):
        self.config["service_mapping"].append(dict(
            self.config["service_mapping"][0], stackflow_assignment_group="Database Reliability"))
        self.stackflow.add_group("Database Reliability")
        mine, other = self.paged(), self.paged(group="Database Reliability")
        born_there = self.born_in_pagerduty()
        for group, number in ((GROUP, mine), (" database reliability", other)):
            found = self.ids(assignment_group=group)
            self.assertEqual(found, [(None, born_there), (number, self.incident(number).id)])

    def test_a_long_list_is_cut_and_says_so(self):
        incidents = [self.born_in_pagerduty() for _ in range(26)]
        rows = self.rows(more=True)
        self.assertEqual((len(rows), rows[0]["pagerduty_incident_id"]), (25, incidents[-1]))

    def map_services(self, count):
        entries = mapped_services(self.pagerduty, self.stackflow, self.person, count)
        self.config["service_mapping"] += entries
        return entries

    def test_the_newest_of_400_services_are_asked_for_in_short_addresses(self):
        entries = self.map_services(400)
        shown = []
        for entry in [*entries[::20], self.config["service_mapping"][0], *entries[1::100]]:
            self.pagerduty.clock.advance(1)
            shown.append(self.born_in_pagerduty(service=entry["pagerduty_service_id"]))
        self.assertEqual(self.ids(), [(None, one) for one in reversed(shown)])
        lists = [one for one in self.pagerduty.requests if one.path == "/incidents"]
        self.assertLess(longest_address(lists), LONGEST_ADDRESS)
        asked = [service for one in lists for service in one.every("service_ids[]")]
        self.assertEqual(len(asked), 401)
        self.assertEqual(set(asked), {one["pagerduty_service_id"]
                                      for one in self.config["service_mapping"]})

    def test_260_groups_cost_no_more_requests_than_one(self):
        entries = self.map_services(260)
        groups = [entry["stackflow_assignment_group"] for entry in entries]
        numbers = [self.record("P1", group=groups[0]), self.record("P2", group=groups[259])]
        self.record("P1", group="Facilities")
        self.assertEqual(sorted(self.ids()), [(number, None) for number in numbers])
        lists = [one for one in self.stackflow.requests if one.path.endswith("/incidents")]
        self.assertEqual([one.one("priority") for one in lists], ["P1", "P2"])
        self.forget_calls()
        self.assertEqual(self.ids(assignment_group=groups[259]), [(numbers[1], None)])
        self.assertEqual([one.one("assignment_group") for one in self.stackflow.requests],
                         [groups[259]] * 2)

    def test_a_status_that_does_not_exist_is_refused(self):
        for status in ("new", "Open", "closed"):
            error = self.fail_with("bad_input", status=status)
            self.assertIn("open, triggered, acknowledged, resolved", error["hint"])
        self.assertEqual(self.calls(), [])

    def test_a_group_without_an_entry_is_a_routing_error_that_names_the_nearest(self):
        error = self.fail_with("routing", assignment_group="Plattform")
        self.assertIn(GROUP, error["message"])
        self.assertEqual(self.calls(), [])

    def test_an_answer_that_is_not_json_fails(self):
        self.stackflow.faults.add("GET", **HTML)
        self.assertIn("not JSON", self.fail_with("api")["message"])

    def test_a_config_that_is_wrong_is_told_in_one_message(self):
        self.check_config_error()

    def test_a_key_that_pagerduty_refuses_is_a_credentials_error(self):
        self.pagerduty.revoke_api_key(REST_KEY)
        self.assertIn("API key expired or revoked", self.fail_with("credentials")["message"])

    def test_a_token_that_stackflow_refuses_is_a_credentials_error(self):
        self.stackflow.revoke(TOKEN)
        self.assertIn("stackflow.auth", self.fail_with("credentials")["hint"])

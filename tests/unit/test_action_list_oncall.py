"""The action list_oncall."""

from __future__ import annotations

from action_site import GROUP, HTML, REST_KEY, ActionTestCase
from list_oncall import ListOncallAction
from many_services import LONGEST_ADDRESS, longest_address, mapped_services


class ListOncallTestCase(ActionTestCase):
    action_cls = ListOncallAction

    def setUp(self):
        super().setUp()
        self.second = self.pagerduty.add_user("Robin Second", "robin@example.com")
        self.policy = self.pagerduty.add_escalation_policy(
            "Databases", [(5, [self.second]), (5, [self.person, self.second])])
        self.database = self.pagerduty.add_service("Database Service", self.policy, id="P5678CD")
        self.config["service_mapping"].append({
            "pagerduty_service_id": self.database, "pagerduty_service_name": "Database Service",
            "stackflow_assignment_group": "Database Reliability",
            "integration_key": self.pagerduty.add_integration(self.database)[1]})

    def list(self, **parameters):
        status, result = self.run_action(**parameters)
        self.assertIs(status, True, result)
        self.assertEqual(set(result), {"services", "warnings"})
        self.assertEqual(self.writes(), [])
        return result

    def names(self, row):
        return [(one["level"], [person["name"] for person in one["people"]])
                for one in row["levels"]]

    def test_every_mapped_service_with_its_levels(self):
        first, second = self.list()["services"]
        self.assertEqual((first["assignment_group"], first["service_name"]),
                         (GROUP, "Production API"))
        self.assertEqual(self.names(first), [(1, ["Casey Oncall"])])
        self.assertEqual(second["escalation_policy"], {"id": self.policy, "name": "Databases"})
        self.assertEqual(self.names(second), [(1, ["Robin Second"]),
                                              (2, ["Casey Oncall", "Robin Second"])])
        person = second["levels"][0]["people"][0]
        self.assertEqual(set(person), {"id", "name", "html_url", "schedule", "until"})
        self.assertEqual(person["id"], self.second)

    def test_one_group_alone(self):
        row, = self.list(assignment_group="database RELIABILITY")["services"]
        self.assertEqual(row["service_id"], self.database)
        self.assertNotIn("GET /services/P1234AB", self.calls())

    def test_nobody_on_call_is_an_empty_list_of_levels(self):
        self.pagerduty.set_on_call(self.policy, 1, [])
        self.pagerduty.set_on_call(self.policy, 2, [])
        self.assertEqual(self.list()["services"][1]["levels"], [])

    def test_on_calls_are_asked_for_once(self):
        self.list()
        self.assertEqual(self.calls().count("GET /oncalls"), 1)

    def test_400_policies_are_asked_for_in_short_addresses(self):
        self.config["service_mapping"] = mapped_services(self.pagerduty, self.stackflow,
                                                         self.person, 400)
        rows = self.list()["services"]
        self.assertEqual([self.names(row) for row in rows], [[(1, ["Casey Oncall"])]] * 400)
        lists = [one for one in self.pagerduty.requests if one.path == "/oncalls"]
        self.assertLess(longest_address(lists), LONGEST_ADDRESS)
        asked = [policy for one in lists for policy in one.every("escalation_policy_ids[]")]
        self.assertEqual(len(asked), len(set(asked)), 400)

    def test_a_group_without_an_entry_fails_and_names_the_nearest(self):
        error = self.fail_with("routing", assignment_group="Platform Enginering")
        self.assertIn("nearest: 'Platform Engineering'", error["message"])
        self.assertEqual(self.calls(), [])

    def test_a_service_that_is_not_found_is_a_warning(self):
        self.config["service_mapping"][0]["pagerduty_service_id"] = "P9999XX"
        result = self.list()
        self.assertEqual([row["service_id"] for row in result["services"]], [self.database])
        self.assertIn("P9999XX", result["warnings"][0])

    def test_without_a_policy_nobody_is_asked_for(self):
        del self.config["service_mapping"][1]
        self.config["service_mapping"][0]["pagerduty_service_id"] = "P9999XX"
        self.assertEqual(self.list()["services"], [])
        self.assertEqual(self.calls(), ["GET /services/P9999XX"])

    def test_an_answer_that_is_not_json_fails(self):
        self.pagerduty.faults.add("GET /oncalls", **HTML)
        self.assertIn("not JSON", self.fail_with("api")["message"])

    def test_a_key_that_pagerduty_refuses_is_a_credentials_error(self):
        self.pagerduty.revoke_api_key(REST_KEY)
        self.assertIn("API key expired or revoked", self.fail_with("credentials")["message"])

    def test_a_config_that_is_wrong_is_told_in_one_message(self):
        self.check_config_error()

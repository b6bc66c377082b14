"""The action reroute_incident."""

from __future__ import annotations

from action_site import HTML, REST_KEY, UNKNOWN_ID, UNKNOWN_NUMBER, ActionTestCase
from reroute_incident import RerouteIncidentAction

DATABASE = "Database Reliability"


class RerouteIncidentTestCase(ActionTestCase):
    action_cls = RerouteIncidentAction

    def setUp(self):
        super().setUp()
        self.dana = self.pagerduty.add_user("Dana Database")
        policy = self.pagerduty.add_escalation_policy("Database", [(5, [self.dana])])
        self.database = self.pagerduty.add_service("Database Service", policy, id="P5678CD")
        self.stackflow.add_group(DATABASE)
        self.stackflow.add_group("Nobody Mapped")
        self.config["service_mapping"].append(
            {"pagerduty_service_id": self.database, "pagerduty_service_name": "Database Service",
             "stackflow_assignment_group": DATABASE,
             "integration_key": self.pagerduty.add_integration(self.database)[1]})

    def regrouped(self, group=DATABASE):
        number = self.paged()
        self.stackflow.assign(number, group=group)
        return number

    def test_the_incident_goes_to_the_service_of_the_records_group(self):
        number = self.regrouped()
        result = self.succeed("done", incident_id=number, incident=self.event(number))
        incident = self.incident(number)
        self.assertEqual((incident.service_id, incident.assignees), (self.database, [self.dana]))
        self.assertEqual((result["stackflow_id"], result["pagerduty_incident_id"]),
                         (number, incident.id))
        self.assertEqual(self.writes(), ["PUT /incidents/" + incident.id])
        self.succeed("already", incident_id=incident.id)

    def test_one_write_names_service_and_policy(self):
        number = self.regrouped()
        self.succeed("done", incident_id=number)
        sent = self.pagerduty.writes[-1].document["incident"]
        self.assertEqual(sent["service"], {"id": self.database, "type": "service_reference"})
        self.assertEqual(sent["escalation_policy"]["type"], "escalation_policy_reference")

    def test_a_person_names_the_group(self):
        incident_id = self.born_in_pagerduty()
        result = self.succeed("done", incident_id=incident_id, assignment_group=DATABASE)
        self.assertIn("Database Service", result["reason"])
        self.assertEqual(self.pagerduty.incident(incident_id).service_id, self.database)
        self.assertIsNone(result["stackflow_id"])

    def test_a_group_without_an_entry_fails_and_writes_nothing(self):
        number = self.regrouped("Nobody Mapped")
        for given in ({}, {"assignment_group": "Nobody Mapped"}):
            error = self.fail_with("routing", incident_id=number, **given)
            self.assertIn("'Nobody Mapped'", error["message"])
        self.assertEqual(self.writes(), [])

    def test_a_move_that_is_not_made_fails(self):
        self.pagerduty.switches.move_refused = True
        number = self.regrouped()
        error = self.fail_with("api", incident_id=number)
        self.assertIn("Database Service", error["message"])
        self.assertIs(error["retryable"], False)

    def test_an_unknown_incident_is_not_found(self):
        for unknown in (UNKNOWN_NUMBER, UNKNOWN_ID):
            self.fail_with("not_found", incident_id=unknown)
        self.assertEqual(self.writes(), [])

    def test_a_malformed_id_is_refused(self):
        self.check_malformed_ids()

    def test_an_answer_that_is_not_json_is_told(self):
        number = self.regrouped()
        self.pagerduty.faults.add("GET /incidents", **HTML)
        self.fail_with("api", incident_id=number)

    def test_a_revoked_key_is_told_with_the_fix(self):
        number = self.regrouped()
        self.pagerduty.revoke_api_key(REST_KEY)
        error = self.fail_with("credentials", incident_id=number)
        self.assertIn("API key expired or revoked", error["message"])

    def test_every_problem_of_the_config_is_told(self):
        self.check_config_error(incident_id=UNKNOWN_NUMBER)

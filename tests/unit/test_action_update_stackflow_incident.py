"""The action update_stackflow_incident."""

from __future__ import annotations

from action_site import GROUP, HTML, TOKEN, UNKNOWN_ID, UNKNOWN_NUMBER, ActionTestCase
from update_stackflow_incident import UpdateStackFlowIncidentAction


class UpdateStackflowIncidentTestCase(ActionTestCase):
    action_cls = UpdateStackFlowIncidentAction

    def test_fields_are_written_by_number_and_by_pagerduty_id(self):
        number = self.paged()
        for incident_id, priority in ((number, "P2"), (self.incident(number).id, "P3")):
            result = self.succeed("done", incident_id=incident_id, fields={"priority": priority})
            self.assertEqual(self.stackflow.incident(number)["priority"], priority)
            self.assertEqual(result["stackflow_id"], number)
            self.assertIn("priority", result["reason"])

    def test_a_state_is_sent_in_the_spelling_of_the_api(self):
        self.stackflow.switches.state_names = {"pending_vendor": "Waiting"}
        self.config["stackflow"]["states"] = {"pending_vendor": "Waiting"}
        number = self.record()
        self.succeed("done", incident_id=number, fields={"state": "pending_vendor"})
        self.assertEqual(self.stackflow.writes[-1].body, {"state": "Waiting"})

    def test_without_fields_the_record_follows_its_incident_to_another_service(self):
        self.config["service_mapping"].append(
            {"pagerduty_service_id": self.unmapped, "pagerduty_service_name": "Network",
             "stackflow_assignment_group": "Network", "stackflow_category": "wifi",
             "integration_key": "n" * 32})
        self.stackflow.add_group("Network")
        number = self.paged()
        incident_id = self.incident(number).id
        self.succeed("already", incident_id=incident_id, fields={})
        self.pagerduty.move(incident_id, self.unmapped, self.person)
        self.succeed("done", incident_id=incident_id, fields={})
        record = self.stackflow.incident(number)
        self.assertEqual((record["assignment_group"], record["category"]), ("Network", "wifi"))
        self.assertEqual(self.writes(), ["PATCH /prod/api/incidents/" + number])

    def test_bidirectional_sync_off_writes_nothing(self):
        number = self.paged()
        self.config["bidirectional_sync"] = False
        self.succeed("skipped", incident_id=number, fields={"priority": "P2"})
        self.assertEqual(self.writes(), [])

    def test_a_number_without_fields_is_refused(self):
        error = self.fail_with("bad_input", incident_id=UNKNOWN_NUMBER, fields={})
        self.assertIn("priority", error["hint"])

    def test_what_stackflow_refuses_is_told(self):
        number = self.record()
        error = self.fail_with("api", incident_id=number, fields={"assignment_group": "Nobody"})
        self.assertIn("Nobody", error["message"])
        self.assertEqual(self.stackflow.incident(number)["assignment_group"], GROUP)

    def test_an_unknown_incident_is_not_found(self):
        for unknown in (UNKNOWN_NUMBER, UNKNOWN_ID):
            self.fail_with("not_found", incident_id=unknown, fields={"priority": "P2"})
        self.assertEqual(self.stackflow.writes, [])

    def test_a_malformed_id_is_refused(self):
        self.check_malformed_ids(fields={"priority": "P2"})

    def test_an_answer_that_is_not_json_is_told(self):
        number = self.record()
        self.stackflow.faults.add("PATCH", **HTML)
        self.fail_with("outcome_unknown", incident_id=number, fields={"priority": "P2"})

    def test_a_revoked_token_is_told(self):
        number = self.record()
        self.stackflow.revoke(TOKEN)
        self.fail_with("credentials", incident_id=number, fields={"priority": "P2"})

    def test_every_problem_of_the_config_is_told(self):
        self.check_config_error(incident_id=UNKNOWN_NUMBER, fields={"priority": "P2"})

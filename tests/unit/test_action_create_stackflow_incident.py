"""The action create_stackflow_incident."""

from __future__ import annotations

from action_site import GROUP, HTML, REST_KEY, TOKEN, UNKNOWN_ID, UNKNOWN_NUMBER, ActionTestCase
from create_stackflow_incident import CreateStackFlowIncidentAction


class CreateStackFlowIncidentTestCase(ActionTestCase):
    action_cls = CreateStackFlowIncidentAction

    def records(self):
        return self.stackflow.incidents()

    def test_a_record_is_created_in_the_mapped_group(self):
        self.config["service_mapping"][0]["stackflow_category"] = "api"
        incident_id = self.born_in_pagerduty(urgency="low")
        result = self.succeed("done", incident_id=incident_id)
        record, = self.records()
        self.assertEqual(result["stackflow_id"], record["number"])
        self.assertEqual(result["pagerduty_incident_id"], incident_id)
        self.assertIsNone(result["dedup_key"])
        self.assertEqual((record["short_description"], record["assignment_group"],
                          record["category"], record["priority"], record["state"]),
                         ("Disk full", GROUP, "api", "P4", "new"))
        self.assertIn("PagerDuty-Incident-Id: " + incident_id, record["description"])
        self.assertIn("pagerduty.com/incidents/" + incident_id, record["description"])

    def test_what_the_event_said_is_not_needed(self):
        incident_id = self.born_in_pagerduty()
        self.succeed("done", incident_id=incident_id, incident={"id": incident_id, "title": "Old"})
        self.assertEqual(self.records()[0]["short_description"], "Disk full")

    def test_an_acknowledgement_that_came_meanwhile_is_carried_over(self):
        incident_id = self.born_in_pagerduty()
        self.pagerduty.acknowledge(incident_id, self.person)
        self.succeed("done", incident_id=incident_id)
        self.assertEqual(self.records()[0]["state"], "in_progress")

    def test_a_second_run_creates_nothing(self):
        incident_id = self.born_in_pagerduty()
        number = self.created_for(incident_id)
        result = self.succeed("already", incident_id=incident_id)
        self.assertEqual(result["stackflow_id"], number)
        self.assertEqual(self.writes(), [])

    def test_without_the_datastore_the_mark_still_tells_that_there_is_one(self):
        incident_id = self.born_in_pagerduty()
        number = self.created_for(incident_id)
        for item in self.action_service.list_values(local=False):
            self.action_service.delete_value(item.name, local=False)
        result = self.succeed("already", incident_id=incident_id)
        self.assertEqual(result["stackflow_id"], number)
        self.assertEqual(len(self.records()), 1)

    def test_an_answer_that_was_lost_creates_nothing_twice(self):
        incident_id = self.born_in_pagerduty()
        self.stackflow.faults.add("POST /prod/api/incidents", "drop_answer")
        result = self.succeed("already", incident_id=incident_id)
        record, = self.records()
        self.assertEqual(result["stackflow_id"], record["number"])
        self.assertEqual(len(result["warnings"]), 1)

    def test_an_answer_that_is_not_json_creates_nothing_twice(self):
        incident_id = self.born_in_pagerduty()
        self.stackflow.faults.add("POST /prod/api/incidents", **dict(HTML, times=1))
        result = self.succeed("already", incident_id=incident_id)
        self.assertEqual([record["number"] for record in self.records()], [result["stackflow_id"]])

    def test_an_alert_that_the_pack_triggered_gets_no_record(self):
        number = self.paged()
        result = self.succeed("already", incident_id=self.incident(number).id)
        self.assertEqual(result["stackflow_id"], number)
        self.assertEqual(len(self.records()), 1)

    def test_a_service_that_is_not_mapped_is_skipped(self):
        result = self.succeed("skipped", incident_id=self.born_in_pagerduty(service=self.unmapped))
        self.assertIn("not in service_mapping", result["reason"])
        self.assertEqual(self.records(), [])

    def test_what_is_resolved_already_gets_no_record(self):
        incident_id = self.born_in_pagerduty()
        self.pagerduty.resolve(incident_id, self.person)
        result = self.succeed("skipped", incident_id=incident_id)
        self.assertIn("nothing is open", result["reason"])
        self.assertEqual(self.records(), [])

    def test_bidirectional_sync_off_creates_nothing(self):
        self.config["bidirectional_sync"] = False
        result = self.succeed("skipped", incident_id=self.born_in_pagerduty())
        self.assertIn("bidirectional_sync is off", result["reason"])
        self.assertEqual(self.records(), [])

    def test_an_unknown_pagerduty_id_is_not_found(self):
        self.fail_with("not_found", incident_id=UNKNOWN_ID)
        self.assertEqual(self.writes(), [])

    def test_a_stackflow_number_is_refused(self):
        error = self.fail_with("bad_input", incident_id=UNKNOWN_NUMBER)
        self.assertIn("PagerDuty incident id", error["hint"])
        self.assertEqual(self.calls(), [])

    def test_a_malformed_id_is_refused_without_a_call(self):
        self.check_malformed_ids()

    def test_an_answer_of_pagerduty_that_is_not_json_fails(self):
        incident_id = self.born_in_pagerduty()
        self.pagerduty.faults.add("GET /incidents/", **HTML)
        error = self.fail_with("api", incident_id=incident_id)
        self.assertIn("not JSON", error["message"])
        self.assertEqual(self.records(), [])

    def test_a_config_that_is_wrong_is_told_in_one_message(self):
        self.check_config_error(incident_id=UNKNOWN_ID)

    def test_a_key_that_pagerduty_refuses_is_a_credentials_error(self):
        incident_id = self.born_in_pagerduty()
        self.pagerduty.revoke_api_key(REST_KEY)
        error = self.fail_with("credentials", incident_id=incident_id)
        self.assertIn("API key expired or revoked", error["message"])

    def test_a_token_that_stackflow_refuses_is_a_credentials_error(self):
        incident_id = self.born_in_pagerduty()
        self.stackflow.revoke(TOKEN)
        error = self.fail_with("credentials", incident_id=incident_id)
        self.assertIn("stackflow.auth", error["hint"])

"""The action set_stackflow_state."""

from __future__ import annotations

from action_site import HTML, REST_KEY, TOKEN, UNKNOWN_ID, UNKNOWN_NUMBER, ActionTestCase
from set_stackflow_state import SetStackFlowStateAction


class SetStackFlowStateTestCase(ActionTestCase):
    action_cls = SetStackFlowStateAction

    def state(self, number):
        return self.stackflow.incident(number)["state"]

    def notes(self, number):
        return [note["note"] for note in self.stackflow.notes(number)]

    def test_an_acknowledgement_sets_in_progress(self):
        number = self.paged()
        incident_id = self.incident(number).id
        self.pagerduty.acknowledge(incident_id, self.person)
        result = self.succeed("done", incident_id=incident_id, state="in_progress")
        self.assertEqual((result["stackflow_id"], result["pagerduty_incident_id"],
                          result["dedup_key"]), (number, incident_id, self.dedup_key(number)))
        self.assertEqual(self.state(number), "in_progress")
        self.assertEqual(self.writes(), ["PATCH /prod/api/incidents/" + number])

    def test_a_resolve_sets_resolved_with_its_note(self):
        number = self.paged()
        incident_id = self.incident(number).id
        self.pagerduty.acknowledge(incident_id, self.person)
        self.succeed("done", incident_id=incident_id, state="in_progress")
        self.pagerduty.resolve(incident_id, self.person)
        self.succeed("done", incident_id=incident_id, state="resolved", note="disk replaced",
                     by="Casey")
        self.assertEqual(self.state(number), "resolved")
        self.assertEqual(self.notes(number), ["Casey: disk replaced"])

    def test_by_pagerduty_id_the_present_state_counts_and_not_the_parameter(self):
        number = self.paged()
        self.succeed("already", incident_id=self.incident(number).id, state="resolved", note="no")
        self.assertEqual(self.state(number), "new")
        self.assertEqual(self.notes(number), [])

    def test_before_there_is_a_record_it_is_skipped(self):
        result = self.succeed("skipped", incident_id=self.born_in_pagerduty(), state="in_progress")
        self.assertIn("no StackFlow record yet", result["reason"])
        self.assertEqual(self.writes(), [])

    def test_by_number_the_state_is_written_as_asked(self):
        number = self.record("P4")
        self.succeed("done", incident_id=number, state="in_progress", note="taken", by="Casey")
        self.assertEqual(self.state(number), "in_progress")
        self.assertEqual(self.notes(number), ["Casey: taken"])
        self.succeed("already", incident_id=number, state="in_progress", note="taken")
        self.assertEqual(self.notes(number), ["Casey: taken"])

    def test_a_final_record_stays_as_it_is(self):
        number = self.record()
        self.stackflow.cancel(number)
        result = self.succeed("skipped", incident_id=number, state="in_progress")
        self.assertIn("cancelled is final", result["reason"])

    def test_bidirectional_sync_off_writes_nothing(self):
        number = self.paged()
        incident_id = self.incident(number).id
        self.pagerduty.acknowledge(incident_id, self.person)
        self.config["bidirectional_sync"] = False
        for asked in (number, incident_id):
            result = self.succeed("skipped", incident_id=asked, state="in_progress")
            self.assertIn("bidirectional_sync is off", result["reason"])
        self.assertEqual(self.writes(), [])

    def test_the_api_spelling_and_the_fields_of_a_resolve_are_sent(self):
        self.stackflow.switches.state_names = {"resolved": "Done"}
        self.config["stackflow"]["states"] = {"resolved": "Done"}
        self.config["stackflow"]["resolve_fields"] = {"close_code": "Solved",
                                                      "close_notes": "[[ incident.number ]]"}
        number = self.record()
        self.stackflow.set_state(number, "in_progress")
        self.succeed("done", incident_id=number, state="resolved")
        self.assertEqual(self.stackflow.writes[-1].body, {
            "state": "Done", "close_code": "Solved", "close_notes": number})

    def test_a_state_that_the_pack_does_not_write_is_refused(self):
        for state in ("closed", "new", "", "Resolved"):
            error = self.fail_with("bad_input", incident_id=UNKNOWN_NUMBER, state=state)
            self.assertIn("in_progress or resolved", error["hint"])
        self.assertEqual(self.calls(), [])

    def test_a_step_that_stackflow_refuses_is_told(self):
        number = self.record()
        self.stackflow.faults.add("PATCH", status=422, body={"error": "close_code is required",
                                                             "code": "VALIDATION_ERROR"})
        error = self.fail_with("api", incident_id=number, state="resolved")
        self.assertIn("close_code is required", error["message"])
        self.assertIn("stackflow.resolve_fields", error["hint"])
        self.assertIs(error["retryable"], False)

    def test_an_unknown_number_is_not_found(self):
        error = self.fail_with("not_found", incident_id=UNKNOWN_NUMBER, state="resolved")
        self.assertIn(UNKNOWN_NUMBER, error["message"])
        self.assertEqual(self.writes(), [])

    def test_an_unknown_pagerduty_id_is_not_found(self):
        self.fail_with("not_found", incident_id=UNKNOWN_ID, state="resolved")
        self.assertEqual(self.writes(), [])

    def test_a_malformed_id_is_refused_without_a_call(self):
        self.check_malformed_ids(state="resolved")

    def test_an_answer_that_is_not_json_fails(self):
        number = self.record()
        self.stackflow.faults.add("GET /prod/api/incidents/", **HTML)
        error = self.fail_with("api", incident_id=number, state="resolved")
        self.assertIn("not JSON", error["message"])
        self.assertEqual(self.writes(), [])

    def test_a_config_that_is_wrong_is_told_in_one_message(self):
        self.check_config_error(incident_id=UNKNOWN_ID, state="resolved")

    def test_a_key_that_pagerduty_refuses_is_a_credentials_error(self):
        incident_id = self.born_in_pagerduty()
        self.created_for(incident_id)
        self.pagerduty.revoke_api_key(REST_KEY)
        error = self.fail_with("credentials", incident_id=incident_id, state="resolved")
        self.assertIn("API key expired or revoked", error["message"])

    def test_a_token_that_stackflow_refuses_is_a_credentials_error(self):
        number = self.record()
        self.stackflow.revoke(TOKEN)
        error = self.fail_with("credentials", incident_id=number, state="resolved")
        self.assertIn("stackflow.auth", error["hint"])

"""The action acknowledge_incident."""

from __future__ import annotations

# First, as StackStorm's test classes, which it imports, patch sockets and threads.
from action_site import HTML, REST_KEY, TOKEN, UNKNOWN_ID, UNKNOWN_NUMBER, ActionTestCase

from acknowledge_incident import AcknowledgeIncidentAction


class AcknowledgeIncidentTestCase(ActionTestCase):
    action_cls = AcknowledgeIncidentAction

    def test_the_event_of_an_assignment_acknowledges_with_one_call(self):
        number = self.paged()
        self.stackflow.clock.advance(1)
        self.stackflow.assign(number, "jane@example.com")
        result = self.succeed("done", incident_id=number, by="jane@example.com",
                              incident=self.event(number))
        self.assertEqual((result["stackflow_id"], result["dedup_key"]),
                         (number, self.dedup_key(number)))
        self.assertEqual(self.calls(), ["POST /v2/enqueue"])
        self.assertEqual(self.incident(number).status, "acknowledged")

    def test_an_event_without_a_person_acknowledges_nothing(self):
        number = self.paged()
        self.succeed("already", incident_id=number, incident=self.event(number))
        self.assertEqual(self.incident(number).status, "triggered")

    def test_the_same_assignment_does_not_acknowledge_again_what_pagerduty_took_back(self):
        number = self.paged()
        self.stackflow.assign(number, "jane@example.com")
        self.succeed("done", incident_id=number, incident=self.event(number))
        self.pagerduty.unacknowledge(self.incident(number).id, self.person)
        self.succeed("already", incident_id=number, incident=self.event(number))
        self.assertEqual(self.incident(number).status, "triggered")

    def test_auto_acknowledge_off_leaves_the_event_of_an_assignment_alone(self):
        self.config["auto_acknowledge"] = False
        number = self.paged()
        self.stackflow.assign(number, "jane@example.com")
        self.succeed("already", incident_id=number, incident=self.event(number))
        self.assertEqual(self.incident(number).status, "triggered")

    def test_a_person_may_ask_by_either_id(self):
        for ask in (lambda number: number, lambda number: self.incident(number).id):
            number = self.paged()
            result = self.succeed("done", incident_id=ask(number))
            self.assertEqual(result["stackflow_id"], number)
            self.assertIn("asked by a person", result["reason"])
            self.assertEqual(self.incident(number).status, "acknowledged")

    def test_what_was_born_in_pagerduty_is_acknowledged_as_the_person_who_took_it(self):
        incident_id = self.born_in_pagerduty()
        number = self.created_for(incident_id)
        result = self.succeed("done", incident_id=number, by="Casey@example.com")
        self.assertEqual(result["pagerduty_incident_id"], incident_id)
        self.assertIn("casey@example.com", result["reason"])
        put, = [one for one in self.pagerduty.requests if one.method == "PUT"]
        self.assertEqual(put.headers["from"], "casey@example.com")
        self.assertEqual(self.pagerduty.incident(incident_id).status, "acknowledged")

    def test_for_somebody_without_a_pagerduty_user_a_note_is_written(self):
        incident_id = self.born_in_pagerduty()
        number = self.created_for(incident_id)
        result = self.succeed("skipped", incident_id=number, by="jane@example.com")
        self.assertIn("note", result["reason"])
        incident = self.pagerduty.incident(incident_id)
        self.assertEqual(incident.status, "triggered")
        self.assertEqual([note.content for note in incident.notes],
                         ["Taken in StackFlow by jane@example.com"])

    def test_what_is_acknowledged_already_is_left_alone(self):
        incident_id = self.born_in_pagerduty()
        number = self.created_for(incident_id)
        self.pagerduty.acknowledge(incident_id, self.person)
        self.succeed("already", incident_id=number, by="casey@example.com")
        self.assertEqual(self.writes(), [])

    def test_what_was_resolved_meanwhile_is_not_reopened(self):
        incident_id = self.born_in_pagerduty()
        number = self.created_for(incident_id)
        self.pagerduty.resolve(incident_id, self.person)
        result = self.succeed("skipped", incident_id=number, by="casey@example.com")
        self.assertIn("resolved in PagerDuty", result["reason"])
        self.assertEqual(self.pagerduty.incident(incident_id).status, "resolved")

    def test_a_record_that_was_never_paged_is_skipped(self):
        result = self.succeed("skipped", incident_id=self.record("P4"))
        self.assertIn("no PagerDuty incident is open", result["reason"])
        self.assertEqual(self.writes(), [])

    def test_an_unknown_number_is_not_found(self):
        error = self.fail_with("not_found", incident_id=UNKNOWN_NUMBER)
        self.assertIn(UNKNOWN_NUMBER, error["message"])
        self.assertEqual(self.writes(), [])

    def test_an_unknown_pagerduty_id_is_not_found(self):
        error = self.fail_with("not_found", incident_id=UNKNOWN_ID)
        self.assertIn("404", error["message"])
        self.assertEqual(self.writes(), [])

    def test_a_malformed_id_is_refused_without_a_call(self):
        self.check_malformed_ids()

    def test_an_answer_that_is_not_json_fails(self):
        number = self.created_for(self.born_in_pagerduty())
        self.pagerduty.faults.add("GET /incidents/", **HTML)
        error = self.fail_with("api", incident_id=number)
        self.assertIn("not JSON", error["message"])
        self.assertIs(error["retryable"], True)
        self.assertEqual(self.writes(), [])

    def test_a_config_that_is_wrong_is_told_in_one_message(self):
        self.check_config_error(incident_id=UNKNOWN_NUMBER)

    def test_a_key_that_pagerduty_refuses_is_a_credentials_error(self):
        number = self.created_for(self.born_in_pagerduty())
        self.pagerduty.revoke_api_key(REST_KEY)
        error = self.fail_with("credentials", incident_id=number)
        self.assertIn("API key expired or revoked", error["message"])
        self.assertIn("generate a new key in PagerDuty", error["hint"])
        self.assertIs(error["retryable"], False)

    def test_a_token_that_stackflow_refuses_is_a_credentials_error(self):
        number = self.record()
        self.stackflow.revoke(TOKEN)
        error = self.fail_with("credentials", incident_id=number)
        self.assertIn("stackflow.auth", error["hint"])

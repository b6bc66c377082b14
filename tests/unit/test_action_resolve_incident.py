"""The action resolve_incident."""

from __future__ import annotations

from action_site import HTML, REST_KEY, TOKEN, UNKNOWN_ID, UNKNOWN_NUMBER, ActionTestCase
from resolve_incident import ResolveIncidentAction

from pagerduty_stackflow import commands


class ResolveIncidentTestCase(ActionTestCase):
    action_cls = ResolveIncidentAction

    def test_the_event_of_a_resolved_record_resolves_with_one_call(self):
        number = self.paged()
        self.stackflow.clock.advance(1)
        self.stackflow.cancel(number)
        result = self.succeed("done", incident_id=number, incident=self.event(number))
        self.assertEqual((result["stackflow_id"], result["dedup_key"]),
                         (number, self.dedup_key(number)))
        self.assertEqual(self.calls(), ["POST /v2/enqueue"])
        self.assertEqual(self.incident(number).status, "resolved")

    def test_an_event_that_a_reopening_overtook_resolves_nothing(self):
        number = self.paged()
        self.stackflow.set_state(number, "in_progress")
        self.stackflow.set_state(number, "resolved")
        late = self.event(number)
        self.stackflow.clock.advance(1)
        self.stackflow.reopen(number)
        self.use_case(commands.trigger_incident, incident_id=number, incident=self.event(number))
        self.succeed("already", incident_id=number, incident=late)
        self.assertEqual(self.incident(number).status, "triggered")

    def test_a_person_may_ask_by_either_id(self):
        for ask in (lambda number: number, lambda number: self.incident(number).id):
            number = self.paged()
            result = self.succeed("done", incident_id=ask(number))
            self.assertEqual(result["stackflow_id"], number)
            self.assertEqual(self.incident(number).status, "resolved")

    def test_a_resolution_is_written_where_pagerduty_shows_it(self):
        number = self.paged()
        result = self.succeed("done", incident_id=number, by="jane@example.com",
                              resolution="disk replaced")
        self.assertIn("sync@example.com", result["reason"])
        put, = [one for one in self.pagerduty.requests if one.method == "PUT"]
        self.assertEqual(put.headers["from"], "sync@example.com")
        self.assertEqual(put.json()["incident"]["resolution"],
                         "Resolved in StackFlow by jane@example.com: disk replaced")
        self.assertEqual(self.incident(number).status, "resolved")

    def test_what_was_born_in_pagerduty_is_resolved_by_rest(self):
        incident_id = self.born_in_pagerduty()
        number = self.created_for(incident_id)
        result = self.succeed("done", incident_id=number)
        self.assertEqual(result["pagerduty_incident_id"], incident_id)
        self.assertEqual(self.pagerduty.incident(incident_id).status, "resolved")

    def test_an_incident_that_no_record_belongs_to_can_be_resolved_too(self):
        incident_id = self.born_in_pagerduty(service=self.unmapped)
        result = self.succeed("done", incident_id=incident_id)
        self.assertIsNone(result["stackflow_id"])
        self.assertEqual(self.pagerduty.incident(incident_id).status, "resolved")

    def test_what_is_resolved_already_is_left_alone(self):
        incident_id = self.born_in_pagerduty()
        number = self.created_for(incident_id)
        self.pagerduty.resolve(incident_id, self.person)
        self.succeed("already", incident_id=number)
        self.assertEqual(self.writes(), [])

    def test_a_record_that_was_never_paged_is_skipped(self):
        result = self.succeed("skipped", incident_id=self.record("P4"))
        self.assertIn("no PagerDuty incident is open", result["reason"])
        self.assertEqual(self.writes(), [])

    def test_a_previous_integration_key_still_resolves_what_it_opened(self):
        number = self.paged()
        mapping = self.config["service_mapping"][0]
        mapping["previous_integration_keys"] = [mapping["integration_key"]]
        mapping["integration_key"] = self.pagerduty.add_integration(self.service)[1]
        self.succeed("done", incident_id=number)
        self.assertEqual(self.incident(number).status, "resolved")
        self.assertEqual(self.writes(), ["POST /v2/enqueue"])

    def test_a_key_that_is_gone_from_the_config_is_bypassed_by_rest(self):
        number = self.paged()
        self.config["service_mapping"][0]["integration_key"] = (
            self.pagerduty.add_integration(self.service)[1])
        result = self.succeed("done", incident_id=number)
        self.assertIn("sync@example.com", result["reason"])
        self.assertEqual(self.incident(number).status, "resolved")

    def test_an_unknown_number_is_not_found(self):
        error = self.fail_with("not_found", incident_id=UNKNOWN_NUMBER)
        self.assertIn(UNKNOWN_NUMBER, error["message"])
        self.assertEqual(self.writes(), [])

    def test_an_unknown_pagerduty_id_is_not_found(self):
        self.fail_with("not_found", incident_id=UNKNOWN_ID)
        self.assertEqual(self.writes(), [])

    def test_a_malformed_id_is_refused_without_a_call(self):
        self.check_malformed_ids()

    def test_an_answer_that_is_not_json_fails(self):
        number = self.created_for(self.born_in_pagerduty())
        self.pagerduty.faults.add("GET /incidents/", **HTML)
        error = self.fail_with("api", incident_id=number)
        self.assertIn("not JSON", error["message"])
        self.assertEqual(self.writes(), [])

    def test_a_config_that_is_wrong_is_told_in_one_message(self):
        self.check_config_error(incident_id=UNKNOWN_NUMBER)

    def test_a_key_that_pagerduty_refuses_is_a_credentials_error(self):
        number = self.created_for(self.born_in_pagerduty())
        self.pagerduty.revoke_api_key(REST_KEY)
        error = self.fail_with("credentials", incident_id=number)
        self.assertIn("API key expired or revoked", error["message"])

    def test_a_token_that_stackflow_refuses_is_a_credentials_error(self):
        number = self.record()
        self.stackflow.revoke(TOKEN)
        error = self.fail_with("credentials", incident_id=number)
        self.assertIn("stackflow.auth", error["hint"])

"""The action escalate_incident."""

from __future__ import annotations

from datetime import timedelta
from unittest import mock

from action_site import HTML, REST_KEY, TOKEN, UNKNOWN_ID, UNKNOWN_NUMBER, ActionTestCase
from escalate_incident import EscalateIncidentAction

from pagerduty_stackflow import commands


class EscalateIncidentTestCase(ActionTestCase):
    action_cls = EscalateIncidentAction

    def setUp(self):
        super().setUp()
        account = self.pagerduty
        self.lee, self.kim, self.max = [account.add_user(name) for name in ("Lee", "Kim", "Max")]
        self.command = account.add_escalation_policy(
            "Command", [(5, [self.lee]), (5, [self.kim]), (5, [self.max])])
        account.account.policies[self.policy].levels += (
            account.account.policies[self.command].levels[1:2])

    def people(self, number):
        return self.incident(number).assignees

    def notes(self, number):
        """The notes of both sides, which are the same."""
        here = [note["note"] for note in self.stackflow.notes(number)]
        self.assertEqual(here, [note.content for note in self.incident(number).notes])
        return here

    def pages(self, person):
        return [page.reason for page in self.pagerduty.notifications[person]]

    def test_without_more_it_goes_to_the_next_level(self):
        number = self.paged()
        result = self.succeed("done", incident_id=number)
        self.assertEqual((result["stackflow_id"], result["pagerduty_incident_id"],
                          result["dedup_key"]), (number, self.incident(number).id,
                                                 self.dedup_key(number)))
        self.assertEqual((self.people(number), self.pages(self.kim)), ([self.kim], ["escalated"]))
        self.assertEqual(self.notes(number), ["Escalated by request, escalation policy Default"])

    def test_the_level_after_the_last_is_an_error_that_says_so(self):
        number = self.paged()
        self.succeed("done", incident_id=number)
        error = self.fail_with("dead_end", incident_id=number)
        self.assertIn("no such level", error["message"])
        self.assertIn("1006", error["message"])
        self.assertEqual(self.pages(self.kim), ["escalated"])

    def test_an_incident_that_a_person_was_given_goes_to_the_first_level(self):
        number = self.paged()
        self.pagerduty.reassign(self.incident(number).id, self.max, self.person)
        self.succeed("done", incident_id=number)
        self.assertEqual(self.people(number), [self.person])

    def test_to_a_level(self):
        number = self.paged()
        self.succeed("done", incident_id=self.incident(number).id, escalation_level=2)
        self.assertEqual(self.people(number), [self.kim])

    def test_to_a_policy_with_the_reason_in_the_note(self):
        number = self.paged()
        self.succeed("done", incident_id=number, escalation_policy_id=self.command,
                     reason="customer is down {{ 7 * 7 }}")
        self.assertEqual((self.people(number), self.pages(self.lee)), ([self.lee], ["delegated"]))
        self.assertEqual(self.notes(number), [
            "Escalated by request, escalation policy Command: customer is down {{ 7 * 7 }}"])

    def test_to_a_policy_and_a_level(self):
        number = self.paged()
        self.succeed("done", incident_id=number, escalation_policy_id=self.command,
                     escalation_level=3)
        self.assertEqual((self.people(number), self.pages(self.max)), ([self.max], ["delegated"]))

    def test_a_policy_that_is_in_force_already_starts_again(self):
        number = self.paged()
        self.succeed("done", incident_id=number, escalation_policy_id=self.policy)
        self.assertEqual(self.pages(self.person), ["triggered", "escalated"])

    def test_low_urgency_is_raised(self):
        self.pagerduty.account.services[self.service].urgency = "low"
        number = self.paged()
        self.succeed("done", incident_id=number, escalation_level=2)
        self.assertEqual((self.incident(number).urgency, self.people(number)),
                         ("high", [self.kim]))

    def test_one_is_opened_where_none_is_open(self):
        number = self.record("P4")
        result = self.succeed("done", incident_id=number)
        alert, = self.pagerduty.alerts(dedup_key=self.dedup_key(number))
        self.assertEqual((alert.severity, result["dedup_key"]),
                         ("critical", self.dedup_key(number)))
        self.assertEqual(self.pages(self.person), ["triggered"])
        self.assertEqual(self.notes(number), ["Opened by request, escalation policy Default"])
        number = self.record("P4")
        self.succeed("done", incident_id=number, escalation_policy_id=self.command)
        self.assertEqual(self.people(number), [self.lee])

    def test_resolved_in_pagerduty_alone_a_new_one_is_opened(self):
        self.config["bidirectional_sync"] = False
        number = self.paged()
        self.pagerduty.resolve(self.incident(number).id, self.person)
        self.succeed("done", incident_id=number, escalation_level=2)
        again, = self.pagerduty.incidents(dedup_key=self.dedup_key(number) + ":1")
        self.assertEqual((again.status, again.assignees), ("triggered", [self.kim]))

    def test_what_is_resolved_is_left_alone(self):
        number = self.paged()
        incident_id = self.incident(number).id
        self.use_case(commands.resolve_incident, incident_id=number)
        self.stackflow.set_state(number, "resolved")
        for given in (number, incident_id):
            result = self.succeed("skipped", incident_id=given, escalation_level=2)
            self.assertEqual(result["reason"], "resolved")
        self.assertEqual(self.writes(), [])

    def test_an_incident_without_a_record_is_escalated_too(self):
        incident_id = self.born_in_pagerduty(service=self.unmapped)
        result = self.succeed("done", incident_id=incident_id)
        self.assertIsNone(result["stackflow_id"])
        self.assertEqual(self.pagerduty.incident(incident_id).assignees, [self.kim])
        self.assertEqual(self.stackflow.incidents(), [])

    def test_a_lost_answer_escalates_once(self):
        number = self.paged()
        self.pagerduty.faults.add("PUT", "drop_answer")
        self.succeed("done", incident_id=number)
        self.assertEqual(self.pages(self.kim), ["escalated"])

    def test_a_service_that_opens_nothing_is_told_with_its_status(self):
        self.pagerduty.disable_service(self.service)
        number = self.record("P4")
        with mock.patch("pagerduty_stackflow.matching.VISIBLE", timedelta(0)):
            error = self.fail_with("dead_end", incident_id=number)
        self.assertIn("disabled", error["message"])

    def test_unknown_policies_and_levels_are_refused_without_a_write(self):
        number = self.paged()
        self.fail_with("not_found", incident_id=number, escalation_policy_id="PNOSUCH")
        for wrong in ({"escalation_policy_id": "../users"}, {"escalation_policy_id": "Command"},
                      {"escalation_policy_id": "48213"}, {"escalation_level": 0}):
            self.fail_with("bad_input", incident_id=number, **wrong)
        self.assertEqual(self.writes(), [])
        self.fail_with("dead_end", incident_id=number, escalation_level=9)
        self.assertEqual((self.people(number), self.notes(number)), ([self.person], []))

    def test_unknown_ids_are_not_found(self):
        for incident_id in (UNKNOWN_NUMBER, UNKNOWN_ID):
            self.fail_with("not_found", incident_id=incident_id)
        self.assertEqual(self.writes(), [])

    def test_a_malformed_id_is_refused_without_a_call(self):
        self.check_malformed_ids()

    def test_an_answer_that_is_not_json_fails(self):
        number = self.paged()
        self.pagerduty.faults.add("GET /incidents", **HTML)
        self.assertIn("not JSON", self.fail_with("api", incident_id=number)["message"])
        self.assertEqual(self.writes(), [])

    def test_a_config_that_is_wrong_is_told_in_one_message(self):
        self.check_config_error(incident_id=UNKNOWN_NUMBER)

    def test_keys_that_are_refused_are_credentials_errors(self):
        number = self.paged()
        self.pagerduty.revoke_api_key(REST_KEY)
        self.assertIn("expired or revoked", self.fail_with("credentials",
                                                           incident_id=number)["message"])
        self.pagerduty.add_api_key(REST_KEY)
        self.stackflow.revoke(TOKEN)
        self.assertIn("stackflow.auth", self.fail_with("credentials",
                                                       incident_id=number)["hint"])

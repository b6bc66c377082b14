"""The action send_test_event."""

from __future__ import annotations

from unittest import mock

from action_site import REST_KEY, ActionTestCase
from pagerduty_stackflow import prefilter
from pagerduty_stackflow.clock import Clock
from pagerduty_stackflow.datastore import Datastore
from pagerduty_stackflow.errors import PackError
from pagerduty_stackflow.incidents import number_of_key, number_of_url
from pagerduty_stackflow.links import Links
from pagerduty_stackflow.pagerduty.webhooks import parse
from pagerduty_stackflow.settings import load
from send_test_event import SendTestEventAction


class FastClock(Clock):
    """Sleeping takes no time, but counts; meanwhile the simulator works."""

    def __init__(self, simulator):
        self.slept, self.simulator = 0.0, simulator
        self.at = 0, None

    def monotonic(self):
        return super().monotonic() + self.slept

    def sleep(self, seconds):
        self.slept += seconds
        if self.slept == self.at[0]:
            self.at[1]()
        self.simulator.tick()


class SendTestEventTestCase(ActionTestCase):
    action_cls = SendTestEventAction

    def setUp(self):
        super().setUp()
        self.clock = FastClock(self.pagerduty)
        patch = mock.patch("pagerduty_stackflow.pack.Clock", return_value=self.clock)
        patch.start()
        self.addCleanup(patch.stop)

    def test_the_incident_of_the_test_is_triggered_on_the_service_and_pages(self):
        for service in (self.service, "production api"):
            result = self.succeed("done", service=service)
            incident = self.pagerduty.incident(result["pagerduty_incident_id"])
            self.assertEqual((incident.service_id, incident.status), (self.service, "triggered"))
            (alert,) = self.pagerduty.alerts(incident.id)
            self.assertEqual((alert.alert_key, alert.severity), (result["dedup_key"], "critical"))
            pages = [page for page in self.pagerduty.notifications[self.person]
                     if page.incident_id == incident.id]
            self.assertEqual(len(pages), 1)

    def test_each_test_has_a_key_of_its_own_that_is_no_records(self):
        keys = {self.succeed("done", service=self.service)["dedup_key"] for _ in range(2)}
        self.assertEqual(len(keys), 2)
        for key in keys:
            self.assertTrue(key.startswith("stackflow-test:P1234AB:"))
            self.assertLessEqual(len(key), 255)
            self.assertIsNone(number_of_key(key, self.host))

    def test_its_webhook_asks_for_a_stackflow_record_like_any_incident_born_in_pagerduty(self):
        self.pagerduty.subscribe("http://127.0.0.1:1/webhooks/pagerduty")
        self.succeed("done", service=self.service)
        (delivery,) = self.pagerduty.deliveries
        payload = parse(delivery.body)
        self.assertEqual(payload["client"]["name"], "StackFlow integration test")
        self.assertIsNone(number_of_url(payload["client"]["url"], self.host))
        verdict = prefilter.judge("pagerduty_event", payload, load(self.config),
                                  Links(Datastore(self.action_service)), None)
        self.assertEqual(verdict, prefilter.APPLY)

    def test_an_incident_that_comes_late_is_waited_for(self):
        self.pagerduty.switches.event_delay = 1e9
        self.clock.at = 20, lambda: self.pagerduty.clock.advance(1e9)
        self.succeed("done", service=self.service)
        self.assertEqual(self.clock.slept, 20)

    def check_invisible(self, status, hint):
        error = self.fail_with("error", service=self.service)
        self.assertIn("status of service Production API (P1234AB) is %s" % status, error["message"])
        self.assertIn(hint, error["hint"])
        self.assertAlmostEqual(self.clock.slept, 60, delta=4)
        self.assertEqual(self.pagerduty.incidents(), [])
        self.assertEqual([write.document["event_action"] for write in self.pagerduty.writes],
                         ["trigger", "resolve"])

    def test_a_disabled_service_is_named_as_the_reason(self):
        self.pagerduty.disable_service(self.service)
        self.check_invisible("disabled", "enable the service")

    def test_a_service_in_maintenance_is_named_as_the_reason(self):
        self.pagerduty.maintenance(self.service)
        self.check_invisible("maintenance", "maintenance window")

    def test_a_key_that_nobody_knows_is_the_likely_reason_otherwise(self):
        self.config["service_mapping"][0]["integration_key"] = "0123456789abcdef" * 2
        self.check_invisible("active", "re-copy the Integration Key")

    def test_a_key_of_another_service_is_named_and_its_alert_resolved(self):
        key = self.pagerduty.add_integration(self.unmapped)[1]
        self.config["service_mapping"][0]["integration_key"] = key
        error = self.fail_with("error", service=self.service)
        self.assertIn("Unmapped (P0000ZZ)", error["message"])
        self.assertIn("re-copy the Integration Key", error["hint"])
        self.pagerduty.tick()
        self.assertEqual([one.status for one in self.pagerduty.incidents()], ["resolved"])

    def test_where_looking_fails_the_alert_is_resolved_and_both_failures_are_told(self):
        self.pagerduty.faults.add("GET /incidents", kind="status", status=400, times=1)
        self.fail_with("api", service=self.service)
        self.pagerduty.tick()
        self.assertEqual([one.status for one in self.pagerduty.incidents()], ["resolved"])
        self.pagerduty.faults.add("GET /incidents", kind="status", status=400, times=1)
        with mock.patch("pagerduty_stackflow.pagerduty.events.EventsClient.resolve") as resolve:
            resolve.side_effect = PackError("no way there")
            error = self.fail_with("api", service=self.service)
        self.assertIn("no way there", error["message"])

    def test_an_unknown_service_is_refused_before_any_call(self):
        for service in ("Billing", "", "P0000ZZ"):
            error = self.fail_with("bad_input", service=service)
            self.assertIn("P1234AB (Production API)", error["hint"])
        self.assertEqual(self.calls(), [])

    def test_a_service_that_pagerduty_does_not_know_is_not_found_before_anything_is_sent(self):
        self.config["service_mapping"][0]["pagerduty_service_id"] = "P9999ZZ"
        self.fail_with("not_found", service="P9999ZZ")
        self.assertEqual(self.writes(), [])

    def test_a_service_id_with_a_query_behind_it_is_not_taken_for_the_service_before_it(self):
        wrong = "P1234AB?limit=1"
        self.config["service_mapping"][0]["pagerduty_service_id"] = wrong
        self.fail_with("not_found", service=wrong)
        self.assertEqual(self.writes(), [])

    def test_a_key_that_pagerduty_refuses_fails_before_anybody_is_paged(self):
        self.pagerduty.revoke_api_key(REST_KEY)
        error = self.fail_with("credentials", service=self.service)
        self.assertIn("API key expired or revoked", error["message"])
        self.assertEqual(self.writes(), [])

    def test_a_config_that_is_wrong_is_told_in_one_message(self):
        self.check_config_error(service=self.service)

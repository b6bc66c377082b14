"""The example config, with the systems and keys that it names behind it: every check of
check_connection holds.
"""

import json
import re
from pathlib import Path

import yaml
from aws_site import aws, moto_url, no_aws  # noqa: F401 (fixtures)
from misconfigured import REST_KEY, Site
from world import LISTENER, Watched

EXAMPLE = Path(__file__).resolve().parents[2] / "pagerduty_stackflow.yaml.example"
CLIENT_SECRET = "not a secret of any client"


def test_check_connection_accepts_the_example(aws):  # noqa: F811
    site = Site()
    keys = {"pagerduty_webhook_secret": site.webhook_secret,
            "stackflow_webhook_secret": "stackflow-secret",
            "pagerduty_key_production_api": site.api_key,
            "pagerduty_key_database_service": site.database_key}
    text = re.sub(r"\{\{ st2kv\.system\.(\w+) \}\}", lambda found: keys.get(found.group(1), ""),
                  EXAMPLE.read_text(encoding="utf-8"))
    config = yaml.safe_load(text)
    aws.put(REST_KEY, config["pagerduty"]["api_key_secret"])
    aws.put(json.dumps({"client_secret": CLIENT_SECRET}), config["stackflow"]["auth"]["secret"])
    config["aws"]["endpoint_url"] = aws.url
    site.pagerduty.add_user("StackFlow", config["pagerduty"]["from_email"])
    site.pagerduty.add_escalation_policy("Command", [(5, [site.robin])], id=config[
        "escalation_mapping"][0]["pagerduty_escalation_policy_id"])
    site.stackflow.add_client(config["stackflow"]["auth"]["client_id"], CLIENT_SECRET)
    for url in (config["stackflow"]["instance_url"], config["stackflow"]["auth"]["token_url"]):
        site.session.mount(re.match("https://[^/]+/?", url).group().rstrip("/") + "/",
                           Watched(site.stackflow, site))
    config["webhook_listener"]["public_url"] = LISTENER
    site.configure(**config)
    report = site.diagnose()
    assert [one for one in report["checks"] if one["status"] == "failed"] == []
    assert report.get("error") is None

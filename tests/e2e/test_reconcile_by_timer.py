"""What no webhook told, repaired by the action as the platform runs it."""


def test_lost_webhooks_of_both_sides_are_made_good(scene):
    number, incident = scene.pair()
    other, acknowledged = scene.pair()
    for simulator in (scene.stackflow, scene.pagerduty):
        simulator.outbox.lose()
    scene.stackflow.set_state(number, "resolved")
    scene.pagerduty.acknowledge(acknowledged.id, scene.site.casey)
    scene.settle()
    assert (incident.status, scene.state(other)) == ("triggered", "new")
    for incident_id, writes in ((number, ["resolve"]), (acknowledged.id, ["in_progress"])):
        dry = scene.target.run("reconcile", incident_id=incident_id, dry_run=True)
        real = scene.target.run("reconcile", incident_id=incident_id)
        assert (dry.status, real.status) == ("succeeded", "succeeded")
        assert real.result["done"] == dry.result["would"]
        assert [entry["writes"] for entry in real.result["done"]] == [writes]
    scene.settle()
    assert (incident.status, scene.state(other)) == ("resolved", "in_progress")
    status = scene.target.run("sync_status", incident_id=number)
    assert status.result["in_step"] is True

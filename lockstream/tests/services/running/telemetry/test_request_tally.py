"""The tally of requests tells few operations apart, and measures those that have a group."""

from lockstream.services.running.telemetry.request_tally import MAX_KINDS, OTHER, RequestTally


def test_requests_are_counted_by_operation_and_status() -> None:
    tally = RequestTally({"post_event": "post_event", "get_locker": "read", "get_network": "read"})
    for operation, status in (("post_event", 202), ("post_event", 202), ("post_event", 409), ("get_network", 200)):
        tally.note(operation, status, 0.004)
    tally.note("get_events", 200, 30.0)
    assert tally.counts == {
        ("post_event", 202): 2,
        ("post_event", 409): 1,
        ("get_network", 200): 1,
        ("get_events", 200): 1,
    }
    assert {group: seconds.read().cumulative[-1] for group, seconds in tally.seconds.items()} == {
        "post_event": 3,
        "read": 1,
    }


def test_further_kinds_are_summed_up_by_status() -> None:
    tally = RequestTally({})
    for number in range(MAX_KINDS + 5):
        tally.note(f"operation-{number}", 200, 0)
    tally.note("operation-0", 200, 0)
    assert len(tally.counts) == MAX_KINDS + 1
    assert (tally.counts["operation-0", 200], tally.counts[OTHER, 200]) == (2, 5)

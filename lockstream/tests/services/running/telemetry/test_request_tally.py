"""The tally of requests has few labels, whatever is asked, and measures the operations that have a group."""

from lockstream.presentation.http.access.scopes import SCOPES
from lockstream.presentation.http.routes.telemetry.metrics import groups_of_operations, labels_of_operations
from lockstream.services.running.telemetry.request_tally import OTHER, RequestTally

STATUSES = 200, 202, 400, 401, 403, 404, 406, 409, 410, 413, 415, 422, 429, 431, 500, 503
"""The statuses of the contract, but for redirects and 304, which no write has."""

MAX_SERIES = 46
"""Series that a scrape has room for, beside 253 others."""


def tally_of_the_contract() -> RequestTally:
    return RequestTally(groups_of_operations(), labels_of_operations())


def test_requests_are_counted_by_operation_and_status() -> None:
    tally = tally_of_the_contract()
    for operation, status in (("post_event", 202), ("post_event", 200), ("post_event", 409), ("get_network", 200)):
        tally.note(operation, status, 0.004)
    tally.note("get_events", 200, 30.0)
    tally.note("get_ready", 503, 0.001)
    tally.count("console", 401)
    tally.note("create_key", 201, 0.1)
    assert tally.read() == {
        ("post_event", "2xx"): 2,
        ("post_event", "4xx"): 1,
        ("read", "2xx"): 2,
        ("get_ready", "5xx"): 1,
        ("console", "4xx"): 1,
        (OTHER, "2xx"): 1,
    }
    assert {group: seconds.read().cumulative[-1] for group, seconds in tally.seconds.items()} == {
        "post_event": 3,
        "post_batch": 0,
        "read": 1,
        "other": 2,
    }


def test_a_scan_hides_no_later_failure() -> None:
    tally = tally_of_the_contract()
    # given a scan without a key
    for operation in (*SCOPES, OTHER):
        tally.note(operation, 401, 0)
    # when events are refused, then they are told apart from the rest
    tally.note("post_event", 503, 0)
    assert tally.read()["post_event", "503"] == 1
    assert sum(count for (_, status), count in tally.read().items() if status == "401") == len(SCOPES) + 1 - 3


def test_there_are_few_series_whatever_is_asked() -> None:
    tally = tally_of_the_contract()
    for operation in (*SCOPES, OTHER, "console"):
        for status in STATUSES:
            tally.note(operation, status, 0)
    for operation in ("get_locker_state", OTHER, "console"):
        tally.count(operation, 304)
    assert len(tally.read()) <= MAX_SERIES

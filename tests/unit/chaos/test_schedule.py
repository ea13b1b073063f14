"""A seed fixes its schedule for ever, and every kind and target has its turn."""

from collections import Counter
from hashlib import sha256

from flashsale_chaos.faults import KINDS
from flashsale_chaos.schedule import ROUND_FAULTS, from_json, make, rounds_of, to_json
from flashsale_core.crash import POINTS


def test_same_seed_gives_the_same_schedule_on_every_machine() -> None:
    kinds = ("kill", "restart")
    assert sha256(to_json(make(7, 40, kinds))).hexdigest()[:16] == "faf13aa2ed80435b"
    assert make(7, 40) != make(8, 40)


def test_thousand_faults_contain_each_kind_thirty_times() -> None:
    counts = Counter(fault.kind for fault in make(1, 1000).faults)
    assert set(counts) == set(KINDS)
    assert min(counts.values()) >= 30


def test_thousand_faults_arm_each_crash_point_at_least_six_times() -> None:
    armed = Counter(fault.target for fault in make(1, 1000).faults if fault.kind == "crash")
    assert set(armed) == set(KINDS["crash"].targets)
    assert min(armed.values()) >= 6


def test_services_die_at_every_point_that_they_pass() -> None:
    armed = {tuple(target.split("/")) for target in KINDS["crash"].targets}
    wanted = {(service, point) for point, services in POINTS.items() for service in services if not point.startswith("script.")}
    # No message of the crowd is parked.
    assert wanted - armed == {(service, "message.parked") for service in POINTS["message.parked"]}


def test_faults_stay_in_the_rounds_they_came_from() -> None:
    schedule = make(3, 2 * ROUND_FAULTS + 1)
    assert [len(faults) for faults in schedule.rounds] == [ROUND_FAULTS, ROUND_FAULTS, 1]
    assert rounds_of(schedule.faults) == schedule.rounds
    assert rounds_of([schedule.faults[0], schedule.faults[-1]]) == [[schedule.faults[0]], [schedule.faults[-1]]]


def test_schedule_is_read_as_it_was_written() -> None:
    schedule = make(3, 50)
    assert from_json(to_json(schedule)) == schedule

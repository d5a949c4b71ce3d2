"""The limit on time holds on a slow machine, and still finds work that has grown."""

import pytest

from tests.properties import timing


def test_what_calls_little_is_within_a_time_that_the_machine_exceeds(monkeypatch):
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr(timing.time, "process_time", lambda: next(clock))
    assert timing.answer_within(1, lambda: "done") == "done"


def test_what_calls_much_is_not(monkeypatch):
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr(timing.time, "process_time", lambda: next(clock))
    monkeypatch.setattr(timing, "CALLS", 100)
    with pytest.raises(AssertionError, match=r"1,0\d\d calls"):
        timing.answer_within(1, lambda: [abs(i) for i in range(1000)])


def test_what_takes_many_times_as_long_is_not_however_little_it_calls(monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(timing.time, "process_time", lambda: next(clock))
    with pytest.raises(AssertionError, match=r"10\.00 s"):
        timing.answer_within(2, lambda: "done")


def test_calls_are_counted_the_same_each_time():
    counted = {timing.calls_in(lambda: sorted("several words".split(), key=len)) for _ in range(3)}
    assert len(counted) == 1

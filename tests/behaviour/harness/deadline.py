# SPDX-License-Identifier: MIT OR Apache-2.0
"""Waiting for a condition, and measuring for a while: the only place of the suite that pauses."""

import time


class DeadlineError(AssertionError):
    """The condition did not come true in time."""


def wait_until(condition, what, timeout=10.0):
    """Returns the first true value of `condition()`; fails with `what` when none comes within `timeout` seconds."""
    end = time.monotonic() + timeout
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise DeadlineError(f"after {timeout:g}s still not: {what() if callable(what) else what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def looks(value, seconds):
    """`value()` now and so much later."""
    before = value()
    time.sleep(seconds)
    return before, value()


def growth(value, seconds=1.0):
    """How much `value()` grows while nothing is to happen, which is all that there is to wait for."""
    before, after = looks(value, seconds)
    return after - before

"""What people can be told of: the names of events, and when each is told. Pure."""

from collections.abc import Mapping
from typing import Final

EVENTS: Final[Mapping[str, str]] = {
    "planned": "a release was begun",
    "deploying": "its version is being brought to the standby slot",
    "validating": "the gates are measured",
    "canary": "a step of the canary begins",
    "cutting-over": "everybody goes over",
    "stabilising": "everybody is there, and watched",
    "finalising": "it stays",
    "done": "it is over",
    "rolling-back": "everybody goes back",
    "rolled-back": "everybody is back",
    "aborting": "it ends before anybody was moved",
    "aborted": "it has",
    "paused": "it does nothing more by itself: a person said so, or something failed",
    "resumed": "it goes on",
    "warning": "the monitor would rather wait",
    "critical": "the monitor is sure that the new version is worse",
    "signature-wanted": "it waits for signatures, once in each state",
    "stands-still": "it waits for somebody, and nothing has happened for `still_s`, or its way back failed; once",
    "signed": "somebody signed, or refused",
    "hook-failed": "a hook failed: the release pauses, or goes on if it is on its way back",
    "drill": "a drill was begun, or is over",
    "drill-due": "the last drill is longer ago than the gate `drill` allows; once a day",
}
"""Event → when it is told."""

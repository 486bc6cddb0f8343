"""Nothing grows. scripts/soak does the same for as many cycles as wanted."""

import pytest

from conftest import IMAGE
from harness import expect_census, unique_name

pytestmark = pytest.mark.leaks

CYCLES = 20


def test_twenty_cycles_of_run(berth):
    berth.ok("run", "--rm", IMAGE, "true")
    before = berth.census()
    for number in range(CYCLES):
        assert berth.ok("run", "--rm", IMAGE, "echo", number) == str(number)
    expect_census(berth, before)


def test_failures_leave_nothing(berth):
    before = berth.census()
    for arguments in (["no-such-command"], ["/etc/passwd"], ["sh", "-c", "exit 1"]):
        assert berth("run", "--rm", IMAGE, *arguments).status != 0
    expect_census(berth, before)


def test_a_whole_life_leaves_nothing(berth):
    before = berth.census()
    name = unique_name()
    berth.ok("create", "--name", name, IMAGE, "sleep", "1000000")
    berth.ok("start", name)
    berth.ok("exec", name, "true")
    berth.ok("stop", "-t", "1", name)
    berth.ok("start", name)
    berth.ok("kill", name)
    berth.ok("wait", name)
    berth.ok("rm", name)
    expect_census(berth, before)

"""berth update: processors and memory of containers that run and of those that do not."""

import os

import pytest

from harness import expect_error, unique_name

pytestmark = pytest.mark.limits

MIB = 1 << 20
HOST_CPUS = len(os.sched_getaffinity(0))


def inside(berth, name, script):
    return berth.ok("exec", name, "sh", "-c", script)


@pytest.fixture
def idle(berth):
    name = unique_name("update")
    berth.run_idle(name, "--memory", "256m")
    yield name
    berth("rm", "-f", name)


def memory_limit(berth, name):
    return int(inside(berth, name, "cat /sys/fs/cgroup/memory.max"))


def test_memory_of_a_running_container_grows_and_shrinks(berth, idle):
    before = memory_limit(berth, idle)
    assert berth.ok("update", "--memory", "512m", idle) == idle
    assert 200 * MIB < memory_limit(berth, idle) - before <= 256 * MIB
    # What has come can be used, and the container has not noticed otherwise.
    assert inside(berth, idle, "dd if=/dev/zero bs=1M count=1 2>/dev/null | wc -c") == str(MIB)
    assert berth.inspect(idle)["HostConfig"]["Memory"] == 512 * MIB
    berth.ok("update", "-m", "300m", idle)
    assert 0 <= memory_limit(berth, idle) - before < 64 * MIB
    assert berth.inspect(idle)["State"]["Running"]


def test_processor_time_of_a_running_container(berth, idle):
    berth.ok("update", "--cpus", "0.5", idle)
    assert inside(berth, idle, "cat /sys/fs/cgroup/cpu.max").split() == ["50000", "100000"]
    assert berth.inspect(idle)["HostConfig"]["NanoCpus"] == 500_000_000
    berth.ok("update", "--cpus", "1", idle)
    assert inside(berth, idle, "cat /sys/fs/cgroup/cpu.max").split() == ["100000", "100000"]


@pytest.mark.skipif(HOST_CPUS < 2, reason="takes a host with two processors")
def test_processors_come_at_once_or_with_the_next_start(berth, idle):
    assert inside(berth, idle, "nproc") == "1"
    result = berth("update", "--cpus", "2", idle)
    if result.status != 0:
        expect_error(result, "software emulation", status=1)
        assert berth.inspect(idle)["HostConfig"]["NanoCpus"] == 1_000_000_000
        berth.ok("stop", "-t", "0", idle)
        berth.ok("update", "--cpus", "2", idle)
        berth.ok("start", idle)
    assert inside(berth, idle, "nproc") == "2"


def test_what_cannot_be_changes_nothing(berth, idle):
    expect_error(berth("update", idle), "nothing to update", status=1)
    expect_error(berth("update", "--cpus", "0", idle), "--cpus '0' must be a number above 0", status=1)
    expect_error(berth("update", "--memory", "8m", idle), "too little for a virtual machine", status=1)
    expect_error(berth("update", "--memory", "128m", idle), "this machine can have 256MiB to", status=1)
    expect_error(berth("update", "--cpus", "1", "no-such-container"), "no-such-container", status=1)
    assert berth.inspect(idle)["HostConfig"]["Memory"] == 256 * MIB


def test_a_stopped_container_starts_with_what_it_was_given(berth, idle):
    berth.ok("stop", "-t", "0", idle)
    berth.ok("update", "--memory", "384m", idle)
    berth.ok("start", idle)
    total = int(inside(berth, idle, "awk '/MemTotal/ {print $2}' /proc/meminfo"))
    assert 300 * 1024 < total < 384 * 1024

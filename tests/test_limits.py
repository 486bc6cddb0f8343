"""What a container may use, and how it is confined: limits, and options of security."""

import pytest

from conftest import IMAGE
from harness import expect_error, unique_name

pytestmark = pytest.mark.limits


@pytest.fixture(scope="module")
def limited(berth):
    """One container with every limit."""
    name = unique_name("limited")
    berth.run_idle(name, "--cpus", "0.5", "--memory", "256m", "--pids-limit", "20")
    yield name
    berth("rm", "-f", name)


def inside(berth, name, script):
    return berth.ok("exec", name, "sh", "-c", script)


def test_processes_and_processors_are_limited(berth, limited):
    assert inside(berth, limited, "cd /sys/fs/cgroup; cat pids.max cpu.max").split() == ["20", "50000", "100000"]
    assert inside(berth, limited, "nproc") == "1"


def test_memory_ends_before_the_machines(berth, limited):
    limit, total = inside(berth, limited, "cat /sys/fs/cgroup/memory.max; awk '/MemTotal/ {print $2}' /proc/meminfo"
                          ).split()
    assert total and 128 << 20 < int(limit) < int(total) * 1024


def test_inspect_shows_limits(berth, limited):
    host = berth.inspect(limited)["HostConfig"]
    assert (host["PidsLimit"], host["NanoCpus"], host["Memory"]) == (20, 500000000, 256 << 20)


def test_no_limit_of_processes_is_null(berth, box):
    assert berth.inspect(box)["HostConfig"]["PidsLimit"] is None


def test_a_fork_bomb_meets_its_limit(berth, container):
    name = container("--pids-limit", "20")
    result = berth("exec", name, "sh", "-c", "while :; do sleep 1000000 & done")
    assert result.status != 0 and "fork" in result.err, str(result)
    assert berth.state(name)["Running"] is True
    assert 10 < int(berth.ok("stats", "--no-stream", "--format", "{{.PIDs}}", name)) <= 20


def test_g7_out_of_memory_is_an_oom_kill_of_the_container(berth):
    name = unique_name()
    result = berth("run", "--name", name, "-m", "128m", "--tmpfs", "/all:size=4g", IMAGE,
                   "dd", "if=/dev/zero", "of=/all/of-it", "bs=1M")
    assert result.status == 137, str(result)
    state = berth.state(name)
    assert (state["OOMKilled"], state["ExitCode"], state["Status"]) == (True, 137, "exited")
    berth.ok("rm", name)


@pytest.mark.parametrize("arguments, words", [
    (["--pids-limit", "many"], ["--pids-limit", "many"]),
    (["--pids-limit", "-2"], ["--pids-limit", "-2"]),
])
def test_limits_that_cannot_be(berth, arguments, words):
    expect_error(berth("run", "--rm", *arguments, IMAGE, "true"), *words)

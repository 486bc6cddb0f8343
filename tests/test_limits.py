"""What a container may use, and how it is confined: limits, and options of security."""

import re

import pytest

from conftest import IMAGE
from harness import expect_error, unique_name

pytestmark = pytest.mark.limits

# Docker's default set (moby, oci/caps/defaults.go).
DEFAULT_CAPABILITIES = 0xA80425FB


@pytest.fixture(scope="module")
def limited(berth):
    """One container with every limit."""
    name = unique_name("limited")
    berth.run_idle(name, "--cpus", "0.5", "--memory", "256m", "--pids-limit", "20", "--ulimit", "nofile=100:200",
                   "--ulimit", "core=0", "--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.shmmax=12345",
                   "--sysctl", "fs.mqueue.msg_max=7", "--shm-size", "3m", "--cap-drop", "chown", "--cap-add",
                   "CAP_SYS_ADMIN", "--security-opt", "no-new-privileges", "--group-add", "nogroup", "--group-add", "4242",
                   "--oom-score-adj", "500")
    yield name
    berth("rm", "-f", name)


def inside(berth, name, script):
    return berth.ok("exec", name, "sh", "-c", script)


def test_processes_and_processors_are_limited(berth, limited):
    assert inside(berth, limited, "cd /sys/fs/cgroup; cat pids.max cpu.max").split() == ["20", "50000", "100000"]
    assert inside(berth, limited, "nproc") == "1"


def test_disks_are_limited(berth):
    """The kernel took the limits for the right disks, which say their names, and execs are below them."""
    name, volume = unique_name("io"), unique_name("data")
    options = ("--device-read-bps", "/:1mb", "--device-write-iops", "/:300", "--device-write-bps", "/data/:2mb",
               "--device-read-iops", "/data:400", "-v", f"{volume}:/data", "-v", f"{volume}-free:/free")
    berth.run_idle(name, *options)
    try:
        script = "for disk in /sys/block/vd*; do echo $(cat $disk/serial) $(cat $disk/dev); done"
        disks = dict(line.split() for line in inside(berth, name, script).splitlines())
        serials = {place: "vol-" + mount["Source"].rsplit("/", 1)[1].removesuffix(".img")
                   for mount in berth.inspect(name)["Mounts"] for place in [mount["Destination"]]}
        limits = inside(berth, name, "cat /sys/fs/cgroup/io.max").splitlines()
        assert sorted(limits) == sorted([
            f"{disks['scratch']} rbps=1048576 wbps=max riops=max wiops=300",
            f"{disks['image']} rbps=1048576 wbps=max riops=max wiops=max",
            f"{disks[serials['/data']]} rbps=max wbps=2097152 riops=400 wiops=max",
        ])
        # The cgroup with the limits is the root that both see; an exec's is one below it.
        assert inside(berth, name, "cat /proc/1/cgroup") == "0::/"
        assert inside(berth, name, "cat /proc/self/cgroup").startswith("0::/")

        def written():
            text = inside(berth, name, "cat /sys/fs/cgroup/io.stat")
            lines = [line.split() for line in text.splitlines() if line.startswith(disks[serials["/data"]] + " ")]
            return sum(int(word.removeprefix("wbytes=")) for line in lines for word in line if word.startswith("wbytes="))

        before = written()
        inside(berth, name, "dd if=/dev/zero of=/data/file bs=64k count=4 oflag=direct 2>/dev/null")
        assert written() - before >= 4 * 65536, "what an exec writes counts where the limit stands"
        host = berth.inspect(name)["HostConfig"]
        assert host["BlkioDeviceReadBps"] == [{"Path": "/", "Rate": 1 << 20}]
        assert host["BlkioDeviceWriteBps"] == [{"Path": "/data", "Rate": 2 << 20}]
        assert host["BlkioDeviceReadIOps"] == [{"Path": "/data", "Rate": 400}]
        assert host["BlkioDeviceWriteIOps"] == [{"Path": "/", "Rate": 300}]
    finally:
        berth("rm", "-f", name)
        berth("volume", "rm", volume, f"{volume}-free")


def test_memory_ends_before_the_machines(berth, limited):
    limit, total = inside(berth, limited, "cat /sys/fs/cgroup/memory.max; awk '/MemTotal/ {print $2}' /proc/meminfo"
                          ).split()
    assert total and 128 << 20 < int(limit) < int(total) * 1024


def test_ulimits(berth, limited):
    for process in ("1", "self"):
        limits = inside(berth, limited, f"cat /proc/{process}/limits")
        assert re.search(r"Max open files +100 +200 ", limits)
        assert re.search(r"Max core file size +0 +0 ", limits)


def test_f24_ulimits_unless_told(berth, box):
    limits = inside(berth, box, "cat /proc/self/limits")
    assert re.search(r"Max open files +1048576 +1048576 ", limits)
    for name in ("core file size", "locked memory", "processes"):
        assert re.search(rf"Max {name} +unlimited +unlimited ", limits), limits
    assert re.search(r"Max stack size +8388608 +unlimited ", limits)


def test_sysctls(berth, limited):
    script = "cd /proc/sys; cat net/ipv4/ip_forward kernel/shmmax fs/mqueue/msg_max"
    assert inside(berth, limited, script).split() == ["1", "12345", "7"]


def test_size_of_shared_memory(berth, limited, box):
    script = "df -k /dev/shm | awk 'END {print $2}'"
    assert (inside(berth, limited, script), inside(berth, box, script)) == ("3072", "65536")


def test_capabilities_bring_their_system_calls(berth, limited):
    status = inside(berth, limited, "cat /proc/1/status")
    expected = DEFAULT_CAPABILITIES & ~1 | 1 << 21
    for line in (f"CapEff:\t{expected:016x}", f"CapBnd:\t{expected:016x}", "NoNewPrivs:\t1", "Seccomp:\t2"):
        assert line in status, status
    script = "mkdir -p /m && mount -t tmpfs none /m && umount /m && echo mounted"
    assert inside(berth, limited, script) == "mounted"


def test_further_groups(berth, limited):
    assert {"4242", "65534"} <= set(inside(berth, limited, "id -G").split())


def test_oom_score_adjustment(berth, limited):
    assert inside(berth, limited, "cat /proc/1/oom_score_adj /proc/self/oom_score_adj").split() == ["500", "500"]


def test_no_capabilities_and_no_seccomp_filter(berth):
    status = berth.ok("run", "--rm", "--cap-drop", "ALL", "--security-opt", "seccomp=unconfined", IMAGE,
                      "cat", "/proc/self/status")
    assert "CapBnd:\t0000000000000000" in status and "Seccomp:\t0" in status, status


def test_a_setting_that_the_kernel_refuses(berth):
    result = berth("run", "--rm", "--sysctl", "net.ipv4.no_such_thing=1", IMAGE, "true")
    expect_error(result, "net.ipv4.no_such_thing")


def test_inspect_shows_limits(berth, limited):
    host = berth.inspect(limited)["HostConfig"]
    assert (host["PidsLimit"], host["NanoCpus"], host["Memory"]) == (20, 500000000, 256 << 20)
    assert {"Name": "nofile", "Hard": 200, "Soft": 100} in host["Ulimits"]
    assert host["Sysctls"]["net.ipv4.ip_forward"] == "1"
    assert (host["ShmSize"], host["OomScoreAdj"]) == (3 << 20, 500)
    assert (host["CapAdd"], host["CapDrop"]) == (["CAP_SYS_ADMIN"], ["chown"])
    assert (host["SecurityOpt"], host["GroupAdd"]) == (["no-new-privileges"], ["nogroup", "4242"])


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
    (["--ulimit", "nofile=2:1"], ["--ulimit", "nofile"]),
    (["--ulimit", "files=1"], ["files"]),
    (["--sysctl", "vm.swappiness=1"], ["vm.swappiness", "not allowed"]),
    (["--sysctl", "net.core.somaxconn"], ["net.core.somaxconn", "NAME=VALUE"]),
    (["--shm-size", "much"], ["--shm-size", "much"]),
    (["--device-read-bps", "/:fast"], ["--device-read-bps", "fast"]),
    (["--device-write-iops", "/:1.5"], ["--device-write-iops", "1.5"]),
    (["--device-read-bps", "/dev/sda:1mb"], ["/dev/sda", "place of a volume"]),
    (["--tmpfs", "/tmp", "--device-write-bps", "/tmp:1mb"], ["/tmp", "place of a volume"]),
    (["--cap-add", "FLY"], ["FLY"]),
    (["--cap-drop", "FLY"], ["FLY"]),
    (["--security-opt", "seccomp=/profile.json"], ["seccomp=/profile.json"]),
    (["--oom-score-adj", "1001"], ["--oom-score-adj", "1001"]),
])
def test_limits_that_cannot_be(berth, arguments, words):
    expect_error(berth("run", "--rm", *arguments, IMAGE, "true"), *words)

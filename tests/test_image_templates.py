"""Templates in which the root of an image's containers is mounted already."""

import os
import pathlib
import re
import subprocess

import pytest

from conftest import IMAGE
from forks import fork
from harness import IDLE, busybox_berth, expect_error, unique_name, wait_until

pytestmark = pytest.mark.templates


@pytest.fixture(scope="module")
def own():
    with busybox_berth("berth-image-templates-") as berth:
        berth.environment["BERTH_TEMPLATES"] = "manual"
        yield berth


@pytest.fixture(scope="module")
def of_size(own):
    template, = own.ok("template", "ls", "-q").split()
    return template


@pytest.fixture
def of_image(own, of_size):
    return own.ok("template", "create", IMAGE)


@pytest.fixture
def started(own):
    names = []

    def start(*options):
        names.append(unique_name())
        own.ok("run", "-d", "--name", names[-1], *options, IMAGE, *IDLE)
        own.wait_for_output(names[-1], "ready")
        return names[-1]

    yield start
    for name in names:
        own("rm", "-f", name)


def template_of(berth, name):
    """Whose memory the container's machine has mapped; nothing for one that booted."""
    maps = pathlib.Path(f"/proc/{berth.qemu(name)}/maps").read_text()
    found = set(re.findall(r"/templates/([0-9a-f]{16})/memory", maps))
    return found.pop() if found else None


def launcher_log(berth, name):
    return (berth.root / "pods" / berth.inspect(name)["Id"] / "launcher.log").read_text()


def shell(berth, name, script):
    return berth.ok("exec", name, "sh", "-c", script)


def test_it_is_listed_with_its_image(own, of_size, of_image):
    assert sorted(own.ok("template", "ls", "--format", "{{.ID}} {{.Image}}").splitlines()) == \
        sorted([f"{of_size} any", f"{of_image} {IMAGE}"])
    expect_error(own("template", "create", "nobody/has:this"), "image", status=1)


def test_a_first_start_prefers_it(own, of_image, started):
    first, second = started(), started()
    assert template_of(own, first) == template_of(own, second) == of_image
    assert shell(own, first, "echo first > /own; cat /own") == "first"
    assert shell(own, second, "ls /own 2>/dev/null; touch /etc/written && df / | tail -1 | wc -l") == "1"
    drawn = [shell(own, name, "cat /proc/sys/kernel/random/uuid; head -c 16 /dev/urandom | md5sum; cat /etc/hostname")
             .split() for name in (first, second)]
    assert not set(drawn[0]) & set(drawn[1]) - {"-"}


def test_its_clones_read_nothing_of_the_image(own, of_image, started):
    name = started()
    assert template_of(own, name) == of_image
    before, after = shell(own, name, "reads() { set -- $(cat /sys/block/vda/stat); echo $1; };"
                                     "reads; cat /bin/busybox > /dev/null; reads").split()
    assert int(before) > 0 and after == before


def test_the_kernel_of_a_template_has_done_its_own(own, of_image, started):
    name = started()
    clock, card = shell(own, name, "cat /sys/devices/system/clocksource/clocksource0/current_clocksource"
                                   " /sys/class/net/eth0/operstate").split()
    assert clock != "tsc-early" and card == "up"


def test_what_was_written_is_there_at_the_next_start(own, of_size, of_image, started):
    name = started("-v", "/volume")
    assert template_of(own, name) == of_image
    shell(own, name, "echo kept > /kept; echo volume > /volume/file; mkdir -p /a/b && rm /bin/ash")
    own.ok("stop", name)
    user = own.inspect(name)["Id"]
    disk, = [file for file in (own.root / "disks").iterdir() if holds(file, b"kept\n")]
    subprocess.run(["/sbin/e2fsck", "-fn", disk], check=True, stdout=subprocess.DEVNULL)
    own.ok("start", name)
    assert own.inspect(name)["Id"] == user
    assert template_of(own, name) == of_size
    assert shell(own, name, "cat /kept /volume/file; ls -d /a/b; ls /bin/ash 2>/dev/null || echo gone").split() == \
        ["kept", "volume", "/a/b", "gone"]


def holds(file, content):
    data = subprocess.run(["grep", "-c", "-a", content.decode().strip(), file], capture_output=True, check=False)
    return data.returncode == 0


def test_a_disk_that_was_used_stays(own, of_size, of_image):
    name = unique_name()
    own.ok("create", "--name", name, IMAGE, *IDLE)
    file = own.base / "given" / unique_name()
    file.write_text("copied before the start\n")
    own.ok("cp", file, f"{name}:/copied")
    own.ok("start", name)
    assert template_of(own, name) == of_size
    assert shell(own, name, "cat /copied") == "copied before the start"
    own.ok("rm", "-f", name)


def test_forks_and_snapshots_of_it(own, of_image, started):
    name = started()
    shell(own, name, "echo before > /file")
    copy, = fork(own, name)
    snapshot = unique_name("snapshot")
    own.ok("snapshot", name, snapshot)
    shell(own, name, "echo after > /file")
    kept = own.ok("run", "-d", "--from-snapshot", snapshot)
    assert [shell(own, one, "cat /file; touch /new && echo written").split() for one in (name, copy, kept)] == \
        [["after", "written"], ["before", "written"], ["before", "written"]]
    own.ok("rm", "-f", copy, kept)
    own.ok("snapshot", "rm", snapshot)


def test_without_it_and_with_a_damaged_one(own, of_size, of_image, started):
    disk = own.root / "templates" / of_image / "disk"
    os.utime(disk)
    name = started()
    assert template_of(own, name) == of_size
    assert "its disk has changed" in launcher_log(own, name)
    assert own.ok("template", "ls", "-q").split() == [of_size]
    assert shell(own, name, "echo works > /file; cat /file") == "works"


def test_a_root_file_system_that_was_made_anew_is_another(own, of_size, of_image, started):
    rootfs, = (own.root / "images" / "rootfs").glob("*.erofs")
    os.utime(rootfs)
    assert template_of(own, started()) == of_size
    again = own.ok("template", "create", IMAGE)
    assert again != of_image
    assert template_of(own, started()) == again
    own.ok("template", "rm", of_image)


def test_killed_in_the_middle_of_a_first_start(own, of_image):
    """Whatever state the disk is in then, the next start has a whole one."""
    for seconds in (0.02, 0.05, 0.1, 0.2):
        name = unique_name()
        own.ok("create", "--name", name, IMAGE, *IDLE)
        client = own.spawn("start", name)
        try:
            client.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        for pid in own.processes("berth-launcher", own.inspect(name)["Id"][:12]):
            os.kill(pid, 9)
        client.communicate()
        wait_until(lambda: not own.processes("qemu-system", own.inspect(name)["Id"][:12]), "its machine is gone")
        own("start", name)
        wait_until(lambda: own.state(name)["Running"], f"{name} runs")
        assert shell(own, name, "echo works > /file; cat /file") == "works"
        own.ok("rm", "-f", name)

"""Volumes: what is in them outlives containers, and one machine at a time has it."""

import json
import os
import signal
import stat
import subprocess
import time

import pytest

import oci
from conftest import IMAGE
from harness import IDLE, expect_error, is_alive, kill_group, unique_name, wait_until

pytestmark = pytest.mark.usefixtures("volumes_go")


@pytest.fixture(scope="module")
def filled_image(berth, busybox_layout, given):
    """With files at /data, of another owner, and a volume of its own at /own."""
    layer = oci.tar(oci.directory("data", 0o750), oci.file("data/seed", b"from the image\n", 0o640),
                    oci.symbolic_link("data/link", "seed"), oci.directory("own"), oci.file("own/seed", b"own\n"))
    source = oci.derive(busybox_layout, given / "filled", "filled", {"Volumes": {"/own": {}}}, [layer])
    berth.ok("pull", "-q", source)
    # Its root file system is made at the first start, and kept.
    berth.ok("run", "--rm", "filled", "true")
    return "filled"


def shell(berth, name, script, *options):
    """Output of a script in a container of its own that has the volume at /data."""
    return berth.ok("run", "--rm", "-v", f"{name}:/data", *options, IMAGE, "sh", "-c", script)


def volumes(berth):
    return berth.ok("volume", "ls", "-q").split()


def test_data_survives_its_container(berth):
    name = unique_name("data")
    shell(berth, name, "echo kept > /data/file; mkdir -p /data/a/b; chown 7:8 /data/a")
    assert shell(berth, name, "cat /data/file; stat -c %u:%g /data/a; ls /data").split() == ["kept", "7:8", "a", "file"]
    assert volumes(berth) == [name]


def test_a_machine_that_is_removed_at_once_loses_nothing(berth):
    name = unique_name("data")
    sums = shell(berth, name, "dd if=/dev/urandom of=/data/big bs=1M count=16 2>/dev/null; md5sum /data/big")
    assert shell(berth, name, "md5sum /data/big") == sums


def test_create_ls_inspect_rm(berth):
    name = unique_name("data")
    assert berth.ok("volume", "create", "--label", "a=b", "--label", "c", "--opt", "size=64m", name) == name
    assert berth.ok("volume", "create", name) == name
    generated = berth.ok("volume", "create")
    assert len(generated) == 64
    assert set(volumes(berth)) == {name, generated}
    assert berth.ok("volume", "ls").splitlines()[0].split() == ["DRIVER", "VOLUME", "NAME"]
    lines = [json.loads(line) for line in berth.ok("volume", "ls", "--format", "json").splitlines()]
    assert {"Name": name, "Driver": "local", "Labels": "a=b,c="}.items() <= {line["Name"]: line for line in lines}[
        name].items()
    details = json.loads(berth.ok("volume", "inspect", name))[0]
    assert (details["Name"], details["Labels"], details["Options"]) == (name, {"a": "b", "c": ""}, {"size": "67108864"})
    assert details["UsageData"]["RefCount"] == 0
    info = os.stat(details["Mountpoint"])
    assert stat.S_IMODE(info.st_mode) == 0o600 and info.st_blocks * 512 < 2 << 20
    expect_error(berth("volume", "create", "--opt", "size=1g", name), "already", "64MiB", status=1)
    assert 40 < int(shell(berth, name, "df -m /data | tail -n 1").split()[1]) < 64
    assert berth.ok("volume", "rm", name, generated).split() == [name, generated]
    expect_error(berth("volume", "rm", name), "no such volume", status=1)
    expect_error(berth("volume", "inspect", name), "no such volume", status=1)
    berth.ok("volume", "rm", "-f", name)
    assert volumes(berth) == []


def test_f18_a_fresh_volume_gets_the_images_content(berth, filled_image):
    name = unique_name("data")
    script = "cat /data/link; stat -c %a /data /data/seed; echo changed > /data/seed"
    seen = berth.ok("run", "--rm", "-v", f"{name}:/data", filled_image, "sh", "-c", script)
    assert seen.split() == ["from", "the", "image", "750", "640"]
    assert shell(berth, name, "cat /data/seed") == "changed"
    empty = unique_name("data")
    assert berth.ok("run", "--rm", "--mount", f"source={empty},target=/data,volume-nocopy", filled_image, "ls", "/data") == ""


def test_read_only(berth, filled_image):
    name = unique_name("data")
    script = "cat /data/seed; touch /data/new 2>&1; cat /sys/block/vd*/ro | tr -d '\\n'"
    for disk_is_read_only in (False, True):
        seen = berth.ok("run", "--rm", "-v", f"{name}:/data:ro", filled_image, "sh", "-c", script)
        assert seen.startswith("from the image\n") and "Read-only file system" in seen
        assert seen.endswith("101" if disk_is_read_only else "100"), seen
    assert shell(berth, name, "touch /data/new; ls /data").split() == ["link", "new", "seed"]


def test_read_only_after_a_crash(berth):
    """What was synced is there: the journal is replayed although the container may not write."""
    name = unique_name("data")
    identity = berth.ok("run", "-d", "-v", f"{name}:/data", IMAGE, "sh", "-c",
                        "echo kept > /data/file; sync; echo ready; sleep 1000000")
    berth.wait_for_output(identity, "ready")
    os.kill(berth.qemu(identity), signal.SIGKILL)
    wait_until(lambda: not berth.state(identity)["Running"], "the container has ended")
    assert berth.ok("run", "--rm", "-v", f"{name}:/data:ro", IMAGE, "cat", "/data/file") == "kept"


def test_f20_nested_volumes(berth):
    outer, inner = unique_name("outer"), unique_name("inner")
    options = ("-v", f"{inner}:/data/deep/inner", "--mount", f"type=volume,src={outer},dst=/data",
               "--mount", "type=tmpfs,dst=/data/deep/inner/memory,tmpfs-size=1m")
    seen = berth.ok("run", "--rm", *options, IMAGE, "sh", "-c",
                    "echo o > /data/o; echo i > /data/deep/inner/i; echo m > /data/deep/inner/memory/m; "
                    "stat -f -c %T /data/deep/inner/memory")
    assert seen == "tmpfs"
    assert shell(berth, outer, "ls /data /data/deep/inner").split() == ["/data:", "deep", "o", "/data/deep/inner:"]
    assert shell(berth, inner, "find /data | sort").split() == ["/data", "/data/i", "/data/memory"]


def test_a_volume_of_a_running_container_is_refused_to_others(berth):
    name, first, second = unique_name("data"), unique_name("first"), unique_name("second")
    berth.run_idle(first, "-v", f"{name}:/data")
    begun = time.monotonic()
    expect_error(berth("run", "--rm", "--name", second, "-v", f"{name}:/data", IMAGE, "true"),
                 f"volume {name} is in use by container {first}")
    assert time.monotonic() - begun < 5
    expect_error(berth("volume", "rm", name), f"in use by container {first}", status=1)
    assert berth.ok("exec", first, "sh", "-c", "echo alive > /data/file; cat /data/file") == "alive"
    berth.ok("create", "--name", second, "-v", f"{name}:/data:ro", IMAGE, "cat", "/data/file")
    expect_error(berth("start", "-a", second), f"in use by container {first}", status=1)
    assert berth.state(second)["Status"] == "created"
    expect_error(berth("cp", f"{second}:/data/file", "-"), f"in use by container {first}", status=1)
    berth.ok("stop", "-t", "60", first)
    assert berth.ok("start", "-a", second) == "alive"
    berth.ok("rm", first)
    expect_error(berth("volume", "rm", name), f"in use by container {second}", status=1)
    berth.ok("rm", second)
    berth.ok("volume", "rm", name)


def test_a_killed_launcher_lets_go_of_the_volume(berth):
    name, first = unique_name("data"), unique_name("first")
    berth.run_idle(first, "-v", f"{name}:/data")
    launcher, qemu = berth.launcher(first), berth.qemu(first)
    os.kill(launcher, signal.SIGKILL)
    wait_until(lambda: not is_alive(launcher) and not is_alive(qemu), "launcher and machine are gone")
    assert shell(berth, name, "touch /data/file; ls /data") == "file"
    assert berth.state(first)["Status"] == "exited"


def test_anonymous_volumes(berth, filled_image):
    """As with Docker: they go with --rm and rm -v, and else they stay."""
    berth.ok("run", "--rm", "-v", "/data", filled_image, "cat", "/data/seed", "/own/seed")
    assert volumes(berth) == []
    kept, gone, renamed = unique_name(), unique_name(), unique_name()
    for name in (kept, gone):
        berth.ok("create", "--name", name, "-v", "/data", IMAGE, "true")
    mounts = {name: berth.inspect(name)["Mounts"][0]["Name"] for name in (kept, gone)}
    assert sorted(volumes(berth)) == sorted(mounts.values())
    berth.ok("create", "--name", renamed, "-v", f"{mounts[gone]}:/data", IMAGE, "true")
    berth.ok("rm", "-v", gone)
    assert mounts[gone] in volumes(berth), "another container has it"
    berth.ok("rm", "-v", renamed)
    assert mounts[gone] in volumes(berth), "who gave it by name does not own it"
    berth.ok("rm", kept)
    assert sorted(volumes(berth)) == sorted(mounts.values())
    owner = unique_name()
    berth.ok("create", "--name", owner, "-v", "/data", IMAGE, "true")
    own = berth.inspect(owner)["Mounts"][0]["Name"]
    berth.ok("rm", "-v", owner)
    assert own not in volumes(berth)


def test_prune(berth):
    named, user = unique_name("data"), unique_name()
    anonymous = berth.ok("volume", "create")
    berth.ok("volume", "create", named)
    berth.ok("create", "--name", user, "-v", "/data", IMAGE, "true")
    used = berth.inspect(user)["Mounts"][0]["Name"]
    assert "[y/N]" in berth.ok("volume", "prune", input=b"n\n")
    assert len(volumes(berth)) == 3
    assert anonymous in berth.ok("volume", "prune", input=b"y\n")
    assert sorted(volumes(berth)) == sorted([named, used])
    assert "Total reclaimed space: 0B" in berth.ok("volume", "prune", "-f")
    assert named in berth.ok("volume", "prune", "-a", "-f")
    assert volumes(berth) == [used]


def test_inspect_shows_mounts(berth, filled_image):
    data, user = unique_name("data"), unique_name()
    berth.ok("create", "--name", user, "-v", f"{data}:/data/:ro", "-v", "/own", "--tmpfs", "/t:size=1m", filled_image)
    details = berth.inspect(user)
    mounts = {mount["Destination"]: mount for mount in details["Mounts"]}
    assert set(mounts) == {"/data", "/own", "/t"}
    source = json.loads(berth.ok("volume", "inspect", data))[0]["Mountpoint"]
    assert mounts["/data"] == {"Type": "volume", "Name": data, "Source": source, "Destination": "/data",
                               "Driver": "local", "Mode": "ro", "RW": False}
    assert (mounts["/own"]["Type"], mounts["/own"]["RW"], len(mounts["/own"]["Name"])) == ("volume", True, 64)
    assert mounts["/t"]["Type"] == "tmpfs"
    assert f"{data}:/data:ro" in details["HostConfig"]["Binds"]


def test_cp_reaches_volumes(berth, given):
    name, user = unique_name("data"), unique_name()
    (given / "note").write_text("note\n")
    berth.ok("create", "--name", user, "-v", f"{name}:/data", IMAGE, *IDLE)
    berth.ok("cp", given / "note", f"{user}:/data/stopped")
    berth.ok("start", user)
    berth.wait_for_output(user, "ready")
    assert berth.ok("exec", user, "cat", "/data/stopped") == "note"
    berth.ok("cp", given / "note", f"{user}:/data/running")
    berth.ok("stop", "-t", "60", user)
    berth.ok("cp", f"{user}:/data/running", given / "back")
    assert (given / "back").read_text() == "note\n"
    assert shell(berth, name, "ls /data").split() == ["running", "stopped"]


@pytest.mark.parametrize("options, words", [
    (("-v", "data"), ("must be absolute",)),
    (("-v", "data:rel"), ("must be absolute",)),
    (("-v", "bad name:/data"), ("invalid volume name",)),
    (("-v", "data:/"), ("nothing can be mounted at '/'",)),
    (("-v", "data:/data:fast"), ("unknown option 'fast'",)),
    (("-v", "data:/data", "-v", "/data/"), ("duplicate mount point: /data",)),
    (("-v", "data:/data", "-v", "data:/other"), ("data is given twice",)),
    (("--mount", "type=volume,src=data"), ("no target",)),
    (("--mount", "type=npipe,dst=/data"), ("volume, bind or tmpfs",)),
])
def test_bad_mounts_make_nothing(berth, options, words):
    expect_error(berth("run", "--rm", *options, IMAGE, "true"), *words)
    assert volumes(berth) == []


@pytest.mark.parametrize("arguments, words", [
    (("create", "a/b"), ("invalid volume name",)), (("create", ""), ("invalid volume name",)),
    (("create", "--opt", "size=1k"), ("cannot have 1KiB",)), (("create", "--opt", "speed=9"), ("size=SIZE",)),
    (("create", "--label", "=x"), ("no key",)), (("lock",), ("not a command",)),
])
def test_bad_volume_commands_make_nothing(berth, arguments, words):
    expect_error(berth("volume", *arguments), *words, status=1)
    assert volumes(berth) == []


def test_a_file_at_the_volumes_place_fails_the_start_by_name(berth):
    name = unique_name("data")
    expect_error(berth("run", "--rm", "-v", f"{name}:/bin/busybox", IMAGE, "true"), "/bin/busybox")
    assert shell(berth, name, "echo usable") == "usable"


def test_a_volume_whose_disk_is_gone(berth):
    name = unique_name("data")
    berth.ok("volume", "create", name)
    os.unlink(json.loads(berth.ok("volume", "inspect", name))[0]["Mountpoint"])
    expect_error(berth("run", "--rm", "-v", f"{name}:/data", IMAGE, "true"), f"disk of the volume {name} is gone")
    berth.ok("volume", "rm", name)


@pytest.mark.crash
def test_a_killed_client_leaves_no_anonymous_volume(berth):
    for seconds in (0.02, 0.05, 0.1, 0.2, 0.3):
        name = unique_name()
        process = berth.spawn("create", "--name", name, "-v", "/a", "-v", "/b", IMAGE, "true")
        time.sleep(seconds)
        kill_group(process)
        process.communicate()
        berth.ok("ps", "-a")
        there = len(volumes(berth))
        if berth("rm", "-v", name).status == 0:
            assert there == 2
        wait_until(lambda: volumes(berth) == [], "the volumes are gone", 10)


def test_as_an_ordinary_user_the_image_is_private(berth):
    """Nobody but its owner and the machine that is handed a descriptor reads it."""
    name = unique_name("data")
    berth.ok("volume", "create", name)
    path = json.loads(berth.ok("volume", "inspect", name))[0]["Mountpoint"]
    if os.geteuid() != 0:
        pytest.skip("needs root to be somebody else")
    reader = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "cat", path], capture_output=True)
    assert reader.returncode != 0 and not reader.stdout

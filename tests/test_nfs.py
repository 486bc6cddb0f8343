"""Volumes on NFS servers: several machines share one, and a server that is gone holds nobody up."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

from conftest import IMAGE
from harness import expect_error, free_port, unique_name, wait_until

pytestmark = [pytest.mark.nfs, pytest.mark.usefixtures("volumes_go"),
              pytest.mark.skipif(os.geteuid() != 0, reason="the server needs root")]

# The host, as a machine with user networking sees it.
HOST = "10.0.2.2"
NOBODY = "10.0.2.77"

CONFIGURATION = """
NFS_CORE_PARAM {{
  NFS_Protocols = 4; NFS_Port = {port}; Bind_addr = 127.0.0.1;
  Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;
}}
NFSv4 {{
  Graceless = true; RecoveryBackend = fs; RecoveryRoot = "{folder}/recovery"; Only_Numeric_Owners = true;
  Server_Owner = "{owner}"; Server_Scope = "{owner}";
}}
"""

EXPORT = """
EXPORT {{
  Export_Id = {number}; Path = "{path}"; Pseudo = "/{name}"; Access_Type = RW; Squash = No_Root_Squash;
  SecType = sys; Protocols = 4; Transports = TCP; FSAL {{ Name = VFS; }}
}}
"""


class Server:
    """NFS-Ganesha as a process of the test, with the exports /one and /two."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        (folder / "recovery").mkdir(parents=True)
        text = CONFIGURATION.format(port=self.port, folder=folder, owner=unique_name("nfs"))
        for number, name in enumerate(("one", "two"), 1):
            self.export(name).mkdir()
            text += EXPORT.format(number=number, path=self.export(name), name=name)
        (folder / "conf").write_text(text)
        self.process = subprocess.Popen(
            ["ganesha.nfsd", "-F", "-f", folder / "conf", "-L", folder / "log", "-p", folder / "pid"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(self.answers, "the NFS server listens")
        except BaseException:
            self.stop()
            raise

    def export(self, name):
        return self.folder / name

    def answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5):
            return True

    def stop(self):
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def running_server(folder):
    server = Server(folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server(berth, given):
    if shutil.which("ganesha.nfsd") is None:
        pytest.skip("needs the packages nfs-ganesha and nfs-ganesha-vfs")
    if not os.path.exists("/etc/mtab"):
        pytest.skip("needs /etc/mtab, where the server looks for file systems: ln -s ../proc/self/mounts /etc/mtab")
    with running_server(given / "nfs") as server:
        # The initramfs with the modules is made at the first start, and kept.
        volume = make(berth, server)
        try:
            run(berth, volume, "true")
        finally:
            berth.ok("volume", "rm", volume)
        yield server


@pytest.fixture
def other_server(given, server):
    """One that a test may stop."""
    with running_server(given / "nfs-other") as other:
        yield other


def options_of(port, path="/one", address=HOST, more=""):
    return ("--opt", "type=nfs", "--opt", f"o=addr={address},port={port}{more}", "--opt", f"device=:{path}")


def make(berth, server, path="/one", **options):
    return berth.ok("volume", "create", *options_of(server.port, path, **options), unique_name("shared"))


def run(berth, volume, script, *options):
    return berth.ok("run", "--rm", *options, "-v", f"{volume}:/data", IMAGE, "sh", "-c", script)


def test_files_are_on_the_server(berth, server):
    volume = make(berth, server)
    (server.export("one") / "given").write_text("given\n")
    seen = run(berth, volume, "cat /data/given; echo made > /data/made; chown 7:8 /data/made; chmod 640 /data/made; "
               "grep ' /data ' /proc/mounts")
    assert seen.startswith("given\n") and " nfs4 rw," in seen and "vers=4.2" in seen, seen
    made = server.export("one") / "made"
    assert made.read_text() == "made\n"
    assert (made.stat().st_uid, made.stat().st_gid, made.stat().st_mode & 0o777) == (7, 8, 0o640)
    assert run(berth, volume, "cat /data/made; stat -c %u:%g /data/made").split() == ["made", "7:8"]


def test_a_machine_that_is_removed_at_once_loses_nothing(berth, server):
    volume = make(berth, server, "/two")
    # A file that is still open at the end is not written back by its process.
    sums = run(berth, volume, "exec 3>/data/big; dd if=/dev/urandom bs=1M count=8 2>/dev/null >&3; md5sum /data/big")
    assert run(berth, volume, "md5sum /data/big") == sums


def test_create_ls_inspect(berth, server):
    volume = make(berth, server, more=",vers=4.1")
    assert berth.ok("volume", "create", volume) == volume
    details = json.loads(berth.ok("volume", "inspect", volume))[0]
    assert details["Options"] == {"type": "nfs", "o": f"addr={HOST},port={server.port},vers=4.1", "device": ":/one"}
    assert (details["Driver"], details["Mountpoint"], details["UsageData"]["Size"]) == ("local", "", 0)
    expect_error(berth("volume", "create", *options_of(server.port, "/two"), volume), "other options already", status=1)
    expect_error(berth("volume", "create", "--opt", "size=1g", volume), "other options already", status=1)
    user = unique_name()
    berth.ok("create", "--name", user, "-v", f"{volume}:/data:ro", IMAGE, "true")
    mount = berth.inspect(user)["Mounts"][0]
    assert mount == {"Type": "volume", "Name": volume, "Source": f"{HOST}:/one", "Destination": "/data",
                     "Driver": "local", "Mode": "ro", "RW": False}
    expect_error(berth("volume", "rm", volume), f"in use by container {user}", status=1)


@pytest.mark.parametrize("version, shown", [("4.0", "vers=4.0"), ("4.1", "vers=4.1"), ("4", "vers=4.2")])
def test_versions(berth, server, version, shown):
    volume = make(berth, server, more=f",vers={version}")
    seen = run(berth, volume, f"echo {version} > /data/version; cat /data/version; grep ' /data ' /proc/mounts")
    assert seen.splitlines()[0] == version and shown in seen, seen


def test_read_only(berth, server):
    (server.export("one") / "given").write_text("given\n")
    script = "cat /data/given; touch /data/new 2>&1; true"
    assert "Read-only file system" in run(berth, make(berth, server, more=",ro"), script)
    volume = make(berth, server)
    seen = berth.ok("run", "--rm", "--mount", f"type=volume,source={volume},target=/data,readonly", IMAGE, "sh", "-c",
                    script)
    assert seen.startswith("given\n") and "Read-only file system" in seen
    assert not (server.export("one") / "new").exists()


def test_f23_a_servers_second_address_is_used(berth, server):
    volume = make(berth, server, address="nas")
    (server.export("one") / "given").write_text("given\n")
    hosts = ("--add-host", f"nas:{NOBODY}", "--add-host", f"nas:{HOST}")
    assert run(berth, volume, "cat /data/given", *hosts) == "given"


def test_f23_without_any_address_each_has_its_reason(berth, server):
    volume = berth.ok("volume", "create", *options_of(free_port(), address="nas"), unique_name("shared"))
    hosts = ("--add-host", f"nas:{NOBODY}", "--add-host", f"nas:{HOST}")
    result = berth("run", "--rm", *hosts, "-v", f"{volume}:/data", IMAGE, "true")
    expect_error(result, "mount /data", "NFS server nas", f"{NOBODY}: ", f"{HOST}: Connection refused")


def test_two_servers_and_two_exports_at_once(berth, server, other_server):
    options = []
    for number, (each, path) in enumerate([(server, "/one"), (server, "/two"), (other_server, "/one")]):
        (each.export(path[1:]) / "name").write_text(f"{each.port}{path}\n")
        options += ["-v", f"{make(berth, each, path)}:/data/{number}"]
    script = "cat /data/*/name; for place in /data/*; do echo $place > $place/place; done"
    seen = berth.ok("run", "--rm", *options, IMAGE, "sh", "-c", script)
    assert seen.split() == [f"{server.port}/one", f"{server.port}/two", f"{other_server.port}/one"]
    assert (server.export("two") / "place").read_text() == "/data/1\n"
    assert (other_server.export("one") / "place").read_text() == "/data/2\n"


def test_several_machines_share_a_volume(berth, server, container):
    volume = make(berth, server)
    # By their host names alone the server would take both for one.
    first, second = (container("-h", "same", "-v", f"{volume}:/data") for _ in range(2))
    berth.ok("exec", first, "sh", "-c", "echo first > /data/file")
    assert berth.ok("exec", second, "sh", "-c", "cat /data/file; echo second > /data/other") == "first"
    assert berth.ok("exec", first, "cat", "/data/file", "/data/other").split() == ["first", "second"]


def test_copies_and_further_starts(berth, server, given):
    volume, user = make(berth, server), unique_name()
    (given / "note").write_text("note\n")
    berth.ok("create", "--name", user, "-v", f"{volume}:/data", IMAGE, "cat", "/data/copied")
    berth.ok("cp", given / "note", f"{user}:/data/copied")
    assert (server.export("one") / "copied").read_text() == "note\n"
    for _ in range(2):
        assert berth.ok("start", "-a", user) == "note"


def test_a_silent_server_fails_the_start_in_time(berth, server):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        volume = berth.ok("volume", "create", *options_of(silent.getsockname()[1]), unique_name("shared"))
        result = berth("run", "--rm", "-v", f"{volume}:/data", IMAGE, "true", timeout=150)
        expect_error(result, "mount /data", f"NFS server {HOST}", "longer than")


@pytest.mark.parametrize("more, path, words", [
    ("", "/three", [f"NFS server {HOST}", "has no /three"]),
    (",vers=3,mountport=9", "/one", [f"NFS server {HOST}: Connection refused"]),
])
def test_what_a_server_refuses_is_said(berth, server, more, path, words):
    volume = make(berth, server, path, more=more)
    expect_error(berth("run", "--rm", "-v", f"{volume}:/data", IMAGE, "true"), *words)


def test_a_name_that_nobody_knows(berth, server):
    volume = make(berth, server, address="no-such-host.invalid")
    expect_error(berth("run", "--rm", "-v", f"{volume}:/data", IMAGE, "true"), "no-such-host.invalid has no address")


def test_a_server_needs_a_network_and_has_no_disk(berth, server):
    volume = make(berth, server)
    expect_error(berth("run", "--rm", "--network", "none", "-v", f"{volume}:/data", IMAGE, "true"),
                 f"{volume} is on an NFS server", "--network none")
    expect_error(berth("run", "--rm", "--device-read-bps", "/data:1mb", "-v", f"{volume}:/data", IMAGE, "true"),
                 f"{volume} at /data is on an NFS server", "no disk")


@pytest.mark.parametrize("end", [signal.SIGSTOP, signal.SIGKILL])
def test_a_server_that_goes_away_holds_nobody_up(berth, other_server, end):
    """Processes wait for it, with unwritten data; the machine obeys, and what is on disks is kept."""
    shared, disk, user = make(berth, other_server), unique_name("disk"), unique_name()
    script = "echo kept > /disk/file; echo ready; while :; do cat /bin/busybox > /data/file; done"
    berth.ok("run", "-d", "--name", user, "-v", f"{shared}:/data", "-v", f"{disk}:/disk", IMAGE, "sh", "-c", script)
    berth.wait_for_output(user, "ready")
    wait_until(lambda: (other_server.export("one") / "file").exists(), "the container writes to the server")
    other_server.process.send_signal(end)
    assert berth.ok("exec", user, "echo", "alive") == "alive"
    stuck = berth.spawn("exec", user, "sh", "-c", "cat /bin/busybox > /data/other")
    try:
        state = ("exec", user, "sh", "-c", "grep -h State /proc/[0-9]*/status; true")
        wait_until(lambda: "disk sleep" in berth.ok(*state), "a process waits for the server")
        begun = time.monotonic()
        berth.ok("stop", "-t", "1", user)
        assert time.monotonic() - begun < 100
        assert berth.state(user)["Status"] == "exited"
    finally:
        stuck.kill()
        stuck.communicate()
    assert berth.ok("run", "--rm", "-v", f"{disk}:/disk", IMAGE, "cat", "/disk/file") == "kept"


@pytest.mark.parametrize("options, words", [
    (("--opt", "type=cifs", "--opt", "device=//a/b"), ("only type is nfs",)),
    (("--opt", "type=nfs", "--opt", "device=:/one"), ("no NFS server",)),
    (("--opt", "type=nfs", "--opt", "o=addr=nas"), ("--opt device",)),
    (("--opt", "type=nfs", "--opt", "o=addr=nas", "--opt", "device=/one"), ("use :/PATH",)),
    (("--opt", "o=addr=nas"), ("only type is nfs",)),
    (options_of(1, more=",sec=krb5"), ("sec=sys only",)),
    (options_of(1, more=",vers=2"), ("vers=2",)),
    (options_of(1, more=",context=x"), ("context=x",)),
    (options_of(1, address="a b"), ("'a b'", "NFS server")),
    ((*options_of(1), "--opt", "size=1g"), ("leave out size",)),
])
def test_options_that_cannot_be_make_nothing(berth, options, words):
    name = unique_name("shared")
    expect_error(berth("volume", "create", *options, name), *words, status=1)
    assert name not in berth.ok("volume", "ls", "-q").split()

"""Folders of the host in containers: virtiofs, one confined server for each."""

import hashlib
import os
import pathlib
import signal
import subprocess

import pytest

from conftest import IMAGE
from harness import Result, expect_census, expect_error, is_alive, unique_name, wait_until


@pytest.fixture(scope="module")
def warm(berth, given):
    """The initramfs for such machines is made with the first of them, and kept, as is the doctor's answer about KVM."""
    berth.ok("run", "--rm", "-v", f"{given}:/in", IMAGE, "true")
    berth("doctor")


@pytest.fixture(autouse=True)
def nothing_left(berth, warm):
    before = berth.census()
    yield
    for container in set(berth.ids()) - set(before["records"]):
        berth.ok("rm", "-f", container)
    expect_census(berth, before)


@pytest.fixture
def folder(given):
    path = given / unique_name("folder")
    path.mkdir()
    return path


def run(berth, *arguments):
    return berth.ok("run", "--rm", *arguments)


def inside(berth, name, script):
    return berth.ok("exec", name, "sh", "-c", script)


def children(pid):
    listed = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def is_server(pid):
    return "virtiofsd" in pathlib.Path(f"/proc/{pid}/comm").read_text()


def folder_processes(berth, name):
    """All processes that serve folders of the container; the last one of each chain does the work."""
    chains = []
    for helper in children(berth.launcher(name)):
        chain = [helper]
        while below := children(chain[-1]):
            chain.append(below[0])
        if is_server(chain[-1]):
            chains.append(chain)
    return chains


def test_files_both_ways_with_their_owners(berth, folder):
    (folder / "given").write_text("from the host\n")
    os.chmod(folder / "given", 0o640)
    if os.geteuid() == 0:
        os.chown(folder / "given", 12, 34)
    info = (folder / "given").stat()
    out = run(berth, "-v", f"{folder}:/in", IMAGE, "sh", "-c",
              "cat /in/given; stat -c '%u:%g %a' /in/given; mkdir -p /in/a/b; echo made > /in/a/b/file; "
              "chown -R 7:8 /in/a; ln -s b/file /in/a/link; chmod 4750 /in/a/b/file")
    assert out.splitlines() == ["from the host", f"{info.st_uid}:{info.st_gid} 640"]
    made = (folder / "a" / "b" / "file").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o7777) == (7, 8, 0o4750)
    assert (folder / "a" / "link").read_text() == "made\n" and os.readlink(folder / "a" / "link") == "b/file"


def test_another_user_writes_what_is_its_own(berth, folder):
    os.chown(folder, 1000, 1000)
    (folder / "private").write_text("not for others")
    os.chmod(folder / "private", 0o600)
    out = run(berth, "-u", "user", "-v", f"{folder}:/in", IMAGE, "sh", "-c", "echo mine > /in/file; cat /in/private 2>&1 || true")
    assert "Permission denied" in out
    assert (folder / "file").stat().st_uid == 1000


def test_read_only_holds_on_both_sides(berth, container, folder):
    (folder / "file").write_text("kept")
    name = container("-v", f"{folder}:/in:ro", "--mount", f"type=bind,src={folder},dst=/other,readonly")
    for place in ("/in", "/other"):
        assert inside(berth, name, f"cat {place}/file") == "kept"
        for script in (f"echo x > {place}/file", f"touch {place}/new", f"rm {place}/file", f"chmod 777 {place}/file"):
            result = berth("exec", name, "sh", "-c", script)
            assert result.status != 0 and "Read-only file system" in result.err, str(result)
    # What a guest does that does not keep to its own mount's flags: the server itself cannot.
    for chain in folder_processes(berth, name):
        with pytest.raises(OSError, match="Read-only file system"):
            pathlib.Path(f"/proc/{chain[-1]}/root/new").write_text("x")
    assert os.listdir(folder) == ["file"] and (folder / "file").read_text() == "kept"


def test_changes_are_seen_at_once(berth, container, folder):
    name = container("-v", f"{folder}:/in")
    assert inside(berth, name, "ls -a /in").split() == [".", ".."]
    for text in ("first", "other", "longer than before", ""):
        (folder / "file").write_text(text)
        assert inside(berth, name, "cat /in/file; stat -c %s /in/file") == f"{text}{len(text)}"
    (folder / "new").write_text("another file")
    (folder / "new").rename(folder / "file")
    assert inside(berth, name, "cat /in/file") == "another file"
    os.chmod(folder / "file", 0o4711)
    assert inside(berth, name, "stat -c %a /in/file") == "4711"
    (folder / "file").unlink()
    assert inside(berth, name, "ls /in") == ""
    inside(berth, name, "echo inside > /in/back")
    assert (folder / "back").read_text() == "inside\n"
    # A file that is open in the container grows on the host.
    reader = berth.spawn("exec", name, "tail", "-f", "/in/back")
    assert reader.stdout.readline() == b"inside\n"
    with open(folder / "back", "a") as file:
        file.write("appended\n")
    assert reader.stdout.readline() == b"appended\n"
    os.killpg(reader.pid, signal.SIGKILL)
    reader.communicate()


def test_several_folders_and_a_file(berth, folder):
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "file").write_text(name)
    (folder / "single").write_text("one file\n")
    (folder / "sibling").write_text("not to be seen")
    out = run(berth, "-v", f"{folder}/a:/in/a", "-v", f"{folder}/b:/in/deep/b", "-v", f"{folder}/single:/etc/motd",
              "-v", f"{folder}/single:/made/here.txt:ro", IMAGE, "sh", "-c",
              "cat /in/a/file /in/deep/b/file; cat /etc/motd /made/here.txt; echo more >> /etc/motd; "
              "ls /made; touch /made/here.txt 2>&1 || true")
    assert out.splitlines()[:4] == ["abone file", "one file", "here.txt", "touch: /made/here.txt: Read-only file system"]
    assert (folder / "single").read_text() == "one file\nmore\n"


def test_a_file_is_served_without_its_siblings(berth, container, folder):
    (folder / "single").write_text("one file\n")
    (folder / "sibling").write_text("not to be seen")
    name = container("-v", f"{folder}/single:/etc/motd")
    (chain,) = folder_processes(berth, name)
    root = pathlib.Path(f"/proc/{chain[-1]}/root")
    assert os.listdir(root) == ["file"] and (root / "file").read_text() == "one file\n"
    with pytest.raises(OSError, match="Read-only file system"):
        (root / "new").write_text("x")


def test_a_server_sees_its_folder_only(berth, container, folder):
    (folder / "file").write_text("x")
    name = container("-v", f"{folder}:/in")
    (chain,) = folder_processes(berth, name)
    root = pathlib.Path(f"/proc/{chain[-1]}/root")
    assert os.listdir(root) == ["file"]
    status = pathlib.Path(f"/proc/{chain[-1]}/status").read_text()
    assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
    for kind in ("mnt", "net", "pid"):
        assert os.readlink(f"/proc/{chain[-1]}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")


def test_a_link_that_leads_out_is_the_containers(berth, folder, given):
    secret = given / unique_name("secret")
    secret.write_text("of the host")
    (folder / "absolute").symlink_to(secret)
    (folder / "relative").symlink_to(f"../{secret.name}")
    (folder / "name").symlink_to("/etc/hostname")
    (folder / "etc").symlink_to("/etc")
    out = run(berth, "--hostname", "guest", "-v", f"{folder}:/in", IMAGE, "sh", "-c",
              "cat /in/name; cat /in/absolute /in/relative 2>&1; ls /in/..; touch /in/etc/made; ls /etc/made")
    assert out.splitlines()[0] == "guest"
    assert out.count("No such file or directory") == 2 and "of the host" not in out
    assert "busybox" not in out or secret.name not in out
    assert out.splitlines()[-1] == "/etc/made" and not os.path.exists("/etc/made")
    secret.unlink()


def test_no_devices_come_into_being(berth, folder):
    result = berth("run", "--rm", "-v", f"{folder}:/in", IMAGE, "sh", "-c",
                   "mkfifo /in/fifo && mknod /in/device b 8 0")
    assert result.status != 0 and "Operation not permitted" in result.err, str(result)
    assert os.listdir(folder) == ["fifo"]


def test_a_container_that_is_removed_at_once_loses_nothing(berth, folder):
    out = run(berth, "-v", f"{folder}:/in", IMAGE, "sh", "-c",
              "dd if=/dev/urandom of=/in/big bs=1M count=16 2>/dev/null; md5sum /in/big")
    assert out.split()[0] == hashlib.md5((folder / "big").read_bytes()).hexdigest()


def test_stop_start_and_restart_keep_them(berth, container, folder):
    name = container("--mount", f"type=bind,source={folder},target=/in",
                     "--mount", f"type=bind,source={folder},target=/ro,readonly")
    inside(berth, name, "echo 1 >> /in/file")
    berth.ok("stop", "-t", "60", name)
    assert not berth.inspect(name)["State"]["Running"]
    (folder / "file").write_text((folder / "file").read_text() + "2\n")
    berth.ok("start", name)
    assert inside(berth, name, "echo 3 >> /in/file; cat /ro/file; touch /ro/x 2>&1 || true").split()[:3] == ["1", "2", "3"]
    # A source that has gone meanwhile is a reason not to start.
    berth.ok("stop", "-t", "60", name)
    away = folder.with_name(folder.name + "-away")
    folder.rename(away)
    expect_error(berth("start", name), "is not there", str(folder), status=1)
    away.rename(folder)
    berth.ok("start", name)
    assert inside(berth, name, "cat /in/file").split() == ["1", "2", "3"]


def test_inspect_shows_them_as_docker_does(berth, folder):
    name = unique_name()
    berth.ok("create", "--name", name, "-v", f"{folder}/:/in//deep/:ro", "--mount",
             f"type=bind,source={folder},target=/out", IMAGE, "true")
    shown = berth.inspect(name)
    assert shown["Mounts"] == [
        {"Type": "bind", "Source": str(folder), "Destination": "/in/deep", "Mode": "ro", "RW": False,
         "Propagation": "rprivate"},
        {"Type": "bind", "Source": str(folder), "Destination": "/out", "Mode": "", "RW": True,
         "Propagation": "rprivate"}]
    assert shown["HostConfig"]["Binds"] == [f"{folder}:/in/deep:ro", f"{folder}:/out:rw"]
    # Where they are on the host is nothing to the guest.
    assert str(folder) not in berth.ok("config", "encode", "--container", name, "--scope", "guest")
    berth.ok("rm", name)


def test_a_missing_source(berth, folder):
    missing = folder / "not" / "there"
    before = berth.ids()
    for command in ("run", "create"):
        expect_error(berth(command, "--mount", f"type=bind,src={missing},dst=/in", IMAGE, "true"), "is not there",
                     str(missing), status=125)
    assert berth.ids() == before and not missing.parent.exists()
    assert run(berth, "-v", f"{missing}:/in", IMAGE, "sh", "-c", "touch /in/file; stat -c %u:%a /in") == f"{os.geteuid()}:755"
    assert (missing / "file").exists()


def test_a_relative_source_is_where_the_user_is(berth, folder):
    (folder / "file").write_text("here")
    for options in (("-v", "./:/in"), ("-v", "../" + folder.name + ":/in:ro"), ("--mount", "type=bind,src=.,dst=/in")):
        process = berth.spawn("run", "--rm", *options, IMAGE, "cat", "/in/file", cwd=folder)
        out, err = process.communicate(timeout=180)
        assert (process.returncode, out) == (0, b"here"), err


@pytest.mark.parametrize("options, words", [
    (("-v", "~/x:/in"), ("HOME",)),
    (("-v", "/etc:in"), ("absolute|name of a volume",)),
    (("-v", "/etc:/in:rshared"), ("propagation",)),
    (("-v", "/etc:/in:nocopy"), ("unknown option 'nocopy'",)),
    (("-v", "/etc:/in", "-v", "/usr:/in"), ("duplicate mount point",)),
    (("-v", "/etc:/"), ("nothing can be mounted at '/'",)),
    (("-v", "/dev/null:/in"), ("only folders and regular files",)),
    (("--mount", "type=bind,src=etc,dst=/in"), ("absolute path of this host",)),
    (("--mount", "type=bind,dst=/in"), ("absolute path of this host",)),
    (("--mount", "src=/etc,dst=/in"), ("type=bind",)),
    (("--mount", "type=bind,src=/etc,dst=/in,bind-propagation=shared"), ("rprivate",)),
])
def test_bad_input_is_one_line(berth, options, words):
    expect_error(berth("run", "--rm", *options, IMAGE, "true"), *words)


def test_a_place_that_does_not_fit(berth, folder):
    (folder / "file").write_text("x")
    expect_error(berth("run", "--rm", "-v", f"{folder}/file:/etc", IMAGE, "true"), "file cannot be mounted on a folder")
    expect_error(berth("run", "--rm", "-v", f"{folder}:/etc/passwd", IMAGE, "true"), "folder cannot be mounted on a file")


def test_copies_of_a_container_that_does_not_run(berth, folder):
    (folder / "file").write_text("of the host")
    name = unique_name()
    berth.ok("create", "--name", name, "-v", f"{folder}:/in", IMAGE, "true")
    berth.ok("cp", f"{name}:/in/file", folder / "copy")
    assert (folder / "copy").read_text() == "of the host"
    berth.ok("cp", folder / "copy", f"{name}:/in/back")
    assert (folder / "back").read_text() == "of the host"
    berth.ok("cp", folder / "copy", f"{name}:/etc/own")
    berth.ok("rm", name)


def test_memory_can_be_added(berth, container, folder):
    """All of it is shared with the server."""
    name = container("-m", "128m", "-v", f"{folder}:/in")
    (folder / "big").write_bytes(os.urandom(150 << 20))
    berth.ok("update", "--memory", "512m", name)
    # More than fits the memory of its start.
    inside(berth, name, "cp /in/big /dev/null; mkdir -p /t; dd if=/in/big of=/in/copy bs=64M 2>/dev/null")
    digest = hashlib.md5((folder / "big").read_bytes()).hexdigest()
    assert hashlib.md5((folder / "copy").read_bytes()).hexdigest() == digest
    assert inside(berth, name, "md5sum /in/copy").split()[0] == digest
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.crash
def test_a_killed_launcher_leaves_no_server(berth, container, folder):
    name = container("-v", f"{folder}:/a", "-v", f"{folder}:/b:ro")
    chains = folder_processes(berth, name)
    assert len(chains) == 2
    os.kill(berth.launcher(name), signal.SIGKILL)
    for pid in sum(chains, []):
        wait_until(lambda: not is_alive(pid), f"process {pid} is gone", 30)
    assert not berth.state(name)["Running"]
    berth.ok("start", name)
    assert inside(berth, name, "touch /a/again; ls /b") == "again"


@pytest.mark.crash
@pytest.mark.parametrize("link", [0, 1, 2])
def test_the_end_of_a_server_is_told(berth, container, folder, link):
    """The helper, virtiofsd's first process, and the one that does the work."""
    name = container("-v", f"{folder}:/a", "-v", f"{folder}:/b")
    chains = folder_processes(berth, name)
    os.kill(chains[1][link], signal.SIGKILL)
    wait_until(lambda: not berth.state(name)["Running"], "the container has ended")
    assert f"file server of the host's folder {folder} ended" in berth.state(name)["Error"]
    for pid in sum(chains, []):
        wait_until(lambda: not is_alive(pid), f"process {pid} is gone", 30)


@pytest.mark.crash
def test_killed_qemu_takes_the_servers_along(berth, container, folder):
    name = container("-v", f"{folder}:/a")
    (chain,) = folder_processes(berth, name)
    os.kill(berth.qemu(name), signal.SIGKILL)
    for pid in chain:
        wait_until(lambda: not is_alive(pid), f"process {pid} is gone", 30)
    assert "file server" not in berth.state(name)["Error"]


def test_what_is_mounted_below_comes_along(berth, folder):
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    (folder / "below").mkdir()
    script = (f"mount -t tmpfs tmpfs {folder}/below && echo deep > {folder}/below/file && exec \"$@\"")
    command = ["unshare", "--mount", "sh", "-c", script, "sh"]
    inner = "cat /in/below/file; touch /in/below/x 2>&1; echo $(stat -c %d /in) $(stat -c %d /in/below)"
    result = subprocess.run([*command, *berth.command("run", "--rm", "-v", f"{folder}:/in:ro", IMAGE, "sh", "-c", inner)],
                            env=berth.environment, capture_output=True, timeout=180, text=True)
    lines = result.stdout.splitlines()
    assert lines[0] == "deep" and "Read-only file system" in lines[1], result
    assert len(set(lines[2].split())) == 2, "each file system has a number of its own"


def test_without_virtiofsd(berth, folder):
    if os.geteuid() != 0:
        pytest.skip("needs root to hide a program")
    hide = "mount --bind /dev/null /usr/lib/qemu/virtiofsd && exec \"$@\""

    def without(*arguments):
        command = ["unshare", "--mount", "sh", "-c", hide, "sh", *berth.command(*arguments)]
        process = subprocess.run(command, env=berth.environment, capture_output=True, timeout=180)
        return Result(arguments, process.returncode, process.stdout, process.stderr)

    before = berth.ids()
    expect_error(without("run", "--rm", "-v", f"{folder}/new:/in", IMAGE, "true"), "qemu-system-common")
    assert berth.ids() == before and os.listdir(folder) == []
    line = [line for line in without("doctor").out.splitlines() if "virtiofsd" in line]
    assert len(line) == 1 and line[0].startswith("note") and "qemu-system-common" in line[0]

"""Everything but bridge networks as an ordinary user: state below the user's XDG folders, nothing elsewhere."""

import os
import pathlib
import pwd
import shutil
import subprocess
import urllib.request

import pytest

from conftest import IMAGE
from forks import COUNT, expect_continuation, fork
from harness import Berth, expect_census, find_program, free_port, unique_name, wait_until

pytestmark = pytest.mark.rootless

PROGRAMS = ("berth", "berth-launcher", "berth-tether")


@pytest.fixture(scope="module")
def ordinary_user():
    """A new user with a home of its own when we are root, else ourselves."""
    if os.geteuid() != 0:
        yield pwd.getpwuid(os.geteuid())
        return
    if not shutil.which("useradd"):
        pytest.skip("needs useradd")
    name = f"berth-{os.getpid()}"
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True)
    yield pwd.getpwnam(name)
    subprocess.run(["userdel", "--remove", name], check=True, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def user_berth(ordinary_user, base, busybox_layout):
    """berth run by the user, from programs that the user can reach."""
    programs = base / "given" / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        source = find_program().parent / name
        shutil.copy2(source, programs / name)
    home = base / "given" / "user"
    for folder in (home, home / "data", home / "runtime"):
        folder.mkdir(mode=0o700)
        os.chown(folder, ordinary_user.pw_uid, ordinary_user.pw_gid)
    berth = Berth(home, programs / "berth", {
        "PATH": os.environ["PATH"], "HOME": ordinary_user.pw_dir, "BERTH_ACCEL": "tcg", "BERTH_TEMPLATES": "manual",
        "XDG_DATA_HOME": str(home / "data"), "XDG_RUNTIME_DIR": str(home / "runtime")},
        prefix=["runuser", "-u", ordinary_user.pw_name, "--"] if os.geteuid() == 0 else [])
    berth.root = home / "data" / "berth"
    berth.runtime = home / "runtime" / "berth"
    berth.ok("pull", "-q", f"oci:{busybox_layout}")
    berth.ok("template", "create")
    yield berth
    berth.remove_all()
    wait_until(lambda: not berth.processes(), "the launcher has ended")


def test_copies(user_berth, ordinary_user):
    """What comes out belongs to the user, with -a too; what goes in, to the container's root."""
    home = user_berth.root.parent.parent
    name = unique_name()
    user_berth.ok("create", "--name", name, IMAGE, "stat", "-c", "%u:%g %s", "/etc/given", "/etc/owned")
    given = home / "given"
    given.write_text("given")
    given.chmod(0o644)
    user_berth.ok("cp", given, f"{name}:/etc")
    user_berth.ok("cp", "-a", given, f"{name}:/etc/owned")
    for options, target in (((), home / "data" / "out"), (("-a",), home / "data" / "kept")):
        user_berth.ok("cp", *options, f"{name}:/etc/given", target)
        assert (target.stat().st_uid, target.read_text()) == (ordinary_user.pw_uid, "given")
        target.unlink()
    out = user_berth.ok("start", "-a", name)
    assert out == f"0:0 5\n{given.stat().st_uid}:{given.stat().st_gid} 5"
    user_berth.ok("rm", name)
    given.unlink()


def test_run(user_berth):
    result = user_berth("run", "--rm", "-i", IMAGE, "sh", "-c", "cat; id -u; exit 5", input=b"input ")
    assert (result.status, result.out) == (5, "input 0\n")


def test_state_is_below_the_xdg_folders(user_berth, ordinary_user):
    assert (user_berth.root / "records.db").stat().st_uid == ordinary_user.pw_uid
    home = pathlib.Path(ordinary_user.pw_dir)
    assert not (home / ".local").exists() and not (home / ".cache").exists()


def test_owners_survive_unpacking(user_berth):
    out = user_berth.ok("run", "--rm", "-u", "user", IMAGE, "sh", "-c",
                        "stat -c %u:%g /home/user /bin/busybox; touch /home/user/file && echo mine")
    assert out.split() == ["1000:1000", "0:0", "mine"]


def test_qemu_runs_as_the_user(user_berth, ordinary_user):
    name = unique_name()
    port = free_port()
    user_berth.ok("run", "-d", "--name", name, "-p", f"{port}:80", IMAGE, "sh", "-c",
                  "mkdir /www; echo rootless > /www/index.html; exec httpd -f -p 80 -h /www")
    for pid in (user_berth.qemu(name), user_berth.launcher(name)):
        assert os.stat(f"/proc/{pid}").st_uid == ordinary_user.pw_uid

    def fetch():
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).read()
        except OSError:
            return None

    assert wait_until(fetch, "the published port answers") == b"rootless\n"
    assert user_berth.ok("exec", name, "hostname") == user_berth.inspect(name)["Id"][:12]
    user_berth.ok("rm", "-f", name)


def test_stop_start_and_logs(user_berth):
    name = unique_name()
    user_berth.run_idle(name)
    user_berth.ok("stop", name)
    user_berth.ok("start", name)
    user_berth.ok("exec", name, "true")
    user_berth.ok("rm", "-f", name)


def test_templates_forks_and_snapshots(user_berth, ordinary_user):
    """Also of a clone; their files and processes are the user's."""
    template = user_berth.ok("template", "create", IMAGE)
    name, snapshot = unique_name(), unique_name("snapshot")
    user_berth.ok("run", "-d", "--name", name, "--fork-limit", "1", IMAGE, *COUNT)
    assert f"/templates/{template}/memory" in pathlib.Path(f"/proc/{user_berth.qemu(name)}/maps").read_text()
    user_berth.wait_for_output(name, "3\n")
    copy, other = fork(user_berth, name, "-n", "2")
    expect_continuation(user_berth, copy, name)
    grandchild, = fork(user_berth, other)
    user_berth.ok("snapshot", grandchild, snapshot)
    kept = user_berth.ok("run", "-d", "--from-snapshot", snapshot)
    expect_continuation(user_berth, kept, name, other, grandchild)
    for container in (name, copy, other, grandchild, kept):
        assert os.stat(f"/proc/{user_berth.qemu(container)}").st_uid == ordinary_user.pw_uid
    user_berth.ok("rm", "-f", name, copy, other, grandchild, kept)
    user_berth.ok("snapshot", "rm", snapshot)
    user_berth.ok("template", "rm", template)
    assert not list((user_berth.root / "disks").iterdir())


def test_nothing_is_left(user_berth):
    user_berth.ok("run", "--rm", IMAGE, "true")
    before = user_berth.census()
    user_berth.ok("run", "--rm", IMAGE, "true")
    expect_census(user_berth, before)


def test_roots_data_is_refused_with_a_reason(user_berth, berth, as_root):
    result = user_berth("--root", berth.root, "ps")
    assert result.status == 1
    assert len(result.err.splitlines()) == 1 and str(berth.root) in result.err


def test_folders_of_the_host(user_berth, ordinary_user):
    """Root in the container is the user outside, and others are subordinate ids."""
    folder = user_berth.root.parent / unique_name("folder")
    folder.mkdir()
    os.chown(folder, ordinary_user.pw_uid, ordinary_user.pw_gid)
    (folder / "given").write_text("from the host\n")
    name = unique_name()
    user_berth.run_idle(name, "-v", f"{folder}:/in", "-v", f"{folder}:/ro:ro", "-v", f"{folder}/given:/etc/motd:ro")
    script = "cat /in/given /etc/motd; stat -c %u /in; echo made > /in/made; touch /in/other; chown 5:6 /in/other; touch /ro/x"
    result = user_berth("exec", name, "sh", "-c", script)
    assert result.out.split() == ["from", "the", "host", "from", "the", "host", "0"], str(result)
    assert "Read-only file system" in result.err
    assert (folder / "made").stat().st_uid == ordinary_user.pw_uid
    assert (folder / "other").stat().st_uid not in (0, 5, ordinary_user.pw_uid)
    launcher = user_berth.launcher(name)
    helpers = subprocess.run(["pgrep", "-P", str(launcher), "-f", "__serve-folder"], capture_output=True, text=True)
    assert len(helpers.stdout.split()) == 3
    user_berth.ok("stop", "-t", "60", name)
    user_berth.ok("start", name)
    assert user_berth.ok("exec", name, "cat", "/ro/made") == "made"
    user_berth.ok("rm", "-f", name)
    shutil.rmtree(folder)

"""`berth cp`: files into and out of containers, running or not."""

import concurrent.futures
import gzip
import hashlib
import io
import os
import pathlib
import re
import signal
import subprocess
import tarfile

import pytest

from harness import DEADLINE, expect_census, expect_error, kill_group, unique_name, wait_until

pytestmark = pytest.mark.cp


@pytest.fixture
def here(given):
    path = given / unique_name("cp")
    path.mkdir()
    return path


@pytest.fixture(scope="module")
def stopped(berth):
    """A container that has run and ended."""
    name = unique_name("stopped")
    assert berth("run", "--name", name, "busybox", "sh", "-c", "echo output; exit 3").status == 3
    yield name
    berth.ok("rm", name)


@pytest.fixture(params=["running", "stopped"])
def any_container(request):
    return request.getfixturevalue("box" if request.param == "running" else "stopped")


def make_tree(folder):
    (folder / "sub").mkdir(parents=True)
    (folder / "file").write_text("content")
    (folder / "file").chmod(0o640)
    (folder / "sub" / "deep").write_bytes(bytes(range(256)) * 1000)
    (folder / "link").symlink_to("file")
    return folder


def same_trees(a, b):
    return subprocess.run(["diff", "-r", "--no-dereference", a, b]).returncode == 0


def tar_of(*members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.uid = member.gid = 1234
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def container_folder(berth, container):
    path = f"/tmp/{unique_name()}"
    berth.ok("exec", container, "mkdir", path)
    return path


def test_there_and_back(berth, any_container, here):
    name = unique_name()
    tree = make_tree(here / name)
    berth.ok("cp", tree, f"{any_container}:/var")
    berth.ok("cp", f"{any_container}:/var/{name}", here / "back")
    assert same_trees(tree, here / "back")
    assert (here / "back" / "file").stat().st_mode & 0o7777 == 0o640
    assert os.readlink(here / "back" / "link") == "file"
    berth.ok("cp", f"{any_container}:/var/{name}/.", here)
    assert (here / "sub" / "deep").read_bytes() == (tree / "sub" / "deep").read_bytes()
    berth.ok("cp", f"{any_container}:/var/{name}/file", here / "renamed")
    assert (here / "renamed").read_text() == "content"
    expect_error(berth("cp", f"{any_container}:/no/such", here), "could not find", "/no/such", status=1)
    expect_error(berth("cp", tree, f"{any_container}:/no/such/place"), "could not find", "/no/such", status=1)


# source, destination (the tree has "folder" and "old"), then what is where, or the words of an error
RULES = [
    ("file", "folder", {"folder/file": "content"}),
    ("file", "old", {"old": "content"}),
    ("file", "new", {"new": "content"}),
    ("file", "new/", ["no such directory"]),
    ("file", "none/new", ["none"]),
    ("file/", "new", ["not a directory"]),
    (".", "folder", {"folder/file": "content", "folder/sub/deep": None}),
    ("sub", "folder", {"folder/sub/deep": None}),
    ("sub/", "folder", {"folder/sub/deep": None}),
    ("sub/.", "folder", {"folder/deep": None}),
    ("sub", "new", {"new/deep": None}),
    ("sub/", "new/", {"new/deep": None}),
    ("sub/.", "new", {"new/deep": None}),
    ("sub", "old", ["cannot copy a directory"]),
    ("file", "folder-link", {"folder/file": "content"}),
    ("file", "old-link", {"old": "content"}),
]
PREPARE = "mkdir folder; echo old > old; ln -s folder folder-link; ln -s old old-link"


@pytest.mark.parametrize("source, destination, expected", RULES)
def test_rules_of_copies_in(berth, box, here, source, destination, expected):
    make_tree(here / "tree")
    place = container_folder(berth, box)
    berth.ok("exec", "-w", place, box, "sh", "-c", PREPARE)
    result = berth("cp", f"{here}/tree/{source}", f"{box}:{place}/{destination}")
    if isinstance(expected, list):
        expect_error(result, *expected, status=1)
        return
    assert result.status == 0, str(result)
    for path, content in expected.items():
        seen = berth.ok("exec", box, "cat", f"{place}/{path}") if content else \
            berth.ok("exec", box, "test", "-f", f"{place}/{path}")
        assert content in (None, seen)


@pytest.mark.parametrize("source, destination, expected", RULES)
def test_rules_of_copies_out(berth, box, here, source, destination, expected):
    subprocess.run(["sh", "-c", PREPARE], cwd=here, check=True)
    place = container_folder(berth, box)
    berth.ok("exec", "-w", place, box, "sh", "-c",
             "mkdir sub; printf content > file; echo deep > sub/deep; ln -s file link")
    result = berth("cp", f"{box}:{place}/{source}", f"{here}/{destination}")
    if isinstance(expected, list):
        expect_error(result, *expected, status=1)
        return
    assert result.status == 0, str(result)
    for path, content in expected.items():
        assert (here / path).is_file()
        assert content in (None, (here / path).read_text())


def test_links(berth, box, here):
    make_tree(here / "tree")
    place = container_folder(berth, box)
    berth.ok("cp", here / "tree/link", f"{box}:{place}/")
    berth.ok("cp", "-L", here / "tree/link", f"{box}:{place}/followed")
    assert berth.ok("exec", "-w", place, box, "sh", "-c", "readlink link; cat followed") == "file\ncontent"
    berth.ok("exec", "-w", place, box, "sh", "-c", "ln -s followed l; ln -s /etc etc; ln -s ../../../../../etc up")
    berth.ok("cp", f"{box}:{place}/l", here)
    assert os.readlink(here / "l") == "followed"
    (here / "l").unlink()
    berth.ok("cp", "-L", f"{box}:{place}/l", here)
    assert (here / "l").read_text() == "content" and not (here / "l").is_symlink()
    # Links that lead out of the container lead around in it.
    berth.ok("exec", box, "sh", "-c", f"echo container > /etc/{here.name}")
    for link in ("etc", "up"):
        berth.ok("cp", f"{box}:{place}/{link}/{here.name}", here / link)
        assert (here / link).read_text() == "container\n"
        berth.ok("cp", here / "tree/file", f"{box}:{place}/{link}/{here.name}-{link}")
        assert berth.ok("exec", box, "cat", f"/etc/{here.name}-{link}") == "content"
        assert not os.path.exists(f"/etc/{here.name}-{link}")


def test_owners(berth, box, here, as_root):
    make_tree(here / "tree")
    os.chown(here / "tree/file", 1234, 2345)
    (here / "tree/file").chmod(0o4755)
    place = container_folder(berth, box)
    berth.ok("cp", here / "tree/file", f"{box}:{place}/root")
    berth.ok("cp", "-a", here / "tree/file", f"{box}:{place}/kept")
    assert berth.ok("exec", "-w", place, box, "stat", "-c", "%u:%g %a", "root", "kept") == "0:0 4755\n1234:2345 4755"
    berth.ok("cp", f"{box}:{place}/kept", here / "caller")
    berth.ok("cp", "--archive", f"{box}:{place}/kept", here / "kept")
    seen = {name: (here / name).stat() for name in ("caller", "kept")}
    assert (seen["caller"].st_uid, seen["caller"].st_gid, seen["caller"].st_mode & 0o7777) == (0, 0, 0o755)
    assert (seen["kept"].st_uid, seen["kept"].st_gid, seen["kept"].st_mode & 0o7777) == (1234, 2345, 0o4755)


def test_device_nodes_stay_where_they_are(berth, box, here):
    expect_error(berth("cp", f"{box}:/dev/null", here), "device", status=1)
    assert not list(here.iterdir())


def test_tar_streams(berth, any_container):
    name = unique_name()
    archive = tar_of((f"{name}/a", b"1"), (f"{name}/b", b"2" * 100_000))
    berth.ok("cp", "-", f"{any_container}:/var", input=archive)
    result = berth("cp", f"{any_container}:/var/{name}", "-")
    assert result.status == 0, str(result)
    with tarfile.open(fileobj=io.BytesIO(result.stdout)) as back:
        assert sorted(back.getnames()) == [name, f"{name}/a", f"{name}/b"]
        assert back.extractfile(f"{name}/b").read() == b"2" * 100_000
        assert back.getmember(f"{name}/a").uid == 0
    berth.ok("cp", "-a", "-", f"{any_container}:/var", input=gzip.compress(archive))
    result = berth("cp", f"{any_container}:/var/{name}/.", "-")
    with tarfile.open(fileobj=io.BytesIO(result.stdout)) as back:
        assert back.getmember("./a").uid == 1234
    expect_error(berth("cp", "-", f"{any_container}:/var/none", input=archive), "must be a directory", status=1)


@pytest.mark.parametrize("archive, words", [
    (tar_of(("../../etc/planted", b"1")), [r"\.\."]),
    (b"this is no archive" * 1000, ["damaged"]),
    (tar_of(("cut", b"1" * 100_000))[:50_000], ["damaged", "truncated"]),
])
def test_bad_archives(berth, box, archive, words):
    expect_error(berth("cp", "-", f"{box}:/tmp", input=archive), *words, status=1)


def test_bad_arguments(berth, box, here):
    expect_error(berth("cp", here, here), "container", status=1)
    expect_error(berth("cp", f"{box}:/etc", f"{box}:/tmp"), "between containers", status=1)
    expect_error(berth("cp", here / "none", f"{box}:/"), "none", status=1)
    expect_error(berth("cp", here, "no-such-container:/"), "no such container", status=1)
    expect_error(berth("cp", f"{box}:/proc/version", here), "kernel", status=1)
    assert "berth cp web:" in berth.ok("cp", "--help")


def test_g2_more_than_the_machines_memory(berth, container):
    """BERTH_TEST_G2_MIB=5120 is the whole scenario."""
    mebibytes = int(os.environ.get("BERTH_TEST_G2_MIB", 600))
    name = container("--memory", "256m")
    blocks = [os.urandom(1 << 20) for _ in range(8)]
    member = tarfile.TarInfo("large")
    member.size = mebibytes << 20
    expected = hashlib.md5()
    copy = berth.spawn("cp", "-", f"{name}:/var", stdin=subprocess.PIPE)
    try:
        copy.stdin.write(member.tobuf())
        for i in range(mebibytes):
            copy.stdin.write(blocks[i % len(blocks)])
            expected.update(blocks[i % len(blocks)])
        out, err = copy.communicate(bytes(2 * tarfile.BLOCKSIZE), timeout=DEADLINE)
    finally:
        kill_group(copy)
        copy.communicate()
    assert copy.returncode == 0, err
    deadline = max(DEADLINE, mebibytes)
    assert berth.ok("exec", name, "md5sum", "/var/large", timeout=deadline).split()[0] == expected.hexdigest()
    assert peak_memory(berth.launcher(name)) < 128 << 20
    state = berth.state(name)
    assert state["Running"] is True and state["OOMKilled"] is False


def peak_memory(process):
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) << 10


def test_what_the_container_sees(berth, container, here):
    name = container("--read-only", "--tmpfs", "/mnt/temporary")
    (here / "file").write_text("content")
    expect_error(berth("cp", here / "file", f"{name}:/tmp"), "read-only", status=1)
    berth.ok("cp", here / "file", f"{name}:/mnt/temporary")
    assert berth.ok("exec", name, "cat", "/mnt/temporary/file") == "content"
    berth.ok("cp", f"{name}:/etc/hostname", here)
    assert (here / "hostname").read_text() == berth.ok("exec", name, "cat", "/etc/hostname") + "\n"
    berth.ok("stop", "-t", 0, name)
    expect_error(berth("cp", here / "file", f"{name}:/tmp"), "read-only", status=1)
    berth.ok("cp", f"{name}:/bin/busybox", here)


def test_many_at_once(berth, box, here):
    place = container_folder(berth, box)

    def round_trip(number):
        path = here / f"f{number}"
        path.write_bytes(hashlib.sha256(bytes([number])).digest() * 60_000)
        berth.ok("cp", path, f"{box}:{place}")
        berth.ok("cp", f"{box}:{place}/f{number}", here / f"back{number}")
        return path.read_bytes() == (here / f"back{number}").read_bytes()

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert all(pool.map(round_trip, range(6)))


def test_a_container_that_does_not_run_stays_what_it_is(berth, stopped, here):
    def what_it_is():
        return {key: value for key, value in berth.inspect(stopped).items() if key != "Generation"}

    before, log = what_it_is(), berth.ok("logs", "-t", stopped)
    left = berth.census()
    (here / "file").write_text("content")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: berth.ok("cp", here / "file", f"{stopped}:/var/n{n}"), range(3)))
    wait_until(lambda: not berth.processes(before["Id"][:12]), "its machine has ended")
    assert what_it_is() == before
    assert berth.ok("logs", "-t", stopped) == log
    expect_census(berth, left)
    assert b"n0" in berth("cp", f"{stopped}:/var/.", "-").stdout


def test_before_the_first_start(berth, here):
    name = unique_name()
    berth.ok("create", "--name", name, "busybox", "cat", "/given")
    (here / "given").write_text("given before")
    berth.ok("cp", here / "given", f"{name}:/")
    assert berth.state(name)["Status"] == "created"
    assert berth.ok("start", "-a", name) == "given before"
    berth.ok("rm", name)


def begin_copy(berth, name):
    """A copy into a container that waits for its input, with a machine that runs for it."""
    copy = berth.spawn("cp", "-", f"{name}:/var", stdin=subprocess.PIPE)
    wait_until(lambda: berth.processes_of("qemu-system", name), "a machine for the copy")
    return copy


def test_nothing_else_happens_meanwhile(berth):
    name = unique_name()
    berth.ok("create", "--name", name, "busybox", "cat", "/var/file")
    copy = begin_copy(berth, name)
    expect_error(berth("start", name), "busy", status=1)
    out, err = copy.communicate(tar_of(("file", b"content")))
    assert copy.returncode == 0, err
    assert berth.ok("start", "-a", name) == "content"
    berth.ok("rm", name)


def test_removal_ends_a_copy(berth):
    before = berth.census()
    name = unique_name()
    berth.ok("create", "--name", name, "busybox", "true")
    copy = begin_copy(berth, name)
    berth.ok("rm", "-f", name)
    out, err = copy.communicate(tar_of(("never", b"")))
    assert copy.returncode == 1 and err.startswith(b"berth: "), err
    expect_census(berth, before)


@pytest.mark.crash
@pytest.mark.parametrize("victim", ["client", "launcher", "qemu"])
def test_killed_in_the_middle(berth, victim):
    before = berth.census()
    name = unique_name()
    berth.ok("create", "--name", name, "busybox", "cat", "/var/file")
    copy = begin_copy(berth, name)
    pid = copy.pid if victim == "client" else getattr(berth, victim)(name)
    os.kill(pid, signal.SIGKILL)
    out, err = copy.communicate(tar_of(("never", b"")))
    assert copy.returncode != 0
    assert victim == "client" or err.startswith(b"berth: "), err
    berth.ok("cp", "-", f"{name}:/var", input=tar_of(("file", b"content")))
    assert berth.state(name)["Status"] == "created"
    assert berth.ok("start", "-a", name) == "content"
    berth.ok("rm", name)
    expect_census(berth, before)

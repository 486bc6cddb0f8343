"""Bad input: one line that says what and what to do, the right exit status, and nothing left behind."""

import os
import pathlib
import subprocess
import tempfile

import pytest

import oci
from conftest import IMAGE
from harness import Berth, expect_census, expect_error, wait_until

# The silent machine takes its time, so it begins with the first of these tests.
pytestmark = [pytest.mark.bad_input, pytest.mark.usefixtures("silent_machine")]


@pytest.fixture(autouse=True)
def nothing_left(request):
    if "berth" not in request.fixturenames:
        yield
        return
    berth = request.getfixturevalue("berth")
    before = berth.census()
    yield
    expect_census(berth, before)


@pytest.fixture(scope="module")
def silent_machine(base, busybox_layout):
    """A run whose kernel halts before it says anything, begun while other tests go on."""
    folder = base / "given" / "silent"
    folder.mkdir()
    folder.chmod(0o755)
    # The newest as versions go, which is what berth takes by itself.
    kernels = sorted(pathlib.Path("/boot").glob("vmlinuz-*cloud*"))
    image = bytearray(kernels[-1].read_bytes())
    # Behind the boot sector and the real-mode code lies the packed kernel; its unpacker halts.
    begin = len(image) // 2
    image[begin:begin + 65536] = bytes(65536)
    kernel = folder / kernels[-1].name
    kernel.write_bytes(image)
    berth = Berth(folder)
    berth.ok("pull", "-q", f"oci:{busybox_layout}")
    process = berth.spawn("run", "--rm", IMAGE, "true", environment={"BERTH_KERNEL": str(kernel)})
    yield berth, process
    if process.poll() is None:
        process.kill()
        process.communicate()
    berth.remove_all()


# --- the command line


@pytest.mark.parametrize("arguments, words", [
    (["--no-such-flag", IMAGE], ["--no-such-flag"]),
    (["-p", "80:80:80:80:80", IMAGE], ["80:80:80:80:80"]),
    (["-p", "99999:80", IMAGE], ["99999"]),
    (["-p", "80:80/icmp", IMAGE], ["icmp"]),
    (["--memory", "much", IMAGE], ["much"]),
    (["--memory", "1k", IMAGE], ["memory"]),
    (["--cpus", "0", IMAGE], ["cpus"]),
    (["--network", "bridge", IMAGE], ["bridge"]),
    (["--stop-signal", "NOSUCH", IMAGE], ["NOSUCH"]),
    (["--name", "-bad name", IMAGE], ["bad name"]),
    (["--env-file", "/no/such/file", IMAGE], ["/no/such/file"]),
    (["-w", "relative", IMAGE], ["relative"]),
    (["--tmpfs", "relative", IMAGE], ["relative"]),
    (["-u", "nobody-knows", IMAGE], ["nobody-knows"]),
    ([], []),
])
def test_malformed_flag(berth, arguments, words):
    expect_error(berth("run", *arguments, *(["true"] if arguments else [])), *words)


@pytest.mark.parametrize("reference", ["UPPER/case", "busybox:", "busybox@sha256:123", "a//b", "-busybox", "b c",
                                       "busybox:" + "t" * 200, ""])
def test_malformed_reference(berth, reference):
    for arguments in (["run", "--", reference], ["pull", "--", reference]):
        result = berth(*arguments)
        assert result.status == (125 if arguments[0] == "run" else 1), str(result)
        assert len([line for line in result.err.splitlines() if line.startswith("berth:")]) == 1, str(result)


def test_bad_options_are_found_before_an_image_is_pulled(berth):
    for option in ("--security-opt=nothing", "--cpus=0", "--dns=nowhere"):
        expect_error(berth("run", "--rm", option, "oci:/no/such/layout"), option.split("=")[0])


def test_unknown_command(berth):
    result = berth("no-such-command")
    assert result.status == 1 and "no-such-command" in result.err


# --- images


def test_unknown_image(berth):
    expect_error(berth("run", "--rm", "--pull", "never", "no-such-image"), "no-such-image", "pull")
    expect_error(berth("run", "--rm", "127.0.0.1:1/no/such:image"), "127.0.0.1:1")
    expect_error(berth("run", "--rm", "oci:/no/such/layout"), "/no/such/layout")


def test_image_of_another_architecture(berth, busybox_layout, given):
    source = oci.derive(busybox_layout, given / "foreign", "foreign", architecture="s390x")
    expect_error(berth("run", "--rm", source), "s390x", "amd64")


def test_corrupt_layer(berth, busybox_layout, given):
    source = oci.derive(busybox_layout, given / "corrupt", "corrupt", layers=[oci.tar(oci.file("data", bytes(5000)))])
    oci.damage_last_layer(source)
    expect_error(berth("run", "--rm", source), "digest|corrupt|does not match")


EVIL_LAYERS = {
    "parent": [oci.file("../evil-parent", b"evil")],
    "deep-parent": [oci.file("bin/../../../../../../evil-deep", b"evil")],
    "absolute": [oci.file("/evil-absolute", b"evil")],
    "through-link": [oci.symbolic_link("out", "/"), oci.file("out/evil-through-link", b"evil")],
    "through-relative-link": [oci.symbolic_link("up", "../../../../../.."), oci.file("up/evil-through-link", b"evil")],
    "hard-link-out": [oci.hard_link("stolen", "../../../../../../etc/hostname")],
    "hard-link-absolute": [oci.hard_link("stolen", "/etc/hostname")],
    "hard-link-through-link": [oci.symbolic_link("etc2", "/etc"), oci.hard_link("stolen", "etc2/hostname")],
    "device": [oci.device("dev/evil", 1, 1), oci.device("evil-disk", 8, 0)],
}


@pytest.fixture
def evil_image(berth, busybox_layout, given, request):
    name = f"layer-{request.param}"
    yield request.param, oci.derive(busybox_layout, given / name, name, layers=[oci.tar(*EVIL_LAYERS[request.param])])
    berth("rmi", name)


@pytest.mark.parametrize("evil_image", EVIL_LAYERS, indirect=True)
def test_evil_layer_touches_nothing_outside(berth, evil_image):
    """Refused with a reason, or unpacked so that everything stays inside."""
    kind, source = evil_image
    host_name = pathlib.Path("/etc/hostname")
    before = host_name.stat() if host_name.exists() else None
    result = berth("run", "--rm", source, "sh", "-c",
                   "cat /stolen 2>/dev/null; head -c 1 /dev/evil /evil-disk 2>/dev/null | wc -c; echo ran")
    for folder in ("/", "/tmp", "/var/tmp", berth.base):
        assert not list(pathlib.Path(folder).glob("evil-*")), f"in {folder}"
    assert not list(berth.root.rglob("evil-*"))
    if before:
        assert host_name.stat().st_nlink == before.st_nlink
        assert host_name.read_text().strip() not in result.out.split()
    if result.status == 0:
        assert result.out.splitlines()[-1] == "ran"
        if kind == "device":
            assert result.out.split()[0] == "0", "no device of the image works"
    else:
        expect_error(result, "layer|path|link|name")


# --- containers


def test_name_taken(berth, box):
    expect_error(berth("run", "--name", box, IMAGE, "true"), box, "in use")


def test_not_enough_memory(berth):
    expect_error(berth("run", "--rm", "--memory", "512t", IMAGE, "true"), "memory")


def test_disk_full(busybox_layout, as_root):
    """Wherever it runs full: an error that says so, and a removal that works once there is space again."""
    with tempfile.TemporaryDirectory(prefix="berth-full-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m,mode=0755", "tmpfs", folder], check=True)
        try:
            berth = Berth(folder)
            berth.ok("pull", "-q", f"oci:{busybox_layout}")
            berth.ok("run", "--rm", IMAGE, "true")
            before = berth.census()
            ballast = pathlib.Path(folder) / "ballast"
            fill(ballast)
            result = berth("run", "--rm", IMAGE, "true")
            expect_error(result, "space|full")
            free = ballast.stat().st_size - 2 * 1024 * 1024
            os.truncate(ballast, free)
            berth("run", "--rm", IMAGE, "sh", "-c", "yes | head -c 20000000; dd if=/dev/zero of=/big bs=1M count=20")
            ballast.unlink()
            berth.remove_all()
            expect_census(berth, before)
            assert berth.ok("run", "--rm", IMAGE, "echo", "works again") == "works again"
        finally:
            wait_until(lambda: not berth.processes(), "every launcher has ended")
            subprocess.run(["umount", folder], check=True)


def fill(path):
    with open(path, "wb", buffering=0) as file:
        block = bytes(1024 * 1024)
        while block:
            try:
                while file.write(block) == len(block):
                    pass
            except OSError:
                pass
            block = block[:len(block) // 2]


def test_machine_that_never_answers(silent_machine):
    berth, process = silent_machine
    _, err = process.communicate(timeout=300)
    assert process.returncode == 125
    lines = err.decode().splitlines()
    assert len(lines) == 1 and lines[0].startswith("berth:"), lines
    assert "answer" in lines[0] or "did not start" in lines[0], lines
    assert berth.ids() == []
    wait_until(lambda: not berth.processes(), "the launcher has ended")


def test_qemu_is_missing(berth, as_root):
    hide = 'mount --bind /dev/null "$(command -v qemu-system-x86_64)" && exec "$@"'
    hidden = Berth(berth.base, prefix=["unshare", "--mount", "sh", "-c", hide, "sh"])
    expect_error(hidden("run", "--rm", IMAGE, "true"), "qemu", "install")


def test_unwritable_data_root(given):
    berth = Berth(given, environment={"PATH": os.environ["PATH"], "BERTH_ROOT": "/proc/berth", "BERTH_RUNTIME": "/proc/run"})
    result = berth("ps")
    assert result.status == 1
    assert len(result.err.splitlines()) == 1 and "/proc/berth" in result.err

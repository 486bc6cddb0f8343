import os

import pytest

from harness import IDLE, Berth, expect_census, make_busybox_layout, temporary_base, unique_name, wait_until

IMAGE = "busybox"


@pytest.fixture(scope="session")
def base():
    with temporary_base() as path:
        yield path


@pytest.fixture(scope="session")
def given(base):
    """A folder for what tests make themselves; the census does not count it."""
    return base / "given"


@pytest.fixture(scope="session")
def busybox_layout(base):
    """An OCI layout with the image busybox:latest."""
    return make_busybox_layout(base)


@pytest.fixture(scope="session")
def berth(base, busybox_layout):
    """The berth under test, with the image busybox, a template of the usual size and warm caches."""
    berth = Berth(base)
    berth.ok("pull", "-q", f"oci:{busybox_layout}")
    berth.ok("template", "create")
    assert berth.ok("run", "--rm", IMAGE, "echo", "ready") == "ready"
    yield berth
    berth.remove_all()
    wait_until(lambda: not berth.processes(), "every launcher has ended")


@pytest.fixture
def container(berth):
    """Starts containers in the background, and removes them after the test."""
    names = []

    def start(*options, image=IMAGE, command=IDLE):
        names.append(unique_name())
        berth.ok("run", "-d", "--name", names[-1], *options, image, *command)
        if command is IDLE:
            berth.wait_for_output(names[-1], "ready")
        return names[-1]

    yield start
    for name in names:
        berth("rm", "-f", name)


@pytest.fixture(scope="session")
def box(berth):
    """A running container that tests use without changing it for others."""
    name = unique_name("box")
    berth.run_idle(name)
    yield name
    berth("rm", "-f", name)


@pytest.fixture
def volumes_go(berth):
    """No test leaves a volume, a container or a file of one."""
    berth.ok("volume", "prune", "-f")
    before = berth.census()
    volumes = set(berth.ok("volume", "ls", "-q").split())
    yield
    for container in set(berth.ids()) - set(before["records"]):
        berth.ok("rm", "-f", "-v", container)
    for volume in set(berth.ok("volume", "ls", "-q").split()) - volumes:
        berth.ok("volume", "rm", volume)
    expect_census(berth, before)


@pytest.fixture(scope="session")
def as_root():
    if os.geteuid() != 0:
        pytest.skip("needs root")

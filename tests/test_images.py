"""Getting and keeping images."""

import json
import re
import subprocess

import pytest

import oci
from conftest import IMAGE
from harness import expect_error, unique_name

pytestmark = pytest.mark.images


@pytest.fixture
def small(busybox_layout, given):
    """A layout of an image of its own, and its name."""
    name = unique_name("small")
    return oci.derive(busybox_layout, given / name, name, {"Cmd": ["echo", name]}), name


def test_images_are_listed(berth):
    row = json.loads(berth.ok("images", "--format", "json").splitlines()[-1])
    assert set(row) >= {"Repository", "Tag", "ID", "Size"}
    assert re.search(r"busybox +latest +[0-9a-f]{12}", berth.ok("images"))


def test_run_pulls_a_missing_image(berth, small):
    source, name = small
    result = berth("run", "--rm", source)
    assert (result.status, result.out) == (0, f"{name}\n")
    result = berth("run", "--rm", name)
    assert (result.status, result.out, result.err) == (0, f"{name}\n", "")
    berth.ok("rmi", name)


def test_pull_prints_lines_where_there_is_no_terminal(berth, small):
    source, name = small
    result = berth("pull", source)
    assert result.status == 0
    assert f"docker.io/library/{name}:latest" in result.out
    assert "sha256:" in result.out
    assert "\r" not in result.err and "\x1b" not in result.err
    berth.ok("rmi", name)


@pytest.mark.parametrize("transport", ["oci-archive", "docker-archive"])
def test_archives(berth, small, given, transport):
    source, name = small
    archive = given / f"{name}.{transport}.tar"
    reference = f":docker.io/library/{name}:latest" if transport == "docker-archive" else ""
    subprocess.run(["skopeo", "copy", "--quiet", "--insecure-policy", f"{source}:latest",
                    f"{transport}:{archive}{reference}"], check=True)
    stored = berth.ok("pull", "-q", f"{transport}:{archive}").splitlines()[-1]
    assert berth.ok("run", "--rm", stored) == name
    berth.ok("rmi", stored)


def test_rmi_refuses_what_a_container_uses(berth, small):
    source, image = small
    berth.ok("pull", "-q", source)
    name = unique_name()
    berth.ok("create", "--name", name, image)
    result = berth("rmi", image)
    assert result.status == 1 and name in result.err + berth.ok("ps", "-a")
    berth.ok("rm", name)
    berth.ok("rmi", image)
    expect_error(berth("run", "--rm", "--pull", "never", image), image)


def test_rmi_leaves_no_file(berth, small):
    source, image = small
    before = berth.census()["files"]
    berth.ok("pull", "-q", source)
    berth.ok("run", "--rm", image)
    berth.ok("rmi", image)
    assert berth.census()["files"] == before


def test_inspect_of_an_image(berth):
    details = berth.inspect(IMAGE)
    assert details["Config"]["Cmd"] == ["sh"]
    assert details["Architecture"] == "amd64"

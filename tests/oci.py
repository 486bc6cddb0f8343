"""Makes OCI images for tests out of others: with another configuration, more layers, or faults."""

import hashlib
import io
import json
import pathlib
import shutil
import tarfile


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def blob_path(layout, digest):
    return pathlib.Path(layout) / "blobs" / "sha256" / digest.removeprefix("sha256:")


def read_json(layout, descriptor):
    return json.loads(blob_path(layout, descriptor["digest"]).read_bytes())


def add_blob(layout, data, media_type):
    digest = digest_of(data)
    blob_path(layout, digest).write_bytes(data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def tar(*entries):
    """A layer of (name, type, content or link target, mode) entries; the names are written as they are."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, content, mode in entries:
            info = tarfile.TarInfo()
            info.name, info.type, info.mode = name, kind, mode
            if kind == tarfile.REGTYPE:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
                continue
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = content
            elif kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
                info.devmajor, info.devminor = content
            archive.addfile(info)
    return data.getvalue()


def file(name, content=b"", mode=0o644):
    return name, tarfile.REGTYPE, content, mode


def directory(name, mode=0o755):
    return name, tarfile.DIRTYPE, b"", mode


def symbolic_link(name, target):
    return name, tarfile.SYMTYPE, target, 0o777


def hard_link(name, target):
    return name, tarfile.LNKTYPE, target, 0o644


def device(name, major, minor):
    return name, tarfile.CHRTYPE, (major, minor), 0o666


def derive(base, layout, name, config=None, layers=(), architecture=None):
    """A layout with one image: the one of `base` with `config` merged into its configuration."""
    layout = pathlib.Path(layout)
    shutil.copytree(base, layout)
    index = json.loads((layout / "index.json").read_bytes())
    manifest = read_json(layout, index["manifests"][0])
    image = read_json(layout, manifest["config"])
    image["config"].update(config or {})
    if architecture:
        image["architecture"] = architecture
    for layer in layers:
        manifest["layers"].append(add_blob(layout, layer, "application/vnd.oci.image.layer.v1.tar"))
        image["rootfs"]["diff_ids"].append(digest_of(layer))
        image.setdefault("history", []).append({"created_by": "test"})
    manifest["config"] = add_blob(layout, json.dumps(image).encode(), manifest["config"]["mediaType"])
    entry = add_blob(layout, json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "latest",
                            "io.containerd.image.name": f"docker.io/library/{name}:latest"}
    if architecture:
        entry["platform"] = {"os": "linux", "architecture": architecture}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return f"oci:{layout}"


def damage_last_layer(layout):
    """Changes a byte of the last layer and keeps its name."""
    layout = pathlib.Path(layout.removeprefix("oci:"))
    index = json.loads((layout / "index.json").read_bytes())
    manifest = read_json(layout, index["manifests"][0])
    path = blob_path(layout, manifest["layers"][-1]["digest"])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

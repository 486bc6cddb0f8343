#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace berth::image {

/// A normalised image name, as Docker spells it: REGISTRY/REPOSITORY[:TAG][@DIGEST].
struct Reference {
  std::string registry;    ///< "docker.io", "localhost:5000"
  std::string repository;  ///< "library/busybox"
  std::string tag;         ///< empty only when there is a digest
  std::string digest;      ///< "sha256:..." or empty

  /// REGISTRY/REPOSITORY
  std::string name() const;
  /// The name with tag and digest: "docker.io/library/busybox:latest".
  std::string full() const;
  /// The short form users see: "busybox:latest".
  std::string familiar() const;

  bool operator==(const Reference&) const = default;
};

/// Parses and normalises by the rules of Docker's distribution: "busybox" is
/// docker.io/library/busybox:latest. Throws invalid-argument that says what is wrong.
Reference parse_reference(std::string_view text);

/// The same, or nothing for what is no image name.
std::optional<Reference> find_reference(std::string_view text);

/// True for "sha256:" and 64 lower-case hex digits.
bool is_digest(std::string_view text);
/// True for 1 to 128 characters of a tag.
bool is_tag(std::string_view text);

enum class Transport { registry, oci, oci_archive, docker_archive };

/// Where an image is pulled from.
struct Source {
  Transport transport = Transport::registry;
  std::optional<Reference> reference;  ///< set for a registry only
  std::filesystem::path path;          ///< a layout's folder or an archive
  std::string selector;  ///< TAG of oci and oci-archive, REF of docker-archive; empty: the only image

  /// As skopeo spells it: "docker://docker.io/library/busybox:latest", "oci:DIR:TAG".
  std::string skopeo_name() const;
};

/// Understands NAME, docker://NAME, oci:DIR[:TAG], oci-archive:FILE[:TAG] and docker-archive:FILE[:REF].
/// Throws invalid-argument.
Source parse_source(std::string_view text);

/// The name an image from `source` is stored under. For a folder or archive: the full name it says itself
/// (annotation io.containerd.image.name or org.opencontainers.image.ref.name; RepoTags of a docker-archive),
/// else the file's name without ".tar" and the tag. Reads the folder or archive; throws not-found or corrupt.
Reference local_name(const Source& source);

}  // namespace berth::image

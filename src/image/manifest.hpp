#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace berth::image {

/// Largest manifest or index, and largest config, that is accepted, in bytes.
inline constexpr std::size_t kManifestLimit = 4u << 20;
inline constexpr std::size_t kConfigLimit = 8u << 20;
/// Most layers of one image, and most entries of one index.
inline constexpr std::size_t kLayerLimit = 512;
inline constexpr std::size_t kIndexLimit = 65536;

inline constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerIndex = "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kRefNameAnnotation = "org.opencontainers.image.ref.name";

/// OCI image-spec, descriptor.md.
struct Descriptor {
  std::string media_type;
  std::string digest;  ///< "sha256:..."
  std::uint64_t size = 0;
  std::string architecture;  ///< of `platform`; empty when there is none
  std::string os;
  std::map<std::string, std::string> annotations;
};

/// An OCI image manifest or a Docker manifest of schema 2.
struct Manifest {
  std::string media_type;
  Descriptor config;
  std::vector<Descriptor> layers;
};

/// An OCI index, a layout's index.json or a Docker manifest list.
struct Index {
  std::vector<Descriptor> manifests;
};

/// OCI image-spec, config.md; Docker's configs have the same members.
struct ImageConfig {
  std::string architecture;
  std::string os;
  std::string created;  ///< RFC 3339 as the image says it, or empty
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> env;  ///< KEY=VALUE
  std::string user;
  std::string working_dir;
  std::string stop_signal;
  std::vector<std::string> volumes;
  std::vector<std::string> exposed_ports;  ///< "80/tcp"
  std::map<std::string, std::string> labels;
  std::string healthcheck;  ///< its JSON, or empty
  std::vector<std::string> diff_ids;
};

/// True when the document is an index or a manifest list. Throws corrupt when it is no JSON object.
bool is_index(std::string_view document);

/// The three parsers throw corrupt that names `what`, and unsupported for a kind of image that cannot be run
/// here.
Manifest parse_manifest(std::string_view document, std::string_view what);
Index parse_index(std::string_view document, std::string_view what);
ImageConfig parse_config(std::string_view document, std::string_view what);

/// manifest.json of a `docker save` archive: the RepoTags of each image in it.
std::vector<std::vector<std::string>> parse_repo_tags(std::string_view document, std::string_view what);

/// index.json of a layout.
std::string serialize_index(const Index& index);

/// OCI's chain id of the whole stack, "sha256:...": equal for images with the same layers in the same order.
std::string chain_id(const std::vector<std::string>& diff_ids);

/// Throws unsupported, naming both, unless the image is for Linux on this machine's architecture. Empty ones
/// pass.
void check_platform(std::string_view os, std::string_view architecture, std::string_view what);
/// The entry of an index for this machine; throws unsupported that names what there is instead.
const Descriptor& choose_platform(const Index& index, std::string_view what);

/// The architecture of this machine in OCI's words: "amd64".
std::string_view host_architecture();

}  // namespace berth::image

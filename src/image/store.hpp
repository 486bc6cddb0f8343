#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/files.hpp"
#include "image/manifest.hpp"
#include "image/reference.hpp"

namespace berth::image {

struct Layer {
  std::string digest;  ///< of the blob as stored, compressed or not
  std::string diff_id;
  std::uint64_t size = 0;  ///< bytes of the blob
};

struct Image {
  std::optional<Reference> reference;  ///< nothing when a newer image took its name
  std::string manifest_digest;
  std::string source_digest;  ///< what the registry said for the name: the index's digest when it has one
  std::string id;             ///< the config's digest
  ImageConfig config;
  Nanoseconds created{0};  ///< since 1970; 0 when the image does not say
  std::uint64_t size = 0;  ///< bytes of its blobs
  std::vector<Layer> layers;
};

struct PullOptions {
  /// Plain HTTP and unverified certificates. Registries on the loopback interface may always be plain HTTP.
  bool insecure = false;
  std::string username;
  std::string password;            ///< handed on in a private file, never on a command line
  std::filesystem::path authfile;  ///< empty: the files of `docker login` and `podman login`
  bool quiet = false;
  /// Where progress goes, still owned by the caller; -1 for nowhere. Bars on a terminal, lines elsewhere.
  int progress = -1;
  std::chrono::milliseconds limit = std::chrono::hours(2);
};

struct Removed {
  std::vector<std::string> untagged;  ///< familiar names
  std::vector<std::string> deleted;   ///< image ids
};

/// The images of one data root: an OCI layout plus the root file systems built from it. Any number of
/// processes may use one store at a time; the blocking calls take its lock for at most moments, not while
/// bytes are copied.
class Store {
 public:
  /// Makes the folder and an empty layout when missing.
  explicit Store(const std::filesystem::path& root);

  /// Copies the image with skopeo, verifies every digest and gives it the name of the source (see
  /// local_name). An image that had the name stays without one. Throws not-found, unavailable, unsupported
  /// (other architecture), corrupt, capacity, timeout, invalid-argument; nothing stays behind then.
  Image pull(std::string_view source, const PullOptions& options = {});

  /// By name (any spelling that parse_reference understands), NAME@DIGEST, id or unique id prefix ("sha256:"
  /// is optional). Throws invalid-argument when a prefix is not unique.
  std::optional<Image> find(std::string_view name) const;
  /// As find; not-found tells how to pull it.
  Image get(std::string_view name) const;
  /// By the digest of its manifest; throws not-found.
  Image get_manifest(std::string_view digest) const;
  /// Newest first.
  std::vector<Image> list() const;

  /// Takes the name away, and deletes the image with its last one. By id all names go, which takes `force`
  /// when there are several. Whether a container uses the image is the caller's question. Throws not-found,
  /// conflict.
  Removed remove(std::string_view name, bool force = false);

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path blob_path(std::string_view digest) const;
  /// Where the root file system of this stack of layers is, or will be once it is built.
  std::filesystem::path rootfs_path(const std::vector<std::string>& diff_ids) const;
  /// Waits for the lock that guards index.json and what is collected by it.
  FileLock lock() const;
  /// True while some stored image has this stack of layers. Call with the lock held.
  bool uses_rootfs(const std::vector<std::string>& diff_ids) const;

 private:
  Index read_index() const;
  void write_index(const Index& index) const;
  Image load(const Descriptor& entry) const;
  /// The entries that a name or an id (prefix) means.
  std::vector<const Descriptor*> select(const Index& index, std::string_view text) const;
  /// The image id of an entry; empty when its manifest cannot be read.
  std::string find_id(const Descriptor& entry) const;
  void collect_garbage(const Index& index) const;
  Image enter(const Reference& name, const std::string& source_digest, const Descriptor& manifest,
              const std::filesystem::path& blobs);

  std::filesystem::path root_;
};

}  // namespace berth::image

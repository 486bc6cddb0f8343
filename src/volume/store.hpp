#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"

namespace berth::volume {

inline constexpr std::uint64_t kDefaultBytes = std::uint64_t{10} << 30;
inline constexpr std::uint64_t kLeastBytes = std::uint64_t{16} << 20;
inline constexpr std::uint64_t kMostBytes = std::uint64_t{8} << 40;

struct Volume {
  std::string id;  ///< 16 hex digits, never used twice
  std::string name;
  bool anonymous = false;    ///< nobody chose its name
  std::int64_t created = 0;  ///< nanoseconds since 1970-01-01 UTC
  std::uint64_t size = 0;    ///< bytes, as the guest sees it; of a disk
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> options;  ///< of one that is elsewhere: type, o and device, as Docker's

  /// Whether it is an image on this host; else it is what parse_nfs_source() says.
  bool is_disk() const { return options.empty(); }
};

struct CreateOptions {
  std::string name;  ///< empty: one of 64 hex digits is made
  std::map<std::string, std::string> labels;
  std::optional<std::uint64_t> size;
  std::map<std::string, std::string> options;  ///< as of Volume; none: a disk
};

/// A container that a volume belongs to, running or not.
struct User {
  std::string id;
  std::string name;
};

/// What `prune` has removed.
struct Pruned {
  std::vector<std::string> names;
  std::uint64_t bytes = 0;  ///< that the host's disk got back
};

/// Where the image of a volume is below the folder of all.
std::filesystem::path image_of(const std::filesystem::path& folder, std::string_view id);

/// The serial by which a guest finds the volume's disk: 20 bytes, as many as virtio-blk has.
std::string disk_serial(std::string_view id);

/// Throws invalid-argument.
void check_name(std::string_view name);

/// The volumes below one data root: a sparse ext4 image, or an export of an NFS server, and a row in the
/// record database (docs/store.md). Safe for many processes at once; what one that was killed left half done,
/// the next that makes, lists or removes volumes clears away. One store serves one thread.
class Store {
 public:
  /// `folder` holds the images and is made when missing.
  Store(const std::filesystem::path& database, std::filesystem::path folder);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// One that is there already is given back as it is; throws already-exists when another size or other
  /// options were asked for.
  Volume create(const CreateOptions& options, Nanoseconds now);
  /// Gives a recorded container the volume of that name, which is made when missing; with an empty name a new
  /// one that `disown` takes away. Throws invalid-argument when the container has it already.
  Volume attach(std::string_view pod, const std::string& name, Nanoseconds now);
  /// Marks the volumes that `attach` made for this container without a name, unless others use them too: they
  /// go with its record, by sweep().
  void disown(std::string_view pod);
  /// Removes what disown() has marked and what no container uses any more.
  void sweep();

  std::optional<Volume> find(std::string_view name);
  /// Throws not-found.
  Volume get(std::string_view name);
  /// By name.
  std::vector<Volume> list();
  std::vector<User> users(std::string_view id);
  std::filesystem::path image(std::string_view id) const;
  /// What its image takes of the host's disk.
  std::uint64_t used_bytes(std::string_view id) const;

  /// Throws not-found, and conflict naming a container that has it, be it running or not.
  void remove(std::string_view name);
  /// Removes the anonymous volumes, or with `all` every volume, that no container has.
  Pruned prune(bool all);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::volume

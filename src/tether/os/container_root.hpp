#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/async.hpp"
#include "base/unique_fd.hpp"
#include "config/executor.hpp"
#include "tether/os/devices.hpp"
#include "tether/os/modules.hpp"
#include "tether/os/nfs.hpp"
#include "tether/os/resolver_files.hpp"

namespace berth::tether::os {

/// Serials of the disks.
inline constexpr std::string_view kImageDisk = "image";      ///< EROFS, read-only
inline constexpr std::string_view kScratchDisk = "scratch";  ///< ext4, writable, the container's own

/// The container's root file system: the writable disk over the image, with volumes and the files of its own.
class ContainerRoot {
 public:
  /// `surroundings` is asked when something is to be mounted from a server. The disks that are there already
  /// are looked up now, which a template does for its clones.
  ContainerRoot(Devices& devices, Modules& modules, std::function<NfsSurroundings()> surroundings)
      : devices_(devices),
        modules_(modules),
        surroundings_(std::move(surroundings)),
        image_disk_(Devices::find_disk(std::string(kImageDisk))),
        scratch_disk_(Devices::find_disk(std::string(kScratchDisk))) {}
  ContainerRoot(const ContainerRoot&) = delete;
  ContainerRoot& operator=(const ContainerRoot&) = delete;

  /// Mounts image and scratch, once. Throws not-found when a disk has not come within `limit`.
  Task<> assemble(Milliseconds limit);
  /// Brings the image's files into the page cache until about `limit` bytes are in it.
  Task<> read_image_ahead(std::uint64_t limit);
  /// For what every container mounts in its root itself.
  void make_mount_points();

  struct Limits {
    Milliseconds device;  ///< for a disk to appear
    Milliseconds volume;  ///< for a volume to be filled, or written back
    Milliseconds server;  ///< for an NFS server to let itself be mounted, or to take what was written
  };
  /// Mounts what is new, parents first, and unmounts what is gone; containers that run see both. Sources are
  /// `tmpfs:` (the mode string is mount options such as "size=64m,mode=1777,noexec"), `scratch:///NAME`, a
  /// folder of the scratch disk that is made on first use, an ext4 file system on a disk of its own,
  /// `serial://SERIAL` or `label://LABEL`, a folder that the host shares, `virtiofs://TAG`, or a file in it,
  /// `virtiofs://TAG/NAME`, and `nfs://SERVER/PATH` (os/nfs.hpp). A volume that is empty gets the image's
  /// content where the copy mode asks for it. May be cancelled where it waits, and begun anew with other
  /// mounts. Throws, naming the mount: not-found when a disk does not come, busy when one that is gone is in
  /// use, timeout or unavailable when a server does not answer.
  Task<> apply_mounts(std::map<std::string, config::MountSpec> mounts, Limits limits);

  /// Brings our part of hosts, hostname and resolv.conf up to date, where it differs; binds the files over
  /// the container's the first time. What the image and the container have written into them stays.
  void apply_names(const NameSettings& settings);

  /// Of the root as it is before any container runs in it: whether there is such a folder, and a file's text;
  /// empty when it is missing.
  bool has_folder(const std::string& path) const;
  std::string read_file(const std::string& path) const;
  /// Binds a file of the tether's, or a socket, on a place in the root, which is made.
  void bind_file(const std::string& source, const std::string& path);

  /// Takes away what is mounted from servers, whether somebody uses it or not, when what was written is
  /// there. A server that does not take it within `limit` is given up: what is asked of it fails until nobody
  /// waits for one (`released`), at most for `patience`.
  Task<> leave_servers(Milliseconds limit, std::function<bool()> released, Milliseconds patience);

  /// Unmounts everything, last first; after leave_servers(). Throws when something is still in use.
  void unmount();

  /// The path of the mount whose disk is awaited; empty when none is.
  const std::string& awaited() const { return awaited_; }

  /// The devices of the disks that hold what is at the mount `path`, or at "/": the container's own, then the
  /// image's. Empty when no disk holds it.
  std::vector<std::string> disks_at(const std::string& path) const;

  /// Also where somebody who is left may keep disks from being unmounted.
  void write_back_disks();

  /// The mount point; empty before assemble().
  const std::string& path() const { return path_; }

 private:
  struct Mounted {
    config::MountSpec spec;
    std::string target;   // where it was found in the root
    std::string device;   // of a disk of its own
    std::string place;    // where that, the host's folder or a server's export is mounted for the tether
    bool remote = false;  // on a server
  };
  Task<> unmount_stale(const std::map<std::string, config::MountSpec>& mounts, Limits limits);
  Task<> unmount_one(Mounted mounted, Limits limits);
  Task<Mounted> mount_one(config::MountSpec spec, Limits limits);
  Task<std::string> prepare_volume(std::string name, std::string destination, bool copy, Milliseconds limit);
  Task<std::string> prepare_disk(config::MountSpec spec, Mounted& mounted, Limits limits);
  Task<std::string> prepare_folder(config::MountSpec spec, Mounted& mounted, Limits limits);
  Task<std::string> prepare_nfs(config::MountSpec spec, Mounted& mounted, Limits limits);
  std::vector<std::string> detach_remote();

  Devices& devices_;
  Modules& modules_;
  std::function<NfsSurroundings()> surroundings_;
  unsigned next_export_ = 0;
  std::optional<std::string> image_disk_;
  std::optional<std::string> scratch_disk_;
  std::string path_;
  UniqueFd root_;
  std::vector<std::string> root_disks_;
  std::vector<std::string> base_mounts_;
  std::map<std::string, Mounted> mounted_;
  std::vector<std::string> mount_order_;
  std::string awaited_;
  std::optional<NameSettings> names_;
};

/// Mount flags and the rest of a comma-separated option list.
struct MountOptions {
  unsigned long flags = 0;
  std::string data;
  bool operator==(const MountOptions&) const = default;
};
MountOptions parse_mount_options(std::string_view text);

}  // namespace berth::tether::os

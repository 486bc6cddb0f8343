#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "tether/os/boot.hpp"
#include "tether/os/container_root.hpp"
#include "tether/os/copy_tree.hpp"
#include "tether/os/mount.hpp"
#include "tether/os/worker.hpp"

/// What stands behind the mounts of a container's root: volumes, disks, folders of the host, exports.
namespace berth::tether::os {
namespace {

constexpr std::size_t kDiskNameLimit = 64;
constexpr std::size_t kTagLimit = 36;  // virtio_fs_config::tag
/// What of a volume's file system a container sees, so that it is without lost+found (the name is VIC's).
constexpr const char* kVolumeFolder = ".vic.vol.data";

/// The mount at `path` alone, without what is mounted below it.
UniqueFd clone_mount(const std::string& path) {
  return UniqueFd(
      check(::open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), "clone " + path));
}

/// Makes the folder of a volume beside its place, fills it, and renames: a half-made one is never used.
void make_volume(const std::string& place, const std::string& root, const std::string& destination,
                 bool copy) {
  const std::string partial = place + ".partial";
  remove_tree(partial);
  make_directories(partial, 0755);
  const UniqueFd folder = open_file(partial, O_RDONLY | O_DIRECTORY);
  const UniqueFd image = clone_mount(root);
  const UniqueFd found = find_in_root(image.get(), destination);
  if (found && copy) {
    const UniqueFd source = open_file(descriptor_path(found.get()), O_RDONLY | O_DIRECTORY);
    copy_tree(source.get(), folder.get());
    check(::syncfs(folder.get()), "write a volume to its disk");
  } else if (found) {
    struct stat status {};
    check(::fstat(found.get(), &status), "stat");
    check(::fchown(folder.get(), status.st_uid, status.st_gid), "change the owner");
    check(::fchmod(folder.get(), status.st_mode & 07777), "change the mode");
  }
  check(::rename(partial.c_str(), place.c_str()), "put a volume in its place");
}

/// "serial://NAME", "serial:///NAME" or "serial:NAME". Throws invalid-argument for what no disk can have.
std::string disk_name(const config::Url& source) {
  std::string name = !source.host.empty() ? source.host : source.path;
  if (name.empty()) name = source.opaque;
  if (name.starts_with('/')) name.erase(0, 1);
  if (name.empty() || name.size() > kDiskNameLimit || name == kImageDisk || name == kScratchDisk ||
      printable(name) != name) {
    throw Error(Code::invalid_argument, "\"{}\" cannot be the disk of a volume", printable(name));
  }
  return name;
}

/// Of "virtiofs://TAG". Throws invalid-argument for what no folder can have.
std::string folder_tag(const config::Url& source) {
  const std::string& tag = source.host;
  const bool plain = !tag.empty() && tag.size() <= kTagLimit && tag.find('/') == std::string::npos &&
                     !tag.starts_with('.') && printable(tag) == tag;
  if (!plain) throw Error(Code::invalid_argument, "\"{}\" cannot be a folder of the host", printable(tag));
  return tag;
}

/// Whether nothing but what mke2fs makes is there.
bool is_fresh(const std::string& folder) {
  return std::all_of(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator(),
                     [](const auto& entry) {
                       const std::string name = entry.path().filename().string();
                       return name == "lost+found" || name == kVolumeFolder + std::string(".partial");
                     });
}

bool exists(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

/// A text that stands somewhere for as long as this lives.
class Note {
 public:
  Note(std::string& place, const std::string& text) : place_(place) { place_ = text; }
  ~Note() { place_.clear(); }
  Note(const Note&) = delete;
  Note& operator=(const Note&) = delete;

 private:
  std::string& place_;
};

}  // namespace

/// Awaits the disk, mounts it where only the tether looks, and gives the folder that the container sees.
Task<std::string> ContainerRoot::prepare_disk(config::MountSpec spec, Mounted& mounted, Limits limits) {
  const std::string name = disk_name(spec.source);
  {
    const Note awaited(awaited_, spec.path);
    if (spec.source.scheme == "serial") {
      mounted.device = co_await devices_.disk(name, limits.device);
    } else {
      mounted.device = co_await devices_.labelled_disk(name, limits.device);
    }
  }
  const bool read_only = is_read_only(mounted.device);
  mounted.place = state_path("disks") + mounted.device.substr(mounted.device.rfind('/'));
  const std::string place = mounted.place;
  const std::string folder = fmt::format("{}/{}", place, kVolumeFolder);
  const bool copy = spec.copy_mode == config::CopyMode::fresh;
  const std::function<void()> work = [place, folder, copy, read_only, device = mounted.device, root = path_,
                                      destination = spec.path] {
    // Of an earlier attempt that was given up.
    ::umount2(place.c_str(), MNT_DETACH);
    make_directories(place, 0755);
    mount_file_system(device, place, "ext4", MS_NOATIME | MS_NODEV | (read_only ? MS_RDONLY : 0));
    if (!read_only && !exists(folder) && is_fresh(place)) make_volume(folder, root, destination, copy);
  };
  co_await run_in_worker("preparing the volume", limits.volume, work);
  co_return exists(folder) ? folder : place;
}

/// Mounts it where only the tether looks, and gives what the container sees of it.
Task<std::string> ContainerRoot::prepare_folder(config::MountSpec spec, Mounted& mounted, Limits limits) {
  const std::string tag = folder_tag(spec.source);
  modules_.load(kFolderModules);
  mounted.place = state_path("folders/" + tag);
  const std::string place = mounted.place;
  const std::string seen = place + spec.source.path;
  const std::function<void()> work = [place, seen, tag] {
    // Of an earlier attempt that was given up.
    ::umount2(place.c_str(), MNT_DETACH);
    make_directories(place, 0755);
    mount_file_system(tag, place, "virtiofs", MS_NODEV);
    if (!exists(seen)) throw Error(Code::not_found, "the host's folder has no {}", seen.substr(place.size()));
  };
  co_await run_in_worker("mounting the folder of the host", limits.volume, work);
  co_return seen;
}

Task<std::string> ContainerRoot::prepare_volume(std::string name, std::string destination, bool copy,
                                                Milliseconds limit) {
  const std::string_view bare = trim(name.starts_with('/') ? std::string_view(name).substr(1) : name);
  const bool plain = !bare.empty() && bare.size() <= 200 && bare.find('/') == std::string_view::npos &&
                     !bare.starts_with('.') && !bare.ends_with(".partial");
  if (!plain) throw Error(Code::invalid_argument, "\"{}\" is not the name of a volume", name);
  const std::string folder = state_path("scratch") + "/volumes";
  make_directories(folder, 0755);
  const std::string place = fmt::format("{}/{}", folder, bare);
  struct stat status {};
  if (::lstat(place.c_str(), &status) == 0) co_return place;
  // g++ 12 moves a closure that is made within a co_await expression byte by byte, which strings do not
  // survive.
  const std::function<void()> work = [place, root = path_, destination, copy] {
    make_volume(place, root, destination, copy);
  };
  co_await run_in_worker("filling the volume", limit, work);
  co_return place;
}

/// Mounts it where only the tether looks, so that it can be let go of whatever is above it in the container.
Task<std::string> ContainerRoot::prepare_nfs(config::MountSpec spec, Mounted& mounted, Limits limits) {
  const Note awaited(awaited_, spec.path);
  modules_.load(kNfsModules);
  mounted.remote = true;
  mounted.place = fmt::format("{}/{}", state_path("exports"), next_export_++);
  make_directories(mounted.place, 0755);
  const std::function<void()> work = [spec, place = mounted.place, surroundings = surroundings_()] {
    mount_nfs(spec, place, surroundings);
  };
  co_await run_in_lossy_worker("mounting from the NFS server " + spec.source.host, limits.server, work);
  co_return mounted.place;
}

}  // namespace berth::tether::os

#include "tether/os/container_root.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "tether/os/boot.hpp"
#include "tether/os/mount.hpp"
#include "tether/os/read_ahead.hpp"
#include "tether/os/worker.hpp"

namespace berth::tether::os {
namespace {

constexpr std::string_view kNameFiles[] = {"hostname", "hosts", "resolv.conf"};
constexpr std::size_t kNameFileLimit = 1u << 20;

/// Deepest last, and by name where that is equal.
bool parent_first(const std::string& a, const std::string& b) {
  const auto depth = [](const std::string& path) { return std::count(path.begin(), path.end(), '/'); };
  return depth(a) != depth(b) ? depth(a) < depth(b) : a < b;
}

/// The image's file, if it has one.
std::string read_image_file(int root, const std::string& path) {
  const UniqueFd found = find_in_root(root, path);
  struct stat status {};
  if (!found || ::fstat(found.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  const UniqueFd file = open_file(descriptor_path(found.get()), O_RDONLY);
  return read_all(file.get(), kNameFileLimit);
}

/// A container may have made it as large as it likes: then only ours is left.
std::string read_name_file(const std::string& path) {
  const UniqueFd file = open_file(path, O_RDONLY);
  struct stat status {};
  check(::fstat(file.get(), &status), "stat");
  return status.st_size <= static_cast<off_t>(kNameFileLimit) ? read_all(file.get(), kNameFileLimit) : "";
}

void write_in_place(const std::string& path, std::string_view content) {
  const UniqueFd file = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  write_all(file.get(), content);
}

bool is_folder(const std::string& path) {
  struct stat status {};
  check(::stat(path.c_str(), &status), "stat " + path);
  return S_ISDIR(status.st_mode);
}

/// A file system that somebody has mounted, wherever that is, holds its device.
bool is_held(const std::string& device) {
  const UniqueFd file(::open(device.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
  return !file && errno == EBUSY;
}

bool is_below(const std::string& path, const std::string& parent) {
  const std::string prefix = parent.ends_with('/') ? parent : parent + "/";
  return path.size() > prefix.size() && path.starts_with(prefix);
}

Error in_use(const std::string& path) {
  return Error(Code::busy, "{} is in use in the container; end the processes that use it first", path);
}

}  // namespace

Task<> ContainerRoot::assemble(Milliseconds limit) {
  if (root_) co_return;
  const std::string image = state_path("image");
  const std::string scratch = state_path("scratch");
  const std::string root = state_path("root");
  if (!image_disk_) image_disk_ = co_await devices_.disk(std::string(kImageDisk), limit);
  if (!scratch_disk_) scratch_disk_ = co_await devices_.disk(std::string(kScratchDisk), limit);
  for (const std::string& folder : {image, scratch, root}) make_directories(folder, 0755);

  const auto mount_base = [this](const std::string& source, const std::string& target, const char* type,
                                 unsigned long flags, const std::string& data) {
    mount_file_system(source, target, type, flags, data.c_str());
    base_mounts_.push_back(target);
  };
  mount_base(*image_disk_, image, "erofs", MS_RDONLY | MS_NODEV, "");
  // Neither has anything to do on a new disk in a sparse file, and each starts a thread.
  mount_base(*scratch_disk_, scratch, "ext4", MS_NOATIME | MS_NODEV,
             "noinit_itable,no_prefetch_block_bitmaps");
  const std::string upper = scratch + "/root/upper";
  const std::string work = scratch + "/root/work";
  make_directories(upper, 0755);
  make_directories(work, 0755);
  mount_base("overlay", root, "overlay", MS_NODEV,
             fmt::format("lowerdir={},upperdir={},workdir={}", image, upper, work));
  // What is mounted in it later is mounted in the containers as well: theirs is a slave of this.
  check(::mount(nullptr, root.c_str(), nullptr, MS_SHARED, nullptr), "share the root");
  root_ = open_file(root, O_PATH | O_DIRECTORY);
  root_disks_ = {*scratch_disk_, *image_disk_};
  path_ = root;
}

Task<> ContainerRoot::read_image_ahead(std::uint64_t limit) {
  constexpr Milliseconds kLimit{10'000};
  const std::function<void()> work = [folder = state_path("image"), limit] { read_ahead(folder, limit); };
  try {
    co_await run_in_worker("reading the image", kLimit, work);
  } catch (const Error& error) {
    log::info("{}", error.what());  // a larger one than can be read in that time: the rest is read when used
  }
}

void ContainerRoot::make_mount_points() {
  for (const char* path : {"/proc", "/sys", "/dev"}) make_in_root(root_.get(), path);
}

Task<> ContainerRoot::apply_mounts(std::map<std::string, config::MountSpec> mounts, Limits limits) {
  co_await unmount_stale(mounts, limits);
  std::vector<std::pair<std::string, config::MountSpec>> missing;
  for (const auto& entry : mounts) {
    if (!mounted_.contains(entry.first)) missing.push_back(entry);
  }
  std::sort(missing.begin(), missing.end(),
            [](const auto& a, const auto& b) { return parent_first(a.second.path, b.second.path); });
  for (const auto& [key, spec] : missing) {
    try {
      mounted_.emplace(key, co_await mount_one(spec, limits));
    } catch (Error& error) {
      error.add_context(fmt::format("mount {}", spec.path));
      throw;
    }
    mount_order_.push_back(key);
  }
}

/// What is gone or changed, and for a while what is below such a place.
Task<> ContainerRoot::unmount_stale(const std::map<std::string, config::MountSpec>& mounts, Limits limits) {
  std::vector<std::string> changed;
  for (const auto& [key, mounted] : mounted_) {
    const auto now = mounts.find(key);
    if (now == mounts.end() || now->second != mounted.spec) changed.push_back(mounted.spec.path);
  }
  for (const auto& [key, spec] : mounts) {
    const auto before = mounted_.find(key);
    if (before == mounted_.end() || before->second.spec != spec) changed.push_back(spec.path);
  }
  const std::vector<std::string> order(mount_order_.rbegin(), mount_order_.rend());
  for (const std::string& key : order) {
    const Mounted mounted = mounted_.at(key);
    const auto now = mounts.find(key);
    const bool stays = now != mounts.end() && now->second == mounted.spec &&
                       std::none_of(changed.begin(), changed.end(), [&](const std::string& path) {
                         return is_below(mounted.spec.path, path);
                       });
    if (stays) continue;
    if (::umount2(mounted.target.c_str(), 0) != 0) {
      if (errno == EBUSY) throw in_use(mounted.spec.path);
      if (errno != EINVAL) throw errno_error("unmount " + mounted.spec.path);
    }
    mounted_.erase(key);
    std::erase(mount_order_, key);
    co_await unmount_one(mounted, limits);
  }
}

/// Writes back and frees what stood behind a mount.
Task<> ContainerRoot::unmount_one(Mounted mounted, Limits limits) {
  if (mounted.place.empty()) co_return;
  if (mounted.remote) {
    const std::function<void()> leave = [place = mounted.place] {
      check(::umount2(place.c_str(), 0), "unmount " + place);
    };
    co_await run_in_lossy_worker("unmounting from the NFS server " + mounted.spec.source.host, limits.server,
                                 leave);
    co_return;
  }
  const std::function<void()> work = [mounted] {
    if (::umount2(mounted.place.c_str(), 0) != 0 && errno != EINVAL)
      throw errno_error("unmount what is behind " + mounted.spec.path);
    if (!mounted.device.empty() && is_held(mounted.device)) throw in_use(mounted.spec.path);
  };
  co_await run_in_worker("unmounting", limits.volume, work);
}

Task<ContainerRoot::Mounted> ContainerRoot::mount_one(config::MountSpec spec, Limits limits) {
  const MountOptions options = parse_mount_options(spec.mode);
  const std::string& scheme = spec.source.scheme;
  Mounted mounted;
  mounted.spec = spec;
  std::string volume;
  if (scheme == "scratch") {
    const std::string name = spec.source.path.empty() ? spec.source.opaque : spec.source.path;
    volume =
        co_await prepare_volume(name, spec.path, spec.copy_mode == config::CopyMode::fresh, limits.volume);
  } else if (scheme == "serial" || scheme == "label") {
    volume = co_await prepare_disk(spec, mounted, limits);
  } else if (scheme == "virtiofs") {
    volume = co_await prepare_folder(spec, mounted, limits);
  } else if (scheme == "nfs") {
    volume = co_await prepare_nfs(spec, mounted, limits);
  } else if (scheme != "tmpfs") {
    throw Error(Code::unsupported, "this guest cannot mount from \"{}:\"", scheme);
  }
  const bool is_file = !volume.empty() && !is_folder(volume);
  const UniqueFd target = make_in_root(root_.get(), spec.path, is_file);
  if (is_folder(descriptor_path(target.get())) == is_file) {
    throw Error(Code::invalid_argument, "a {} cannot be mounted on a {}", is_file ? "file" : "folder",
                is_file ? "folder" : "file");
  }
  std::array<char, 4096> real;
  const ssize_t n =
      check(::readlink(descriptor_path(target.get()).c_str(), real.data(), real.size()), "readlink");
  mounted.target = std::string(real.data(), static_cast<std::size_t>(n));
  if (volume.empty()) {
    mount_file_system("tmpfs", mounted.target, "tmpfs", options.flags | MS_NODEV, options.data.c_str());
  } else {
    bind_mount(volume, mounted.target, options.flags | MS_NODEV);
  }
  co_return mounted;
}

/// From the container; gives the places that are left.
std::vector<std::string> ContainerRoot::detach_remote() {
  std::vector<std::string> places;
  std::vector<std::string> targets;
  for (const std::string& key : std::vector<std::string>(mount_order_)) {
    const Mounted& mounted = mounted_.at(key);
    if (!mounted.remote) continue;
    // What is below one goes with it; a path through it could not be resolved without its server.
    const bool is_gone = std::any_of(targets.begin(), targets.end(), [&](const std::string& target) {
      return is_below(mounted.target, target);
    });
    if (!is_gone && ::umount2(mounted.target.c_str(), MNT_DETACH) != 0)
      log::warning("detach {}: {}", mounted.spec.path, std::strerror(errno));
    targets.push_back(mounted.target);
    places.push_back(mounted.place);
    mounted_.erase(key);
    std::erase(mount_order_, key);
  }
  return places;
}

Task<> ContainerRoot::leave_servers(Milliseconds limit, std::function<bool()> released,
                                    Milliseconds patience) {
  constexpr Milliseconds kAgain{100};
  const std::vector<std::string> places = detach_remote();
  if (places.empty()) co_return;
  const std::function<void()> work = [places] {
    for (const std::string& place : places) {
      const UniqueFd folder = open_file(place, O_RDONLY | O_DIRECTORY);
      check(::syncfs(folder.get()), "write back " + place);
    }
    for (const std::string& place : places) check(::umount2(place.c_str(), MNT_DETACH), "unmount " + place);
  };
  bool is_left = false;
  try {
    co_await run_in_lossy_worker("writing back to NFS servers", limit, work);
    is_left = true;
  } catch (const Error& error) {
    log::warning("{}", error.what());
  }
  if (is_left) co_return;
  // Every request that waits fails, and those that come after it until whoever was killed has got to his end.
  const auto deadline = std::chrono::steady_clock::now() + patience;
  do {
    for (const std::string& place : places) ::umount2(place.c_str(), MNT_FORCE);
    co_await sleep_for(kAgain);
  } while (!released() && std::chrono::steady_clock::now() < deadline);
  write_back_disks();
}

void ContainerRoot::write_back_disks() {
  std::vector<std::string> places{state_path("scratch")};
  for (const auto& [key, mounted] : mounted_) {
    if (!mounted.place.empty()) places.push_back(mounted.place);
  }
  for (const std::string& place : places) {
    const UniqueFd folder = open_file(place, O_RDONLY | O_DIRECTORY);
    if (::syncfs(folder.get()) != 0) log::warning("write back {}: {}", place, std::strerror(errno));
  }
}

std::vector<std::string> ContainerRoot::disks_at(const std::string& path) const {
  if (path == "/") return root_disks_;
  for (const auto& [key, mounted] : mounted_) {
    if (mounted.spec.path == path && !mounted.device.empty()) return {mounted.device};
  }
  return {};
}

void ContainerRoot::apply_names(const NameSettings& settings) {
  if (names_ == settings) return;
  const std::string hosts = make_hosts(settings);
  const std::string resolver = make_resolver(settings);
  if (!names_) {
    make_directories(state_path("etc"), 0755);
    write_in_place(state_path("etc/hosts"), rest_of_hosts(read_image_file(root_.get(), "/etc/hosts"), hosts));
    write_in_place(state_path("etc/resolv.conf"),
                   rest_of_resolver(read_image_file(root_.get(), "/etc/resolv.conf"), resolver));
  }
  const std::string full_name =
      settings.domain.empty() ? settings.hostname : settings.hostname + "." + settings.domain;
  if (!names_ || names_->hostname != settings.hostname || names_->domain != settings.domain)
    write_in_place(state_path("etc/hostname"), full_name + "\n");
  for (const auto& [file, ours] : {std::pair<const char*, const std::string&>("etc/hosts", hosts),
                                   std::pair<const char*, const std::string&>("etc/resolv.conf", resolver)}) {
    const std::string now = read_name_file(state_path(file));
    const std::string blended = blend(now, ours);
    if (blended != now) write_in_place(state_path(file), blended);
  }
  if (!names_) {
    for (const std::string_view name : kNameFiles)
      bind_file(state_path(fmt::format("etc/{}", name)), fmt::format("/etc/{}", name));
  }
  names_ = settings;
}

bool ContainerRoot::has_folder(const std::string& path) const {
  const UniqueFd found = find_in_root(root_.get(), path);
  return found && is_folder(descriptor_path(found.get()));
}

std::string ContainerRoot::read_file(const std::string& path) const {
  return read_image_file(root_.get(), path);
}

void ContainerRoot::bind_file(const std::string& source, const std::string& path) {
  const UniqueFd target = make_in_root(root_.get(), path, true);
  bind_mount(source, descriptor_path(target.get()));
  std::array<char, 4096> real;
  const ssize_t n =
      check(::readlink(descriptor_path(target.get()).c_str(), real.data(), real.size()), "readlink");
  base_mounts_.emplace_back(real.data(), static_cast<std::size_t>(n));
}

void ContainerRoot::unmount() {
  for (auto key = mount_order_.rbegin(); key != mount_order_.rend(); ++key) {
    const Mounted& mounted = mounted_.at(*key);
    // What was below an export has gone with it.
    if (::umount2(mounted.target.c_str(), 0) != 0 && errno != EINVAL && errno != ENOENT)
      throw errno_error("unmount " + mounted.spec.path);
    if (!mounted.place.empty())
      check(::umount2(mounted.place.c_str(), 0), "unmount what is behind " + mounted.spec.path);
    mounted_.erase(*key);
    mount_order_.erase(std::prev(key.base()));
  }
  root_.reset();
  for (auto target = base_mounts_.rbegin(); target != base_mounts_.rend(); ++target) {
    if (::umount2(target->c_str(), 0) != 0 && errno != EINVAL) throw errno_error("unmount " + *target);
  }
  base_mounts_.clear();
}

MountOptions parse_mount_options(std::string_view text) {
  struct Word {
    std::string_view name;
    unsigned long flag;
    bool set;
  };
  static constexpr Word kWords[] = {
      {"ro", MS_RDONLY, true},
      {"rw", MS_RDONLY, false},
      {"noexec", MS_NOEXEC, true},
      {"exec", MS_NOEXEC, false},
      {"nosuid", MS_NOSUID, true},
      {"suid", MS_NOSUID, false},
      {"nodev", MS_NODEV, true},
      {"dev", MS_NODEV, false},
      {"noatime", MS_NOATIME, true},
      {"atime", MS_NOATIME, false},
      {"nodiratime", MS_NODIRATIME, true},
      {"relatime", MS_RELATIME, true},
      {"sync", MS_SYNCHRONOUS, true},
      {"async", MS_SYNCHRONOUS, false},
  };
  MountOptions options;
  for (const std::string& word : split(text, ',')) {
    const auto known =
        std::find_if(std::begin(kWords), std::end(kWords), [&](const Word& one) { return one.name == word; });
    if (known == std::end(kWords)) {
      if (!word.empty()) options.data += (options.data.empty() ? "" : ",") + word;
    } else if (known->set) {
      options.flags |= known->flag;
    } else {
      options.flags &= ~known->flag;
    }
  }
  return options;
}

}  // namespace berth::tether::os

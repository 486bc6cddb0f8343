#include "tether/os/container_root.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "tether/os/boot.hpp"
#include "tether/os/copy_tree.hpp"
#include "tether/os/mount.hpp"
#include "tether/os/worker.hpp"

namespace berth::tether::os {
namespace {

constexpr std::string_view kNameFiles[] = {"hostname", "hosts", "resolv.conf"};
constexpr std::size_t kNameFileLimit = 1u << 20;

std::string state_path(std::string_view name) {
  return fmt::format("{}/{}", kStateFolder, name);
}

/// Deepest last, and by name where that is equal.
bool parent_first(const std::string& a, const std::string& b) {
  const auto depth = [](const std::string& path) { return std::count(path.begin(), path.end(), '/'); };
  return depth(a) != depth(b) ? depth(a) < depth(b) : a < b;
}

/// The mount at `path` alone, without what is mounted below it.
UniqueFd clone_mount(const std::string& path) {
  return UniqueFd(
      check(::open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), "clone " + path));
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

}  // namespace

Task<> ContainerRoot::assemble(Milliseconds limit) {
  if (root_) co_return;
  const std::string image = state_path("image");
  const std::string scratch = state_path("scratch");
  const std::string root = state_path("root");
  const std::string image_disk = co_await devices_.disk(std::string(kImageDisk), limit);
  const std::string scratch_disk = co_await devices_.disk(std::string(kScratchDisk), limit);
  for (const std::string& folder : {image, scratch, root}) make_directories(folder, 0755);

  const auto mount_base = [this](const std::string& source, const std::string& target, const char* type,
                                 unsigned long flags, const std::string& data) {
    mount_file_system(source, target, type, flags, data.c_str());
    base_mounts_.push_back(target);
  };
  mount_base(image_disk, image, "erofs", MS_RDONLY | MS_NODEV, "");
  mount_base(scratch_disk, scratch, "ext4", MS_NOATIME | MS_NODEV, "");
  const std::string upper = scratch + "/root/upper";
  const std::string work = scratch + "/root/work";
  make_directories(upper, 0755);
  make_directories(work, 0755);
  mount_base("overlay", root, "overlay", MS_NODEV,
             fmt::format("lowerdir={},upperdir={},workdir={}", image, upper, work));
  root_ = open_file(root, O_PATH | O_DIRECTORY);
  path_ = root;
}

Task<> ContainerRoot::apply_mounts(const std::map<std::string, config::MountSpec>& mounts,
                                   Milliseconds limit) {
  for (auto key = mount_order_.rbegin(); key != mount_order_.rend(); ++key) {
    const auto now = mounts.find(*key);
    const auto before = mounted_.find(*key);
    if (now != mounts.end() && now->second == before->second.spec) continue;
    check(::umount2(before->second.target.c_str(), MNT_DETACH), "unmount " + before->second.spec.path);
    mounted_.erase(before);
  }
  std::erase_if(mount_order_, [this](const std::string& key) { return !mounted_.contains(key); });

  std::vector<std::pair<std::string, config::MountSpec>> missing;
  for (const auto& entry : mounts) {
    if (!mounted_.contains(entry.first)) missing.push_back(entry);
  }
  std::sort(missing.begin(), missing.end(),
            [](const auto& a, const auto& b) { return parent_first(a.second.path, b.second.path); });
  for (const auto& [key, spec] : missing) {
    try {
      mounted_.emplace(key, co_await mount_one(spec, limit));
    } catch (Error& error) {
      error.add_context(fmt::format("mount {}", spec.path));
      throw;
    }
    mount_order_.push_back(key);
  }
}

Task<ContainerRoot::Mounted> ContainerRoot::mount_one(config::MountSpec spec, Milliseconds limit) {
  const MountOptions options = parse_mount_options(spec.mode);
  std::string volume;
  if (spec.source.scheme == "scratch") {
    const std::string name = spec.source.path.empty() ? spec.source.opaque : spec.source.path;
    volume = co_await prepare_volume(name, spec.path, spec.copy_mode == config::CopyMode::fresh, limit);
  } else if (spec.source.scheme != "tmpfs") {
    throw Error(Code::unsupported, "this guest cannot mount from \"{}:\"", spec.source.scheme);
  }
  const UniqueFd target = make_in_root(root_.get(), spec.path);
  std::array<char, 4096> real;
  const ssize_t n =
      check(::readlink(descriptor_path(target.get()).c_str(), real.data(), real.size()), "readlink");
  Mounted mounted{spec, std::string(real.data(), static_cast<std::size_t>(n))};
  if (volume.empty()) {
    mount_file_system("tmpfs", mounted.target, "tmpfs", options.flags | MS_NODEV, options.data.c_str());
  } else {
    bind_mount(volume, mounted.target, options.flags | MS_NODEV);
  }
  co_return mounted;
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
    for (const std::string_view name : kNameFiles) bind_name_file(std::string(name));
  }
  names_ = settings;
}

void ContainerRoot::bind_name_file(const std::string& name) {
  const std::string path = "/etc/" + name;
  const UniqueFd target = make_in_root(root_.get(), path, true);
  bind_mount(state_path("etc/") + name, descriptor_path(target.get()));
  base_mounts_.push_back(path_ + path);
}

void ContainerRoot::unmount() {
  for (auto key = mount_order_.rbegin(); key != mount_order_.rend(); ++key) {
    check(::umount2(mounted_.at(*key).target.c_str(), 0), "unmount " + mounted_.at(*key).spec.path);
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

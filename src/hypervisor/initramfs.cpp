#include "hypervisor/initramfs.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <system_error>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/text.hpp"

namespace berth::hypervisor {
namespace fs = std::filesystem;
namespace {

constexpr std::chrono::milliseconds kBuildLimit{60'000};
/// Changes whenever the archive made from the same inputs would differ.
constexpr std::string_view kLayout = "3";
constexpr std::string_view kBootList = "order";

/// Writes the "newc" format of cpio, Documentation/driver-api/early-userspace/buffer-format.rst.
class CpioWriter {
 public:
  void add_folder(std::string_view name) { add(name, S_IFDIR | 0755, {}, 0); }
  void add_file(std::string_view name, mode_t permissions, std::string_view content) {
    add(name, S_IFREG | permissions, content, 0);
  }
  void add_character_device(std::string_view name, mode_t permissions, dev_t device) {
    add(name, S_IFCHR | permissions, {}, device);
  }
  std::string finish() && {
    add("TRAILER!!!", 0, {}, 0);
    return std::move(archive_);
  }

 private:
  void add(std::string_view name, mode_t mode, std::string_view content, dev_t device) {
    if (content.size() > UINT32_MAX) throw Error(Code::capacity, "{} is too large for an initramfs", name);
    const unsigned links = S_ISDIR(mode) ? 2 : 1;
    archive_ += "070701";
    // inode, mode, uid, gid, links, mtime, size, device of the file (2), device it stands for (2), name size,
    // checksum
    for (const std::size_t field :
         {std::size_t{next_inode_++}, std::size_t{mode}, std::size_t{0}, std::size_t{0}, std::size_t{links},
          std::size_t{0}, content.size(), std::size_t{0}, std::size_t{0}, std::size_t{::major(device)},
          std::size_t{::minor(device)}, name.size() + 1, std::size_t{0}}) {
      fmt::format_to(std::back_inserter(archive_), "{:08X}", field);
    }
    archive_.append(name).push_back('\0');
    pad();
    archive_.append(content);
    pad();
  }
  void pad() { archive_.resize((archive_.size() + 3) / 4 * 4, '\0'); }

  std::string archive_;
  unsigned next_inode_ = 1;
};

/// modprobe takes '-' and '_' in module names for the same.
std::string plain_name(std::string_view path) {
  std::string name = fs::path(path).filename().string();
  name.resize(std::min(name.find(".ko"), name.size()));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

/// What the kernel has, as depmod(8) wrote it down.
class ModuleIndex {
 public:
  explicit ModuleIndex(const GuestKernel& kernel) : kernel_(kernel) {
    const std::string text = read_file(kernel.modules / "modules.dep");
    for (const std::string& line : split(text, '\n')) add(line);
    const std::string built_in = find_file(kernel.modules / "modules.builtin").value_or("");
    for (const std::string& line : split(built_in, '\n')) built_in_.insert(plain_name(line));
  }

  /// Their files and those of what they need, the most basic first. Throws not-found.
  [[nodiscard]] std::vector<fs::path> resolve(const std::vector<std::string_view>& names) const {
    std::vector<fs::path> order;
    std::set<std::string> seen;
    for (const std::string_view name : names) {
      const auto module = files_.find(plain_name(name));
      if (module == files_.end()) {
        if (built_in_.contains(plain_name(name))) continue;
        throw Error(Code::not_found, "the kernel {} has no module {}; use one of linux-image-cloud-amd64",
                    kernel_.release, name);
      }
      for (auto file = module->second.rbegin(); file != module->second.rend(); ++file) {
        if (seen.insert(*file).second) order.emplace_back(*file);
      }
    }
    return order;
  }

 private:
  void add(const std::string& line) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) return;
    std::vector<std::string> files{line.substr(0, colon)};
    for (std::string& file : split(trim(std::string_view(line).substr(colon + 1)), ' ')) {
      if (!file.empty()) files.push_back(std::move(file));
    }
    files_.emplace(plain_name(files.front()), std::move(files));
  }

  const GuestKernel& kernel_;
  /// Module name -> its file and all it needs, the most basic last.
  std::map<std::string, std::vector<std::string>> files_;
  std::set<std::string> built_in_;
};

/// The files of a list in the archive.
struct ModuleList {
  std::string_view name;
  std::vector<fs::path> files;
};

/// Only the first is loaded at boot; the others hold what that one does not. A list that the kernel lacks
/// something of is empty, but for what every machine needs: then it throws not-found.
std::vector<ModuleList> module_lists(const InitramfsSpec& spec) {
  const ModuleIndex index(spec.kernel);
  const std::vector<fs::path> boot = index.resolve(spec.modules);
  const auto added = [&](const std::vector<std::string_view>& names) {
    std::vector<fs::path> modules = index.resolve(names);
    std::erase_if(modules, [&](const fs::path& module) {
      return std::find(boot.begin(), boot.end(), module) != boot.end();
    });
    return modules;
  };
  const auto added_if_there = [&](const std::vector<std::string_view>& names) {
    try {
      return added(names);
    } catch (const Error& error) {
      if (error.code() != Code::not_found) throw;
      return std::vector<fs::path>();
    }
  };
  return {{kBootList, boot},
          {"devices", added(spec.device_modules)},
          {"firewall", added_if_there(spec.firewall_modules)},
          {"folders", added_if_there(spec.folder_modules)},
          {"nfs", added_if_there(spec.nfs_modules)},
          {"memory", added_if_there(spec.memory_modules)},
          {"copy", added_if_there(spec.copy_modules)}};
}

std::string cache_key(const InitramfsSpec& spec) {
  std::string key = fmt::format("layout {}\nkernel {}\n", kLayout, spec.kernel.release);
  key += fingerprint(spec.init);
  key += fingerprint(spec.kernel.modules / "modules.dep");
  for (const ModuleList& list : module_lists(spec)) {
    for (const fs::path& module : list.files) key += fingerprint(spec.kernel.modules / module);
  }
  return key;
}

std::string read_module(const fs::path& path) {
  if (path.extension() != ".ko") {
    throw Error(Code::unsupported,
                "the kernel module {} is compressed; use Debian's kernel, whose modules are not",
                path.string());
  }
  return read_file(path);
}

}  // namespace

std::vector<fs::path> resolve_modules(const GuestKernel& kernel, const std::vector<std::string_view>& names) {
  return ModuleIndex(kernel).resolve(names);
}

std::string make_initramfs(const InitramfsSpec& spec) {
  CpioWriter archive;
  archive.add_folder("dev");
  archive.add_character_device("dev/console", 0600, ::makedev(5, 1));
  archive.add_file("init", 0755, read_file(spec.init));
  archive.add_folder("modules");
  unsigned number = 0;
  for (const ModuleList& list : module_lists(spec)) {
    std::string order;
    for (const fs::path& module : list.files) {
      const std::string name = fmt::format("{:02}-{}", number++, module.filename().string());
      archive.add_file("modules/" + name, 0444, read_module(spec.kernel.modules / module));
      order += name + "\n";
    }
    const bool is_for_boot = list.name == kBootList;
    if (is_for_boot || !order.empty()) archive.add_file(fmt::format("modules/{}", list.name), 0444, order);
  }
  return std::move(archive).finish();
}

fs::path cached_initramfs(const InitramfsSpec& spec, const fs::path& cache) {
  fs::path path = cache / fmt::format("initramfs-{}-{:016x}", spec.kernel.release, fnv1a(cache_key(spec)));
  std::error_code ignored;
  if (fs::exists(path, ignored)) return path;
  make_directories(cache);
  const FileLock lock = FileLock::acquire(cache / "initramfs.lock", kBuildLimit, "the initramfs");
  if (!fs::exists(path, ignored)) write_file_atomically(path, make_initramfs(spec), 0444);
  return path;
}

}  // namespace berth::hypervisor

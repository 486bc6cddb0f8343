#include "hypervisor/kernel.hpp"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"

namespace berth::hypervisor {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "vmlinuz-";
constexpr std::string_view kCloud = "-cloud-amd64";
constexpr std::string_view kAdvice = "install the package linux-image-cloud-amd64";

// Offsets of the Linux boot protocol, Documentation/x86/boot.rst.
constexpr std::size_t kMagicOffset = 0x202;
constexpr std::size_t kVersionOffset = 0x20e;
constexpr std::size_t kVersionBase = 0x200;
constexpr std::size_t kHeaderSize = 64 * 1024;

std::string read_header(const fs::path& image) {
  const UniqueFd fd = open_file(image, O_RDONLY);
  std::string header(kHeaderSize, '\0');
  const ssize_t count = check(::pread(fd.get(), header.data(), header.size(), 0), "read " + image.string());
  header.resize(static_cast<std::size_t>(count));
  return header;
}

/// A kernel of that image when its modules are there too.
std::optional<GuestKernel> with_modules(const fs::path& image, std::string release,
                                        const KernelFolders& folders) {
  const fs::path modules = folders.modules / release;
  std::error_code ignored;
  if (!fs::exists(modules / "modules.dep", ignored)) return std::nullopt;
  return GuestKernel{image, std::move(release), modules};
}

std::vector<GuestKernel> kernels_in(const KernelFolders& folders) {
  std::vector<GuestKernel> found;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folders.boot, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    if (auto kernel = with_modules(entry.path(), name.substr(kPrefix.size()), folders))
      found.push_back(*kernel);
  }
  return found;
}

/// Cloud kernels are built for virtual machines: they come first, then the higher version.
bool is_worse(const GuestKernel& left, const GuestKernel& right) {
  const bool left_cloud = left.release.ends_with(kCloud);
  const bool right_cloud = right.release.ends_with(kCloud);
  if (left_cloud != right_cloud) return right_cloud;
  return ::strverscmp(left.release.c_str(), right.release.c_str()) < 0;
}

void require_readable(const fs::path& image) {
  if (::access(image.c_str(), R_OK) == 0) return;
  const Error error = errno_error("the guest kernel " + image.string());
  throw Error(error.code() == Code::not_found ? Code::not_found : Code::unavailable,
              "{}; make it readable for this user, or give another kernel", error.message());
}

}  // namespace

std::string kernel_release(const fs::path& image) {
  const std::string header = read_header(image);
  const auto fail = [&] {
    return Error(Code::corrupt, "{} is not a bootable Linux kernel (bzImage)", image.string());
  };
  if (header.size() < kVersionOffset + 2 || header.compare(kMagicOffset, 4, "HdrS") != 0) throw fail();
  const std::size_t low = static_cast<unsigned char>(header[kVersionOffset]);
  const std::size_t high = static_cast<unsigned char>(header[kVersionOffset + 1]);
  const std::size_t begin = kVersionBase + (high << 8 | low);
  if (begin == kVersionBase || begin >= header.size()) throw fail();
  // "6.1.0-28-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP ..."
  const std::string_view version = std::string_view(header).substr(begin);
  const std::size_t end = version.find_first_of(std::string_view(" \0", 2));
  if (end == std::string_view::npos || end == 0 ||
      version.substr(0, end).find('/') != std::string_view::npos) {
    throw fail();
  }
  return std::string(version.substr(0, end));
}

GuestKernel find_kernel(const fs::path& image, const KernelFolders& folders) {
  if (!image.empty()) {
    require_readable(image);
    const std::string release = kernel_release(image);
    if (auto kernel = with_modules(image, release, folders)) return *kernel;
    throw Error(Code::not_found, "the kernel {} has no modules in {}", image.string(),
                (folders.modules / release).string());
  }
  const std::vector<GuestKernel> found = kernels_in(folders);
  const auto best = std::max_element(found.begin(), found.end(), is_worse);
  if (best == found.end()) {
    throw Error(Code::not_found, "there is no kernel for guests in {} with modules in {}; {}",
                folders.boot.string(), folders.modules.string(), kAdvice);
  }
  require_readable(best->image);
  return *best;
}

}  // namespace berth::hypervisor

#pragma once

#include <filesystem>
#include <string>

namespace berth::hypervisor {

/// A kernel that guests boot.
struct GuestKernel {
  std::filesystem::path image;    ///< bzImage
  std::string release;            ///< as uname -r says it, e.g. "6.1.0-28-cloud-amd64"
  std::filesystem::path modules;  ///< the folder with modules.dep
};

/// Where kernels are looked for; other than the defaults only in tests.
struct KernelFolders {
  std::filesystem::path boot = "/boot";
  std::filesystem::path modules = "/lib/modules";
};

/// The newest cloud kernel that has its modules, else the newest of any other flavour. `image` overrides the
/// search when not empty. Throws not-found naming the package to install, or that the image cannot be read by
/// this user.
GuestKernel find_kernel(const std::filesystem::path& image = {}, const KernelFolders& folders = {});

/// The release in a bzImage's own header (Linux boot protocol, kernel_version). Throws Code::corrupt.
std::string kernel_release(const std::filesystem::path& image);

}  // namespace berth::hypervisor

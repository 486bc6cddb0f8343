#pragma once

#include <chrono>
#include <filesystem>

#include "image/store.hpp"
#include "image/unpack.hpp"

namespace berth::image {

struct RootfsOptions {
  UnpackLimits limits;
  /// The program that unpacks inside a user namespace for an ordinary user: its main() calls unpack_main.
  std::filesystem::path helper = "/proc/self/exe";
  std::chrono::milliseconds limit = std::chrono::minutes(60);
};

/// The image's layers as one read-only EROFS file (mode 0444), built at the first call; processes that ask at
/// once wait for one build. Throws corrupt, capacity, unsupported, unavailable (a tool is missing), timeout.
std::filesystem::path rootfs(const Store& store, const Image& image, const RootfsOptions& options = {});

/// argv[1] by which rootfs starts its helper.
inline constexpr const char* kUnpackCommand = "__unpack-rootfs";
/// The helper: main() returns what this returns when argv[1] is kUnpackCommand, before anything else.
int unpack_main(int argc, char** argv);

}  // namespace berth::image

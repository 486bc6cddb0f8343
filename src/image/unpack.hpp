#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace berth::image {

class LayerTree;

/// What an image may grow to; beyond it unpacking ends with Code::capacity.
struct UnpackLimits {
  std::uint64_t bytes = 64ull << 30;  ///< all files together, holes counted; free disk space is a limit too
  std::uint64_t entries = 4'000'000;  ///< of all layers together
  std::uint64_t name_length = 4096;   ///< of a path or a link's target
};

/// Applies layers to one directory as the OCI image-spec (layer.md) says: whiteouts, hard links, modes,
/// owners, times, security.capability and user.* attributes. Nothing is ever made or followed outside the
/// directory, which nobody else may change meanwhile.
class Unpacker {
 public:
  /// `directory` exists and is empty.
  explicit Unpacker(const std::filesystem::path& directory, const UnpackLimits& limits = {});
  Unpacker(Unpacker&&) noexcept;
  ~Unpacker();

  /// Applies the tar stream (plain, gzip or zstd) from `fd`'s current offset. `layer` names it in errors. The
  /// sha256 of the uncompressed stream must be `diff_id`, unless that is empty. Throws corrupt, unsupported,
  /// capacity.
  void apply(int fd, const std::string& layer, const std::string& diff_id);

  /// What was left out, a line each: devices and attributes this process may not make.
  const std::vector<std::string>& warnings() const;

 private:
  std::unique_ptr<LayerTree> tree_;
};

}  // namespace berth::image

#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace berth::image {

/// A running SHA-256, written as OCI writes digests: "sha256:" and 64 hex digits.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  ~Sha256();

  void update(std::string_view bytes);
  /// Ends it; call once.
  std::string finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string digest_of(std::string_view bytes);
/// Of a whole file, read in pieces.
std::string digest_of_file(const std::filesystem::path& path);

/// The part behind "sha256:".
std::string_view hex_of(std::string_view digest);

}  // namespace berth::image

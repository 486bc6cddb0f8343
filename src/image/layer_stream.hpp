#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace berth::image {

/// The uncompressed bytes of a layer's blob (plain, gzip or zstd), hashed on their way.
class LayerStream {
 public:
  /// Reads `fd`, a regular file, from its current offset. Throws corrupt.
  explicit LayerStream(int fd);
  LayerStream(LayerStream&&) noexcept;
  ~LayerStream();

  /// The next piece, valid until the next call; empty at the end. Throws corrupt.
  std::string_view next();
  /// Bytes given out so far.
  std::uint64_t count() const;
  /// The digest of everything, called once and after the end.
  std::string digest();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::image

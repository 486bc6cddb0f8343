#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

/// How archives come and go: piece by piece, so that none is ever held as a whole.
namespace berth::tar {

/// The next piece, valid until the next call; empty at the end. May throw.
using Source = std::function<std::string_view()>;
/// Takes a piece. May throw.
using Sink = std::function<void(std::string_view)>;

/// Reads a descriptor, which must outlive it; `doing` is what an error says.
Source source_of(int fd, std::string doing);

/// Largest piece that anybody here asks for or gives, in bytes.
inline constexpr std::size_t kPieceSize = 64u << 10;

}  // namespace berth::tar

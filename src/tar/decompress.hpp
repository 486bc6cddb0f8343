#pragma once

#include "tar/stream.hpp"

namespace berth::tar {

/// Gives the bytes that `source` has, unpacked when they are compressed with gzip, bzip2, xz or zstd. Takes
/// the source to its end. Throws corrupt.
void decompress(const Source& source, const Sink& sink);

}  // namespace berth::tar

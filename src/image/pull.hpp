#pragma once

#include <filesystem>
#include <string>

#include "image/manifest.hpp"
#include "image/reference.hpp"
#include "image/store.hpp"

namespace berth::image {

/// An image that lies complete and verified outside the store.
struct Fetched {
  Descriptor manifest;          ///< media type, digest and size
  std::string source_digest;    ///< of what the source has under the name: an index or the manifest
  std::filesystem::path blobs;  ///< the folder of the blobs, named by the hex digits of their digests
};

/// Copies the image into `scratch`, whose "blobs/sha256" may hold blobs that need not be fetched, and
/// verifies every digest and size. Throws as Store::pull says.
Fetched fetch(const Source& source, const PullOptions& options, const std::filesystem::path& scratch);

}  // namespace berth::image

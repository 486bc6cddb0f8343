#pragma once

// Layers and layouts made by code, for the tests of this folder.

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "image/digest.hpp"
#include "image/manifest.hpp"
#include "tar/test_archives.hpp"

namespace berth::image {

using tar::device;
using tar::file;
using tar::folder;
using tar::hard_link;
using tar::make_tar;
using tar::symlink;
using tar::TestEntry;

enum class Compression { none, gzip, zstd };

inline std::string compress(const std::string& bytes, Compression compression) {
  if (compression == Compression::none) return bytes;
  std::string result;
  const std::unique_ptr<archive, decltype(&archive_write_free)> writer(archive_write_new(),
                                                                       &archive_write_free);
  archive_write_set_format_raw(writer.get());
  archive_write_set_bytes_in_last_block(writer.get(), 1);
  if (compression == Compression::gzip) archive_write_add_filter_gzip(writer.get());
  if (compression == Compression::zstd) archive_write_add_filter_zstd(writer.get());
  archive_write_set_filter_option(writer.get(), "gzip", "timestamp", nullptr);
  archive_write_open(
      writer.get(), &result, nullptr,
      [](archive*, void* self, const void* data, std::size_t size) {
        static_cast<std::string*>(self)->append(static_cast<const char*>(data), size);
        return static_cast<la_ssize_t>(size);
      },
      nullptr);
  const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(),
                                                                            &archive_entry_free);
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_write_header(writer.get(), entry.get());
  archive_write_data(writer.get(), bytes.data(), bytes.size());
  archive_write_close(writer.get());
  return result;
}

/// An open file in memory with these bytes, at its begin.
inline UniqueFd memory_file(const std::string& bytes) {
  UniqueFd fd(::memfd_create("layer", MFD_CLOEXEC));
  write_all(fd.get(), bytes);
  ::lseek(fd.get(), 0, SEEK_SET);
  return fd;
}

struct TestImage {
  std::vector<std::string> layers;  ///< tar streams
  Compression compression = Compression::gzip;
  std::string architecture{host_architecture()};
  std::string settings = R"({"Cmd":["sh"]})";
  std::string wrong_diff_id = {};  ///< put into the config instead of the first layer's
};

/// An OCI layout on disk.
class TestLayout {
 public:
  explicit TestLayout(std::filesystem::path path) : path_(std::move(path)) {
    make_directories(path_ / "blobs/sha256");
    write_file_atomically(path_ / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
  }

  std::filesystem::path blob(const std::string& digest) const {
    return path_ / "blobs/sha256" / hex_of(digest);
  }

  std::string add_blob(const std::string& bytes) {
    std::string digest = digest_of(bytes);
    write_file_atomically(blob(digest), bytes);
    return digest;
  }

  /// Adds the image under a tag; the digest of its manifest.
  std::string add(const TestImage& image, const std::string& tag) {
    std::vector<std::string> diff_ids;
    std::vector<std::string> layers;
    constexpr std::array endings{"", "+gzip", "+zstd"};
    for (const std::string& tar : image.layers) {
      const bool wrong = diff_ids.empty() && !image.wrong_diff_id.empty();
      diff_ids.push_back(fmt::format("\"{}\"", wrong ? image.wrong_diff_id : digest_of(tar)));
      const std::string bytes = compress(tar, image.compression);
      last_layer = add_blob(bytes);
      layers.push_back(
          fmt::format(R"({{"mediaType":"application/vnd.oci.image.layer.v1.tar{}","digest":"{}","size":{}}})",
                      endings.at(static_cast<std::size_t>(image.compression)), last_layer, bytes.size()));
    }
    const std::string config =
        fmt::format(R"({{"architecture":"{}","os":"linux","created":"2024-05-06T07:08:09Z","config":{},)"
                    R"("rootfs":{{"type":"layers","diff_ids":[{}]}}}})",
                    image.architecture, image.settings, join(diff_ids, ","));
    last_config = add_blob(config);
    const std::string manifest = fmt::format(
        R"({{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json",)"
        R"("digest":"{}","size":{}}},"layers":[{}]}})",
        kOciManifest, last_config, config.size(), join(layers, ","));
    std::string digest = add_blob(manifest);
    Descriptor entry{std::string(kOciManifest), digest, manifest.size(), image.architecture, "linux", {}};
    if (!tag.empty()) entry.annotations.emplace(kRefNameAnnotation, tag);
    index_.manifests.push_back(entry);
    write_file_atomically(path_ / "index.json", serialize_index(index_));
    return digest;
  }

  /// Adds an index over what was added so far, under a tag and as the only image then; its digest.
  std::string add_index(const std::string& tag) {
    Index inner = index_;
    for (Descriptor& entry : inner.manifests) entry.annotations.clear();
    const std::string document = serialize_index(inner);
    std::string digest = add_blob(document);
    index_.manifests = {
        {std::string(kOciIndex), digest, document.size(), "", "", {{std::string(kRefNameAnnotation), tag}}}};
    write_file_atomically(path_ / "index.json", serialize_index(index_));
    return digest;
  }

  const std::filesystem::path& path() const { return path_; }
  std::string source(const std::string& tag) const { return "oci:" + path_.string() + ":" + tag; }

  std::string last_layer;
  std::string last_config;

 private:
  std::filesystem::path path_;
  Index index_;
};

/// The Error that `action` throws; fails the program when it throws none.
template <typename Action>
Error error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return Error(Code::internal, "no error was thrown");
}

}  // namespace berth::image

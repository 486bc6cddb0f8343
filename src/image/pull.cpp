#include "image/pull.hpp"

#include <optional>

#include "base/error.hpp"
#include "base/io.hpp"
#include "image/digest.hpp"
#include "image/skopeo.hpp"

namespace berth::image {
namespace {

namespace fs = std::filesystem;

/// What is known before the blobs are fetched.
struct Plan {
  std::string name;  ///< what skopeo copies
  std::string source_digest;
  std::string manifest_digest;          ///< empty when skopeo chooses from a local index
  std::optional<std::string> manifest;  ///< its bytes, when it is Docker's: skopeo would convert it
  std::optional<std::string> config;
};

class Fetch {
 public:
  Fetch(const Source& source, const PullOptions& options, const fs::path& scratch)
      : source_(source),
        skopeo_(source, options, scratch),
        scratch_(scratch),
        blobs_(scratch / "blobs/sha256") {}

  Fetched run() {
    const Plan plan = make_plan();
    skopeo_.copy(plan.name);
    const std::string document = read_file(scratch_ / "layout/index.json", kManifestLimit);
    const Index copied = parse_index(document, "the copy's index.json");
    if (copied.manifests.size() != 1) throw Error(Code::internal, "skopeo copied no image");
    Descriptor manifest = copied.manifests.front();
    manifest.annotations.clear();
    if (plan.manifest) {
      manifest = {std::string(kDockerManifest), plan.manifest_digest, plan.manifest->size(), {}, {}, {}};
      keep_blob(plan.manifest_digest, *plan.manifest);
      keep_blob(digest_of(*plan.config), *plan.config);
    } else if (!plan.manifest_digest.empty() && manifest.digest != plan.manifest_digest) {
      throw Error(Code::conflict, "{} changed while it was pulled; pull it again", plan.name);
    }
    verify(manifest);
    return {manifest, plan.source_digest, blobs_};
  }

 private:
  std::string name_in_registry(const std::string& digest) const {
    return "docker://" + source_.reference->name() + "@" + digest;
  }

  Plan make_plan() {
    Plan plan;
    plan.name = source_.skopeo_name();
    std::string document = skopeo_.manifest(plan.name);
    plan.source_digest = digest_of(document);
    const bool registry = source_.reference.has_value();
    if (registry && !source_.reference->digest.empty() && source_.reference->digest != plan.source_digest)
      throw Error(Code::corrupt, "{} is not what its registry sent ({})", plan.name, plan.source_digest);
    plan.manifest_digest = plan.source_digest;
    if (is_index(document)) {
      const Index index = parse_index(document, plan.name);
      const Descriptor& chosen = choose_platform(index, plan.name);
      plan.manifest_digest = registry ? chosen.digest : "";
      if (registry) plan.name = name_in_registry(chosen.digest);
      if (!registry || chosen.media_type != kDockerManifest) return plan;
      document = skopeo_.manifest(plan.name);
      if (digest_of(document) != chosen.digest)
        throw Error(Code::corrupt, "{} is not what its registry sent", plan.name);
    } else if (registry) {
      plan.name = name_in_registry(plan.manifest_digest);
    }
    add_config(plan, document);
    return plan;
  }

  /// Looks at the config first: an image that cannot be run here need not be fetched.
  void add_config(Plan& plan, const std::string& document) {
    const Manifest manifest = parse_manifest(document, plan.name);
    std::string config = skopeo_.config(plan.name);
    if (digest_of(config) != manifest.config.digest)
      throw Error(Code::corrupt, "the config of {} is not what its manifest names", plan.name);
    const ImageConfig parsed = parse_config(config, "the config of " + plan.name);
    check_platform(parsed.os, parsed.architecture, plan.name);
    if (manifest.media_type != kDockerManifest) return;
    plan.manifest = document;
    plan.config = std::move(config);
  }

  void keep_blob(const std::string& digest, const std::string& content) {
    write_file_atomically(blobs_ / hex_of(digest), content);
  }

  void verify_blob(const Descriptor& blob, std::string_view kind) {
    const fs::path path = blobs_ / hex_of(blob.digest);
    std::error_code missing;
    const std::uint64_t size = fs::file_size(path, missing);
    if (missing) throw Error(Code::corrupt, "the {} {} was not copied", kind, blob.digest);
    if (size != blob.size)
      throw Error(Code::corrupt, "the {} {} has {} bytes instead of {}", kind, blob.digest, size, blob.size);
    if (digest_of_file(path) != blob.digest)
      throw Error(Code::corrupt, "the {} {} is damaged: its digest differs", kind, blob.digest);
  }

  void verify(const Descriptor& descriptor) {
    const std::string name = source_.skopeo_name();
    verify_blob(descriptor, "manifest");
    const Manifest manifest = parse_manifest(read_file(blobs_ / hex_of(descriptor.digest), kManifestLimit),
                                             "the manifest of " + name);
    verify_blob(manifest.config, "config");
    const ImageConfig config = parse_config(read_file(blobs_ / hex_of(manifest.config.digest), kConfigLimit),
                                            "the config of " + name);
    check_platform(config.os, config.architecture, name);
    if (config.diff_ids.size() != manifest.layers.size())
      throw Error(Code::corrupt, "{} has {} layers, but its config names {}", name, manifest.layers.size(),
                  config.diff_ids.size());
    for (const Descriptor& layer : manifest.layers) verify_blob(layer, "layer");
  }

  const Source& source_;
  Skopeo skopeo_;
  fs::path scratch_;
  fs::path blobs_;
};

}  // namespace

Fetched fetch(const Source& source, const PullOptions& options, const fs::path& scratch) {
  return Fetch(source, options, scratch).run();
}

}  // namespace berth::image

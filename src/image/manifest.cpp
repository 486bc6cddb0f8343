#include "image/manifest.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <array>

#include <boost/json.hpp>

#include "base/error.hpp"
#include "base/text.hpp"
#include "image/digest.hpp"
#include "image/reference.hpp"

namespace berth::image {
namespace {

namespace json = boost::json;

constexpr std::array kConfigTypes{std::string_view("application/vnd.oci.image.config.v1+json"),
                                  std::string_view("application/vnd.docker.container.image.v1+json")};
constexpr std::array kLayerTypes{std::string_view("application/vnd.oci.image.layer.v1.tar"),
                                 std::string_view("application/vnd.oci.image.layer.nondistributable.v1.tar"),
                                 std::string_view("application/vnd.docker.image.rootfs.diff.tar"),
                                 std::string_view("application/vnd.docker.image.rootfs.foreign.diff.tar")};
constexpr std::array kCompressions{std::string_view(""), std::string_view("+gzip"), std::string_view("+zstd"),
                                   std::string_view(".gzip"), std::string_view(".zstd")};

/// A JSON document that came from elsewhere; every access is checked.
class Document {
 public:
  Document(std::string_view text, std::size_t limit, std::string_view what) : what_(what) {
    if (text.size() > limit) fail("it is larger than {} bytes", limit);
    json::error_code failure;
    value_ = json::parse(text, failure);
    if (failure) fail("it is no JSON ({})", failure.message());
  }

  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error(Code::corrupt, "{} is damaged: {}", what_, fmt::format(format, std::forward<Args>(args)...));
  }

  const json::value& root() const { return value_; }

  const json::object& object(const json::value& value, std::string_view name) const {
    if (!value.is_object()) fail("\"{}\" is no object", name);
    return value.get_object();
  }
  const json::array& array(const json::value& value, std::string_view name, std::size_t limit) const {
    if (!value.is_array()) fail("\"{}\" is no list", name);
    if (value.get_array().size() > limit) fail("\"{}\" has more than {} entries", name, limit);
    return value.get_array();
  }
  std::string string(const json::value& value, std::string_view name) const {
    if (!value.is_string()) fail("\"{}\" is no string", name);
    const std::string_view text = value.get_string();
    if (text.find('\0') != std::string_view::npos) fail("\"{}\" has a NUL character", name);
    return std::string(text);
  }

  /// The member, or null when it is absent or null.
  static const json::value* find(const json::object& object, std::string_view name) {
    const json::value* member = object.if_contains(name);
    return member != nullptr && !member->is_null() ? member : nullptr;
  }
  const json::value& require(const json::object& object, std::string_view name) const {
    const json::value* member = find(object, name);
    if (member == nullptr) fail("it has no \"{}\"", name);
    return *member;
  }

  std::string string_or_empty(const json::object& object, std::string_view name) const {
    const json::value* member = find(object, name);
    return member == nullptr ? "" : string(*member, name);
  }
  std::vector<std::string> strings(const json::object& object, std::string_view name) const {
    std::vector<std::string> list;
    if (const json::value* member = find(object, name))
      for (const json::value& entry : array(*member, name, kIndexLimit)) list.push_back(string(entry, name));
    return list;
  }
  std::map<std::string, std::string> string_map(const json::object& parent, std::string_view name) const {
    std::map<std::string, std::string> map;
    if (const json::value* member = find(parent, name))
      for (const auto& [key, value] : object(*member, name))
        map.emplace(std::string(key), string(value, key));
    return map;
  }
  /// The keys of an object whose values say nothing, as Go writes a set.
  std::vector<std::string> set(const json::object& parent, std::string_view name) const {
    std::vector<std::string> list;
    if (const json::value* member = find(parent, name))
      for (const auto& entry : object(*member, name)) list.emplace_back(entry.key());
    return list;
  }
  std::string digest(const json::value& value, std::string_view name) const {
    std::string text = string(value, name);
    if (text.starts_with("sha512:"))
      throw Error(Code::unsupported, "{} uses SHA-512 digests; only SHA-256 is supported", what_);
    if (!is_digest(text)) fail("\"{}\" is no SHA-256 digest", name);
    return text;
  }
  Descriptor descriptor(const json::value& value, std::string_view name) const {
    const json::object& source = object(value, name);
    Descriptor result;
    result.media_type = string_or_empty(source, "mediaType");
    result.digest = digest(require(source, "digest"), "digest");
    const json::value& size = require(source, "size");
    if (!size.is_int64() || size.get_int64() < 0) fail("a \"size\" is no byte count");
    result.size = static_cast<std::uint64_t>(size.get_int64());
    result.annotations = string_map(source, "annotations");
    if (const json::value* platform = find(source, "platform")) {
      result.architecture = string_or_empty(object(*platform, "platform"), "architecture");
      result.os = string_or_empty(object(*platform, "platform"), "os");
    }
    return result;
  }
  const std::string& what() const { return what_; }

 private:
  std::string what_;
  json::value value_;
};

bool is_layer_type(std::string_view type) {
  return std::any_of(kLayerTypes.begin(), kLayerTypes.end(), [&](std::string_view known) {
    return type.starts_with(known) &&
           std::count(kCompressions.begin(), kCompressions.end(), type.substr(known.size()));
  });
}

std::string type_or(const std::string& type) {
  return type.empty() ? "no media type" : printable(type, 200);
}

}  // namespace

bool is_index(std::string_view text) {
  const Document document(text, kManifestLimit, "the manifest");
  const json::object& root = document.object(document.root(), "manifest");
  const std::string type = document.string_or_empty(root, "mediaType");
  if (type.empty()) return root.contains("manifests");
  return type == kOciIndex || type == kDockerIndex;
}

Manifest parse_manifest(std::string_view text, std::string_view what) {
  const Document document(text, kManifestLimit, what);
  const json::object& root = document.object(document.root(), "manifest");
  if (const json::value* version = Document::find(root, "schemaVersion"); version && *version == 1)
    throw Error(Code::unsupported,
                "{} is in Docker's old format (schema 1); push it again with a current tool", what);

  Manifest manifest;
  manifest.media_type = document.string_or_empty(root, "mediaType");
  if (manifest.media_type.empty()) manifest.media_type = kOciManifest;
  if (manifest.media_type != kOciManifest && manifest.media_type != kDockerManifest)
    throw Error(Code::unsupported, "{} is no image manifest but {}", what, type_or(manifest.media_type));
  manifest.config = document.descriptor(document.require(root, "config"), "config");
  const std::string& config_type = manifest.config.media_type;
  if (std::find(kConfigTypes.begin(), kConfigTypes.end(), config_type) == kConfigTypes.end())
    throw Error(Code::unsupported, "{} is no container image: its config is {}", what, type_or(config_type));
  if (manifest.config.size > kConfigLimit) document.fail("its config is larger than {} bytes", kConfigLimit);
  for (const json::value& entry : document.array(document.require(root, "layers"), "layers", kLayerLimit)) {
    Descriptor layer = document.descriptor(entry, "layers");
    if (!is_layer_type(layer.media_type))
      throw Error(Code::unsupported, "{} has a layer that cannot be unpacked: {}", what,
                  type_or(layer.media_type));
    manifest.layers.push_back(std::move(layer));
  }
  return manifest;
}

Index parse_index(std::string_view text, std::string_view what) {
  const Document document(text, 16 * kManifestLimit, what);
  const json::object& root = document.object(document.root(), "index");
  Index index;
  for (const json::value& entry :
       document.array(document.require(root, "manifests"), "manifests", kIndexLimit))
    index.manifests.push_back(document.descriptor(entry, "manifests"));
  return index;
}

ImageConfig parse_config(std::string_view text, std::string_view what) {
  const Document document(text, kConfigLimit, what);
  const json::object& root = document.object(document.root(), "config");
  ImageConfig config;
  config.architecture = document.string_or_empty(root, "architecture");
  config.os = document.string_or_empty(root, "os");
  config.created = document.string_or_empty(root, "created");

  const json::object& rootfs = document.object(document.require(root, "rootfs"), "rootfs");
  for (const json::value& entry :
       document.array(document.require(rootfs, "diff_ids"), "diff_ids", kLayerLimit))
    config.diff_ids.push_back(document.digest(entry, "diff_ids"));

  const json::value* run = Document::find(root, "config");
  if (run == nullptr) return config;
  const json::object& settings = document.object(*run, "config");
  config.entrypoint = document.strings(settings, "Entrypoint");
  config.cmd = document.strings(settings, "Cmd");
  config.env = document.strings(settings, "Env");
  config.user = document.string_or_empty(settings, "User");
  config.working_dir = document.string_or_empty(settings, "WorkingDir");
  config.stop_signal = document.string_or_empty(settings, "StopSignal");
  config.volumes = document.set(settings, "Volumes");
  config.exposed_ports = document.set(settings, "ExposedPorts");
  config.labels = document.string_map(settings, "Labels");
  if (const json::value* check = Document::find(settings, "Healthcheck"))
    config.healthcheck = json::serialize(*check);
  return config;
}

std::vector<std::vector<std::string>> parse_repo_tags(std::string_view text, std::string_view what) {
  const Document document(text, kManifestLimit, what);
  std::vector<std::vector<std::string>> images;
  for (const json::value& image : document.array(document.root(), "images", kIndexLimit))
    images.push_back(document.strings(document.object(image, "image"), "RepoTags"));
  return images;
}

std::string serialize_index(const Index& index) {
  json::array manifests;
  for (const Descriptor& entry : index.manifests) {
    json::object object{{"mediaType", entry.media_type}, {"digest", entry.digest}, {"size", entry.size}};
    if (!entry.architecture.empty())
      object["platform"] = json::object{{"architecture", entry.architecture}, {"os", entry.os}};
    json::object annotations;
    for (const auto& [key, value] : entry.annotations) annotations[key] = value;
    if (!annotations.empty()) object["annotations"] = std::move(annotations);
    manifests.push_back(std::move(object));
  }
  return json::serialize(
      json::object{{"schemaVersion", 2}, {"mediaType", kOciIndex}, {"manifests", std::move(manifests)}});
}

void check_platform(std::string_view os, std::string_view architecture, std::string_view what) {
  if ((os.empty() || os == "linux") && (architecture.empty() || architecture == host_architecture())) return;
  throw Error(Code::unsupported, "{} is an image for {}/{}, and this machine runs linux/{}", what,
              printable(os, 50), printable(architecture, 50), host_architecture());
}

const Descriptor& choose_platform(const Index& index, std::string_view what) {
  std::vector<std::string> others;
  for (const Descriptor& entry : index.manifests) {
    if (entry.os == "linux" && entry.architecture == host_architecture()) return entry;
    if (entry.os != "unknown" && others.size() < 20) others.push_back(entry.os + "/" + entry.architecture);
  }
  throw Error(Code::unsupported, "{} has no image for linux/{}, only for {}", what, host_architecture(),
              others.empty() ? "nothing" : printable(join(others, ", ")));
}

std::string chain_id(const std::vector<std::string>& diff_ids) {
  std::string chain;
  for (const std::string& diff_id : diff_ids)
    chain = chain.empty() ? diff_id : digest_of(chain + " " + diff_id);
  return chain.empty() ? digest_of("") : chain;
}

std::string_view host_architecture() {
  static const std::string architecture = [] {
    utsname machine{};
    uname(&machine);
    std::string name = machine.machine;
    if (name == "x86_64") return std::string("amd64");
    if (name == "aarch64") return std::string("arm64");
    return name;
  }();
  return architecture;
}

}  // namespace berth::image

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "image/archive_member.hpp"
#include "image/manifest.hpp"
#include "image/reference.hpp"

namespace berth::image {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kImageNameAnnotation = "io.containerd.image.name";

struct Scheme {
  std::string_view prefix;
  Transport transport;
};
constexpr std::array<Scheme, 3> kSchemes{{{"oci:", Transport::oci},
                                          {"oci-archive:", Transport::oci_archive},
                                          {"docker-archive:", Transport::docker_archive}}};

std::string_view prefix_of(Transport transport) {
  for (const Scheme& scheme : kSchemes)
    if (scheme.transport == transport) return scheme.prefix;
  return "docker://";
}

std::string spelled(const Source& source) {
  return std::string(prefix_of(source.transport)) + source.path.string();
}

/// A full name, or nothing when the text is a mere tag or no name at all.
std::optional<Reference> full_name(const std::string& text) {
  return text.empty() || is_tag(text) ? std::nullopt : find_reference(text);
}

/// A repository named after the folder or file.
Reference name_from_path(const Source& source, const std::string& tag) {
  std::error_code unknown;
  fs::path path = fs::absolute(source.path, unknown).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  std::string file = path.filename().string();
  for (const std::string_view ending : {".gz", ".zst", ".tar"})
    if (file.ends_with(ending)) file.resize(file.size() - ending.size());
  std::string repository;
  bool separate = false;
  for (char c : file) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      if (separate && !repository.empty()) repository += '-';
      separate = false;
      repository += c;
    } else {
      separate = true;
    }
  }
  if (repository.empty()) repository = "image";
  return parse_reference(repository + ":" + (is_tag(tag) ? tag : "latest"));
}

std::string annotation(const Descriptor& entry, std::string_view key) {
  const auto found = entry.annotations.find(std::string(key));
  return found == entry.annotations.end() ? "" : found->second;
}

std::string choices(const std::vector<std::string>& names) {
  std::vector<std::string> some(names.begin(),
                                names.begin() + std::min<std::ptrdiff_t>(std::ssize(names), 10));
  if (some.size() < names.size()) some.push_back("...");
  return printable(join(some, ", "));
}

Reference name_from_index(const Source& source, const std::string& document) {
  const Index index = parse_index(document, spelled(source) + "'s index.json");
  const Descriptor* chosen = nullptr;
  std::vector<std::string> names;
  for (const Descriptor& entry : index.manifests) {
    const std::string name = annotation(entry, kRefNameAnnotation);
    if (!name.empty()) names.push_back(name);
    if (source.selector.empty() ? index.manifests.size() == 1 : name == source.selector) chosen = &entry;
  }
  if (chosen == nullptr && source.selector.empty() && !index.manifests.empty())
    throw Error(Code::invalid_argument, "{} has several images; add one of its tags as {}:TAG: {}",
                spelled(source), spelled(source), choices(names));
  if (chosen == nullptr)
    throw Error(Code::not_found, "{} has no image {}; it has: {}", spelled(source),
                source.selector.empty() ? "at all" : "\"" + source.selector + "\"",
                names.empty() ? "nothing with a name" : choices(names));
  if (auto name = full_name(annotation(*chosen, kImageNameAnnotation))) return *name;
  const std::string own = annotation(*chosen, kRefNameAnnotation);
  if (auto name = full_name(own)) return *name;
  return name_from_path(source, own);
}

Reference name_from_repo_tags(const Source& source, const std::string& document) {
  if (!source.selector.empty()) return parse_reference(source.selector);
  const auto images = parse_repo_tags(document, spelled(source) + "'s manifest.json");
  if (images.empty()) throw Error(Code::not_found, "{} has no image", spelled(source));
  std::vector<std::string> names;
  for (const auto& tags : images) names.insert(names.end(), tags.begin(), tags.end());
  if (images.size() > 1)
    throw Error(Code::invalid_argument, "{} has several images; add the name of one as {}:NAME: {}",
                spelled(source), spelled(source), choices(names));
  return names.empty() ? name_from_path(source, "") : parse_reference(names.front());
}

std::string require_member(const Source& source, const std::string& member) {
  auto document = read_archive_member(source.path, member, kManifestLimit);
  if (!document)
    throw Error(Code::corrupt, "{} has no {}: it was not made by an image tool", source.path.string(),
                member);
  return *document;
}

}  // namespace

std::string Source::skopeo_name() const {
  const std::string prefix(prefix_of(transport));
  if (transport != Transport::registry)
    return prefix + path.string() + (selector.empty() ? "" : ":" + selector);
  return prefix + reference->name() +
         (reference->digest.empty() ? ":" + reference->tag : "@" + reference->digest);
}

Source parse_source(std::string_view text) {
  Source source;
  for (const Scheme& scheme : kSchemes) {
    if (!text.starts_with(scheme.prefix)) continue;
    source.transport = scheme.transport;
    const std::string_view rest = text.substr(scheme.prefix.size());
    const auto colon = rest.find(':');
    source.path = rest.substr(0, colon);
    if (colon != std::string_view::npos) source.selector = rest.substr(colon + 1);
    if (source.path.empty())
      throw Error(Code::invalid_argument, "\"{}\" needs a path behind \"{}\"", printable(text),
                  scheme.prefix);
    if (colon != std::string_view::npos && source.transport == Transport::docker_archive)
      parse_reference(source.selector);
    else if (colon != std::string_view::npos && !is_tag(source.selector) && !full_name(source.selector))
      throw Error(Code::invalid_argument,
                  "\"{}\": \"{}\" is no tag (a path with ':' in it cannot be used here)", printable(text),
                  printable(source.selector));
    return source;
  }
  constexpr std::string_view registry = "docker://";
  if (text.starts_with(registry)) text.remove_prefix(registry.size());
  source.reference = parse_reference(text);
  return source;
}

Reference local_name(const Source& source) {
  switch (source.transport) {
    case Transport::registry:
      return *source.reference;
    case Transport::oci: {
      std::error_code unknown;
      if (!fs::is_directory(source.path, unknown))
        throw Error(Code::not_found, "{}: there is no such folder", spelled(source));
      const auto document = find_file(source.path / "index.json", kManifestLimit);
      if (!document) throw Error(Code::corrupt, "{} is no OCI layout: it has no index.json", spelled(source));
      return name_from_index(source, *document);
    }
    case Transport::oci_archive:
      return name_from_index(source, require_member(source, "index.json"));
    case Transport::docker_archive:
      return name_from_repo_tags(source, require_member(source, "manifest.json"));
  }
  throw Error(Code::internal, "an image source of an unknown kind");
}

}  // namespace berth::image

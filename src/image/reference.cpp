#include "image/reference.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::image {
namespace {

constexpr std::string_view kDefaultRegistry = "docker.io";
constexpr std::string_view kDefaultNamespace = "library/";
constexpr std::string_view kDefaultTag = "latest";
constexpr std::size_t kNameLimit = 255;
constexpr std::size_t kTagLimit = 128;

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_alphanumeric(char c) {
  return is_lower(c) || is_upper(c) || is_digit(c);
}

[[noreturn]] void refuse(std::string_view text, std::string_view why) {
  throw Error(Code::invalid_argument, "invalid image name \"{}\": {}", printable(text, 300), why);
}

/// Lower-case letters and digits, parted by '.', '_', '__' or any number of '-'.
bool is_path_component(std::string_view part) {
  std::size_t i = 0;
  const auto word = [&] {
    const std::size_t begin = i;
    while (i < part.size() && (is_lower(part[i]) || is_digit(part[i]))) ++i;
    return i > begin;
  };
  if (!word()) return false;
  while (i < part.size()) {
    if (part[i] == '-') {
      while (i < part.size() && part[i] == '-') ++i;
    } else if (part[i] == '.') {
      ++i;
    } else if (part[i] == '_') {
      ++i;
      if (i < part.size() && part[i] == '_') ++i;
    } else {
      return false;
    }
    if (!word()) return false;
  }
  return true;
}

bool is_host_label(std::string_view label) {
  return !label.empty() && label.front() != '-' && label.back() != '-' &&
         std::all_of(label.begin(), label.end(), [](char c) { return is_alphanumeric(c) || c == '-'; });
}

/// HOST[:PORT] or [IPV6][:PORT].
bool is_registry(std::string_view text) {
  std::string_view host = text;
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos || end == 1) return false;
    host = text.substr(1, end - 1);
    if (!std::all_of(host.begin(), host.end(), [](char c) {
          return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':';
        }))
      return false;
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && rest.front() != ':') return false;
    has_port = !rest.empty();
    port = has_port ? rest.substr(1) : rest;
  } else {
    const auto colon = text.find(':');
    has_port = colon != std::string_view::npos;
    host = text.substr(0, colon);
    if (has_port) port = text.substr(colon + 1);
    for (const std::string& label : split(host, '.'))
      if (!is_host_label(label)) return false;
  }
  if (!has_port) return true;
  return !port.empty() && port.size() <= 5 && std::all_of(port.begin(), port.end(), is_digit);
}

/// The first part names a registry when it could not be a part of a Docker Hub repository.
bool looks_like_registry(std::string_view part) {
  return part.find_first_of(".:[") != std::string_view::npos || part == "localhost" ||
         std::any_of(part.begin(), part.end(), is_upper);
}

}  // namespace

bool is_digest(std::string_view text) {
  constexpr std::string_view prefix = "sha256:";
  if (!text.starts_with(prefix) || text.size() != prefix.size() + 64) return false;
  text.remove_prefix(prefix.size());
  return std::all_of(text.begin(), text.end(), [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

bool is_tag(std::string_view text) {
  return !text.empty() && text.size() <= kTagLimit && text.front() != '.' && text.front() != '-' &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_alphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

std::string Reference::name() const {
  return registry + "/" + repository;
}

std::string Reference::full() const {
  return name() + (tag.empty() ? "" : ":" + tag) + (digest.empty() ? "" : "@" + digest);
}

std::string Reference::familiar() const {
  std::string text = full();
  if (registry != kDefaultRegistry) return text;
  text.erase(0, kDefaultRegistry.size() + 1);
  const bool official = repository.starts_with(kDefaultNamespace) &&
                        repository.find('/', kDefaultNamespace.size()) == std::string::npos;
  if (official) text.erase(0, kDefaultNamespace.size());
  return text;
}

Reference parse_reference(std::string_view text) {
  if (text.empty()) refuse(text, "it is empty");
  if (is_digest("sha256:" + std::string(text))) refuse(text, "64 hex digits are an image id, not a name");
  Reference reference;
  std::string_view rest = text;

  if (const auto at = rest.find('@'); at != std::string_view::npos) {
    reference.digest = rest.substr(at + 1);
    if (!is_digest(reference.digest))
      refuse(text, "the digest must be \"sha256:\" and 64 lower-case hex digits");
    rest = rest.substr(0, at);
  }
  const auto slash = rest.rfind('/');
  const auto colon = rest.rfind(':');
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    reference.tag = rest.substr(colon + 1);
    if (!is_tag(reference.tag))
      refuse(text, "a tag is 1 to 128 letters, digits, '_', '.' and '-', and does not begin with '.' or '-'");
    rest = rest.substr(0, colon);
  }
  if (reference.tag.empty() && reference.digest.empty()) reference.tag = kDefaultTag;
  if (rest.empty()) refuse(text, "the repository's name is missing");

  reference.registry = kDefaultRegistry;
  if (const auto first = rest.find('/'); first != std::string_view::npos) {
    const std::string_view part = rest.substr(0, first);
    if (looks_like_registry(part)) {
      if (!is_registry(part)) refuse(text, "\"" + printable(part, 100) + "\" is no registry HOST[:PORT]");
      reference.registry = part == "index.docker.io" ? kDefaultRegistry : part;
      rest = rest.substr(first + 1);
    }
  }
  reference.repository = rest;
  if (reference.repository.empty()) refuse(text, "the repository's name is missing");
  if (std::any_of(rest.begin(), rest.end(), is_upper))
    refuse(text, "the repository's name must be lower case");
  for (const std::string& part : split(rest, '/'))
    if (!is_path_component(part))
      refuse(text,
             "\"" + printable(part, 100) +
                 "\" must be lower-case letters and digits, with single '.', '_', '__' or '-' between them");
  if (reference.registry == kDefaultRegistry && rest.find('/') == std::string_view::npos)
    reference.repository.insert(0, kDefaultNamespace);
  if (reference.name().size() > kNameLimit) refuse(text, "it is longer than 255 characters");
  return reference;
}

std::optional<Reference> find_reference(std::string_view text) {
  try {
    return parse_reference(text);
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace berth::image

#include "tar/copy_path.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::tar {
namespace {

constexpr int kLinksFollowed = 40;  // as the kernel

std::string join(const std::vector<std::string>& parts) {
  std::string path;
  for (const std::string& part : parts) path += path.empty() ? part : "/" + part;
  return path;
}

void append(std::vector<std::string>& parts, const std::string& part) {
  if (part.empty() || part == ".") return;
  if (part != "..") {
    parts.push_back(part);
  } else if (!parts.empty()) {
    parts.pop_back();
  }
}

/// The target of a link at a path whose folders are resolved, else nothing.
std::optional<std::string> link_at(const ConfinedRoot& root, const std::string& path) {
  UniqueFd found;
  try {
    found = root.open(path, false);
  } catch (const Error&) {
    return std::nullopt;  // what is missing is no link
  }
  std::array<char, PATH_MAX> target;
  const ssize_t size = ::readlinkat(found.get(), "", target.data(), target.size());
  if (size < 0) return std::nullopt;
  return std::string(target.data(), static_cast<std::size_t>(size));
}

}  // namespace

std::string CopyPath::name() const {
  return content ? "." : clean.substr(clean.rfind('/') + 1);
}

std::string CopyPath::parent() const {
  const auto slash = clean.rfind('/');
  return slash == std::string::npos ? "" : clean.substr(0, slash);
}

CopyPath parse_copy_path(std::string_view path) {
  if (path.find('\0') != std::string_view::npos)
    throw Error(Code::invalid_argument, "a path has a NUL character");
  CopyPath parsed;
  std::vector<std::string> parts;
  for (const std::string& part : split(path, '/')) append(parts, part);
  parsed.clean = join(parts);
  parsed.content = parts.empty() || path == "." || path.ends_with("/.");
  parsed.folder = parsed.content || path.ends_with('/');
  return parsed;
}

std::string resolve_links(const ConfinedRoot& root, const std::string& path) {
  std::vector<std::string> ahead = split(path, '/');  // in reverse
  std::vector<std::string> resolved;
  std::reverse(ahead.begin(), ahead.end());
  int followed = 0;
  while (!ahead.empty()) {
    const std::string part = ahead.back();
    ahead.pop_back();
    append(resolved, part);
    if (part.empty() || part == "." || part == "..") continue;
    const auto target = link_at(root, join(resolved));
    if (!target) continue;
    if (++followed > kLinksFollowed)
      throw Error(Code::invalid_argument, "/{}: too many levels of symbolic links", printable(path, 300));
    resolved.pop_back();
    if (target->starts_with('/')) resolved.clear();
    std::vector<std::string> inserted = split(*target, '/');
    ahead.insert(ahead.end(), inserted.rbegin(), inserted.rend());
  }
  return join(resolved);
}

}  // namespace berth::tar

#include "cli/copy_rules.hpp"

#include "base/error.hpp"
#include "base/text.hpp"
#include "tar/copy_path.hpp"

namespace berth::cli {

CopyArgument parse_copy_argument(std::string_view text) {
  const auto colon = text.find(':');
  if (text.starts_with('/') || text.starts_with('.') || colon == std::string_view::npos)
    return {"", std::string(text)};
  return {std::string(text.substr(0, colon)), std::string(text.substr(colon + 1))};
}

CopyPlan plan_copy(const CopySource& source, const CopyDestination& destination) {
  if (destination.exists && destination.folder) return {destination.path, source.name};
  if (destination.exists && source.folder) {
    throw Error(Code::invalid_argument, "cannot copy a directory to \"{}\", which is a file",
                printable(destination.path, 300));
  }
  const tar::CopyPath path = tar::parse_copy_path(destination.path);
  if (path.content || (path.folder && !source.folder))
    throw Error(Code::not_found, "no such directory: \"{}\"", printable(destination.path, 300));
  return {"/" + path.parent(), path.name()};
}

}  // namespace berth::cli

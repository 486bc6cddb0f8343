#pragma once

#include <string>
#include <string_view>

/// Where Docker's `cp` puts what; see "Copy files to and from containers" in its reference.
namespace berth::cli {

/// "CONTAINER:PATH" or a local path.
struct CopyArgument {
  std::string container;  ///< empty: local
  std::string path;
};

/// As Docker reads it: local is what begins with "/" or ".", or has no ":".
CopyArgument parse_copy_argument(std::string_view text);

struct CopySource {
  std::string name;  ///< of what is copied; "." for what is in a folder
  bool folder = false;
};

struct CopyDestination {
  std::string path;  ///< as given, or where a link leads
  bool exists = false;
  bool folder = false;
};

/// In which folder the source goes, and what it is called there; "." when its content goes into the folder
/// itself.
struct CopyPlan {
  std::string folder;
  std::string name;
};

/// Throws invalid-argument for a folder onto something else, not-found for a destination that ends with "/",
/// is not there, and is no place for what is not a folder.
CopyPlan plan_copy(const CopySource& source, const CopyDestination& destination);

}  // namespace berth::cli

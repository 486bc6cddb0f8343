#pragma once

#include <string>
#include <string_view>

namespace berth::tether {

/// The file to execute for a command's first word, as Docker's runtime finds it: a name with a slash is taken
/// as it is (relative to the working directory), any other is searched in `path`, where an empty element is
/// ".". Looks with the caller's root and effective rights. Throws LaunchError with Docker's wording.
std::string find_program_file(const std::string& name, std::string_view path);

}  // namespace berth::tether

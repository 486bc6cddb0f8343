#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace berth::cli {

/// The K=V of one -e: "K" alone takes this process's value, and nothing when it has none. Throws
/// invalid-argument.
std::vector<std::string> parse_variable(std::string_view text);

/// A file of `docker run --env-file`: a variable a line, as parse_variable; blank lines and lines that begin
/// with '#' are left out, values stay as they are. Throws not-found, and invalid-argument naming the line.
std::vector<std::string> read_env_file(const std::filesystem::path& path);

/// All --env-file, then all -e, so that a later one wins.
std::vector<std::string> collect_environment(const std::vector<std::string>& files,
                                             const std::vector<std::string>& variables);

}  // namespace berth::cli

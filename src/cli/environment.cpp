#include "cli/environment.hpp"

#include <algorithm>
#include <cstdlib>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"

namespace berth::cli {
namespace {

constexpr std::size_t kEnvFileLimit = 1u << 20;

void append(std::vector<std::string>& all, std::vector<std::string> more) {
  std::move(more.begin(), more.end(), std::back_inserter(all));
}

}  // namespace

std::vector<std::string> parse_variable(std::string_view text) {
  const std::size_t equals = text.find('=');
  const std::string name(text.substr(0, equals));
  if (name.empty())
    throw Error(Code::invalid_argument, "invalid environment variable '{}': no name", printable(text));
  if (name.find_first_of(" \t") != std::string::npos) {
    throw Error(Code::invalid_argument, "invalid environment variable '{}': the name contains blanks",
                printable(text));
  }
  if (equals != std::string_view::npos) return {std::string(text)};
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return {};
  return {name + "=" + value};
}

std::vector<std::string> read_env_file(const std::filesystem::path& path) {
  const std::string content = read_file(path, kEnvFileLimit);
  std::string_view rest = content;
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (rest.starts_with(kByteOrderMark)) rest.remove_prefix(kByteOrderMark.size());
  std::vector<std::string> variables;
  std::size_t number = 0;
  for (std::string_view line : split(rest, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    if (line.empty() || line.front() == '#') continue;
    if (line.find('\0') != std::string_view::npos) {
      throw Error(Code::invalid_argument, "{}:{}: a zero byte cannot be in an environment variable",
                  path.string(), number);
    }
    try {
      append(variables, parse_variable(line));
    } catch (Error& error) {
      error.add_context(fmt::format("{}:{}", path.string(), number));
      throw;
    }
  }
  return variables;
}

std::vector<std::string> collect_environment(const std::vector<std::string>& files,
                                             const std::vector<std::string>& variables) {
  std::vector<std::string> all;
  for (const std::string& file : files) append(all, read_env_file(file));
  for (const std::string& variable : variables) append(all, parse_variable(variable));
  return all;
}

}  // namespace berth::cli

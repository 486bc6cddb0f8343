#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.hpp"
#include "tether/session/user_database.hpp"

/// The input is four parts between zero bytes: user, group, passwd file and group file. Whatever a
/// container's files say, the answer is a user in range or invalid-argument.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto take_part = [&rest] {
    const std::string_view part = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(part.size() < rest.size() ? part.size() + 1 : part.size());
    return part;
  };
  const std::string_view user = take_part();
  const std::string_view group = take_part();
  const std::string_view passwd_file = take_part();
  const std::string_view group_file = take_part();
  try {
    const tether::User found = tether::resolve_user(user, group, passwd_file, group_file);
    if (found.uid > 0x7fffffff || found.gid > 0x7fffffff || found.home.empty()) __builtin_trap();
  } catch (const Error& error) {
    if (error.code() != Code::invalid_argument) __builtin_trap();
  }
  return 0;
}

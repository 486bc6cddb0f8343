#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace berth::tether {

/// A program that cannot be run. `SessionConfig::started` is then "KIND: TEXT"; the kind is one of these
/// words or the name of a berth::Code, so that a front can choose its exit code (126, 127) without reading
/// the text.
namespace launch_failure {
inline constexpr std::string_view not_found = "not-found";  ///< the program or its folder is missing
inline constexpr std::string_view not_executable = "not-executable";  ///< it is there and cannot be run
}  // namespace launch_failure

/// Thrown while a session is prepared; what() is the text without the kind.
class LaunchError : public Error {
 public:
  LaunchError(std::string_view kind, std::string text)
      : Error(Code::invalid_argument, std::move(text)), kind_(kind) {}
  const std::string& kind() const { return kind_; }

 private:
  std::string kind_;
};

/// "KIND: TEXT" for whatever was thrown.
std::string describe_launch_failure(const std::exception& failure);

}  // namespace berth::tether

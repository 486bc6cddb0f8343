#include "tether/session/launch_failure.hpp"

namespace berth::tether {

std::string describe_launch_failure(const std::exception& failure) {
  if (const auto* launch = dynamic_cast<const LaunchError*>(&failure)) {
    return fmt::format("{}: {}", launch->kind(), launch->what());
  }
  if (const auto* ours = dynamic_cast<const Error*>(&failure)) {
    return fmt::format("{}: {}", to_string(ours->code()), ours->what());
  }
  return fmt::format("{}: {}", to_string(Code::internal), failure.what());
}

}  // namespace berth::tether

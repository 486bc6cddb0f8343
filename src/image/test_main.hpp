#pragma once

namespace berth::image {

/// argv[1] by which tests start this test program as another process that pulls: ROOT SOURCE.
inline constexpr const char* kPullCommand = "__pull";

}  // namespace berth::image

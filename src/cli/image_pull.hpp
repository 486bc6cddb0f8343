#pragma once

#include <string>
#include <string_view>

#include "image/store.hpp"

namespace berth::cli {

/// Sees to it that the image is present as `policy` (always, missing, never) says, with progress on standard
/// error. `name` may be anything `berth pull` takes, or an image's id. Returns what the store finds it by.
std::string ensure_image(image::Store& images, const std::string& name, std::string_view policy, bool quiet);

}  // namespace berth::cli

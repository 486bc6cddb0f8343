#pragma once

#include <string>

#include "image/store.hpp"

namespace berth::cli {

/// An image's details as `docker image inspect` names and nests them: the JSON text of one object.
std::string describe_image(const image::Image& image);

}  // namespace berth::cli

#pragma once

#include "launcher/paths.hpp"

namespace berth::engine {

using launcher::Paths;

}  // namespace berth::engine

#pragma once

#include <string>
#include <string_view>

#include "extraconfig/pairs.hpp"

namespace berth::cli {

/// A JSON object with a line for each pair. A value that is not UTF-8, or that begins with "base64:", is
/// "base64:" and its base64. Throws invalid-argument for a key that is not UTF-8.
std::string pairs_to_text(const extraconfig::Pairs& pairs);

/// The reverse. Throws invalid-argument, with the position or the key, for another text.
extraconfig::Pairs pairs_from_text(std::string_view text);

/// What has to be removed ("- ") and added ("+ ") to get from one to the other, a line for each, in the order
/// of the keys; empty when they are equal. Confidential values are shown only if told.
std::string difference_text(const extraconfig::Pairs& before, const extraconfig::Pairs& after,
                            bool show_secrets);

}  // namespace berth::cli

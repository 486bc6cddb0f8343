#pragma once

#include <string>
#include <utility>
#include <vector>

#include "extraconfig/pairs.hpp"

/// Lists of option values, as the specification of a vSphere machine carries them. There an empty value
/// deletes a key, so that an empty text is written as "<nil>".
namespace berth::extraconfig {

using Options = std::vector<std::pair<std::string, std::string>>;

/// The pairs of a list; of a key that is there twice the last one.
Pairs pairs_from_options(const Options& options);

/// In the order of the keys. With `escape`, an empty value becomes "<nil>"; the text "<nil>" itself cannot be
/// told from it.
Options options_from_pairs(const Pairs& pairs, bool escape = true);

/// What has to be sent so that a machine that has `existing` has `wanted`: new and changed values. With
/// `remove`, keys that are only in `existing` are there with an empty value, which deletes them.
Options option_updates(const Options& existing, const Pairs& wanted, bool remove);

}  // namespace berth::extraconfig

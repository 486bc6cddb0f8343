#pragma once

#include <optional>
#include <string>

#include "extraconfig/seal.hpp"

namespace berth::cli {

using extraconfig::Pairs;
using extraconfig::SealingKey;

/// The pairs as they may be written: secret values sealed with the key or, without one, as --secrets says.
/// Throws invalid-argument naming a key when there are secrets and neither says what to do, or both do.
Pairs protect_secrets(const Pairs& pairs, const std::optional<SealingKey>& key, const std::string& secrets);

/// The pairs with their sealed values opened; without a key, as protect_secrets. Throws corrupt naming the
/// keys whose values cannot be opened.
Pairs open_secrets(const Pairs& pairs, const std::optional<SealingKey>& key, const std::string& secrets);

/// The sealing key among the pairs; throws corrupt for a damaged one.
std::optional<SealingKey> stored_key(const Pairs& pairs);

/// A new key in a new file that only its owner reads. Throws already-exists for a file that is there.
void write_new_key(const std::string& file);

}  // namespace berth::cli

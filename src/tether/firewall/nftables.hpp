#pragma once

#include <string>
#include <vector>

#include "tether/firewall/policy.hpp"

namespace berth::tether::firewall {

/// The name of the table, of family inet.
inline constexpr std::string_view kTable = "berth";

/// A transaction of nf_tables: messages that the kernel takes all or none of.
struct Transaction {
  std::string messages;
  std::uint32_t first_sequence = 0;
  std::uint32_t last_sequence = 0;
};

/// Puts a table with these policies in the place of the one that is there; with no policies there is none.
/// Cards that no policy names, the loopback among them, are left alone.
Transaction make_transaction(const std::vector<CardPolicy>& policies);

/// Hands it to the kernel. Throws with nothing changed.
void commit(const Transaction& transaction);

}  // namespace berth::tether::firewall

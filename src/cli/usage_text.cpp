#include "cli/usage_text.hpp"

#include <algorithm>

#include "base/ids.hpp"
#include "base/text.hpp"

namespace berth::cli {

double cpu_percent(const UsageSample& sample) {
  const std::uint64_t now = sample.now.guest.cpu_nanoseconds;
  if (!sample.before || sample.elapsed.count() <= 0 || now < sample.before->cpu_nanoseconds) return 0;
  return 100.0 * static_cast<double>(now - sample.before->cpu_nanoseconds) /
         static_cast<double>(sample.elapsed.count());
}

namespace {

/// What the machine takes of the host for itself, and what it has in common with others.
std::string machine_shares(const engine::Usage& usage) {
  if (usage.machine_proportional_bytes == 0) return "-";
  const std::uint64_t own = std::min(usage.machine_private_bytes, usage.machine_resident_bytes);
  return fmt::format("{} / {}", format_binary_size(own),
                     format_binary_size(usage.machine_resident_bytes - own));
}

}  // namespace

Listing list_usage(const std::vector<UsageSample>& samples, bool whole) {
  Listing listing;
  listing.fields = {{"ID", "CONTAINER ID"},
                    {"Name", "NAME"},
                    {"CPUPerc", "CPU %"},
                    {"MemUsage", "MEM USAGE / LIMIT"},
                    {"MemPerc", "MEM %"},
                    {"NetIO", "NET I/O"},
                    {"BlockIO", "BLOCK I/O"},
                    {"PIDs", "PIDS"},
                    {"MachineShares", "PRIVATE / SHARED"},
                    {"MachineMemory", "MACHINE MEMORY", false},
                    {"MachinePrivate", "MACHINE PRIVATE", false},
                    {"MachineProportional", "MACHINE PROPORTIONAL", false},
                    {"MachineCPU", "MACHINE CPU SECONDS", false}};
  for (const UsageSample& sample : samples) {
    const record::Pod& pod = sample.now.pod;
    const link::Stats& guest = sample.now.guest;
    const double limit = static_cast<double>(guest.memory_limit_bytes);
    const double memory_percent = limit > 0 ? 100.0 * static_cast<double>(guest.memory_bytes) / limit : 0;
    listing.rows.push_back(
        {whole ? pod.id() : short_id(pod.id()), pod.name(), fmt::format("{:.2f}%", cpu_percent(sample)),
         fmt::format("{} / {}", format_binary_size(guest.memory_bytes),
                     format_binary_size(guest.memory_limit_bytes)),
         fmt::format("{:.2f}%", memory_percent),
         fmt::format("{} / {}", format_decimal_size(guest.received_bytes),
                     format_decimal_size(guest.sent_bytes)),
         fmt::format("{} / {}", format_decimal_size(guest.read_bytes),
                     format_decimal_size(guest.written_bytes)),
         std::to_string(guest.processes), machine_shares(sample.now),
         format_binary_size(sample.now.machine_resident_bytes),
         format_binary_size(sample.now.machine_private_bytes),
         format_binary_size(sample.now.machine_proportional_bytes),
         fmt::format("{:.2f}", static_cast<double>(sample.now.machine_cpu_nanoseconds) / 1e9)});
  }
  return listing;
}

}  // namespace berth::cli

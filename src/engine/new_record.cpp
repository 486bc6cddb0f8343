#include "engine/new_record.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/ids.hpp"

namespace berth::engine {
namespace {

constexpr int kDraws = 8;

bool is_drawn(const record::Pod& wanted) {
  const std::vector<record::PortBinding>& ports = wanted.host.ports;
  return wanted.name().empty() ||
         std::any_of(ports.begin(), ports.end(), [](const auto& port) { return port.host_port == 0; });
}

/// There are far more containers than pairs of words.
std::string name_of_draw(int draws) {
  return draws == 1 ? random_name() : random_name() + "_" + to_hex(random_bytes(2));
}

record::Pod draw(const record::Pod& wanted, HostPorts& ports, int draws) {
  record::Pod pod = wanted;
  if (pod.name().empty()) pod.executor.common.name = name_of_draw(draws);
  ports.choose(pod.host.ports);
  return pod;
}

}  // namespace

record::Pod store_new(record::Store& records, const record::Pod& wanted, HostPorts& ports) {
  for (int draws = 1;; ++draws) {
    record::Pod pod = draw(wanted, ports, draws);
    try {
      records.create(pod);
      return pod;
    } catch (const Error& error) {
      if (error.code() != Code::already_exists || !is_drawn(wanted) || draws == kDraws) throw;
    }
  }
}

}  // namespace berth::engine

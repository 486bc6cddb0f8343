#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "record/pod.hpp"

namespace berth::engine {

/// Chooses host ports for what is published without one: free ones that no container has, nor any binding it
/// was asked for before. Nothing holds them: who is to use them finds out whether they are free still.
class HostPorts {
 public:
  /// `taken`: what containers have.
  explicit HostPorts(std::vector<record::PortBinding> taken) : taken_(std::move(taken)) {}
  /// Gives every binding without a host port one.
  void choose(std::vector<record::PortBinding>& bindings);

 private:
  std::uint16_t free_port_for(const record::PortBinding& binding) const;
  std::vector<record::PortBinding> taken_;
};

/// Throws already-exists naming a port that another process of the host listens on.
void check_ports_free(const std::vector<record::PortBinding>& bindings);

}  // namespace berth::engine

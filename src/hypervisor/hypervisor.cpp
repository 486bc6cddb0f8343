#include "hypervisor/hypervisor.hpp"

#include <algorithm>

namespace berth::hypervisor {

std::string_view to_string(Accelerator accelerator) {
  return accelerator == Accelerator::kvm ? "kvm" : "tcg";
}

bool has_user_network(const MachineSpec& spec) {
  return std::any_of(spec.network_cards.begin(), spec.network_cards.end(),
                     [](const NetworkCard& card) { return card.backend == NetworkCard::Backend::user; });
}

std::string_view to_string(Port port) {
  switch (port) {
    case Port::control:
      return "control";
    case Port::output:
      return "output";
    case Port::attach:
      break;
  }
  return "attach";
}

std::string_view to_string(MachineEnd::Reason reason) {
  switch (reason) {
    case MachineEnd::Reason::powered_off:
      return "powered-off";
    case MachineEnd::Reason::panicked:
      return "panicked";
    case MachineEnd::Reason::reset:
      return "reset";
    case MachineEnd::Reason::quit:
      return "quit";
    case MachineEnd::Reason::killed:
      return "killed";
    case MachineEnd::Reason::failed:
      break;
  }
  return "failed";
}

std::string MachineEnd::describe() const {
  const std::string more = detail.empty() ? "" : ": " + detail;
  switch (reason) {
    case Reason::powered_off:
      return "the guest switched itself off";
    case Reason::panicked:
      return "the guest kernel panicked" + more;
    case Reason::reset:
      return "the guest restarted itself";
    case Reason::quit:
      return "the machine was ended";
    case Reason::killed:
      return "the machine's process was killed: it " + exit.describe() + more;
    case Reason::failed:
      break;
  }
  return "the machine's process failed: it " + exit.describe() + more;
}

}  // namespace berth::hypervisor

#pragma once

#include "tether/extension.hpp"
#include "tether/pod.hpp"

namespace berth::tether {

/// What a host asks of any guest: to end or to reboot, to have the right time, to stand still for a pause.
class Toolbox : public Extension {
 public:
  explicit Toolbox(Pod& pod) : pod_(pod) {}

  std::string name() const override { return "toolbox"; }
  std::vector<std::string_view> verbs() const override;
  Task<extraconfig::Pairs> obey(link::Order order) override;

 private:
  Pod& pod_;
};

}  // namespace berth::tether

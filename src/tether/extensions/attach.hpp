#pragma once

#include "base/unique_fd.hpp"
#include "tether/extension.hpp"
#include "tether/extensions/attach_server.hpp"
#include "tether/extensions/logins.hpp"
#include "tether/pod.hpp"

namespace berth::tether {

/// SSH on the attach port, from the first configuration on that has containers and a host key.
class Attach : public Extension {
 public:
  Attach(Pod& pod, UniqueFd port);

  std::string name() const override { return "attach"; }
  std::vector<std::string_view> verbs() const override { return {link::verb::reset_attach}; }
  Task<> reload(const config::ExecutorConfig& config) override;
  Task<extraconfig::Pairs> obey(link::Order order) override;
  Task<> become_copy() override;

 private:
  AttachSource make_source();

  Pod& pod_;
  UniqueFd port_;  ///< until there is a server for it
  std::string host_key_;
  std::vector<std::string> authorized_keys_;
  std::vector<std::string> user_keys_;
  Logins logins_;
  std::shared_ptr<AttachServer> server_;
};

}  // namespace berth::tether

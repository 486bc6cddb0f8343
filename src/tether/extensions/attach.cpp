#include "tether/extensions/attach.hpp"

#include "base/error.hpp"

namespace berth::tether {

Attach::Attach(Pod& pod, UniqueFd port) : pod_(pod), port_(std::move(port)), logins_(pod) {}

Task<> Attach::reload(const config::ExecutorConfig& config) {
  host_key_ = config.key.data;
  authorized_keys_ = config.authorized_keys;
  user_keys_ = config.user_keys;
  if (!server_ && !host_key_.empty() && !config.sessions.empty()) {
    server_ = std::make_shared<AttachServer>(pod_.executor(), std::move(port_), make_source());
    spawn_detached(pod_.executor(), "attach", server_->run());
  }
  co_return;
}

Task<extraconfig::Pairs> Attach::obey(link::Order order) {
  if (!server_) throw Error(Code::wrong_state, "nothing is served on the attach port yet");
  co_await server_->reset(std::move(order.token));
  co_return extraconfig::Pairs{};
}

Task<> Attach::become_copy() {
  if (server_) server_->drop();
  co_return;
}

AttachSource Attach::make_source() {
  return {[this] { return host_key_; },
          [this] { return authorized_keys_; },
          [this] { return user_keys_; },
          [this](const std::string& id) { return pod_.session(id); },
          [this](std::shared_ptr<link::ssh::Channel> channel, link::ssh::Request request) {
            return logins_.serve(std::move(channel), std::move(request));
          },
          [this](std::shared_ptr<link::ssh::Channel> channel, link::ssh::Request request) {
            return pod_.serve(std::move(channel), std::move(request));
          }};
}

}  // namespace berth::tether

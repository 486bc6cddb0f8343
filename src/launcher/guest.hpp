#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/async.hpp"
#include "base/counted.hpp"
#include "extraconfig/pairs.hpp"
#include "hypervisor/hypervisor.hpp"
#include "link/attach_port.hpp"
#include "link/control.hpp"
#include "link/messages.hpp"
#include "link/output.hpp"
#include "link/ssh.hpp"

namespace berth::launcher {

/// Made anew for each machine.
struct GuestKeys {
  link::ssh::KeyPair host = link::ssh::generate_key();    ///< of its SSH server
  link::ssh::KeyPair client = link::ssh::generate_key();  ///< of the launcher, that server's one client
  link::ssh::KeyPair login = link::ssh::generate_key();   ///< by which this host's user may log in to the pod
};

/// The host's end of the three ports of one machine. Everything that comes from the guest is foreign.
class Guest {
 public:
  struct Callbacks {
    /// Keys the guest reports; only those a guest may write.
    std::function<void(const extraconfig::Difference&)> on_report;
    std::function<void(link::OutputRecord&&)> on_output;
    /// A port ended or carried rubbish.
    std::function<void(const Error&)> on_broken;
  };

  Guest(const asio::any_io_executor& executor, hypervisor::Machine& machine, Callbacks callbacks);
  ~Guest();

  /// Waits for the tether's first words. Throws unavailable past `limit`, unsupported for another version.
  Task<link::Hello> wait_hello(Milliseconds limit);
  // What follows is asked at once, or after a release() when the guest is held; a limit counts from then on.
  // Throws unavailable when the guest is closed meanwhile.
  Task<> configure(extraconfig::Difference keys, Milliseconds limit);
  Task<extraconfig::Pairs> order(link::Order order, Milliseconds limit);

  const GuestKeys& keys() const { return keys_; }
  /// Whether on_broken was called.
  bool broken() const;
  /// A session channel to the tether; the first call connects,
  /// and so does the first one after the connection broke.
  Task<std::unique_ptr<link::ssh::Channel>> open_channel(link::ssh::Request request);

  /// A TCP connection made in the pod; throws unavailable when nothing accepts it there.
  Task<std::unique_ptr<link::ssh::Channel>> forward(link::ssh::ForwardTarget target);

  /// Nothing more is asked of the guest until release(). Returns when everything that was asked before has
  /// been answered; throws timeout, with nothing held, when that does not come within `limit`.
  Task<> hold(Milliseconds limit);
  void release();
  /// An order to a guest that is held.
  Task<extraconfig::Pairs> order_held(link::Order order, Milliseconds limit);
  /// As long as this lives, an answer of the guest is waited for.
  [[nodiscard]] std::shared_ptr<const Counted> asking();

  /// The guest is a copy: what it has of connections over the attach port is the original's.
  void take_over_attach();
  void close();

 private:
  struct State;
  const GuestKeys keys_;
  std::shared_ptr<State> state_;
};

}  // namespace berth::launcher

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/async.hpp"
#include "base/clock.hpp"
#include "tether/dhcp/exchange.hpp"

namespace berth::tether::dhcp {

/// Where packets go out and come in.
class Transport {
 public:
  virtual ~Transport() = default;
  /// Best effort: what is lost is sent again.
  virtual void send(const Exchange::Packet& packet) = 0;
  /// Waits for the next payload. Without an address (`address` 0) it sees what reaches the card, later what
  /// reaches the address.
  virtual Task<std::string> receive(std::uint32_t address) = 0;
  /// Nothing is expected for now.
  virtual void rest() = 0;
  /// Ends receive(), now and from now on.
  virtual void close() = 0;
};

/// Packets of a network interface that is up.
std::unique_ptr<Transport> open_transport(const asio::any_io_executor& executor, unsigned interface);

/// A client on one interface: gets a lease, keeps it, and starts over when it is lost.
class Client : public std::enable_shared_from_this<Client> {
 public:
  struct Parts {
    std::unique_ptr<Transport> transport;
    const Clock& clock;  ///< a MonotonicClock, or one that tests move
    std::function<void()> on_change;
  };
  Client(const asio::any_io_executor& executor, Parts parts, Exchange::Settings settings);

  /// Runs until stop(); what is thrown is in the log.
  void start();
  /// Gives the lease back and ends. There is no call of on_change any more.
  void stop();
  /// Asks for nothing any more and gives nothing back: somebody else goes on with the lease.
  void abandon();
  /// Looks at the clock again.
  void wake() { wake_.notify_all(); }

  const std::optional<Reply>& lease() const { return lease_; }

 private:
  Task<> run();
  Task<> wait_for_something();
  void note_lease();

  Parts parts_;
  Exchange exchange_;
  std::optional<Reply> lease_;  ///< that on_change has told
  Event wake_;
  bool stopped_ = false;
};

}  // namespace berth::tether::dhcp

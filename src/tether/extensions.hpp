#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "tether/extension.hpp"

namespace berth::tether {

/// The tether's extensions, each of which runs beside the others.
class Extensions {
 public:
  explicit Extensions(const asio::any_io_executor& executor) : executor_(executor) {}

  /// Before start(). Throws already-exists when another one has one of its verbs or subsystems.
  void add(std::unique_ptr<Extension> extension);
  /// Begins to start them all.
  void start();
  /// Tells them all of a configuration; does not wait for what they make of it.
  void reload(const config::ExecutorConfig& config);
  /// Tells those that have started that the machine is a copy.
  Task<> become_copy();
  /// Throws unsupported when none has the verb, and unavailable when the one that has it did not start.
  Task<extraconfig::Pairs> obey(link::Order order);
  /// The same for a subsystem of SSH.
  Task<> serve(std::shared_ptr<link::ssh::Channel> channel, link::ssh::Request request);
  /// Stops them all at the same time, and waits for that at most `limit`. Orders and channels are refused
  /// from then on.
  Task<> stop(Milliseconds limit);

 private:
  struct Member;
  using Names = std::vector<std::string_view> (Extension::*)() const;

  std::shared_ptr<Member> find(Names names, std::string_view name) const;

  asio::any_io_executor executor_;
  std::vector<std::shared_ptr<Member>> members_;
};

}  // namespace berth::tether

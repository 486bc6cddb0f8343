#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "extraconfig/pairs.hpp"

namespace berth::extraconfig {

/// Takes one line without a line break. What is secret is not in it: neither a value of a secret key nor the
/// sealing key.
using LogLine = std::function<void(std::string_view)>;

/// Logs each pair, then passes it on. Its place among sealing sinks does not matter.
class LoggingSink final : public Sink {
 public:
  /// Logs with log::debug.
  explicit LoggingSink(Sink& inner);
  LoggingSink(Sink& inner, LogLine log) : inner_(inner), log_(std::move(log)) {}
  void put(std::string_view key, std::string_view value) override;

 private:
  Sink& inner_;
  LogLine log_;
};

/// Logs what is asked for and what is found, or why it cannot be given.
class LoggingSource final : public Source {
 public:
  /// Logs with log::debug.
  explicit LoggingSource(Source& inner);
  LoggingSource(Source& inner, LogLine log) : inner_(inner), log_(std::move(log)) {}
  std::optional<std::string_view> get(std::string_view key) override;
  bool any_below(std::string_view prefix) override;

 private:
  Source& inner_;
  LogLine log_;
};

}  // namespace berth::extraconfig

#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "cli/parser.hpp"
#include "engine/engine.hpp"

namespace berth::cli {

/// What a command gets beside its arguments.
class Context {
 public:
  Context(engine::Paths paths, int failure_status)
      : paths_(std::move(paths)), failure_status_(failure_status) {}

  const engine::Paths& paths() const { return paths_; }
  /// Opened at the first call.
  engine::Engine& engine();

  /// The command's exit status when it fails by itself.
  int failure_status() const { return failure_status_; }
  /// For a command of a command that has its own.
  void set_failure_status(int status) { failure_status_ = status; }

 private:
  engine::Paths paths_;
  int failure_status_;
  std::unique_ptr<engine::Engine> engine_;
};

/// Standard output; what could not be written is found by flush_output.
void print(std::string_view text);
void print_line(std::string_view line);
/// Throws when standard output has not taken everything.
void flush_output();

/// "berth: MESSAGE" on standard error, always one line.
void print_error(std::string_view message);

/// Sends signals to a container that runs; for SessionOptions::pass_signal.
std::function<bool(int)> signals_for(Context& context, std::string id);

/// Does something for each name; a failure is printed and the next one follows. Nonzero when one failed.
int for_each_name(Context& context, const std::vector<std::string>& names,
                  const std::function<void(const std::string&)>& action);

}  // namespace berth::cli

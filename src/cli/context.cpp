#include "cli/context.hpp"

#include <cstdio>

#include "base/text.hpp"

namespace berth::cli {

engine::Engine& Context::engine() {
  if (!engine_) {
    engine_ = std::make_unique<engine::Engine>(paths_);
    engine_->on_notice = [](std::string_view line) { print_error(line); };
  }
  return *engine_;
}

void print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

void print_line(std::string_view line) {
  print(line);
  print("\n");
}

void flush_output() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) throw errno_error("write to standard output");
}

void print_error(std::string_view message) {
  std::fflush(stdout);
  const std::string line = "berth: " + printable(message) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

std::function<bool(int)> signals_for(Context& context, std::string id) {
  return [&context, id = std::move(id)](int signal) {
    try {
      context.engine().kill(id, signal);
      return true;
    } catch (const Error&) {
      return false;  // it does not run yet, or not any more
    }
  };
}

int for_each_name(Context& context, const std::vector<std::string>& names,
                  const std::function<void(const std::string&)>& action) {
  int status = 0;
  for (const std::string& name : names) {
    try {
      action(name);
    } catch (const Error& error) {
      print_error(error.what());
      status = context.failure_status();
    }
  }
  return status;
}

}  // namespace berth::cli

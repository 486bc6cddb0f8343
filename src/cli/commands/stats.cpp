#include <poll.h>

#include <map>

#include "cli/command.hpp"
#include "cli/usage_text.hpp"

namespace berth::cli::command {
namespace {

using Time = std::chrono::steady_clock::time_point;

struct Look {
  Time time;
  engine::Usage usage;
};
using Looks = std::map<std::string, Look>;  // by id

/// A container that ends meanwhile is left out; the others go on.
Looks look(Context& context, const std::vector<std::string>& names) {
  std::vector<std::string> wanted;
  for (const std::string& name : names) wanted.push_back(context.engine().get(name).id());
  if (names.empty()) {
    for (const record::Pod& pod : context.engine().list()) {
      if (engine::is_running(pod)) wanted.push_back(pod.id());
    }
  }
  Looks looks;
  for (const std::string& id : wanted) {
    try {
      engine::Usage usage = context.engine().usage(id);
      looks.emplace(id, Look{std::chrono::steady_clock::now(), std::move(usage)});
    } catch (const Error& error) {
      if (!names.empty() || (error.code() != Code::wrong_state && error.code() != Code::not_found)) throw;
    }
  }
  return looks;
}

std::vector<UsageSample> compare(const Looks& before, const Looks& now) {
  std::vector<UsageSample> samples;
  for (const auto& [id, current] : now) {
    UsageSample sample{.now = current.usage, .before = {}, .elapsed = {}};
    if (const auto earlier = before.find(id); earlier != before.end()) {
      sample.before = earlier->second.usage.guest;
      sample.elapsed = current.time - earlier->second.time;
    }
    samples.push_back(std::move(sample));
  }
  return samples;
}

}  // namespace

int stats(Context& context, const Arguments& arguments) {
  bool once = false;
  bool whole = false;
  std::string format;
  std::vector<std::string> names;
  Parser parser("berth stats", "[OPTIONS] [CONTAINER...]",
                "Shows what running containers use, again every second.");
  parser.flag("--no-stream", once, "Show it once")
      .flag("--no-trunc", whole, "Cut nothing short")
      .value("--format", "json|TEMPLATE", format,
             "An object a line, or a template such as '{{.Name}}: {{.CPUPerc}}'")
      .positionals(names, 0)
      .example("berth stats --no-stream");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;

  constexpr int kPeriod = 1000;  // milliseconds: what a processor share is taken over
  constexpr std::string_view kClearScreen = "\x1b[H\x1b[2J";
  Looks before = look(context, names);
  while (true) {
    ::poll(nullptr, 0, kPeriod);
    Looks now = look(context, names);
    const std::string text = render(list_usage(compare(before, now), whole), format);
    if (!once && format.empty()) print(kClearScreen);
    print(text);
    flush_output();
    if (once) return 0;
    before = std::move(now);
  }
}

}  // namespace berth::cli::command

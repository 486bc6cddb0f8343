#include <unistd.h>

#include "base/io.hpp"
#include "base/text.hpp"
#include "cli/command.hpp"
#include "cli/log_printer.hpp"

namespace berth::cli::command {
namespace {

std::optional<std::uint64_t> parse_tail(const std::string& text) {
  if (text == "all") return std::nullopt;
  return static_cast<std::uint64_t>(
      parse_integer(text, 0, std::numeric_limits<std::int64_t>::max(), "--tail"));
}

}  // namespace

int logs(Context& context, const Arguments& arguments) {
  bool follow = false;
  bool timestamps = false;
  std::string tail = "all";
  std::string since;
  std::string until;
  std::vector<std::string> names;
  Parser parser("berth logs", "[OPTIONS] CONTAINER", "Shows what a container has written to its outputs.");
  parser.flag("-f,--follow", follow, "Go on with what comes, until the container is removed")
      .value("-n,--tail", "N|all", tail, "Only the last lines")
      .value("--since", "TIME", since, "From a time on, or since a duration such as 10m")
      .value("--until", "TIME", until, "Up to a time, or until a duration ago")
      .flag("-t,--timestamps", timestamps, "Show the time of each line")
      .positionals(names, 1, 1)
      .example("berth logs -f --tail 20 web");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;

  launcher::LogQuery query;
  const Nanoseconds now = SystemClock().now();
  query.tail = parse_tail(tail);
  if (!since.empty()) query.since = parse_time(since, now);
  if (!until.empty()) query.until = parse_time(until, now);

  const record::Pod pod = context.engine().get(names.front());
  launcher::LogReader reader = context.engine().logs(pod.id(), query);
  LogPrinter printer(timestamps);
  const auto write = [&](const launcher::LogEntry& entry) {
    write_all(entry.stream == launcher::LogStream::standard_error ? STDERR_FILENO : STDOUT_FILENO,
              printer.format(entry));
  };
  // A removal is seen this late at most.
  constexpr std::chrono::milliseconds kLook = std::chrono::seconds(1);
  bool exists = follow && engine::is_running(pod);
  reader.read(write);
  while (exists) {
    reader.wait(kLook);
    exists = context.engine().records().find(pod.id()).has_value();
    if (query.until && SystemClock().now() > *query.until) exists = false;
    reader.read(write);
  }
  return 0;
}

}  // namespace berth::cli::command

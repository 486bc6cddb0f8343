#include <algorithm>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "cli/command.hpp"
#include "cli/listing.hpp"

namespace berth::cli::command {
namespace {

int snapshot_create(Context& context, const Arguments& arguments) {
  std::vector<std::string> names;
  Parser parser(
      "berth snapshot create", "CONTAINER NAME",
      "Keeps a running container as it is now: its processes, memory, open files and disk. It goes on; "
      "any number of containers can go on from the snapshot.");
  parser.positionals(names, 2, 2)
      .example("berth snapshot create warm ready")
      .example("berth run --from-snapshot ready");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  context.engine().snapshot(names[0], names[1]);
  print_line(names[1]);
  return 0;
}

int snapshot_ls(Context& context, const Arguments& arguments) {
  bool quiet = false;
  std::string format;
  std::vector<std::string> none;
  Parser parser("berth snapshot ls", "[OPTIONS]", "Lists snapshots.");
  parser.flag("-q,--quiet", quiet, "Show names only")
      .value("--format", "json|TEMPLATE", format, "An object a line, or a template such as '{{.Name}}'")
      .positionals(none, 0, 0)
      .example("berth snapshot ls");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  const launcher::SnapshotStore store = context.engine().snapshots();
  const Nanoseconds now = SystemClock().now();
  Listing listing;
  listing.fields = {{"Name", "NAME"},
                    {"Container", "CONTAINER"},
                    {"Image", "IMAGE"},
                    {"Memory", "MEMORY"},
                    {"Size", "SIZE"},
                    {"Created", "CREATED"},
                    {"Interrupted", "INTERRUPTED"}};
  for (const launcher::Snapshot& snapshot : store.list()) {
    const record::Pod pod = record::decode(snapshot.record);
    listing.rows.push_back({snapshot.name, pod.name(), pod.host.image_reference,
                            format_binary_size(snapshot.memory_bytes),
                            format_decimal_size(store.bytes(snapshot.name)),
                            describe_duration(now - Nanoseconds(snapshot.created)) + " ago",
                            fmt::format("{} ms", snapshot.interrupted / 1'000'000)});
  }
  for (const std::string& name : store.damaged())
    listing.rows.push_back({name, "", "damaged", "", format_decimal_size(store.bytes(name)), "", ""});
  print(render(listing, quiet && format.empty() ? "{{.Name}}" : format));
  return 0;
}

int snapshot_rm(Context& context, const Arguments& arguments) {
  std::vector<std::string> names;
  Parser parser("berth snapshot rm", "NAME [NAME...]",
                "Removes snapshots. Containers that went on from them are not touched.");
  parser.positionals(names, 1).example("berth snapshot rm ready");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  return for_each_name(context, names, [&](const std::string& name) {
    launcher::SnapshotStore::check_name(name);
    launcher::SnapshotStore store = context.engine().snapshots();
    if (!store.is_taken(name)) throw Error(Code::not_found, "there is no snapshot \"{}\"", printable(name));
    for (const record::Pod& pod : context.engine().list()) {
      if (pod.host.snapshot == name && pod.host.started == 0)
        throw Error(Code::conflict,
                    "the container {} is to go on from the snapshot {}: start or remove it first", pod.name(),
                    name);
    }
    store.remove(name);
    print_line(name);
  });
}

constexpr Command kSubcommands[] = {
    {"create", "Keep a running container as it is now", snapshot_create},
    {"ls", "List snapshots", snapshot_ls},
    {"rm", "Remove snapshots", snapshot_rm},
};

bool is_subcommand(const std::string& word) {
  return word.starts_with("-") || std::any_of(std::begin(kSubcommands), std::end(kSubcommands),
                                              [&](const Command& command) { return command.name == word; });
}

}  // namespace

/// `berth snapshot CONTAINER NAME` is short for `berth snapshot create CONTAINER NAME`.
int snapshot(Context& context, const Arguments& arguments) {
  if (arguments.size() == 2 && !is_subcommand(arguments.front())) return snapshot_create(context, arguments);
  return run_group(
      {"snapshot",
       "A snapshot is a running container as it was at one instant, from which any number of others "
       "go on (berth run --from-snapshot NAME).",
       "berth snapshot create warm ready", kSubcommands},
      context, arguments);
}

}  // namespace berth::cli::command

#include "cli/commands/volume.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include <boost/json.hpp>

#include "base/text.hpp"
#include "cli/container_options.hpp"
#include "cli/json_template.hpp"
#include "cli/listing.hpp"
#include "volume/store.hpp"

namespace berth::cli::command {
namespace {

namespace json = boost::json;

constexpr Command kSubcommands[] = {
    {"create", "Make a volume and show its name", volume_create},
    {"ls", "List volumes", volume_ls},
    {"inspect", "Show everything known about volumes, as JSON", volume_inspect},
    {"rm", "Remove volumes", volume_rm},
    {"prune", "Remove the volumes that no container has", volume_prune},
};

/// "size=SIZE" of a disk, or "type=nfs", "o=..." and "device=..." of an export; the last one of each counts.
void parse_volume_options(const std::vector<std::string>& texts, volume::CreateOptions& request) {
  for (const std::string& text : texts) {
    const std::size_t equals = std::min(text.find('='), text.size());
    const std::string name = text.substr(0, equals);
    const std::string value = text.substr(std::min(equals + 1, text.size()));
    if (name == "size") {
      request.size = parse_size(value, "--opt size");
    } else if (name == "type" || name == "o" || name == "device") {
      request.options[name] = value;
    } else {
      throw Error(Code::invalid_argument,
                  "--opt '{}': use size=SIZE, or type=nfs with o=addr=SERVER,... and device=:/PATH",
                  printable(text));
    }
  }
}

json::object options_of(const volume::Volume& volume) {
  json::object options;
  for (const auto& [key, value] : volume.options) options[key] = value;
  if (volume.is_disk()) options["size"] = std::to_string(volume.size);
  return options;
}

/// The image of a disk; a volume of a server has no place on this host.
std::string mountpoint_of(volume::Store& volumes, const volume::Volume& volume) {
  return volume.is_disk() ? volumes.image(volume.id).string() : std::string();
}

std::string labels_text(const std::map<std::string, std::string>& labels) {
  std::vector<std::string> pairs;
  for (const auto& [key, value] : labels) pairs.push_back(key + "=" + value);
  return join(pairs, ",");
}

std::string describe(volume::Store& volumes, const volume::Volume& volume) {
  json::object labels;
  for (const auto& [key, value] : volume.labels) labels[key] = value;
  const json::object details{{"CreatedAt", format_time(Nanoseconds(volume.created))},
                             {"Driver", "local"},
                             {"Labels", std::move(labels)},
                             {"Mountpoint", mountpoint_of(volumes, volume)},
                             {"Name", volume.name},
                             {"Options", options_of(volume)},
                             {"Scope", "local"},
                             {"UsageData", json::object{{"RefCount", volumes.users(volume.id).size()},
                                                        {"Size", volumes.used_bytes(volume.id)}}}};
  return json::serialize(details);
}

/// Asks on the terminal, or whatever standard input is; no answer is a no.
bool confirmed(bool all) {
  print(
      fmt::format("WARNING! This will remove {} volumes that no container has.\n"
                  "Are you sure you want to continue? [y/N] ",
                  all ? "all" : "all anonymous"));
  flush_output();
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

}  // namespace

int volume(Context& context, const Arguments& arguments) {
  return run_group({"volume",
                    "Volumes keep files beyond the life of a container. One machine at a time uses a volume, "
                    "unless it is on an "
                    "NFS server.",
                    "berth volume create data", kSubcommands},
                   context, arguments);
}

int volume_create(Context& context, const Arguments& arguments) {
  std::vector<std::string> labels;
  std::vector<std::string> options;
  std::vector<std::string> names;
  Parser parser("berth volume create", "[OPTIONS] [NAME]",
                "Makes a volume and shows its name, which is made too when none is given.");
  parser.list("--label", "K=V", labels, "Attach a label")
      .list("-o,--opt", "KEY=VALUE", options,
            "size=SIZE: how much fits in, such as 2g (default 10g); or type=nfs, o=addr=SERVER,..., "
            "device=:/PATH")
      .positionals(names, 0, 1)
      .example(
          "berth volume create --opt type=nfs --opt o=addr=192.168.1.1,rw,vers=4.2 --opt device=:/srv/data "
          "data");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  volume::CreateOptions request;
  if (!names.empty()) {
    volume::check_name(names.front());
    request.name = names.front();
  }
  request.labels = parse_labels(labels);
  parse_volume_options(options, request);
  print_line(context.engine().volumes().create(request, SystemClock().now()).name);
  return 0;
}

int volume_ls(Context& context, const Arguments& arguments) {
  bool quiet = false;
  std::string format;
  std::vector<std::string> none;
  Parser parser("berth volume ls", "[OPTIONS]", "Lists volumes.");
  parser.flag("-q,--quiet", quiet, "Show names only")
      .value("--format", "json|TEMPLATE", format, "An object a line, or a template such as '{{.Name}}'")
      .positionals(none, 0, 0)
      .example("berth volume ls");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  volume::Store& volumes = context.engine().volumes();
  Listing listing;
  listing.fields = {{"Driver", "DRIVER"},        {"Name", "VOLUME NAME"},
                    {"Labels", "LABELS", false}, {"Mountpoint", "MOUNTPOINT", false},
                    {"Scope", "SCOPE", false},   {"Size", "SIZE", false}};
  for (const volume::Volume& volume : volumes.list()) {
    listing.rows.push_back({"local", volume.name, labels_text(volume.labels), mountpoint_of(volumes, volume),
                            "local", format_decimal_size(volumes.used_bytes(volume.id))});
  }
  print(render(listing, quiet && format.empty() ? "{{.Name}}" : format));
  return 0;
}

int volume_inspect(Context& context, const Arguments& arguments) {
  std::string format;
  std::vector<std::string> names;
  Parser parser("berth volume inspect", "[OPTIONS] VOLUME [VOLUME...]",
                "Shows everything known about volumes, as JSON.");
  parser.value("-f,--format", "TEMPLATE", format, "Show only this, such as '{{.Labels}}'")
      .positionals(names, 1)
      .example("berth volume inspect data");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  volume::Store& volumes = context.engine().volumes();
  std::vector<std::string> found;
  const int status = for_each_name(context, names, [&](const std::string& name) {
    found.push_back(describe(volumes, volumes.get(name)));
    if (!format.empty()) print_line(fill_json_template(format, found.back()));
  });
  if (format.empty()) print_line(indent_json("[" + join(found, ",") + "]"));
  return status;
}

int volume_rm(Context& context, const Arguments& arguments) {
  bool force = false;
  std::vector<std::string> names;
  Parser parser(
      "berth volume rm", "[OPTIONS] VOLUME [VOLUME...]",
      "Removes volumes, with all that is in them. One that a container has, running or not, stays.");
  parser.flag("-f,--force", force, "Those that do not exist are no failure")
      .positionals(names, 1)
      .example("berth volume rm data");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  return for_each_name(context, names, [&](const std::string& name) {
    try {
      context.engine().volumes().remove(name);
    } catch (const Error& error) {
      if (!force || error.code() != Code::not_found) throw;
    }
    print_line(name);
  });
}

int volume_prune(Context& context, const Arguments& arguments) {
  bool force = false;
  bool all = false;
  std::vector<std::string> none;
  Parser parser("berth volume prune", "[OPTIONS]", "Removes the anonymous volumes that no container has.");
  parser.flag("-a,--all", all, "Those that somebody named, too")
      .flag("-f,--force", force, "Do not ask")
      .positionals(none, 0, 0)
      .example("berth volume prune -f");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  if (!force && !confirmed(all)) return 0;
  // Containers that a killed command left half done give back what they have.
  context.engine().list();
  const volume::Pruned pruned = context.engine().volumes().prune(all);
  if (!pruned.names.empty()) print_line("Deleted Volumes:");
  for (const std::string& name : pruned.names) print_line(name);
  print_line(fmt::format("{}Total reclaimed space: {}", pruned.names.empty() ? "" : "\n",
                         format_decimal_size(pruned.bytes)));
  return 0;
}

}  // namespace berth::cli::command

#include "base/ids.hpp"
#include "base/text.hpp"
#include "cli/command.hpp"
#include "cli/container_text.hpp"
#include "cli/listing.hpp"
#include "cli/ports.hpp"

namespace berth::cli::command {
namespace {

std::string labels_text(const record::Pod& pod) {
  std::vector<std::string> labels;
  for (const auto& [key, value] : pod.executor.annotations) labels.push_back(key + "=" + value);
  return join(labels, ",");
}

Listing list_containers(const std::vector<record::Pod>& pods, bool whole, Nanoseconds now) {
  Listing listing;
  listing.fields = {{"ID", "CONTAINER ID"},
                    {"Image", "IMAGE"},
                    {"Command", "COMMAND"},
                    {"RunningFor", "CREATED"},
                    {"Status", "STATUS"},
                    {"Ports", "PORTS"},
                    {"Names", "NAMES"},
                    {"State", "STATE", false},
                    {"CreatedAt", "CREATED AT", false},
                    {"ExitCode", "EXIT CODE", false},
                    {"Networks", "NETWORKS", false},
                    {"Labels", "LABELS", false}};
  for (const record::Pod& pod : pods) {
    const record::Host& host = pod.host;
    listing.rows.push_back({whole ? pod.id() : short_id(pod.id()), host.image_reference,
                            command_text(host.command, whole), age_text(host.created, now),
                            status_text(host, now),
                            engine::is_running(pod) ? describe_ports(host.ports) : std::string(), pod.name(),
                            std::string(state_text(host.status)), format_time(Nanoseconds(host.created)),
                            std::to_string(host.exit_code), host.network, labels_text(pod)});
  }
  return listing;
}

}  // namespace

int ps(Context& context, const Arguments& arguments) {
  bool all = false;
  bool quiet = false;
  bool whole = false;
  std::string format;
  std::vector<std::string> none;
  Parser parser("berth ps", "[OPTIONS]", "Lists running containers.");
  parser.flag("-a,--all", all, "Show those that do not run too")
      .flag("-q,--quiet", quiet, "Show ids only")
      .flag("--no-trunc", whole, "Cut nothing short")
      .value("--format", "json|TEMPLATE", format,
             "An object a line, or a template such as 'table {{.ID}}\\t{{.Names}}'")
      .positionals(none, 0, 0)
      .example("berth ps -a");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;

  std::vector<record::Pod> pods = context.engine().list();
  if (!all) std::erase_if(pods, [](const record::Pod& pod) { return !engine::is_running(pod); });
  const Listing listing = list_containers(pods, whole, SystemClock().now());
  print(render(listing, quiet && format.empty() ? "{{.ID}}" : format));
  return 0;
}

}  // namespace berth::cli::command

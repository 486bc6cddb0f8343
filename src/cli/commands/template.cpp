#include <unistd.h>

#include <algorithm>

#include "base/text.hpp"
#include "cli/command.hpp"
#include "cli/container_options.hpp"
#include "cli/listing.hpp"
#include "engine/templates.hpp"
#include "image/rootfs.hpp"

namespace berth::cli::command {
namespace {

int template_create(Context&, const Arguments&);
int template_ls(Context&, const Arguments&);
int template_rm(Context&, const Arguments&);
int template_prune(Context&, const Arguments&);

constexpr Command kSubcommands[] = {
    {"create", "Make the template of machines of one size", template_create},
    {"ls", "List templates", template_ls},
    {"rm", "Remove templates", template_rm},
    {"prune", "Remove templates that cannot be used any more", template_prune},
};

/// Somebody else's work goes first.
void step_back() {
  constexpr int kNiceness = 10;
  [[maybe_unused]] const int now = ::nice(kNiceness);
}

int template_create(Context& context, const Arguments& arguments) {
  std::string cpus;
  std::string memory;
  std::string accelerator;
  bool again = false;
  bool background = false;
  std::vector<std::string> images;
  Parser parser(
      "berth template create", "[OPTIONS] [IMAGE]",
      "Boots a machine and freezes it, so that containers of that size start from it. With an image, its "
      "root file system is mounted already, so that containers of it start sooner still. Shows its id.");
  parser.value("--cpus", "N", cpus, "Processors (default 1)")
      .value("-m,--memory", "SIZE", memory, "Memory (default 512m)")
      .value("--accel", "auto|kvm|tcg", accelerator, "Hardware or software virtualization (also BERTH_ACCEL)")
      .flag("--again", again, "Also when there is one")
      .flag("--background", background, "Give way to whatever else runs")
      .positionals(images, 0, 1)
      .example("berth template create --memory 1g");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  const double wanted_cpus = cpus.empty() ? 1 : parse_cpus(cpus);
  const std::uint64_t wanted_memory =
      memory.empty() ? engine::kDefaultMemory : parse_size(memory, "--memory");
  engine::check_cpus(wanted_cpus);
  engine::check_memory_size(wanted_memory);
  if (background) step_back();
  const record::Pod pod = engine::template_pod(wanted_cpus, wanted_memory, choose_accelerator(accelerator));
  std::optional<engine::TemplateImage> image;
  if (!images.empty()) {
    const image::Store& store = context.engine().images();
    image = {images.front(), image::rootfs(store, store.get(images.front()))};
  }
  const std::string id = engine::make_template(context.engine().paths(), pod, image, again);
  if (id.empty()) throw Error(Code::busy, "somebody else is making this template now");
  print_line(id);
  return 0;
}

int template_ls(Context& context, const Arguments& arguments) {
  bool quiet = false;
  std::string format;
  std::vector<std::string> none;
  Parser parser("berth template ls", "[OPTIONS]", "Lists templates, the most recently used first.");
  parser.flag("-q,--quiet", quiet, "Show ids only")
      .value("--format", "json|TEMPLATE", format, "An object a line, or a template such as '{{.ID}}'")
      .positionals(none, 0, 0)
      .example("berth template ls");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  Listing listing;
  listing.fields = {{"ID", "TEMPLATE ID"}, {"CPUs", "CPUS"}, {"Memory", "MEMORY"},   {"Accelerator", "ACCEL"},
                    {"Image", "IMAGE"},    {"Size", "SIZE"}, {"Created", "CREATED"}, {"Status", "STATUS"}};
  const Nanoseconds now = SystemClock().now();
  for (const auto& [info, bytes, last_used, usable] : context.engine().templates().list()) {
    listing.rows.push_back({info.id, std::to_string(info.cpus), format_binary_size(info.memory_bytes),
                            info.accelerator, info.image.empty() ? "any" : info.image,
                            format_decimal_size(bytes),
                            describe_duration(now - parse_time(info.created, now)) + " ago",
                            usable ? "ready" : "of an earlier boot"});
  }
  print(render(listing, quiet && format.empty() ? "{{.ID}}" : format));
  return 0;
}

int template_rm(Context& context, const Arguments& arguments) {
  std::vector<std::string> ids;
  Parser parser("berth template rm", "TEMPLATE [TEMPLATE...]",
                "Removes templates. Machines that are clones of them go on.");
  parser.positionals(ids, 1).example("berth template rm 1f2e3d4c5b6a7988");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  return for_each_name(context, ids,
                       [&](const std::string& id) { print_line(context.engine().templates().remove(id)); });
}

int template_prune(Context& context, const Arguments& arguments) {
  bool all = false;
  std::vector<std::string> none;
  Parser parser(
      "berth template prune", "[OPTIONS]",
      "Removes templates that were made before the host's last boot, and what a maker that was killed "
      "has left.");
  parser.flag("-a,--all", all, "Those that can be used, too")
      .positionals(none, 0, 0)
      .example("berth template prune");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  for (const std::string& id : context.engine().templates().prune(all)) print_line(id);
  return 0;
}

}  // namespace

int templates(Context& context, const Arguments& arguments) {
  return run_group(
      {"template",
       "A template is a machine that has booted and stands still. A container's machine goes on from "
       "the one of its size; where there is none, it boots, and one is made for the next.",
       "berth template create --memory 1g", kSubcommands},
      context, arguments);
}

}  // namespace berth::cli::command

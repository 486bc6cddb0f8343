#include "base/ids.hpp"
#include "base/text.hpp"
#include "cli/command.hpp"
#include "image/store.hpp"

namespace berth::cli::command {
namespace {

/// A container keeps its image: a running one always, another one unless forced. A snapshot always does.
void require_unused(Context& context, const image::Image& image, const std::string& name, bool force) {
  for (const record::Pod& pod : context.engine().list()) {
    if (pod.host.image_id != image.id) continue;
    const bool running = engine::is_running(pod);
    if (force && !running) continue;
    throw Error(Code::conflict, "the image {} is used by the {} container {} ({}): remove that first{}",
                printable(name), running ? "running" : "stopped", pod.name(), short_id(pod.id()),
                running ? "" : ", or use --force");
  }
  for (const launcher::Snapshot& snapshot : context.engine().snapshots().list()) {
    if (record::decode(snapshot.record).host.image_id != image.id) continue;
    throw Error(Code::conflict, "the image {} is used by the snapshot {}: remove that first", printable(name),
                snapshot.name);
  }
}

bool has_other_name(image::Store& images, const image::Image& image) {
  for (const image::Image& other : images.list()) {
    if (other.id == image.id && other.reference != image.reference) return true;
  }
  return false;
}

bool is_name_of(const image::Image& image, const std::string& name) {
  return image.reference && !image.id.starts_with(name) && !image.id.starts_with("sha256:" + name);
}

void remove_image(Context& context, const std::string& name, bool force) {
  image::Store& images = context.engine().images();
  const image::Image image = images.get(name);
  const bool only_a_name = is_name_of(image, name) && has_other_name(images, image);
  if (!only_a_name) require_unused(context, image, name, force);
  const image::Removed removed = images.remove(name, force);
  for (const std::string& untagged : removed.untagged) print_line("Untagged: " + untagged);
  for (const std::string& deleted : removed.deleted) print_line("Deleted: " + deleted);
}

}  // namespace

int rmi(Context& context, const Arguments& arguments) {
  bool force = false;
  std::vector<std::string> names;
  Parser parser("berth rmi", "[OPTIONS] IMAGE [IMAGE...]", "Removes images.");
  parser.flag("-f,--force", force, "Although stopped containers use them, and with all their names")
      .positionals(names, 1)
      .example("berth rmi debian:12");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  return for_each_name(context, names, [&](const std::string& name) { remove_image(context, name, force); });
}

}  // namespace berth::cli::command

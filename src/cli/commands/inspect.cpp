#include "base/text.hpp"
#include "cli/command.hpp"
#include "cli/image_json.hpp"
#include "cli/json_template.hpp"
#include "cli/listing.hpp"
#include "image/store.hpp"

namespace berth::cli::command {
namespace {

std::string describe(Context& context, const std::string& name, const std::string& type) {
  if (type != "image") {
    try {
      return engine::inspect(context.engine().get(name), context.paths());
    } catch (const Error& error) {
      if (error.code() != Code::not_found || type == "container") throw;
    }
  }
  const std::optional<image::Image> image = context.engine().images().find(name);
  if (!image)
    throw Error(Code::not_found, "no {} '{}'", type.empty() ? "container or image" : type, printable(name));
  return describe_image(*image);
}

}  // namespace

int inspect(Context& context, const Arguments& arguments) {
  std::string format;
  std::string type;
  std::vector<std::string> names;
  Parser parser("berth inspect", "[OPTIONS] NAME [NAME...]",
                "Shows everything known about containers and images, as JSON.");
  parser
      .value("-f,--format", "TEMPLATE", format,
             "Show only this, such as '{{.State.ExitCode}}' or '{{json .Config}}'")
      .value("--type", "container|image", type, "Look for these only")
      .positionals(names, 1)
      .example("berth inspect -f '{{.State.Status}}' web");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  if (!type.empty() && type != "container" && type != "image") {
    throw Error(Code::invalid_argument, "--type '{}': use container or image", printable(type));
  }

  std::vector<std::string> found;
  const int status = for_each_name(context, names, [&](const std::string& name) {
    found.push_back(describe(context, name, type));
    if (!format.empty()) print_line(fill_json_template(format, found.back()));
  });
  if (format.empty()) print_line(indent_json("[" + join(found, ",") + "]"));
  return status;
}

}  // namespace berth::cli::command

#include <algorithm>

#include "cli/command.hpp"
#include "cli/health.hpp"
#include "cli/listing.hpp"

namespace berth::cli::command {

int doctor(Context& context, const Arguments& arguments) {
  std::string format;
  std::vector<std::string> none;
  Parser parser(
      "berth doctor", "[OPTIONS]",
      "Checks what this machine offers and says what to install. Fails when something needed is missing.");
  parser
      .value("--format", "json|TEMPLATE", format,
             "An object a line, or a template such as '{{.Name}}: {{.Result}}'")
      .positionals(none, 0, 0)
      .example("berth doctor");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;

  const std::vector<HealthCheck> checks = check_health(context.paths());
  Listing listing;
  listing.fields = {{"Result", "RESULT"}, {"Name", "CHECK"}, {"Detail", "DETAIL"}};
  for (const HealthCheck& check : checks) {
    listing.rows.push_back({std::string(to_string(check.result)), check.name, check.detail});
  }
  print(render(listing, format));
  const bool missing = std::any_of(checks.begin(), checks.end(), [](const HealthCheck& check) {
    return check.result == HealthCheck::Result::missing;
  });
  return missing ? context.failure_status() : 0;
}

}  // namespace berth::cli::command

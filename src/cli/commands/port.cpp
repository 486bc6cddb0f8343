#include "base/text.hpp"
#include "cli/command.hpp"
#include "cli/ports.hpp"

namespace berth::cli::command {

int port(Context& context, const Arguments& arguments) {
  std::vector<std::string> words;
  Parser parser("berth port", "CONTAINER [GUEST_PORT[/udp]]", "Lists a running container's published ports.");
  parser.positionals(words, 1, 2).example("berth port web 80");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;

  const record::Pod pod = context.engine().get(words.front());
  std::string wanted = words.size() > 1 ? words[1] : std::string();
  if (!wanted.empty() && wanted.find('/') == std::string::npos) wanted += "/tcp";
  bool found = wanted.empty();
  if (engine::is_running(pod)) {
    for (const record::PortBinding& binding : pod.host.ports) {
      const std::string guest = fmt::format("{}/{}", binding.guest_port, to_string(binding.protocol));
      if (wanted.empty()) print_line(guest + " -> " + host_endpoint(binding));
      if (guest != wanted) continue;
      print_line(host_endpoint(binding));
      found = true;
    }
  }
  if (found) return 0;
  throw Error(Code::not_found, "no public port '{}' published for {}", printable(wanted),
              printable(words.front()));
}

}  // namespace berth::cli::command

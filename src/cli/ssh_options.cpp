#include "cli/ssh_options.hpp"

#include <filesystem>

#include "base/text.hpp"

namespace berth::cli {
namespace {

/// Keywords whose value is a command take the rest of the line as it is, but for tokens.
std::string double_percents(std::string_view text) {
  std::string doubled;
  for (const char c : text) {
    doubled += c;
    if (c == '%') doubled += c;
  }
  return doubled;
}

std::string proxy_command(const Context& context, const std::string& id) {
  std::string command;
  const std::string words[] = {std::filesystem::read_symlink("/proc/self/exe"),
                               "--root",
                               context.paths().data,
                               "--runtime",
                               context.paths().runtime,
                               "ssh-proxy",
                               id};
  for (const std::string& word : words) command += (command.empty() ? "" : " ") + quote_shell_word(word);
  return double_percents(command);
}

}  // namespace

std::string quote_ssh_value(std::string_view value) {
  for (const char c : value) {
    if (c == '"' || c == '\\' || static_cast<unsigned char>(c) < ' ')
      throw Error(Code::invalid_argument, "'{}' cannot stand in an SSH configuration", printable(value));
  }
  return '"' + double_percents(value) + '"';
}

std::string quote_shell_word(std::string_view word) {
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'')
      quoted += "'\\''";
    else
      quoted += c;
  }
  return quoted + "'";
}

SshOptions ssh_options(Context& context, const record::Pod& pod, const std::string& user) {
  const engine::Login login = context.engine().login(pod.id());
  return {
      {"HostName", "localhost"},
      {"HostKeyAlias", login.host_key_alias},
      {"User", quote_ssh_value(user.empty() ? login.user : user)},
      {"ProxyCommand", proxy_command(context, pod.id())},
      {"IdentityFile", quote_ssh_value(login.key.string())},
      {"IdentitiesOnly", "yes"},
      {"UserKnownHostsFile", quote_ssh_value(login.known_hosts.string())},
      {"GlobalKnownHostsFile", "/dev/null"},
      {"StrictHostKeyChecking", "yes"},
      {"UpdateHostKeys", "no"},
  };
}

}  // namespace berth::cli

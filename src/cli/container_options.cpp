#include "cli/container_options.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/io.hpp"
#include "base/text.hpp"
#include "cli/environment.hpp"
#include "cli/image_pull.hpp"
#include "cli/ports.hpp"
#include "hypervisor/hypervisor.hpp"

namespace berth::cli {
namespace {

std::vector<record::PortBinding> parse_ports(const std::vector<std::string>& texts) {
  std::vector<record::PortBinding> ports;
  for (const std::string& text : texts) {
    for (record::PortBinding& port : parse_publish(text)) {
      if (port.host_address.find(':') != std::string::npos) {
        throw Error(Code::unsupported, "-p '{}': ports can be published on IPv4 addresses only",
                    printable(text));
      }
      ports.push_back(std::move(port));
    }
  }
  return ports;
}

void require_one_of(std::string_view option, const std::string& value,
                    std::initializer_list<std::string_view> known) {
  for (const std::string_view word : known) {
    if (value == word) return;
  }
  throw Error(Code::invalid_argument, "{} '{}': use {}", option, printable(value), fmt::join(known, " or "));
}

/// The public keys in a file such as ~/.ssh/id_ed25519.pub or authorized_keys(5).
std::vector<std::string> read_ssh_keys(const std::string& path) {
  constexpr std::size_t kMost = 64u << 10;
  std::vector<std::string> keys;
  const std::string text = read_file(path, kMost);
  for (const std::string& line : split(text, '\n')) {
    const std::string_view key = trim(line);
    if (key.empty() || key.starts_with('#')) continue;
    if (!key.starts_with("ssh-") && !key.starts_with("ecdsa-") && !key.starts_with("sk-")) {
      throw Error(Code::invalid_argument, "--ssh-key {}: not a public key: give the .pub file",
                  printable(path));
    }
    keys.emplace_back(key);
  }
  if (keys.empty())
    throw Error(Code::invalid_argument, "--ssh-key {}: there is no key in it", printable(path));
  return keys;
}

/// It becomes a word of a line that blanks and '#' would break.
void require_word(std::string_view option, std::string_view word) {
  const bool fits = !word.empty() && word.size() <= 255 &&
                    std::none_of(word.begin(), word.end(),
                                 [](unsigned char c) { return c <= ' ' || c >= 0x7f || c == '#'; });
  if (!fits) throw Error(Code::invalid_argument, "{} '{}' is not a name", option, printable(word));
}

/// The file of --cidfile: taken before the container is made, removed unless its id was written.
class IdFile {
 public:
  explicit IdFile(const std::string& path) : path_(path) {
    if (path_.empty()) return;
    try {
      file_ = open_file(path_, O_WRONLY | O_CREAT | O_EXCL, 0644);
    } catch (const Error& error) {
      if (error.code() != Code::already_exists) throw;
      throw Error(Code::already_exists,
                  "the file {} exists: another container may use it; remove it or name another one", path_);
    }
  }
  IdFile(const IdFile&) = delete;
  IdFile& operator=(const IdFile&) = delete;
  ~IdFile() {
    if (file_) ::unlink(path_.c_str());
  }

  void write(std::string_view id) {
    if (!file_) return;
    write_all(file_.get(), id);
    file_.reset();
  }

 private:
  std::string path_;
  UniqueFd file_;
};

}  // namespace

void declare(ContainerOptions& options, Parser& parser) {
  parser.flag("-i,--interactive", options.interactive, "Connect standard input")
      .flag("-t,--tty", options.tty, "Give the container a terminal")
      .flag("--rm", options.auto_remove, "Remove the container when it has ended")
      .value("--name", "NAME", options.name, "Name of the container")
      .list("-e,--env", "K=V", options.variables,
            "Set an environment variable; K alone takes this one's value")
      .list("--env-file", "FILE", options.env_files, "Read environment variables from a file")
      .value("-w,--workdir", "DIR", options.working_directory, "Working directory in the container")
      .value("-u,--user", "USER[:GROUP]", options.user, "User and group, by name or number")
      .value("--entrypoint", "COMMAND", options.entrypoint, "Replace the image's entrypoint")
      .list("-p,--publish", "[[IP:]HOST:]GUEST[/udp]", options.publish,
            "Publish a port, or a range FIRST-LAST of them")
      .value("--cpus", "N", options.cpus, "Processors (default 1)")
      .value("-m,--memory", "SIZE", options.memory, "Memory of the container, such as 512m")
      .value("-h,--hostname", "NAME", options.hostname, "Host name in the container")
      .value("--network", "none|user", options.network, "Network (default user)")
      .list("--add-host", "NAME:ADDRESS", options.add_hosts,
            "Enter a host into /etc/hosts; 'host-gateway' is this host's address")
      .list("--dns", "ADDRESS", options.dns, "Name server instead of the network's")
      .list("--dns-search", "DOMAIN", options.dns_search, "Domain in which short names are looked up")
      .list("--dns-option", "OPTION", options.dns_options, "Option of the resolver, such as ndots:2")
      .flag("--read-only", options.read_only, "Make the root file system read-only")
      .flag("--init", options.init, "Run the command below an init that reaps and passes signals on")
      .value("--stop-signal", "SIGNAL", options.stop_signal, "Signal of 'berth stop'")
      .value("--restart", "no|on-failure[:N]|always|unless-stopped", options.restart,
             "When the container is started again after its end (default no)")
      .list("-l,--label", "K=V", options.labels, "Attach a label")
      .list("--ssh-key", "FILE", options.ssh_key_files, "Let the owner of this public key log in by SSH")
      .value("--accel", "auto|kvm|tcg", options.accelerator,
             "Hardware or software virtualization (also BERTH_ACCEL)")
      .value("--fork-limit", "N", options.fork_limit,
             "Let processes of the container ask for so many copies of it in all (default none)")
      .flag("--cold", options.cold, "Boot the machine, also where there is a template to start from")
      .value("--pull", "always|missing|never", options.pull, "When to pull the image (default missing)")
      .flag("-q,--quiet", options.quiet, "No progress while pulling")
      .value("--cidfile", "FILE", options.cidfile, "Write the container's id to a new file")
      .positionals(options.image_and_command, 1)
      .flags_end_at_positional();
  declare(options.mounts, parser);
  declare(options.confinement, parser);
}

std::map<std::string, std::string> parse_labels(const std::vector<std::string>& texts) {
  std::map<std::string, std::string> labels;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    const std::string key = text.substr(0, equals);
    if (key.empty()) throw Error(Code::invalid_argument, "--label '{}' has no key", printable(text));
    labels[key] = equals == std::string::npos ? std::string() : text.substr(equals + 1);
  }
  return labels;
}

std::pair<std::string, std::string> parse_add_host(std::string_view text) {
  const std::size_t end = text.find_first_of(":=");
  const std::string name(text.substr(0, end));
  std::string_view address = end == std::string_view::npos ? "" : text.substr(end + 1);
  if (address == "host-gateway") address = hypervisor::UserNetwork::gateway;
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  require_word("--add-host", name);
  try {
    return {name, config::IpAddress::parse(address).to_string()};
  } catch (const Error&) {
    throw Error(Code::invalid_argument, "--add-host '{}': use NAME:ADDRESS with a numeric address",
                printable(text));
  }
}

std::string choose_accelerator(const std::string& asked) {
  std::string accelerator = asked;
  if (accelerator.empty()) {
    const char* preset = std::getenv("BERTH_ACCEL");
    accelerator = preset != nullptr && *preset != '\0' ? preset : "auto";
  }
  if (accelerator == "auto" || accelerator == "kvm" || accelerator == "tcg") return accelerator;
  throw Error(Code::invalid_argument, "accelerator '{}': use auto, kvm or tcg", printable(accelerator));
}

double parse_cpus(std::string_view text) {
  double cpus = 0;
  const auto [stop, failure] = std::from_chars(text.data(), text.data() + text.size(), cpus);
  constexpr double kMost = 255;  // what a q35 machine takes
  if (failure != std::errc{} || stop != text.data() + text.size() || !(cpus > 0 && cpus <= kMost)) {
    throw Error(Code::invalid_argument, "--cpus '{}' must be a number above 0, at most {}", printable(text),
                kMost);
  }
  return cpus;
}

engine::RestartPolicy parse_restart(std::string_view text) {
  constexpr std::int64_t kMostRetries = 1'000'000'000;
  const std::size_t colon = text.find(':');
  engine::RestartPolicy policy;
  policy.name = text.substr(0, colon);
  if (colon == std::string_view::npos) return policy;
  if (policy.name != "on-failure") {
    throw Error(Code::invalid_argument, "--restart '{}': only on-failure has a number", printable(text));
  }
  policy.retries = parse_integer(text.substr(colon + 1), 0, kMostRetries, "--restart on-failure:N:");
  return policy;
}

namespace {

void parse_names(const ContainerOptions& options, engine::CreateOptions& result) {
  for (const std::string& text : options.add_hosts) {
    const auto [name, address] = parse_add_host(text);
    std::string& addresses = result.extra_hosts[name];
    addresses += (addresses.empty() ? "" : " ") + address;
  }
  result.dns = options.dns;
  for (const std::string& domain : options.dns_search) {
    require_word("--dns-search", domain);
    // Docker's way to say that there is none.
    if (domain != ".") result.dns_search.push_back(domain);
  }
  for (const std::string& option : options.dns_options) require_word("--dns-option", option);
  result.dns_options = options.dns_options;
}

}  // namespace

engine::CreateOptions parse(const ContainerOptions& options) {
  engine::CreateOptions result;
  result.image = options.image_and_command.front();
  result.command.assign(options.image_and_command.begin() + 1, options.image_and_command.end());
  result.name = options.name;
  if (options.entrypoint) {
    result.entrypoint.emplace();
    if (!options.entrypoint->empty()) result.entrypoint->push_back(*options.entrypoint);
  }
  result.environment = collect_environment(options.env_files, options.variables);
  result.working_directory = options.working_directory;
  result.user = options.user;
  result.hostname = options.hostname;
  result.stop_signal = options.stop_signal;
  result.restart = parse_restart(options.restart.empty() ? "no" : options.restart);
  result.ports = parse_ports(options.publish);
  if (!options.cpus.empty()) result.cpus = parse_cpus(options.cpus);
  if (!options.memory.empty()) result.memory_bytes = parse_size(options.memory, "--memory");
  parse(options.confinement, result);
  result.network = options.network;
  parse_names(options, result);
  result.accelerator = choose_accelerator(options.accelerator);
  result.cold = options.cold;
  constexpr std::int64_t kMostForks = 1000;
  if (!options.fork_limit.empty())
    result.fork_limit = parse_integer(options.fork_limit, 0, kMostForks, "--fork-limit");
  require_one_of("--pull", options.pull, {"always", "missing", "never"});
  result.open_stdin = options.interactive;
  result.tty = options.tty;
  result.auto_remove = options.auto_remove;
  result.read_only = options.read_only;
  result.init = options.init;
  parse(options.mounts, result);
  result.labels = parse_labels(options.labels);
  for (const std::string& path : options.ssh_key_files) {
    for (std::string& key : read_ssh_keys(path)) result.ssh_keys.push_back(std::move(key));
  }
  return result;
}

record::Pod create_container(Context& context, const ContainerOptions& options, bool to_run) {
  engine::CreateOptions request = parse(options);
  request.remove_unless_started = to_run;
  engine::check_options(request);
  context.engine().explain_accelerator = !options.accelerator.empty();
  IdFile id_file(options.cidfile);
  request.image = ensure_image(context.engine().images(), request.image, options.pull, options.quiet);
  record::Pod pod = context.engine().create(request);
  id_file.write(pod.id());
  return pod;
}

}  // namespace berth::cli

#include "launcher/folder_server.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "image/user_namespace.hpp"

namespace berth::launcher {
namespace {

using Deadline = std::chrono::steady_clock::time_point;

constexpr std::chrono::seconds kStartLimit{30};
constexpr int kListener = 3;
constexpr std::size_t kReportLimit = 16u << 10;

/// virtiofsd takes one connection from a listening socket. It is made here, so that nobody else's can be the
/// one.
std::pair<UniqueFd, UniqueFd> make_connection(const std::filesystem::path& runtime) {
  constexpr const char* kName = "folder.sock";
  const UniqueFd folder = open_file(runtime, O_PATH | O_DIRECTORY);
  // The folder's own path may be longer than an address can be.
  const std::string path = fmt::format("/proc/self/fd/{}/{}", folder.get(), kName);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const auto* plain = reinterpret_cast<const sockaddr*>(&address);
  const std::string what = fmt::format("{}/{}", runtime.string(), kName);
  UniqueFd listener(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  UniqueFd machine(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  ::unlinkat(folder.get(), kName, 0);
  check(::bind(listener.get(), plain, sizeof address), "bind " + what);
  check(::listen(listener.get(), 1), "listen on " + what);
  check(::connect(machine.get(), plain, sizeof address), "connect to " + what);
  check(::unlinkat(folder.get(), kName, 0), "remove " + what);
  return {std::move(listener), std::move(machine)};
}

/// What the helper writes next; empty at the end.
std::string read_report(int fd, Deadline deadline) {
  pollfd wanted{fd, POLLIN, 0};
  while (true) {
    const int ready = ::poll(&wanted, 1, static_cast<int>(left_until(deadline).count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) throw Error(Code::timeout, "its file server did not start in time");
    std::string bytes(kReportLimit, '\0');
    const ssize_t n = ::read(fd, bytes.data(), bytes.size());
    bytes.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return bytes;
  }
}

/// A code's name, a newline and a message; nothing when virtiofsd has been started.
void raise_report(const std::string& report) {
  if (report.empty()) return;
  const std::size_t newline = report.find('\n');
  if (newline == std::string::npos) throw Error(Code::internal, "its file server did not start");
  throw Error(code_from_string(report.substr(0, newline)), "{}", trim(report.substr(newline + 1)));
}

}  // namespace

std::vector<std::string> file_server_arguments(int listener, const std::string& folder) {
  return {fmt::format("--fd={}", listener), "-f", "-o", "source=" + folder, "-o", "sandbox=namespace",
          // What has changed on the host is seen at once: nothing is believed beyond the request that asked.
          // The guest still keeps the pages of open files, without which no file could be mapped shared.
          "-o", "cache=auto,timeout=0,no_readdirplus", "-o", "xattr", "-o", "announce_submounts",
          // Devices that a guest has made would be anybody's on the host.
          "-o", "modcaps=-mknod", "-o", "log_level=err"};
}

FolderServer start_folder_server(const std::filesystem::path& helper, const std::filesystem::path& runtime,
                                 const FolderService& service) {
  const Deadline deadline = std::chrono::steady_clock::now() + kStartLimit;
  auto [listener, machine] = make_connection(runtime);
  auto [go_read, go_write] = make_pipe();
  auto [report_read, report_write] = make_pipe();
  auto [error_read, error_write] = make_pipe();
  ProcessSpec spec;
  spec.program = helper;
  spec.arguments = {kFolderCommand, service.program.string(), service.source,
                    service.kind == SourceKind::file ? "file" : "folder", service.read_only ? "ro" : "rw"};
  spec.environment = {{"LANG=C"}};
  spec.directory = "/";
  spec.standard_input = go_read.get();
  spec.standard_output = report_write.get();
  spec.standard_error = error_write.get();
  spec.descriptors = {{listener.get(), kListener}};
  spec.new_session = true;
  spec.parent_death_signal = SIGKILL;
  spec.no_new_privileges = true;
  Process process = Process::spawn(spec);
  for (UniqueFd* theirs : {&listener, &go_read, &report_write, &error_write}) theirs->reset();

  std::string report;
  if (::geteuid() != 0) {
    report = read_report(report_read.get(), deadline);
    if (report == "R") {
      image::map_user_namespace(process.pid(), left_until(deadline));
      write_all(go_write.get(), "G");
      report.clear();
    }
  }
  while (true) {
    const std::string more = read_report(report_read.get(), deadline);
    if (more.empty()) break;
    report += more;
  }
  raise_report(report);
  return {std::move(process), std::move(machine), std::move(error_read)};
}

}  // namespace berth::launcher

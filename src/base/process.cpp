#include "base/process.hpp"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/signals.hpp"
#include "base/text.hpp"

namespace berth {
namespace {

using Deadline = std::chrono::steady_clock::time_point;

constexpr std::size_t kCaptureLimit = 64u << 20;

int milliseconds_until(Deadline deadline) {
  return static_cast<int>(std::min<long long>(left_until(deadline).count(), 1 << 30));
}

ExitStatus status_from(const siginfo_t& info) {
  ExitStatus status;
  if (info.si_code == CLD_EXITED) {
    status.code = info.si_status;
  } else {
    status.signal = info.si_status;
    status.core_dumped = info.si_code == CLD_DUMPED;
  }
  return status;
}

/// Everything the child needs, made before the fork: the child may only make system calls.
struct ChildPlan {
  const ProcessSpec& spec;
  std::vector<char*> arguments;
  std::vector<char*> environment;
  std::vector<int> sources;  // one per target, standard descriptors first
  std::vector<int> targets;
  int report = -1;  // a socket for Report
};

/// What a child says before it is the program; nothing when there is nothing to say.
struct Report {
  int error_number = 0;  ///< of a failed step, or 0
  bool in_filter = false;
};

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

int set_ambient_capabilities(const std::vector<int>& capabilities) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  for (const int capability : capabilities) {
    data[capability / 32].permitted |= 1u << (capability % 32);
    data[capability / 32].effective |= 1u << (capability % 32);
    data[capability / 32].inheritable |= 1u << (capability % 32);
  }
  if (::syscall(SYS_capset, &header, data) != 0) return -1;
  for (const int capability : capabilities) {
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0) return -1;
  }
  return 0;
}

int change_user(const Credentials& user) {
  if (::prctl(PR_SET_KEEPCAPS, 1) != 0) return -1;
  if (::setgroups(user.groups.size(), user.groups.data()) != 0) return -1;
  if (::setresgid(user.gid, user.gid, user.gid) != 0) return -1;
  if (::setresuid(user.uid, user.uid, user.uid) != 0) return -1;
  return set_ambient_capabilities(user.ambient_capabilities);
}

/// Moves every source out of the way of the targets, then puts each in its place.
int place_descriptors(ChildPlan& plan) {
  const int above = *std::max_element(plan.targets.begin(), plan.targets.end()) + 1;
  plan.report = ::fcntl(plan.report, F_DUPFD_CLOEXEC, above);
  if (plan.report < 0) return -1;
  for (int& source : plan.sources) {
    source = source < 0 ? ::open("/dev/null", O_RDWR | O_CLOEXEC) : source;
    source = ::fcntl(source, F_DUPFD_CLOEXEC, above);
    if (source < 0) return -1;
  }
  for (std::size_t i = 0; i < plan.sources.size(); ++i) {
    if (::dup2(plan.sources[i], plan.targets[i]) < 0) return -1;
  }
  unsigned next = 0;
  for (const int target : plan.targets) {  // ascending
    if (static_cast<unsigned>(target) > next)
      ::close_range(next, static_cast<unsigned>(target) - 1, CLOSE_RANGE_CLOEXEC);
    next = static_cast<unsigned>(target) + 1;
  }
  return ::close_range(next, ~0u, CLOSE_RANGE_CLOEXEC);
}

/// Room for one descriptor beside a Report.
union DescriptorMessage {
  cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

/// With a descriptor, unless that is -1.
int send_report(int socket, Report report, int descriptor) {
  iovec part{&report, sizeof report};
  DescriptorMessage control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (descriptor >= 0) {
    control.header = {CMSG_LEN(sizeof descriptor), SOL_SOCKET, SCM_RIGHTS};
    ::memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/// Nothing when the child is the program, or has ended.
std::optional<Report> receive_report(int socket, UniqueFd& descriptor) {
  Report report;
  iovec part{&report, sizeof report};
  DescriptorMessage control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  ssize_t size = -1;
  do {
    size = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size != sizeof report) return std::nullopt;
  if (const cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    int number = -1;
    ::memcpy(&number, CMSG_DATA(header), sizeof number);
    descriptor.reset(number);
  }
  return report;
}

int prepare_child(ChildPlan& plan, pid_t parent) {
  const ProcessSpec& spec = plan.spec;
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (place_descriptors(plan) != 0) return -1;
  if (spec.new_session && ::setsid() < 0) return -1;
  if (!spec.directory.empty() && ::chdir(spec.directory.c_str()) != 0) return -1;
  if (spec.credentials && change_user(*spec.credentials) != 0) return -1;
  if (spec.no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  if (spec.parent_death_signal != 0) {
    // A change of user clears it, so this comes after.
    if (::prctl(PR_SET_PDEATHSIG, spec.parent_death_signal) != 0) return -1;
    if (::getppid() != parent) ::_exit(1);
  }
  return 0;
}

[[noreturn]] void fail_child(const ChildPlan& plan, bool in_filter) {
  send_report(plan.report, {errno, in_filter}, -1);
  ::_exit(127);
}

[[noreturn]] void run_child(ChildPlan& plan, pid_t parent) {
  if (prepare_child(plan, parent) != 0) fail_child(plan, false);
  if (!plan.spec.opened_read_only.empty()) {
    const int notifications = install_open_filter(plan.spec.opened_read_only);
    if (notifications < 0) fail_child(plan, true);
    if (send_report(plan.report, {}, notifications) != 0) fail_child(plan, false);
  }
  ::execve(plan.arguments[0], plan.arguments.data(),
           plan.spec.environment ? plan.environment.data() : environ);
  fail_child(plan, false);
}

void plan_descriptors(const ProcessSpec& spec, ChildPlan& plan) {
  std::vector<std::pair<int, int>> places{
      {spec.standard_input, 0}, {spec.standard_output, 1}, {spec.standard_error, 2}};
  places.insert(places.end(), spec.descriptors.begin(), spec.descriptors.end());
  std::sort(places.begin(), places.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  for (const auto& [source, target] : places) {
    plan.sources.push_back(source);
    plan.targets.push_back(target);
  }
}

std::optional<ReadOnlyOpens> plan_read_only_opens(const ProcessSpec& spec) {
  if (spec.opened_read_only.empty()) return std::nullopt;
  if (!spec.no_new_privileges) {
    throw Error(Code::invalid_argument, "{} has read-only opens and may gain privileges",
                spec.program.string());
  }
  return ReadOnlyOpens(spec.opened_read_only, spec.descriptors);
}

Error start_error(const std::string& program, const Report& report) {
  Error error = errno_error("run " + program, report.error_number);
  if (!report.in_filter) return error;
  return Error(Code::unsupported, "{}: this host cannot stop the opens of a process", error.message());
}

}  // namespace

std::string ExitStatus::describe() const {
  if (signal != 0) return "was ended by " + signal_name(signal) + (core_dumped ? " (core dumped)" : "");
  return fmt::format("exited with {}", code);
}

Process Process::spawn(const ProcessSpec& spec) {
  const auto program = find_program(spec.program.string());
  if (!program) {
    throw Error(Code::not_found, "cannot run {}: no such program is installed", spec.program.string());
  }
  std::vector<std::string> arguments{program->string()};
  arguments.insert(arguments.end(), spec.arguments.begin(), spec.arguments.end());
  std::vector<std::string> environment = spec.environment.value_or(std::vector<std::string>{});
  auto opens = plan_read_only_opens(spec);
  auto [report_read, report_write] = make_socket_pair(SOCK_SEQPACKET);

  ChildPlan plan{spec, pointers(arguments), pointers(environment), {}, {}, report_write.get()};
  plan_descriptors(spec, plan);
  const pid_t parent = ::getpid();
  const pid_t pid = check(::fork(), "fork");
  if (pid == 0) run_child(plan, parent);

  report_write.reset();
  Process process(pid, UniqueFd());
  process.pidfd_ = process.open_pidfd();
  UniqueFd notifications;
  while (const auto report = receive_report(report_read.get(), notifications)) {
    if (report->error_number == 0) continue;
    process.wait();
    throw start_error(program->string(), *report);
  }
  if (opens) {
    if (!notifications) throw Error(Code::internal, "{} ended before it began", program->string());
    opens->listen(std::move(notifications), pid);
    process.read_only_opens_ = std::move(opens);
  }
  return process;
}

std::uint64_t process_start_ticks(pid_t pid) {
  constexpr std::size_t kStartTimeAfterName = 19;  // field 22, counted from the one behind the name
  const auto stat = find_file("/proc/" + std::to_string(pid) + "/stat");
  if (!stat) return 0;
  const std::size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos || name_end + 2 > stat->size()) return 0;
  const std::vector<std::string> fields = split(std::string_view(*stat).substr(name_end + 2), ' ');
  return fields.size() > kStartTimeAfterName ? std::strtoull(fields[kStartTimeAfterName].c_str(), nullptr, 10)
                                             : 0;
}

UniqueFd Process::open_pidfd() const {
  return UniqueFd(check(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)), "pidfd_open"));
}

Process& Process::operator=(Process&& other) noexcept {
  if (this != &other) {
    Process old(std::move(*this));
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
    status_ = other.status_;
    read_only_opens_ = std::move(other.read_only_opens_);
  }
  return *this;
}

Process::~Process() {
  if (!pidfd_ || status_) return;
  signal(SIGKILL);
  siginfo_t info{};
  ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED);
}

void Process::signal(int number) {
  if (status_ || ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0) == 0 || errno == ESRCH)
    return;
  throw errno_error(fmt::format("send {} to process {}", signal_name(number), pid_));
}

std::optional<ExitStatus> Process::try_wait() {
  if (status_) return status_;
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG) != 0) {
    throw errno_error(fmt::format("wait for process {}", pid_));
  }
  if (info.si_pid != 0) status_ = status_from(info);
  return status_;
}

ExitStatus Process::wait() {
  while (!status_) {
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) == 0) {
      status_ = status_from(info);
    } else if (errno != EINTR) {
      throw errno_error(fmt::format("wait for process {}", pid_));
    }
  }
  return *status_;
}

std::optional<ExitStatus> Process::wait_for(std::chrono::milliseconds limit) {
  const Deadline deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    if (auto status = try_wait()) return status;
    const int left = milliseconds_until(deadline);
    if (left == 0) return std::nullopt;
    pollfd ready{pidfd_.get(), POLLIN, 0};
    ::poll(&ready, 1, left);
  }
}

ReadOnlyOpens Process::take_read_only_opens() {
  if (!read_only_opens_) throw Error(Code::wrong_state, "process {} has no read-only opens to take", pid_);
  ReadOnlyOpens taken = std::move(*read_only_opens_);
  read_only_opens_.reset();
  return taken;
}

void Process::release() {
  pidfd_.reset();
}

namespace {

/// One end of a child's standard stream that `run` pumps.
struct Capture {
  UniqueFd fd;
  std::string* into;
};

void drain(Capture& capture) {
  char buffer[65536];
  const ssize_t n = ::read(capture.fd.get(), buffer, sizeof buffer);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    capture.fd.reset();
    return;
  }
  if (capture.into->size() + static_cast<std::size_t>(n) > kCaptureLimit) {
    throw Error(Code::capacity, "the program printed more than {} bytes", kCaptureLimit);
  }
  capture.into->append(buffer, static_cast<std::size_t>(n));
}

void feed(UniqueFd& fd, std::string_view& input) {
  const ssize_t n = ::write(fd.get(), input.data(), input.size());
  if (n > 0) input.remove_prefix(static_cast<std::size_t>(n));
  const bool failed = n < 0 && errno != EAGAIN && errno != EINTR;
  if (input.empty() || failed) fd.reset();  // a child that does not read its input is its own business
}

/// Ignores SIGPIPE in this thread while a child may close its input early.
class IgnorePipeSignal {
 public:
  IgnorePipeSignal() { previous_ = ::signal(SIGPIPE, SIG_IGN); }
  ~IgnorePipeSignal() { ::signal(SIGPIPE, previous_); }

 private:
  sighandler_t previous_;
};

void pump(Process& process, UniqueFd input_fd, std::string_view input, Capture (&captures)[2],
          Deadline deadline, const std::string& program) {
  IgnorePipeSignal ignore;
  if (input.empty()) input_fd.reset();
  while (input_fd || captures[0].fd || captures[1].fd) {
    pollfd ready[4] = {{input_fd.get(), POLLOUT, 0},
                       {captures[0].fd.get(), POLLIN, 0},
                       {captures[1].fd.get(), POLLIN, 0},
                       {process.pidfd(), POLLIN, 0}};
    const int count = ::poll(ready, 4, milliseconds_until(deadline));
    if (count == 0) throw Error(Code::timeout, "{} did not end in time and was stopped", program);
    if (ready[0].revents != 0) feed(input_fd, input);
    bool drained = false;
    for (int i = 0; i < 2; ++i) {
      if (ready[i + 1].revents == 0) continue;
      drain(captures[i]);
      drained = true;
    }
    // A grandchild may hold the pipes open for ever: what the child itself wrote is in by now.
    if (!drained && ready[3].revents != 0) return;
  }
}

}  // namespace

RunResult run(const ProcessSpec& spec, std::chrono::milliseconds limit, std::string_view input) {
  if (!spec.opened_read_only.empty()) {
    throw Error(Code::invalid_argument, "nobody answers the opens of {}", spec.program.string());
  }
  const Deadline deadline = std::chrono::steady_clock::now() + limit;
  auto [input_read, input_write] = make_pipe();
  auto [output_read, output_write] = make_pipe();
  auto [error_read, error_write] = make_pipe();
  ProcessSpec piped = spec;
  piped.standard_input = input_read.get();
  piped.standard_output = output_write.get();
  piped.standard_error = error_write.get();
  Process process = Process::spawn(piped);
  input_read.reset();
  output_write.reset();
  error_write.reset();
  set_nonblocking(input_write.get());

  RunResult result;
  Capture captures[2] = {{std::move(output_read), &result.output},
                         {std::move(error_read), &result.error_output}};
  const std::string program = spec.program.filename().string();
  pump(process, std::move(input_write), input, captures, deadline, program);
  const auto status = process.wait_for(left_until(deadline));
  if (!status) throw Error(Code::timeout, "{} did not end in time and was stopped", program);
  result.status = *status;
  return result;
}

RunResult run_checked(const ProcessSpec& spec, std::chrono::milliseconds limit, std::string_view input) {
  constexpr std::size_t kQuoted = 400;
  RunResult result = run(spec, limit, input);
  if (!result.status.success()) {
    std::string_view said = trim(result.error_output);
    if (said.size() > kQuoted) said.remove_prefix(said.size() - kQuoted);
    throw Error(Code::internal, "{} {}: {}", spec.program.filename().string(), result.status.describe(),
                printable(said));
  }
  return result;
}

}  // namespace berth

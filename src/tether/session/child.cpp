#include "tether/session/child.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <span>
#include <vector>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "tether/session/container_mounts.hpp"
#include "tether/session/environment.hpp"
#include "tether/session/init_process.hpp"
#include "tether/session/launch_failure.hpp"
#include "tether/session/process_state.hpp"
#include "tether/session/program_lookup.hpp"
#include "tether/session/seccomp.hpp"
#include "tether/session/terminal.hpp"
#include "tether/session/user_database.hpp"
#include "tether/sftp/protocol.hpp"

namespace berth::tether {
namespace {

constexpr std::size_t kMostDescriptors = 3;

void send_message(int channel, std::string_view packet, std::span<const int> attached = {}) {
  iovec part{const_cast<char*>(packet.data()), packet.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kMostDescriptors * sizeof(int))] = {};
  if (!attached.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(attached.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(attached.size_bytes());
    std::memcpy(CMSG_DATA(header), attached.data(), attached.size_bytes());
  }
  check(::sendmsg(channel, &message, MSG_NOSIGNAL), "answer the tether");
}

void open_standard_streams(const ProcessPlan& plan, const ChildDescriptors& descriptors, bool console) {
  if (plan.terminal) {
    const Terminal terminal = open_terminal(plan.window);
    const int master = terminal.master.get();
    send_message(descriptors.channel, {&child_message::terminal, 1}, {&master, 1});
    take_controlling_terminal(terminal.slave.get());
    if (console) mount_console(terminal.slave_path);
    for (const int number : {0, 1, 2}) check(::dup2(terminal.slave.get(), number), "dup2");
    return;
  }
  const UniqueFd null = open_file("/dev/null", O_RDWR);
  const int wanted[] = {descriptors.standard_input, descriptors.standard_output, descriptors.standard_error};
  for (const int number : {0, 1, 2}) {
    check(::dup2(wanted[number] >= 0 ? wanted[number] : null.get(), number), "dup2");
  }
}

/// So that the user may open its own streams again by /dev/stdout; a pipe belongs to who made it.
void give_streams_to(uid_t user) {
  for (const int number : {0, 1, 2}) {
    struct stat status {};
    check(::fstat(number, &status), "fstat");
    const bool own = S_ISFIFO(status.st_mode) || ::isatty(number) == 1;
    if (own && status.st_uid != user)
      check(::fchown(number, user, static_cast<gid_t>(-1)), "give a stream to the user");
  }
}

void enter_working_directory(const ProcessPlan& plan, bool make_missing) {
  const std::string directory = plan.directory.starts_with('/') ? plan.directory : "/" + plan.directory;
  if (make_missing) {
    try {
      make_directories(directory, 0755);
    } catch (const Error&) {
      // What is wrong with it is said by the change to it.
    }
  }
  if (::chdir(directory.c_str()) == 0) return;
  const auto kind =
      errno == ENOENT || errno == ENOTDIR ? launch_failure::not_found : launch_failure::not_executable;
  throw LaunchError(kind, fmt::format("chdir to cwd (\"{}\"): {}", directory, std::strerror(errno)));
}

void set_resource_limits(const std::vector<ResourceLimit>& limits) {
  for (const ResourceLimit& limit : limits) {
    const rlimit values{limit.soft, limit.hard};
    check(::setrlimit(static_cast<__rlimit_resource>(limit.resource), &values),
          fmt::format("set the limit {}", limit.name));
  }
}

void drop_privileges(const ProcessPlan& plan, const User& user) {
  if (plan.no_new_privileges) check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "set no_new_privs");
  // Without no_new_privs this needs CAP_SYS_ADMIN, so it comes before the capabilities go.
  if (plan.seccomp) install_default_seccomp_filter(plan.capabilities);
  limit_bounding_set(plan.capabilities);
  check(::setgroups(user.groups.size(), user.groups.data()), "set the supplementary groups");
  check(::setresgid(user.gid, user.gid, user.gid), "set the group");
  check(::setresuid(user.uid, user.uid, user.uid), "set the user");
  if (user.uid == 0) set_capabilities(plan.capabilities);
}

void wait_for_go(int channel) {
  send_message(channel, {&child_message::ready, 1});
  char packet;
  ssize_t n = 0;
  do {
    n = ::recv(channel, &packet, 1, 0);
  } while (n < 0 && errno == EINTR);
  // The tether gave the session up.
  if (n <= 0) ::_exit(1);
}

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

/// The file that the tether runs, by a descriptor as containers do not have it.
[[noreturn]] void execute_own_program(int program, std::string_view name,
                                      const std::vector<std::string>& environment) {
  const std::vector<std::string> words{std::string(name)};
  const std::vector<char*> arguments = pointers_to(words);
  const std::vector<char*> variables = pointers_to(environment);
  ::syscall(SYS_execveat, program, "", arguments.data(), variables.data(), AT_EMPTY_PATH);
  throw errno_error(fmt::format("run {}", name));
}

[[noreturn]] void execute(const ProcessPlan& plan, const std::string& file,
                          const std::vector<std::string>& environment) {
  const std::vector<char*> arguments = pointers_to(plan.arguments);
  const std::vector<char*> variables = pointers_to(environment);
  ::execve(file.c_str(), arguments.data(), variables.data());
  const int failure = errno;
  const bool missing =
      failure == ENOENT || failure == ENOTDIR;  // an interpreter, as the file itself was there
  throw LaunchError(missing ? launch_failure::not_found : launch_failure::not_executable,
                    fmt::format("exec {}: {}", file, std::strerror(failure)));
}

ProcessPlan through_shell(ProcessPlan plan, const User& user) {
  const std::string name = user.shell.substr(user.shell.rfind('/') + 1);
  plan.program = user.shell;
  plan.environment.push_back("SHELL=" + user.shell);
  if (plan.directory.empty() && ::access(user.home.c_str(), X_OK) == 0) plan.directory = user.home;
  plan.arguments = {"-" + name};
  if (!plan.shell_command->empty()) plan.arguments = {name, "-c", *plan.shell_command};
  return plan;
}

/// From inside the container's root to the program.
[[noreturn]] void become_program(ProcessPlan plan, const ChildDescriptors& descriptors, int own_program,
                                 bool first) {
  open_standard_streams(plan, descriptors, first);
  check(::close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC), "close_range");
  User user = resolve_user(plan.user, plan.group);
  add_groups(user, plan.further_groups);
  if (plan.shell_command) plan = through_shell(std::move(plan), user);
  give_streams_to(user.uid);
  const auto environment = make_environment(plan.environment, {plan.hostname, user.home, plan.terminal});
  enter_working_directory(plan, first);
  if (first && plan.read_only_root) make_root_read_only();
  set_resource_limits(plan.limits);
  drop_privileges(plan, user);
  const std::string file =
      plan.sftp_server ? "" : find_program_file(plan.program, find_variable(environment, "PATH"));
  if (plan.wait_for_go) wait_for_go(descriptors.channel);
  if (first && plan.init) fork_below_init(plan.terminal);
  if (plan.sftp_server) execute_own_program(own_program, sftp::kServerName, environment);
  execute(plan, file, environment);
}

/// The tether hears of what `body` throws.
template <typename Body>
[[noreturn]] void run_child(int channel, Body body) {
  try {
    body();
  } catch (const std::exception& failure) {
    std::string packet = child_message::failed + describe_launch_failure(failure);
    packet.resize(std::min(packet.size(), kChildMessageLimit));
    try {
      send_message(channel, packet);
    } catch (const Error&) {
      // Nobody is left to be told.
    }
  }
  ::_exit(127);
}

/// As the leader of a session. The file of this program, which is out of reach later.
UniqueFd begin_session(int oom_score_adj) {
  reset_process_state(oom_score_adj);
  ::umask(0022);
  check(::setsid(), "make a session");
  return open_file("/proc/self/exe", O_PATH);
}

void enter_cgroup_namespace() {
  // clone3 would root it at the tether's cgroup: the namespace is copied before the child is moved.
  check(::unshare(CLONE_NEWCGROUP), "make a cgroup namespace");
}

void set_hostname(const std::string& name) {
  check(::sethostname(name.data(), name.size()), "set the container's host name");
}

constexpr int kChannel = 3;
constexpr int kOwnProgram = 4;

/// What else the tether has open is its own. They are kChannel and kOwnProgram afterwards.
void keep_only(int channel, int own_program) {
  constexpr int kOthers = kOwnProgram + 1;
  const int answers = check(::fcntl(channel, F_DUPFD_CLOEXEC, kOthers), "duplicate a descriptor");
  const int program = check(::fcntl(own_program, F_DUPFD_CLOEXEC, kOthers), "duplicate a descriptor");
  check(::dup3(answers, kChannel, O_CLOEXEC), "dup3");
  check(::dup3(program, kOwnProgram, O_CLOEXEC), "dup3");
  check(::close_range(kOthers, UINT_MAX, 0), "close_range");
}

/// Ends this process when nobody is left who could send one.
ProcessPlan receive_plan(int channel, ChildDescriptors& descriptors) {
  std::string packet(kPlanLimit + 1, '\0');
  iovec part{packet.data(), packet.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMostDescriptors * sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t size = 0;
  do {
    size = ::recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size <= 0) ::_exit(1);
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    int received[kMostDescriptors];
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::memcpy(received, CMSG_DATA(header), std::min(count, kMostDescriptors) * sizeof(int));
    std::size_t next = 0;
    int bit = 1;
    for (int* end :
         {&descriptors.standard_input, &descriptors.standard_output, &descriptors.standard_error}) {
      if ((packet[0] & bit) != 0 && next < count) *end = received[next++];
      bit <<= 1;
    }
  }
  return decode_plan({packet.data() + 1, static_cast<std::size_t>(size - 1)});
}

}  // namespace

void send_plan(int channel, const ProcessPlan& plan, const ChildDescriptors& descriptors) {
  std::string packet(1, '\0');
  std::array<int, kMostDescriptors> sent{};
  std::size_t count = 0;
  int bit = 1;
  for (const int end :
       {descriptors.standard_input, descriptors.standard_output, descriptors.standard_error}) {
    if (end >= 0) {
      packet[0] = static_cast<char>(packet[0] | bit);
      sent[count++] = end;
    }
    bit <<= 1;
  }
  packet += encode_plan(plan);
  if (packet.size() > kPlanLimit + 1) throw Error(Code::capacity, "the plan of a process is too long");
  send_message(channel, packet, {sent.data(), count});
}

void run_container_child(const ProcessPlan& plan, const std::string& root,
                         const ChildDescriptors& descriptors) {
  run_child(descriptors.channel, [&] {
    const UniqueFd own_program = begin_session(plan.oom_score_adj);
    enter_cgroup_namespace();
    set_hostname(plan.hostname);
    enter_container_root(root, plan.container);
    mount_cgroups();
    become_program(plan, descriptors, own_program.get(), true);
  });
}

void run_waiting_child(const std::string& root, int channel) {
  run_child(channel, [&] {
    keep_only(channel, begin_session(0).release());
    run_child(kChannel, [&] {
      enter_cgroup_namespace();
      enter_container_root(root, ContainerSettings());
      mount_cgroups();
      ChildDescriptors descriptors;
      descriptors.channel = kChannel;
      send_message(kChannel, {&child_message::ready, 1});
      const ProcessPlan plan = receive_plan(kChannel, descriptors);
      reset_process_state(plan.oom_score_adj);
      set_hostname(plan.hostname);
      become_program(plan, descriptors, kOwnProgram, true);
    });
  });
}

void run_exec_child(const ProcessPlan& plan, int container, const ChildDescriptors& descriptors) {
  run_child(descriptors.channel, [&] {
    const UniqueFd own_program = begin_session(plan.oom_score_adj);
    check(::setns(container, CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP),
          "enter the container's namespaces");
    become_program(plan, descriptors, own_program.get(), false);
  });
}

}  // namespace berth::tether

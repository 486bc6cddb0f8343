#include "tether/extensions/logins.hpp"

#include <signal.h>

#include "base/counted.hpp"
#include "base/error.hpp"
#include "base/ids.hpp"

namespace berth::tether {
namespace {

constexpr std::size_t kLoginsAtOnce = 64;
/// As OpenSSH calls it (sftp(1), -s).
constexpr std::string_view kSftpSubsystem = "sftp";

/// What a client may set, as Debian's sshd_config has it (AcceptEnv).
bool may_be_set(std::string_view variable) {
  return variable == "LANG" || variable.starts_with("LC_");
}

}  // namespace

config::SessionConfig login_session(const config::SessionConfig& container,
                                    const link::ssh::Request& request) {
  config::SessionConfig session = config::exec_in(container);
  session.user = request.user;
  session.group.clear();
  session.cmd.dir.clear();
  session.open_stdin = true;
  session.attach = true;
  session.run_block = true;
  session.cmd.env.push_back("USER=" + request.user);
  session.cmd.env.push_back("LOGNAME=" + request.user);
  for (const auto& [name, value] : request.environment) {
    if (may_be_set(name)) session.cmd.env.push_back(name + "=" + value);
  }
  if (request.terminal) {
    session.tty = true;
    session.window_columns = request.terminal->columns;
    session.window_rows = request.terminal->rows;
    session.cmd.env.push_back("TERM=" + request.terminal->name);
  }
  return session;
}

Task<> Logins::serve(std::shared_ptr<link::ssh::Channel> channel, link::ssh::Request request) {
  const bool is_sftp = request.subsystem == kSftpSubsystem;
  if (!request.subsystem.empty() && !is_sftp)
    throw Error(Code::unsupported, "a login has no subsystem \"{}\"", request.subsystem);
  if (count_ >= kLoginsAtOnce) throw Error(Code::capacity, "{} logins are there already", kLoginsAtOnce);
  SessionSpec spec = pod_.make_session_spec(new_id(), login_session(pod_.running_container(), request));
  spec.plan.sftp_server = is_sftp;
  spec.plan.shell_command = request.command;
  const auto session = pod_.make_session(std::move(spec));
  const Counted login(count_);
  std::exception_ptr failure;
  try {
    spawn_detached(pod_.executor(), "login", session->run());
    co_await session->attach(std::move(channel), AttachedStreams::login);
  } catch (...) {
    failure = std::current_exception();
  }
  if (request.terminal && session->pidfd() >= 0) session->signal(SIGHUP, true);
  co_await session->wait_ended();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace berth::tether

#include "tether/session/init_process.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "base/error.hpp"

namespace berth::tether {
namespace {

/// Collects whoever has ended. Exits when `child` is among them.
void reap(pid_t child) {
  int status = 0;
  for (pid_t pid = ::waitpid(-1, &status, WNOHANG); pid > 0; pid = ::waitpid(-1, &status, WNOHANG)) {
    if (pid != child) continue;
    ::_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
  }
}

[[noreturn]] void serve_as_init(pid_t child, const sigset_t& signals) {
  ::prctl(PR_SET_NAME, "init");
  ::close_range(0, UINT_MAX, 0);
  reap(child);
  while (true) {
    siginfo_t info{};
    const int signal = ::sigwaitinfo(&signals, &info);
    if (signal == SIGCHLD) {
      reap(child);
    } else if (signal > 0) {
      ::kill(child, signal);
    }
  }
}

}  // namespace

void fork_below_init(bool terminal) {
  sigset_t signals;
  sigset_t before;
  ::sigfillset(&signals);
  check(::sigprocmask(SIG_SETMASK, &signals, &before), "block signals");
  const pid_t child = check(::fork(), "fork below init");
  if (child != 0) {
    // A background write or a stop would concern the job, never its init.
    for (const int own : {SIGTTIN, SIGTTOU, SIGTSTP}) ::sigdelset(&signals, own);
    serve_as_init(child, signals);
  }
  check(::setpgid(0, 0), "make a process group");
  // SIGTTOU is blocked here: the call would stop a background group otherwise.
  if (terminal) check(::tcsetpgrp(STDIN_FILENO, ::getpid()), "take the terminal's foreground");
  check(::sigprocmask(SIG_SETMASK, &before, nullptr), "restore the signal mask");
}

}  // namespace berth::tether

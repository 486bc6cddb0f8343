#include "tether/session/process_state.hpp"

#include <signal.h>

#include <string>

#include "base/io.hpp"

namespace berth::tether {

void reset_process_state(int oom_score_adj) {
  for (int number = 1; number <= SIGRTMAX; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  write_kernel_file("/proc/self/oom_score_adj", std::to_string(oom_score_adj));
}

}  // namespace berth::tether

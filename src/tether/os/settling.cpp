#include "tether/os/settling.hpp"

#include <filesystem>

#include "base/io.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "tether/os/interfaces.hpp"

namespace berth::tether::os {
namespace {

namespace fs = std::filesystem;

std::string read_word(const fs::path& file) {
  const std::string text = find_file(file).value_or("");
  return std::string(trim(text));
}

/// The kernel's name for the processor's clock while it does not know its speed exactly
/// (arch/x86/kernel/tsc.c).
bool clock_is_preliminary() {
  return read_word("/sys/devices/system/clocksource/clocksource0/current_clocksource") == "tsc-early";
}

/// A card's state follows its carrier up to a second later (net/core/link_watch.c).
bool some_card_is_late() {
  std::error_code none;
  for (const fs::directory_entry& card : fs::directory_iterator("/sys/class/net", none)) {
    const bool is_down = read_word(card.path() / "operstate") == "down";
    if (is_down && read_counter(card.path() / "carrier") == 1) return true;
  }
  return false;
}

}  // namespace

Task<> wait_kernel_settled(Milliseconds limit) {
  // Neither is told by an event that the kernel would send.
  constexpr Milliseconds kPause{20};
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (clock_is_preliminary() || some_card_is_late()) {
    if (std::chrono::steady_clock::now() >= deadline) {
      log::warning("the kernel has not settled within {} ms", limit.count());
      co_return;
    }
    co_await sleep_for(kPause);
  }
}

}  // namespace berth::tether::os

#include "link/resync.hpp"

#include "base/error.hpp"

namespace berth::link {

Task<> send_token(Stream& port, std::string token) {
  token += '\n';
  co_await port.write_all(token);
}

Task<> skip_past_token(Stream& port, std::string token) {
  token += '\n';
  std::string seen;
  char buffer[4096];
  while (true) {
    const std::size_t n = co_await port.read_some(buffer, sizeof buffer);
    if (n == 0) throw Error(Code::unavailable, "the attach port ended");
    seen.append(buffer, n);
    const std::size_t place = seen.find(token);
    if (place == std::string::npos) {
      if (seen.size() >= token.size()) seen.erase(0, seen.size() - token.size() + 1);
    } else if (place + token.size() < seen.size()) {
      throw Error(Code::corrupt, "the attach port goes on before both ends have met");
    } else {
      co_return;
    }
  }
}

}  // namespace berth::link

#include "link/messages.hpp"

#include "base/error.hpp"

namespace berth::link {

void check_version(const Hello& hello) {
  if (hello.version == kLinkVersion) return;
  throw Error(Code::unsupported, "the tether speaks version {} of the link, this launcher {}", hello.version,
              kLinkVersion);
}

}  // namespace berth::link

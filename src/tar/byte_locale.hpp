#pragma once

#include <locale.h>

namespace berth::tar {

/// Names are bytes. In any other locale libarchive converts and normalises the names of PAX headers; in "C"
/// the conversion fails (a warning) and leaves them as they are. For the calling thread, while it lives.
class ByteLocale {
 public:
  ByteLocale() : locale_(::newlocale(LC_ALL_MASK, "C", nullptr)), previous_(::uselocale(locale_)) {}
  ByteLocale(const ByteLocale&) = delete;
  ByteLocale& operator=(const ByteLocale&) = delete;
  ~ByteLocale() {
    ::uselocale(previous_);
    ::freelocale(locale_);
  }

 private:
  locale_t locale_;
  locale_t previous_;
};

}  // namespace berth::tar

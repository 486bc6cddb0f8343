#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.hpp"
#include "image/manifest.hpp"
#include "image/reference.hpp"

namespace {

template <typename Parse>
void attempt(Parse&& parse) {
  try {
    parse();
  } catch (const berth::Error&) {
    // Refusing is fine; anything else is a finding.
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::image;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  attempt([&] { is_index(text); });
  attempt([&] { parse_manifest(text, "input"); });
  attempt([&] { parse_config(text, "input"); });
  attempt([&] { parse_repo_tags(text, "input"); });
  attempt([&] {
    const Index index = parse_index(text, "input");
    if (parse_index(serialize_index(index), "written").manifests.size() != index.manifests.size())
      __builtin_trap();
    choose_platform(index, "input");
  });
  attempt([&] { parse_source(text); });
  attempt([&] {
    const Reference reference = parse_reference(text);
    if (parse_reference(reference.full()) != reference || parse_reference(reference.familiar()) != reference)
      __builtin_trap();
  });
  return 0;
}

#include "cli/config_document.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"
#include "config/appliance.hpp"
#include "record/pod.hpp"

namespace berth::cli {
namespace {

template <typename T>
std::shared_ptr<void> make() {
  return std::make_shared<T>();
}

struct KnownType {
  std::string_view name;
  const describe::Type& (*type)();
  std::shared_ptr<void> (*make)();
  std::string_view prefix;
};

constexpr KnownType kTypes[] = {
    {"executor", describe::type_of<config::ExecutorConfig>, make<config::ExecutorConfig>, ""},
    {"appliance", describe::type_of<config::ApplianceConfig>, make<config::ApplianceConfig>, ""},
    {"host", describe::type_of<record::Host>, make<record::Host>, record::kHostPrefix},
};

const KnownType& find_type(std::string_view name) {
  const auto found = std::find_if(std::begin(kTypes), std::end(kTypes),
                                  [&](const KnownType& type) { return type.name == name; });
  if (found == std::end(kTypes)) {
    throw Error(Code::invalid_argument, "--type '{}': use executor, appliance or host", printable(name));
  }
  return *found;
}

}  // namespace

ConfigDocument::ConfigDocument(std::string_view type) {
  const KnownType& known = find_type(type);
  type_ = &known.type();
  value_ = known.make();
  prefix_ = known.prefix;
}

}  // namespace berth::cli

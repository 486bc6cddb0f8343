#include "config/appliance.hpp"

namespace berth::describe {
template const Type& type_of<config::ApplianceConfig>();
}  // namespace berth::describe

#include "config/executor.hpp"

namespace berth::describe {
template const Type& type_of<config::SessionConfig>();
template const Type& type_of<config::ExecutorConfig>();
}  // namespace berth::describe

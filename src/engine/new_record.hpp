#pragma once

#include "engine/ports.hpp"
#include "record/store.hpp"

namespace berth::engine {

/// Stores the record of a new container, and returns it as it is stored. A container without a name gets a
/// random one, ports without one of the host are given one; what another command draws at the same time is
/// drawn again. Throws as record::Store::create.
record::Pod store_new(record::Store& records, const record::Pod& wanted, HostPorts& ports);

}  // namespace berth::engine

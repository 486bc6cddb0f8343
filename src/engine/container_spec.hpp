#pragma once

#include "base/clock.hpp"
#include "engine/engine.hpp"
#include "image/store.hpp"
#include "record/pod.hpp"
#include "volume/store.hpp"

namespace berth::engine {

/// The record of a new container: the options over the image's configuration, with Docker's rules for both.
/// Its volumes are entered by add_volume. Throws invalid-argument for what cannot be.
record::Pod make_pod(const CreateOptions& options, const image::Image& image, Nanoseconds now);

/// The record of a copy of a pod, by what a snapshot has of it: another id, name (empty: a random one), host
/// name and addresses. It publishes its ports on others of the host. Throws invalid-argument for a name that
/// cannot be.
record::Pod make_copy(const record::Pod& original, const std::string& name, Nanoseconds now);

/// Enters a volume that the container has been given.
void add_volume(record::Pod& pod, const VolumeRequest& request, const volume::Volume& volume);

/// The container's own limit for a machine with so many CPUs; 0: none.
std::int64_t nano_cpus_of(double cpus);

}  // namespace berth::engine

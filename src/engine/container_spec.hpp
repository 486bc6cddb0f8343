#pragma once

#include "base/clock.hpp"
#include "engine/engine.hpp"
#include "image/store.hpp"
#include "record/pod.hpp"
#include "volume/store.hpp"

namespace berth::engine {

/// The record of a new container: the options over the image's configuration, with Docker's rules for both.
/// What the options leave open, its name and ports of the host, is so in it (engine/new_record.hpp). Its
/// volumes are entered by add_volume. Throws invalid-argument for what cannot be.
record::Pod make_pod(const CreateOptions& options, const image::Image& image, Nanoseconds now);

/// The record of a copy of a pod, by what a snapshot has of it: another id, name, host name and
/// addresses. The ports of the host that it publishes its own on are not chosen yet. Throws invalid-argument
/// for a name that cannot be.
record::Pod make_copy(const record::Pod& original, const std::string& name, Nanoseconds now);

/// Enters a volume that the container has been given.
void add_volume(record::Pod& pod, const VolumeRequest& request, const volume::Volume& volume);

/// The container's own limit for a machine with so many CPUs; 0: none.
std::int64_t nano_cpus_of(double cpus);

}  // namespace berth::engine

#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "config/executor.hpp"
#include "extraconfig/pairs.hpp"
#include "tether/os/resolver_files.hpp"
#include "tether/session/session.hpp"

namespace berth::tether {

/// What a configured session runs. Throws invalid-argument for what no process can be.
ProcessPlan make_process_plan(const config::SessionConfig& session, const std::string& hostname);

/// The limits of a main session, but for those of disks. Throws invalid-argument for a negative one.
CgroupLimits make_limits(const config::SessionResources& resources);

/// The limit for each of the disks that hold one path, the first of which is the one that is written to.
/// Throws invalid-argument for a negative limit and where there is no disk.
std::vector<DiskLimit> make_disk_limits(const config::IoLimit& limit, const std::vector<dev_t>& disks);

/// The machine's host name: hostname, with the domain when there is one, or the first 12 digits of the id.
std::string full_hostname(const config::ExecutorConfig& config);

/// An id is a directory below the cgroups'. Throws invalid-argument for what cannot be one.
void require_session_id(const std::string& id);

/// The cgroup that holds all containers.
std::filesystem::path cgroup_folder();

/// What a container's files under /etc say.
os::NameSettings make_name_settings(const config::ExecutorConfig& config);

/// A session of either map, or nothing.
config::SessionConfig* find_session(config::ExecutorConfig& config, const std::string& id);

/// Writes into the configuration what the host is told of a session.
void record_status(const SessionStatus& status, config::SessionConfig& session);

/// The keys that the guest may change, with their values.
extraconfig::Pairs writable_pairs(const config::ExecutorConfig& config);

}  // namespace berth::tether

#pragma once

#include "config/executor.hpp"

/// How the executor's types are stored.
namespace berth::config {

namespace fields_of {
using namespace berth::describe;
inline constexpr Scopes ro = scope::read_only;
inline constexpr Scopes rw = scope::read_write;
inline constexpr Scopes hidden = scope::hidden;
}  // namespace fields_of

constexpr auto describe(const Common*) {
  using namespace fields_of;
  return fields(field<&Common::execution_environment>("ExecutionEnvironment"),
                field<&Common::id>("ID", "id", ro), field<&Common::name>("Name", "name", ro),
                field<&Common::notes>("Notes", "notes", hidden));
}

constexpr auto describe(const ExecutorCommon*) {
  using namespace fields_of;
  return fields(field<&ExecutorCommon::execution_environment>("ExecutionEnvironment"),
                field<&ExecutorCommon::id>("ID", "id", ro),
                field<&ExecutorCommon::name>("Name", "name", hidden),
                field<&ExecutorCommon::notes>("Notes", "notes", hidden));
}

constexpr auto describe(const Detail*) {
  using namespace fields_of;
  return fields(field<&Detail::create_time>("CreateTime", "createtime", rw),
                field<&Detail::start_time>("StartTime", "starttime", rw),
                field<&Detail::stop_time>("StopTime", "stoptime", rw));
}

constexpr auto describe(const ExitLog*) {
  using namespace fields_of;
  return fields(field<&ExitLog::time>("Time"), field<&ExitLog::exit_status>("ExitStatus"),
                field<&ExitLog::message>("Message"));
}

constexpr auto describe(const SysLogConfig*) {
  using namespace fields_of;
  return fields(field<&SysLogConfig::network>("Network"), field<&SysLogConfig::raddr>("RAddr"));
}

constexpr auto describe(const Diagnostics*) {
  using namespace fields_of;
  return fields(field<&Diagnostics::debug_level>("DebugLevel", "debug", ro),
                field<&Diagnostics::resurrection_count>("ResurrectionCount", "resurrections", rw),
                field<&Diagnostics::exit_logs>("ExitLogs", "exitlogs", rw),
                field<&Diagnostics::syslog>("SysLogConfig", "syslog", ro));
}

constexpr auto describe(const Cmd*) {
  using namespace fields_of;
  return fields(field<&Cmd::path>("Path", "Path", ro), field<&Cmd::args>("Args", "Args", ro),
                field<&Cmd::env>("Env", "Env", ro), field<&Cmd::dir>("Dir", "Dir", ro));
}

constexpr auto describe(const IoLimit*) {
  using namespace fields_of;
  return fields(field<&IoLimit::path>("Path", "path", ro),
                field<&IoLimit::read_bps>("ReadBps", "readbps", ro),
                field<&IoLimit::write_bps>("WriteBps", "writebps", ro),
                field<&IoLimit::read_iops>("ReadIOps", "readiops", ro),
                field<&IoLimit::write_iops>("WriteIOps", "writeiops", ro));
}

constexpr auto describe(const SessionResources*) {
  using namespace fields_of;
  return fields(field<&SessionResources::memory>("Memory", "memory", ro),
                field<&SessionResources::pids_limit>("PidsLimit", "pidslimit", ro),
                field<&SessionResources::nano_cpus>("NanoCPUs", "nanocpus", ro),
                field<&SessionResources::io>("IO", "io", ro));
}

constexpr auto describe(const Ulimit*) {
  using namespace fields_of;
  return fields(field<&Ulimit::name>("Name", "name", ro), field<&Ulimit::soft>("Soft", "soft", ro),
                field<&Ulimit::hard>("Hard", "hard", ro));
}

/// User and group have been written with a capital and read without one.
constexpr auto describe(const SessionConfig*) {
  using namespace fields_of;
  return fields(
      field<&SessionConfig::common>("Common", "common", ro), field<&SessionConfig::cmd>("Cmd", "cmd", ro),
      field<&SessionConfig::attach>("Attach", "attach", ro),
      field<&SessionConfig::open_stdin>("OpenStdin", "openstdin", ro),
      field<&SessionConfig::run_block>("RunBlock", "runblock", rw),
      field<&SessionConfig::active>("Active", "active", ro), field<&SessionConfig::tty>("Tty", "tty", ro),
      field<&SessionConfig::exit_status>("ExitStatus", "status", rw),
      field<&SessionConfig::started>("Started", "started", rw),
      field<&SessionConfig::restart>("Restart", "restart", ro),
      field<&SessionConfig::stop_signal>("StopSignal", "stopSignal", ro),
      field<&SessionConfig::diagnostics>("Diagnostics", "diagnostics", ro),
      field<&SessionConfig::user>("User", "User", ro).also("user"),
      field<&SessionConfig::group>("Group", "Group", ro).also("group"),
      field<&SessionConfig::detail>("Detail", "detail", rw), field<&SessionConfig::init>("Init", "init", ro),
      field<&SessionConfig::capabilities>("Capabilities", "capabilities", ro),
      field<&SessionConfig::no_new_privileges>("NoNewPrivileges", "nonewprivileges", ro),
      field<&SessionConfig::read_only_root>("ReadOnlyRoot", "readonlyroot", ro),
      field<&SessionConfig::container>("Container", "container", ro),
      field<&SessionConfig::signal>("Signal", "signal", rw),
      field<&SessionConfig::oom_killed>("OOMKilled", "oomkilled", rw),
      field<&SessionConfig::window_columns>("WindowColumns", "columns", ro),
      field<&SessionConfig::window_rows>("WindowRows", "rows", ro),
      field<&SessionConfig::resources>("Resources", "resources", ro),
      field<&SessionConfig::ulimits>("Ulimits", "ulimits", ro),
      field<&SessionConfig::sysctls>("Sysctls", "sysctls", ro),
      field<&SessionConfig::shm_size>("ShmSize", "shmsize", ro),
      field<&SessionConfig::group_add>("GroupAdd", "groupadd", ro),
      field<&SessionConfig::oom_score_adj>("OomScoreAdj", "oomscoreadj", ro),
      field<&SessionConfig::seccomp_unconfined>("SeccompUnconfined", "seccompunconfined", ro),
      field<&SessionConfig::restart_on_failure>("RestartOnFailure", "restartonfailure", ro),
      field<&SessionConfig::restart_limit>("RestartLimit", "restartlimit", ro),
      field<&SessionConfig::restarting>("Restarting", "restarting", rw),
      field<&SessionConfig::fork_limit>("ForkLimit", "forklimit", ro));
}

constexpr auto describe(const CopyMode*) {
  using namespace fields_of;
  return numbered_enumerators(EnumeratorOf{"unset", CopyMode::unset}, EnumeratorOf{"never", CopyMode::never},
                              EnumeratorOf{"new", CopyMode::fresh});
}

constexpr auto describe(const MountSpec*) {
  using namespace fields_of;
  return fields(field<&MountSpec::source>("Source", "source", ro),
                field<&MountSpec::path>("Path", "dest", ro), field<&MountSpec::mode>("Mode", "mode", ro),
                field<&MountSpec::copy_mode>("CopyMode", "copymode", ro));
}

constexpr auto describe(const TrustLevel*) {
  using namespace fields_of;
  return numbered_enumerators(
      EnumeratorOf{"unspecified", TrustLevel::unspecified}, EnumeratorOf{"published", TrustLevel::published},
      EnumeratorOf{"open", TrustLevel::open}, EnumeratorOf{"closed", TrustLevel::closed},
      EnumeratorOf{"outbound", TrustLevel::outbound}, EnumeratorOf{"peers", TrustLevel::peers});
}

constexpr auto describe(const ContainerNetwork::Assigned*) {
  using namespace fields_of;
  using Assigned = ContainerNetwork::Assigned;
  return fields(field<&Assigned::gateway>("Gateway", "gateway", rw),
                field<&Assigned::nameservers>("Nameservers", "dns", rw));
}

constexpr auto describe(const ContainerNetwork*) {
  using namespace fields_of;
  return fields(field<&ContainerNetwork::common>("Common"),
                field<&ContainerNetwork::type>("Type", "type", rw),
                field<&ContainerNetwork::destinations>("Destinations", "destinations", ro),
                field<&ContainerNetwork::gateway>("Gateway", "gateway", ro),
                field<&ContainerNetwork::is_default>("Default", "default", ro),
                field<&ContainerNetwork::nameservers>("Nameservers", "dns", ro),
                field<&ContainerNetwork::pools>("Pools", "pools", ro),
                field<&ContainerNetwork::aliases>("Aliases", "aliases", hidden),
                field<&ContainerNetwork::trust_level>("TrustLevel"),
                field<&ContainerNetwork::assigned>("Assigned", "assigned", rw),
                field<&ContainerNetwork::mtu>("MTU", "mtu", ro));
}

constexpr auto describe(const NetworkEndpoint*) {
  using namespace fields_of;
  return fields(field<&NetworkEndpoint::common>("Common"),
                field<&NetworkEndpoint::is_static>("Static", "static", ro),
                field<&NetworkEndpoint::ip>("IP", "ip", ro),
                field<&NetworkEndpoint::assigned>("Assigned", "assigned", rw),
                field<&NetworkEndpoint::network>("Network", "network", ro),
                field<&NetworkEndpoint::ports>("Ports", "ports", ro),
                field<&NetworkEndpoint::internal>("Internal", "internal", ro));
}

constexpr auto describe(const Build*) {
  using namespace fields_of;
  return fields(field<&Build::version>("Version"), field<&Build::git_commit>("GitCommit"),
                field<&Build::build_date>("BuildDate"), field<&Build::build_number>("BuildNumber"),
                field<&Build::state>("State"), field<&Build::plugin_version>("PluginVersion"));
}

constexpr auto describe(const ForkRequest*) {
  using namespace fields_of;
  return fields(field<&ForkRequest::sequence>("Sequence", "sequence", rw),
                field<&ForkRequest::count>("Count", "count", rw));
}

constexpr auto describe(const ExecutorConfig*) {
  using namespace fields_of;
  return fields(field<&ExecutorConfig::common>("ExecutorConfigCommon", "common", ro),
                field<&ExecutorConfig::create_time>("CreateTime", "createtime", rw),
                field<&ExecutorConfig::diagnostics>("Diagnostics", "diagnostics", ro),
                field<&ExecutorConfig::sessions>("Sessions", "sessions", ro),
                field<&ExecutorConfig::execs>("Execs", "execs", ro | scope::non_persistent),
                field<&ExecutorConfig::mounts>("Mounts", "mounts", ro),
                field<&ExecutorConfig::networks>("Networks", "networks", ro),
                field<&ExecutorConfig::key>("Key", "key", ro),
                field<&ExecutorConfig::layer_id>("LayerID", "layerid", ro),
                field<&ExecutorConfig::image_id>("ImageID", "imageid", ro),
                field<&ExecutorConfig::annotations>("Annotations", "annotations", hidden),
                field<&ExecutorConfig::repo_name>("RepoName", "repo", ro),
                field<&ExecutorConfig::version>("Version", "version", ro),
                field<&ExecutorConfig::asymmetric_routing>("AsymmetricRouting", "asymrouting", ro),
                field<&ExecutorConfig::hostname>("Hostname", "hostname", ro),
                field<&ExecutorConfig::domainname>("Domainname", "domainname", ro),
                field<&ExecutorConfig::authorized_keys>("AuthorizedKeys", "authorizedkeys", ro),
                field<&ExecutorConfig::user_keys>("UserKeys", "userkeys", ro),
                field<&ExecutorConfig::extra_hosts>("ExtraHosts", "extrahosts", ro),
                field<&ExecutorConfig::dns_search>("DNSSearch", "dnssearch", ro),
                field<&ExecutorConfig::dns_options>("DNSOptions", "dnsoptions", ro),
                field<&ExecutorConfig::time>("Time", "time", ro),
                field<&ExecutorConfig::entropy>("Entropy", "entropy", ro),
                field<&ExecutorConfig::fork_request>("ForkRequest", "forkrequest", rw));
}

}  // namespace berth::config

namespace berth::describe {
// Made once, in executor.cpp.
extern template const Type& type_of<config::SessionConfig>();
extern template const Type& type_of<config::ExecutorConfig>();
}  // namespace berth::describe

#include "tether/configuration.hpp"

#include <algorithm>
#include <chrono>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/signals.hpp"
#include "config/sysctls.hpp"
#include "extraconfig/codec.hpp"
#include "tether/os/boot.hpp"
#include "tether/os/network_plan.hpp"

namespace berth::tether {
namespace {

WindowSize window_of(const config::SessionConfig& session) {
  const auto side = [](std::int64_t value) {
    return static_cast<std::uint16_t>(std::clamp<std::int64_t>(value, 0, 65535));
  };
  return {side(session.window_columns), side(session.window_rows)};
}

void confine(const config::SessionConfig& session, ProcessPlan& plan) {
  if (session.capabilities) plan.capabilities = config::parse_capabilities(*session.capabilities);
  plan.no_new_privileges = session.no_new_privileges;
  plan.seccomp = !session.seccomp_unconfined;
  plan.further_groups = session.group_add;
  if (session.oom_score_adj < -1000 || session.oom_score_adj > 1000) {
    throw Error(Code::invalid_argument, "the OOM score adjustment {} is not between -1000 and 1000",
                session.oom_score_adj);
  }
  plan.oom_score_adj = static_cast<int>(session.oom_score_adj);
  for (const config::Ulimit& limit : session.ulimits) {
    config::check_ulimit(limit);
    // -1 is RLIM_INFINITY.
    plan.limits.push_back({*config::ulimit_resource(limit.name), static_cast<std::uint64_t>(limit.soft),
                           static_cast<std::uint64_t>(limit.hard), limit.name});
  }
  for (const auto& [name, value] : session.sysctls) config::check_sysctl(name);
  plan.container.sysctls = session.sysctls;
  if (session.shm_size < 0) throw Error(Code::invalid_argument, "the size of /dev/shm is negative");
  if (session.shm_size > 0) plan.container.shared_memory = static_cast<std::uint64_t>(session.shm_size);
}

std::optional<std::uint64_t> limit_of(std::int64_t value, std::string_view what) {
  if (value < 0) throw Error(Code::invalid_argument, "the limit of {} is negative", what);
  if (value == 0) return std::nullopt;
  return static_cast<std::uint64_t>(value);
}

void require_no_nul(const std::string& text, std::string_view what) {
  if (text.find('\0') != std::string::npos)
    throw Error(Code::invalid_argument, "{} has a zero byte in it", what);
}

}  // namespace

ProcessPlan make_process_plan(const config::SessionConfig& session, const std::string& hostname) {
  ProcessPlan plan;
  plan.program =
      !session.cmd.path.empty() || session.cmd.args.empty() ? session.cmd.path : session.cmd.args.front();
  plan.arguments = session.cmd.args.empty() ? std::vector{plan.program} : session.cmd.args;
  plan.environment = session.cmd.env;
  plan.directory = session.cmd.dir;
  plan.user = session.user;
  plan.group = session.group;
  plan.hostname = hostname;
  plan.terminal = session.tty;
  plan.window = window_of(session);
  plan.standard_input = session.open_stdin;
  confine(session, plan);
  plan.read_only_root = session.read_only_root;
  if (!session.stop_signal.empty() && !signal_number(session.stop_signal)) {
    throw Error(Code::invalid_argument, "the stop signal \"{}\" is not a signal of Linux",
                session.stop_signal);
  }
  plan.init = session.init;
  plan.wait_for_go = session.run_block;
  require_no_nul(plan.program, "the program");
  require_no_nul(plan.directory, "the working directory");
  for (const std::string& argument : plan.arguments) require_no_nul(argument, "an argument");
  for (const std::string& entry : plan.environment) require_no_nul(entry, "the environment");
  return plan;
}

CgroupLimits make_limits(const config::SessionResources& resources) {
  return {limit_of(resources.memory, "memory"), limit_of(resources.pids_limit, "processes"),
          limit_of(resources.nano_cpus, "processors")};
}

std::vector<DiskLimit> make_disk_limits(const config::IoLimit& limit, const std::vector<dev_t>& disks) {
  if (disks.empty())
    throw Error(Code::invalid_argument, "no disk is mounted at \"{}\" that could be limited", limit.path);
  std::vector<DiskLimit> limits;
  for (const dev_t disk : disks) {
    DiskLimit one;
    one.device = disk;
    one.read_bps = limit_of(limit.read_bps, "reading");
    one.read_iops = limit_of(limit.read_iops, "reading");
    if (limits.empty()) {
      one.write_bps = limit_of(limit.write_bps, "writing");
      one.write_iops = limit_of(limit.write_iops, "writing");
    }
    limits.push_back(one);
  }
  return limits;
}

std::string full_hostname(const config::ExecutorConfig& config) {
  if (config.hostname.empty()) return std::string(short_id(config.common.id));
  return config.domainname.empty() ? config.hostname : config.hostname + "." + config.domainname;
}

void require_session_id(const std::string& id) {
  if (!is_valid_name(id)) throw Error(Code::invalid_argument, "\"{}\" cannot be the id of a session", id);
}

std::filesystem::path cgroup_folder() {
  return std::filesystem::path(os::kCgroupHierarchy) / "berth";
}

os::NameSettings make_name_settings(const config::ExecutorConfig& config) {
  os::NameSettings names;
  names.hostname = config.hostname.empty() ? full_hostname(config) : config.hostname;
  if (!config.hostname.empty()) names.domain = config.domainname;
  names.addresses = os::addresses_of(config.networks);
  names.network_names = os::network_names_of(config.networks);
  names.extra_hosts = config.extra_hosts;
  names.nameservers = os::nameservers_of(config.networks);
  names.search = config.dns_search;
  names.options = config.dns_options;
  return names;
}

config::SessionConfig* find_session(config::ExecutorConfig& config, const std::string& id) {
  for (auto* sessions : {&config.sessions, &config.execs}) {
    if (const auto found = sessions->find(id); found != sessions->end()) return &found->second;
  }
  return nullptr;
}

void record_status(const SessionStatus& status, config::SessionConfig& session) {
  const auto seconds = [](Nanoseconds time) {
    return std::chrono::duration_cast<std::chrono::seconds>(time).count();
  };
  session.started = status.started;
  session.detail.start_time = seconds(status.start_time);
  session.detail.stop_time = status.ended ? seconds(status.stop_time) : 0;
  session.exit_status = status.ended ? status.exit.code : 0;
  session.signal = status.ended ? status.exit.signal : 0;
  session.oom_killed = status.ended && status.oom_killed;
}

extraconfig::Pairs writable_pairs(const config::ExecutorConfig& config) {
  extraconfig::Pairs pairs;
  extraconfig::PairsSink all(pairs);
  extraconfig::FilterSink writable(all, describe::scope::read_write);
  extraconfig::encode(describe::type_of<config::ExecutorConfig>(), &config, writable);
  return pairs;
}

}  // namespace berth::tether

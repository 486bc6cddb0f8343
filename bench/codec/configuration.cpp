#include "codec/configuration.hpp"

#include <fmt/format.h>

namespace berth::bench {
namespace {

using namespace config;

SessionConfig session(const std::string& id, const std::string& name) {
  SessionConfig made;
  made.common = {"linux", id, name, "made by the benchmark"};
  made.cmd.path = "/usr/local/bin/docker-entrypoint.sh";
  made.cmd.args = {"docker-entrypoint.sh", "postgres", "-c",
                   "max_connections=200",  "-c",       "shared_buffers=1GB"};
  made.cmd.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=en_US.utf8",
                  "PGDATA=/var/lib/postgresql/data", "POSTGRES_USER=app", "TZ=UTC"};
  made.cmd.dir = "/var/lib/postgresql";
  made.attach = true;
  made.active = true;
  made.tty = true;
  made.started = "true";
  made.stop_signal = "SIGINT";
  made.diagnostics.debug_level = 1;
  made.diagnostics.exit_logs = {{{1700000000, 140000000, 0, "UTC"}, 137, "killed"}};
  made.user = "postgres";
  made.group = "postgres";
  made.detail = {1700000000, 1700000012, 0};
  made.init = true;
  made.capabilities = {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID"};
  made.window_columns = 120;
  made.window_rows = 40;
  return made;
}

MountSpec mount(int number) {
  MountSpec made;
  made.source.scheme = "label";
  made.source.path = fmt::format("/volumes/data-{}", number);
  made.path = fmt::format("/mnt/data-{}", number);
  made.mode = "rw";
  made.copy_mode = CopyMode::fresh;
  return made;
}

NetworkEndpoint endpoint(int number) {
  NetworkEndpoint made;
  made.common = {"", fmt::format("endpoint-{}", number), fmt::format("eth{}", number), ""};
  made.is_static = true;
  made.ip = IpNetwork::parse(fmt::format("172.16.{}.2/24", number));
  made.assigned = IpNetwork::parse(fmt::format("172.16.{}.2/24", number));
  made.network.common = {"", fmt::format("network-{}", number), "bridge", ""};
  made.network.type = "bridge";
  made.network.destinations = {IpNetwork::parse("10.0.0.0/8")};
  made.network.gateway = IpNetwork::parse(fmt::format("172.16.{}.1/24", number));
  made.network.is_default = number == 0;
  made.network.nameservers = {IpAddress::parse("10.0.0.1"), IpAddress::parse("fe80::1")};
  made.network.pools = {{IpAddress::parse("172.16.0.5"), IpAddress::parse("172.16.0.250")}};
  made.network.aliases = {"db", "database"};
  made.network.assigned = {made.network.gateway, made.network.nameservers};
  made.ports = {"5432:5432/tcp"};
  return made;
}

}  // namespace

config::ExecutorConfig full_configuration() {
  ExecutorConfig made;
  made.common = {"linux", "4fbcd2a31b09", "database", "made by the benchmark"};
  made.create_time = 1700000000;
  made.diagnostics.syslog = SysLogConfig{"udp", "10.0.0.9:514"};
  for (const std::string id : {"4fbcd2a31b09", "77a0c1d2e3f4", "b0a1928374fe"})
    made.sessions[id] = session(id, "db-" + id);
  for (int i = 0; i < 5; ++i) made.mounts[fmt::format("volume{}", i)] = mount(i);
  for (int i = 0; i < 2; ++i) made.networks[fmt::format("network{}", i)] = endpoint(i);
  made.key.data = std::string(400, 'k');
  made.layer_id = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
  made.image_id = "e59838ecfec5e79eb4371e9995ef86c8000fe1c67d7b9fa7b57e996d9ba772ff";
  for (int i = 0; i < 20; ++i)
    made.annotations[fmt::format("org.example.label{}", i)] = fmt::format("value {}", i);
  made.repo_name = "registry.example.org/app/database:12";
  made.version = Build{"v1.5.8", "9489f63e", "2023/11/14@22:13:20", "20551", "clean", 11};
  made.hostname = "database";
  made.domainname = "example.org";
  made.authorized_keys = {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF3yTzcD5e5Fq4G5o3oVq4tXhU1jQ6d5Vd4d5K1mD2aB"};
  made.extra_hosts = {{"cache", "10.0.0.3"}, {"queue", "10.0.0.4"}};
  made.dns_search = {"example.org"};
  made.time = std::chrono::nanoseconds(1700000000123456789);
  made.entropy.data = std::string(32, 'e');
  return made;
}

}  // namespace berth::bench

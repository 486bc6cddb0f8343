#include "tether/os/resolver_files.hpp"

#include <gtest/gtest.h>

namespace berth::tether::os {
namespace {

std::string after_fixed_part(const NameSettings& settings) {
  const std::string file = make_hosts(settings);
  const std::string last = "ff02::2\tip6-allrouters\n";
  const std::size_t at = file.find(last);
  EXPECT_NE(at, std::string::npos) << file;
  return file.substr(at + last.size());
}

NameSettings settings_of(std::string hostname, std::vector<std::string> addresses) {
  NameSettings settings;
  settings.hostname = std::move(hostname);
  settings.addresses = std::move(addresses);
  return settings;
}

TEST(HostsFile, NamesTheContainerOnItsAddresses) {
  EXPECT_EQ(after_fixed_part(settings_of("pod", {"10.0.2.15", "fd00::1"})), "10.0.2.15\tpod\nfd00::1\tpod\n");
}

TEST(HostsFile, F1WithoutANetworkTheNameIsLocal) {
  NameSettings settings = settings_of("pod", {});
  settings.domain = "d.e";
  EXPECT_EQ(after_fixed_part(settings), "127.0.1.1\tpod.d.e pod\n::1\tpod.d.e pod\n");
}

TEST(HostsFile, HasNetworksAndExtraHosts) {
  NameSettings settings = settings_of("pod", {"10.0.0.2"});
  settings.network_names = {{"front.localhost", "10.0.0.2"}};
  settings.extra_hosts = {{"db", "192.0.2.1 fd00::7"}};
  EXPECT_EQ(after_fixed_part(settings),
            "10.0.0.2\tpod\n10.0.0.2\tfront.localhost\n192.0.2.1\tdb\nfd00::7\tdb\n");
}

TEST(HostsFile, LeavesOutWhatWouldBreakALine) {
  NameSettings settings = settings_of("a b", {"10.0.0.2"});
  settings.extra_hosts = {{"db\n10.0.0.9", "192.0.2.1"}, {"", "192.0.2.1"}, {"x", ""}};
  EXPECT_EQ(after_fixed_part(settings), "");
}

TEST(HostsFile, TheRestIsWhatTheImageSaysElse) {
  const std::string image =
      "127.0.0.1 localhost mine\n"
      "# comment\n"
      "192.0.2.9\tdb other # why\n"
      "not-an-entry\n";
  EXPECT_EQ(rest_of_hosts(image, "127.0.0.1\tlocalhost\n192.0.2.1\tdb\n"),
            "127.0.0.1\tmine\n192.0.2.9\tother\n");
}

TEST(ResolverFile, ListsSearchDomainsServersAndOptions) {
  NameSettings settings;
  settings.nameservers = {"10.0.2.3", "fd00::3"};
  settings.search = {"a.example", "b.example", "c d"};
  settings.options = {"ndots:2", "rotate"};
  EXPECT_EQ(make_resolver(settings),
            "search a.example b.example\nnameserver 10.0.2.3\nnameserver fd00::3\noptions ndots:2 rotate\n");
  EXPECT_EQ(make_resolver({}), "");
}

TEST(ResolverFile, TheRestIsWhatWeDoNotSet) {
  const std::string image = "domain of.image\nnameserver 192.0.2.53\nsortlist 10.0.0.0\n";
  EXPECT_EQ(rest_of_resolver(image, "nameserver 10.0.2.3\n"), "domain of.image\nsortlist 10.0.0.0\n");
  EXPECT_EQ(rest_of_resolver(image, "search a\n"), "nameserver 192.0.2.53\nsortlist 10.0.0.0\n");
  EXPECT_EQ(rest_of_resolver(image, ""), image);
}

TEST(Blend, ReplacesOurPartAndNothingElse) {
  std::string file = blend("theirs\n", "a\n");
  EXPECT_EQ(file, "# berth: begin, kept up to date\na\n# berth: end\ntheirs\n");
  file = "first\n" + file + "more\n";
  EXPECT_EQ(blend(file, "b\nc\n"),
            "first\n# berth: begin, kept up to date\nb\nc\n# berth: end\ntheirs\nmore\n");
  EXPECT_EQ(blend(file, "a\n"), file) << "the same again";
}

TEST(Blend, WithoutOurPartAFileIsTheImages) {
  EXPECT_EQ(blend("nameserver 192.0.2.53\n", ""), "nameserver 192.0.2.53\n");
  const std::string file = blend("theirs\n", "a\n");
  EXPECT_EQ(blend(file, ""), "# berth: begin, kept up to date\n# berth: end\ntheirs\n");
}

TEST(Blend, MarksThatAContainerBrokeAreNoMarks) {
  const std::string broken = "# berth: begin, kept up to date\nold\n";
  EXPECT_EQ(blend(broken, "a\n"), "# berth: begin, kept up to date\na\n# berth: end\n" + broken);
}

}  // namespace
}  // namespace berth::tether::os

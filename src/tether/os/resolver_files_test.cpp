#include "tether/os/resolver_files.hpp"

#include <gtest/gtest.h>

namespace berth::tether::os {
namespace {

std::string after_fixed_part(const std::string& file) {
  const std::string last = "ff02::2\tip6-allrouters\n";
  const std::size_t at = file.find(last);
  EXPECT_NE(at, std::string::npos) << file;
  return file.substr(at + last.size());
}

TEST(HostsFile, NamesTheContainerOnItsAddresses) {
  EXPECT_EQ(after_fixed_part(make_hosts_file("pod", "", {"10.0.2.15", "fd00::1"}, {}, "")),
            "10.0.2.15\tpod\nfd00::1\tpod\n");
}

TEST(HostsFile, WithoutANetworkTheNameIsLocal) {
  EXPECT_EQ(after_fixed_part(make_hosts_file("pod", "d.e", {}, {}, "")), "127.0.1.1\tpod.d.e pod\n");
}

TEST(HostsFile, BlendsExtraEntriesAndTheImages) {
  const std::string image =
      "127.0.0.1 localhost mine\n"
      "# comment\n"
      "192.0.2.9\tdb other # why\n"
      "not-an-entry\n";
  EXPECT_EQ(after_fixed_part(make_hosts_file("pod", "", {"10.0.0.2"}, {{"db", "192.0.2.1"}}, image)),
            "10.0.0.2\tpod\n192.0.2.1\tdb\n127.0.0.1\tmine\n192.0.2.9\tother\n");
}

TEST(ResolverFile, ListsSearchDomainsAndServers) {
  EXPECT_EQ(make_resolver_file({"10.0.2.3", "fd00::3"}, {"a.example", "b.example"}, "image\n"),
            "search a.example b.example\nnameserver 10.0.2.3\nnameserver fd00::3\n");
}

TEST(ResolverFile, IsTheImagesWhenNothingIsKnown) {
  EXPECT_EQ(make_resolver_file({}, {}, "nameserver 192.0.2.53\n"), "nameserver 192.0.2.53\n");
}

}  // namespace
}  // namespace berth::tether::os

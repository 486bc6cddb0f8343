#include "engine/new_record.hpp"

#include <gtest/gtest.h>

#include <set>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/ids.hpp"

namespace berth::engine {
namespace {

class NewRecordTest : public testing::Test {
 protected:
  static record::Pod wanted(const std::string& name = "") {
    record::Pod pod;
    pod.executor.common.id = new_id();
    pod.executor.common.name = name;
    pod.executor.sessions[pod.id()].common.id = pod.id();
    return pod;
  }

  TempDir folder_{std::filesystem::temp_directory_path(), "berth-new-record-"};
  record::Store records_{folder_.path() / "records.db"};
  HostPorts ports_{{}};
};

TEST_F(NewRecordTest, AllGetNamesAlthoughTheyAreDrawnFromFew) {
  const record::Store::Unsynced unsynced(records_);
  std::set<std::string> names;
  constexpr std::size_t kContainers = 1500;
  for (std::size_t i = 0; i < kContainers; ++i) names.insert(store_new(records_, wanted(), ports_).name());
  EXPECT_EQ(names.size(), kContainers);
}

TEST_F(NewRecordTest, AnotherPortIsDrawnForOneThatSomebodyTookMeanwhile) {
  record::Pod pod = wanted();
  pod.host.ports.resize(1);
  pod.host.ports.front().guest_port = 80;
  HostPorts others({});
  std::set<std::uint16_t> given;
  constexpr int kContainers = 400;
  // Both know nothing of each other, as two commands at the same time.
  for (HostPorts* ports : {&ports_, &others}) {
    for (int i = 0; i < kContainers; ++i) {
      pod.executor = wanted().executor;
      given.insert(store_new(records_, pod, *ports).host.ports.front().host_port);
    }
  }
  EXPECT_EQ(given.size(), 2u * kContainers);
  EXPECT_EQ(records_.held_ports().size(), 2u * kContainers);
}

TEST_F(NewRecordTest, ANameThatWasAskedForIsRefusedWhenItIsTaken) {
  store_new(records_, wanted("name"), ports_);
  try {
    store_new(records_, wanted("name"), ports_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::already_exists);
  }
}

}  // namespace
}  // namespace berth::engine

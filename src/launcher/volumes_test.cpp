#include "launcher/volumes.hpp"

#include <gmock/gmock.h>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "launcher/cleanup.hpp"
#include "volume/store.hpp"

namespace berth::launcher {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class PodVolumes : public testing::Test {
 protected:
  PodVolumes() : folder_("/tmp", "berth-volumes-test-") {
    paths_.data = folder_.path() / "data";
    paths_.runtime = folder_.path() / "run";
    make_directories(paths_.data / "locks");
    records_.emplace(paths_.database());
    volumes_.emplace(paths_.database(), paths_.volumes());
  }

  /// A pod that is made but for its last step.
  record::Pod make_pod(const std::string& name, const std::vector<std::string>& volumes) {
    record::Pod pod;
    pod.executor.common.id = new_id();
    pod.executor.common.name = name;
    pod.executor.sessions[pod.id()].common.id = pod.id();
    records_->create(pod);
    for (const std::string& volume : volumes) {
      const volume::Volume given = volumes_->attach(pod.id(), volume, Nanoseconds(1));
      record::VolumeMount mount;
      mount.id = given.id;
      mount.name = given.name;
      pod.host.volumes.push_back(std::move(mount));
    }
    return pod;
  }
  void finish(const record::Pod& pod) {
    records_->update(pod.id(), [&](record::Pod& changed) { changed.host.volumes = pod.host.volumes; });
    records_->set_intent(pod.id(), record::Intent::none);
  }
  FileLock lock(const record::Pod& pod) {
    return FileLock::acquire(paths_.pod_lock(pod.id()), std::chrono::milliseconds(1000), "the pod");
  }
  std::string refusal(const record::Pod& pod) {
    try {
      take_volumes(*records_, paths_, pod, std::chrono::milliseconds(20));
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  }

  TempDir folder_;
  Paths paths_;
  std::optional<record::Store> records_;
  std::optional<volume::Store> volumes_;
};

TEST_F(PodVolumes, OnePodHasThemAtATime) {
  record::Pod first = make_pod("first", {"data", "more"});
  record::Pod second = make_pod("second", {"other", "data"});
  finish(first);
  std::vector<VolumeDisk> taken = take_volumes(*records_, paths_, first, std::chrono::milliseconds(0));
  ASSERT_THAT(taken, SizeIs(2));
  EXPECT_EQ(taken[0].serial, "vol-" + first.host.volumes[0].id);
  EXPECT_THAT(refusal(second), HasSubstr("a machine that has not ended yet"));
  records_->update(first.id(), [](record::Pod& pod) { pod.host.launcher.pid = 1; });
  EXPECT_THAT(refusal(second), HasSubstr("files of container first"));
  records_->update(first.id(), [](record::Pod& pod) { pod.host.status = record::Status::running; });
  EXPECT_THAT(refusal(second), HasSubstr("the volume data is in use by container first"));
  taken.clear();
  EXPECT_EQ(refusal(second), "");
  std::filesystem::remove(paths_.volume_image(second.host.volumes[0].id));
  EXPECT_THAT(refusal(second), HasSubstr("the disk of the volume other is gone"));
}

TEST_F(PodVolumes, AnonymousOnesGoWithThePodWhenTheyShall) {
  const record::Pod keeps = make_pod("keeps", {""});
  const record::Pod removes = make_pod("removes", {"", "data"});
  for (const record::Pod& pod : {keeps, removes}) finish(pod);
  FileLock first = lock(keeps);
  remove_pod(*records_, paths_, keeps.id(), first, AnonymousVolumes::keep);
  EXPECT_THAT(volumes_->list(), SizeIs(3));
  FileLock second = lock(removes);
  remove_pod(*records_, paths_, removes.id(), second, AnonymousVolumes::remove);
  EXPECT_TRUE(volumes_->find("data"));
  EXPECT_THAT(volumes_->list(), SizeIs(2));
  EXPECT_THAT(records_->list(), IsEmpty());
}

TEST_F(PodVolumes, AHalfMadePodLosesItsOwn) {
  const record::Pod pod = make_pod("half", {"", "data"});
  FileLock held = lock(pod);
  EXPECT_FALSE(recover_pod(*records_, paths_, pod.id(), held, SystemClock()));
  ASSERT_THAT(volumes_->list(), SizeIs(1));
  EXPECT_EQ(volumes_->list().front().name, "data");
}

}  // namespace
}  // namespace berth::launcher

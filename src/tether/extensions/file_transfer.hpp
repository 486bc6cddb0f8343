#pragma once

#include "tether/extension.hpp"
#include "tether/files/archive_service.hpp"
#include "tether/pod.hpp"

namespace berth::tether {

/// Copies into and out of containers.
class FileTransfer : public Extension {
 public:
  explicit FileTransfer(Pod& pod);

  std::string name() const override { return "file transfer"; }
  std::vector<std::string_view> subsystems() const override;
  Task<> serve(std::shared_ptr<link::ssh::Channel> channel, link::ssh::Request request) override;
  Task<> stop() override;

 private:
  ArchiveService archives_;
};

}  // namespace berth::tether

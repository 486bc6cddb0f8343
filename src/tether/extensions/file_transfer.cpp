#include "tether/extensions/file_transfer.hpp"

#include "link/archive.hpp"

namespace berth::tether {
namespace {

constexpr Milliseconds kKillLimit{5'000};

}  // namespace

FileTransfer::FileTransfer(Pod& pod)
    : archives_(pod.executor(), [&pod](const std::string& container) { return pod.copy_place(container); }) {}

std::vector<std::string_view> FileTransfer::subsystems() const {
  return {link::archive::kSubsystem};
}

Task<> FileTransfer::serve(std::shared_ptr<link::ssh::Channel> channel, link::ssh::Request request) {
  co_await archives_.serve(std::move(channel), std::move(request));
}

Task<> FileTransfer::stop() {
  co_await archives_.end_all(kKillLimit);
}

}  // namespace berth::tether

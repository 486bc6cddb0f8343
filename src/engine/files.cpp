#include "engine/files.hpp"

#include "launcher/copy_client.hpp"

namespace berth::engine {

using link::archive::Verb;

ContainerFiles::Reader::Reader(std::unique_ptr<launcher::CopyStream> stream)
    : stream_(std::move(stream)), stat_(stream_->path_stat()) {}

ContainerFiles::Reader::Reader(Reader&&) noexcept = default;
ContainerFiles::Reader::~Reader() = default;

std::string_view ContainerFiles::Reader::next() {
  return stream_->next();
}

const std::string& ContainerFiles::Reader::warnings() const {
  return stream_->warnings();
}

ContainerFiles::ContainerFiles(std::unique_ptr<launcher::Client> client, UniqueFd hold)
    : client_(std::move(client)), hold_(std::move(hold)) {}

ContainerFiles::ContainerFiles(ContainerFiles&&) noexcept = default;
ContainerFiles::~ContainerFiles() = default;

link::archive::PathStat ContainerFiles::stat(const std::string& path) {
  launcher::CopyStream stream(*client_, {Verb::stat, path, false});
  link::archive::PathStat stat = stream.path_stat();
  stream.finish();
  return stat;
}

ContainerFiles::Reader ContainerFiles::read(const std::string& path) {
  const launcher::CopyRequest request{Verb::read, path, false};
  return Reader(std::make_unique<launcher::CopyStream>(*client_, request));
}

std::string ContainerFiles::write(const std::string& path, bool keep_owners,
                                  const std::function<void(const tar::Sink&)>& give) {
  launcher::CopyStream stream(*client_, {Verb::write, path, keep_owners});
  give([&stream](std::string_view piece) { stream.send(piece); });
  stream.finish();
  return stream.warnings();
}

}  // namespace berth::engine

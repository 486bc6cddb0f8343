#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "guest.hpp"

namespace berth::tether_test {

/// An ext4 file system in a file of its own.
class Volume {
 public:
  explicit Volume(const std::string& label = {})
      : folder_(std::filesystem::temp_directory_path(), "berth-volume-"), path_(folder_.path() / "image") {
    const UniqueFd file = open_file(path_, O_RDWR | O_CREAT, 0600);
    check(::ftruncate(file.get(), 32 << 20), "size a volume");
    std::vector<std::string> words;
    for (const char* word : {"-q", "-t", "ext4", "-F"}) words.emplace_back(word);
    if (!label.empty()) {
      words.emplace_back("-L");
      words.push_back(label);
    }
    words.push_back(path_.string());
    run_tool("/sbin/mke2fs", words);
  }
  Task<> add_to(Guest& guest, std::string serial) {
    const UniqueFd file = open_file(path_, O_RDWR);
    hypervisor::Disk disk;
    disk.fd = file.get();
    disk.serial = std::move(serial);
    co_await guest.machine().add_disk(disk);
  }
  /// Nothing of the file system is left.
  void overwrite() const {
    const std::string rubbish(std::size_t{1} << 20, '\x5a');
    const UniqueFd file = open_file(path_, O_WRONLY);
    write_all(file.get(), rubbish);
  }
  /// What dumpe2fs says of it.
  std::string state() const {
    std::vector<std::string> words{"-h"};
    words.push_back(path_.string());
    return run_tool("/sbin/dumpe2fs", words);
  }

 private:
  TempDir folder_;
  std::filesystem::path path_;
};

inline config::MountSpec disk_mount(const char* scheme, const char* name, const char* path) {
  config::MountSpec mount;
  mount.source.scheme = scheme;
  mount.source.host = name;
  mount.path = path;
  mount.copy_mode = config::CopyMode::fresh;
  return mount;
}

}  // namespace berth::tether_test

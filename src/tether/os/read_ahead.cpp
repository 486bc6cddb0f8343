#include "tether/os/read_ahead.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"

namespace berth::tether::os {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPiece = std::size_t{1} << 20;

std::uint64_t read_file_ahead(const fs::path& path, std::uint64_t limit, std::string& buffer) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  std::uint64_t sum = 0;
  while (file && sum < limit) {
    const ssize_t n = ::read(file.get(), buffer.data(), std::min<std::uint64_t>(buffer.size(), limit - sum));
    if (n <= 0) break;
    sum += static_cast<std::uint64_t>(n);
  }
  return sum;
}

std::uint64_t read_folder_ahead(const fs::path& folder, std::uint64_t limit, std::string& buffer) {
  std::vector<fs::directory_entry> entries;
  std::error_code failure;
  for (fs::directory_iterator entry(folder, failure), end; entry != end; entry.increment(failure))
    entries.push_back(*entry);
  std::sort(entries.begin(), entries.end());
  std::uint64_t sum = 0;
  for (const fs::directory_entry& entry : entries) {
    if (sum >= limit) break;
    const fs::file_status status = entry.symlink_status(failure);
    if (fs::is_directory(status)) sum += read_folder_ahead(entry.path(), limit - sum, buffer);
    if (fs::is_regular_file(status)) sum += read_file_ahead(entry.path(), limit - sum, buffer);
  }
  return sum;
}

}  // namespace

std::uint64_t read_ahead(const fs::path& folder, std::uint64_t limit) {
  std::string buffer(kPiece, '\0');
  return read_folder_ahead(folder, limit, buffer);
}

}  // namespace berth::tether::os

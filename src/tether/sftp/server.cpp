#include "tether/sftp/server.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "base/error.hpp"
#include "base/io.hpp"
#include "tether/sftp/attributes.hpp"

namespace berth::tether::sftp {
namespace {

using link::wire::Reader;
using link::wire::Writer;

/// Names of a directory in one answer.
constexpr int kNamesAtOnce = 100;

Writer begin(Type type, std::uint32_t id) {
  Writer writer;
  writer.u8(static_cast<std::uint8_t>(type));
  writer.u32(id);
  return writer;
}

std::string say(std::uint32_t id, Status status, std::string_view message) {
  Writer writer = begin(Type::status, id);
  writer.u32(static_cast<std::uint32_t>(status));
  writer.text(message);
  writer.text("");  // the language
  return std::move(writer).take();
}

std::string say_errno(std::uint32_t id, int number) {
  Status status = Status::failure;
  if (number == ENOENT || number == ENOTDIR || number == ELOOP) status = Status::no_such_file;
  if (number == EACCES || number == EPERM || number == EROFS) status = Status::permission_denied;
  return say(id, status, std::strerror(number));
}

/// The answer for a system call's result.
std::string say_result(std::uint32_t id, int result) {
  return result == 0 ? say(id, Status::ok, "Success") : say_errno(id, errno);
}

std::string say_attributes(std::uint32_t id, const struct stat& status) {
  Writer writer = begin(Type::attributes, id);
  write_attributes(attributes_of(status), writer);
  return std::move(writer).take();
}

std::string say_name(std::uint32_t id, std::string_view name) {
  Writer writer = begin(Type::name, id);
  writer.u32(1);
  writer.text(name);
  writer.text(name);
  write_attributes({}, writer);
  return std::move(writer).take();
}

int open_flags(std::uint32_t asked) {
  const bool reads = (asked & open_flag::read) != 0;
  const bool writes = (asked & open_flag::write) != 0;
  int flags = writes ? (reads ? O_RDWR : O_WRONLY) : O_RDONLY;
  if ((asked & open_flag::append) != 0) flags |= O_APPEND;
  if ((asked & open_flag::create) != 0) flags |= O_CREAT;
  if ((asked & open_flag::truncate) != 0) flags |= O_TRUNC;
  if ((asked & open_flag::exclusive) != 0) flags |= O_EXCL;
  return flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;  // a FIFO must not hold up the client's other requests
}

timespec seconds(std::uint32_t value) {
  timespec time{};
  time.tv_sec = value;
  return time;
}

/// 0, or -1 and errno of the first attribute that could not be set. `path` empty: of the open file.
int apply(const Attributes& attributes, int file, const char* path, bool follow) {
  const int flags = *path == '\0' ? AT_EMPTY_PATH : (follow ? 0 : AT_SYMLINK_NOFOLLOW);
  if (attributes.size) {
    const auto size = static_cast<off_t>(*attributes.size);
    if ((*path == '\0' ? ::ftruncate(file, size) : ::truncate(path, size)) != 0) return -1;
  }
  if (attributes.permissions) {
    const mode_t mode = *attributes.permissions & 07777;
    // There is no way to change a link's own.
    if (follow && (*path == '\0' ? ::fchmod(file, mode) : ::chmod(path, mode)) != 0) return -1;
  }
  if (attributes.times) {
    const timespec times[2] = {seconds(attributes.times->first), seconds(attributes.times->second)};
    const int result = *path == '\0' ? ::futimens(file, times)
                                     : ::utimensat(AT_FDCWD, path, times, flags & AT_SYMLINK_NOFOLLOW);
    if (result != 0) return -1;
  }
  if (!attributes.owner) return 0;
  return ::fchownat(*path == '\0' ? file : AT_FDCWD, path, attributes.owner->first, attributes.owner->second,
                    flags);
}

/// A client's path; an empty one is the working directory (section 6.2).
std::string path_of(Reader& request) {
  std::string path = request.text();
  if (path.find('\0') != std::string::npos) throw Error(Code::corrupt, "sftp: a path with a zero byte");
  return path.empty() ? "." : path;
}

/// Version 3 does not replace an existing file (section 6.5).
int rename_without_replacing(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL) return -1;
  struct stat status {};
  if (::lstat(to.c_str(), &status) == 0) {
    errno = EEXIST;
    return -1;
  }
  return ::rename(from.c_str(), to.c_str());
}

std::string greet() {
  Writer writer;
  writer.u8(static_cast<std::uint8_t>(Type::version));
  writer.u32(kVersion);
  for (const auto& [name, version] : {std::pair{"posix-rename@openssh.com", "1"},
                                      {"hardlink@openssh.com", "1"},
                                      {"fsync@openssh.com", "1"},
                                      {"lsetstat@openssh.com", "1"},
                                      {"limits@openssh.com", "1"}}) {
    writer.text(name);
    writer.text(version);
  }
  return std::move(writer).take();
}

}  // namespace

Server::Server() = default;
Server::~Server() = default;

std::string Server::answer(std::string_view packet) {
  Reader request(packet, "an SFTP packet");
  const Type type{request.u8()};
  if (type == Type::init) return greet();
  const std::uint32_t id = request.u32();
  return answer_request(type, id, request);
}

std::string Server::answer_request(Type type, std::uint32_t id, Reader& request) {
  switch (type) {
    case Type::open:
      return open(id, request);
    case Type::close:
      return close(id, request);
    case Type::read:
      return read(id, request);
    case Type::write:
      return write(id, request);
    case Type::lstat:
    case Type::stat:
      return stat(id, request, type == Type::stat);
    case Type::fstat:
      return stat_handle(id, request);
    case Type::setstat: {
      const std::string path = path_of(request);
      return say_result(id, apply(read_attributes(request), -1, path.c_str(), true));
    }
    case Type::fsetstat: {
      const Handle* handle = find(request.text());
      if (handle == nullptr || !handle->file) return say_errno(id, EBADF);
      return say_result(id, apply(read_attributes(request), handle->file.get(), "", true));
    }
    case Type::opendir:
      return open_directory(id, request);
    case Type::readdir:
      return read_directory(id, request);
    case Type::remove:
      return say_result(id, ::unlink(path_of(request).c_str()));
    case Type::mkdir: {
      const std::string path = path_of(request);
      const mode_t mode = read_attributes(request).permissions.value_or(0777) & 07777;
      return say_result(id, ::mkdir(path.c_str(), mode));
    }
    case Type::rmdir:
      return say_result(id, ::rmdir(path_of(request).c_str()));
    case Type::realpath:
      return real_path(id, request);
    case Type::rename: {
      const std::string from = path_of(request);
      return say_result(id, rename_without_replacing(from, path_of(request)));
    }
    case Type::readlink:
      return read_link(id, request);
    case Type::symlink: {
      // OpenSSH's order, not the draft's (OpenSSH, PROTOCOL, 4.1).
      const std::string target = path_of(request);
      return say_result(id, ::symlink(target.c_str(), path_of(request).c_str()));
    }
    case Type::extended:
      return answer_extended(id, request);
    default:
      return say(id, Status::unsupported, "Operation unsupported");
  }
}

std::string Server::answer_extended(std::uint32_t id, Reader& request) {
  const std::string name = request.text();
  if (name == "posix-rename@openssh.com") {
    const std::string from = path_of(request);
    return say_result(id, ::rename(from.c_str(), path_of(request).c_str()));
  }
  if (name == "hardlink@openssh.com") {
    const std::string from = path_of(request);
    return say_result(id, ::link(from.c_str(), path_of(request).c_str()));
  }
  if (name == "fsync@openssh.com") {
    const Handle* handle = find(request.text());
    return handle != nullptr && handle->file ? say_result(id, ::fsync(handle->file.get()))
                                             : say_errno(id, EBADF);
  }
  if (name == "lsetstat@openssh.com") {
    const std::string path = path_of(request);
    return say_result(id, apply(read_attributes(request), -1, path.c_str(), false));
  }
  if (name == "limits@openssh.com") {
    Writer writer = begin(Type::extended_reply, id);
    for (const std::size_t limit : {kPacketLimit, kDataLimit, kDataLimit, kHandleLimit}) writer.u64(limit);
    return std::move(writer).take();
  }
  return say(id, Status::unsupported, "Operation unsupported");
}

/// A place for a new handle, with the name that stands for it.
Server::Handle* Server::free_handle(std::string& name) {
  const auto free = std::find_if(handles_.begin(), handles_.end(), [](const Handle& h) { return !h.used(); });
  if (free == handles_.end()) return nullptr;
  Writer writer;
  writer.u32(static_cast<std::uint32_t>(free - handles_.begin()));
  name = std::move(writer).take();
  return &*free;
}

Server::Handle* Server::find(const std::string& name) {
  if (name.size() != sizeof(std::uint32_t)) return nullptr;
  const std::uint32_t number = link::wire::get_u32(name.data());
  return number < handles_.size() && handles_[number].used() ? &handles_[number] : nullptr;
}

std::string Server::open(std::uint32_t id, Reader& request) {
  const std::string path = path_of(request);
  const std::uint32_t flags = request.u32();
  const mode_t mode = read_attributes(request).permissions.value_or(0666) & 07777;
  std::string name;
  Handle* handle = free_handle(name);
  if (handle == nullptr) return say_errno(id, EMFILE);
  handle->file.reset(::open(path.c_str(), open_flags(flags), mode));
  if (!handle->file) return say_errno(id, errno);
  Writer writer = begin(Type::handle, id);
  writer.text(name);
  return std::move(writer).take();
}

std::string Server::open_directory(std::uint32_t id, Reader& request) {
  const std::string path = path_of(request);
  std::string name;
  Handle* handle = free_handle(name);
  if (handle == nullptr) return say_errno(id, EMFILE);
  handle->directory.reset(::opendir(path.c_str()));
  if (!handle->directory) return say_errno(id, errno);
  Writer writer = begin(Type::handle, id);
  writer.text(name);
  return std::move(writer).take();
}

std::string Server::close(std::uint32_t id, Reader& request) {
  Handle* handle = find(request.text());
  if (handle == nullptr) return say_errno(id, EBADF);
  // What a network file system could not write is said here.
  const int result = handle->file ? ::close(handle->file.release()) : 0;
  handle->directory.reset();
  return say_result(id, result);
}

std::string Server::read(std::uint32_t id, Reader& request) {
  const Handle* handle = find(request.text());
  const auto offset = static_cast<off_t>(request.u64());
  const std::size_t size = std::min<std::size_t>(request.u32(), kDataLimit);
  if (handle == nullptr || !handle->file) return say_errno(id, EBADF);
  std::string data(size, '\0');
  const ssize_t n = ::pread(handle->file.get(), data.data(), data.size(), offset);
  if (n < 0) return say_errno(id, errno);
  if (n == 0 && size > 0) return say(id, Status::end_of_file, "End of file");
  data.resize(static_cast<std::size_t>(n));
  Writer writer = begin(Type::data, id);
  writer.text(data);
  return std::move(writer).take();
}

std::string Server::write(std::uint32_t id, Reader& request) {
  const Handle* handle = find(request.text());
  auto offset = static_cast<off_t>(request.u64());
  const std::string data = request.text();
  if (handle == nullptr || !handle->file) return say_errno(id, EBADF);
  std::string_view rest = data;
  while (!rest.empty()) {
    const ssize_t n = ::pwrite(handle->file.get(), rest.data(), rest.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return say_errno(id, errno);
    rest.remove_prefix(static_cast<std::size_t>(n));
    offset += n;
  }
  return say_result(id, 0);
}

std::string Server::stat(std::uint32_t id, Reader& request, bool follow) {
  const std::string path = path_of(request);
  struct stat status {};
  const int result = follow ? ::stat(path.c_str(), &status) : ::lstat(path.c_str(), &status);
  return result == 0 ? say_attributes(id, status) : say_errno(id, errno);
}

std::string Server::stat_handle(std::uint32_t id, Reader& request) {
  const Handle* handle = find(request.text());
  struct stat status {};
  if (handle == nullptr || !handle->file) return say_errno(id, EBADF);
  return ::fstat(handle->file.get(), &status) == 0 ? say_attributes(id, status) : say_errno(id, errno);
}

std::string Server::read_directory(std::uint32_t id, Reader& request) {
  const Handle* handle = find(request.text());
  if (handle == nullptr || !handle->directory) return say_errno(id, EBADF);
  Writer names;
  std::uint32_t count = 0;
  while (count < kNamesAtOnce) {
    errno = 0;
    const dirent* entry = ::readdir(handle->directory.get());
    if (entry == nullptr) break;
    struct stat status {};
    if (::fstatat(::dirfd(handle->directory.get()), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
      continue;  // gone meanwhile
    names.text(entry->d_name);
    names.text(long_name(entry->d_name, status));
    write_attributes(attributes_of(status), names);
    ++count;
  }
  if (count == 0) return errno == 0 ? say(id, Status::end_of_file, "End of file") : say_errno(id, errno);
  Writer writer = begin(Type::name, id);
  writer.u32(count);
  return std::move(writer).take() + std::move(names).take();
}

std::string Server::real_path(std::uint32_t id, Reader& request) {
  const std::string path = path_of(request);
  const std::unique_ptr<char, decltype(&std::free)> whole(::realpath(path.c_str(), nullptr), &std::free);
  if (whole) return say_name(id, whole.get());
  const int failure = errno;
  // As sftp-server: of a path whose last part is not there yet, too.
  const std::size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::unique_ptr<char, decltype(&std::free)> folder(::realpath(parent.c_str(), nullptr), &std::free);
  if (failure != ENOENT || !folder) return say_errno(id, failure);
  const std::string last = slash == std::string::npos ? path : path.substr(slash + 1);
  const std::string_view base = folder.get();
  return say_name(id, std::string(base == "/" ? "" : base) + "/" + last);
}

std::string Server::read_link(std::uint32_t id, Reader& request) {
  char target[PATH_MAX];
  const ssize_t n = ::readlink(path_of(request).c_str(), target, sizeof target);
  return n >= 0 ? say_name(id, {target, static_cast<std::size_t>(n)}) : say_errno(id, errno);
}

namespace {

/// False at the end of the input.
bool read_exactly(int input, char* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t n = ::read(input, bytes, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

}  // namespace

int serve(int input, int output) {
  Server server;
  char length[4];
  try {
    while (read_exactly(input, length, sizeof length)) {
      const std::uint32_t size = link::wire::get_u32(length);
      if (size == 0 || size > kPacketLimit) return 1;
      std::string packet(size, '\0');
      if (!read_exactly(input, packet.data(), packet.size())) return 1;
      const std::string answer = server.answer(packet);
      link::wire::put_u32(length, static_cast<std::uint32_t>(answer.size()));
      write_all(output, {length, sizeof length});
      write_all(output, answer);
    }
  } catch (const Error&) {
    return 1;
  }
  return 0;
}

}  // namespace berth::tether::sftp

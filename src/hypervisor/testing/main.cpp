// A guest for tests: /init of a machine that does what it is told, one word a line, on its control port or by
// the words behind "--" on the kernel's command line. It says "hello" on the control port once that is open.
//
//   poweroff reset panic exit   end the machine in that way
//   console N                   write N bytes to the kernel's console
//   disks                       answer with "SERIAL:SECTORS:READ-ONLY ..."
//   echo output|attach          send back the next line of that port
//   serve PORT                  configure the network, then greet each TCP connection to PORT with "guest\n"
//   await disk|card NAME        answer "there" once it is there; NAME is a serial or a MAC address
//   await-gone disk|card NAME   answer "gone" once it is not
//   cpus N                      answer "done" once N CPUs are there, all online
//   memory MIB                  answer "done" once there are so many MiB of memory, give or take a piece
//   write SERIAL [OFFSET], read SERIAL [OFFSET]
//                               a mark on that disk, synced; the answer is what was read
//   remember WORD, recall       in its memory; answers "done", or the word
//   count PAGES                 answers "done" and counts from then on, writing the number into each of so
//                               many pages in turn
//   counted                     answer with the number
//   take MIB, give-back         fill so much memory, or free it; answers "done"
//   hold                        on the command line only: devices get no driver before
//   release                     answers "done"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr char kMark[] = "berth was here";

std::string read_small_file(const std::string& path) {
  char buffer[4096];
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  const ssize_t n = ::read(fd, buffer, sizeof buffer);
  ::close(fd);
  std::string text(buffer, n > 0 ? static_cast<std::size_t>(n) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

void mount_kernel_file_systems() {
  for (const char* path : {"/proc", "/sys", "/dev"}) ::mkdir(path, 0755);
  ::mount("proc", "/proc", "proc", 0, nullptr);
  ::mount("sysfs", "/sys", "sysfs", 0, nullptr);
  ::mount("devtmpfs", "/dev", "devtmpfs", 0, nullptr);
}

void load_modules(const std::string& list) {
  std::FILE* order = std::fopen(("/modules/" + list).c_str(), "re");
  if (order == nullptr) return;
  char line[256];
  while (std::fgets(line, sizeof line, order) != nullptr) {
    line[std::strcspn(line, "\n")] = '\0';
    const int fd = ::open((std::string("/modules/") + line).c_str(), O_RDONLY | O_CLOEXEC);
    if (::syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)
      std::printf("cannot load %s: %s\n", line, std::strerror(errno));
    ::close(fd);
  }
  std::fclose(order);
}

/// The device of a port or disk: the entry below `folder` whose `attribute` is `value`.
std::string find_device(const std::string& folder, const std::string& attribute, const std::string& value) {
  DIR* entries = ::opendir(folder.c_str());
  std::string found;
  while (entries != nullptr && found.empty()) {
    const dirent* entry = ::readdir(entries);
    if (entry == nullptr) break;
    if (read_small_file(folder + "/" + entry->d_name + "/" + attribute) == value) found = entry->d_name;
  }
  if (entries != nullptr) ::closedir(entries);
  return found.empty() ? found : "/dev/" + found;
}

/// Names of ports and disks come after their driver was loaded.
int open_device(const std::string& folder, const std::string& attribute, const std::string& value,
                int flags) {
  for (int tries = 0; tries < 2000; ++tries) {
    const std::string device = find_device(folder, attribute, value);
    const int fd = device.empty() ? -1 : ::open(device.c_str(), flags | O_CLOEXEC);
    if (fd >= 0) return fd;
    ::usleep(1000);
  }
  return -1;
}

int open_port(const std::string& name) {
  return open_device("/sys/class/virtio-ports", "name", "berth." + name, O_RDWR);
}

std::string read_line(int fd) {
  std::string line;
  char byte = 0;
  while (true) {
    const ssize_t n = ::read(fd, &byte, 1);
    if (n <= 0) {
      ::usleep(1000);  // the host's end is not open yet
      continue;
    }
    if (byte == '\n') return line;
    line += byte;
  }
}

void write_text(int fd, const std::string& text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n > 0) done += static_cast<std::size_t>(n);
  }
}

std::string list_disks() {
  std::string answer;
  DIR* entries = ::opendir("/sys/block");
  while (const dirent* entry = entries != nullptr ? ::readdir(entries) : nullptr) {
    const std::string folder = std::string("/sys/block/") + entry->d_name;
    const std::string serial = read_small_file(folder + "/serial");
    if (serial.empty()) continue;
    answer += serial + ":" + read_small_file(folder + "/size") + ":" + read_small_file(folder + "/ro") + " ";
  }
  return answer;
}

/// Of "SERIAL OFFSET"; where the mark is unless that is said.
off_t offset_in(const std::string& argument) {
  const std::size_t space = argument.find(' ');
  return space == std::string::npos ? 4096 : std::strtol(argument.c_str() + space, nullptr, 10);
}

std::string mark_disk(const std::string& argument) {
  const std::string serial = argument.substr(0, argument.find(' '));
  const int fd = open_device("/sys/block", "serial", serial, O_RDWR);
  const bool ok =
      fd >= 0 && ::pwrite(fd, kMark, sizeof kMark, offset_in(argument)) == sizeof kMark && ::fsync(fd) == 0;
  if (fd >= 0) ::close(fd);
  return ok ? "written" : "failed";
}

std::string read_disk(const std::string& argument) {
  const std::string serial = argument.substr(0, argument.find(' '));
  char buffer[64] = {};
  const int fd = open_device("/sys/block", "serial", serial, O_RDONLY);
  const bool ok = fd >= 0 && ::pread(fd, buffer, sizeof kMark, offset_in(argument)) == sizeof kMark;
  if (fd >= 0) ::close(fd);
  return ok ? std::string(buffer) : "failed";
}

bool configure_network() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "eth0");
  auto* address = reinterpret_cast<sockaddr_in*>(&request.ifr_addr);
  address->sin_family = AF_INET;
  ::inet_pton(AF_INET, "10.0.2.15", &address->sin_addr);
  bool ok = ::ioctl(fd, SIOCSIFADDR, &request) == 0;
  ::inet_pton(AF_INET, "255.255.255.0", &address->sin_addr);
  ok = ok && ::ioctl(fd, SIOCSIFNETMASK, &request) == 0;
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  ok = ok && ::ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  ::close(fd);
  return ok;
}

void serve(int control, std::uint16_t port) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  const bool ok = configure_network() &&
                  ::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                  ::listen(listener, 8) == 0;
  write_text(control, ok ? "serving\n" : "failed\n");
  if (!ok) return;
  while (true) {
    const int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    write_text(client, "guest\n");
    ::close(client);
  }
}

/// What has not become true after ten seconds never will.
bool becomes_true(bool (*condition)(const std::string&), const std::string& argument) {
  for (int tries = 0; tries < 10'000; ++tries) {
    if (condition(argument)) return true;
    ::usleep(1000);
  }
  return false;
}

bool is_there(const std::string& what) {
  const std::string name = what.substr(what.find(' ') + 1);
  return what.starts_with("disk ") ? !find_device("/sys/block", "serial", name).empty()
                                   : !find_device("/sys/class/net", "address", name).empty();
}

bool is_gone(const std::string& what) {
  return !is_there(what);
}

bool has_cpus(const std::string& wanted) {
  unsigned long online = 0;
  unsigned long offline = 0;
  for (unsigned long cpu = 0; cpu < 64; ++cpu) {
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu);
    if (::access(folder.c_str(), F_OK) != 0) continue;
    // The first one has no such file.
    if (read_small_file(folder + "/online") == "0") {
      const int fd = ::open((folder + "/online").c_str(), O_WRONLY | O_CLOEXEC);
      write_text(fd, "1");
      ::close(fd);
      ++offline;
    } else {
      ++online;
    }
  }
  return offline == 0 && online == std::strtoul(wanted.c_str(), nullptr, 10);
}

bool has_memory(const std::string& wanted) {
  constexpr long kPiece = 4;
  long total = 0;
  for (int block = 0; block < 512; ++block) {
    const std::string folder = "/sys/devices/system/memory/memory" + std::to_string(block);
    if (read_small_file(folder + "/state") == "offline") {
      const int fd = ::open((folder + "/state").c_str(), O_WRONLY | O_CLOEXEC);
      write_text(fd, "online_movable");
      ::close(fd);
    }
  }
  const std::string text = read_small_file("/proc/meminfo");
  std::sscanf(text.c_str(), "MemTotal: %ld", &total);
  // The kernel's own part and what it needs to manage the rest.
  static const long missing = std::strtol(wanted.c_str(), nullptr, 10) - total / 1024;
  const long lacking = std::strtol(wanted.c_str(), nullptr, 10) - total / 1024 - missing;
  return lacking >= -kPiece && lacking <= kPiece;
}

/// Mounts the host's folder with that tag, gives the content of "given", and writes "made".
std::string use_folder(const std::string& tag) {
  load_modules("folders");
  ::mkdir("/folder", 0755);
  if (::mount(tag.c_str(), "/folder", "virtiofs", 0, nullptr) != 0 && errno != EBUSY)
    return std::strerror(errno);
  const int fd = ::open("/folder/made", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return std::strerror(errno);
  write_text(fd, "by the guest");
  ::close(fd);
  return read_small_file("/folder/given");
}

void write_kernel_file(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (::write(fd, text.data(), text.size()) < 0) std::printf("cannot write %s\n", path.c_str());
  ::close(fd);
}

void release_devices() {
  const std::string bus = "/sys/bus/virtio";
  write_kernel_file(bus + "/drivers_autoprobe", "1");
  DIR* entries = ::opendir((bus + "/devices").c_str());
  while (const dirent* entry = entries != nullptr ? ::readdir(entries) : nullptr) {
    const std::string device = bus + "/devices/" + entry->d_name;
    if (entry->d_name[0] != '.' && ::access((device + "/driver").c_str(), F_OK) != 0)
      write_kernel_file(bus + "/drivers_probe", entry->d_name);
  }
  if (entries != nullptr) ::closedir(entries);
}

void* map_memory(std::size_t bytes, int flags) {
  return ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);
}

/// The number that a child counts up, as fast as timers of the guest go.
volatile std::uint64_t* count(std::size_t pages) {
  constexpr std::size_t kPage = 4096;
  auto* memory = static_cast<volatile std::uint64_t*>(map_memory((pages + 1) * kPage, MAP_SHARED));
  if (::fork() != 0) return memory;
  while (true) {
    const std::uint64_t number = *memory + 1;
    memory[(1 + number % pages) * kPage / sizeof number] = number;
    *memory = number;
    if (number % pages == 0) ::usleep(1000);
  }
}

/// What of a machine's memory its copies have, too.
void obey_memory(int control, const std::string& word, const std::string& argument) {
  static std::string remembered;
  static volatile std::uint64_t* number = nullptr;
  static char* taken = nullptr;
  static std::size_t taken_bytes = 0;
  if (word == "recall") return write_text(control, remembered + "\n");
  if (word == "counted") return write_text(control, std::to_string(*number) + "\n");
  const std::size_t amount = std::strtoul(argument.c_str(), nullptr, 10);
  if (word == "remember")
    remembered = argument;
  else if (word == "count")
    number = count(amount);
  else if (word == "take") {
    taken_bytes = amount << 20;
    taken = static_cast<char*>(map_memory(taken_bytes, MAP_PRIVATE));
    std::memset(taken, 'x', taken_bytes);
  } else if (word == "give-back")
    ::munmap(taken, taken_bytes);
  else
    return;
  write_text(control, "done\n");
}

void write_console(std::size_t count) {
  const int fd = ::open("/dev/console", O_WRONLY | O_CLOEXEC);
  write_text(fd, std::string(count, '#') + "\n");
  ::close(fd);
}

void obey(int control, const std::string& order) {
  const std::size_t space = order.find(' ');
  const std::string word = order.substr(0, space);
  const std::string argument = space == std::string::npos ? "" : order.substr(space + 1);
  if (word == "poweroff") ::reboot(RB_POWER_OFF);
  if (word == "reset") ::reboot(RB_AUTOBOOT);
  if (word == "exit") ::_exit(1);
  if (word == "panic") write_text(::open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC), "c");
  if (word == "console") {
    write_console(std::strtoul(argument.c_str(), nullptr, 10));
    write_text(control, "done\n");
  }
  if (word == "disks") write_text(control, list_disks() + "\n");
  if (word == "await") write_text(control, becomes_true(is_there, argument) ? "there\n" : "not there\n");
  if (word == "await-gone") write_text(control, becomes_true(is_gone, argument) ? "gone\n" : "not gone\n");
  if (word == "cpus") write_text(control, becomes_true(has_cpus, argument) ? "done\n" : "not done\n");
  if (word == "memory") {
    load_modules("memory");
    write_text(control, becomes_true(has_memory, argument) ? "done\n" : "not done\n");
  }
  if (word == "folder") write_text(control, use_folder(argument) + "\n");
  if (word == "release") {
    release_devices();
    write_text(control, "done\n");
  }
  obey_memory(control, word, argument);
  if (word == "write") write_text(control, mark_disk(argument) + "\n");
  if (word == "read") write_text(control, read_disk(argument) + "\n");
  if (word == "serve")
    serve(control, static_cast<std::uint16_t>(std::strtoul(argument.c_str(), nullptr, 10)));
  if (word == "echo") {
    const int port = open_port(argument);
    write_text(port, read_line(port) + "\n");
    ::close(port);
  }
}

}  // namespace

int main(int argc, char** argv) {
  mount_kernel_file_systems();
  std::setvbuf(stdout, nullptr, _IONBF, 0);
  load_modules("order");
  const bool hold = argc > 1 && std::string(argv[1]) == "hold";
  if (hold) write_kernel_file("/sys/bus/virtio/drivers_autoprobe", "0");
  load_modules("devices");
  const int control = open_port("control");
  write_text(control, "hello\n");
  for (int i = 1; i < argc; ++i) obey(control, argv[i]);
  while (true) obey(control, read_line(control));
}

// Sends its word as a line to the fork socket (docs/fork.md) and writes what is answered.

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string>

int main(int count, char** words) {
  if (count != 2) return 2;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, "/run/berth/fork.sock");
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return 3;
  const std::string line = std::string(words[1]) + "\n";
  if (::write(socket, line.data(), line.size()) < 0) return 4;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(socket, buffer, sizeof buffer)) > 0;) {
    if (::write(STDOUT_FILENO, buffer, static_cast<std::size_t>(n)) < 0) return 5;
  }
  return 0;
}

#include "image/skopeo.hpp"

#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "base/files.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "image/manifest.hpp"

namespace berth::image {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::minutes kInspectLimit{5};

std::string base64(const std::string& text) {
  std::string encoded(4 * ((text.size() + 2) / 3) + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                      reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  encoded.resize(static_cast<std::size_t>(size));
  return encoded;
}

/// containers-auth.json(5).
void write_authfile(const fs::path& path, const std::string& registry, const PullOptions& options) {
  if (options.username.find(':') != std::string::npos)
    throw Error(Code::invalid_argument, "a user name for a registry cannot have a ':'");
  const std::string secret = base64(options.username + ":" + options.password);
  const UniqueFd file = open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  write_all(file.get(), fmt::format("{{\"auths\":{{\"{}\":{{\"auth\":\"{}\"}}}}}}\n", registry, secret));
}

/// skopeo refuses to run without a policy file; a minimal installation has none.
bool has_policy() {
  const char* home = std::getenv("HOME");
  const auto readable = [](const fs::path& path) { return ::access(path.c_str(), R_OK) == 0; };
  return readable("/etc/containers/policy.json") ||
         (home != nullptr && readable(fs::path(home) / ".config/containers/policy.json"));
}

/// The message of the last fatal line in logrus' text form, else the last line.
std::string last_message(std::string_view output) {
  std::string_view found;
  for (const std::string& line : split(output, '\n')) {
    if (line.find("level=fatal") != std::string::npos || (!trim(line).empty() && found.empty()))
      found = output.substr(output.find(line), line.size());
  }
  const auto begin = found.find("msg=\"");
  if (begin == std::string_view::npos) return printable(trim(found), 600);
  std::string message;
  for (std::size_t i = begin + 5; i < found.size() && found[i] != '"'; ++i) {
    if (found[i] == '\\' && i + 1 < found.size()) ++i;
    message += found[i];
  }
  return printable(message, 600);
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool has_any(const std::string& text, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](std::string_view part) { return text.find(part) != std::string::npos; });
}

}  // namespace

bool is_loopback(std::string_view registry) {
  if (registry.starts_with('[')) return registry.substr(0, registry.find(']')) == "[::1";
  const std::string_view host = registry.substr(0, registry.find(':'));
  if (host == "localhost") return true;
  const auto parts = split(host, '.');
  return parts.size() == 4 && parts.front() == "127" &&
         std::all_of(parts.begin(), parts.end(), [](const auto& part) {
           return !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
         });
}

Error skopeo_error(std::string_view error_output, std::string_view what, std::string_view registry) {
  const std::string message = last_message(error_output);
  const std::string text = lower(message);
  if (has_any(text, {"no space left", "disk quota exceeded"}))
    return Error(Code::capacity, "cannot pull {}: the disk is full; make room and try again", what);
  if (has_any(text,
              {"digest did not match", "does not match", "digest mismatch", "unexpected eof in archive"}))
    return Error(Code::corrupt, "cannot pull {}: its data is damaged at the source ({})", what, message);
  if (has_any(text, {"invalid username/password", "incorrect username or password"}))
    return Error(Code::invalid_argument,
                 "cannot pull {}: {} refused the user name or password; log in again with: "
                 "skopeo login {}",
                 what, registry, registry);
  if (has_any(text, {"unauthorized", "authentication required", "access to the resource is denied",
                     "denied:", "403 (forbidden)"}))
    return Error(Code::not_found,
                 "cannot pull {}: it does not exist or needs a login; log in with: skopeo login {}", what,
                 registry);
  if (has_any(text, {"manifest unknown", "name unknown", "repository name not known", "no descriptor found",
                     "not found", "404"}))
    return Error(Code::not_found, "cannot pull {}: there is no such image; check the name and tag", what);
  if (has_any(text, {"toomanyrequests", "429"}))
    return Error(Code::unavailable,
                 "cannot pull {}: {} limits requests; try again later or log in with: skopeo login {}", what,
                 registry, registry);
  if (has_any(text, {"server gave http response to https client"}))
    return Error(Code::unavailable,
                 "cannot pull {}: {} speaks plain HTTP; if you trust the network allow it with "
                 "--insecure",
                 what, registry);
  if (has_any(text, {"x509:", "tls:", "certificate"}))
    return Error(Code::unavailable, "cannot pull {}: the certificate of {} is not trusted ({})", what,
                 registry, message);
  if (has_any(text,
              {"connection refused", "no such host", "name resolution", "no route to host", "unreachable",
               "timeout", "timed out", "deadline exceeded", "connection reset", "server misbehaving"}))
    return Error(Code::unavailable, "cannot pull {}: {} cannot be reached ({})", what, registry, message);
  if (has_any(text, {"no image found in"}))
    return Error(Code::unsupported, "cannot pull {}: it has no image for linux/{}", what,
                 host_architecture());
  if (has_any(text, {"no such file or directory"}))
    return Error(registry.empty() ? Code::corrupt : Code::unavailable,
                 "cannot pull {}: a part of it is missing ({})", what, message);
  return Error(registry.empty() ? Code::corrupt : Code::unavailable, "cannot pull {}: {}", what,
               message.empty() ? "skopeo failed without a message" : message);
}

Skopeo::Skopeo(const Source& source, const PullOptions& options, fs::path scratch)
    : source_(source), options_(options), scratch_(std::move(scratch)), authfile_(options.authfile) {
  const auto program = find_program("skopeo");
  if (!program) throw Error(Code::unavailable, "skopeo is missing; install it with: apt-get install skopeo");
  program_ = *program;
  if (!authfile_.empty()) authfile_ = fs::absolute(authfile_);
  if (!options.username.empty() && source.reference) {
    authfile_ = scratch_ / "auth.json";
    write_authfile(authfile_, source.reference->registry, options);
  }
}

ProcessSpec Skopeo::spec(const std::vector<std::string>& command) const {
  ProcessSpec spec;
  spec.program = program_;
  spec.directory = scratch_;
  spec.parent_death_signal = SIGKILL;
  spec.arguments = {"--tmpdir", scratch_.string()};
  if (!has_policy()) spec.arguments.emplace_back("--insecure-policy");
  spec.arguments.insert(spec.arguments.end(), command.begin(), command.end());
  return spec;
}

std::string Skopeo::manifest(const std::string& name) const {
  return inspect(name, false);
}
std::string Skopeo::config(const std::string& name) const {
  return inspect(name, true);
}

std::string Skopeo::inspect(const std::string& name, bool config) const {
  std::vector<std::string> command{"inspect", "--raw"};
  if (config) command.emplace_back("--config");
  if (source_.reference) {
    if (options_.insecure || is_loopback(source_.reference->registry))
      command.emplace_back("--tls-verify=false");
    if (!authfile_.empty()) command.insert(command.end(), {"--authfile", authfile_.string()});
  }
  command.push_back(name);
  const RunResult result =
      run(spec(command), std::min<std::chrono::milliseconds>(kInspectLimit, options_.limit));
  if (!result.status.success())
    throw skopeo_error(result.error_output, name, source_.reference ? source_.reference->registry : "");
  return result.output;
}

void Skopeo::copy(const std::string& name) const {
  std::vector<std::string> command{"copy", "--dest-oci-accept-uncompressed-layers", "--dest-shared-blob-dir",
                                   "blobs"};
  if (options_.quiet || options_.progress < 0) command.emplace_back("--quiet");
  if (source_.reference) {
    if (options_.insecure || is_loopback(source_.reference->registry))
      command.emplace_back("--src-tls-verify=false");
    if (!authfile_.empty()) command.insert(command.end(), {"--src-authfile", authfile_.string()});
  }
  // Relative to the scratch folder: a ':' in an absolute path would be taken for the tag's.
  command.insert(command.end(), {name, "oci:layout:image"});

  const fs::path errors = scratch_ / "skopeo.log";
  const UniqueFd error_file = open_file(errors, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
  ProcessSpec copying = spec(command);
  copying.standard_output = options_.quiet ? -1 : options_.progress;
  copying.standard_error = error_file.get();
  Process process = Process::spawn(copying);
  const auto status = process.wait_for(options_.limit);
  if (!status)
    throw Error(Code::timeout, "cannot pull {}: it took longer than {} seconds", name,
                std::chrono::duration_cast<std::chrono::seconds>(options_.limit).count());
  if (!status->success())
    throw skopeo_error(read_file(errors), name, source_.reference ? source_.reference->registry : "");
}

}  // namespace berth::image

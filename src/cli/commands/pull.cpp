#include <unistd.h>

#include "base/io.hpp"
#include "base/text.hpp"
#include "cli/command.hpp"
#include "image/store.hpp"

namespace berth::cli::command {

int pull(Context& context, const Arguments& arguments) {
  image::PullOptions options;
  options.progress = STDERR_FILENO;
  bool password_from_input = false;
  std::string authfile;
  std::vector<std::string> names;
  Parser parser("berth pull", "[OPTIONS] NAME[:TAG|@DIGEST]",
                "Gets an image from a registry, or from oci:DIR[:TAG], oci-archive:FILE[:TAG] or "
                "docker-archive:FILE[:REF].");
  parser.flag("-q,--quiet", options.quiet, "No progress, only the name")
      .flag("--insecure", options.insecure, "Allow plain HTTP and certificates that cannot be verified")
      .value("--username", "NAME", options.username,
             "User of the registry; the password comes by --password-stdin")
      .flag("--password-stdin", password_from_input, "Read the registry's password from standard input")
      .value("--authfile", "FILE", authfile, "Credentials, as 'docker login' and 'podman login' keep them")
      .positionals(names, 1, 1)
      .example("berth pull debian:12");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;

  if (options.username.empty() == password_from_input) {
    throw Error(Code::invalid_argument, "--username and --password-stdin go together");
  }
  constexpr std::size_t kPasswordLimit = 64u << 10;
  if (password_from_input) options.password = trim(read_all(STDIN_FILENO, kPasswordLimit));
  options.authfile = authfile;
  const image::Image image = context.engine().images().pull(names.front(), options);
  if (!options.quiet) print_line("Digest: " + image.source_digest);
  print_line(image.reference ? image.reference->full() : image.id);
  return 0;
}

}  // namespace berth::cli::command

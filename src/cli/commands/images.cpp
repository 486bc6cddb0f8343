#include "base/text.hpp"
#include "cli/command.hpp"
#include "cli/container_text.hpp"
#include "cli/listing.hpp"
#include "image/store.hpp"

namespace berth::cli::command {
namespace {

constexpr const char* kNone = "<none>";

std::string repository_text(const image::Image& image) {
  if (!image.reference) return kNone;
  image::Reference bare = *image.reference;
  const std::string familiar = bare.familiar();
  // The short form without its tag and digest.
  const std::size_t digest = familiar.find('@');
  const std::string name = familiar.substr(0, digest);
  return bare.tag.empty() ? name : name.substr(0, name.size() - bare.tag.size() - 1);
}

Listing list_images(const std::vector<image::Image>& images, bool whole, Nanoseconds now) {
  Listing listing;
  listing.fields = {{"Repository", "REPOSITORY"},      {"Tag", "TAG"},   {"ID", "IMAGE ID"},
                    {"CreatedSince", "CREATED"},       {"Size", "SIZE"}, {"Digest", "DIGEST", false},
                    {"CreatedAt", "CREATED AT", false}};
  for (const image::Image& image : images) {
    const bool dated = image.created.count() != 0;
    listing.rows.push_back(
        {repository_text(image),
         image.reference && !image.reference->tag.empty() ? image.reference->tag : kNone,
         image_id_text(image.id, whole), dated ? age_text(image.created.count(), now) : "N/A",
         format_decimal_size(image.size), image.source_digest, dated ? format_time(image.created) : "N/A"});
  }
  return listing;
}

}  // namespace

int images(Context& context, const Arguments& arguments) {
  bool quiet = false;
  bool whole = false;
  bool all = false;
  std::string format;
  std::vector<std::string> none;
  Parser parser("berth images", "[OPTIONS]", "Lists images.");
  parser.flag("-a,--all", all, "Accepted for scripts: all are shown always")
      .flag("-q,--quiet", quiet, "Show ids only")
      .flag("--no-trunc", whole, "Cut nothing short")
      .value("--format", "json|TEMPLATE", format,
             "An object a line, or a template such as '{{.Repository}}:{{.Tag}}'")
      .positionals(none, 0, 0)
      .example("berth images");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  const Listing listing = list_images(context.engine().images().list(), whole, SystemClock().now());
  print(render(listing, quiet && format.empty() ? "{{.ID}}" : format));
  return 0;
}

}  // namespace berth::cli::command

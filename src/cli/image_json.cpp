#include "cli/image_json.hpp"

#include <boost/json.hpp>

#include "base/clock.hpp"

namespace berth::cli {
namespace {

namespace json = boost::json;

json::array array_of(const std::vector<std::string>& texts) {
  return json::array(texts.begin(), texts.end());
}

/// A Go set: the texts as members without content.
json::object set_of(const std::vector<std::string>& texts) {
  json::object set;
  for (const std::string& text : texts) set[text] = json::object();
  return set;
}

json::object config_of(const image::ImageConfig& config) {
  json::object labels;
  for (const auto& [key, value] : config.labels) labels[key] = value;
  return {{"User", config.user},
          {"ExposedPorts", set_of(config.exposed_ports)},
          {"Env", array_of(config.env)},
          {"Entrypoint", array_of(config.entrypoint)},
          {"Cmd", array_of(config.cmd)},
          {"Volumes", set_of(config.volumes)},
          {"WorkingDir", config.working_dir},
          {"Labels", labels},
          {"StopSignal", config.stop_signal}};
}

}  // namespace

std::string describe_image(const image::Image& image) {
  json::array tags;
  json::array digests;
  if (image.reference && !image.reference->tag.empty()) tags.emplace_back(image.reference->full());
  if (image.reference) digests.emplace_back(image.reference->name() + "@" + image.source_digest);
  const json::object object = {{"Id", image.id},
                               {"RepoTags", tags},
                               {"RepoDigests", digests},
                               {"Created", format_time(image.created)},
                               {"Size", image.size},
                               {"Architecture", image.config.architecture},
                               {"Os", image.config.os},
                               {"Config", config_of(image.config)},
                               {"RootFS", {{"Type", "layers"}, {"Layers", array_of(image.config.diff_ids)}}}};
  return json::serialize(object);
}

}  // namespace berth::cli

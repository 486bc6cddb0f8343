#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/process.hpp"
#include "image/reference.hpp"
#include "image/store.hpp"

namespace berth::image {

/// Runs skopeo for one pull. All its files are in a scratch folder that the caller removes.
class Skopeo {
 public:
  /// Throws unavailable when skopeo is not installed.
  Skopeo(const Source& source, const PullOptions& options, std::filesystem::path scratch);

  /// The raw manifest or index at `name` (Source::skopeo_name).
  std::string manifest(const std::string& name) const;
  /// The raw config of the image for this machine at `name`.
  std::string config(const std::string& name) const;
  /// Copies this machine's image at `name` into the OCI layout SCRATCH/layout with its blobs below
  /// SCRATCH/blobs; blobs that are there already are not fetched.
  void copy(const std::string& name) const;

  /// The command line of an inspection or a copy.
  ProcessSpec spec(const std::vector<std::string>& command) const;

 private:
  std::string inspect(const std::string& name, bool config) const;

  Source source_;
  PullOptions options_;
  std::filesystem::path scratch_;
  std::filesystem::path program_;
  std::filesystem::path authfile_;
};

/// True for registries on the loopback interface: 127.0.0.0/8, [::1] and localhost, with or without a port.
bool is_loopback(std::string_view registry);

/// What skopeo's standard error means for a user who pulls `what` from `registry` (empty for files).
Error skopeo_error(std::string_view error_output, std::string_view what, std::string_view registry);

}  // namespace berth::image

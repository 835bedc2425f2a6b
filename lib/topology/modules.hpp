// The worker modules by name (SPEC 9, issue: passthrough, uppercase, tee, meter, rate-limit, filter-lines,
// file-source, file-sink, count), with their parameters. The executor runs them (executor/worker.hpp);
// whoever checks a topology asks here whether a module exists and what it takes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "reflect/decode.hpp"
#include "reflect/schema.hpp"

namespace kairo::topology {

struct NoModuleParams {
  static constexpr auto fields() { return std::tuple<>(); }
};

struct TeeParams {
  std::string path;
  bool append = false;
  static constexpr auto fields() {
    using S = TeeParams;
    return std::tuple(reflect::field("path", &S::path, "File that gets a copy of everything"),
                      reflect::defaulted("append", &S::append, "Keep what the file holds already (false)"));
  }
};

struct RateLimitParams {
  std::uint64_t bytes_per_second = 0;
  std::optional<std::uint64_t> burst_bytes;
  static constexpr auto fields() {
    using S = RateLimitParams;
    return std::tuple(
        reflect::field("bytesPerSecond", &S::bytes_per_second, "Bytes that may pass in a second, at least 1"),
        reflect::field("burstBytes", &S::burst_bytes, "Bytes that may pass at once (a tenth of a second's)"));
  }
};

struct FilterLinesParams {
  std::string match;
  bool invert = false;
  static constexpr auto fields() {
    using S = FilterLinesParams;
    return std::tuple(reflect::field("match", &S::match,
                                     "Extended regular expression (POSIX) that a line must contain to pass"),
                      reflect::defaulted("invert", &S::invert, "Let the other lines pass (false)"));
  }
};

struct FileSourceParams {
  std::string path;
  std::optional<std::uint64_t> offset;
  std::optional<std::uint64_t> repeat;
  static constexpr auto fields() {
    using S = FileSourceParams;
    return std::tuple(reflect::field("path", &S::path, "File to read"),
                      reflect::field("offset", &S::offset, "Byte to begin with (0)"),
                      reflect::field("repeat", &S::repeat, "How often it is given in all (1)"));
  }
};

struct FileSinkParams {
  std::string path;
  bool append = false;
  bool sync = false;
  static constexpr auto fields() {
    using S = FileSinkParams;
    return std::tuple(reflect::field("path", &S::path, "File to write"),
                      reflect::defaulted("append", &S::append, "Keep what the file holds already (false)"),
                      reflect::defaulted("sync", &S::sync, "Bring it to the disk at the end (false)"));
  }
};

struct ModuleInfo {
  std::string_view name;
  std::string_view text;
  bool takes_input;
  bool gives_output;
  const reflect::TypeInfo* params;
  /// Decodes and checks params at that path; an Error with details.path where they are wrong.
  Result<void> (*check)(const reflect::Any& params, const std::string& path);
};

const std::vector<ModuleInfo>& modules();
/// nullptr: there is none of that name.
const ModuleInfo* find_module(std::string_view name);

}  // namespace kairo::topology

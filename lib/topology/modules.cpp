#include "topology/modules.hpp"

#include "topology/pattern.hpp"
#include "wire/payload.hpp"

namespace kairo::topology {
namespace {

Error wrong(const std::string& path, const std::string& problem) {
  return Error(Code::invalid_params, path + " " + problem).with("path", path);
}

Result<void> check_file(const std::string& file, const std::string& path) {
  if (file.empty()) return wrong(path + ".path", "is empty");
  if (file.find('\0') != std::string::npos) return wrong(path + ".path", "holds a NUL byte");
  return {};
}

Result<void> check_values(const NoModuleParams&, const std::string&) {
  return {};
}
Result<void> check_values(const TeeParams& params, const std::string& path) {
  return check_file(params.path, path);
}
Result<void> check_values(const RateLimitParams& params, const std::string& path) {
  if (params.bytes_per_second < 1) return wrong(path + ".bytesPerSecond", "must be at least 1");
  if (params.burst_bytes && *params.burst_bytes < 1) return wrong(path + ".burstBytes", "must be at least 1");
  return {};
}
Result<void> check_values(const FilterLinesParams& params, const std::string& path) {
  if (const auto fault = find_pattern_fault(params.match)) return wrong(path + ".match", *fault);
  return {};
}
Result<void> check_values(const FileSourceParams& params, const std::string& path) {
  if (params.repeat && *params.repeat < 1) return wrong(path + ".repeat", "must be at least 1");
  return check_file(params.path, path);
}
Result<void> check_values(const FileSinkParams& params, const std::string& path) {
  return check_file(params.path, path);
}

template <class Params>
Result<void> check_params(const reflect::Any& params, const std::string& path) {
  static constexpr char empty_map[] = "\x80";
  wire::PayloadDecoder decoder;
  auto value =
      decoder.decode(params.msgpack.empty() ? empty_map : std::string_view(params.msgpack), wire::Shape::any);
  if (!value) return wrong(path, "is no well-formed map");
  auto decoded = reflect::from_object<Params>(*value, path, reflect::Unknown::refuse);
  if (!decoded) return std::move(decoded).error();
  return check_values(*decoded, path);
}

template <class Params>
ModuleInfo row(std::string_view name, std::string_view text, bool takes_input, bool gives_output) {
  return {name, text, takes_input, gives_output, &reflect::type_info<Params>(), &check_params<Params>};
}

}  // namespace

const std::vector<ModuleInfo>& modules() {
  static const std::vector<ModuleInfo> all{
      row<NoModuleParams>("passthrough", "Gives what it gets", true, true),
      row<NoModuleParams>("uppercase", "Makes the letters a to z capitals", true, true),
      row<TeeParams>("tee", "Gives what it gets, and writes a copy to a file", true, true),
      row<NoModuleParams>("meter", "Gives what it gets, and counts bytes, lines and their rate", true, true),
      row<RateLimitParams>("rate-limit", "Gives what it gets, no faster than it may", true, true),
      row<FilterLinesParams>("filter-lines", "Gives the lines that match a regular expression", true, true),
      row<FileSourceParams>("file-source", "Gives what a file holds", false, true),
      row<FileSinkParams>("file-sink", "Writes what it gets to a file", true, false),
      row<NoModuleParams>("count", "Counts the bytes and lines that it gets, and gives both at the end", true,
                          true),
  };
  return all;
}

const ModuleInfo* find_module(std::string_view name) {
  for (const ModuleInfo& each : modules())
    if (each.name == name) return &each;
  return nullptr;
}

}  // namespace kairo::topology

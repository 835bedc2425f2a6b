// What the checks of a topology say: one error that names its path.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "reflect/decode.hpp"

namespace kairo::topology {

/// E_INVALID_PARAMS "PATH PROBLEM", with details.path.
inline Error wrong(const std::string& path, const std::string& problem) {
  return Error(Code::invalid_params, path + " " + problem).with("path", path);
}

/// "params.topology.nodes[3]"
inline std::string in_path(const std::string& list, std::size_t index) {
  return list + "[" + std::to_string(index) + "]";
}

inline std::string in_quotes(std::string_view text) {
  return "\"" + reflect::quotable(text) + "\"";
}

inline bool has_nul(std::string_view text) {
  return text.find('\0') != std::string_view::npos;
}

/// "; did you mean "uppercase"?", or nothing.
inline std::string did_you_mean(std::string_view name, const std::vector<std::string_view>& names) {
  const std::string_view near = reflect::nearest_name(name, names.data(), names.size());
  return near.empty() ? std::string() : "; did you mean \"" + std::string(near) + "\"?";
}

}  // namespace kairo::topology

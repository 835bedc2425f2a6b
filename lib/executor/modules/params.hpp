// A module's parameters out of what a topology says.
#pragma once

#include <memory>
#include <string>

#include "executor/module.hpp"
#include "reflect/decode.hpp"
#include "wire/payload.hpp"

namespace kairo::executor {

/// Decodes `params` (nothing counts as an empty map) into a P; E_INVALID_PARAMS with details.path.
template <class P>
Result<P> module_params(const reflect::Any& params, const ModuleStart& start) {
  wire::PayloadDecoder decoder;
  auto object = decoder.decode(params.msgpack.empty() ? std::string_view("\x80") : params.msgpack);
  if (!object) return Error(Code::invalid_params, start.path + " must be a map").with("path", start.path);
  return reflect::from_object<P>(*object, start.path, reflect::Unknown::refuse);
}

/// That a parameter has a value that is of no use.
inline Error refused_param(const ModuleStart& start, const std::string& name, const std::string& problem) {
  const std::string at = start.path + "." + name;
  return Error(Code::invalid_params, at + " " + problem).with("path", at);
}

/// `path`, relative to the node's working directory.
inline std::string module_path(const ModuleStart& start, const std::string& path) {
  if (path.starts_with('/') || start.cwd.empty()) return path;
  return start.cwd + (start.cwd.ends_with('/') ? "" : "/") + path;
}

}  // namespace kairo::executor

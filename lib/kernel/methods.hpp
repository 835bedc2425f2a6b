// The method table: name, both structs, what it needs, its handler - one row each (methods.cpp).
#pragma once

#include <functional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kernel/call.hpp"
#include "reflect/schema.hpp"

namespace kairo::kernel {

class Kernel;

/// What a caller needs to call a method. There is no default: a row without it does not compile.
enum class Needs {
  nothing,  ///< Any connection, also one without rights.
  rights,   ///< A principal; the handler gives it what it may see or act on.
  reach,    ///< The right to act on the session that the params name; the handler asks Kernel::reach.
  spawn,    ///< The right to create processes, within what the policy and its own session leave.
  rule,     ///< The right to stop and replace the daemon: of its own user and of root, as such.
};

struct Method {
  std::string_view name;
  std::string_view text;
  Needs needs;
  const reflect::TypeInfo* params;
  const reflect::TypeInfo* result;
  /// Decodes, calls the handler; answers an error itself.
  std::function<void(Kernel&, Call&, const msgpack::object* params, Answerer)> call;
};

class MethodTable {
 public:
  MethodTable();
  [[nodiscard]] const Method* find(std::string_view name) const;
  [[nodiscard]] const std::vector<Method>& all() const { return methods_; }
  /// Its place in all(), or the place behind the last for nullptr.
  [[nodiscard]] std::size_t place_of(const Method* method) const {
    return method ? static_cast<std::size_t>(method - methods_.data()) : methods_.size();
  }
  /// The known name nearest to a wrong one, or empty.
  [[nodiscard]] std::string_view nearest(std::string_view name) const;

 private:
  std::vector<Method> methods_;
  std::unordered_map<std::string_view, const Method*> by_name_;
};

}  // namespace kairo::kernel

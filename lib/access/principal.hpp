// Who acts, and on what (SPEC 7.1, 7.2). A principal is "user:UID", narrowed by identify to "user:UID/NAME".
// (Principals of processes inside a session and the policy file come with their own issue and belong here.)
#pragma once

#include <string>
#include <string_view>
#include <sys/types.h>

#include "base/result.hpp"

namespace kairo::access {

class Principal {
 public:
  static Principal user(uid_t uid);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] uid_t uid() const { return uid_; }

  /// The same user under a name of its own. Only ever narrows: a principal that has a name already is refused
  /// another (E_PERMISSION_DENIED). E_INVALID_PARAMS for a name that is none.
  [[nodiscard]] Result<Principal> narrowed(std::string_view name) const;

  /// Whether it may act on what `owner` created: its own, and that of names below it.
  [[nodiscard]] bool may_act_on(std::string_view owner) const;

 private:
  Principal(uid_t uid, std::string name) : uid_(uid), name_(std::move(name)) {}
  uid_t uid_;
  std::string name_;
};

}  // namespace kairo::access

// Who acts, and on what (SPEC 7.1, 7.2).
//
// A principal is "user:UID"; "user:UID/NAME" after identify; or, for a process inside a session, "process:ID"
// below the principal that started that session. Its path tells that whole line, root first, words apart by
// one space, and a session by its key as well, since ids may be used again:
//
//   user:1000/ci process:build#17 process:step#18
//
// What a principal creates is owned by its path, and it may act on what is owned by its path or by one below.
// So a user reaches all of its tree, and a process only what came from it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "base/result.hpp"

namespace kairo::access {

/// Of the name that identify gives.
inline constexpr std::size_t principal_name_bytes = 64;

class Principal {
 public:
  static Principal user(uid_t uid);
  /// A process of `uid` inside the session `id` with that key, which `owner` (a path) has created.
  static Principal process(uid_t uid, std::string_view owner, std::string_view id, std::uint64_t key);
  /// Somebody who comes from the keeper but from no session that can be named: no rights.
  static Principal unattributed(uid_t uid);

  /// As it is shown: "user:1000/ci", "process:build".
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] uid_t uid() const { return uid_; }
  [[nodiscard]] bool has_rights() const { return has_rights_; }
  /// The session it is inside of; 0: of none.
  [[nodiscard]] std::uint64_t session_key() const { return session_key_; }
  /// Neither inside a session nor under a name.
  [[nodiscard]] bool is_plain_user() const;

  /// The same principal under a name of its own. Only ever narrows: one that has a name already is refused
  /// another (E_PERMISSION_DENIED). E_INVALID_PARAMS for a name that is none.
  [[nodiscard]] Result<Principal> narrowed(std::string_view name) const;

  /// Whether it may act on what the path `owner` created.
  [[nodiscard]] bool may_act_on(std::string_view owner) const;

 private:
  Principal(uid_t uid, std::string path);
  uid_t uid_;
  std::string path_;
  std::string name_;
  std::uint64_t session_key_ = 0;
  bool has_rights_ = true;
};

/// The name of the principal with that path.
std::string name_of_path(std::string_view path);

/// Whether both paths begin with the same user, under whatever name.
bool same_user(std::string_view path, std::string_view other);

/// The names along a path, root first: "user:1000/ci", "process:build", "process:step".
std::vector<std::string> names_along(std::string_view path);

}  // namespace kairo::access

#include "access/principal.hpp"

#include <algorithm>

namespace kairo::access {
namespace {

/// One word of a path, without a session's key: "process:build#17/x" becomes "process:build/x".
std::string shown(std::string_view word) {
  const std::size_t key = word.find('#');
  if (key == std::string_view::npos) return std::string(word);
  std::string out(word.substr(0, key));
  const std::size_t slash = word.find('/', key);
  if (slash != std::string_view::npos) out += word.substr(slash);
  return out;
}

std::string_view last_word(std::string_view path) {
  const std::size_t space = path.rfind(' ');
  return space == std::string_view::npos ? path : path.substr(space + 1);
}

}  // namespace

Principal::Principal(uid_t uid, std::string path)
    : uid_(uid), path_(std::move(path)), name_(name_of_path(path_)) {}

Principal Principal::user(uid_t uid) {
  return {uid, "user:" + std::to_string(uid)};
}

Principal Principal::process(uid_t uid, std::string_view owner, std::string_view id, std::uint64_t key) {
  std::string path(owner);
  path.append(" process:").append(id).append("#").append(std::to_string(key));
  Principal out(uid, std::move(path));
  out.session_key_ = key;
  return out;
}

Principal Principal::unattributed(uid_t uid) {
  Principal out(uid, "unattributed:" + std::to_string(uid));
  out.has_rights_ = false;
  return out;
}

bool Principal::is_plain_user() const {
  return has_rights_ && path_.find_first_of(" /") == std::string::npos;
}

Result<Principal> Principal::narrowed(std::string_view name) const {
  const bool good = !name.empty() && name.size() <= principal_name_bytes &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                             c == '.' || c == '_' || c == '-';
                    });
  if (!good)
    return Error(Code::invalid_params,
                 "params.name must be 1 to 64 letters, digits, dots, dashes or underscores")
        .with("path", std::string("params.name"));
  const std::string_view own = last_word(path_);
  const std::size_t slash = own.find('/');
  if (slash != std::string_view::npos) {
    if (own.substr(slash + 1) == name) return *this;
    return Error(Code::permission_denied, "cannot identify as \"" + std::string(name) +
                                              "\": this connection acts as " + name_ +
                                              " already, and identify only narrows");
  }
  Principal out(uid_, path_ + "/" + std::string(name));
  out.session_key_ = session_key_;
  out.has_rights_ = has_rights_;
  return out;
}

bool Principal::may_act_on(std::string_view owner) const {
  if (!has_rights_ || !owner.starts_with(path_)) return false;
  return owner.size() == path_.size() || owner[path_.size()] == '/' || owner[path_.size()] == ' ';
}

std::string name_of_path(std::string_view path) {
  return shown(last_word(path));
}

bool same_user(std::string_view path, std::string_view other) {
  return path.substr(0, path.find_first_of(" /")) == other.substr(0, other.find_first_of(" /"));
}

std::vector<std::string> names_along(std::string_view path) {
  std::vector<std::string> out;
  while (!path.empty()) {
    const std::size_t space = std::min(path.find(' '), path.size());
    out.push_back(shown(path.substr(0, space)));
    path.remove_prefix(std::min(space + 1, path.size()));
  }
  return out;
}

}  // namespace kairo::access

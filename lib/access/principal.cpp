#include "access/principal.hpp"

#include <algorithm>

namespace kairo::access {

Principal Principal::user(uid_t uid) {
  return {uid, "user:" + std::to_string(uid)};
}

Result<Principal> Principal::narrowed(std::string_view name) const {
  const bool good = !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
  if (!good)
    return Error(Code::invalid_params,
                 "params.name must be 1 to 64 letters, digits, dots, dashes or underscores")
        .with("path", std::string("params.name"));
  const std::string wanted = "user:" + std::to_string(uid_) + "/" + std::string(name);
  if (wanted == name_) return *this;
  if (name_.find('/') != std::string::npos)
    return Error(Code::permission_denied, "cannot identify as \"" + std::string(name) +
                                              "\": this connection acts as " + name_ +
                                              " already, and identify only narrows");
  return Principal(uid_, wanted);
}

bool Principal::may_act_on(std::string_view owner) const {
  if (owner == name_) return true;
  return owner.size() > name_.size() && owner.substr(0, name_.size()) == name_ && owner[name_.size()] == '/';
}

}  // namespace kairo::access

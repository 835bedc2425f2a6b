#include "access/policy.hpp"

#include <algorithm>
#include <sstream>

#include <msgpack.hpp>

#include "reflect/decode.hpp"
#include "sandbox/profile.hpp"

namespace kairo::access {
namespace {

const std::string allow = "allow";
const std::string deny = "deny";

std::string shipped_names() {
  std::string out;
  for (const std::string_view each : sandbox::shipped_profiles())
    out.append(out.empty() ? "" : ", ").append(each);
  return out;
}

Error bad(const std::string& path, const std::string& problem) {
  return Error(Code::invalid_params, path + " " + problem).with("path", path);
}

bool is_shipped(std::string_view name) {
  return sandbox::shipped_profile(name).known;
}

Result<void> check_undeclared(const PolicyDocument& document, const std::optional<std::string>& name,
                              const std::string& path) {
  if (!name || *name == allow || *name == deny || is_shipped(*name)) return {};
  if (document.profiles && document.profiles->contains(*name)) return {};
  return bad(path, "names no profile: \"" + *name + "\" is none of allow, deny, " + shipped_names() +
                       ", or those of policy.profiles");
}

/// user:UID, user:UID/NAME, process:ID, process:ID/NAME, with * for any characters; or * alone. Not a user's
/// name: that would bind nobody.
bool is_pattern(std::string_view pattern) {
  if (pattern == "*") return true;
  const bool user = pattern.starts_with("user:");
  if (!user && !pattern.starts_with("process:")) return false;
  const std::string_view rest = pattern.substr(pattern.find(':') + 1);
  const std::size_t slash = rest.find('/');
  const auto only = [](std::string_view text, std::string_view further) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
      return (c >= '0' && c <= '9') || c == '*' || further.find(c) != std::string_view::npos;
    });
  };
  constexpr std::string_view word = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-";
  if (!only(rest.substr(0, slash), user ? "" : word)) return false;
  return slash == std::string_view::npos || only(rest.substr(slash + 1), word);
}

bool plain_number(double value) {
  return value > 0 && value <= 1e6;  // not NaN either
}

std::string text_of(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

template <class T>
bool merge(const std::optional<T>& ceiling, std::optional<T>& declared) {
  if (!ceiling) return true;
  if (!declared) declared = ceiling;
  return *declared <= *ceiling;
}

/// The value of a limit by its name, for messages.
std::string limit_text(const api::ResourceLimits& limits, std::string_view name) {
  std::string out;
  reflect::for_each_field<api::ResourceLimits>([&](const auto& field) {
    if (field.name != name) return;
    const auto& value = limits.*(field.member);
    if (!value) return;
    if constexpr (std::is_same_v<std::decay_t<decltype(*value)>, double>)
      out = text_of(*value);
    else
      out = std::to_string(*value);
  });
  return out;
}

Error denied(const Principal& principal, const Policy::Binding& rule, const std::string& what) {
  return Error(Code::permission_denied, principal.name() + " " + what + ": refused by " + rule.name)
      .with("rule", rule.name);
}

}  // namespace

bool matches_glob(std::string_view pattern, std::string_view text) {
  std::size_t at = 0, in_text = 0, star = std::string_view::npos, resume = 0;
  while (in_text < text.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      resume = in_text;
    } else if (at < pattern.size() && pattern[at] == text[in_text]) {
      ++at;
      ++in_text;
    } else if (star != std::string_view::npos) {
      at = star + 1;
      in_text = ++resume;
    } else {
      return false;
    }
  }
  while (at < pattern.size() && pattern[at] == '*') ++at;
  return at == pattern.size();
}

Result<Policy> Policy::read(std::string_view msgpack) {
  const auto handle = msgpack::unpack(msgpack.data(), msgpack.size());
  auto document = reflect::from_object<PolicyDocument>(handle.get(), "policy", reflect::Unknown::refuse);
  if (!document) return std::move(document).error();
  Policy out;
  out.document_ = std::move(*document);
  const PolicyDocument& read = out.document_;
  if (read.profiles)
    for (const auto& [name, permissions] : *read.profiles)
      if (name.empty() || name == allow || name == deny || is_shipped(name))
        return bad("policy.profiles." + name, "cannot be a profile's name: it has a meaning already");
  auto checked = check_undeclared(read, read.undeclared, "policy.undeclared");
  if (!checked) return std::move(checked).error();
  if (!read.rules) return out;
  for (std::size_t i = 0; i < read.rules->size(); ++i) {
    const Rule& rule = (*read.rules)[i];
    const std::string path = "policy.rules[" + std::to_string(i) + "]";
    if (!is_pattern(rule.principal))
      return bad(
          path + ".principal",
          "must be user:UID, user:UID/NAME or process:ID, with * for any characters, or * alone; not \"" +
              rule.principal + "\"");
    checked = check_undeclared(read, rule.undeclared, path + ".undeclared");
    if (!checked) return std::move(checked).error();
    if (rule.permissions && rule.permissions->fs)
      for (const auto& [paths, name] :
           {std::pair(&rule.permissions->fs->read, "read"), std::pair(&rule.permissions->fs->write, "write")})
        if (*paths)
          for (const std::string& each : **paths)
            if (!each.starts_with('/'))
              return bad(path + ".permissions.fs." + name,
                         "must be absolute paths: a ceiling does not go along with a working directory");
    if (rule.limits && rule.limits->cpu && !plain_number(*rule.limits->cpu))
      return bad(path + ".limits.cpu", "must be a number of cores above 0");
    std::string zero;
    if (rule.limits)
      reflect::for_each_field<api::ResourceLimits>([&](const auto& field) {
        const auto& value = (*rule.limits).*(field.member);
        if (value && *value == 0) zero = field.name;
      });
    if (!zero.empty()) return bad(path + ".limits." + zero, "must be above 0");
  }
  return out;
}

std::vector<Policy::Binding> Policy::binding(const Principal& principal) const {
  std::vector<Binding> out;
  if (!document_.rules) return out;
  const auto bind = [&](std::string_view name) {
    for (std::size_t i = 0; i < document_.rules->size(); ++i) {
      const Rule& rule = (*document_.rules)[i];
      if (!matches_glob(rule.principal, name)) continue;
      const bool bound =
          std::any_of(out.begin(), out.end(), [&](const Binding& each) { return each.rule == &rule; });
      if (!bound)
        out.push_back({&rule, "policy.rules[" + std::to_string(i) + "] (\"" + rule.principal + "\")"});
      return;
    }
  };
  for (const std::string& name : names_along(principal.path())) {
    // A name only narrows: what binds the one who took it on binds on.
    const std::size_t slash = name.find('/');
    if (slash != std::string::npos) bind(std::string_view(name).substr(0, slash));
    bind(name);
  }
  return out;
}

Result<void> Policy::check_method(const std::vector<Binding>& rules, const Principal& principal,
                                  std::string_view method) {
  for (const Binding& each : rules) {
    if (!each.rule->methods) continue;
    const bool allowed =
        std::any_of(each.rule->methods->begin(), each.rule->methods->end(),
                    [&](const std::string& pattern) { return matches_glob(pattern, method); });
    if (!allowed) return denied(principal, each, "may not call " + std::string(method));
  }
  return {};
}

std::optional<std::string_view> merge_limits(const api::ResourceLimits& ceiling,
                                             api::ResourceLimits& declared) {
  std::optional<std::string_view> passed;
  reflect::for_each_field<api::ResourceLimits>([&](const auto& field) {
    if (!merge(ceiling.*(field.member), declared.*(field.member)) && !passed) passed = field.name;
  });
  return passed;
}

void lower_limits(const api::ResourceLimits& ceiling, api::ResourceLimits& limits) {
  reflect::for_each_field<api::ResourceLimits>([&](const auto& field) {
    const auto& most = ceiling.*(field.member);
    auto& value = limits.*(field.member);
    if (most && (!value || *most < *value)) value = most;
  });
}

Result<api::ResourceLimits> Policy::check_limits(const std::vector<Binding>& rules,
                                                 const Principal& principal,
                                                 const api::ResourceLimits& declared) {
  api::ResourceLimits out = declared;
  // What one rule gives another may lower: only what the spawn itself has named can pass a ceiling.
  for (const Binding& each : rules) {
    if (!each.rule->limits) continue;
    api::ResourceLimits asked = declared;
    if (const auto passed = merge_limits(*each.rule->limits, asked))
      return denied(principal, each,
                    "may not set limits." + std::string(*passed) + " to " + limit_text(declared, *passed) +
                        ", at most to " + limit_text(*each.rule->limits, *passed))
          .with("path", "params.options.limits." + std::string(*passed));
    lower_limits(*each.rule->limits, out);
  }
  return out;
}

const std::string& Policy::undeclared(const std::vector<Binding>& rules) const {
  // The rule of the process, which stands last, before that of its user; but neither widens what the other
  // says.
  const std::string* out = nullptr;
  for (const Binding& each : rules) {
    if (!each.rule->undeclared) continue;
    if (!out || *out == allow || *each.rule->undeclared == deny) out = &*each.rule->undeclared;
    if (*out != deny && *each.rule->undeclared != allow) out = &*each.rule->undeclared;
  }
  if (out) return *out;
  return document_.undeclared ? *document_.undeclared : allow;
}

const api::Permissions* Policy::profile(std::string_view name) const {
  if (!document_.profiles) return nullptr;
  const auto it = document_.profiles->find(std::string(name));
  return it == document_.profiles->end() ? nullptr : &it->second;
}

}  // namespace kairo::access

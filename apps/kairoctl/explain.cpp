// kairoctl explain: what a session's permissions cover, and what it was denied.
//
// The daemon goes by the names that the declaration has and does not look at the file system. So links are
// followed here, where they lead now; a rule holds for the file that the launch found.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <strings.h>
#include <unistd.h>

#include "base/shown.hpp"
#include "context.hpp"
#include "option_set.hpp"
#include "reflect/decode.hpp"
#include "wire/payload.hpp"

namespace kairo::ctl {
namespace {

using namespace std::string_view_literals;

bool is_path(std::string_view target) {
  // In capitals as well: the daemon refuses these, and is to see them.
  for (const std::string_view prefix : {"tcp:"sv, "udp:"sv, "unix:"sv})
    if (::strncasecmp(target.data(), prefix.data(), std::min(prefix.size(), target.size())) == 0 &&
        target.size() >= prefix.size())
      return false;
  return !target.empty() && target.find('\0') == std::string_view::npos;
}

/// What is another file for each process that asks.
bool is_ones_own(std::string_view path) {
  for (const std::string_view each : {"/proc/"sv, "/dev/fd/"sv, "/dev/std"sv})
    if (path.starts_with(each)) return true;
  return false;
}

bool is_below(std::string_view path, std::string_view directory) {
  if (directory == "/") return true;
  return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
}

/// Absolute, without what is there for nothing.
std::string plain_path(const std::string& path, const std::string& cwd) {
  std::string out = (std::filesystem::path(cwd) / path).lexically_normal().string();
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  return out;
}

/// Where an absolute path leads, as far as it is there.
std::string real_path(const std::string& path) {
  if (is_ones_own(path)) return path;
  std::string there = path, rest;
  for (;;) {
    const std::unique_ptr<char, decltype(&std::free)> real(::realpath(there.c_str(), nullptr), &std::free);
    if (real) {
      const std::string own = "/proc/" + std::to_string(::getpid());
      std::string out = real.get();
      if (is_below(out, own)) out.replace(0, own.size(), "/proc/self");
      return plain_path(out + rest, "/");
    }
    const std::size_t slash = there.rfind('/');
    if (slash == std::string::npos || there.size() == 1) return path;
    rest.insert(0, there.substr(slash));
    there.resize(std::max<std::size_t>(slash, 1));
  }
}

/// The name that the declaration has for a file: a program other than this one may have declared a link.
std::string declared_name(const std::string& real, const api::FileAccess& files) {
  for (const auto* paths : {&files.write, &files.read}) {
    if (!*paths) continue;
    for (const std::string& each : **paths) {
      if (is_below(real, each)) return real;
      const std::string leads_to = real_path(each);
      if (is_below(real, leads_to)) return plain_path(each + "/" + real.substr(leads_to.size()), "/");
    }
  }
  return real;
}

/// The target that the daemon is to be asked about, from its answer to process.status.
std::string followed(const std::string& target, const msgpack::object& session) {
  const msgpack::object* permissions = wire::find_member(session, "permissions");
  const msgpack::object* cwd = wire::find_member(session, "cwd");
  if (!permissions || permissions->type != msgpack::type::MAP || !cwd || cwd->type != msgpack::type::STR)
    return target;
  const auto declared =
      reflect::from_object<api::Permissions>(*permissions, "permissions", reflect::Unknown::ignore);
  if (!declared) return target;
  const std::string directory(cwd->via.str.ptr, cwd->via.str.size);
  const std::string real = real_path(target.starts_with('/') ? target : directory + "/" + target);
  std::string named = declared_name(real, declared->fs.value_or(api::FileAccess{}));
  if (real != plain_path(target, directory))
    static_cast<void>(
        write_all(STDERR_FILENO, "kairoctl: " + shell_word(target) + " leads to " + shell_word(real) + "\n"));
  return named;
}

int explain(Context& context, api::ExplainParams params) {
  auto client = context.connect();
  if (!client) return report(client.error());
  if (params.target && is_path(*params.target)) {
    // Who may not ask this may still ask that.
    auto raw = client->call_raw("process.status", api::StatusParams{params.id, std::nullopt});
    wire::PayloadDecoder decoder;
    if (raw)
      if (auto session = decoder.decode(*raw)) params.target = followed(*params.target, *session);
  }
  auto result = client->call_raw("process.explain", params);
  if (!result) return report(result.error());
  print_json(*result);
  return exit_code::success;
}

}  // namespace

Action declare_explain(OptionSet& set) {
  auto params = std::make_shared<api::ExplainParams>();
  set.argument("ID", params->id, "Session");
  set.optional_argument(
      "TARGET", params->target,
      "A path (links are followed), tcp:PORT, udp:PORT or unix:PATH; none: what was denied");
  return [params](Context& context) { return explain(context, *params); };
}

}  // namespace kairo::ctl

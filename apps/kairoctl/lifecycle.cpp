// kairoctl wait, kill, pause, resume, cancel, forget: one request for each of the named sessions, all sent at
// once.
#include <memory>

#include "base/signals.hpp"
#include "context.hpp"
#include "option_set.hpp"
#include "units.hpp"

namespace kairo::ctl {
namespace {

using Ids = std::vector<std::string>;

void declare_ids(OptionSet& set, Ids& ids) {
  set.arguments("ID", ids, "Sessions");
}

/// Prints every result, reports every error; the exit code is that of the first error.
template <class MakeParams>
int for_each_id(Context& context, const Ids& ids, std::string_view method, MakeParams&& make_params) {
  auto client = context.connect();
  if (!client) return report(client.error());
  std::vector<std::uint64_t> requests;
  for (const std::string& id : ids) requests.push_back(client->send(method, make_params(id)));
  int code = exit_code::success;
  for (std::uint64_t request : requests) {
    auto result = client->await_raw(request);
    if (result) {
      print_json(*result);
      continue;
    }
    const int failed = report(result.error());
    if (code == exit_code::success) code = failed;
    if (!client->connected()) break;  // the others would say the same
  }
  return code;
}

Action declare_plain(OptionSet& set, const char* method) {
  auto ids = std::make_shared<Ids>();
  declare_ids(set, *ids);
  return [ids, method](Context& context) {
    return for_each_id(context, *ids, method, [](const std::string& id) { return api::IdParams{id}; });
  };
}

std::optional<std::uint64_t> milliseconds(std::string_view option, const std::string& text) {
  if (text.empty()) return std::nullopt;
  return static_cast<std::uint64_t>(parse_duration(option, text).count());
}

struct KillOptions {
  Ids ids;
  std::string signal = "SIGTERM";
  std::string scope = "group";
  std::string escalate_after;
};

struct CancelOptions {
  Ids ids;
  std::string reason;
  std::string grace;
};

}  // namespace

Action declare_wait(OptionSet& set) {
  auto ids = std::make_shared<Ids>();
  auto timeout = std::make_shared<std::string>();
  declare_ids(set, *ids);
  set.value("--timeout", *timeout, "DURATION", "Give up after so long, with exit code 124");
  return [ids, timeout](Context& context) {
    const auto limit = milliseconds("--timeout", *timeout);
    return for_each_id(context, *ids, "process.wait", [&](const std::string& id) {
      return api::WaitParams{id, limit};
    });
  };
}

Action declare_kill(OptionSet& set) {
  auto options = std::make_shared<KillOptions>();
  declare_ids(set, options->ids);
  set.value("-s,--signal", options->signal, "SIGNAL", "Name or number (SIGTERM)");
  set.choice("--scope", options->scope, "SCOPE", {"group", "main", "all"},
             "Whom it reaches: group (default), main or all");
  set.value("--escalate-after", options->escalate_after, "DURATION", "SIGKILL follows after so long");
  return [options](Context& context) {
    if (!signal_number(options->signal))
      throw UsageError{"--signal: \"" + options->signal + "\" is no signal; kill -l lists them"};
    const auto escalate = milliseconds("--escalate-after", options->escalate_after);
    return for_each_id(context, options->ids, "process.kill", [&](const std::string& id) {
      api::KillParams params;
      params.id = id;
      params.signal = std::int32_t{*signal_number(options->signal)};
      params.escalate_after_ms = escalate;
      params.scope = options->scope == "main"  ? api::Scope::main
                     : options->scope == "all" ? api::Scope::all
                                               : api::Scope::group;
      return params;
    });
  };
}

Action declare_cancel(OptionSet& set) {
  auto options = std::make_shared<CancelOptions>();
  declare_ids(set, options->ids);
  set.value("--reason", options->reason, "TEXT", "Recorded with the event");
  set.value("--grace", options->grace, "DURATION", "From SIGTERM to SIGKILL (the session's own)");
  return [options](Context& context) {
    const auto grace = milliseconds("--grace", options->grace);
    return for_each_id(context, options->ids, "process.cancel", [&](const std::string& id) {
      api::CancelParams params;
      params.id = id;
      if (!options->reason.empty()) params.reason = options->reason;
      params.grace_ms = grace;
      return params;
    });
  };
}

Action declare_pause(OptionSet& set) {
  return declare_plain(set, "process.pause");
}
Action declare_resume(OptionSet& set) {
  return declare_plain(set, "process.resume");
}
Action declare_forget(OptionSet& set) {
  return declare_plain(set, "process.forget");
}

}  // namespace kairo::ctl

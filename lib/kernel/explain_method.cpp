// process.explain: what a session's permissions cover, and what it was denied.
//
// The keeper counts what the filters refuse, as long as it knows the session; of one that it has forgotten
// the end's report stands in the session. What Landlock denies the host's audit tells (landlock_watch.hpp).
#include <algorithm>

#include "kernel/handlers.hpp"
#include "sandbox/declaration.hpp"
#include "sandbox/denial.hpp"

namespace kairo::kernel {
namespace {

std::string iso_time(std::uint64_t unix_us) {
  return to_iso8601(SystemTime(std::chrono::microseconds(unix_us)));
}

api::Denied told(sandbox::NamedDenial named, std::uint64_t count, std::uint64_t first_us,
                 std::uint64_t last_us, const char* source) {
  const auto some = [](std::string text) {
    return text.empty() ? std::nullopt : std::optional<std::string>(std::move(text));
  };
  api::Denied out;
  out.what = std::move(named.what);
  out.count = count;
  out.first_at = iso_time(first_us);
  out.last_at = iso_time(last_us);
  out.would = some(std::move(named.would));
  out.note = some(std::move(named.note));
  out.source = source;
  return out;
}

api::Denied told(const keeper::DeniedCall& call, const session::Record& record) {
  return told(sandbox::named(call.denial, *record.permissions, record.cwd), call.count, call.first_us,
              call.last_us, "seccomp");
}

api::Denied told(const session::DeniedAccess& access, const session::Record& record) {
  api::Denied out =
      told(sandbox::named(sandbox::AccessAsked{access.what, access.target}, *record.permissions, record.cwd),
           access.count, access.first_us, access.last_us, "landlock");
  if (!access.target.empty()) out.target = access.target;
  return out;
}

/// How long after its end a session's denials may still be on their way from the host's audit.
constexpr std::uint64_t heard_after_us = 10'000'000;

/// Whether something may be on its way that was denied before.
bool may_be_told_more(const session::Session& session) {
  if (!session.denied_accesses()) return false;
  return !session.ended() || session.end()->boot_us + heard_after_us > boot_clock_us();
}

/// `heard`: what the host's audit knew when it was asked has come.
void answer(Kernel& kernel, const session::Session& session,
            const std::optional<keeper::DenialReport>& report, bool heard,
            const Reply<api::ExplainResult>& reply) {
  const session::Record& record = session.record();
  api::ExplainResult out;
  out.confined = record.permissions.has_value();
  out.denials.emplace();
  out.complete = true;
  out.sources.emplace();
  out.untold.emplace();
  if (!out.confined) return reply(out);
  if (report) {
    out.sources->emplace_back("seccomp");
    for (const keeper::DeniedCall& each : report->listed) out.denials->push_back(told(each, record));
    out.complete = report->unlisted == 0;
  } else if (session.end() && session.end()->lost) {
    out.untold->emplace_back(
        "sockets, System V IPC, modes, owners, times: the keeper that counted them is lost");
    out.complete = false;
  } else {
    out.untold->emplace_back("sockets, System V IPC, modes, owners, times: the filter has no listener");
  }
  if (const auto& accesses = session.denied_accesses()) {
    out.sources->emplace_back("landlock");
    for (const session::DeniedAccess& each : accesses->listed) out.denials->push_back(told(each, record));
    if (accesses->unlisted > 0 || accesses->interrupted || !heard) out.complete = false;
    if (!session.ended() && !kernel.landlock_watch().on())
      out.untold->push_back("files, ports, signals, at present: " + kernel.landlock_watch().why_not());
  } else {
    const bool on = kernel.landlock_watch().on();
    out.untold->push_back("files, ports, signals: " + (on ? "the host's audit was off when it was started"
                                                          : kernel.landlock_watch().why_not()));
  }
  std::stable_sort(out.denials->begin(), out.denials->end(),
                   [](const auto& a, const auto& b) { return a.first_at < b.first_at; });
  reply(out);
}

}  // namespace

void explain(Kernel& kernel, Call& call, api::ExplainParams params, Reply<api::ExplainResult> reply) {
  auto session = kernel.reach(*call.client, params.id);
  if (!session) return reply(session.error());
  const session::Record& record = (*session)->record();
  if (!params.target) {
    const auto ask = [&kernel, key = (*session)->key(), id = params.id, reply](bool heard) {
      kernel.link().denials(
          key, [&kernel, key, id, heard, reply](std::optional<keeper::DenialReport> report) {
            const session::Session* found = kernel.sessions().find_key(key);
            if (!found)
              return reply(Error(Code::not_found, "session \"" + id + "\" is forgotten").with("id", id));
            if (!report && found->end()) report = found->end()->denials;
            answer(kernel, *found, report, heard, reply);
          });
    };
    // Who fails for a denied file asks at once, and the host's audit may be some milliseconds behind.
    if (may_be_told_more(**session)) return kernel.landlock_watch().when_heard(ask);
    return ask(true);
  }
  api::ExplainResult out;
  out.target = params.target;
  out.confined = record.permissions.has_value();
  // Asked in any case, so that a target which is none is told.
  auto accesses =
      sandbox::explain(record.permissions.value_or(api::Permissions{}), *params.target, record.cwd);
  if (!accesses) return reply(accesses.error());
  if (!out.confined)
    for (api::AccessExplained& each : *accesses) each = {each.access, true, "not confined", {}};
  out.accesses = *std::move(accesses);
  reply(out);
}

}  // namespace kairo::kernel

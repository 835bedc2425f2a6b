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

api::Denied told(const keeper::DeniedCall& call, const api::Permissions& permissions) {
  sandbox::NamedDenial named = sandbox::named(call.denial, permissions);
  return {std::move(named.what),  {},       call.count, iso_time(call.first_us), iso_time(call.last_us),
          std::move(named.would), "seccomp"};
}

/// Nothing where the declaration covers it: then it was a domain that a program had made for itself.
std::optional<api::Denied> told(const session::DeniedAccess& access, const session::Record& record) {
  api::Denied out{access.what, {},        access.count, iso_time(access.first_us), iso_time(access.last_us),
                  {},          "landlock"};
  if (access.target.empty()) return out;
  out.target = access.target;
  const auto explained = sandbox::explain(*record.permissions, access.target, record.cwd);
  if (!explained) return out;
  for (const api::AccessExplained& each : *explained) {
    if (each.access != access.what) continue;
    if (each.allowed) return std::nullopt;
    out.would = each.would;
  }
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
    for (const keeper::DeniedCall& each : report->listed)
      out.denials->push_back(told(each, *record.permissions));
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
    for (const session::DeniedAccess& each : accesses->listed)
      if (auto denied = told(each, record)) out.denials->push_back(*std::move(denied));
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

#include "verify_audit.hpp"

#include <algorithm>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "audit/files.hpp"
#include "audit/verify.hpp"
#include "event/store.hpp"

namespace kairo::daemon {

int verify_audit(const std::string& state_dir) {
  nlohmann::ordered_json out;
  std::optional<audit::Head> head;
  auto kept = event::Store::read_audit_head(state_dir);
  if (kept && *kept && (*kept)->hash.size() == audit::no_hash.size()) {
    head.emplace();
    head->seq = (*kept)->seq;
    std::copy((*kept)->hash.begin(), (*kept)->hash.end(), head->hash.begin());
  }
  const auto verdict = audit::verify(state_dir, head);
  if (!verdict) {
    std::fprintf(stderr, "kairod: cannot verify the audit: %s\n", verdict.error().message.c_str());
    return exit_no_audit;
  }
  out["whole"] = verdict->whole;
  out["folder"] = state_dir + "/" + audit::folder_name;
  out["files"] = verdict->files;
  out["records"] = verdict->records;
  out["firstSeq"] = verdict->first_seq;
  out["lastSeq"] = verdict->last.seq;
  out["lastHash"] = audit::text_of(verdict->last.hash);
  if (head) out["storedSeq"] = head->seq;
  if (!kept) out["notCompared"] = kept.error().message;
  if (verdict->torn_bytes > 0) out["tornBytes"] = verdict->torn_bytes;
  if (!verdict->whole) {
    auto& broken = out["broken"];
    broken["file"] = verdict->file;
    if (verdict->line > 0) broken["line"] = verdict->line;
    broken["seq"] = verdict->seq;
    broken["problem"] = verdict->problem;
  }
  std::puts(out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
  return verdict->whole ? 0 : exit_audit_broken;
}

}  // namespace kairo::daemon

#include "executor/restart.hpp"

#include <algorithm>

namespace kairo::executor {

RestartDecision RestartBackoff::ended(NodeEnd end, std::chrono::milliseconds lived) {
  RestartDecision decision;
  if (lived.count() >= 0 && static_cast<std::uint64_t>(lived.count()) >= options_.stable_after_ms)
    in_a_row_ = 0;
  if (end == NodeEnd::finished && options_.policy != api::RestartPolicy::always) {
    decision.reason = "it has finished";
    return decision;
  }
  if (options_.policy == api::RestartPolicy::never) {
    decision.reason = "it has failed, and its restart policy is \"never\"";
    return decision;
  }
  if (in_a_row_ >= options_.max_restarts) {
    decision.reason = std::string(end == NodeEnd::failed ? "it has failed" : "it has finished") +
                      " again after " + std::to_string(in_a_row_) + " restarts in a row without a life of " +
                      std::to_string(options_.stable_after_ms) + " ms between them";
    return decision;
  }
  decision.restart = true;
  decision.delay = delay();
  decision.attempt = ++in_a_row_;
  return decision;
}

std::chrono::milliseconds RestartBackoff::delay() const {
  const std::uint64_t cap = std::min<std::uint64_t>(
      options_.max_delay_ms, static_cast<std::uint64_t>(longest_restart_delay.count()));
  std::uint64_t wait = std::min(options_.delay_ms, cap);
  for (std::uint64_t i = 0; i < in_a_row_ && wait > 0 && wait < cap; ++i) wait = std::min(wait * 2, cap);
  return std::chrono::milliseconds(wait);
}

}  // namespace kairo::executor

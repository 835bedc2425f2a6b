// Several edges into one Intake: whole lines, one edge after another. What may pass in one go is a unit: the
// whole lines that an edge has, a line too long to be kept for as long as it lasts, or, when all edges have
// ended, what one of them left without a newline.
#include <algorithm>
#include <cstring>

#include "executor/flow_bodies.hpp"

namespace kairo::executor {

void IntakeBody::pump_merge() {
  for (;;) {
    if (!current_ && !choose_unit() && !choose_leftover()) return;
    // The one before was ended without a newline.
    if (!current_->begun && last_ != '\n' && take("\n") == 0) return;
    current_->begun = true;
    if (!give_unit(*current_)) return;
    current_->begun = false;
    current_ = nullptr;
  }
}

/// The next edge with whole lines, in turn. What has none is kept as an unfinished line, so that its Outlet
/// reads on.
bool IntakeBody::choose_unit() {
  for (std::size_t i = 0; i < edges.size(); ++i) {
    Edge& edge = *edges[(turn_ + i) % edges.size()];
    if (edge.waiting.empty()) continue;
    const void* newline = ::memrchr(edge.waiting.data(), '\n', edge.waiting.size());
    if (!newline && edge.line.size() + edge.waiting.size() <= merge_line_bytes) {
      edge.line += edge.waiting;
      edge.waiting = {};
      edge.from->update();
      continue;
    }
    edge.long_line = !newline;
    edge.unit =
        edge.line.size() +
        (newline ? static_cast<std::size_t>(static_cast<const char*>(newline) - edge.waiting.data() + 1)
                 : edge.waiting.size());
    current_ = &edge;
    turn_ = (turn_ + i + 1) % edges.size();
    return true;
  }
  return false;
}

bool IntakeBody::choose_leftover() {
  const bool all_ended = std::all_of(edges.begin(), edges.end(),
                                     [](const auto& each) { return each->ended && each->waiting.empty(); });
  if (!all_ended) return false;
  const auto left =
      std::find_if(edges.begin(), edges.end(), [](const auto& each) { return !each->line.empty(); });
  if (left == edges.end()) return false;
  current_ = left->get();
  current_->unit = current_->line.size();
  return true;
}

/// Gives the unit; false when not all of it could pass.
bool IntakeBody::give_unit(Edge& edge) {
  for (;;) {
    while (edge.unit > 0) {
      const bool kept = !edge.line.empty();
      const std::string_view piece =
          kept ? std::string_view(edge.line).substr(edge.line_at) : edge.waiting.substr(0, edge.unit);
      const std::size_t taken = take(piece);
      edge.unit -= taken;
      edge.bytes += taken;
      if (kept && (edge.line_at += taken) == edge.line.size()) {
        edge.line.clear();
        edge.line_at = 0;
      } else if (!kept) {
        edge.waiting.remove_prefix(taken);
        if (edge.waiting.empty()) edge.from->update();
      }
      if (taken < piece.size()) return false;
    }
    if (!edge.long_line) return true;
    if (edge.waiting.empty() && !edge.ended) return false;
    const std::size_t newline = edge.waiting.find('\n');
    edge.long_line = newline == std::string_view::npos && !edge.ended;
    edge.unit = newline == std::string_view::npos ? edge.waiting.size() : newline + 1;
    if (edge.unit == 0) return true;
  }
}

}  // namespace kairo::executor

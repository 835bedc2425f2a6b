// What a node knows of the cutover that is under way.
#pragma once

#include "executor/node.hpp"

namespace kairo::executor {

struct Node::Cutover {
  explicit Cutover(boost::asio::io_context& io) : timer(io) {}
  CutoverState state = CutoverState::starting;
  CutoverDone done;
  std::shared_ptr<Current> next;
  api::TopologyNode replacement;
  api::Boundary boundary = api::Boundary::bytes;
  std::chrono::milliseconds drain_timeout{default_drain};
  std::chrono::milliseconds health_timeout{default_health_timeout};
  boost::asio::steady_timer timer;  ///< Of the new node's health, then of the drain.
  std::optional<SteadyTime> hold_began;
  bool killed = false;
  bool undecided = false;  ///< The old node ended meanwhile: what follows is due if this is rolled back.
  std::string reason;
  api::CutoverResult result;
};

}  // namespace kairo::executor

// The cutover of a node: does what the table in cutover.hpp says.
#include "executor/node_cutover.hpp"

#include <boost/asio/post.hpp>

#include "executor/control_hub.hpp"
#include "executor/kernel_link.hpp"

namespace kairo::executor {

void Node::cutover(api::TopologyNode replacement, const api::CutoverParams& params, CutoverDone done) {
  if (cutover_)
    return done(
        Error(Code::already_exists, "a cutover of node \"" + id() + "\" is under way; nothing was started"));
  if (over() || winding_down_ || !current_)
    return done(
        Error(Code::not_running, "node \"" + id() + "\" has come to its end; there is nothing to replace"));
  if (is_starting())
    return done(
        Error(Code::not_running, "node \"" + id() + "\" is being started just now; nothing was started"));
  cutover_ = std::make_unique<Cutover>(io_);
  Cutover& it = *cutover_;
  it.done = std::move(done);
  it.replacement = std::move(replacement);
  it.boundary = params.boundary.value_or(api::Boundary::bytes);
  if (params.drain_timeout_ms) it.drain_timeout = std::chrono::milliseconds(*params.drain_timeout_ms);
  if (params.health_timeout_ms) it.health_timeout = std::chrono::milliseconds(*params.health_timeout_ms);
  it.result.node = id();
  it.result.boundary = it.boundary;
  restart_timer_.cancel();
  it.next = make_life(it.replacement, {});
  it.timer.expires_after(it.health_timeout);
  it.timer.async_wait([this, next = std::weak_ptr(it.next)](const boost::system::error_code& error) {
    if (error || !cutover_ || cutover_->next != next.lock() || cutover_->state != CutoverState::starting)
      return;
    cutover_->reason =
        "the new node was not healthy within " + std::to_string(cutover_->health_timeout.count()) + " ms";
    step_cutover(CutoverEvent::new_failed);
  });
  start_life(it.next, [this, next = std::weak_ptr(it.next)](Result<void> result) {
    if (result || !cutover_ || cutover_->next != next.lock()) return;
    cutover_->reason = "the new node cannot be started: " + result.error().message;
    step_cutover(CutoverEvent::new_failed);
  });
}

void Node::step_cutover(CutoverEvent event) {
  const bool old_lives = current_ && !current_->end;
  const CutoverStep step = next(cutover_->state, event, old_lives);
  cutover_->state = step.state;
  switch (step.action) {
    case CutoverAction::none: return;
    case CutoverAction::hold: return hold_input();
    case CutoverAction::end_old: {
      if (has_input())
        intake_.end_life();
      else
        ask_to_end(current_);
      cutover_->timer.expires_after(cutover_->drain_timeout);
      cutover_->timer.async_wait(
          [this, next = std::weak_ptr(cutover_->next)](const boost::system::error_code& error) {
            if (error || !cutover_ || cutover_->next != next.lock()) return;
            step_cutover(CutoverEvent::drain_timeout);
          });
      // Perhaps it had nothing more to say before it was asked.
      return decide();
    }
    case CutoverAction::kill_old:
      cutover_->killed = true;
      cutover_->reason =
          "the old node had not drained within " + std::to_string(cutover_->drain_timeout.count()) + " ms";
      await_takers();
      return current_->life->end("not drained in time", std::chrono::milliseconds(0));
    case CutoverAction::switch_over: return switch_over();
    case CutoverAction::roll_back: return roll_back();
  }
}

void Node::hold_input() {
  cutover_->hold_began = SteadyClock::now();
  // A border need not come: half a line, and then nothing.
  cutover_->timer.expires_after(cutover_->drain_timeout);
  cutover_->timer.async_wait(
      [this, next = std::weak_ptr(cutover_->next)](const boost::system::error_code& error) {
        if (error || !cutover_ || cutover_->next != next.lock() || cutover_->state != CutoverState::holding)
          return;
        cutover_->reason = "the node's input did not come to a border within " +
                           std::to_string(cutover_->drain_timeout.count()) + " ms";
        step_cutover(CutoverEvent::new_failed);
      });
  const auto held = [this, next = std::weak_ptr(cutover_->next)] {
    if (cutover_ && cutover_->next == next.lock()) step_cutover(CutoverEvent::held);
  };
  if (has_input())
    intake_.hold(cutover_->boundary, held);
  else
    boost::asio::post(io_, held);
}

/// The nodes behind may take nothing, so that even a killed node's output does not come to its end: who asked
/// is told, and the cutover goes on once they do.
void Node::await_takers() {
  cutover_->timer.expires_after(default_kill);
  cutover_->timer.async_wait(
      [this, next = std::weak_ptr(cutover_->next)](const boost::system::error_code& error) {
        if (error || !cutover_ || cutover_->next != next.lock()) return;
        const auto done = std::exchange(cutover_->done, [](Result<api::CutoverResult>) {});
        done(Error(Code::timeout,
                   "node \"" + id() + "\": " + cutover_->reason +
                       " and was ended, but what it gave is not taken by the nodes behind it; the new node "
                       "takes its place when it is"));
      });
}

void Node::switch_over() {
  const std::shared_ptr<Current> old = std::exchange(current_, cutover_->next);
  api::CutoverResult& result = cutover_->result;
  result.old_node.process_id = old->life->process_id();
  result.old_node.bytes_in = intake_.life_bytes();
  result.old_node.bytes_out = outlet_.life_bytes();
  result.old_node.remaining = old->life->unread();
  result.old_node.drained =
      result.old_node.remaining == 0 && knows_unread(*old) && old->output_ended && !cutover_->killed;
  result.new_node.process_id = current_->life->process_id();
  // What it did not read is the new one's, ahead of all else.
  std::string first = std::exchange(carried_, {});
  if (old->end) first += old->life->take_unread();
  result.new_node.bytes_in = first.size();
  spec_ = cutover_->replacement;
  backoff_.reset();
  take_stream(current_, std::move(first), false, left_unaccepted(*old));
  if (cutover_->hold_began)
    result.hold_ms =
        std::chrono::duration<double, std::milli>(SteadyClock::now() - *cutover_->hold_began).count();
  if (old->end) {
    forget_life(old);
  } else {
    leaving_.push_back(old);
    old->ending = true;
    old->health_timer = std::make_unique<boost::asio::steady_timer>(io_);
    old->health_timer->expires_after(kill_grace(old->spec));
    old->health_timer->async_wait([weak = std::weak_ptr(old)](const boost::system::error_code& error) {
      const auto left = weak.lock();
      if (!error && left && !left->end) left->life->end("replaced", std::chrono::milliseconds(0));
    });
  }
  answer_cutover(false);
  if (current_->end) return decide();
  // The topology has begun to end meanwhile.
  if (winding_down_ && is_source()) ask_to_end(current_);
}

void Node::roll_back() {
  const std::shared_ptr<Current> failed = cutover_->next;
  if (has_input() && cutover_->hold_began) intake_.release();
  api::CutoverResult& result = cutover_->result;
  result.old_node.process_id = process_id();
  result.old_node.bytes_in = intake_.life_bytes();
  result.old_node.bytes_out = outlet_.life_bytes();
  result.old_node.remaining = current_->life->unread();
  result.new_node.process_id = failed->life->process_id();
  if (cutover_->hold_began)
    result.hold_ms =
        std::chrono::duration<double, std::milli>(SteadyClock::now() - *cutover_->hold_began).count();
  if (failed->end || !failed->started) {
    forget_life(failed);
  } else {
    failed->ending = true;
    leaving_.push_back(failed);
    failed->life->end("rolled back", kill_grace(failed->spec));
  }
  answer_cutover(true);
  // What would have followed without the cutover.
  if (state_ == api::NodeState::restarting && !winding_down_ && !starting_again_)
    return restart_after(std::chrono::milliseconds(0));
  if (current_->end) decide();
}

void Node::answer_cutover(bool rolled_back) {
  const std::unique_ptr<Cutover> over = std::move(cutover_);
  over->timer.cancel();
  over->result.rolled_back = rolled_back;
  if (!over->reason.empty()) over->result.reason = over->reason;
  host_.node_event(*this, rolled_back ? "cutover.rolled-back" : "cutover.done",
                   {{"holdMs", static_cast<std::uint64_t>(over->result.hold_ms)},
                    {"message", over->reason},
                    {"drained", over->result.old_node.drained ? std::uint64_t{1} : std::uint64_t{0}},
                    {"remaining", over->result.old_node.remaining}});
  over->done(over->result);
}

}  // namespace kairo::executor

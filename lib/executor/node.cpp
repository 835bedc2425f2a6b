#include "executor/node.hpp"

#include <algorithm>

#include <boost/asio/post.hpp>

#include "executor/control_hub.hpp"
#include "executor/kernel_link.hpp"
#include "executor/node_cutover.hpp"

namespace kairo::executor {

namespace {

std::string counted(std::uint64_t bytes) {
  return std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes");
}

}  // namespace

std::chrono::milliseconds kill_grace(const api::TopologyNode& node) {
  return std::chrono::milliseconds(
      node.kill_grace_ms.value_or(static_cast<std::uint64_t>(default_kill.count())));
}

Node::Node(boost::asio::io_context& io, NodeHost& host, api::TopologyNode spec, std::string path)
    : io_(io),
      host_(host),
      spec_(std::move(spec)),
      path_(std::move(path)),
      outlet_(io, [this](const Error* why) { on_output_ended(why); }),
      intake_(io, {.on_end = {}, .on_refused = [this](const Error& why) { on_input_refused(why); }}),
      backoff_(spec_.restart.value_or(api::RestartOptions{})),
      restart_timer_(io) {
  outlet_.on_unwanted = [this] { on_unwanted(); };
}

Node::~Node() = default;

api::NodeStatus Node::status() const {
  api::NodeStatus out;
  out.id = spec_.id;
  out.run_mode = spec_.run_mode;
  out.state = state_;
  out.generation = generation_;
  out.restarts = restarts_;
  out.bytes_in = given();
  out.bytes_out = outlet_.bytes();
  if (current_) {
    if (!over()) {
      out.unread = current_->life->unread();
      out.health = current_->heartbeat ? current_->heartbeat->health()
                   : current_->healthy ? api::Health::healthy
                                       : api::Health::unknown;
    }
    out.control = current_->control;
    out.process_id = current_->life->process_id();
    if (std::string figures = current_->life->figures(); !figures.empty())
      out.figures = reflect::Any{std::move(figures)};
  }
  if (!reason_.empty()) out.reason = reason_;
  return out;
}

api::NodeEnd Node::end_report() const {
  return {spec_.id, given(), outlet_.bytes(), drained_, remaining_};
}

std::optional<std::string> Node::process_id() const {
  return current_ ? current_->life->process_id() : std::nullopt;
}

// --- a life ------------------------------------------------------------------------------------------

std::shared_ptr<Node::Current> Node::make_life(const api::TopologyNode& spec,
                                               std::optional<Inheritance> inheritance) {
  auto made = std::make_shared<Current>();
  made->spec = spec;
  made->generation = ++generation_;
  made->output_ended = !has_output();
  NodeLife::Spec of;
  of.topology = host_.topology();
  of.cwd = host_.cwd();
  of.node = &made->spec;
  of.generation = made->generation;
  of.has_input = has_input();
  of.has_output = has_output();
  of.path = path_;
  if (spec.run_mode == api::RunMode::process) {
    of.control_environment = host_.control_environment(spec, made->generation);
    if (spec.io == api::NodeIo::named) of.socket_stem = host_.next_socket_stem();
    made->life = make_process_life(io_, host_.kernel(), std::move(of), std::move(inheritance));
  } else {
    made->life = make_worker_life(io_, std::move(of), std::move(inheritance));
  }
  return made;
}

void Node::start_life(const std::shared_ptr<Current>& life, std::function<void(Result<void>)> started) {
  life->began = SteadyClock::now();
  // The life calls; it must not keep itself.
  life->life->start({[this, weak = std::weak_ptr(life), started = std::move(started)](Result<void> result) {
                       const auto held = weak.lock();
                       if (!held) return;
                       if (over()) {
                         if (result) held->life->end("not needed any more", std::chrono::milliseconds(0));
                         return;
                       }
                       if (result) on_started(held);
                       started(std::move(result));
                     },
                     [this, weak = std::weak_ptr(life)](const LifeEnd& end) {
                       if (const auto held = weak.lock()) on_ended(held, end);
                     }});
}

void Node::start(std::function<void(Result<void>)> started) {
  current_ = make_life(spec_, {});
  start_life(current_, std::move(started));
}

Unaccepted Node::left_unaccepted(const Current& life) {
  return life.end && life.spec.run_mode == api::RunMode::worker ? Unaccepted::is_in_first
                                                                : Unaccepted::follows;
}

void Node::let_flow() {
  flowing_ = true;
  take_stream(current_, {}, false);
  // It may have ended already.
  decide();
}

void Node::take_stream(const std::shared_ptr<Current>& life, std::string first, bool inherits,
                       Unaccepted unaccepted) {
  state_ = api::NodeState::running;
  reason_.clear();
  given_again_ += first.size();
  if (has_input() && !inherits)
    intake_.open(std::make_shared<Life>(life->life->input()), std::move(first), unaccepted);
  if (has_output()) outlet_.open(std::make_shared<Life>(life->life->output()));
  if (winding_down_ && is_source()) ask_to_end(life);
}

void Node::on_started(const std::shared_ptr<Current>& life) {
  life->started = true;
  life->began = SteadyClock::now();
  if (over()) {
    // The node came to its end while the daemon was still to start this life.
    life->ending = true;
    return life->life->end("no longer wanted", std::chrono::milliseconds(0));
  }
  host_.node_event(*this, "started", {{"generation", life->generation}});
  if (life->spec.run_mode == api::RunMode::worker) return become_healthy(life);
  if (life->spec.heartbeat) {
    // It is declared to speak: it must say hello as early as a heartbeat would be missed.
    life->heartbeat.emplace(*life->spec.heartbeat, life->began);
    return watch_heartbeats(life);
  }
  if (life->healthy) return;
  life->health_timer = std::make_unique<boost::asio::steady_timer>(io_);
  life->health_timer->expires_after(std::chrono::milliseconds(
      life->spec.health_ms.value_or(static_cast<std::uint64_t>(default_health.count()))));
  life->health_timer->async_wait([this, weak = std::weak_ptr(life)](const boost::system::error_code& error) {
    const auto held = weak.lock();
    if (!error && held && !held->end) become_healthy(held);
  });
}

void Node::on_ended(const std::shared_ptr<Current>& life, const LifeEnd& end) {
  life->end = end;
  life->health_timer.reset();
  life->heartbeat_timer.reset();
  if (life->spec.run_mode == api::RunMode::process)
    host_.hub().unregister_node(life->spec.id, life->generation);
  if (life == current_) return decide();
  if (cutover_ && cutover_->next == life) {
    cutover_->reason = "the new node " + end.text;
    return step_cutover(CutoverEvent::new_failed);
  }
  forget_life(life);
}

void Node::forget_life(const std::shared_ptr<Current>& life) {
  // Perhaps it is what calls now.
  boost::asio::post(io_, [life] {});
  leaving_.erase(std::remove(leaving_.begin(), leaving_.end(), life), leaving_.end());
}

void Node::on_output_ended(const Error*) {
  // What went wrong with it is told by the end of the life.
  if (!current_ || current_->output_ended) return;
  current_->output_ended = true;
  decide();
}

void Node::on_unwanted() {
  if (!current_ || over() || current_->output_ended) return;
  Current& life = *current_;
  life.ending = true;
  life.cut_short = true;
  // As in a shell's pipeline: the next write of a process fails. What one that has ended still had to give is
  // nobody's.
  if (life.spec.run_mode == api::RunMode::worker && !life.end) life.life->end({}, {});
  if (auto output = life.life->output()) output->destroy();
  life.output_ended = true;
  decide();
}

void Node::on_input_refused(const Error& why) {
  // A worker's pipe closes with its life; a process's input is kept open by the executor.
  if (current_ && !current_->end) host_.log("node " + spec_.id + " takes no more input: " + why.message);
}

// --- health ------------------------------------------------------------------------------------------

void Node::become_healthy(const std::shared_ptr<Current>& life) {
  if (life->healthy) return;
  life->healthy = true;
  host_.node_event(*this, "healthy", {{"generation", life->generation}});
  if (cutover_ && cutover_->next == life) step_cutover(CutoverEvent::new_healthy);
}

void Node::on_hello(std::uint64_t generation) {
  for (const auto& life : {current_, cutover_ ? cutover_->next : nullptr}) {
    if (!life || life->generation != generation || life->end) continue;
    // Further connections of the same life change nothing.
    if (std::exchange(life->control, true)) continue;
    life->health_timer.reset();
    life->heartbeat.emplace(life->spec.heartbeat.value_or(api::HeartbeatOptions{}), SteadyClock::now());
    watch_heartbeats(life);
    become_healthy(life);
  }
}

void Node::on_heartbeat(std::uint64_t generation) {
  for (const auto& life : {current_, cutover_ ? cutover_->next : nullptr}) {
    if (!life || life->generation != generation || life->end || !life->heartbeat) continue;
    const auto change = life->heartbeat->beat(SteadyClock::now());
    if (change) told_heartbeat(life, *change);
    watch_heartbeats(life);
  }
}

void Node::watch_heartbeats(const std::shared_ptr<Current>& life) {
  const auto deadline = life->heartbeat->deadline();
  if (!deadline) return;
  if (!life->heartbeat_timer) life->heartbeat_timer = std::make_unique<boost::asio::steady_timer>(io_);
  life->heartbeat_timer->expires_at(*deadline);
  life->heartbeat_timer->async_wait(
      [this, weak = std::weak_ptr(life)](const boost::system::error_code& error) {
        const auto held = weak.lock();
        if (error || !held || held->end) return;
        for (const HeartbeatChange& change : held->heartbeat->step(SteadyClock::now()))
          told_heartbeat(held, change);
        if (!held->end) watch_heartbeats(held);
      });
}

void Node::told_heartbeat(const std::shared_ptr<Current>& life, const HeartbeatChange& change) {
  static constexpr std::array<std::string_view, 4> names{"heartbeat.late", "heartbeat.missed",
                                                         "heartbeat.timeout", "heartbeat.recovered"};
  host_.node_event(*this, std::string(names[static_cast<std::size_t>(change.kind)]),
                   {{"generation", life->generation},
                    {"misses", change.misses},
                    {"silenceMs", static_cast<std::uint64_t>(change.silence.count())}});
  if (change.kind != HeartbeatChange::Kind::timeout) return;
  life->killed_for = "gave no heartbeat for " + std::to_string(change.silence.count()) + " ms";
  life->life->end("heartbeat timeout", std::chrono::milliseconds(0));
}

// --- the end of a life -------------------------------------------------------------------------------

void Node::decide() {
  if (!current_ || !flowing_ || over() || state_ == api::NodeState::held ||
      state_ == api::NodeState::restarting)
    return;
  Current& life = *current_;
  if (cutover_) {
    const CutoverState at = cutover_->state;
    // Its output may end because it dies: as long as it has bytes to read its own end is waited for.
    if (at == CutoverState::draining && life.output_ended &&
        (life.end || (has_output() && life.life->unread() == 0))) {
      if (life.end && !life.end->in_order && !life.ending) tell_end(life, false);
      return step_cutover(CutoverEvent::old_drained);
    }
    if (!life.end || !life.output_ended) return;
    if (at == CutoverState::killing) return step_cutover(CutoverEvent::old_drained);
    // It ended before its input was ended. In order: there is nothing left to replace.
    if (!life.end->in_order && !life.ending) {
      tell_end(life, false);
      return step_cutover(CutoverEvent::old_gone);
    }
    cutover_->reason = "the node came to its end meanwhile";
    return step_cutover(CutoverEvent::new_failed);  // which decides upon it
  }
  if (!life.end || !life.output_ended) return;
  const bool asked = life.ending || winding_down_;
  const bool in_order = life.end->in_order || asked;
  tell_end(life, in_order);
  const std::uint64_t unread = life.life->unread();
  const std::uint64_t consumed = given() - std::min(given(), unread);
  if (asked || (life.end->in_order && has_input() && intake_.ended() && unread == 0)) return finish();
  const auto lived = std::chrono::duration_cast<std::chrono::milliseconds>(SteadyClock::now() - life.began);
  if (life.end->in_order) {
    if (spec_.restart.value_or(api::RestartOptions{}).policy != api::RestartPolicy::always) return finish();
    const RestartDecision decision = backoff_.ended(NodeEnd::finished, lived);
    return decision.restart ? restart_after(decision.delay) : finish();
  }
  failed(life.killed_for.value_or(life.end->text) + ", having consumed " + counted(consumed) + ", with " +
         counted(unread) + " unread" + lost_with(life));
}

bool Node::knows_unread(const Current& life) const {
  return !has_input() || life.life->keeps_unread() || !life.end || life.end->in_order;
}

std::string Node::lost_with(const Current& life) const {
  return knows_unread(life) ? "" : "; what it had not read of its input is gone with it";
}

void Node::tell_end(Current& life, bool in_order) {
  if (std::exchange(life.end_told, true)) return;
  const std::uint64_t unread = life.life->unread();
  host_.node_event(*this, in_order ? "ended" : "crashed",
                   {{"generation", life.generation},
                    {"message", life.killed_for.value_or(life.end->text) + lost_with(life)},
                    {"consumed", given() - std::min(given(), unread)},
                    {"unread", unread},
                    {"bytesOut", outlet_.bytes()}});
}

void Node::failed(const std::string& text) {
  host_.log("node " + spec_.id + " " + text);
  const auto lived =
      std::chrono::duration_cast<std::chrono::milliseconds>(SteadyClock::now() - current_->began);
  const RestartDecision decision = backoff_.ended(NodeEnd::failed, lived);
  reason_ = "the node " + text;
  if (decision.restart && !winding_down_) return restart_after(decision.delay);
  give_up(decision.reason.empty() ? reason_ : reason_ + "; " + decision.reason);
}

void Node::restart_after(std::chrono::milliseconds delay) {
  state_ = api::NodeState::restarting;
  host_.node_event(*this, "restarting", {{"delayMs", static_cast<std::uint64_t>(delay.count())}});
  restart_timer_.expires_after(delay);
  restart_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error && state_ == api::NodeState::restarting && !cutover_) restart();
  });
}

void Node::restart() {
  ++restarts_;
  starting_again_ = true;
  auto inheritance = current_->life->inheritance();
  const bool inherits = inheritance.has_value();
  // Kept until there is somebody to have it.
  auto first = std::make_shared<std::string>(std::exchange(carried_, {}));
  const Unaccepted unaccepted = left_unaccepted(*current_);
  if (!inherits) *first += current_->life->take_unread();
  forget_life(current_);
  current_ = make_life(spec_, std::move(inheritance));
  start_life(current_, [this, inherits, unaccepted, first](Result<void> result) {
    starting_again_ = false;
    if (over()) return;
    if (result) return take_stream(current_, std::move(*first), inherits, unaccepted);
    current_->end = LifeEnd{false, "cannot be started again: " + result.error().message};
    current_->output_ended = true;
    carried_ = std::move(*first);
    if (cutover_) return step_cutover(CutoverEvent::old_gone);
    failed(current_->end->text);
  });
}

void Node::give_up(const std::string& why) {
  reason_ = why;
  const bool hold = spec_.on_failure.value_or(api::OnFailure::fail) == api::OnFailure::hold;
  if (hold && !winding_down_) {
    state_ = api::NodeState::held;
    host_.node_event(*this, "held", {{"message", why}});
    return host_.node_changed(*this);
  }
  remaining_ = current_->life->unread() + intake_.waiting();
  state_ = api::NodeState::failed;
  host_.node_event(*this, "failed", {{"message", why}});
  outlet_.finish();
  intake_.stop();
  host_.node_changed(*this);
}

void Node::finish() {
  remaining_ = current_->life->unread() + intake_.waiting();
  drained_ = remaining_ == 0 && knows_unread(*current_) && !current_->cut_short &&
             (!current_->ending || !has_input());
  state_ = api::NodeState::finished;
  host_.node_event(*this, "finished", {{"bytesIn", given()}, {"bytesOut", outlet_.bytes()}});
  outlet_.finish();
  intake_.stop();
  host_.node_changed(*this);
}

// --- the end of the topology -------------------------------------------------------------------------

void Node::ask_to_end(const std::shared_ptr<Current>& life) {
  life->ending = true;
  const std::chrono::milliseconds grace = kill_grace(life->spec);
  if (!life->control) return life->life->end("the topology goes down", grace);
  host_.hub().shutdown(life->spec.id, life->generation, "the node is to end", grace,
                       [this, weak = std::weak_ptr(life), grace](bool acknowledged) {
                         const auto held = weak.lock();
                         if (!held || held->end) return;
                         if (!acknowledged) held->life->end("no acknowledgement of control.shutdown", grace);
                       });
}

void Node::wind_down() {
  if (over() || winding_down_) return;
  winding_down_ = true;
  if (cutover_) {
    cutover_->reason = "the topology goes down";
    if (cutover_->state == CutoverState::starting || cutover_->state == CutoverState::holding)
      step_cutover(CutoverEvent::new_failed);
  }
  if (state_ == api::NodeState::restarting && (starting_again_ || !is_source())) {
    // One more life for what is still under way.
    restart_timer_.cancel();
    return starting_again_ ? void() : restart();
  }
  if (state_ == api::NodeState::held || state_ == api::NodeState::restarting) return finish();
  if (is_source() && current_) ask_to_end(current_);
}

void Node::terminate(const std::string& reason) {
  winding_down_ = true;
  flowing_ = true;
  restart_timer_.cancel();
  if (cutover_) {
    // Whatever its state: neither of the two goes on.
    cutover_->reason = reason;
    cutover_->state = CutoverState::rolled_back;
    roll_back();
  }
  for (const auto& each : leaving_) each->life->end(reason, kill_grace(each->spec));
  if (over()) return;
  if (!current_ || current_->end || !current_->started) return finish();
  current_->ending = true;
  current_->life->end(reason, kill_grace(current_->spec));
  // Nobody is to wait for what it still says.
  if (auto output = current_->life->output()) output->destroy();
  if (!std::exchange(current_->output_ended, true)) current_->cut_short = true;
}

}  // namespace kairo::executor

#include "client/client.hpp"

namespace kairo::client {

Result<Client> Client::connect(const ConnectOptions& options) {
  auto channel = Channel::connect(options);
  if (!channel) return std::move(channel).error();
  return Client(*std::move(channel));
}

Result<void> Client::on_frame(const wire::Frame& frame) {
  if (frame.type == wire::FrameType::stream_chunk && on_chunk_) {
    auto chunk = api::read_chunk(frame.payload);
    if (!chunk) return std::move(chunk).error();
    on_chunk_(*chunk);
    return {};
  }
  if (frame.type == wire::FrameType::stream_chunk || (frame.type == wire::FrameType::event && !on_event_)) {
    pushes_.push_back({frame.type, std::string(frame.payload)});
    return {};
  }
  auto object = decoder_.decode(frame.payload);
  if (!object) return std::move(object).error();
  if (frame.type == wire::FrameType::event) {
    auto event = reflect::from_object<api::Event>(*object, "event", reflect::Unknown::ignore);
    if (!event) return Error(Code::invalid_request, "unreadable EVENT: " + event.error().message);
    on_event_(*event);
    return {};
  }
  if (frame.type != wire::FrameType::response)
    return Error(Code::invalid_request, "the server sent a REQUEST; only clients do");
  auto response = api::read_response(*object);
  if (!response) return std::move(response).error();
  const auto* id = std::get_if<std::uint64_t>(&response->id);
  if (!id) return Error(Code::invalid_request, "an answer to a request that was never sent");
  if (response->error)
    answers_.emplace(*id, api::read_error(*response->error));
  else
    answers_.emplace(*id, reflect::packed(*response->result));
  return {};
}

Result<void> Client::sort_frames() {
  for (;;) {
    auto frame = channel_.next();
    if (!frame) return std::move(frame).error();
    if (!*frame) return {};
    auto taken = on_frame(**frame);
    if (!taken) return taken;
  }
}

Result<bool> Client::step(Deadline deadline) {
  auto ready = channel_.wait(deadline);
  if (!ready || !*ready) return ready;
  auto received = channel_.receive_some();
  if (!received) return std::move(received).error();
  auto sorted = sort_frames();
  if (!sorted) return std::move(sorted).error();
  return true;
}

Result<void> Client::pump() {
  auto sent = channel_.send_some();
  if (!sent) return sent;
  for (;;) {
    auto received = channel_.receive_some();
    if (!received) return std::move(received).error();
    if (*received == 0) return {};
    auto sorted = sort_frames();
    if (!sorted) return sorted;
  }
}

std::optional<Result<std::string>> Client::take(std::uint64_t id) {
  const auto found = answers_.find(id);
  if (found == answers_.end()) return std::nullopt;
  std::optional<Result<std::string>> answer(std::move(found->second));
  answers_.erase(found);
  return answer;
}

Result<bool> Client::wait(std::uint64_t id, Deadline deadline) {
  while (!answers_.contains(id)) {
    auto stepped = step(deadline);
    if (!stepped || !*stepped) return stepped;
  }
  return true;
}

Result<std::string> Client::await_raw(std::uint64_t id, Deadline deadline) {
  auto come = wait(id, deadline);
  if (!come) return std::move(come).error();
  if (!*come)
    return Error(Code::timeout, "no answer from the daemon at " + path() + " in time; it may still come");
  return *take(id);
}

Result<std::optional<Push>> Client::poll_push(Deadline deadline) {
  while (pushes_.empty()) {
    auto stepped = step(deadline);
    if (!stepped) return std::move(stepped).error();
    if (!*stepped) return std::optional<Push>();
  }
  std::optional<Push> first(std::move(pushes_.front()));
  pushes_.pop_front();
  return first;
}

}  // namespace kairo::client

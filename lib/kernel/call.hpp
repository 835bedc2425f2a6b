// One request on its way through a handler, and the promise to answer it exactly once.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/envelope.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "kernel/client.hpp"

namespace kairo::kernel {

/// The part of a call that outlives its handler: who is to be answered, under which id.
class Answerer {
 public:
  Answerer(std::weak_ptr<Client> client, api::RequestId id, Client::Asked asked)
      : client_(std::move(client)), id_(std::move(id)), asked_(asked) {}

  template <class T>
  void answer(const T& result) const {
    if (const auto client = open_client()) {
      api::append_response(client->connection().outbox(), id_, result);
      client->answered(asked_);
    }
  }
  /// Sends the answer in this moment, ahead of what the loop's turn still has to do.
  void flush() const {
    if (const auto client = open_client()) client->connection().flush();
  }
  /// Whether nobody is there to be answered any more.
  [[nodiscard]] bool abandoned() const { return !open_client(); }
  void fail(const Error& error) const {
    if (const auto client = open_client()) {
      api::append_error(client->connection().outbox(), id_, error);
      client->answered(asked_, error.code);
      if (error.code == Code::permission_denied) client->refused(asked_, error);
    }
  }

 private:
  [[nodiscard]] std::shared_ptr<Client> open_client() const {
    auto client = client_.lock();
    return client && client->open() ? client : nullptr;
  }
  std::weak_ptr<Client> client_;
  api::RequestId id_;
  Client::Asked asked_;
};

/// Answers one call with a Result<R>, exactly once; it, or a copy of it, may be kept until then.
template <class R>
class Reply {
 public:
  explicit Reply(Answerer to) : to_(std::move(to)) {}
  void operator()(const R& result) const { to_.answer(result); }
  void operator()(const Error& error) const { to_.fail(error); }
  void flush() const { to_.flush(); }
  [[nodiscard]] bool abandoned() const { return to_.abandoned(); }
  /// An R that is MsgPack already.
  void packed(const reflect::Any& result) const { to_.answer(result); }

 private:
  Answerer to_;
};

/// What a handler knows about its request beside the params.
struct Call {
  std::shared_ptr<Client> client;
  std::string_view correlation_id;  ///< Valid during the handler only.
  std::string_view causation_id;
  std::vector<UniqueFd>& descriptors;
};

}  // namespace kairo::kernel

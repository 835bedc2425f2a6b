// A daemon with one client, and a reader that checks every byte of a patterned stream.
#pragma once

#include <cstring>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include "api/methods.hpp"
#include "client/client.hpp"
#include "support/harness.hpp"
#include "support/pattern.hpp"

namespace kairo::test {

inline client::Client connect(const Daemon& daemon) {
  auto made = client::Client::connect({.socket = daemon.socket()});
  REQUIRE_MESSAGE(made.ok(), (made.ok() ? std::string() : made.error().message));
  return std::move(*made);
}

inline api::SpawnParams command(std::vector<std::string> argv) {
  api::SpawnParams params;
  params.command = std::move(argv);
  params.options.emplace();
  params.options->subscribe = false;
  return params;
}

/// kairo-test-child with these words.
inline api::SpawnParams child(std::vector<std::string> words) {
  words.insert(words.begin(), test_child_path());
  return command(std::move(words));
}

template <class R, class P>
R must(client::Client& client, std::string_view method, const P& params) {
  auto result = client.call<R>(method, params, SteadyClock::now() + patience);
  REQUIRE_MESSAGE(result.ok(), (result.ok() ? std::string() : result.error().message));
  return std::move(*result);
}

inline api::SpawnResult spawn(client::Client& client, const api::SpawnParams& params) {
  return must<api::SpawnResult>(client, "process.spawn", params);
}

inline api::ProcessSession wait(client::Client& client, const std::string& id) {
  return must<api::ProcessSession>(client, "process.wait", api::WaitParams{id, {}});
}

inline api::ProcessSession status(client::Client& client, const std::string& id) {
  return must<api::ProcessSession>(client, "process.status", api::IdParams{id});
}

/// The stdout that the log holds.
inline std::string read_log(client::Client& client, const std::string& id) {
  api::ReadParams params;
  params.id = id;
  return std::get<std::string>(must<api::ReadResult>(client, "process.read", params).chunk);
}

inline api::AttachParams attach_to(const std::string& id, api::Flow flow) {
  api::AttachParams params;
  params.id = id;
  params.flow = flow;
  params.encoding = api::Encoding::binary;
  params.streams = {{api::StreamName::standard_output}};
  return params;
}

/// Takes the chunks of one stdout and checks offsets, seq and bytes against the pattern.
class PatternCheck {
 public:
  void take(const api::ChunkView& chunk) {
    if (chunk.seq != next_seq_++) problem_ = "seq has a gap";
    if (chunk.offset != offset_ + chunk.dropped) problem_ = "offset does not follow";
    offset_ = chunk.offset;
    dropped_ += chunk.dropped;
    const std::size_t wrong = pattern_mismatch(chunk.chunk.data(), chunk.chunk.size(), offset_);
    if (wrong != chunk.chunk.size())
      problem_ = "the byte at " + std::to_string(offset_ + wrong) + " is wrong";
    offset_ += chunk.chunk.size();
    eof_ = eof_ || chunk.eof;
  }
  [[nodiscard]] bool eof() const { return eof_; }
  [[nodiscard]] std::uint64_t offset() const { return offset_; }
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  std::uint64_t next_seq_ = 0, offset_ = 0, dropped_ = 0;
  bool eof_ = false;
  std::string problem_;
};

/// Memory of a process that is its own (RssAnon).
inline std::uint64_t anonymous_bytes(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string word;
  while (status >> word)
    if (word == "RssAnon:") {
      std::uint64_t kib = 0;
      status >> kib;
      return kib * 1024;
    }
  return 0;
}

/// Reads a patterned stdout to its end.
inline PatternCheck read_pattern(client::Client& client, const std::string& subscription) {
  PatternCheck check;
  while (!check.eof()) {
    auto push = client.poll_push(SteadyClock::now() + patience);
    REQUIRE_MESSAGE(push.ok(), (push.ok() ? std::string() : push.error().message));
    REQUIRE_MESSAGE(push->has_value(), "the stream stands still at " << check.offset());
    if ((*push)->type != wire::FrameType::stream_chunk) continue;
    auto chunk = api::read_chunk((*push)->payload);
    REQUIRE(chunk.ok());
    if (chunk->subscription_id == subscription) check.take(*chunk);
  }
  return check;
}

}  // namespace kairo::test

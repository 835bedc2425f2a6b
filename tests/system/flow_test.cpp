// Who waits for whom: readers, logs, processes.
#include <fcntl.h>
#include <unistd.h>

#include "rig.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

/// Until the stream's count has stood still while the process had every chance to go on.
std::uint64_t settled_bytes(client::Client& client, const std::string& id) {
  std::uint64_t last = 0;
  int still = 0;
  eventually(
      [&] {
        const std::uint64_t now = status(client, id).streams.standard_output.bytes;
        still = now == last && now > 0 ? still + 1 : 0;
        last = now;
        return still > 200;
      },
      "the stream stands still");
  return last;
}

}  // namespace

TEST_SUITE_BEGIN("flow");

TEST_CASE("a reader that stalls delays neither the process nor another reader") {
  Daemon daemon;
  client::Client stalled = connect(daemon), client = connect(daemon);
  api::SpawnParams params = child({"spew", std::to_string(256u << 20)});
  params.options->output = api::OutputOptions{1u << 20, {}};
  const std::string id = spawn(client, params).id;
  must<api::SubscriptionResult>(stalled, "process.attach", attach_to(id, api::Flow::follow));
  const std::string mine =
      must<api::SubscriptionResult>(client, "process.attach", attach_to(id, api::Flow::follow))
          .subscription_id;
  const PatternCheck check = read_pattern(client, mine);
  CHECK(check.problem() == "");
  CHECK(check.offset() == 256u << 20);
  CHECK(wait(client, id).exit_code == 0);
}

TEST_CASE(
    "a lossless reader that stalls holds the process at the log's retention, and lets it go when it leaves") {
  Daemon daemon;
  client::Client reader = connect(daemon), client = connect(daemon);
  constexpr std::uint64_t retain = 1u << 20, total = 64u << 20;
  api::SpawnParams params = child({"spew", std::to_string(total)});
  params.id = "held";
  params.options->output = api::OutputOptions{retain, {}};
  // The reader's request waits for the launch, so no byte can pass before its pin is there.
  const auto spawned = reader.send("process.spawn", params);
  const auto attached = reader.send("process.attach", attach_to("held", api::Flow::lossless));
  REQUIRE(reader.await<api::SpawnResult>(spawned).ok());
  REQUIRE(reader.await<api::SubscriptionResult>(attached).ok());
  const std::uint64_t held_at = settled_bytes(client, "held");
  CHECK(held_at < total);
  CHECK(held_at >= retain);
  CHECK(held_at < retain + (2u << 20));
  {
    const client::Client gone = std::move(reader);  // the connection ends here
  }
  CHECK(wait(client, "held").exit_code == 0);
  CHECK(status(client, "held").streams.standard_output.bytes == total);
}

TEST_CASE("a lossless reader of a small log gets every byte of a large stream") {
  Daemon daemon;
  client::Client client = connect(daemon);
  constexpr std::uint64_t total = 64u << 20;
  api::SpawnParams params = child({"spew", std::to_string(total)});
  params.id = "all";
  params.options->output = api::OutputOptions{64u << 10, {}};
  const auto spawned = client.send("process.spawn", params);
  const auto attached = client.send("process.attach", attach_to("all", api::Flow::lossless));
  REQUIRE(client.await<api::SpawnResult>(spawned).ok());
  auto subscription = client.await<api::SubscriptionResult>(attached);
  REQUIRE(subscription.ok());
  const PatternCheck check = read_pattern(client, subscription->subscription_id);
  CHECK(check.problem() == "");
  CHECK(check.offset() == total);
  CHECK(check.dropped() == 0);
}

TEST_CASE("a block log holds the process until somebody has read, by subscription or by process.read") {
  Daemon daemon;
  client::Client client = connect(daemon);
  constexpr std::uint64_t retain = 256u << 10, total = 8u << 20;
  api::SpawnParams params = child({"spew", std::to_string(total)});
  params.options->output = api::OutputOptions{retain, api::WhenFull::block};
  const std::string id = spawn(client, params).id;
  CHECK(settled_bytes(client, id) == retain);
  PatternCheck seen;
  std::uint64_t offset = 0;
  for (;;) {
    api::ReadParams read;
    read.id = id;
    read.offset = offset;
    read.max_bytes = 100'000;
    read.wait_ms = 30'000;
    read.encoding = api::Encoding::binary;
    const auto got = must<api::ReadResult>(client, "process.read", read);
    CHECK_FALSE(got.dropped);
    const auto& bytes = std::get<reflect::Bytes>(got.chunk).data;
    bool good = true;
    for (std::size_t i = 0; i < bytes.size(); ++i) good = good && bytes[i] == pattern_byte(offset + i);
    CHECK(good);
    offset = got.next_offset;
    if (got.eof) break;
  }
  CHECK(offset == total);
  CHECK(wait(client, id).exit_code == 0);
}

TEST_CASE("credit is the most that a subscription gives") {
  Daemon daemon;
  client::Client client = connect(daemon);
  const std::string id = spawn(client, child({"spew", "100000"})).id;
  wait(client, id);
  api::AttachParams attach = attach_to(id, api::Flow::lossless);
  attach.window = 1000;
  const auto subscription = must<api::SubscriptionResult>(client, "process.attach", attach);
  PatternCheck check;
  std::uint64_t granted = 1000;
  while (!check.eof()) {
    auto push = client.poll_push(SteadyClock::now() + patience);
    REQUIRE(push.ok());
    REQUIRE(push->has_value());
    if ((*push)->type != wire::FrameType::stream_chunk) continue;
    auto chunk = api::read_chunk((*push)->payload);
    REQUIRE(chunk.ok());
    check.take(*chunk);
    CHECK(check.offset() <= granted);
    if (check.offset() == granted) {
      granted += 7777;
      must<api::Done>(client, "process.credit", api::CreditParams{subscription.subscription_id, 7777});
    }
  }
  CHECK(check.problem() == "");
  CHECK(check.offset() == 100000);
}

TEST_CASE("descriptors that come with the spawn are the process's own stdio") {
  Daemon daemon;
  client::Client client = connect(daemon);
  int in[2], out[2];
  REQUIRE(::pipe2(in, O_CLOEXEC) == 0);
  REQUIRE(::pipe2(out, O_CLOEXEC) == 0);
  UniqueFd in_read(in[0]), in_write(in[1]), out_read(out[0]), out_write(out[1]);
  api::SpawnParams params = child({"cat"});
  params.options->standard_input = api::StdinKind::fd;
  params.options->standard_output = api::StdoutKind::fd;
  const int passed[] = {in_read.get(), out_write.get()};
  auto session = client.await<api::SpawnResult>(client.send("process.spawn", params, passed),
                                                SteadyClock::now() + patience);
  REQUIRE(session.ok());
  in_read.reset();
  out_write.reset();
  REQUIRE(::write(in_write.get(), "through", 7) == 7);
  in_write.reset();
  std::string got;
  char buffer[64];
  for (ssize_t n = 0; (n = ::read(out_read.get(), buffer, sizeof buffer)) > 0;)
    got.append(buffer, static_cast<std::size_t>(n));
  CHECK(got == "through");
  CHECK(wait(client, session->id).exit_code == 0);
}

TEST_CASE("a spawn whose descriptors are missing or too many starts nothing") {
  Daemon daemon;
  client::Client client = connect(daemon);
  api::SpawnParams params = child({"cat"});
  params.options->standard_output = api::StdoutKind::fd;
  auto missing = client.call<api::SpawnResult>("process.spawn", params);
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().code == Code::invalid_params);
  params.options->standard_output.reset();
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const int passed[] = {null.get()};
  auto surplus = client.await<api::SpawnResult>(client.send("process.spawn", params, passed));
  REQUIRE_FALSE(surplus.ok());
  CHECK(surplus.error().code == Code::invalid_params);
  CHECK(must<api::ListResult>(client, "process.list", api::ListParams{}).sessions.empty());
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("large");

TEST_CASE("a stream of 4 GiB and a byte arrives whole") {
  Daemon daemon;
  client::Client client = connect(daemon);
  constexpr std::uint64_t total = (4ull << 30) + 1;
  api::SpawnParams params = child({"spew", std::to_string(total)});
  params.id = "large";
  const auto spawned = client.send("process.spawn", params);
  const auto attached = client.send("process.attach", attach_to("large", api::Flow::lossless));
  REQUIRE(client.await<api::SpawnResult>(spawned).ok());
  auto subscription = client.await<api::SubscriptionResult>(attached);
  REQUIRE(subscription.ok());
  const PatternCheck check = read_pattern(client, subscription->subscription_id);
  CHECK(check.problem() == "");
  CHECK(check.offset() == total);
  CHECK(wait(client, "large").exit_code == 0);
}

TEST_SUITE_END();

#include "session/session.hpp"

#include <csignal>

#include <doctest/doctest.h>

using namespace kairo;
using session::on_boot_clock;
using session::on_unix_clock;
using session::Session;

namespace {
constexpr int exit_status(int code) {
  return code << 8;
}

struct Fixture {
  keeper::SessionSlot slot{};
  Session session{session::Record{}, 7, 0, &slot};
  Fixture() { session.launched(42, system_now(), boot_clock_us()); }
};
}  // namespace

TEST_CASE("an exit code and a signal exclude each other") {
  Fixture exited, killed;
  exited.session.exited(exit_status(3), system_now(), boot_clock_us());
  CHECK(exited.session.view().exit_code == 3);
  CHECK_FALSE(exited.session.view().signal);
  CHECK(exited.session.status() == api::Status::exited);
  killed.session.exited(SIGKILL, system_now(), boot_clock_us());
  CHECK_FALSE(killed.session.view().exit_code);
  CHECK(killed.session.view().signal == "SIGKILL");
  CHECK(killed.session.status() == api::Status::killed);
}

TEST_CASE("exit 9 is not signal 9") {
  Fixture fixture;
  fixture.session.exited(exit_status(9), system_now(), boot_clock_us());
  CHECK(fixture.session.outcome().reason == api::EndReason::exited);
}

TEST_CASE("the outcome tells the first reason, however the process then ended") {
  Fixture fixture;
  fixture.session.request_end(api::EndReason::canceled, "user:1");
  fixture.session.request_end(api::EndReason::timeout, "");
  fixture.session.exited(exit_status(0), system_now(), boot_clock_us());
  CHECK(fixture.session.outcome().reason == api::EndReason::canceled);
  CHECK(fixture.session.outcome().by == "user:1");
}

TEST_CASE("a signal from outside is told as one, and by whom when Kairo sent it") {
  Fixture outside, inside;
  outside.session.exited(SIGSEGV, system_now(), boot_clock_us());
  CHECK(outside.session.outcome().reason == api::EndReason::signaled);
  CHECK_FALSE(outside.session.outcome().by);
  inside.session.note_signal(SIGTERM, "user:5");
  inside.session.exited(SIGTERM, system_now(), boot_clock_us());
  CHECK(inside.session.outcome().by == "user:5");
}

TEST_CASE("a signal that it survived is not told as its end") {
  Fixture fixture;
  fixture.session.note_signal(SIGTERM, "user:5");
  fixture.session.exited(SIGSEGV, system_now(), boot_clock_us());
  CHECK_FALSE(fixture.session.outcome().by);
}

TEST_CASE("what ended before it was canceled was not canceled") {
  Fixture fixture;
  const std::uint64_t before = boot_clock_us() - 1'000'000;
  fixture.session.request_end(api::EndReason::canceled, "user:1");
  fixture.session.exited(exit_status(0), system_now(), before);
  CHECK(fixture.session.outcome().reason == api::EndReason::exited);
}

TEST_CASE("a clock that is set back between the request and the end changes no outcome") {
  Fixture fixture;
  fixture.session.request_end(api::EndReason::canceled, "user:1");
  fixture.session.exited(SIGTERM, system_now() - std::chrono::hours(24), boot_clock_us());
  CHECK(fixture.session.outcome().reason == api::EndReason::canceled);
}

TEST_CASE("moments that an earlier daemon kept in Unix time alone are known") {
  const std::uint64_t now = boot_clock_us();
  const auto unix_now = static_cast<std::uint64_t>(system_now().time_since_epoch().count());
  CHECK(on_boot_clock(0, 0) == 0);
  CHECK(on_boot_clock(17, unix_now) == 17);
  const std::uint64_t later = on_boot_clock(0, unix_now + 60'000'000);
  CHECK(later > now + 59'000'000);
  CHECK(later < now + 61'000'000);
  CHECK(on_boot_clock(0, 1) == 1);  // long over
  CHECK(on_boot_clock(0, on_unix_clock(now)) > now - 1'000'000);
}

TEST_CASE("a session without a keeper is lost, not guessed") {
  Fixture fixture;
  CHECK(fixture.session.lost(system_now()));
  CHECK(fixture.session.outcome().reason == api::EndReason::lost);
  CHECK_FALSE(fixture.session.view().exit_code);
  CHECK_FALSE(fixture.session.exited(0, system_now(), boot_clock_us()));
}

TEST_CASE("offsets stay readable after the slot was given back") {
  Fixture fixture;
  fixture.slot.streams[0].tail.store(100);
  fixture.slot.streams[0].floor.store(40);
  fixture.slot.streams[0].flags.store(stream::log_eof);
  fixture.slot.streams[1].flags.store(stream::log_eof);
  fixture.session.exited(0, system_now(), boot_clock_us());
  CHECK(fixture.session.all_recorded());
  fixture.session.freeze(-1);
  CHECK(fixture.session.slot() == nullptr);
  CHECK(fixture.session.view().streams.standard_output.bytes == 100);
  CHECK(fixture.session.view().streams.standard_output.first_offset == 40);
  fixture.session.drop_logs();
  CHECK(fixture.session.view().streams.standard_output.first_offset == 100);
}

#include "keeper/protocol.hpp"

#include <doctest/doctest.h>

#include "reflect/encode.hpp"

using namespace kairo;
using namespace kairo::keeper;

namespace {

Launch full_launch() {
  Launch out;
  out.token = 7;
  out.key = UINT64_MAX;
  out.slot = 65'535;
  out.argv = {"/bin/echo", "", "a b"};
  out.env.data = std::string("A=1\0B=\0", 7);
  out.cwd = "/tmp";
  out.standard_error = Stdio::to_stdout;
  out.retain_bytes = 1u << 20;
  out.kill_grace_ms = 2000;
  out.detach_descendants = true;
  out.mark = "job";
  out.record.data = std::string("\0\xff", 2);
  return out;
}

}  // namespace

TEST_CASE("a message comes back as it was written") {
  std::string bytes;
  append_message(bytes, MessageType::launch, full_launch());
  const auto message = next_message(bytes);
  REQUIRE(message.ok());
  REQUIRE(message->has_value());
  CHECK((*message)->type == MessageType::launch);
  CHECK((*message)->bytes == bytes.size());
  const auto launch = read_message<Launch>(**message);
  REQUIRE(launch.ok());
  CHECK(reflect::to_msgpack(*launch) == reflect::to_msgpack(full_launch()));
}

TEST_CASE("a message without members is possible") {
  std::string bytes;
  append_message(bytes, MessageType::stop, Stop{});
  const auto message = next_message(bytes);
  REQUIRE(message.ok());
  REQUIRE(message->has_value());
  CHECK(read_message<Stop>(**message).ok());
}

TEST_CASE("a message that is cut at any byte is waited for") {
  std::string bytes;
  append_message(bytes, MessageType::launch, full_launch());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto message = next_message(std::string_view(bytes).substr(0, size));
    REQUIRE(message.ok());
    CHECK_FALSE(message->has_value());
  }
}

TEST_CASE("messages stand behind one another") {
  std::string bytes;
  append_message(bytes, MessageType::release, Key{1});
  append_message(bytes, MessageType::release, Key{2});
  const auto first = next_message(bytes);
  REQUIRE((first.ok() && first->has_value()));
  const auto second = next_message(std::string_view(bytes).substr((*first)->bytes));
  REQUIRE((second.ok() && second->has_value()));
  CHECK(read_message<Key>(**second)->key == 2);
}

TEST_CASE("a length that no message can have is refused before its bytes have come") {
  CHECK_FALSE(next_message(std::string("\0\0\0\0", 4)).ok());
  CHECK_FALSE(next_message("\xff\xff\xff\xff").ok());
  CHECK_FALSE(next_message(std::string("\0\x40\0\1", 4)).ok());  // 4 MiB and one
}

TEST_CASE("an unknown type is refused") {
  CHECK_FALSE(next_message(std::string("\0\0\0\2\0", 5)).ok());
  CHECK_FALSE(next_message(std::string("\0\0\0\2\x63", 5)).ok());
}

TEST_CASE("a body that is another struct is an error, members that it does not know are none") {
  std::string bytes;
  append_message(bytes, MessageType::exited, Signaled{1, 2});
  CHECK_FALSE(read_message<Exited>(**next_message(bytes)).ok());
  bytes.clear();
  append_message(bytes, MessageType::release, HeldSession{});
  CHECK(read_message<Key>(**next_message(bytes)).ok());
}

TEST_CASE("a body that is no MsgPack is an error") {
  for (const std::string& body : {std::string("\xc1"), std::string(), std::string("\xdf\xff\xff\xff\xff"),
                                  std::string(200'000, '\x91')}) {
    const Message message{MessageType::release, body, body.size() + 5};
    CHECK_FALSE(read_message<Key>(message).ok());
  }
}

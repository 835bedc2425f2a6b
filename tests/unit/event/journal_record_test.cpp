#include "event/journal_record.hpp"

#include <doctest/doctest.h>

#include "reflect/encode.hpp"

using namespace kairo;
using event::Fact;

TEST_CASE("a record holds the whole event and what the bus knows of it") {
  Fact fact;
  fact.event.type = "kairo.process.exited";
  fact.event.time = "2026-11-20T23:54:34.000123Z";
  fact.event.data.msgpack = reflect::to_msgpack(std::map<std::string, std::uint64_t>{{"pid", 42}});
  fact.event.id = "abc-1";
  fact.event.source = "kernel";
  fact.event.correlation_id = "c";
  fact.event.causation_id = "d";
  fact.owner = "user:1000";
  fact.process_id = "p-1";
  fact.session_key = UINT64_MAX;
  wire::PayloadDecoder decoder;
  for (const std::uint64_t seq :
       {std::uint64_t{1}, std::uint64_t{127}, std::uint64_t{128}, std::uint64_t{65'535},
        std::uint64_t{65'536}, std::uint64_t{1} << 32, event::journal_seq_max}) {
    std::string record = "left over";
    event::encode_record(record, fact, seq);
    CHECK(event::peek_seq(record) == seq);
    auto back = event::decode_record(decoder, record);
    REQUIRE(back.ok());
    CHECK(back->event.seq == seq);
    back->event.seq.reset();
    CHECK(reflect::to_msgpack(*back) == reflect::to_msgpack(fact));
  }
}

TEST_CASE("what is no record of an event is refused, however it is cut") {
  Fact fact;
  fact.event.type = "x";
  std::string record;
  event::encode_record(record, fact, 70'000);
  wire::PayloadDecoder decoder;
  for (std::size_t cut = 0; cut < record.size(); ++cut) {
    CHECK_FALSE(event::decode_record(decoder, record.substr(0, cut)).ok());
    const auto peeked = event::peek_seq(record.substr(0, cut));
    CHECK((!peeked || *peeked == 70'000));
  }
  event::encode_record(record, fact, 0);
  CHECK_FALSE(event::decode_record(decoder, record).ok());
  event::encode_record(record, fact, event::journal_seq_max + 1);
  CHECK_FALSE(event::decode_record(decoder, record).ok());
  CHECK_FALSE(event::decode_record(decoder, reflect::to_msgpack(fact)).ok());
  CHECK_FALSE(event::peek_seq(reflect::to_msgpack(fact)));
}

TEST_CASE("members that a younger program added are ignored") {
  std::string record;
  reflect::Sink sink(record);
  reflect::Packer to(sink);
  to.pack_map(3);
  reflect::encode(to, "later");
  reflect::encode(to, std::uint64_t{1});
  reflect::encode(to, "event");
  reflect::encode(to, std::map<std::string, std::string>{{"type", "x"}});
  reflect::encode(to, "seq");
  reflect::encode(to, std::uint64_t{5});
  wire::PayloadDecoder decoder;
  const auto fact = event::decode_record(decoder, record);
  REQUIRE(fact.ok());
  CHECK(fact->event.seq == 5);
  CHECK(fact->event.type == "x");
}

#include "event/journal_record.hpp"

#include "reflect/decode.hpp"
#include "reflect/encode.hpp"

namespace kairo::event {

void encode_record(std::string& out, const Fact& fact, std::uint64_t seq) {
  out.clear();
  reflect::Sink sink(out);
  reflect::Packer to(sink);
  to.pack_map(1 + reflect::count_members(fact));
  reflect::encode_key(to, "seq");
  reflect::encode(to, seq);
  reflect::encode_members(to, fact);
}

Result<Fact> decode_record(wire::PayloadDecoder& decoder, std::string_view record) {
  auto value = decoder.decode(record);
  if (!value) return std::move(value).error();
  const msgpack::object* seq = wire::find_member(*value, "seq");
  if (!seq || seq->type != msgpack::type::POSITIVE_INTEGER || seq->via.u64 == 0 ||
      seq->via.u64 > journal_seq_max)
    return Error(Code::invalid_params, "a record of an event without a usable number");
  const std::uint64_t number = seq->via.u64;
  auto fact = reflect::from_object<Fact>(*value, "record", reflect::Unknown::ignore);
  if (fact) fact->event.seq = number;
  return fact;
}

std::optional<std::uint64_t> peek_seq(std::string_view record) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(record[i]); };
  if (record.size() < 6 || byte(0) < 0x81 || byte(0) > 0x8f || record.substr(1, 4) != "\xa3seq")
    return std::nullopt;
  const unsigned head = byte(5);
  if (head < 0x80) return head;
  if (head < 0xcc || head > 0xcf) return std::nullopt;
  const std::size_t width = std::size_t{1} << (head - 0xcc);  // uint 8 to uint 64, big-endian
  if (record.size() < 6 + width) return std::nullopt;
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < width; ++i) value = value << 8 | byte(6 + i);
  return value;
}

}  // namespace kairo::event

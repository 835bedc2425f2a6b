// The hot half of the protocol: STREAM_CHUNK heads are written and read without building a value.
#include "api/envelope.hpp"

namespace kairo::api {
namespace {

/// Puts one integer in the shortest form that MsgPack has.
void put_uint(std::string& out, std::uint64_t value) {
  reflect::Sink sink(out);
  reflect::Packer(sink).pack_uint64(value);
}

/// Walks the members of the chunk's flat map. Values nested inside unknown members are passed over.
class ChunkVisitor : public msgpack::null_visitor {
 public:
  explicit ChunkVisitor(ChunkView& out) : out_(out) {}

  bool visit_nil() { return true; }
  bool visit_boolean(bool value) {
    if (!at_value()) return true;
    if (key_ == "eof") out_.eof = value;
    if (key_ == "truncated") out_.truncated = value;
    if (key_ == "partial") out_.partial = value;
    return true;
  }
  bool visit_positive_integer(std::uint64_t value) {
    if (!at_value()) return true;
    if (key_ == "seq") out_.seq = value;
    if (key_ == "offset") out_.offset = value;
    if (key_ == "dropped") out_.dropped = value;
    return true;
  }
  bool visit_str(const char* data, std::uint32_t size) {
    const std::string_view text(data, size);
    if (depth_ != 1) return true;
    if (in_key_) {
      key_ = text;
      return true;
    }
    if (key_ == "chunk") return take_chunk(text);
    if (key_ == "processId") out_.process_id = text;
    if (key_ == "subscriptionId") out_.subscription_id = text;
    if (key_ == "correlationId") out_.correlation_id = text;
    if (key_ == "stream") {
      if (text != "stdout" && text != "stderr") return false;
      out_.stream = text == "stdout" ? StreamName::standard_output : StreamName::standard_error;
      has_stream_ = true;
    }
    if (key_ == "encoding") {
      if (text != "utf8" && text != "base64" && text != "binary") return false;
      out_.encoding = text == "utf8"     ? Encoding::utf8
                      : text == "base64" ? Encoding::base64
                                         : Encoding::binary;
    }
    return true;
  }
  bool visit_bin(const char* data, std::uint32_t size) {
    return at_value() && key_ == "chunk" ? take_chunk({data, size}) : true;
  }
  bool start_map(std::uint32_t) { return ++depth_ <= limits::nesting_depth; }
  bool end_map() { return --depth_, true; }
  bool start_array(std::uint32_t) { return ++depth_ <= limits::nesting_depth; }
  bool end_array() { return --depth_, true; }
  bool start_map_key() {
    if (depth_ == 1) {
      in_key_ = true;
      key_ = {};  // a key that is no text names nothing, not the member before it
    }
    return true;
  }
  bool end_map_key() {
    if (depth_ == 1) in_key_ = false;
    return true;
  }
  void parse_error(std::size_t, std::size_t) { bad_ = true; }
  void insufficient_bytes(std::size_t, std::size_t) { bad_ = true; }

  [[nodiscard]] bool complete() const { return !bad_ && has_chunk_ && has_stream_; }

 private:
  [[nodiscard]] bool at_value() const { return depth_ == 1 && !in_key_; }
  bool take_chunk(std::string_view bytes) {
    out_.chunk = bytes;
    has_chunk_ = true;
    return true;
  }

  ChunkView& out_;
  std::string_view key_;
  std::size_t depth_ = 0;
  bool in_key_ = false;
  bool has_chunk_ = false;
  bool has_stream_ = false;
  bool bad_ = false;
};

}  // namespace

ChunkWriter::ChunkWriter(std::string_view process_id, StreamName stream, std::string_view subscription_id,
                         std::string_view correlation_id) {
  reflect::Sink sink(fixed_);
  reflect::Packer to(sink);
  const auto member = [&](std::string_view name, std::string_view value) {
    reflect::encode(to, name);
    reflect::encode(to, value);
    ++fixed_members_;
  };
  member("stream", reflect::enum_name(stream));
  member("processId", process_id);
  member("subscriptionId", subscription_id);
  if (!correlation_id.empty()) member("correlationId", correlation_id);
}

void ChunkWriter::append_head(std::string& out, const ChunkHead& head, std::size_t chunk_bytes) const {
  using namespace std::string_view_literals;
  const std::size_t start = out.size();
  out.append(wire::head_bytes, '\0');
  const unsigned members = fixed_members_ + 4u + (head.dropped ? 1u : 0u) + (head.truncated ? 1u : 0u) +
                           (head.partial ? 1u : 0u) + (head.eof ? 1u : 0u);
  out.push_back(static_cast<char>(0x80u | members));  // fixmap: never more than 12 members
  out.append(fixed_);
  out.append("\xa3seq"sv);
  put_uint(out, head.seq);
  out.append("\xa6offset"sv);
  put_uint(out, head.offset);
  if (head.dropped) {
    out.append(
        "\xa7"
        "dropped"sv);
    put_uint(out, head.dropped);
  }
  if (head.truncated) out.append("\xa9truncated\xc3"sv);
  if (head.partial) out.append("\xa7partial\xc3"sv);
  if (head.eof)
    out.append(
        "\xa3"
        "eof\xc3"sv);
  reflect::Sink sink(out);
  reflect::Packer to(sink);
  const auto size = static_cast<std::uint32_t>(chunk_bytes);
  switch (head.encoding) {
    case Encoding::utf8:
      out.append(
          "\xa8"
          "encoding\xa4utf8\xa5"
          "chunk"sv);
      break;
    case Encoding::base64:
      out.append(
          "\xa8"
          "encoding\xa6"
          "base64\xa5"
          "chunk"sv);
      break;
    case Encoding::binary:
      out.append(
          "\xa8"
          "encoding\xa6"
          "binary\xa5"
          "chunk"sv);
      break;
  }
  if (head.encoding == Encoding::binary)
    to.pack_bin(size);
  else
    to.pack_str(size);
  wire::put_head(out.data() + start, wire::FrameType::stream_chunk,
                 static_cast<std::uint32_t>(out.size() - start - wire::head_bytes + chunk_bytes));
}

Result<ChunkView> read_chunk(std::string_view payload) {
  ChunkView view;
  ChunkVisitor visitor(view);
  std::size_t offset = 0;
  if (!msgpack::parse(payload.data(), payload.size(), offset, visitor) || !visitor.complete() ||
      offset != payload.size())
    return Error(Code::invalid_request, "unreadable STREAM_CHUNK");
  return view;
}

}  // namespace kairo::api

// The hot half of the protocol: STREAM_CHUNK heads are written and read without building a value.
#include <cstring>

#include "api/envelope.hpp"

namespace kairo::api {
namespace {

/// Writes the parts of a head one behind the other, each in MsgPack's shortest form.
class HeadCursor {
 public:
  explicit HeadCursor(char* to) : to_(to) {}
  [[nodiscard]] char* at() const { return to_; }

  void bytes(std::string_view text) {
    std::memcpy(to_, text.data(), text.size());
    to_ += text.size();
  }
  void uint(std::uint64_t value) {
    if (value < 0x80) return big_endian<1>(value);
    if (value <= 0xFF) return byte(0xcc), big_endian<1>(value);
    if (value <= 0xFFFF) return byte(0xcd), big_endian<2>(value);
    if (value <= 0xFFFF'FFFF) return byte(0xce), big_endian<4>(value);
    byte(0xcf), big_endian<8>(value);
  }
  void str_head(std::uint32_t size) {
    if (size < 32) return byte(0xa0 | size);
    if (size <= 0xFF) return byte(0xd9), big_endian<1>(size);
    if (size <= 0xFFFF) return byte(0xda), big_endian<2>(size);
    byte(0xdb), big_endian<4>(size);
  }
  void bin_head(std::uint32_t size) {
    if (size <= 0xFF) return byte(0xc4), big_endian<1>(size);
    if (size <= 0xFFFF) return byte(0xc5), big_endian<2>(size);
    byte(0xc6), big_endian<4>(size);
  }

 private:
  void byte(std::uint32_t value) { *to_++ = static_cast<char>(value); }
  template <unsigned size>
  void big_endian(std::uint64_t value) {
    for (unsigned i = 0; i < size; ++i) to_[i] = static_cast<char>(value >> 8 * (size - 1 - i));
    to_ += size;
  }

  char* to_;
};

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
  const std::size_t start = out.size();
  out.resize(start + max_head_bytes());
  out.resize(start + write_head(out.data() + start, head, chunk_bytes));
}

std::size_t ChunkWriter::write_head(char* to, const ChunkHead& head, std::size_t chunk_bytes) const {
  using namespace std::string_view_literals;
  HeadCursor cursor(to + wire::head_bytes);
  const unsigned members = fixed_members_ + 4u + (head.dropped ? 1u : 0u) + (head.truncated ? 1u : 0u) +
                           (head.partial ? 1u : 0u) + (head.eof ? 1u : 0u);
  const char map_head = static_cast<char>(0x80u | members);  // fixmap: never more than 12 members
  cursor.bytes({&map_head, 1});
  cursor.bytes(fixed_);
  cursor.bytes("\xa3seq"sv);
  cursor.uint(head.seq);
  cursor.bytes("\xa6offset"sv);
  cursor.uint(head.offset);
  if (head.dropped) {
    cursor.bytes(
        "\xa7"
        "dropped"sv);
    cursor.uint(head.dropped);
  }
  if (head.truncated) cursor.bytes("\xa9truncated\xc3"sv);
  if (head.partial) cursor.bytes("\xa7partial\xc3"sv);
  if (head.eof)
    cursor.bytes(
        "\xa3"
        "eof\xc3"sv);
  const auto size = static_cast<std::uint32_t>(chunk_bytes);
  switch (head.encoding) {
    case Encoding::utf8:
      cursor.bytes(
          "\xa8"
          "encoding\xa4utf8\xa5"
          "chunk"sv);
      break;
    case Encoding::base64:
      cursor.bytes(
          "\xa8"
          "encoding\xa6"
          "base64\xa5"
          "chunk"sv);
      break;
    case Encoding::binary:
      cursor.bytes(
          "\xa8"
          "encoding\xa6"
          "binary\xa5"
          "chunk"sv);
      break;
  }
  if (head.encoding == Encoding::binary)
    cursor.bin_head(size);
  else
    cursor.str_head(size);
  const auto head_size = static_cast<std::size_t>(cursor.at() - to);
  wire::put_head(to, wire::FrameType::stream_chunk,
                 static_cast<std::uint32_t>(head_size - wire::head_bytes + chunk_bytes));
  return head_size;
}

namespace {

/// Reads the form that ChunkWriter writes: a fixmap whose keys are fixstr and whose values are scalars.
/// False, and the view half-filled, for every other form, which the visitor reads.
class PlainChunk {
 public:
  PlainChunk(std::string_view payload, ChunkView& out)
      : at_(payload.data()), end_(at_ + payload.size()), out_(out) {}

  bool read() {
    if (at_ == end_ || (byte() & 0xf0u) != 0x80) return false;
    unsigned members = *at_++ & 0x0fu;
    bool has_stream = false, has_chunk = false;
    for (; members > 0; --members) {
      std::string_view key, text;
      if (!take_text(key)) return false;
      if (key == "chunk") {
        if (!take_bytes(out_.chunk)) return false;
        has_chunk = true;
      } else if (key == "seq") {
        if (!take_number(out_.seq)) return false;
      } else if (key == "offset") {
        if (!take_number(out_.offset)) return false;
      } else if (key == "dropped") {
        if (!take_number(out_.dropped)) return false;
      } else if (key == "stream") {
        if (!take_text(text) || (text != "stdout" && text != "stderr")) return false;
        out_.stream = text == "stdout" ? StreamName::standard_output : StreamName::standard_error;
        has_stream = true;
      } else if (key == "encoding") {
        if (!take_text(text)) return false;
        if (text == "utf8")
          out_.encoding = Encoding::utf8;
        else if (text == "binary")
          out_.encoding = Encoding::binary;
        else if (text == "base64")
          out_.encoding = Encoding::base64;
        else
          return false;
      } else if (key == "processId") {
        if (!take_text(out_.process_id)) return false;
      } else if (key == "subscriptionId") {
        if (!take_text(out_.subscription_id)) return false;
      } else if (key == "correlationId") {
        if (!take_text(out_.correlation_id)) return false;
      } else if (key == "eof") {
        if (!take_flag(out_.eof)) return false;
      } else if (key == "truncated") {
        if (!take_flag(out_.truncated)) return false;
      } else if (key == "partial") {
        if (!take_flag(out_.partial)) return false;
      } else {
        return false;
      }
    }
    return at_ == end_ && has_stream && has_chunk;
  }

 private:
  [[nodiscard]] unsigned byte() const { return static_cast<unsigned char>(*at_); }
  [[nodiscard]] std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }

  bool take(std::size_t size, std::string_view& out) {
    if (left() < size) return false;
    out = {at_, size};
    at_ += size;
    return true;
  }
  /// A big-endian number of so many bytes.
  bool take_raw(std::size_t size, std::uint64_t& out) {
    if (left() < size) return false;
    out = 0;
    for (std::size_t i = 0; i < size; ++i) out = out << 8 | static_cast<unsigned char>(at_[i]);
    at_ += size;
    return true;
  }
  bool take_number(std::uint64_t& out) {
    if (at_ == end_) return false;
    const unsigned type = byte();
    ++at_;
    if (type < 0x80) {
      out = type;
      return true;
    }
    return type >= 0xcc && type <= 0xcf && take_raw(std::size_t{1} << (type - 0xcc), out);
  }
  bool take_flag(bool& out) {
    if (at_ == end_ || (byte() & 0xfeu) != 0xc2) return false;
    out = byte() == 0xc3;
    ++at_;
    return true;
  }
  /// fixstr or str8, as names and ids are.
  bool take_text(std::string_view& out) {
    if (at_ == end_) return false;
    const unsigned type = byte();
    ++at_;
    if ((type & 0xe0u) == 0xa0) return take(type & 0x1fu, out);
    std::uint64_t size = 0;
    return type == 0xd9 && take_raw(1, size) && take(size, out);
  }
  /// Any str or bin.
  bool take_bytes(std::string_view& out) {
    if (at_ == end_) return false;
    const unsigned type = byte();
    if ((type & 0xe0u) == 0xa0 || type == 0xd9) return take_text(out);
    ++at_;
    std::uint64_t size = 0;
    switch (type) {
      case 0xc4: return take_raw(1, size) && take(size, out);
      case 0xc5:
      case 0xda: return take_raw(2, size) && take(size, out);
      case 0xc6:
      case 0xdb: return take_raw(4, size) && take(size, out);
      default: return false;
    }
  }

  const char* at_;
  const char* end_;
  ChunkView& out_;
};

}  // namespace

Result<ChunkView> read_chunk(std::string_view payload) {
  ChunkView view;
  if (PlainChunk(payload, view).read()) return view;
  view = {};
  ChunkVisitor visitor(view);
  std::size_t offset = 0;
  if (!msgpack::parse(payload.data(), payload.size(), offset, visitor) || !visitor.complete() ||
      offset != payload.size())
    return Error(Code::invalid_request, "unreadable STREAM_CHUNK");
  return view;
}

}  // namespace kairo::api

#include <algorithm>

#include "reflect/decode.hpp"
#include "reflect/encode.hpp"

namespace kairo::reflect {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row[b.size()];
}

std::string_view type_name(const msgpack::object& value) {
  switch (value.type) {
    case msgpack::type::NIL: return "nil";
    case msgpack::type::BOOLEAN: return "boolean";
    case msgpack::type::POSITIVE_INTEGER:
    case msgpack::type::NEGATIVE_INTEGER: return "integer";
    case msgpack::type::FLOAT32:
    case msgpack::type::FLOAT64: return "number";
    case msgpack::type::STR: return "string";
    case msgpack::type::BIN: return "bytes";
    case msgpack::type::ARRAY: return "array";
    case msgpack::type::MAP: return "map";
    case msgpack::type::EXT: return "extension";
  }
  return "value";
}

/// Bytes of the UTF-8 sequence that `text` begins with; 0 where it begins with none.
std::size_t sequence_bytes(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  const std::size_t size = lead < 0x80   ? 1
                           : lead < 0xc2 ? 0
                           : lead < 0xe0 ? 2
                           : lead < 0xf0 ? 3
                           : lead < 0xf5 ? 4
                                         : 0;
  if (size == 0 || size > text.size()) return 0;
  for (std::size_t i = 1; i < size; ++i)
    if ((byte(i) & 0xc0u) != 0x80u) return 0;
  // Over-long forms, surrogates, and what lies beyond U+10FFFF.
  if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) > 0x9f) ||
      (lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) > 0x8f))
    return 0;
  return size;
}

}  // namespace

std::string quotable(std::string_view text) {
  constexpr std::size_t longest = 64;
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = sequence_bytes(text.substr(at, 4));
    if (out.size() + std::max<std::size_t>(size, 1) > longest) return out + "...";
    const bool plain = size > 1 || (size == 1 && text[at] >= ' ' && text[at] != '\x7f');
    if (plain)
      out.append(text.substr(at, size));
    else
      out.push_back('?');
    at += std::max<std::size_t>(size, 1);
  }
  return out;
}

std::string_view nearest_name(std::string_view name, const std::string_view* candidates, std::size_t count) {
  std::string_view best;
  if (name.size() > 64) return best;
  // Of a name of three letters or fewer, two changes leave nothing that was meant.
  std::size_t best_distance = (name.size() <= 3 ? 1 : std::max<std::size_t>(2, name.size() / 3)) + 1;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t distance = edit_distance(name, candidates[i]);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidates[i];
    }
  }
  return best;
}

void encode_any(Packer& to, const Any& value) {
  if (value.msgpack.empty()) {
    to.pack_nil();
    return;
  }
  // str_body writes bytes as they are: they are one value already.
  to.pack_str_body(value.msgpack.data(), static_cast<std::uint32_t>(value.msgpack.size()));
}

std::string packed(const msgpack::object& value) {
  std::string out;
  Sink sink(out);
  Packer packer(sink);
  packer.pack(value);
  return out;
}

void encode_error(Packer& to, const Error& error) {
  to.pack_map(error.details.empty() ? 2 : 3);
  encode(to, "code");
  encode(to, code_name(error.code));
  encode(to, "message");
  encode(to, error.message);
  if (error.details.empty()) return;
  encode(to, "details");
  to.pack_map(static_cast<std::uint32_t>(error.details.size()));
  for (const auto& [key, value] : error.details) {
    encode(to, key);
    if (const auto* number = std::get_if<std::int64_t>(&value)) encode(to, *number);
    if (const auto* text = std::get_if<std::string>(&value)) encode(to, *text);
    if (const auto* raw = std::get_if<Error::Raw>(&value)) encode_any(to, Any{raw->msgpack});
  }
}

bool Context::fail(std::string_view problem) {
  if (!error_) error_ = Error(Code::invalid_params, path_ + " " + std::string(problem)).with("path", path_);
  return false;
}

bool Context::fail_type(std::string_view wanted, const msgpack::object& got) {
  return fail("must be " + std::string(wanted) + ", not " + std::string(type_name(got)));
}

bool Context::fail_unknown(std::string_view name, const std::vector<std::string_view>& known) {
  const std::string_view near = nearest_name(name, known.data(), known.size());
  fail(near.empty() ? "is not a known field"
                    : "is not a known field; did you mean \"" + std::string(near) + "\"?");
  if (!near.empty()) error_->details.emplace_back("suggestion", std::string(near));
  return false;
}

Context::Step::Step(Context& context, std::string_view member)
    : context_(context), length_(context.path_.size()) {
  context_.path_.append(".").append(quotable(member));
}

Context::Step::Step(Context& context, std::size_t index) : context_(context), length_(context.path_.size()) {
  context_.path_.append("[").append(std::to_string(index)).append("]");
}

bool decode(Context& at, const msgpack::object& from, std::string& out) {
  if (from.type != msgpack::type::STR) return at.fail_type("string", from);
  out.assign(from.via.str.ptr, from.via.str.size);
  return true;
}

bool decode(Context& at, const msgpack::object& from, bool& out) {
  if (from.type != msgpack::type::BOOLEAN) return at.fail_type("boolean", from);
  out = from.via.boolean;
  return true;
}

bool decode(Context& at, const msgpack::object& from, double& out) {
  switch (from.type) {
    case msgpack::type::FLOAT32:
    case msgpack::type::FLOAT64: out = from.via.f64; return true;
    case msgpack::type::POSITIVE_INTEGER: out = static_cast<double>(from.via.u64); return true;
    case msgpack::type::NEGATIVE_INTEGER: out = static_cast<double>(from.via.i64); return true;
    default: return at.fail_type("number", from);
  }
}

bool decode(Context& at, const msgpack::object& from, Bytes& out) {
  if (from.type == msgpack::type::BIN)
    out.data.assign(from.via.bin.ptr, from.via.bin.size);
  else if (from.type == msgpack::type::STR)
    out.data.assign(from.via.str.ptr, from.via.str.size);
  else
    return at.fail_type("bytes or string", from);
  return true;
}

bool decode(Context&, const msgpack::object& from, Any& out) {
  out.msgpack = packed(from);
  return true;
}

bool decode_integer(Context& at, const msgpack::object& from, std::int64_t low, std::uint64_t high,
                    std::int64_t& signed_out, std::uint64_t& unsigned_out) {
  // JavaScript packs a whole number beyond 32 bits as a float.
  if (from.type == msgpack::type::FLOAT64 || from.type == msgpack::type::FLOAT32) {
    const double value = from.via.f64;
    constexpr double exact = 9007199254740992.0;  // 2^53: beyond it a float may stand for several numbers
    if (!(value >= -exact && value <= exact) ||
        value != static_cast<double>(static_cast<std::int64_t>(value)))
      return at.fail_type("integer", from);
    msgpack::object whole;
    if (value < 0)
      whole = msgpack::object(static_cast<std::int64_t>(value));
    else
      whole = msgpack::object(static_cast<std::uint64_t>(value));
    return decode_integer(at, whole, low, high, signed_out, unsigned_out);
  }
  if (from.type == msgpack::type::NEGATIVE_INTEGER) {
    if (from.via.i64 < low) return at.fail("must be at least " + std::to_string(low));
    signed_out = from.via.i64;
    unsigned_out = static_cast<std::uint64_t>(from.via.i64);
    return true;
  }
  if (from.type != msgpack::type::POSITIVE_INTEGER) return at.fail_type("integer", from);
  if (from.via.u64 > high) return at.fail("must be at most " + std::to_string(high));
  signed_out = static_cast<std::int64_t>(from.via.u64);
  unsigned_out = from.via.u64;
  return true;
}

}  // namespace kairo::reflect

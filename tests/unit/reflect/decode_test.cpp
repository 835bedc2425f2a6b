#include "reflect/decode.hpp"

#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "sample.hpp"

using namespace kairo;
using namespace kairo::reflect;
using sample::All;

namespace {

/// A value made from JSON text, with what it refers to.
struct Value {
  explicit Value(std::string bytes) : handle(msgpack::unpack(bytes.data(), bytes.size())) {}
  msgpack::object_handle handle;
};

Value json(const char* text) {
  std::string bytes;
  nlohmann::ordered_json::to_msgpack(nlohmann::ordered_json::parse(text), bytes);
  return Value(bytes);
}

Value pack(const std::function<void(Packer&)>& fill) {
  std::string bytes;
  Sink sink(bytes);
  Packer packer(sink);
  fill(packer);
  return Value(bytes);
}

template <class T>
Result<T> read(const Value& value, Unknown unknown = Unknown::refuse) {
  return from_object<T>(value.handle.get(), "params", unknown);
}

std::string path_of(const Error& error) {
  for (const auto& [key, detail] : error.details)
    if (key == "path") return std::get<std::string>(detail);
  return "(none)";
}

std::string suggestion_of(const Error& error) {
  for (const auto& [key, detail] : error.details)
    if (key == "suggestion") return std::get<std::string>(detail);
  return "(none)";
}

/// Checks that `text` is refused, where, and with a message that holds `part`.
void refused(const char* text, const std::string& path, const std::string& part) {
  CAPTURE(text);
  const auto result = read<All>(json(text));
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().code == Code::invalid_params);
  CHECK(path_of(result.error()) == path);
  CAPTURE(result.error().message);
  CHECK(result.error().message.find(part) != std::string::npos);
  CHECK(result.error().message.rfind(path, 0) == 0);
}

/// Decodes {"name": "n", MEMBER: whatever `fill` packs}.
Result<All> with_member(std::string_view member, const std::function<void(Packer&)>& fill) {
  return read<All>(pack([&](Packer& to) {
    to.pack_map(2);
    encode(to, "name");
    encode(to, "n");
    encode(to, member);
    fill(to);
  }));
}

Result<All> with_float(std::string_view member, double value) {
  // pack_double would make an integer of a whole number.
  std::string bytes = "\xcb";
  const auto bits = std::bit_cast<std::uint64_t>(value);
  for (int shift = 56; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(bits >> shift & 0xff));
  return with_member(member, [&](Packer& to) { to.pack_str_body(bytes.data(), 9); });
}

}  // namespace

TEST_CASE("every kind of member is decoded from its name") {
  const auto all = read<All>(json(R"({"name": "n", "flag": true, "small": -5, "large": 18446744073709551615,
    "ratio": 0.25, "colour": "deep-blue", "list": ["a", ""], "table": {"x": -1, "y": 2},
    "choice": {"retainBytes": 7}, "bytes": "text", "any": [1, {"k": null}],
    "options": {"output": {"retainBytes": 1, "note": "yes"}}})"));
  REQUIRE(all.ok());
  CHECK(all->name == "n");
  CHECK(all->flag);
  CHECK(all->small == -5);
  CHECK(all->large == 18446744073709551615u);
  CHECK(all->ratio == 0.25);
  CHECK(all->colour == sample::Colour::deep_blue);
  CHECK(all->list == std::vector<std::string>{"a", ""});
  CHECK(all->table == std::map<std::string, std::int64_t>{{"x", -1}, {"y", 2}});
  CHECK(std::get<sample::Inner>(*all->choice).retain_bytes == 7);
  CHECK(all->bytes->data == "text");
  CHECK(all->any.msgpack == std::string("\x92\x01\x81\xa1k\xc0"));
  CHECK(all->options->output.note == "yes");
}

TEST_CASE("optional and defaulted members may be absent and keep their defaults") {
  const auto all = read<All>(json(R"({"name": "n"})"));
  REQUIRE(all.ok());
  CHECK_FALSE(all->flag);
  CHECK(all->ratio == 0.5);
  CHECK_FALSE(all->large.has_value());
  CHECK_FALSE(all->options.has_value());
  CHECK(all->any.msgpack.empty());
}

TEST_CASE("a missing member is named by its path") {
  refused("{}", "params.name", "is missing");
  refused(R"({"name": "n", "options": {}})", "params.options.output", "is missing");
  refused(R"({"name": "n", "options": {"output": {}}})", "params.options.output.retainBytes", "is missing");
}

TEST_CASE("a member of a wrong type is named by its path, with what was wanted and what came") {
  refused(R"({"name": "n", "options": {"output": {"retainBytes": "1M"}}})",
          "params.options.output.retainBytes", "must be integer, not string");
  refused(R"({"name": 1})", "params.name", "must be string, not integer");
  refused(R"({"name": null})", "params.name", "must be string, not nil");
  refused(R"({"name": "n", "flag": 1})", "params.flag", "must be boolean, not integer");
  refused(R"({"name": "n", "list": "a"})", "params.list", "must be array, not string");
  refused(R"({"name": "n", "table": []})", "params.table", "must be map, not array");
  refused(R"({"name": "n", "options": []})", "params.options", "must be map, not array");
  refused(R"({"name": "n", "bytes": [1]})", "params.bytes", "must be bytes or string, not array");
  refused(R"({"name": "n", "ratio": "half"})", "params.ratio", "must be number, not string");
  refused(R"({"name": "n", "choice": true})", "params.choice",
          "must be string or integer or map, not boolean");
}

TEST_CASE("elements are named by their index and entries by their key") {
  refused(R"({"name": "n", "list": ["a", "b", 3]})", "params.list[2]", "must be string");
  refused(R"({"name": "n", "table": {"x": 1, "why": "no"}})", "params.table.why", "must be integer");
  refused(R"({"name": "n", "choice": {"retainBytes": 1, "note": 2}})", "params.choice.note",
          "must be string");
}

TEST_CASE("params that are no map are refused at their root") {
  for (const char* text : {"[]", "1", "\"x\"", "null", "true"}) refused(text, "params", "must be map");
}

TEST_CASE("an unknown member is refused with the nearest known name") {
  const auto result = read<All>(json(R"({"name": "n", "options": {"output": {"retainByte": 1}}})"));
  REQUIRE_FALSE(result.ok());
  CHECK(path_of(result.error()) == "params.options.output.retainByte");
  CHECK(suggestion_of(result.error()) == "retainBytes");
  CHECK(result.error().message ==
        "params.options.output.retainByte is not a known field; did you mean \"retainBytes\"?");
}

TEST_CASE("an unknown member far from every known one is refused without a guess") {
  const auto result = read<All>(json(R"({"name": "n", "somethingElse": 1})"));
  REQUIRE_FALSE(result.ok());
  CHECK(suggestion_of(result.error()) == "(none)");
  CHECK(result.error().message == "params.somethingElse is not a known field");
}

TEST_CASE("unknown members of what a server sent are ignored, at every depth") {
  const auto result = read<All>(
      json(R"({"new": [1], "name": "n", "options": {"output": {"retainBytes": 1, "more": {}}, "other": 2}})"),
      Unknown::ignore);
  REQUIRE(result.ok());
  CHECK(result->options->output.retain_bytes == 1);
}

TEST_CASE("a member that stands twice is refused, also in a map of free keys") {
  const auto twice = pack([](Packer& to) {
    to.pack_map(2);
    for (const char* value : {"a", "b"}) {
      encode(to, "name");
      encode(to, value);
    }
  });
  for (const Unknown unknown : {Unknown::refuse, Unknown::ignore}) {
    const auto result = read<All>(twice, unknown);
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().message == "params.name stands twice");
  }
  const auto in_table = with_member("table", [](Packer& to) {
    to.pack_map(2);
    for (const int value : {1, 2}) {
      encode(to, "k");
      encode(to, value);
    }
  });
  REQUIRE_FALSE(in_table.ok());
  CHECK(in_table.error().message == "params.table.k stands twice");
}

TEST_CASE("a key that is no text is refused") {
  const auto result = read<All>(pack([](Packer& to) {
    to.pack_map(1);
    encode(to, 1);
    encode(to, 1);
  }));
  REQUIRE_FALSE(result.ok());
  CHECK(path_of(result.error()) == "params");
  const auto in_table = with_member("table", [](Packer& to) {
    to.pack_map(1);
    encode(to, true);
    encode(to, 1);
  });
  REQUIRE_FALSE(in_table.ok());
  CHECK(path_of(in_table.error()) == "params.table");
}

TEST_CASE("integers must fit their type") {
  refused(R"({"name": "n", "small": 2147483648})", "params.small", "must be at most 2147483647");
  refused(R"({"name": "n", "small": -2147483649})", "params.small", "must be at least -2147483648");
  refused(R"({"name": "n", "large": -1})", "params.large", "must be at least 0");
  refused(R"({"name": "n", "table": {"x": 9223372036854775808}})", "params.table.x", "must be at most");
  const auto edges = read<All>(json(
      R"({"name": "n", "small": -2147483648, "table": {"a": 9223372036854775807, "b": -9223372036854775808}})"));
  REQUIRE(edges.ok());
  CHECK(edges->small == std::numeric_limits<std::int32_t>::min());
  CHECK(edges->table.at("a") == std::numeric_limits<std::int64_t>::max());
  CHECK(edges->table.at("b") == std::numeric_limits<std::int64_t>::min());
}

TEST_CASE("an integer is taken from every width of MsgPack") {
  const std::pair<const char*, std::size_t> forms[] = {{"\x05", 1},
                                                       {"\xcc\x05", 2},
                                                       {"\xcd\0\x05", 3},
                                                       {"\xce\0\0\0\x05", 5},
                                                       {"\xcf\0\0\0\0\0\0\0\x05", 9},
                                                       {"\xd0\x05", 2},
                                                       {"\xd1\0\x05", 3},
                                                       {"\xd2\0\0\0\x05", 5},
                                                       {"\xd3\0\0\0\0\0\0\0\x05", 9}};
  for (const auto& [bytes, size] : forms) {
    const auto result =
        with_member("large", [&](Packer& to) { to.pack_str_body(bytes, std::uint32_t(size)); });
    REQUIRE(result.ok());
    CHECK(result->large == 5);
  }
}

TEST_CASE("whole numbers that JavaScript packed as floats are integers") {
  CHECK(with_float("large", 5'000'000'000.0)->large == 5'000'000'000u);
  CHECK(with_float("large", 9007199254740992.0)->large == 9007199254740992u);
  CHECK(with_float("small", -7.0)->small == -7);
  CHECK(with_float("large", -0.0)->large == 0);
  CHECK(with_member("small", [](Packer& to) { to.pack_str_body("\xca\x40\x40\0\0", 5); })->small == 3);
  CHECK(std::get<std::int32_t>(*with_float("choice", 9.0)->choice) == 9);
}

TEST_CASE("floats that are no whole number, or stand for several, are no integers") {
  for (const double value :
       {0.5, -0.5, 1e300, -1e300, 9007199254740994.0, std::nan(""), std::numeric_limits<double>::infinity(),
        -std::numeric_limits<double>::infinity()}) {
    CAPTURE(value);
    const auto result = with_float("large", value);
    REQUIRE_FALSE(result.ok());
    CHECK(path_of(result.error()) == "params.large");
  }
  CHECK_FALSE(with_float("large", -1.0).ok());
  CHECK_FALSE(with_float("small", 2147483648.0).ok());
}

TEST_CASE("an integer is a number, too") {
  CHECK(with_member("ratio", [](Packer& to) { encode(to, -3); })->ratio == -3.0);
  CHECK(with_member("ratio", [](Packer& to) { encode(to, std::uint64_t{3}); })->ratio == 3.0);
}

TEST_CASE("bytes are taken from bin and from str, whatever they hold") {
  const std::string odd("\0\xff\xc3", 3);
  const auto from_bin = with_member("bytes", [&](Packer& to) { encode(to, Bytes{odd}); });
  REQUIRE(from_bin.ok());
  CHECK(from_bin->bytes->data == odd);
  const auto from_str = with_member("bytes", [&](Packer& to) { encode(to, odd); });
  REQUIRE(from_str.ok());
  CHECK(from_str->bytes->data == odd);
}

TEST_CASE("a bin is no text") {
  const auto result = with_member("list", [](Packer& to) {
    to.pack_array(1);
    encode(to, Bytes{"a"});
  });
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().message == "params.list[0] must be string, not bytes");
}

TEST_CASE("an unknown name of an enumeration is refused with the known ones") {
  refused(R"({"name": "n", "colour": "green"})", "params.colour",
          "must be one of \"red\", \"deep-blue\", not \"green\"");
}

TEST_CASE("what a peer sent is quoted shortened and as valid UTF-8") {
  CHECK(quotable("plain") == "plain");
  CHECK(quotable(std::string(64, 'a')) == std::string(64, 'a'));
  CHECK(quotable(std::string(65, 'a')) == std::string(64, 'a') + "...");
  CHECK(quotable("a\nb\x7f") == "a?b?");
  CHECK(quotable(std::string_view("\0", 1)) == "?");
  CHECK(quotable("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80") == "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK(quotable("\xff"
                 "a\xc3") == "?a?");
  CHECK(quotable("\xed\xa0\x80") == "???");            // a surrogate
  CHECK(quotable("\xc0\xaf\xe0\x80\xaf") == "?????");  // over-long forms
  CHECK(quotable("\xf4\x90\x80\x80") == "????");       // beyond U+10FFFF
  const std::string cut = quotable(std::string(63, 'a') + "\xc3\xa4");
  CHECK(cut == std::string(63, 'a') + "...");
}

TEST_CASE("a huge unknown name makes a short message") {
  const std::string huge(1u << 20, 'x');
  const auto unknown = with_member(huge, [](Packer& to) { to.pack_nil(); });
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.error().message.size() < 200);
  const auto colour = with_member("colour", [&](Packer& to) { encode(to, huge); });
  REQUIRE_FALSE(colour.ok());
  CHECK(colour.error().message.size() < 200);
  const auto key = with_member("table", [&](Packer& to) {
    to.pack_map(1);
    encode(to, huge);
    encode(to, "no number");
  });
  REQUIRE_FALSE(key.ok());
  CHECK(key.error().message.size() < 200);
}

TEST_CASE("the first failure is the one that is told") {
  refused(R"({"name": 1, "flag": 1})", "params.name", "must be string");
}

// YAML by libyaml's events. Aliases, and the merge of maps by "<<", are kept; tags but !!str, keys that are
// no scalars, and several documents are refused.
#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <yaml.h>

#include "reflect/decode.hpp"
#include "topology/written.hpp"

namespace kairo::topology {
namespace {

struct Event {
  yaml_event_t raw{};
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { yaml_event_delete(&raw); }
};

Place place_of(const yaml_mark_t& mark) {
  return {mark.line + 1, mark.column + 1};
}

std::string text_of(const yaml_char_t* text) {
  return text ? reinterpret_cast<const char*>(text) : "";
}

class YamlReader {
 public:
  YamlReader(std::string_view text, const std::string& file) : text_(text), file_(file) {
    good_ = yaml_parser_initialize(&parser_) == 1;
    if (good_)
      yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                   text.size());
  }
  YamlReader(const YamlReader&) = delete;
  YamlReader& operator=(const YamlReader&) = delete;
  ~YamlReader() { yaml_parser_delete(&parser_); }

  Result<Node> read() {
    if (!good_) return Error(Code::internal, "no memory to read " + file_);
    Node root;
    for (;;) {
      Event event;
      auto got = next(event);
      if (!got) return std::move(got).error();
      switch (event.raw.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT: break;
        case YAML_DOCUMENT_START_EVENT:
          if (root) return fault(event, "a second document begins here; a file holds one topology");
          break;
        case YAML_STREAM_END_EVENT:
          if (!root) return at_place(file_, {}, "holds no document");
          return root;
        default: {
          auto value = value_of(event, 1);
          if (!value) return std::move(value).error();
          root = std::move(*value);
        }
      }
    }
  }

 private:
  [[nodiscard]] Error fault(const Event& event, const std::string& problem) const {
    return at_place(file_, place_of(event.raw.start_mark), problem);
  }

  [[nodiscard]] Error too_deep(const Event& event) const {
    return fault(event, "is nested deeper than " + std::to_string(file_depth));
  }

  Result<void> next(Event& event) {
    if (yaml_parser_parse(&parser_, &event.raw) == 1) return {};
    std::string problem = parser_.problem ? parser_.problem : "is no YAML";
    // Only the scanner and the parser above it have marks; bytes that are no text have an offset.
    if (parser_.error == YAML_READER_ERROR)
      return at_place(file_, topology::place_of(text_, parser_.problem_offset), problem);
    if (parser_.error == YAML_MEMORY_ERROR) return Error(Code::internal, "no memory to read " + file_);
    if (parser_.context) problem += std::string(", ") + parser_.context;
    return at_place(file_, place_of(parser_.problem_mark), problem);
  }

  Result<Node> value_of(const Event& event, std::size_t depth) {
    if (event.raw.type == YAML_ALIAS_EVENT) {
      const auto found = anchors_.find(text_of(event.raw.data.alias.anchor));
      if (found == anchors_.end())
        return fault(event, "there is no anchor &" + reflect::quotable(text_of(event.raw.data.alias.anchor)) +
                                " before this");
      if (depth + found->second->height > file_depth + 1) return too_deep(event);
      return found->second;
    }
    if (depth > file_depth && event.raw.type != YAML_SCALAR_EVENT) return too_deep(event);
    auto made = std::make_shared<Written>();
    made->place = place_of(event.raw.start_mark);
    std::string anchor;
    Result<void> filled;
    switch (event.raw.type) {
      case YAML_SCALAR_EVENT:
        anchor = text_of(event.raw.data.scalar.anchor);
        filled = fill_scalar(event, *made);
        break;
      case YAML_SEQUENCE_START_EVENT:
        anchor = text_of(event.raw.data.sequence_start.anchor);
        filled = check_tag(event, event.raw.data.sequence_start.tag, YAML_SEQ_TAG);
        if (filled) filled = fill_list(*made, depth);
        break;
      case YAML_MAPPING_START_EVENT:
        anchor = text_of(event.raw.data.mapping_start.anchor);
        filled = check_tag(event, event.raw.data.mapping_start.tag, YAML_MAP_TAG);
        if (filled) filled = fill_map(*made, depth);
        break;
      default: return fault(event, "is no value");
    }
    if (!filled) return std::move(filled).error();
    if (made->kind == Written::Kind::list || made->kind == Written::Kind::map) made->height = 1;
    for (const auto& each : made->members) made->height = std::max(made->height, each.value->height + 1);
    // Known from its end on, so that nothing can hold itself.
    if (!anchor.empty()) anchors_[anchor] = made;
    return Node(std::move(made));
  }

  Result<void> check_tag(const Event& event, const yaml_char_t* tag, std::string_view own) {
    const std::string text = text_of(tag);
    if (text.empty() || text == "!" || text == own) return {};
    return fault(event, "the tag " + reflect::quotable(text) + " means nothing here");
  }

  Result<void> fill_scalar(const Event& event, Written& out) {
    const auto& scalar = event.raw.data.scalar;
    auto good = check_tag(event, scalar.tag, YAML_STR_TAG);
    if (!good) return good;
    out.text.assign(reinterpret_cast<const char*>(scalar.value), scalar.length);
    const bool plain = scalar.style == YAML_PLAIN_SCALAR_STYLE && !scalar.tag;
    out.kind = plain ? Written::Kind::plain : Written::Kind::text;
    return {};
  }

  Result<void> fill_list(Written& out, std::size_t depth) {
    out.kind = Written::Kind::list;
    for (;;) {
      Event event;
      auto got = next(event);
      if (!got || event.raw.type == YAML_SEQUENCE_END_EVENT) return got;
      auto value = value_of(event, depth + 1);
      if (!value) return std::move(value).error();
      out.members.push_back({{}, place_of(event.raw.start_mark), std::move(*value)});
    }
  }

  Result<void> fill_map(Written& out, std::size_t depth) {
    out.kind = Written::Kind::map;
    std::vector<Written::Member> merged;
    bool has_merged = false;
    for (;;) {
      Event key;
      auto got = next(key);
      if (!got) return got;
      if (key.raw.type == YAML_MAPPING_END_EVENT) break;
      if (key.raw.type != YAML_SCALAR_EVENT) return fault(key, "the name of a member must be text");
      const auto& scalar = key.raw.data.scalar;
      if (scalar.anchor) return fault(key, "an anchor cannot stand at the name of a member");
      std::string name(reinterpret_cast<const char*>(scalar.value), scalar.length);
      const bool merges = name == "<<" && scalar.style == YAML_PLAIN_SCALAR_STYLE;
      Event event;
      got = next(event);
      if (!got) return got;
      auto value = value_of(event, depth + 1);
      if (!value) return std::move(value).error();
      if (merges && std::exchange(has_merged, true)) return fault(key, "<< stands twice");
      if (!merges) {
        out.members.push_back({std::move(name), place_of(key.raw.start_mark), std::move(*value)});
        continue;
      }
      got = merge(key, **value, merged);
      if (!got) return got;
    }
    auto good = check_names(out, file_);
    if (!good) return good;
    // What the map itself says goes before what it takes over.
    std::set<std::string, std::less<>> own;
    for (const auto& each : out.members) own.insert(each.name);
    for (auto& each : merged)
      if (!own.contains(each.name)) out.members.push_back(std::move(each));
    return {};
  }

  /// "<<: *map" or "<<: [*map, *map]", of which the earlier goes before the later.
  Result<void> merge(const Event& key, const Written& from, std::vector<Written::Member>& merged) {
    std::vector<const Written*> maps{&from};
    if (from.kind == Written::Kind::list) {
      maps.clear();
      for (const auto& each : from.members) maps.push_back(each.value.get());
    }
    std::set<std::string_view> known;
    for (const Written* map : maps) {
      if (map->kind != Written::Kind::map) return fault(key, "<< takes a map, or a list of maps");
      // Copies, other than what aliases stand for.
      copied_ += map->members.size();
      if (copied_ > file_values) return too_many_values(file_, place_of(key.raw.start_mark));
      for (const auto& each : map->members)
        if (known.insert(each.name).second) merged.push_back(each);
    }
    return {};
  }

  std::string_view text_;
  const std::string& file_;
  yaml_parser_t parser_{};
  bool good_ = false;
  std::size_t copied_ = 0;
  std::map<std::string, Node> anchors_;
};

}  // namespace

Result<Node> read_yaml(std::string_view text, const std::string& file) {
  return YamlReader(text, file).read();
}

}  // namespace kairo::topology

// JSON by nlohmann's SAX parser. libyaml does not take all of it (pairs of surrogates, tabs before a value,
// long names). The parser tells no places, but it reads byte by byte: a value begins at the first byte
// behind the one before it that is neither space nor a separator.
#include <algorithm>
#include <iterator>
#include <optional>

#include <nlohmann/json.hpp>

#include "topology/written.hpp"

namespace kairo::topology {
namespace {

/// The bytes of a text, counted as they are taken.
class Taken {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Taken(const char* at, std::size_t* count) : at_(at), count_(count) {}
  reference operator*() const { return *at_; }
  Taken& operator++() {
    ++at_;
    ++*count_;
    return *this;
  }
  Taken operator++(int) {
    Taken before = *this;
    ++*this;
    return before;
  }
  bool operator==(const Taken& other) const { return at_ == other.at_; }
  bool operator!=(const Taken& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  std::size_t* count_;
};

class JsonReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  JsonReader(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  Result<Node> read() {
    const bool whole = nlohmann::json::sax_parse(Taken(text_.data(), &taken_),
                                                 Taken(text_.data() + text_.size(), &taken_), this);
    if (whole) return Node(root_);
    if (!error_) error_ = at_place(file_, {}, "is no JSON");
    return *error_;
  }

  bool null() override { return literal("null"); }
  bool boolean(bool value) override { return literal(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return literal(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return literal(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return literal(text); }
  bool string(string_t& text) override { return put(Written::Kind::text, std::move(text)) != nullptr; }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Written::Kind::map); }
  bool start_array(std::size_t) override { return open(Written::Kind::list); }
  bool end_array() override { return close(); }
  bool end_object() override {
    auto good = check_names(*open_.back(), file_);
    if (!good) return stop(std::move(good).error());
    return close();
  }
  bool key(string_t& name) override {
    name_ = std::move(name);
    name_place_ = place();
    end_ = taken_;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& why) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while ..."
    std::string problem = why.what();
    if (const std::size_t colon = problem.find(": "); colon != std::string::npos) problem.erase(0, colon + 2);
    return stop(at_place(file_, place_of(text_, position > 0 ? position - 1 : 0), problem));
  }

 private:
  bool stop(Error error) {
    error_ = std::move(error);
    return false;
  }

  /// Of the value or name that was taken last.
  [[nodiscard]] Place place() const {
    const std::size_t begin = text_.find_first_not_of(" \t\r\n,:", end_);
    return place_of(text_, std::min(begin, text_.size()));
  }

  bool literal(std::string text) { return put(Written::Kind::literal, std::move(text)) != nullptr; }

  std::shared_ptr<Written> put(Written::Kind kind, std::string text) {
    auto made = std::make_shared<Written>();
    made->kind = kind;
    made->place = place();
    made->text = std::move(text);
    if (open_.empty()) {
      root_ = made;
    } else {
      Written& into = *open_.back();
      const bool map = into.kind == Written::Kind::map;
      into.members.push_back({map ? std::move(name_) : std::string(), map ? name_place_ : made->place, made});
    }
    end_ = taken_;
    return made;
  }

  bool open(Written::Kind kind) {
    if (open_.size() >= file_depth)
      return stop(at_place(file_, place(), "is nested deeper than " + std::to_string(file_depth)));
    open_.push_back(put(kind, {}));
    return true;
  }

  bool close() {
    open_.pop_back();
    end_ = taken_;
    return true;
  }

  std::string_view text_;
  const std::string& file_;
  std::size_t taken_ = 0;
  std::size_t end_ = 0;  ///< Of the token before.
  std::string name_;
  Place name_place_;
  std::shared_ptr<Written> root_;
  std::vector<std::shared_ptr<Written>> open_;
  std::optional<Error> error_;
};

}  // namespace

Result<Node> read_json(std::string_view text, const std::string& file) {
  return JsonReader(text, file).read();
}

bool is_json(std::string_view text) {
  return nlohmann::json::accept(text.begin(), text.end());
}

}  // namespace kairo::topology

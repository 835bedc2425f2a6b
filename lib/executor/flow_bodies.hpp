// What stands behind flow.hpp, for its own sources alone: the state of an Outlet, of an Intake, and of the
// edge between the two.
//
// Bytes pass in one of two ways. Copied: the Outlet is given a read (on_data), lays it before every edge, and
// each Intake takes from its edges when its life has room; when all is taken the Outlet reads again. Spliced,
// where an edge is alone at both ends and both lives have descriptors: the edge reads past the duplex when
// the Intake may give. Whatever changes for one side, it ends in OutletBody::update() of the other.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"
#include "executor/flow.hpp"

namespace kairo::executor {

struct Edge {
  std::shared_ptr<OutletBody> from;
  std::shared_ptr<IntakeBody> to;
  api::ConnectionType type;
  std::uint64_t bytes = 0;
  bool ended = false;        ///< Nothing more comes.
  std::string_view waiting;  ///< What `to` has not taken of the Outlet's present read.

  /// Of a merge: an unfinished line; how much of it, and of `waiting` behind it, may pass in one go.
  std::string line;
  std::size_t line_at = 0;
  std::size_t unit = 0;
  bool begun = false;      ///< Something of the unit may have passed.
  bool long_line = false;  ///< It was too long to wait for its end, which has not come yet.

  /// Of a spliced edge: the pipe between two sockets, and how much is in it.
  UniqueFd pipe_in;
  UniqueFd pipe_out;
  std::size_t piped = 0;
};

class OutletBody final : public DuplexHandler, public std::enable_shared_from_this<OutletBody> {
 public:
  OutletBody(boost::asio::io_context& io, Outlet& owner, Outlet::Ended ended);

  void open(std::shared_ptr<Life> life);
  void finish();
  void close();
  /// Reads on, or stops reading, as the edges say.
  void update();

  void on_data(std::string_view bytes) override;
  void on_end() override;
  void on_close(const Error* why) override;

  std::vector<std::shared_ptr<Edge>> edges;
  std::uint64_t bytes = 0;
  std::uint64_t life_bytes = 0;

 private:
  [[nodiscard]] bool all_taken() const;
  [[nodiscard]] bool all_stopped() const;
  [[nodiscard]] bool all_wanting() const;
  [[nodiscard]] Edge* spliced() const;
  void splice(Edge& edge);
  bool fill(Edge& edge, int source, int sink);
  bool drain(Edge& edge, int sink);
  bool copy(Edge& edge, int source);
  void count(Edge& edge, std::size_t moved);
  void wait_readable();
  void go_on_later();
  void over(const Error* why);
  void tell_end();

  boost::asio::io_context& io_;
  Outlet* owner_;
  Outlet::Ended ended_;
  std::shared_ptr<Life> life_;
  std::uint64_t life_number_ = 0;
  std::string chunk_;  ///< What the edges have not taken of the last read.
  std::optional<Error> why_;
  bool source_is_pipe_ = false;
  bool in_data_ = false;
  bool at_end_ = false;  ///< The end was seen past the duplex, which is to find it itself.
  bool over_ = true;     ///< The life's output is over, or there was no life yet.
  bool end_told_ = true;
  bool unwanted_told_ = false;
  bool finished_ = false;
  bool waiting_ = false;  ///< A wait for readability is under way.
  bool posted_ = false;   ///< A further turn is due.
};

class IntakeBody final : public DuplexHandler, public std::enable_shared_from_this<IntakeBody> {
 public:
  IntakeBody(boost::asio::io_context& io, Intake::Hooks hooks);

  void open(std::shared_ptr<Life> life, std::string first, Unaccepted unaccepted);
  void hold(api::Boundary boundary, Intake::Held held);
  void release();
  void end_life();
  void stop();
  void close();

  /// Gives what there is and may pass.
  void pump();
  /// Gives bytes to the life, as many as it takes now and as may pass.
  std::size_t take(std::string_view bytes);
  /// Whether something may be given to the life now; reaches a border that is due.
  bool may_give();
  /// Keeps bytes, behind what is kept already, for when the life has room.
  void keep(std::string_view bytes);
  /// Bytes that went into the life past take(): their last one is not known.
  void count_spliced(std::size_t moved);
  /// Keeps what is in the edges' pipes.
  void take_out_of_pipes();
  void refuse(const Error& why);
  void wait_writable();
  [[nodiscard]] bool has_kept() const { return kept_at_ < kept_.size(); }
  [[nodiscard]] bool stopped() const { return stopped_; }
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] bool holding() const { return hold_ == Hold::wanted; }
  [[nodiscard]] bool held() const { return hold_ == Hold::reached; }
  [[nodiscard]] std::uint64_t waiting() const;
  /// Whether a read for this edge would find room.
  [[nodiscard]] bool wants() const;
  [[nodiscard]] Duplex::Stream* sink();
  [[nodiscard]] bool sink_is_pipe() const { return sink_is_pipe_; }

  void on_data(std::string_view) override {}
  void on_end() override {}
  void on_drain() override { wake(); }
  void on_close(const Error* why) override;

  std::vector<std::shared_ptr<Edge>> edges;
  std::uint64_t bytes = 0;
  std::uint64_t life_bytes = 0;

 private:
  enum class Hold { none, wanted, reached };

  std::size_t put(std::string_view bytes);
  std::size_t put_raw(Duplex::Stream& sink, std::string_view bytes);
  std::size_t put_duplex(std::string_view bytes);
  void accepted(std::uint64_t life_number, const Result<void>& result);
  bool pump_kept();
  void pump_single(Edge& edge);
  void pump_merge();
  bool choose_unit();
  bool choose_leftover();
  bool give_unit(Edge& edge);
  [[nodiscard]] bool exhausted() const;
  [[nodiscard]] bool at_border() const;
  void reach();
  void tell_held();
  void end_input();
  void wake();

  boost::asio::io_context& io_;
  Intake::Hooks hooks_;
  std::shared_ptr<Life> life_;
  std::uint64_t life_number_ = 0;
  std::string kept_;  ///< Goes before all that the edges bring.
  std::size_t kept_at_ = 0;
  std::deque<std::string> in_flight_;  ///< Given to a duplex without descriptors, and not accepted yet.
  char last_ = '\n';                   ///< The last byte given.
  bool last_known_ = true;
  Edge* current_ = nullptr;  ///< Of a merge: whose unit is passing.
  std::size_t turn_ = 0;     ///< Of a merge: the edge that comes next.
  Hold hold_ = Hold::none;
  std::uint64_t hold_number_ = 0;
  api::Boundary boundary_ = api::Boundary::bytes;
  Intake::Held on_held_;
  bool sink_is_pipe_ = false;
  bool refused_ = false;
  bool stopped_ = false;
  bool ending_ = false;  ///< The life's input was ended, or is being.
  bool ended_ = false;
  bool pumping_ = false;
  bool waiting_ = false;  ///< A wait for writability is under way.
};

}  // namespace kairo::executor

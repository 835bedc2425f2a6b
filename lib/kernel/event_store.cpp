// The kernel's side of the event store: how it is opened, and what becomes of a store that fails.
#include <boost/asio/post.hpp>

#include "kernel/kernel.hpp"

namespace kairo::kernel {
namespace {

/// How late the store may be; a query waits for nothing but what it lacks.
constexpr std::chrono::milliseconds feed_interval{250};
/// And how many events behind: a quarter of the window.
constexpr std::uint64_t feed_events = limits::event_window / 4;

event::Archive::Bounds bounds_of(const Settings& settings) {
  return {settings.event_store_bytes, std::chrono::hours(settings.event_store_hours)};
}

}  // namespace

void Kernel::start_archive(Result<event::Store::Opened> opened) {
  event::Archive::Options options;
  options.state_dir = options_.state_dir;
  options.journal = journal_;
  options.window = &bus_->window();
  options.bounds = bounds_of(settings());
  options.log = [this](const std::string& line) { log(line); };
  // Told by an event, which belongs to the kernel's thread. The archive ends before the kernel does.
  options.on_problem = [this](const Error& error) {
    boost::asio::post(io_, [this, message = "the event store does not take all events: " + error.message] {
      degraded("store", message);
    });
  };
  options.on_recovered = [this] { log("the event store takes all events again"); };
  std::optional<Error> why_not;
  std::unique_ptr<event::Store> store;
  if (opened) {
    for (const std::string& each : opened->damages) log(each);
    store = std::move(opened->store);
  } else {
    why_not = opened.error();
  }
  archive_ = std::make_unique<event::Archive>(std::move(options), std::move(store), std::move(why_not));
}

void Kernel::bound_archive() {
  archive_->set_bounds(bounds_of(settings()));
}

void Kernel::feed_archive_soon() {
  // To wake its thread for every event would cost the other processor core what a spawn takes from it.
  if (++unfed_events_ % feed_events == 0) archive_->grew();
  if (std::exchange(feed_due_, true)) return;
  timers_.after(feed_interval, [this] {
    feed_due_ = false;
    archive_->grew();
  });
}

std::optional<std::string> Kernel::viewer(const access::Principal& who) const {
  if (settings().root_reaches_all && who.path() == "user:0") return std::nullopt;
  return who.path();
}

}  // namespace kairo::kernel

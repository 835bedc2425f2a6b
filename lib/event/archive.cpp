#include "event/archive.hpp"

#include <algorithm>

namespace kairo::event {
namespace {

/// How long events are collected for one transaction, and how many at most.
constexpr std::chrono::milliseconds collect_time{10};
constexpr std::size_t batch_events = 1000;
/// Before a store that could not be written is tried again.
constexpr std::chrono::seconds retry_delay{1};
/// How often the bounds are looked at beside every batch.
constexpr std::chrono::minutes prune_interval{1};

}  // namespace

Archive::Archive(Options options, std::unique_ptr<Store> store, std::optional<Error> why_not)
    : options_(std::move(options)),
      store_(std::move(store)),
      bounds_(options_.bounds),
      age_counts_at_(SteadyClock::now() + options_.calm) {
  thread_ = std::thread([this, why_not = std::move(why_not)] {
    if (why_not) {
      give_up_ = why_not->code == Code::unsupported;
      failed(*why_not);
    }
    run();
  });
}

Archive::~Archive() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Archive::set_bounds(Bounds bounds) {
  {
    const std::lock_guard lock(mutex_);
    bounds_ = bounds;
    grown_ = true;
  }
  wake_.notify_one();
}

void Archive::clock_was_set() {
  const std::lock_guard lock(mutex_);
  age_counts_at_ = SteadyClock::now() + options_.calm;
}

void Archive::keep_audit_head(AuditHead head) {
  {
    const std::lock_guard lock(mutex_);
    head_ = std::move(head);
  }
  grew();
}

void Archive::keep_head() {
  std::optional<AuditHead> head;
  {
    const std::lock_guard lock(mutex_);
    if (store_ && prepared_) head = std::exchange(head_, std::nullopt);
  }
  if (!head) return;
  auto kept = store_->keep(*head);
  if (kept) return;
  failed(kept.error());
  const std::lock_guard lock(mutex_);
  if (!head_) head_ = std::move(head);
}

void Archive::grew() {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    wake = std::exchange(asleep_, false);
    grown_ = true;
  }
  if (wake) wake_.notify_one();
}

void Archive::ask(Query query, std::function<void(Result<Page>)> done) {
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back({std::move(query), options_.window->newest(), std::move(done)});
  }
  wake_.notify_one();
}

bool Archive::stopping() {
  const std::lock_guard lock(mutex_);
  return stop_;
}

void Archive::run() {
  for (;;) {
    std::optional<Request> request;
    {
      std::unique_lock lock(mutex_);
      const auto busy = [this] { return stop_ || !requests_.empty(); };
      const bool retry = failing_ && !give_up_;
      if (!busy() && !grown_ && !retry) {
        asleep_ = true;
        wake_.wait_for(lock, prune_interval, [&] { return busy() || grown_; });
        asleep_ = false;
      }
      // What comes within a moment goes into one transaction.
      if (!busy()) wake_.wait_for(lock, retry ? retry_delay : collect_time, busy);
      if (stop_) break;
      grown_ = false;
      if (!requests_.empty()) {
        request = std::move(requests_.front());
        requests_.pop_front();
      }
    }
    auto fed = feed();
    if (!fed) failed(fed.error());
    if (request) request->done(answer(*request));
    keep_head();
    prune();
  }
  // Of a daemon that lived for a moment only the store may not be ready yet.
  if (store_ && !prepared_ && !failing_) prepared_ = store_->prepare().ok();
  keep_head();
}

// --- feeding ---------------------------------------------------------------------------------------

void Archive::failed(const Error& error) {
  retry_at_ = SteadyClock::now() + retry_delay;
  if (store_ && store_->damaged()) {
    store_.reset();
    prepared_ = false;
    auto moved = Store::set_aside(options_.state_dir);
    options_.log(error.message +
                 (moved ? "; it was set aside as \"" + *moved + "\" and is made anew of the journal"
                        : "; " + moved.error().message));
    retry_at_ = {};
  }
  if (!std::exchange(failing_, true)) options_.on_problem(error);
}

void Archive::open_again() {
  auto opened = Store::open(options_.state_dir);
  if (!opened) return failed(opened.error());
  for (const std::string& each : opened->damages) options_.log(each);
  store_ = std::move(opened->store);
  prepared_ = false;
}

Result<void> Archive::feed() {
  if (give_up_ || (failing_ && SteadyClock::now() < retry_at_)) {
    if (give_up_) options_.journal->hold_behind(UINT64_MAX);
    return {};
  }
  if (!store_) open_again();
  if (!store_) return {};
  if (!prepared_) {
    auto done = store_->prepare();
    if (!done) return done;
    prepared_ = true;
    stored_ = position_ = store_->newest();
  }
  const std::uint64_t newest = options_.window->newest();
  while (position_ < newest && !stopping()) {
    const auto batch = options_.window->behind(position_, batch_events);
    auto fed = batch ? feed_from_window(*batch) : feed_from_journal();
    if (!fed) return fed;
    options_.journal->hold_behind(position_);
    options_.window->stored(position_);
    stored_ = position_;
    prune();
  }
  if (std::exchange(failing_, false)) options_.on_recovered();
  return {};
}

Result<void> Archive::feed_from_window(const std::vector<Window::Entry>& batch) {
  if (batch.empty()) {
    position_ = options_.window->newest();
    return {};
  }
  auto done = store_->begin();
  for (const Window::Entry& each : batch) {
    if (!done) return done;
    done = store_->add(*each);
  }
  if (done) done = store_->commit();
  if (done) position_ = *batch.back()->event.seq;
  return done;
}

/// Numbers that the journal no longer holds and the store never had.
void Archive::take_gap() {
  const std::uint64_t oldest = options_.journal->oldest();
  if (position_ == 0 || oldest <= position_ + 1) return;
  const Gap gap{position_ + 1, oldest - 1};
  auto done = store_->begin();
  if (done) done = store_->add(gap);
  if (done) done = store_->commit();
  if (!done) return;  // the next attempt meets it again
  position_ = gap.last;
  if (std::exchange(failing_, true)) return;
  options_.on_problem(Error(Code::internal, "the event store lacks the events " + std::to_string(gap.first) +
                                                " to " + std::to_string(gap.last) +
                                                ": the journal was full before they were taken"));
}

Result<void> Archive::feed_from_journal() {
  take_gap();
  const std::uint64_t newest = options_.window->newest();
  std::uint64_t last = position_;
  std::size_t taken = 0;
  Result<void> done = store_->begin();
  if (!done) return done;
  auto read = options_.journal->read(position_, [&](const Fact& fact) {
    done = store_->add(fact);
    if (!done) return false;
    last = *fact.event.seq;
    if (++taken % batch_events != 0) return true;
    done = store_->commit();
    if (!done) return false;
    position_ = last;
    options_.journal->hold_behind(position_);
    done = store_->begin();
    return done.ok() && !stopping();
  });
  if (done) done = store_->commit();
  if (!done) return done;
  position_ = last;
  if (!read) return read;
  // Whatever is not in the journal by now never will be: its numbers were given up.
  if (!stopping()) position_ = std::max(position_, newest);
  return {};
}

void Archive::prune() {
  if (!store_ || !prepared_ || failing_) return;
  Bounds bounds;
  SteadyTime age_counts_at;
  {
    const std::lock_guard lock(mutex_);
    bounds = bounds_;
    age_counts_at = age_counts_at_;
  }
  // A clock that was wrong at the start, or is being set, must not make everything old at once.
  std::optional<SystemTime> oldest;
  if (SteadyClock::now() >= age_counts_at) oldest = system_now() - bounds.age;
  auto more = store_->prune(bounds.bytes, oldest);
  if (!more) return failed(more.error());
  if (*more) {
    // The rest comes with the next turn, which requests may precede.
    const std::lock_guard lock(mutex_);
    grown_ = true;
  }
}

// --- answering -------------------------------------------------------------------------------------

Result<Page> Archive::answer(const Request& request) {
  Page page;
  page.upto = request.query.since_seq;
  if (store_ && prepared_) {
    auto found = store_->query(request.query);
    if (!found) {
      failed(found.error());
      if (store_) return found;  // else it was damaged: the journal alone answers
    } else {
      page = *std::move(found);
    }
  }
  if (!page.more) {
    auto added = add_from_journal(request, page);
    if (!added) return std::move(added).error();
  }
  std::uint64_t oldest = options_.journal->oldest();
  if (store_ && prepared_ && store_->oldest() > 0)
    oldest = store_->oldest();
  else if (store_ && prepared_ && store_->pruned() > 0)
    oldest = store_->pruned() + 1;  // what the journal still has of that is not shown again
  const std::uint64_t first = oldest > 0 ? oldest : request.newest + 1;
  page.oldest = first;
  if (request.query.since_seq < first - 1)
    page.gaps.insert(page.gaps.begin(), Gap{request.query.since_seq + 1, first - 1});
  return page;
}

/// What the store has not taken, which is only much while it cannot be written.
Result<void> Archive::add_from_journal(const Request& request, Page& page) {
  const std::uint64_t stored = store_ && prepared_ ? position_ : 0;
  const std::uint64_t to = std::min(request.newest, request.query.to_seq.value_or(UINT64_MAX));
  if (to <= std::max(stored, request.query.since_seq)) {
    page.upto = std::max(page.upto, to);
    return {};
  }
  auto read = options_.journal->read(std::max(stored, request.query.since_seq), [&](const Fact& fact) {
    if (*fact.event.seq > to) return false;
    return !request.query.admits(fact) || page.add(request.query, fact);
  });
  if (!page.more) page.upto = std::max(page.upto, to);
  return read;
}

}  // namespace kairo::event

// Every bound of Kairo in one place, with its unit and its reason. Passing one is a named error. Those that
// an operator may change (kernel/settings.hpp, kairod.json(5)) are defaults here; whoever obeys one asks the
// settings. The others are layout, or what a frame and a page have to hold, and are fixed.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace kairo::limits {

// --- wire ------------------------------------------------------------------------------------------
/// Bytes of one frame's payload (SPEC 2.6). The daemon's own frames stay below it, whatever its setting.
inline constexpr std::size_t frame_payload_bytes = 16u << 20;
/// Nesting of one payload (SPEC 2.6).
inline constexpr std::size_t nesting_depth = 32;
/// Values in one payload: 24 bytes each once decoded, so that a frame full of nils costs no more memory
/// than a frame full of text.
inline constexpr std::size_t payload_values = 262'144;

// --- connections -----------------------------------------------------------------------------------
/// Connections served at once; DESIGN's figure, four times over.
inline constexpr std::size_t connections = 4096;
/// Bytes of answers and events that may wait for a peer that does not read. Past it no further request of
/// that connection is read, so a peer that floods and never reads blocks only itself.
inline constexpr std::size_t outbox_bytes = 4u << 20;
/// Bytes of events that may wait for one peer; further ones are left out and told with kairo.event.lagged.
inline constexpr std::size_t outbox_event_bytes = 1u << 20;
/// Unanswered requests of one connection.
inline constexpr std::size_t pending_requests = 65'536;
/// Live output subscriptions of one connection.
inline constexpr std::size_t subscriptions = 65'536;
/// Topics that one connection may subscribe to.
inline constexpr std::size_t event_subscriptions = 256;

// --- sessions --------------------------------------------------------------------------------------
/// Slots of the table shared with the keeper: the most live sessions at once, six times DESIGN's figure.
inline constexpr std::uint32_t live_sessions = 65'536;
/// Ended sessions that stay queryable (SPEC 4.7).
inline constexpr std::size_t ended_sessions = 1000;
inline constexpr std::chrono::hours ended_session_age{24};
/// Bytes of all logs together (SPEC 4.7).
inline constexpr std::uint64_t total_log_bytes = 2ull << 30;
/// Elements and bytes of one argv and of one environment together; the kernel's own bound is near it.
inline constexpr std::size_t argv_env_bytes = 1u << 20;
inline constexpr std::size_t labels = 64;
inline constexpr std::size_t label_bytes = 1024;
/// Ids and other short strings that are carried along (correlation ids, names).
inline constexpr std::size_t tag_bytes = 256;
/// SIGTERM to SIGKILL, and the longest that a descendant with an open pipe delays `exited` (SPEC 4.6).
inline constexpr std::chrono::milliseconds kill_grace{2000};
/// The longest grace that a caller may ask for: a day.
inline constexpr std::chrono::milliseconds longest_grace{86'400'000};
/// The longest life and the longest wait that a caller may ask for, a year: a time point holds much more.
inline constexpr std::chrono::milliseconds longest_wait{365ull * 24 * 3600 * 1000};
/// Sessions in one page of process.list.
inline constexpr std::size_t list_page = 500;
/// Bytes of sessions after which a page ends: a page of long command lines must fit a frame.
inline constexpr std::size_t list_page_bytes = 1u << 20;
/// Requests that wait for the launch of the session that they name.
inline constexpr std::size_t requests_behind_launch = 256;

// --- events ----------------------------------------------------------------------------------------
/// Bytes of the data of one published event: with all that is added it must fit a frame, many times over.
inline constexpr std::size_t event_data_bytes = 256u << 10;
/// The journal: bytes of a segment (what opening reads, and what is removed at once), of all of them, and
/// their age.
inline constexpr std::uint64_t event_segment_bytes = 16u << 20;
inline constexpr std::uint64_t event_journal_bytes = 256u << 20;
inline constexpr std::chrono::hours event_journal_age{24 * 30};
/// Numbers of events that are reserved at once: one sync in a million events, a million numbers lost in a
/// power loss.
inline constexpr std::uint64_t event_number_step = 1'000'000;
/// The event store: bytes of its pages in use, and the age of its events.
inline constexpr std::uint64_t event_store_bytes = 1ull << 30;
inline constexpr std::chrono::hours event_store_age{24 * 30};
/// Events in one page of event.query, and their bytes after which a page ends: it must fit a frame.
inline constexpr std::size_t event_page = 1000;
inline constexpr std::size_t event_page_bytes = 1u << 20;
/// The newest events, which are kept in memory: what the store has not taken yet, and where a replay meets
/// what is live. At 20,000 events a second 0.4 s of them.
inline constexpr std::size_t event_window = 8192;
inline constexpr std::size_t event_window_bytes = 8u << 20;
/// Bytes of one page of a replay. The next one is asked for when the peer has taken the last.
inline constexpr std::size_t event_replay_bytes = 256u << 10;

// --- metrics ---------------------------------------------------------------------------------------
/// Scrapers served at once, and bytes of what one may ask: a request line and a browser's headers.
inline constexpr std::size_t scrapers = 8;
inline constexpr std::size_t scrape_request_bytes = 16u << 10;
/// The longest that one request or one answer may take, and that a connection may be idle: longer than the
/// usual interval of scrapes, so that a scraper keeps its connection.
inline constexpr std::chrono::seconds scrape_transfer{10};
inline constexpr std::chrono::seconds scrape_idle{120};
inline constexpr std::size_t sampled_sessions = 4096;
/// Before a metrics endpoint that could not be opened is tried again.
inline constexpr std::chrono::seconds endpoint_retry{10};
/// How often the host is looked at for thresholds, and how long a level must last. Load is in percent of the
/// cores (200: two runnable tasks for each), pressure in percent of the time (PSI), charge in percent.
inline constexpr std::uint64_t sample_seconds = 5;
inline constexpr std::uint64_t high_seconds = 30;
inline constexpr std::uint64_t load_high_percent = 200;
inline constexpr std::uint64_t load_low_percent = 150;
inline constexpr std::uint64_t memory_pressure_high_percent = 20;
inline constexpr std::uint64_t memory_pressure_low_percent = 10;
inline constexpr std::uint64_t battery_critical_percent = 10;
inline constexpr std::uint64_t battery_recovered_percent = 15;

// --- files of records ------------------------------------------------------------------------------
/// Bytes of one record: four times the data of an event, with all that is added.
inline constexpr std::size_t record_bytes = 1u << 20;
/// Copies of damaged bytes that are kept of one file, for people to look at.
inline constexpr std::size_t set_aside_files = 8;

// --- stdin (SPEC 4.5) ------------------------------------------------------------------------------
inline constexpr std::size_t stdin_bytes = 1u << 20;
inline constexpr std::size_t stdin_waiting_writes = 64;
/// Bytes of the writes that wait for room, as much as one frame can bring.
inline constexpr std::size_t stdin_waiting_bytes = frame_payload_bytes;

// --- output (SPEC 5) -------------------------------------------------------------------------------
inline constexpr std::uint64_t retain_bytes = 64ull << 20;
/// Also how far a log may grow that is to grow no further because of total_log_bytes: less would hardly be
/// one.
inline constexpr std::uint64_t retain_bytes_min = 64ull << 10;
inline constexpr std::uint64_t retain_bytes_max = 16ull << 30;
/// Chunk of a throttled subscription (SPEC 5.4) and of every other one: the larger costs fewer frames.
inline constexpr std::size_t throttle_chunk_bytes = 16u << 10;
inline constexpr std::size_t chunk_bytes = 64u << 10;
inline constexpr std::size_t chunk_bytes_min = 16;
inline constexpr std::size_t chunk_bytes_max = 1u << 20;
inline constexpr std::uint64_t throttle_bytes_per_second = 256u << 10;
/// Most bytes that one process.read answers.
inline constexpr std::size_t read_bytes_max = 4u << 20;
/// Longest long poll of process.read.
inline constexpr std::chrono::milliseconds longest_poll{3'600'000};
/// How long a lossless reader's hold outlives a daemon's death (SPEC 5.4), and a connection's claim of a
/// device.
inline constexpr std::chrono::seconds orphaned_hold{30};

// --- devices (SPEC 10) -----------------------------------------------------------------------------
/// Bytes of the kernel's messages that wait to be read, three thousand or so. What finds no room is made good
/// by enumerating anew.
inline constexpr int device_message_bytes = 1 << 20;
/// Messages of one interval that are taken one by one; a dock and all that is behind it bring two hundred.
/// Past it the rest of them is thrown away unread and the devices are enumerated anew an interval later, so
/// that a device that comes and goes all the time fills no journal.
inline constexpr std::size_t device_burst = 500;
inline constexpr std::chrono::seconds device_interval{1};

// --- audit (SPEC 8.4) ------------------------------------------------------------------------------
/// Size at which the audit goes on in the next file, how many files are kept, and for how long.
inline constexpr std::uint64_t audit_bytes = 64ull << 20;
inline constexpr std::uint64_t audit_files = 16;
inline constexpr std::chrono::hours audit_age{90 * 24};
/// Longest line of the audit: what a reader has to hold. All that goes into one is bounded to stay below it.
inline constexpr std::size_t audit_line_bytes = 64u << 10;
/// Bytes, as they are written, that the argv of one request, its env, and the data of one event may take, and
/// one text.
inline constexpr std::size_t audit_list_bytes = 8u << 10;
inline constexpr std::size_t audit_text_bytes = 1u << 10;
/// Records that wait for a disk that refuses them; those past it are counted, and told once there is room.
inline constexpr std::size_t audit_pending_bytes = 1u << 20;
/// Room that is asked for ahead under `audit: "required"`: more than one batch of requests takes.
inline constexpr std::size_t audit_reserve_bytes = 4u << 20;
/// One page of audit.query: records, bytes, bytes that are looked through for it, and its longest wait.
inline constexpr std::size_t audit_page = 1000;
inline constexpr std::size_t audit_page_bytes = 1u << 20;
inline constexpr std::size_t audit_scan_bytes = 16u << 20;
inline constexpr std::chrono::milliseconds audit_longest_wait{60'000};

}  // namespace kairo::limits

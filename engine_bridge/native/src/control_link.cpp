#include "control_link.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <utility>

#include "clock.h"

namespace bunraku {
namespace {

using Lock = std::lock_guard<std::mutex>;

constexpr std::int64_t KEEP_IN_TOUCH_NS = 500'000'000;
constexpr std::int64_t STAT_NS = 1'000'000'000;
constexpr std::int64_t AFTER_REFUSAL_NS = 10'000'000'000; // before asking a producer of another version again
constexpr char ALARM[] = "inproc://control-alarm";

void *open_pair(void *context) {
    void *const socket = zmq_socket(context, ZMQ_PAIR);
    if (socket != nullptr) {
        const int linger = 0;
        const int queue = 1;
        zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
        zmq_setsockopt(socket, ZMQ_SNDHWM, &queue, sizeof queue);
        zmq_setsockopt(socket, ZMQ_RCVHWM, &queue, sizeof queue);
    }
    return socket;
}

} // namespace

ControlLink::ControlLink(void *context, Options options, LastError &last_error)
    : context_(context), options_(std::move(options)), last_error_(last_error),
      judge_(options_.keys.own_public, options_.keys.server) {}

ControlLink::~ControlLink() {
    if (bell_ != nullptr) {
        zmq_close(bell_);
    }
    if (alarm_ != nullptr) {
        zmq_close(alarm_);
    }
}

bool ControlLink::start() {
    bell_ = open_pair(context_);
    alarm_ = open_pair(context_);
    if (bell_ == nullptr || alarm_ == nullptr || zmq_bind(bell_, ALARM) != 0 || zmq_connect(alarm_, ALARM) != 0) {
        return false;
    }
    thread_ = std::thread([this] { run(); });
    return true;
}

void ControlLink::join() {
    if (thread_.joinable()) {
        thread_.join();
    }
}

void ControlLink::set_endpoint(const std::string &endpoint) {
    {
        const Lock lock(mutex_);
        if (endpoint == endpoint_) {
            return;
        }
        endpoint_ = endpoint;
    }
    ring();
}

void ControlLink::note_session(std::uint64_t session) {
    {
        const Lock lock(mutex_);
        if (!has_info_ || info_.session == session) {
            return;
        }
        greet_again(now_ns());
    }
    ring();
}

std::int32_t ControlLink::send(const bunraku_control_state &state, std::uint64_t *control_id) {
    {
        const Lock lock(mutex_);
        const std::int32_t result = pack_state(state, scratch_);
        if (result != BUNRAKU_OK) {
            return result;
        }
        // Calibrating is an event: a newer state must not swallow it.
        scratch_.calibrate |= pending_[STATE] && state_.calibrate;
        std::swap(state_, scratch_);
        has_state_ = true;
        number_state(now_ns());
        if (control_id != nullptr) {
            *control_id = last_id_;
        }
    }
    ring();
    return BUNRAKU_OK;
}

void ControlLink::request_last() {
    {
        const Lock lock(mutex_);
        pending_[REQUEST_LAST] = true;
    }
    ring();
}

void ControlLink::fill(bunraku_status &status, std::int64_t now_ns) const {
    {
        const Lock lock(mutex_);
        status.control_state = static_cast<std::uint32_t>(liveness_.state(now_ns));
        status.control_sent = sent_;
        status.control_refused = refused_;
        status.bad += bad_;
    }
    status.motion_to_photon_ms_p50 = sent_states_.motion_to_photon().p50_ms;
}

void ControlLink::number_state(std::int64_t now_ns) {
    state_timestamp_ns_ = now_ns;
    pending_[STATE] = true;
    sent_states_.sent(++last_id_, now_ns);
}

void ControlLink::ring() {
    const Lock lock(bell_mutex_);
    // If it is full, an earlier ring is still to be heard.
    zmq_send(bell_, "", 0, ZMQ_DONTWAIT);
}

// From here on: the thread.

void ControlLink::run() {
    while (!stop_.stopped()) {
        std::int64_t pause_ms = LOOK_AROUND_MS;
        try {
            pause_ms = connect_and_converse();
        } catch (const std::exception &error) { // the edge of the thread: no memory
            last_error_.note("", error.what());
        }
        stop_.rest(pause_ms);
    }
    zmq_close(alarm_);
    alarm_ = nullptr;
}

// Returns milliseconds to pause before the next attempt.
std::int64_t ControlLink::connect_and_converse() {
    const std::string endpoint = wait_for_endpoint();
    if (endpoint.empty()) {
        return 0;
    }
    Socket socket;
    if (!socket.open(context_, ZMQ_DEALER, CONTROL_QUEUE, MAX_CONTROL_BYTES, endpoint, options_.keys)) {
        last_error_.note("", endpoint + ": " + socket.error());
        return LOOK_AROUND_MS;
    }
    return converse(socket, endpoint);
}

std::string ControlLink::wait_for_endpoint() {
    while (!stop_.stopped()) {
        {
            const Lock lock(mutex_);
            if (!endpoint_.empty()) {
                return endpoint_;
            }
        }
        zmq_pollitem_t item = {alarm_, 0, ZMQ_POLLIN, 0};
        if (zmq_poll(&item, 1, LOOK_AROUND_MS) < 0 && zmq_errno() == ETERM) {
            stop_.stop();
        }
        hush();
    }
    return {};
}

// Talks until the connection is hopeless, the endpoint changes or the thread should stop; returns milliseconds to
// pause.
std::int64_t ControlLink::converse(Socket &socket, const std::string &endpoint) {
    {
        const Lock lock(mutex_);
        pending_[HELLO] = true;
        next_touch_ns_ = 0;
    }
    held_.disconnected();
    while (!stop_.stopped()) {
        keep_in_touch();
        bool wants_to_send = false;
        {
            const Lock lock(mutex_);
            if (endpoint_ != endpoint) {
                has_info_ = false;
                return 0;
            }
            wants_to_send = anything_pending();
        }
        zmq_pollitem_t items[] = {
            {alarm_, 0, ZMQ_POLLIN, 0},
            {socket.monitor(), 0, ZMQ_POLLIN, 0},
            {socket.raw(), 0, static_cast<short>(wants_to_send ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN), 0},
        };
        if (zmq_poll(items, 3, held_.patience_ms()) < 0 && zmq_errno() == ETERM) {
            stop_.stop();
            return 0;
        }
        hush();
        if ((items[1].revents & ZMQ_POLLIN) != 0) {
            const std::int64_t pause_ms = judge_handshakes(socket, endpoint);
            if (pause_ms != 0) {
                return pause_ms;
            }
        }
        if ((items[2].revents & ZMQ_POLLOUT) != 0) {
            send_pending(socket);
        }
        if ((items[2].revents & ZMQ_POLLIN) != 0) {
            patience_.heard();
            const std::int64_t pause_ms = drain(socket, endpoint);
            if (pause_ms != 0) {
                return pause_ms;
            }
        }
        if (patience_.is_over(now_ns()) && !is_incompatible()) {
            return 0;
        }
        const std::string flood = socket.has_message() ? std::string() : held_.flood();
        if (!flood.empty()) {
            const Lock lock(mutex_);
            last_error_.note("parts", endpoint + " sends " + flood + "; the connection was closed");
            return liveness_.refused(now_ns());
        }
    }
    return 0;
}

// Twice a second hello until welcomed, then pings; to a producer of another version one hello every ten seconds.
void ControlLink::keep_in_touch() {
    const std::int64_t now = now_ns();
    const Lock lock(mutex_);
    const bool incompatible = liveness_.state(now) == BUNRAKU_INCOMPATIBLE;
    if (now >= next_touch_ns_) {
        next_touch_ns_ = now + (incompatible ? AFTER_REFUSAL_NS : KEEP_IN_TOUCH_NS);
        pending_[has_info_ && !incompatible ? PING : HELLO] = true;
    }
    if (now >= next_stat_ns_ && has_info_ && !incompatible) {
        next_stat_ns_ = now + STAT_NS;
        stat_ = options_.stat();
        pending_[STAT] = true;
    }
}

bool ControlLink::is_incompatible() const {
    const Lock lock(mutex_);
    return liveness_.state(now_ns()) == BUNRAKU_INCOMPATIBLE;
}

bool ControlLink::anything_pending() const {
    return std::any_of(std::begin(pending_), std::end(pending_), [](bool waits) { return waits; });
}

void ControlLink::send_pending(Socket &socket) {
    const std::int64_t now = now_ns();
    const Lock lock(mutex_);
    const bool incompatible = liveness_.state(now) == BUNRAKU_INCOMPATIBLE;
    for (const Pending kind : {HELLO, STATE, REQUEST_LAST, STAT, PING}) {
        if (!pending_[kind]) {
            continue;
        }
        if (!incompatible || kind == HELLO) {
            Writer writer(packed_, sizeof packed_);
            write(kind, writer, now);
            if (zmq_send(socket.raw(), packed_, writer.size(), ZMQ_DONTWAIT) < 0) {
                return; // full, or about to stop: what waits, waits on
            }
        }
        pending_[kind] = false;
        if (kind == STATE && !incompatible) {
            state_.calibrate = false;
            ++sent_;
        }
    }
}

void ControlLink::write(Pending kind, Writer &writer, std::int64_t now_ns) const {
    switch (kind) {
    case HELLO: return write_hello(writer, options_.client_name, options_.wanted_fps);
    case STATE: return write_set(writer, state_, last_id_, state_timestamp_ns_);
    case REQUEST_LAST: return write_request_last(writer);
    case STAT: return write_stat(writer, stat_.shown, stat_.dropped, stat_.age_p50_ms, stat_.age_p99_ms);
    case PING: return write_ping(writer, now_ns);
    case MESSAGES: break;
    }
}

// Returns milliseconds to pause before reconnecting, 0 to go on.
std::int64_t ControlLink::drain(Socket &socket, const std::string &endpoint) {
    for (int i = 0; i < MOST_ANSWERS_WAITING; ++i) {
        Message message;
        switch (message.receive(socket.raw())) {
        case Received::nothing: return 0;
        case Received::stopped: stop_.stop(); return 0;
        case Received::message: break;
        }
        held_.heard(message.bytes(), false);
        Rejection why;
        ServerMessage parsed;
        const bool good = message.count() == 1
                              ? read_server_message(message.parts()[0], parsed, why)
                              : why.because("parts", "a control message of %zu parts; one is right", message.count());
        const Lock lock(mutex_);
        if (good) {
            note(parsed);
        } else {
            const std::int64_t pause_ms = note_rejected(why);
            if (pause_ms != 0) {
                return pause_ms;
            }
        }
    }
    return note_flood(endpoint);
}

std::int64_t ControlLink::note_flood(const std::string &endpoint) {
    const Lock lock(mutex_);
    last_error_.note("", endpoint + ": a flood of messages; connecting again");
    return liveness_.flooded(now_ns());
}

void ControlLink::note(ServerMessage &message) {
    const std::int64_t now = now_ns();
    switch (message.kind) {
    case Answer::refuse:
        ++refused_;
        last_error_.note(message.code, message.text);
        if (message.code == "version") {
            note_incompatible();
        } else {
            liveness_.good(now);
        }
        break;
    case Answer::welcome:
        liveness_.good(now);
        info_ = std::move(message.info);
        has_info_ = true;
        break;
    case Answer::pong:
        liveness_.good(now);
        if (has_info_ && message.session != info_.session) {
            greet_again(now);
        }
        break;
    }
}

// The producer was started again and knows neither this client nor what it wants.
void ControlLink::greet_again(std::int64_t now_ns) {
    has_info_ = false;
    repeat(now_ns);
}

// On every connection but the first: what was on its way on the last one may be lost.
void ControlLink::note_connection() {
    if (++connections_ > 1) {
        const Lock lock(mutex_);
        repeat(now_ns());
    }
}

void ControlLink::repeat(std::int64_t now_ns) {
    pending_[HELLO] = true;
    if (has_state_ && !pending_[STATE]) {
        number_state(now_ns);
    }
}

std::int64_t ControlLink::note_rejected(const Rejection &why) {
    ++bad_;
    last_error_.note(why.code, why.text);
    if (std::string_view(why.code) == "version") {
        note_incompatible();
        return 0;
    }
    return liveness_.bad(now_ns());
}

void ControlLink::note_incompatible() {
    liveness_.incompatible();
    has_info_ = false;
    std::fill(std::begin(pending_), std::end(pending_), false);
    next_touch_ns_ = now_ns() + AFTER_REFUSAL_NS;
}

std::int64_t ControlLink::judge_handshakes(Socket &socket, const std::string &endpoint) {
    HandshakeEvent event;
    Received received;
    while ((received = socket.next_event(event)) == Received::message) {
        if (event.number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            note_connection();
        }
        held_.note(event.number, event.value);
        const std::string refusal = judge_.refusal_in(event, endpoint);
        if (!refusal.empty()) {
            const Lock lock(mutex_);
            last_error_.note("key", refusal);
            return liveness_.refused(now_ns());
        }
    }
    if (received == Received::stopped) {
        stop_.stop();
    }
    return 0;
}

void ControlLink::hush() {
    char nothing;
    while (zmq_recv(alarm_, &nothing, sizeof nothing, ZMQ_DONTWAIT) >= 0) {
    }
}

} // namespace bunraku

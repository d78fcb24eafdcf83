#include "receiver.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "build.h"
#include "clock.h"
#include "discovery.h"
#include "endpoint.h"
#include "text.h"

namespace bunraku {
namespace {

constexpr char TOPIC_FAMILY[] = "avf"; // what topics of every major version begin with
constexpr std::int64_t LOOK_AGAIN_NS = 1'000'000'000;

// What to use, best first: on this host what needs the least work, on a network what needs the fewest bytes.
constexpr std::uint32_t LOCAL_ORDER[] = {BUNRAKU_SHM, BUNRAKU_RAW, BUNRAKU_LZ4, BUNRAKU_JPEG};
constexpr std::uint32_t REMOTE_ORDER[] = {BUNRAKU_JPEG, BUNRAKU_LZ4, BUNRAKU_RAW};

FrameRecord record_of(const Topic &topic, const Header &header, std::int64_t clock_correction_ns) {
    FrameRecord record;
    record.width = header.width;
    record.height = header.height;
    record.encoding = header.planes[0].encoding;
    record.id = header.id;
    record.session = header.session;
    record.capture_ns = header.capture_ns;
    record.render_start_ns = header.render_start_ns;
    record.publish_ns = header.publish_ns;
    record.clock_correction_ns = clock_correction_ns;
    record.control_id = header.control_id;
    record.control_timestamp_ns = header.control_timestamp_ns;
    copy_text(topic.stream, record.stream);
    copy_text(header.provider, record.provider);
    return record;
}

} // namespace

Receiver::Receiver(void *context, Options options, FrameChannel &channel, FrameBox &box, ControlLink *control)
    : context_(context), options_(std::move(options)), channel_(channel), box_(box), control_(control),
      endpoint_(options_.endpoint), judge_(options_.keys.own_public, options_.keys.server),
      held_(MAX_FRAME_BYTES + SPARE_BYTES, SPARE_BYTES, SPARE_BYTES / 8) {}

void Receiver::start() {
    thread_ = std::thread([this] { run(); });
}

void Receiver::join() {
    if (thread_.joinable()) {
        thread_.join();
    }
}

// From here on: the thread.

void Receiver::run() {
    while (!stop_.stopped()) {
        std::int64_t pause_ms = LOOK_AROUND_MS;
        try {
            pause_ms = connect_and_receive();
        } catch (const std::exception &error) { // the edge of the thread: no memory, or an odd path
            channel_.note_failure(error.what());
        }
        stop_.rest(pause_ms);
    }
}

// Returns milliseconds to pause before the next attempt.
std::int64_t Receiver::connect_and_receive() {
    Socket socket;
    if (!locate()) {
        return LOOK_AROUND_MS;
    }
    if (!socket.open(context_, ZMQ_SUB, FRAME_QUEUE, static_cast<std::int64_t>(MAX_FRAME_BYTES), endpoint_,
                     options_.keys)) {
        channel_.note_failure(endpoint_ + ": " + socket.error());
        return LOOK_AROUND_MS;
    }
    return receive(socket);
}

// Finds out where to connect; says false if that is not known yet.
bool Receiver::locate() {
    if (!options_.endpoint.empty()) {
        return true;
    }
    FoundStream found;
    if (!find_stream(stream_folder(), options_.stream, found)) {
        return false;
    }
    endpoint_ = found.frames;
    tell_control_endpoint(found.control);
    return true;
}

// While nothing is heard, whether the stream's file names another endpoint by now.
bool Receiver::has_moved() {
    if (!options_.endpoint.empty() || now_ns() < next_look_ns_) {
        return false;
    }
    next_look_ns_ = now_ns() + LOOK_AGAIN_NS;
    FoundStream found;
    return channel_.state(now_ns()) == BUNRAKU_LOST && find_stream(stream_folder(), options_.stream, found) &&
           found.frames != endpoint_;
}

// Receives until the connection is hopeless, the stream has moved or the thread should stop; returns milliseconds to
// pause.
std::int64_t Receiver::receive(Socket &socket) {
    encoding_ = BUNRAKU_RAW; // everybody has it, and hears from a heartbeat what else there is
    channel_.use(encoding_);
    held_.disconnected();
    probing_ = false;
    topics_.assign(1, topic_of(encoding_));
    if (!socket.subscribe(topics_.front())) {
        return LOOK_AROUND_MS;
    }
    const std::int64_t opened_ns = now_ns();
    while (!stop_.stopped() && !has_moved()) {
        look_after_silence(socket, now_ns() - opened_ns >= STALE_AFTER_NS);
        zmq_pollitem_t items[] = {
            {socket.raw(), 0, ZMQ_POLLIN, 0},
            {socket.monitor(), 0, ZMQ_POLLIN, 0},
        };
        if (zmq_poll(items, 2, held_.patience_ms()) < 0 && zmq_errno() == ETERM) {
            stop_.stop();
            return 0;
        }
        if ((items[1].revents & ZMQ_POLLIN) != 0) {
            const std::int64_t pause_ms = judge_handshakes(socket);
            if (pause_ms != 0) {
                return pause_ms;
            }
        }
        if ((items[0].revents & ZMQ_POLLIN) != 0) {
            patience_.heard();
            const std::int64_t pause_ms = drain(socket);
            if (pause_ms != 0) {
                return pause_ms;
            }
        }
        if (patience_.is_over(now_ns())) {
            return 0;
        }
        const std::string flood = socket.has_message() ? std::string() : held_.flood();
        if (!flood.empty()) {
            return channel_.refused("parts", endpoint_ + " sends " + flood + "; the connection was closed", now_ns());
        }
    }
    return 0;
}

// Reads all that waits; decodes only the newest frame of it, so that a slow decoder makes nothing older.
std::int64_t Receiver::drain(Socket &socket) {
    Topic newest_topic;
    Header newest_header;
    bool has_newest = false;
    int count = 0;
    for (; count < MOST_FRAMES_WAITING; ++count) {
        const Received received = incoming_->receive(socket.raw());
        if (received != Received::message) {
            if (received == Received::stopped) {
                stop_.stop();
            }
            break;
        }
        held_.heard(incoming_->bytes(), incoming_->count() > MIN_PARTS);
        Topic topic;
        Header header;
        const std::int64_t now = now_ns();
        const Outcome outcome = channel_.read(incoming_->parts(), incoming_->count(), now, topic, header);
        if (outcome != Outcome::dropped && outcome != Outcome::ignored) {
            leave_old_topics(socket, topic);
        }
        if (outcome == Outcome::news) {
            if (has_newest) {
                channel_.overtaken(newest_header, now);
            }
            std::swap(incoming_, newest_);
            newest_topic = topic;
            newest_header = header;
            has_newest = true;
        } else if (outcome == Outcome::heartbeat) {
            note_heartbeat(socket, header);
        }
    }
    if (count == MOST_FRAMES_WAITING) {
        return channel_.flooded(endpoint_ + ": a flood of messages; connecting again", now_ns());
    }
    if (has_newest) {
        deliver(*newest_, newest_topic, newest_header);
        if (encoding_ == BUNRAKU_SHM && !bad_ring_.empty()) {
            change_encoding(socket, BUNRAKU_RAW);
        }
    }
    if (control_ != nullptr && channel_.session() != session_) {
        session_ = channel_.session();
        control_->note_session(session_);
    }
    return channel_.take_pause();
}

// Decodes into a free slot, or hands the message over if its pixels are as wanted, and makes it the newest.
void Receiver::deliver(Message &message, const Topic &topic, const Header &header) {
    Rejection why;
    Decoded decoded = Decoded::rejected;
    FrameBox::Slot &slot = box_.slot_to_fill();
    slot.record = record_of(topic, header, channel_.clock_correction());
    const Bytes *const payload = message.parts() + MIN_PARTS;
    if (PlaneDecoder::is_wanted_as_it_is(header, options_.wanted)) {
        decoded = PlaneDecoder::check_as_it_is(header, payload[0], why);
        if (decoded == Decoded::good) {
            slot.adopt(message.part(MIN_PARTS));
        }
    } else if (std::uint8_t *const pixels = slot.own_pixels(std::size_t{4} * header.width * header.height)) {
        decoded = decoder_.decode(header, payload, options_.wanted, pixels, why);
    } else {
        why.because("decode", "no memory for a picture of %ux%u", header.width, header.height);
    }
    const std::int64_t now = now_ns();
    switch (decoded) {
    case Decoded::good:
        slot.record.received_ns = now;
        channel_.shown(header, now, box_.publish(slot));
        break;
    case Decoded::overtaken: channel_.overtaken(header, now); break;
    case Decoded::rejected:
        if (header.planes[0].encoding == BUNRAKU_SHM) {
            bad_ring_ = header.planes[0].ring;
        }
        channel_.undecodable(header, why, now);
        break;
    }
}

void Receiver::note_heartbeat(Socket &socket, const Header &header) {
    if (!header.control_endpoint.empty() && options_.takes_told_control_endpoint) {
        tell_control_endpoint(header.control_endpoint);
    }
    const std::uint32_t best = best_encoding(header);
    if (best != encoding_) {
        change_encoding(socket, best);
    }
}

std::uint32_t Receiver::best_encoding(const Header &heartbeat) {
    const bool local = is_local(endpoint_);
    const std::uint32_t asked = options_.encodings != 0
                                    ? options_.encodings
                                    : static_cast<std::uint32_t>(BUNRAKU_RAW | (local ? BUNRAKU_SHM : 0));
    const std::uint32_t usable = asked & heartbeat.encodings & BUILT_ENCODINGS;
    const auto fits = [&](std::uint32_t encoding) {
        return (usable & encoding) != 0 && (encoding != BUNRAKU_SHM || can_open_ring(heartbeat));
    };
    if (local) {
        for (const std::uint32_t encoding : LOCAL_ORDER) {
            if (fits(encoding)) {
                return encoding;
            }
        }
    } else {
        for (const std::uint32_t encoding : REMOTE_ORDER) {
            if (fits(encoding)) {
                return encoding;
            }
        }
    }
    return BUNRAKU_RAW;
}

// Whether the ring that the producer names can be read; one that could not is not tried again.
bool Receiver::can_open_ring(const Header &heartbeat) {
    if (heartbeat.ring.empty() || heartbeat.ring == bad_ring_) {
        return false;
    }
    Ring &ring = decoder_.ring();
    if (encoding_ == BUNRAKU_SHM ||
        (ring.is_open() && ring.name() == heartbeat.ring && ring.session() == heartbeat.session)) {
        return true;
    }
    Rejection why;
    if (ring.open(heartbeat.ring, heartbeat.session, why)) {
        bad_ring_.clear();
        return true;
    }
    bad_ring_ = heartbeat.ring;
    return false;
}

// Subscribes to the topic of the encoding; the old one stays until something has come under the new one, so that the
// stream never goes dark.
void Receiver::change_encoding(Socket &socket, std::uint32_t encoding) {
    if (encoding == encoding_) {
        return;
    }
    encoding_ = encoding;
    channel_.use(encoding);
    const std::string topic = topic_of(encoding);
    const auto subscribed = std::find(topics_.begin(), topics_.end(), topic);
    if (subscribed != topics_.end()) {
        std::rotate(subscribed, subscribed + 1, topics_.end());
    } else {
        socket.subscribe(topic);
        topics_.push_back(topic);
    }
}

void Receiver::leave_old_topics(Socket &socket, const Topic &heard) {
    if (topics_.size() > 1 && encoding_of_variant(heard.variant) == encoding_) {
        std::for_each(topics_.begin(), topics_.end() - 1, [&](const std::string &old) { socket.unsubscribe(old); });
        topics_.erase(topics_.begin(), topics_.end() - 1);
    }
}

// While nothing is heard, goes back to the encoding that every producer has, and listens to all major versions, to tell
// "wrong version" from silence. No longer than until anything is heard: the producer takes whoever listens for somebody
// who watches. And not at once: a producer that is there answers with a message per topic, more than its queue holds.
void Receiver::look_after_silence(Socket &socket, bool may_probe) {
    const std::int64_t now = now_ns();
    const bool probe = channel_.should_probe(now) && may_probe;
    if (probe && !probing_) {
        socket.subscribe(TOPIC_FAMILY);
    } else if (probing_ && !probe) {
        socket.unsubscribe(TOPIC_FAMILY);
    }
    probing_ = probe;
    const bunraku_state state = channel_.state(now);
    if (state == BUNRAKU_LOST || state == BUNRAKU_STALE) {
        change_encoding(socket, BUNRAKU_RAW);
    }
}

// Raw: of the stream asked for, or of all. Any other encoding: of the stream that is heard, so that no other one is
// encoded for nothing.
std::string Receiver::topic_of(std::uint32_t encoding) const {
    switch (encoding) {
    case BUNRAKU_LZ4: return "avf1.lz4/" + channel_.stream();
    case BUNRAKU_JPEG: return "avf1.jpeg/" + channel_.stream();
    case BUNRAKU_SHM: return "avf1.shm/" + channel_.stream();
    default: return "avf1/" + options_.stream;
    }
}

// Returns milliseconds to pause before reconnecting, 0 to go on.
std::int64_t Receiver::judge_handshakes(Socket &socket) {
    HandshakeEvent event;
    Received received;
    while ((received = socket.next_event(event)) == Received::message) {
        held_.note(event.number, event.value);
        const std::string refusal = judge_.refusal_in(event, endpoint_);
        if (!refusal.empty()) {
            return channel_.refused("key", refusal, now_ns());
        }
    }
    if (received == Received::stopped) {
        stop_.stop();
    }
    return 0;
}

void Receiver::tell_control_endpoint(std::string_view told) {
    const std::string endpoint = reachable_control_endpoint(told, endpoint_);
    Rejection why;
    if (control_ != nullptr && check_endpoint(endpoint, why)) {
        control_->set_endpoint(endpoint);
    }
}

} // namespace bunraku

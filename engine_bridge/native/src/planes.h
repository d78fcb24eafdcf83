// From the planes of a checked header to pixels in the wanted layout. Knows encodings, no sockets.
#pragma once

#include "buffer.h"
#include "header.h"
#include "pixels.h"
#include "rejection.h"
#include "ring.h"

namespace bunraku {

enum class Decoded {
    good,
    overtaken, // its slot of shared memory was written again
    rejected,  // `decode`, `crc` or `shm`
};

class PlaneDecoder {
public:
    // Whether the payload already is what is wanted, so that it can be handed out where it lies.
    static bool is_wanted_as_it_is(const Header &header, const WantedLayout &wanted);

    // Checks what only decoding can show of a payload that is handed out as it is.
    static Decoded check_as_it_is(const Header &header, Bytes payload, Rejection &why);

    // Decodes and converts. out: 4 * width * height bytes. payload: one part per plane.
    Decoded decode(const Header &header, const Bytes *payload, const WantedLayout &wanted, std::uint8_t *out,
                   Rejection &why);

    // The ring of shared memory in use; opened again when a frame names another one.
    Ring &ring() { return ring_; }

private:
    Decoded decode_from_ring(const Header &header, const WantedLayout &wanted, std::uint8_t *out, Rejection &why);
    bool copy_from_ring(const Header &header, const WantedLayout &wanted, std::uint8_t *out, std::uint32_t &checksum,
                        Rejection &why);
    bool decode_plane(const Header &header, std::size_t index, Bytes part, Bytes &decoded, Rejection &why);

    Buffer decoded_[2];
    Ring ring_;
};

} // namespace bunraku

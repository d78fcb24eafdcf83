/*
 * Bunraku's native client: the newest frame of a live character, and controls back to it. Wire: avf/1 (docs/protocol.md).
 *
 * A thread of the library receives, checks and decodes all the time; the caller only swaps an index. The library never
 * calls back into its host, never throws across this boundary, allocates nothing per frame, and closes within
 * milliseconds whatever the other side does. Every function may be called from any thread, but for one client
 * bunraku_close() must be the last call.
 *
 * Structs begin with struct_size, which the caller sets to sizeof(the struct) it was compiled with; a newer library
 * fills only that much. Fields are only ever appended.
 *
 * Twins of this header: unity/Runtime/Interop/Native.cs, unreal (includes this file), godot/src (includes this file).
 */
#ifndef BUNRAKU_CLIENT_H
#define BUNRAKU_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#if defined(BUNRAKU_STATIC)
#define BUNRAKU_CLIENT_API
#elif defined(_WIN32)
#if defined(BUNRAKU_BUILDING)
#define BUNRAKU_CLIENT_API __declspec(dllexport)
#else
#define BUNRAKU_CLIENT_API __declspec(dllimport)
#endif
#else
#define BUNRAKU_CLIENT_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define BUNRAKU_ABI_VERSION 1u

typedef struct bunraku_client bunraku_client;

/* What is wanted of a character; outlives clients. */
typedef struct bunraku_wanted bunraku_wanted;

/* What a function answers: 0 or more is good, below 0 an error that bunraku_result_text() puts into words. */
typedef enum bunraku_result {
    BUNRAKU_OK = 0,           /* done; from bunraku_acquire: nothing newer than what was taken before */
    BUNRAKU_NEW_FRAME = 1,    /* from bunraku_acquire: a frame was leased */
    BUNRAKU_BAD_ARGUMENT = -1, /* a null pointer, a struct_size of zero or below this header's first version, a bad index,
                                  an empty name, a number outside its range */
    BUNRAKU_BAD_ENDPOINT = -2, /* the endpoint or the stream's name is malformed */
    BUNRAKU_BAD_KEY = -3,      /* a CURVE key is not 40 characters of Z85, or only some of the three were given */
    BUNRAKU_NO_MEMORY = -4,    /* out of memory, or a thread or socket could not be created */
    BUNRAKU_NOT_FOUND = -5,    /* not received from the producer yet (no welcome), or there is no such item */
    BUNRAKU_TOO_MANY = -6,     /* BUNRAKU_MAX_LEASES frames are leased already; release one first */
    BUNRAKU_NOT_FINITE = -7,   /* a number is NaN or infinite; nothing was changed or sent */
    BUNRAKU_TOO_LARGE = -8,    /* more than 256 controls, a wanted name that is too long, or a state beyond 64 KiB; nothing
                                  was changed or sent */
    BUNRAKU_UNSUPPORTED = -9   /* this build lacks what was asked for, for example CURVE */
} bunraku_result;

/* How a client stands with its producer; the twin of LinkState in engine_bridge/avf/messages.py. */
typedef enum bunraku_state {
    BUNRAKU_LOST = 0,        /* never heard, silent for 5 s, or said bye */
    BUNRAKU_LIVE = 1,        /* a good message within the last 1.5 s */
    BUNRAKU_STALE = 2,       /* silent for 1.5 s: hold the last frame, perhaps fade it */
    BUNRAKU_ERROR = 3,       /* what arrives cannot be used, or the keys were refused; reconnecting with growing pauses */
    BUNRAKU_INCOMPATIBLE = 4 /* the producer speaks another major version */
} bunraku_state;

/* How pixels may travel; bits for bunraku_options.encodings. */
typedef enum bunraku_encoding {
    BUNRAKU_RAW = 1,  /* as they are */
    BUNRAKU_LZ4 = 2,  /* lossless, about a third */
    BUNRAKU_JPEG = 4, /* colour as JPEG, alpha as LZ4: about a thirtieth, for a network */
    BUNRAKU_SHM = 8   /* a ring of shared memory, same host and user only: half the latency */
} bunraku_encoding;

/* What bunraku_acquire hands out; the receiver thread converts when the wire brings something else. */
typedef enum bunraku_pixel_format { BUNRAKU_RGBA8 = 0, BUNRAKU_BGRA8 = 1 } bunraku_pixel_format;

enum {
    BUNRAKU_PREMULTIPLIED = 1, /* flag: colour times alpha, rounded; otherwise straight alpha */
    BUNRAKU_BOTTOM_UP = 2      /* flag: row 0 is the lowest; otherwise the topmost */
};

enum { BUNRAKU_MAX_LEASES = 3, BUNRAKU_MAX_CONTROLS = 256, BUNRAKU_NAME_BYTES = 64 };

typedef struct bunraku_options {
    uint32_t struct_size;
    uint32_t encodings;    /* bits of bunraku_encoding; 0: shared memory on this host, otherwise raw */
    uint32_t pixel_format; /* a bunraku_pixel_format */
    uint32_t flags;        /* BUNRAKU_PREMULTIPLIED, BUNRAKU_BOTTOM_UP */
    const char *endpoint;  /* of the frames, for example "tcp://127.0.0.1:5760"; NULL or "": found by name on this host */
    const char *control_endpoint;  /* NULL: the one that the producer tells; "": no control channel */
    const char *stream;            /* name; NULL or "": the first one heard */
    const char *client_name;       /* told to the producer; NULL: "native" */
    const char *curve_server_key;  /* Z85, 40 characters; NULL: no encryption */
    const char *curve_public_key;  /* this client's own pair */
    const char *curve_secret_key;
    float wanted_fps;              /* the producer may draw fewer frames if no client wants more; 0: as it likes */
    uint32_t reserved;
} bunraku_options;

/* A leased frame. sRGB-encoded; format, alpha and row order as bunraku_options asked. */
typedef struct bunraku_frame {
    uint32_t struct_size;
    uint32_t lease; /* for bunraku_release */
    uint32_t width;
    uint32_t height;
    uint32_t stride; /* bytes from one row to the next */
    uint32_t pixel_format;
    uint32_t encoding; /* the bunraku_encoding it travelled in */
    uint32_t reserved;
    uint64_t byte_count;    /* stride * height */
    const uint8_t *pixels;  /* read-only; valid until bunraku_release(lease) or bunraku_close */
    uint64_t frame_id;      /* strictly rising within a session; a gap is a dropped frame */
    uint64_t session;       /* new at every start of the producer */
    int64_t capture_ns;     /* when its controls were sampled, the producer's monotonic clock */
    int64_t render_start_ns;
    int64_t publish_ns;
    int64_t received_ns; /* this host's bunraku_now_ns() when it was ready to be taken */
    int64_t age_ns;      /* from publishing to this call of bunraku_acquire */
    uint64_t control_id; /* the last control state applied, 0 if none */
    int64_t control_timestamp_ns; /* that state's own time; now minus this is motion to photon, if this client sent it */
    char stream[BUNRAKU_NAME_BYTES];
    char provider[BUNRAKU_NAME_BYTES]; /* engine that drew it, for example "onnxruntime/CPU fp32" */
} bunraku_frame;

/* What a client has seen since it was opened. Ages are milliseconds over the last 1024 frames, NaN before the first. */
typedef struct bunraku_status {
    uint32_t struct_size;
    uint32_t state;         /* a bunraku_state, of the frame channel */
    uint32_t control_state; /* the same, of the control channel */
    uint32_t encoding;      /* the bunraku_encoding in use */
    uint64_t session;       /* 0 until heard */
    uint64_t received;      /* frames that were news */
    uint64_t shown;         /* frames taken by bunraku_acquire */
    uint64_t skipped;       /* frames overtaken by a newer one before they were taken, in the box or in the ring */
    uint64_t late;          /* frames that were no news */
    uint64_t missed;        /* gaps in the numbers */
    uint64_t bad;           /* messages that broke the protocol */
    uint64_t reconnects;
    uint64_t control_sent;
    uint64_t control_refused;
    double age_arrival_ms_p50;
    double age_arrival_ms_p99;
    double age_take_ms_p50;
    double age_take_ms_p99;
    double motion_to_photon_ms_p50; /* of control states that this client sent */
    double producer_fps;            /* from the last heartbeat, 0 before it */
    double producer_engine_ms_p50;
    char stream[BUNRAKU_NAME_BYTES];
    char provider[BUNRAKU_NAME_BYTES];
    char last_error_code[16]; /* a code of docs/protocol.md, "" if nothing was ever dropped */
    char last_error[256];
    uint32_t made_by_ai; /* 1 if the producer says that a neural network draws the pictures */
    uint32_t reserved;
    char generator[BUNRAKU_NAME_BYTES]; /* program that draws */
    char source[128];                   /* licence or consent reference of the character */
    char model[128];                    /* digest of the generator */
} bunraku_status;

/* What the producer's welcome told of its stream. */
typedef struct bunraku_info {
    uint32_t struct_size;
    uint32_t width;
    uint32_t height;
    uint32_t has_mapping; /* 1: identities may also be seeds */
    uint32_t control_count;
    uint32_t identity_count;
    uint32_t expression_count;
    uint32_t reserved;
    double fps;
    char character[BUNRAKU_NAME_BYTES];
} bunraku_info;

typedef struct bunraku_control_spec {
    uint32_t struct_size;
    float minimum;
    float maximum;
    float rest;
    char name[BUNRAKU_NAME_BYTES]; /* lowerCamelCase, for example "jawOpen", "headYaw" */
    char group[BUNRAKU_NAME_BYTES];
} bunraku_control_spec;

typedef struct bunraku_control {
    const char *name;
    float value; /* degrees for poses and gaze, otherwise 0 to 1; the producer clamps */
    uint32_t reserved;
} bunraku_control;

/* Everything this client wants now: absolute, so the latest wins and a lost one does no harm. */
typedef struct bunraku_control_state {
    uint32_t struct_size;
    uint32_t control_count;
    const bunraku_control *controls; /* those not named stay with the character's own life */
    const char *identity;            /* NULL: leave it, or use the seed */
    int64_t seed;                    /* below 0: none */
    const char *mix_identity;
    int64_t mix_seed;     /* below 0: none */
    float mix_amount;     /* 0 to 1 */
    float truncation_psi; /* below 0: leave it */
    const char *expression; /* NULL: leave it; "": fade to none */
    uint32_t calibrate;     /* 1: take the present pose as neutral, an event */
    uint32_t reserved;
} bunraku_control_state;

/* The ABI of the loaded library; a host compiled against another major one must not go on. */
BUNRAKU_CLIENT_API uint32_t bunraku_abi_version(void);

/* "0.1.0 (libzmq 4.3.5; lz4 jpeg shm curve)": version and what this build can. Owned by the library. */
BUNRAKU_CLIENT_API const char *bunraku_version(void);

/* A short English sentence for a bunraku_result. Owned by the library. */
BUNRAKU_CLIENT_API const char *bunraku_result_text(int32_t result);

/* Nanoseconds of the monotonic clock that all processes of this host share. */
BUNRAKU_CLIENT_API int64_t bunraku_now_ns(void);

/* Bits of bunraku_encoding that this build can receive. */
BUNRAKU_CLIENT_API uint32_t bunraku_encodings(void);

/*
 * Start receiving. Returns at once, whether or not there is a producer; it may come, go and come back at any time.
 * why: NULL, or room for a sentence that says what is wrong and how to fix it (512 bytes are always enough).
 */
BUNRAKU_CLIENT_API int32_t bunraku_open(const bunraku_options *options, bunraku_client **client, char *why, size_t why_bytes);

/* Stop and free everything, leased frames included; NULL is allowed. At most a few milliseconds. */
BUNRAKU_CLIENT_API void bunraku_close(bunraku_client *client);

/*
 * Take the newest frame. Never waits, copies nothing.
 * Returns BUNRAKU_NEW_FRAME and a lease that must be given back, BUNRAKU_OK if there is nothing newer than what was
 * taken before, or an error below 0.
 */
BUNRAKU_CLIENT_API int32_t bunraku_acquire(bunraku_client *client, bunraku_frame *frame);

/* Give a frame back. Releasing twice, or after the producer changed, is harmless. */
BUNRAKU_CLIENT_API int32_t bunraku_release(bunraku_client *client, uint32_t lease);

BUNRAKU_CLIENT_API int32_t bunraku_get_status(bunraku_client *client, bunraku_status *status);

/* BUNRAKU_NOT_FOUND until the producer has welcomed this client on its control channel. */
BUNRAKU_CLIENT_API int32_t bunraku_get_info(bunraku_client *client, bunraku_info *info);
BUNRAKU_CLIENT_API int32_t bunraku_get_control(bunraku_client *client, uint32_t index, bunraku_control_spec *spec);
/* Writes a zero-terminated name, cut off if need be. */
BUNRAKU_CLIENT_API int32_t bunraku_get_identity(bunraku_client *client, uint32_t index, char *name, size_t name_bytes);
BUNRAKU_CLIENT_API int32_t bunraku_get_expression(bunraku_client *client, uint32_t index, char *name, size_t name_bytes);

/*
 * Replace the state that is sent to the producer; it is repeated when a producer comes back. Copies what it is given,
 * never waits. control_id: NULL, or where the number of this state goes, which comes back in bunraku_frame.control_id.
 */
BUNRAKU_CLIENT_API int32_t bunraku_send_control(
    bunraku_client *client, const bunraku_control_state *state, uint64_t *control_id);

/*
 * What is wanted of a character, kept between changes: the verbs of docs/protocol.md, the same in every
 * language. Make one per character that is moved, change it at any time, also while there is no client, and call
 * bunraku_send_wanted() once per tick. Use this or bunraku_send_control(), for which the caller keeps the state.
 *
 * Verbs copy what they are given. They return BUNRAKU_OK, also if nothing is different from before, or an error, and
 * then change nothing: BUNRAKU_BAD_ARGUMENT, BUNRAKU_NOT_FINITE or BUNRAKU_TOO_LARGE. Names are UTF-8, of a
 * control 1 to 63 bytes, of an identity or expression 1 to 320.
 */

/* NULL if there is no memory. */
BUNRAKU_CLIENT_API bunraku_wanted *bunraku_wanted_new(void);

/* NULL is allowed. Sends nothing: release all and send before this. Must be the last call for this object. */
BUNRAKU_CLIENT_API void bunraku_wanted_free(bunraku_wanted *wanted);

/* Hold a control: degrees for poses and gaze, otherwise 0 to 1; the producer clamps. */
BUNRAKU_CLIENT_API int32_t bunraku_wanted_hold(bunraku_wanted *wanted, const char *control, float value);

/* Give a control back to the other drivers. One that is not held changes nothing. */
BUNRAKU_CLIENT_API int32_t bunraku_wanted_release(bunraku_wanted *wanted, const char *control);

/* Release all controls; identity, mix, truncation and expression stay. */
BUNRAKU_CLIENT_API int32_t bunraku_wanted_release_all(bunraku_wanted *wanted);

/* Become an identity by name, or by a seed of 0 or more where the character has a mapping network. */
BUNRAKU_CLIENT_API int32_t bunraku_wanted_become(bunraku_wanted *wanted, const char *identity);
BUNRAKU_CLIENT_API int32_t bunraku_wanted_become_seed(bunraku_wanted *wanted, int64_t seed);

/* Stop sending an identity; the producer keeps the current one. */
BUNRAKU_CLIENT_API int32_t bunraku_wanted_leave_identity(bunraku_wanted *wanted);

/* Mix in a second identity; amount: 0 is all the first, 1 is all this one. */
BUNRAKU_CLIENT_API int32_t bunraku_wanted_mix(bunraku_wanted *wanted, const char *identity, float amount);
BUNRAKU_CLIENT_API int32_t bunraku_wanted_mix_seed(bunraku_wanted *wanted, int64_t seed, float amount);
BUNRAKU_CLIENT_API int32_t bunraku_wanted_end_mix(bunraku_wanted *wanted);

/* Truncation of people drawn from seeds, 0 to 1; less draws more ordinary ones. */
BUNRAKU_CLIENT_API int32_t bunraku_wanted_truncate(bunraku_wanted *wanted, float psi);
BUNRAKU_CLIENT_API int32_t bunraku_wanted_leave_truncation(bunraku_wanted *wanted);

/* Fade to a named expression; the empty name fades to none. */
BUNRAKU_CLIENT_API int32_t bunraku_wanted_express(bunraku_wanted *wanted, const char *expression);
BUNRAKU_CLIENT_API int32_t bunraku_wanted_leave_expression(bunraku_wanted *wanted);

/* Take the present pose of a tracker as the neutral one: an event, sent with the next state only. */
BUNRAKU_CLIENT_API int32_t bunraku_wanted_calibrate(bunraku_wanted *wanted);

/* Let the next bunraku_send_wanted() send everything, changed or not, if a verb ever changed anything. */
BUNRAKU_CLIENT_API int32_t bunraku_wanted_repeat(bunraku_wanted *wanted);

/*
 * Send what is wanted as bunraku_send_control() does, if it changed since it was last sent, or if this client was not
 * sent it before; nothing is sent before the first verb. Returns BUNRAKU_OK also if there was nothing to send. After an
 * error it is not tried again before the next change.
 * control_id: NULL, or where the number of the state goes; left alone if nothing was sent.
 */
BUNRAKU_CLIENT_API int32_t bunraku_send_wanted(bunraku_client *client, bunraku_wanted *wanted, uint64_t *control_id);

/* Ask for the last frame to be sent again, for example after a texture was lost. */
BUNRAKU_CLIENT_API int32_t bunraku_request_last(bunraku_client *client);

/*
 * Read a client's key file (written by "bunraku keys add") into three buffers of 41 bytes each.
 * BUNRAKU_NOT_FOUND if it cannot be read, BUNRAKU_BAD_KEY if it is none; why as in bunraku_open.
 */
BUNRAKU_CLIENT_API int32_t bunraku_read_key_file(
    const char *path, char *server_key, char *public_key, char *secret_key, char *why, size_t why_bytes);

#ifdef __cplusplus
}
#endif

#endif /* BUNRAKU_CLIENT_H */

/* Takes the frames of a running character in plain C and prints one line for each. */
#include <stdio.h>
#include <stdlib.h>

#include "bunraku/client.h"

#if defined(_WIN32)
#include <windows.h>
static void rest(void) { Sleep(5); }
#else
#include <time.h>
static void rest(void) {
    const struct timespec five_ms = {0, 5000000};
    nanosleep(&five_ms, NULL);
}
#endif

static double milliseconds(int64_t nanoseconds) { return (double)nanoseconds / 1e6; }

/* Usage: frames [ENDPOINT [COUNT]]; without an endpoint the first stream of this machine. Gives up after 10 seconds
   without a frame. */
int main(int count, char **arguments) {
    const char *states[] = {"lost", "live", "stale", "error", "incompatible"};
    const char *encodings[] = {"", "raw", "lz4", "", "jpeg", "", "", "", "shm"};
    const int wanted = count > 2 ? atoi(arguments[2]) : 100;
    const int64_t patience_ns = INT64_C(10000000000);
    bunraku_options options = {0};
    bunraku_client *client = NULL;
    bunraku_frame frame = {0};
    bunraku_status status = {0};
    char why[512];
    int shown = 0;
    int64_t last_ns = 0;

    options.struct_size = sizeof options;
    options.endpoint = count > 1 ? arguments[1] : "";
    options.client_name = "frames.c";
    if (bunraku_open(&options, &client, why, sizeof why) != BUNRAKU_OK) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    frame.struct_size = sizeof frame;
    status.struct_size = sizeof status;
    last_ns = bunraku_now_ns();
    while (shown < wanted && bunraku_now_ns() - last_ns < patience_ns) {
        if (bunraku_acquire(client, &frame) == BUNRAKU_NEW_FRAME) {
            const uint8_t *middle =
                frame.pixels + (size_t)frame.stride * (frame.height / 2) + (size_t)4 * (frame.width / 2);
            printf("%s frame %llu, %ux%u as %s, %.1f ms old, pixel in the middle %u %u %u %u\n", frame.stream,
                   (unsigned long long)frame.frame_id, frame.width, frame.height, encodings[frame.encoding],
                   milliseconds(frame.age_ns), middle[0], middle[1], middle[2], middle[3]);
            bunraku_release(client, frame.lease);
            last_ns = bunraku_now_ns();
            ++shown;
        }
        rest();
    }
    bunraku_get_status(client, &status);
    printf("%s: %llu shown, %llu skipped, %llu missed, age when taken %.1f ms (p99 %.1f)\n", states[status.state],
           (unsigned long long)status.shown, (unsigned long long)status.skipped, (unsigned long long)status.missed,
           status.age_take_ms_p50, status.age_take_ms_p99);
    if (shown < wanted) {
        fprintf(stderr, "No frame for ten seconds. %s\n", status.last_error);
    }
    bunraku_close(client);
    return shown < wanted ? 1 : 0;
}

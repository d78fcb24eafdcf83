/* The headers are plain C, and every function can be called from it. */
#include <stdio.h>

#include "bunraku/client.h"
#include "bunraku/unity.h"

int main(void) {
    bunraku_options options = {0};
    bunraku_client *client = NULL;
    char why[512];
    options.struct_size = sizeof options;
    options.endpoint = "nonsense";
    if (bunraku_abi_version() != BUNRAKU_ABI_VERSION) {
        return 1;
    }
    if (bunraku_open(&options, &client, why, sizeof why) != BUNRAKU_BAD_ENDPOINT || client != NULL) {
        return 2;
    }
    bunraku_wanted *wanted = bunraku_wanted_new();
    if (bunraku_wanted_hold(wanted, "jawOpen", 0.5f) != BUNRAKU_OK ||
        bunraku_send_wanted(client, wanted, NULL) != BUNRAKU_BAD_ARGUMENT) {
        return 4;
    }
    bunraku_wanted_free(wanted);
    puts(bunraku_version());
    puts(why);
    return bunraku_unity_texture_callback() == NULL ? 3 : 0;
}

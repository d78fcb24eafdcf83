/* Where Godot enters: bunraku.gdextension names bunraku_extension_init. */
#include "native_receiver.h"

#include <bunraku/client.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

static GDExtensionClassLibraryPtr library;

static void initialize(void *userdata, GDExtensionInitializationLevel level) {
    (void)userdata;
    if (level == GDEXTENSION_INITIALIZATION_SCENE) {
        native_receiver_register(library);
    }
}

static void deinitialize(void *userdata, GDExtensionInitializationLevel level) {
    (void)userdata;
    if (level == GDEXTENSION_INITIALIZATION_SCENE) {
        native_receiver_unregister(library);
    }
}

EXPORT GDExtensionBool bunraku_extension_init(GDExtensionInterfaceGetProcAddress get_proc_address,
                                              GDExtensionClassLibraryPtr own_library,
                                              GDExtensionInitialization *initialization);

GDExtensionBool bunraku_extension_init(GDExtensionInterfaceGetProcAddress get_proc_address,
                                       GDExtensionClassLibraryPtr own_library,
                                       GDExtensionInitialization *initialization) {
    if (!godot_api_load(get_proc_address)) {
        return false;
    }
    if (bunraku_abi_version() != BUNRAKU_ABI_VERSION) {
        report_error("Bunraku: libbunraku_client beside this extension is of another release. Build both again.");
        return false;
    }
    library = own_library;
    initialization->minimum_initialization_level = GDEXTENSION_INITIALIZATION_SCENE;
    initialization->userdata = NULL;
    initialization->initialize = initialize;
    initialization->deinitialize = deinitialize;
    return true;
}

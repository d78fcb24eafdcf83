#include "native_receiver.h"

#include <bunraku/client.h>
#include <stdlib.h>
#include <string.h>

#include "class_binding.h"
#include "verbs.h"

#define CLASS_NAME "BunrakuNativeReceiver"

enum { IMAGE_FORMAT_RGBA8 = 5 }; /* extension_api.json: Image.Format */

/* One node. Everything happens on Godot's main thread; the client's own thread is behind the C ABI. */
struct receiver {
    GDExtensionObjectPtr object;
    bunraku_client *client; /* NULL while the node is outside the tree, or nothing can be opened */
    bool in_tree;

    char endpoint[TEXT_BYTES];
    char stream[TEXT_BYTES];
    char control_endpoint[TEXT_BYTES];
    char key_file[TEXT_BYTES]; /* "" for no encryption */
    char last_error[512];

    variant texture; /* ImageTexture, the same one for the node's whole life */
    variant image;   /* Image, what the texture is filled from */
    /*
     * The image keeps a share of the array that it was given last. Two taking turns, the one that is written to
     * belongs to nobody else, and Godot copies nothing behind our back.
     */
    packed_byte_array bytes[2];
    int turn;
    uint32_t width;
    uint32_t height;
    uint32_t state;
    uint64_t frame_id;
    double latency_ms;
    double motion_to_photon_ms;

    bunraku_wanted *wanted; /* of the character, for the node's whole life */
};

static void set_text(char *where, const char *text) {
    size_t length = strlen(text);
    length = length < TEXT_BYTES ? length : TEXT_BYTES - 1;
    memcpy(where, text, length);
    where[length] = '\0';
}

static void emit(receiver *self, const char *signal, const variant *first, const variant *second) {
    variant object = variant_of_object(self->object);
    variant name = variant_of_text(signal);
    const variant *arguments[] = {&name, first, second};
    call_method(&object, "emit_signal", arguments, second != NULL ? 3 : 2);
    godot.variant_destroy(&name);
    godot.variant_destroy(&object);
}

static void set_state(receiver *self, uint32_t state) {
    if (state != self->state) {
        self->state = state;
        variant told = variant_of_int(state);
        emit(self, "state_changed", &told, NULL);
        godot.variant_destroy(&told);
    }
}

static void close_client(receiver *self) {
    bunraku_close(self->client);
    self->client = NULL;
}

static bool in_editor(void) {
    string_name name;
    godot.string_name_new(&name, "Engine", false);
    GDExtensionObjectPtr engine = godot.get_singleton(&name);
    godot.destroy_string_name(&name);
    if (engine == NULL) {
        return false;
    }
    variant object = variant_of_object(engine);
    bool answer = ask_method(&object, "is_editor_hint");
    godot.variant_destroy(&object);
    return answer;
}

static void open_client(receiver *self) {
    close_client(self);
    self->last_error[0] = '\0';
    if (!self->in_tree || in_editor()) {
        return;
    }
    bunraku_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.pixel_format = BUNRAKU_RGBA8;
    options.endpoint = self->endpoint;
    options.stream = self->stream;
    options.control_endpoint = self->control_endpoint[0] != '\0' ? self->control_endpoint : NULL;
    options.client_name = "godot";
    char keys[3][41]; /* the producer's public key, our public and our secret one */
    if (self->key_file[0] != '\0') {
        int32_t read = bunraku_read_key_file(
            self->key_file, keys[0], keys[1], keys[2], self->last_error, sizeof self->last_error);
        if (read != BUNRAKU_OK) {
            report_error(self->last_error);
            set_state(self, BUNRAKU_ERROR);
            return;
        }
        options.curve_server_key = keys[0];
        options.curve_public_key = keys[1];
        options.curve_secret_key = keys[2];
    }
    if (bunraku_open(&options, &self->client, self->last_error, sizeof self->last_error) != BUNRAKU_OK) {
        self->client = NULL;
        report_error(self->last_error);
        set_state(self, BUNRAKU_ERROR);
    }
}

static void upload(receiver *self, const bunraku_frame *frame) {
    packed_byte_array *bytes = &self->bytes[self->turn];
    self->turn = 1 - self->turn;
    size_t row = (size_t)frame->width * 4;
    uint8_t *pixels = bytes_resize(bytes, (int64_t)(row * frame->height));
    if (pixels == NULL) {
        return;
    }
    if (frame->stride == row) {
        memcpy(pixels, frame->pixels, row * frame->height);
    } else {
        for (uint32_t y = 0; y < frame->height; y++) {
            memcpy(pixels + row * y, frame->pixels + (size_t)frame->stride * y, row);
        }
    }
    variant width = variant_of_int(frame->width);
    variant height = variant_of_int(frame->height);
    variant mipmaps = variant_of_bool(false);
    variant format = variant_of_int(IMAGE_FORMAT_RGBA8);
    variant data;
    godot.from_bytes(&data, bytes);
    const variant *arguments[] = {&width, &height, &mipmaps, &format, &data};
    const variant *image[] = {&self->image};
    bool same_size = frame->width == self->width && frame->height == self->height;
    if (call_method(&self->image, "set_data", arguments, 5)) {
        call_method(&self->texture, same_size ? "update" : "set_image", image, 1);
    }
    godot.variant_destroy(&data);
    if (!same_size) {
        self->width = frame->width;
        self->height = frame->height;
        emit(self, "size_changed", &width, &height);
    }
    godot.variant_destroy(&format);
    godot.variant_destroy(&mipmaps);
    godot.variant_destroy(&height);
    godot.variant_destroy(&width);
}

static void process(GDExtensionClassInstancePtr instance, const GDExtensionConstTypePtr *arguments,
                    GDExtensionTypePtr returned) {
    (void)arguments;
    (void)returned;
    receiver *self = instance;
    if (self->client == NULL) {
        return;
    }
    bunraku_frame frame;
    frame.struct_size = sizeof frame;
    if (bunraku_acquire(self->client, &frame) == BUNRAKU_NEW_FRAME) {
        upload(self, &frame);
        self->frame_id = frame.frame_id;
        self->latency_ms = (double)frame.age_ns / 1e6;
        bunraku_release(self->client, frame.lease);
    }
    bunraku_status status;
    status.struct_size = sizeof status;
    if (bunraku_get_status(self->client, &status) == BUNRAKU_OK) {
        self->motion_to_photon_ms = status.motion_to_photon_ms_p50;
        memcpy(self->last_error, status.last_error, sizeof status.last_error);
        set_state(self, status.state);
    }
    /* A signal may have ended in set_endpoint(), and with it this client. */
    if (self->client != NULL) {
        int32_t sent = bunraku_send_wanted(self->client, self->wanted, NULL);
        if (sent < 0) {
            report_error(bunraku_result_text(sent));
        }
    }
}

bunraku_wanted *native_receiver_wanted(receiver *self) { return self->wanted; }

static void enter_tree(GDExtensionClassInstancePtr instance, const GDExtensionConstTypePtr *arguments,
                       GDExtensionTypePtr returned) {
    (void)arguments;
    (void)returned;
    receiver *self = instance;
    self->in_tree = true;
    open_client(self);
}

static void exit_tree(GDExtensionClassInstancePtr instance, const GDExtensionConstTypePtr *arguments,
                      GDExtensionTypePtr returned) {
    (void)arguments;
    (void)returned;
    receiver *self = instance;
    self->in_tree = false;
    close_client(self);
    set_state(self, BUNRAKU_LOST);
}

/* Methods, as scripts see them. */

static void set_endpoint(receiver *self, const value *arguments, value *returned) {
    (void)returned;
    set_text(self->endpoint, arguments[0].text);
    open_client(self);
}

static void get_endpoint(receiver *self, const value *arguments, value *returned) {
    (void)arguments;
    set_text(returned->text, self->endpoint);
}

static void set_stream(receiver *self, const value *arguments, value *returned) {
    (void)returned;
    set_text(self->stream, arguments[0].text);
    open_client(self);
}

static void get_stream(receiver *self, const value *arguments, value *returned) {
    (void)arguments;
    set_text(returned->text, self->stream);
}

static void set_control_endpoint(receiver *self, const value *arguments, value *returned) {
    (void)returned;
    set_text(self->control_endpoint, arguments[0].text);
    open_client(self);
}

static void get_control_endpoint(receiver *self, const value *arguments, value *returned) {
    (void)arguments;
    set_text(returned->text, self->control_endpoint);
}

static void set_key_file(receiver *self, const value *arguments, value *returned) {
    (void)returned;
    set_text(self->key_file, arguments[0].text);
    open_client(self);
}

static void get_key_file(receiver *self, const value *arguments, value *returned) {
    (void)arguments;
    set_text(returned->text, self->key_file);
}

static void get_texture(receiver *self, const value *arguments, value *returned) {
    (void)arguments;
    returned->object = &self->texture;
}

static void get_state(receiver *self, const value *arguments, value *returned) {
    (void)arguments;
    returned->integer = self->state;
}

static void get_state_name(receiver *self, const value *arguments, value *returned) {
    static const char *const names[] = {"lost", "live", "stale", "error", "incompatible"};
    (void)arguments;
    set_text(returned->text, self->state < sizeof names / sizeof *names ? names[self->state] : "error");
}

static void get_last_error(receiver *self, const value *arguments, value *returned) {
    (void)arguments;
    set_text(returned->text, self->last_error);
}

static void get_frame_id(receiver *self, const value *arguments, value *returned) {
    (void)arguments;
    returned->integer = (int64_t)self->frame_id;
}

static void get_latency_ms(receiver *self, const value *arguments, value *returned) {
    (void)arguments;
    returned->real = self->latency_ms;
}

static void get_motion_to_photon_ms(receiver *self, const value *arguments, value *returned) {
    (void)arguments;
    returned->real = self->motion_to_photon_ms;
}

static void request_last_frame(receiver *self, const value *arguments, value *returned) {
    (void)arguments;
    (void)returned;
    if (self->client != NULL) {
        bunraku_request_last(self->client);
    }
}

static method methods[] = {
    {"set_endpoint", set_endpoint, NOTHING, 1, {TEXT}, {"endpoint"}},
    {"get_endpoint", get_endpoint, TEXT, 0, {NOTHING}, {NULL}},
    {"set_stream", set_stream, NOTHING, 1, {TEXT}, {"stream"}},
    {"get_stream", get_stream, TEXT, 0, {NOTHING}, {NULL}},
    {"set_control_endpoint", set_control_endpoint, NOTHING, 1, {TEXT}, {"endpoint"}},
    {"get_control_endpoint", get_control_endpoint, TEXT, 0, {NOTHING}, {NULL}},
    {"set_key_file", set_key_file, NOTHING, 1, {TEXT}, {"path"}},
    {"get_key_file", get_key_file, TEXT, 0, {NOTHING}, {NULL}},
    {"get_texture", get_texture, OBJECT, 0, {NOTHING}, {NULL}},
    {"get_state", get_state, INTEGER, 0, {NOTHING}, {NULL}},
    {"get_state_name", get_state_name, TEXT, 0, {NOTHING}, {NULL}},
    {"get_last_error", get_last_error, TEXT, 0, {NOTHING}, {NULL}},
    {"get_frame_id", get_frame_id, INTEGER, 0, {NOTHING}, {NULL}},
    {"get_latency_ms", get_latency_ms, REAL, 0, {NOTHING}, {NULL}},
    {"get_motion_to_photon_ms", get_motion_to_photon_ms, REAL, 0, {NOTHING}, {NULL}},
    {"request_last_frame", request_last_frame, NOTHING, 0, {NOTHING}, {NULL}},
};

/* The class. */

static GDExtensionObjectPtr create(void *userdata) {
    (void)userdata;
    string_name parent;
    string_name name;
    receiver *self = calloc(1, sizeof *self);
    bunraku_wanted *wanted = bunraku_wanted_new();
    if (self == NULL || wanted == NULL) {
        bunraku_wanted_free(wanted);
        free(self);
        return NULL;
    }
    godot.string_name_new(&parent, "Node", false);
    godot.string_name_new(&name, CLASS_NAME, false);
    self->object = godot.construct_object(&parent);
    self->wanted = wanted;
    set_text(self->endpoint, "tcp://127.0.0.1:5760");
    self->texture = variant_of_new("ImageTexture");
    self->image = variant_of_new("Image");
    godot.new_bytes(&self->bytes[0], NULL);
    godot.new_bytes(&self->bytes[1], NULL);
    godot.set_instance(self->object, &name, self);
    godot.destroy_string_name(&name);
    godot.destroy_string_name(&parent);
    return self->object;
}

static void destroy(void *userdata, GDExtensionClassInstancePtr instance) {
    (void)userdata;
    receiver *self = instance;
    close_client(self);
    bunraku_wanted_free(self->wanted);
    godot.destroy_bytes(&self->bytes[0]);
    godot.destroy_bytes(&self->bytes[1]);
    godot.variant_destroy(&self->image);
    godot.variant_destroy(&self->texture);
    free(self);
}

static GDExtensionClassCallVirtual find_virtual(void *userdata, GDExtensionConstStringNamePtr name) {
    (void)userdata;
    if (name_is(name, "_process")) {
        return process;
    }
    if (name_is(name, "_enter_tree")) {
        return enter_tree;
    }
    return name_is(name, "_exit_tree") ? exit_tree : NULL;
}

void native_receiver_register(GDExtensionClassLibraryPtr library) {
    string_name name;
    string_name parent;
    GDExtensionClassCreationInfo2 info;
    memset(&info, 0, sizeof info);
    info.is_exposed = true;
    info.create_instance_func = create;
    info.free_instance_func = destroy;
    info.get_virtual_func = find_virtual;
    godot.string_name_new(&name, CLASS_NAME, false);
    godot.string_name_new(&parent, "Node", false);
    godot.register_class(library, &name, &parent, &info);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        bind_method(library, &name, &methods[i]);
    }
    for (size_t i = 0; i < verb_count; i++) {
        bind_method(library, &name, &verbs[i]);
    }
    bind_property(library, &name, TEXT, "endpoint", "set_endpoint", "get_endpoint");
    bind_property(library, &name, TEXT, "stream", "set_stream", "get_stream");
    bind_property(library, &name, TEXT, "control_endpoint", "set_control_endpoint", "get_control_endpoint");
    bind_property(library, &name, TEXT, "key_file", "set_key_file", "get_key_file");
    bind_property(library, &name, OBJECT, "texture", "", "get_texture");
    bind_property(library, &name, INTEGER, "state", "", "get_state");
    bind_property(library, &name, INTEGER, "frame_id", "", "get_frame_id");
    bind_property(library, &name, REAL, "latency_ms", "", "get_latency_ms");
    bind_signal(library, &name, "state_changed", "state", NULL);
    bind_signal(library, &name, "size_changed", "width", "height");
    godot.destroy_string_name(&parent);
    godot.destroy_string_name(&name);
}

void native_receiver_unregister(GDExtensionClassLibraryPtr library) {
    string_name name;
    godot.string_name_new(&name, CLASS_NAME, false);
    godot.unregister_class(library, &name);
    godot.destroy_string_name(&name);
}

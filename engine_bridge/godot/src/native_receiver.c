#include "native_receiver.h"

#include <bunraku/client.h>
#include <stdlib.h>
#include <string.h>

#define CLASS_NAME "BunrakuNativeReceiver"
#define TEXT_BYTES 256
#define MAX_ARGUMENTS 2

enum {
    PROPERTY_USAGE_DEFAULT = 6, /* stored and shown in the inspector; extension_api.json: PropertyUsageFlags */
    IMAGE_FORMAT_RGBA8 = 5      /* extension_api.json: Image.Format */
};

typedef struct held_control {
    char name[BUNRAKU_NAME_BYTES];
    float value;
} held_control;

/* One node. Everything happens on Godot's main thread; the client's own thread is behind the C ABI. */
typedef struct receiver {
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

    held_control controls[BUNRAKU_MAX_CONTROLS];
    uint32_t control_count;
    char identity[TEXT_BYTES]; /* "" for none */
    int64_t seed;              /* below 0 for none */
    char expression[TEXT_BYTES];
    bool has_expression;
    bool calibrate;
    bool has_changed; /* something of the above since it was sent */
} receiver;

/* An argument or a return value on its way between Godot's kinds of values and C. */
typedef union value {
    bool boolean;
    int64_t integer;
    double real;
    char text[TEXT_BYTES];
} value;

typedef void (*method_body)(receiver *self, const value *arguments, value *returned);

typedef struct method {
    const char *name;
    method_body body;
    GDExtensionVariantType returns; /* NIL for nothing */
    int argument_count;
    GDExtensionVariantType argument_types[MAX_ARGUMENTS];
    const char *argument_names[MAX_ARGUMENTS];
} method;

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
        return;
    }
    self->has_changed = true; /* a new connection is told what is wanted */
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

static void send_wanted(receiver *self) {
    bunraku_control controls[BUNRAKU_MAX_CONTROLS];
    bunraku_control_state state;
    memset(&state, 0, sizeof state);
    for (uint32_t i = 0; i < self->control_count; i++) {
        controls[i] = (bunraku_control){self->controls[i].name, self->controls[i].value, 0};
    }
    state.struct_size = sizeof state;
    state.controls = controls;
    state.control_count = self->control_count;
    state.identity = self->identity[0] != '\0' ? self->identity : NULL;
    state.seed = self->seed;
    state.mix_seed = -1;
    state.truncation_psi = -1.0f;
    state.expression = self->has_expression ? self->expression : NULL;
    state.calibrate = self->calibrate;
    int32_t result = bunraku_send_control(self->client, &state, NULL);
    if (result < 0) {
        report_error(bunraku_result_text(result));
    }
    self->calibrate = false;
    self->has_changed = false;
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
    if (self->has_changed && self->client != NULL) {
        send_wanted(self);
    }
}

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

static void hold(receiver *self, const value *arguments, value *returned) {
    (void)returned;
    char name[BUNRAKU_NAME_BYTES] = {0};
    strncpy(name, arguments[0].text, sizeof name - 1);
    uint32_t i = 0;
    while (i < self->control_count && strcmp(self->controls[i].name, name) != 0) {
        i++;
    }
    if (i == BUNRAKU_MAX_CONTROLS) {
        report_error("Bunraku: more than 256 controls are held; release some first");
        return;
    }
    if (i == self->control_count) {
        memcpy(self->controls[i].name, name, sizeof name);
        self->control_count++;
    }
    self->controls[i].value = (float)arguments[1].real;
    self->has_changed = true;
}

static void release(receiver *self, const value *arguments, value *returned) {
    (void)returned;
    for (uint32_t i = 0; i < self->control_count; i++) {
        if (strcmp(self->controls[i].name, arguments[0].text) == 0) {
            self->controls[i] = self->controls[--self->control_count];
            self->has_changed = true;
            return;
        }
    }
}

static void release_all(receiver *self, const value *arguments, value *returned) {
    (void)arguments;
    (void)returned;
    self->has_changed = self->has_changed || self->control_count > 0;
    self->control_count = 0;
}

static void express(receiver *self, const value *arguments, value *returned) {
    (void)returned;
    set_text(self->expression, arguments[0].text);
    self->has_expression = true;
    self->has_changed = true;
}

static void become(receiver *self, const value *arguments, value *returned) {
    (void)returned;
    set_text(self->identity, arguments[0].text);
    self->seed = -1;
    self->has_changed = true;
}

static void become_seed(receiver *self, const value *arguments, value *returned) {
    (void)returned;
    self->identity[0] = '\0';
    self->seed = arguments[0].integer;
    self->has_changed = true;
}

static void calibrate(receiver *self, const value *arguments, value *returned) {
    (void)arguments;
    (void)returned;
    self->calibrate = true;
    self->has_changed = true;
}

static void request_last_frame(receiver *self, const value *arguments, value *returned) {
    (void)arguments;
    (void)returned;
    if (self->client != NULL) {
        bunraku_request_last(self->client);
    }
}

#define NOTHING GDEXTENSION_VARIANT_TYPE_NIL
#define TEXT GDEXTENSION_VARIANT_TYPE_STRING
#define INTEGER GDEXTENSION_VARIANT_TYPE_INT
#define REAL GDEXTENSION_VARIANT_TYPE_FLOAT
#define OBJECT GDEXTENSION_VARIANT_TYPE_OBJECT

static method methods[] = {
    {"set_endpoint", set_endpoint, NOTHING, 1, {TEXT}, {"endpoint"}},
    {"get_endpoint", get_endpoint, TEXT, 0, {NOTHING}, {NULL}},
    {"set_stream", set_stream, NOTHING, 1, {TEXT}, {"stream"}},
    {"get_stream", get_stream, TEXT, 0, {NOTHING}, {NULL}},
    {"set_control_endpoint", set_control_endpoint, NOTHING, 1, {TEXT}, {"endpoint"}},
    {"get_control_endpoint", get_control_endpoint, TEXT, 0, {NOTHING}, {NULL}},
    {"set_key_file", set_key_file, NOTHING, 1, {TEXT}, {"path"}},
    {"get_key_file", get_key_file, TEXT, 0, {NOTHING}, {NULL}},
    {"get_texture", NULL, OBJECT, 0, {NOTHING}, {NULL}}, /* answered by the callers below: it is no plain value */
    {"get_state", get_state, INTEGER, 0, {NOTHING}, {NULL}},
    {"get_state_name", get_state_name, TEXT, 0, {NOTHING}, {NULL}},
    {"get_last_error", get_last_error, TEXT, 0, {NOTHING}, {NULL}},
    {"get_frame_id", get_frame_id, INTEGER, 0, {NOTHING}, {NULL}},
    {"get_latency_ms", get_latency_ms, REAL, 0, {NOTHING}, {NULL}},
    {"get_motion_to_photon_ms", get_motion_to_photon_ms, REAL, 0, {NOTHING}, {NULL}},
    {"hold", hold, NOTHING, 2, {TEXT, REAL}, {"control", "value"}},
    {"release", release, NOTHING, 1, {TEXT}, {"control"}},
    {"release_all", release_all, NOTHING, 0, {NOTHING}, {NULL}},
    {"express", express, NOTHING, 1, {TEXT}, {"expression"}},
    {"become", become, NOTHING, 1, {TEXT}, {"identity"}},
    {"become_seed", become_seed, NOTHING, 1, {INTEGER}, {"seed"}},
    {"calibrate", calibrate, NOTHING, 0, {NOTHING}, {NULL}},
    {"request_last_frame", request_last_frame, NOTHING, 0, {NOTHING}, {NULL}},
};

static void value_of_variant(GDExtensionVariantType type, GDExtensionConstVariantPtr from, value *to) {
    GDExtensionVariantPtr source = (GDExtensionVariantPtr)from; /* Godot's signature lacks a const; it only reads */
    if (type == TEXT) {
        uint64_t string;
        godot.to_string(&string, source);
        text_of_string(&string, to->text, sizeof to->text);
        godot.destroy_string(&string);
    } else if (type == INTEGER) {
        godot.to_int(&to->integer, source);
    } else {
        godot.to_float(&to->real, source);
    }
}

static void call_from_script(void *userdata, GDExtensionClassInstancePtr instance,
                             const GDExtensionConstVariantPtr *arguments, GDExtensionInt count,
                             GDExtensionVariantPtr returned, GDExtensionCallError *error) {
    const method *called = userdata;
    receiver *self = instance;
    value values[MAX_ARGUMENTS];
    value result;
    error->error = GDEXTENSION_CALL_OK;
    if (count != called->argument_count) {
        error->error = count < called->argument_count ? GDEXTENSION_CALL_ERROR_TOO_FEW_ARGUMENTS
                                                      : GDEXTENSION_CALL_ERROR_TOO_MANY_ARGUMENTS;
        error->expected = called->argument_count;
        return;
    }
    if (called->returns == OBJECT) {
        godot.variant_destroy(returned);
        godot.variant_new_copy(returned, &self->texture);
        return;
    }
    for (int i = 0; i < called->argument_count; i++) {
        value_of_variant(called->argument_types[i], arguments[i], &values[i]);
    }
    called->body(self, values, &result);
    if (called->returns == NOTHING) {
        return;
    }
    godot.variant_destroy(returned);
    if (called->returns == TEXT) {
        variant text = variant_of_text(result.text);
        godot.variant_new_copy(returned, &text);
        godot.variant_destroy(&text);
    } else if (called->returns == INTEGER) {
        godot.from_int(returned, &result.integer);
    } else {
        godot.from_float(returned, &result.real);
    }
}

static void call_by_pointers(void *userdata, GDExtensionClassInstancePtr instance,
                             const GDExtensionConstTypePtr *arguments, GDExtensionTypePtr returned) {
    const method *called = userdata;
    receiver *self = instance;
    value values[MAX_ARGUMENTS];
    value result;
    if (called->returns == OBJECT) {
        variant object;
        godot.variant_new_copy(&object, &self->texture);
        call_method(&object, "reference", NULL, 0); /* what is returned this way carries a share of its own */
        godot.to_object(returned, &object);
        godot.variant_destroy(&object);
        return;
    }
    for (int i = 0; i < called->argument_count; i++) {
        if (called->argument_types[i] == TEXT) {
            text_of_string(arguments[i], values[i].text, sizeof values[i].text);
        } else if (called->argument_types[i] == INTEGER) {
            values[i].integer = *(const int64_t *)arguments[i];
        } else {
            values[i].real = *(const double *)arguments[i];
        }
    }
    called->body(self, values, &result);
    if (called->returns == TEXT) {
        godot.destroy_string(returned);
        godot.string_new(returned, result.text);
    } else if (called->returns == INTEGER) {
        *(int64_t *)returned = result.integer;
    } else if (called->returns == REAL) {
        *(double *)returned = result.real;
    }
}

/* The class. */

static GDExtensionObjectPtr create(void *userdata) {
    (void)userdata;
    string_name parent;
    string_name name;
    receiver *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    godot.string_name_new(&parent, "Node", false);
    godot.string_name_new(&name, CLASS_NAME, false);
    self->object = godot.construct_object(&parent);
    set_text(self->endpoint, "tcp://127.0.0.1:5760");
    self->seed = -1;
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

/* A property's or argument's description; its names and hint are freed by forget(). */
typedef struct description {
    GDExtensionPropertyInfo info;
    string_name name;
    string_name class_name;
    uint64_t hint;
} description;

static void describe(description *about, GDExtensionVariantType type, const char *name) {
    godot.string_name_new(&about->name, name, false);
    godot.string_name_new(&about->class_name, type == OBJECT ? "ImageTexture" : "", false);
    godot.string_new(&about->hint, "");
    about->info.type = type;
    about->info.name = &about->name;
    about->info.class_name = &about->class_name;
    about->info.hint = 0;
    about->info.hint_string = &about->hint;
    about->info.usage = PROPERTY_USAGE_DEFAULT;
}

static void forget(description *about) {
    godot.destroy_string_name(&about->name);
    godot.destroy_string_name(&about->class_name);
    godot.destroy_string(&about->hint);
}

static void register_method(GDExtensionClassLibraryPtr library, const string_name *class_name, method *which) {
    description returned;
    description arguments[MAX_ARGUMENTS];
    GDExtensionPropertyInfo infos[MAX_ARGUMENTS];
    GDExtensionClassMethodArgumentMetadata metadata[MAX_ARGUMENTS];
    string_name name;
    GDExtensionClassMethodInfo info;
    memset(&info, 0, sizeof info);
    godot.string_name_new(&name, which->name, false);
    describe(&returned, which->returns, "");
    for (int i = 0; i < which->argument_count; i++) {
        describe(&arguments[i], which->argument_types[i], which->argument_names[i]);
        infos[i] = arguments[i].info;
        metadata[i] = GDEXTENSION_METHOD_ARGUMENT_METADATA_NONE;
    }
    info.name = &name;
    info.method_userdata = which;
    info.call_func = call_from_script;
    info.ptrcall_func = call_by_pointers;
    info.method_flags = GDEXTENSION_METHOD_FLAGS_DEFAULT;
    info.has_return_value = which->returns != NOTHING;
    info.return_value_info = &returned.info;
    info.return_value_metadata = GDEXTENSION_METHOD_ARGUMENT_METADATA_NONE;
    info.argument_count = (uint32_t)which->argument_count;
    info.arguments_info = infos;
    info.arguments_metadata = metadata;
    godot.register_method(library, class_name, &info);
    for (int i = 0; i < which->argument_count; i++) {
        forget(&arguments[i]);
    }
    forget(&returned);
    godot.destroy_string_name(&name);
}

static void register_property(GDExtensionClassLibraryPtr library, const string_name *class_name,
                              GDExtensionVariantType type, const char *name, const char *setter, const char *getter) {
    description about;
    string_name set;
    string_name get;
    describe(&about, type, name);
    if (setter[0] == '\0') {
        about.info.usage = 0; /* for scripts only: it tells something and is neither stored nor edited */
    }
    godot.string_name_new(&set, setter, false);
    godot.string_name_new(&get, getter, false);
    godot.register_property(library, class_name, &about.info, &set, &get);
    godot.destroy_string_name(&get);
    godot.destroy_string_name(&set);
    forget(&about);
}

static void register_signal(GDExtensionClassLibraryPtr library, const string_name *class_name, const char *name,
                            const char *first, const char *second) {
    description arguments[2];
    GDExtensionPropertyInfo infos[2];
    string_name signal;
    int count = second != NULL ? 2 : 1;
    describe(&arguments[0], INTEGER, first);
    infos[0] = arguments[0].info;
    if (second != NULL) {
        describe(&arguments[1], INTEGER, second);
        infos[1] = arguments[1].info;
    }
    godot.string_name_new(&signal, name, false);
    godot.register_signal(library, class_name, &signal, infos, count);
    godot.destroy_string_name(&signal);
    for (int i = 0; i < count; i++) {
        forget(&arguments[i]);
    }
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
        register_method(library, &name, &methods[i]);
    }
    register_property(library, &name, TEXT, "endpoint", "set_endpoint", "get_endpoint");
    register_property(library, &name, TEXT, "stream", "set_stream", "get_stream");
    register_property(library, &name, TEXT, "control_endpoint", "set_control_endpoint", "get_control_endpoint");
    register_property(library, &name, TEXT, "key_file", "set_key_file", "get_key_file");
    register_property(library, &name, OBJECT, "texture", "", "get_texture");
    register_property(library, &name, INTEGER, "state", "", "get_state");
    register_property(library, &name, INTEGER, "frame_id", "", "get_frame_id");
    register_property(library, &name, REAL, "latency_ms", "", "get_latency_ms");
    register_signal(library, &name, "state_changed", "state", NULL);
    register_signal(library, &name, "size_changed", "width", "height");
    godot.destroy_string_name(&parent);
    godot.destroy_string_name(&name);
}

void native_receiver_unregister(GDExtensionClassLibraryPtr library) {
    string_name name;
    godot.string_name_new(&name, CLASS_NAME, false);
    godot.unregister_class(library, &name);
    godot.destroy_string_name(&name);
}
